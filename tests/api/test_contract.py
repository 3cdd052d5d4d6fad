"""Names, types and defaults of the endpoints are those of the reference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modules.api.fields import OWN, TXT2IMG
from modules.api.later import LATER
from modules.processing.request import Txt2ImgRequest
from tests.api.live import Live, live
from tests.paths import CONTRACT, DATA, HAVE_CONTRACT

FACTS = json.loads((DATA / "api_contract.json").read_text("utf-8"))["endpoints"]
BY_ROUTE = {(fact["method"], fact["path"]): fact for fact in FACTS}
BUILT = [
    fact for fact in FACTS if (fact["method"], fact["path"]) not in {(row.method, row.path) for row in LATER}
]
NOT_SERVED = {"/internal/sysinfo", "/internal/sysinfo-download"}

JSON_TYPES = {
    "string": {"string"},
    "str": {"string"},
    "integer": {"integer"},
    "int": {"integer"},
    "number": {"number"},
    "boolean": {"boolean"},
    "bool": {"boolean"},
    "array": {"array"},
    "array of string": {"array"},
    "object": {"object"},
    "enum [0, 1]": {"integer"},
    "array of FileData": {"array"},
}


@pytest.fixture(scope="module")
def openapi() -> Any:
    with live(api_server_stop=True) as server:
        return server.client.get("/openapi.json").json()


@pytest.mark.skipif(not HAVE_CONTRACT, reason="needs the contract beside the checkout")
def test_the_copy_of_the_contract_is_true() -> None:
    whole = json.loads((CONTRACT / "api.json").read_text("utf-8"))["endpoints"]
    theirs = {(fact["method"], fact["path"]): fact for fact in whole}
    served = ("/sdapi/", "/internal/", "/sd_extra_networks/")
    assert set(BY_ROUTE) == {route for route in theirs if route[1].startswith(served)}
    for route, fact in BY_ROUTE.items():
        for field in fact.get("request", []):
            original = next(one for one in theirs[route]["request"]["fields"] if one["name"] == field["name"])
            assert {key: original[key] for key in field} == field


def test_every_endpoint_of_the_contract_answers(openapi: Any) -> None:
    served = {(method.upper(), path) for path, methods in openapi["paths"].items() for method in methods}
    assert {(fact["method"], fact["path"]) for fact in FACTS} <= served


def schema_of(openapi: Any, schema: Any) -> Any:
    while "$ref" in schema:
        schema = openapi["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def types_of(openapi: Any, schema: Any) -> set[str]:
    """The JSON types that a field takes, without null."""
    schema = schema_of(openapi, schema)
    parts = schema.get("anyOf", [schema])
    return {schema_of(openapi, part).get("type", "any") for part in parts} - {"null"}


@pytest.mark.parametrize("fact", [one for one in BUILT if "request" in one], ids=lambda fact: fact["path"])
def test_request_fields(openapi: Any, fact: Any) -> None:
    operation = openapi["paths"][fact["path"]][fact["method"].lower()]
    if fact["method"] == "GET":
        documented = {one["name"]: one["schema"] for one in operation["parameters"]}
        required = {one["name"] for one in operation["parameters"] if one.get("required")}
    else:
        body = schema_of(openapi, operation["requestBody"]["content"]["application/json"]["schema"])
        documented, required = body["properties"], set(body.get("required", ()))
    own = [row.name for row in OWN if row.name in documented]
    assert list(documented) == [*(field["name"] for field in fact["request"]), *own]
    for field in fact["request"]:
        name = field["name"]
        assert types_of(openapi, documented[name]) == JSON_TYPES[field["type"]], name
        assert (name in required) == field.get("required", False), name
        if not field.get("required"):
            assert documented[name].get("default") == field["default"], name
            assert type(documented[name].get("default")) is type(field["default"]), name


@pytest.mark.parametrize(
    "fact", [one for one in BUILT if "reply" in one or "list_of" in one], ids=lambda fact: fact["path"]
)
def test_reply_fields(openapi: Any, fact: Any) -> None:
    operation = openapi["paths"][fact["path"]][fact["method"].lower()]
    schema = schema_of(openapi, operation["responses"]["200"]["content"]["application/json"]["schema"])
    if "list_of" in fact:
        assert schema["type"] == "array"
        schema = schema_of(openapi, schema["items"])
    rows = fact.get("list_of") or fact["reply"]
    assert list(schema["properties"]) == [row["name"] for row in rows]
    for row in rows:
        if row.get("type") in JSON_TYPES and "default" in row | {"required": row.get("required")}:
            assert types_of(openapi, schema["properties"][row["name"]]) == JSON_TYPES[row["type"]], row[
                "name"
            ]


@pytest.mark.parametrize(
    "fact", [one for one in BUILT if "value" in one and one["value"] in ({}, None)], ids=lambda f: f["path"]
)
def test_fixed_replies(server: Live, fact: Any) -> None:
    answer = server.client.request(fact["method"], fact["path"], json={})
    assert answer.status_code == 200, answer.text
    assert answer.json() == fact["value"]


@pytest.mark.parametrize("row", LATER, ids=lambda row: f"{row.method} {row.path}")
def test_what_is_not_built_says_so(server: Live, row: Any) -> None:
    assert (row.method, row.path) in BY_ROUTE
    answer = server.client.request(row.method, row.path, json={})
    assert answer.status_code == 501
    assert row.feature in answer.json()["detail"]
    assert set(answer.json()) == {"error", "detail", "body", "errors"}


def test_every_field_of_the_painter_can_be_sent() -> None:
    """A new field of the request is one row of the table; this finds the row that was forgotten."""
    not_sent = {"user"}
    rows = {row.name: row.default for row in TXT2IMG}
    fresh = vars(Txt2ImgRequest())
    assert set(fresh) - not_sent <= set(rows)
    for name in set(fresh) - not_sent:
        if rows[name] is not None:
            assert fresh[name] == rows[name], name


def test_replies_have_the_documented_fields(server: Live, openapi: Any) -> None:
    """What is sent is what is documented, for every listing that has entries here."""
    for path in ("/sdapi/v1/progress", "/sdapi/v1/memory", "/sdapi/v1/sd-models", "/internal/pending-tasks"):
        content = server.client.get(path).json()
        operation = openapi["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        schema = schema_of(openapi, operation)
        rows = content if isinstance(content, list) else [content]
        fields = schema_of(openapi, schema["items"]) if schema["type"] == "array" else schema
        assert rows
        for row in rows:
            assert list(row) == list(fields["properties"]), path
