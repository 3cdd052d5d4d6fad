"""Who and what gets in: passwords, origins, host names, sizes; and what every reply carries."""

from __future__ import annotations

import base64
import logging
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket

from modules.api.app import create_app
from modules.api.auth import parse_pairs
from modules.api.origins import OriginGuard, OriginRules
from modules.errors import InvalidInput
from tests.api.live import Live, build, flags, live, raw


class TestPassword:
    """--api-auth."""

    @pytest.fixture(scope="class")
    def locked(self) -> Any:
        with live(api_auth="me:secret,you:öffne dich") as running:
            yield running

    @pytest.mark.parametrize(("name", "password"), [("me", "secret"), ("you", "öffne dich")])
    def test_right_pairs_enter(self, locked: Live, name: str, password: str) -> None:
        assert locked.client.get("/sdapi/v1/options", auth=(name, password)).status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Basic",
            "Basic ???",
            "Bearer secret",
            "Basic " + base64.b64encode(b"nocolon").decode(),
            *(
                "Basic " + base64.b64encode(pair).decode()
                for pair in (b"me:wrong", b"you:secret", b":", b"me:")
            ),
        ],
    )
    def test_others_do_not(self, locked: Live, header: str | None) -> None:
        given = {} if header is None else {"authorization": header}
        for path in ("/sdapi/v1/options", "/sdapi/v1/loras", "/sdapi/v1/progress"):
            answer = locked.client.get(path, headers=given)
            assert answer.status_code == 401
            assert set(answer.json()) == {"error", "detail", "body", "errors"}
            assert "www-authenticate" not in answer.headers
        # What was wrong is forgiven after a right one, so the next case does not have to wait.
        assert locked.client.get("/sdapi/v1/samplers", auth=("me", "secret")).status_code == 200

    def test_password_is_asked_before_the_body_is_read(self, locked: Live) -> None:
        head = b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{"
        assert raw(locked.address, head)[0] == 401

    def test_page_helpers_stay_open(self, locked: Live) -> None:
        assert locked.client.get("/internal/ping").status_code == 200

    def test_documentation_tells(self, locked: Live) -> None:
        operation = locked.client.get("/openapi.json").json()["paths"]["/sdapi/v1/txt2img"]["post"]
        assert operation["security"]


def test_pairs_of_the_flag() -> None:
    assert parse_pairs("a:b, c:d:e") == (("a", "b"), ("c", "d:e"))
    assert parse_pairs(None) == parse_pairs("") == ()
    with pytest.raises(InvalidInput):
        parse_pairs("nocolon")


def test_interface_is_there_only_when_asked_for() -> None:
    with live(api=False) as closed:
        assert closed.client.get("/sdapi/v1/options").status_code == 404
        assert closed.client.get("/internal/ping").status_code == 200
    with live(api=False, nowebui=True) as open_:
        assert open_.client.get("/sdapi/v1/options").status_code == 200


ORIGIN_CASES = [
    # origin, host that the page was served under, allowed
    (None, "127.0.0.1:7860", True),
    ("http://127.0.0.1:7860", "127.0.0.1:7860", True),
    ("http://localhost:7860", "localhost:7860", True),
    ("https://localhost:7860", "localhost:7860", True),
    ("http://127.0.0.1", "127.0.0.1:80", True),
    ("http://127.0.0.1:3000", "127.0.0.1:7860", False),
    ("http://evil.example", "127.0.0.1:7860", False),
    ("http://127.0.0.1.evil.example:7860", "127.0.0.1:7860", False),
    ("null", "127.0.0.1:7860", False),
    ("file://", "127.0.0.1:7860", False),
    ("", "127.0.0.1:7860", False),
    ("http://[", "127.0.0.1:7860", False),
    ("http://127.0.0.1:99999999", "127.0.0.1:7860", False),
]


@pytest.mark.parametrize(("origin", "host", "allowed"), ORIGIN_CASES)
def test_pages_of_other_sites_may_not_act(server: Live, origin: str | None, host: str, allowed: bool) -> None:
    headers = {"host": host, "content-type": "text/plain"} | ({} if origin is None else {"origin": origin})
    answer = server.client.post("/sdapi/v1/interrupt", headers=headers, content=b"")
    assert answer.status_code == (200 if allowed else 403), answer.text
    if not allowed:
        assert "--cors-allow-origins" in answer.json()["detail"]


def test_reading_is_open_to_links(server: Live) -> None:
    answer = server.client.get("/sdapi/v1/samplers", headers={"origin": "http://evil.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_browser_that_says_cross_site_is_believed(server: Live) -> None:
    assert server.client.post("/sdapi/v1/skip", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert server.client.post("/sdapi/v1/skip", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_proxy_may_tell_the_public_name(server: Live) -> None:
    headers = {"origin": "https://pictures.example", "x-forwarded-host": "pictures.example"}
    assert server.client.post("/sdapi/v1/skip", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:7860", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("[::1]:7860", True),
        ("192.168.1.5:7860", True),
        ("evil.example:7860", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_rebound_names_are_refused(server: Live, host: str, known: bool) -> None:
    for method, path in (("GET", "/sdapi/v1/options"), ("POST", "/sdapi/v1/skip")):
        answer = server.client.request(method, path, headers={"host": host, "origin": f"http://{host}"})
        assert answer.status_code == (200 if known else 403)
        if not known:
            assert "--listen" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "host", "known"),
    [
        ({"listen": True}, "any.example", True),
        ({"server_name": "0.0.0.0"}, "any.example", True),
        ({"server_name": "127.0.0.1"}, "any.example", False),
        ({"server_name": "my.example"}, "my.example:7860", True),
        ({"cors_allow_origins": "https://my.example"}, "my.example", True),
        ({"cors_allow_origins": "https://my.example"}, "other.example", False),
        ({"cors_allow_origins": "*"}, "other.example", True),
        ({"cors_allow_origins_regex": r"https://[a-z]+\.my\.example"}, "ab.my.example", True),
        ({"cors_allow_origins_regex": r"https://[a-z]+\.my\.example"}, "ab.my.example.org", False),
        ({"share": True}, "abc.gradio.live", True),
        ({"share": False}, "abc.gradio.live", False),
        ({"ngrok": "token"}, "abc.ngrok-free.app", True),
    ],
)
def test_names_that_flags_make_known(given: dict[str, Any], host: str, known: bool) -> None:
    assert OriginRules.from_flags(flags(**given)).knows_host(host) is known


class TestCors:
    """--cors-allow-origins and its regular expression."""

    @pytest.fixture(scope="class")
    def shared(self) -> Any:
        with live(
            cors_allow_origins="http://a.example, http://b.example", cors_allow_origins_regex="https://c.*"
        ) as it:
            yield it

    @pytest.mark.parametrize("origin", ["http://a.example", "http://b.example", "https://c.example"])
    def test_allowed_origin(self, shared: Live, origin: str) -> None:
        asked = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-y",
        }
        preflight = shared.client.options("/sdapi/v1/skip", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == origin
        assert preflight.headers["access-control-allow-credentials"] == "true"
        answer = shared.client.post("/sdapi/v1/skip", headers={"origin": origin})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin

    def test_other_origin(self, shared: Live) -> None:
        answer = shared.client.post("/sdapi/v1/skip", headers={"origin": "http://evil.example"})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_sockets_of_other_sites_are_refused() -> None:
    """The guard in front of any application, spoken to as a server does."""
    import anyio

    app = FastAPI()

    @app.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        await connection.accept()
        await connection.close()

    guard = OriginGuard(app, OriginRules(hosts=()))

    async def first_answer(origin: bytes) -> str:
        sent: list[Any] = []
        messages = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
        scope = {
            "type": "websocket",
            "path": "/socket",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"origin", origin)],
            "subprotocols": [],
        }

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await guard(scope, receive, send)
        return sent[0]

    assert anyio.run(first_answer, b"http://localhost") == "websocket.accept"
    assert anyio.run(first_answer, b"http://evil.example") == "websocket.close"


class TestSize:
    """Bodies over the limit."""

    @pytest.fixture(scope="class")
    def small(self) -> Any:
        with live(lambda services: replace(services, max_body_bytes=1000)) as running:
            yield running

    def test_announced_size_is_refused_before_a_byte_is_read(self, small: Live) -> None:
        head = (
            b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2147483648\r\n\r\n"
        )
        status, body = raw(small.address, head)
        assert status == 413
        assert b"1000 bytes" in body

    def test_unannounced_size_is_refused_on_the_way(self, small: Live) -> None:
        head = b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        status, _ = raw(small.address, head + b"%x\r\n" % 2000 + b" " * 2000 + b"\r\n")
        assert status == 413

    def test_other_routes_have_the_limit_too(self, small: Live) -> None:
        for path in ("/internal/progress", "/nowhere", "/sdapi/v1/img2img"):
            assert small.client.post(path, content=b" " * 2000).status_code == 413

    def test_smaller_bodies_pass(self, small: Live) -> None:
        assert small.txt2img(prompt="x" * 500)["images"]

    def test_refused_body_ends_nothing(self, small: Live) -> None:
        assert small.client.post("/sdapi/v1/skip").status_code == 200


def test_process_time_is_told(server: Live) -> None:
    for path in ("/sdapi/v1/samplers", "/internal/ping"):
        seconds = server.client.get(path).headers["x-process-time"]
        assert float(seconds) >= 0 and len(seconds.partition(".")[2]) <= 4


def test_large_replies_are_compressed(server: Live) -> None:
    assert server.client.get("/sdapi/v1/options").headers["content-encoding"] == "gzip"
    assert "content-encoding" not in server.client.get("/internal/ping").headers
    plain = server.client.get("/sdapi/v1/options", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_log_has_one_line_a_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "easel.api"), live(api_log=True) as server:
        server.client.get("/sdapi/v1/samplers")
        server.client.get("/internal/ping")
        server.client.get("/sdapi/v1/a%0Ab")
    lines = [record.getMessage() for record in caplog.records if record.name == "easel.api"]
    assert len(lines) == 2
    assert "200 GET /sdapi/v1/samplers 127.0.0.1" in lines[0]
    assert "404 GET /sdapi/v1/a\\nb" in lines[1]


def test_no_log_without_its_flag(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "easel.api"), live() as server:
        server.client.get("/sdapi/v1/samplers")
    assert not [record for record in caplog.records if record.name == "easel.api"]


def test_subpath_is_served_with_and_without_a_proxy_that_strips_it() -> None:
    with live(subpath="/easel/") as server:
        assert server.client.get("/easel/sdapi/v1/samplers").status_code == 200
        assert server.client.get("/sdapi/v1/samplers").status_code == 200
        assert server.client.get("/easel/openapi.json").json()["servers"] == [{"url": "/easel"}]


def test_unknown_routes_and_methods_answer_as_usual(server: Live) -> None:
    assert server.client.get("/sdapi/v1/nothing").json() == {"detail": "Not Found"}
    assert server.client.get("/sdapi/v1/txt2img").status_code == 405


def test_defect_is_an_error_object_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("a defect")

    with live(lambda services: replace(services, memory=broken)) as server:
        answer = server.client.get("/sdapi/v1/memory")
    assert answer.status_code == 500
    assert answer.json() == {"error": "ZeroDivisionError", "detail": "", "body": "", "errors": "a defect"}
    assert any(record.exc_info for record in caplog.records)


def test_infinity_in_a_reply_is_null() -> None:
    with live(lambda services: replace(services, memory=lambda: {"ram": {"free": float("inf")}})) as server:
        assert server.client.get("/sdapi/v1/memory").json() == {"ram": {"free": None}}


def test_errors_of_mounted_pages_are_left_to_them() -> None:
    app = create_app(build().services)
    assert Exception not in app.exception_handlers


def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += [
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl makes no certificate here")
    with live(tls_certfile=str(certificate), tls_keyfile=str(key)) as server:
        context = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(verify=context, timeout=60) as client:
            answer = client.get(f"https://localhost:{server.address[1]}/internal/ping")
        assert answer.status_code == 200
