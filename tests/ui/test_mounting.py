"""The page on a server that already answers."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.ui import create_page, mount_page, mount_waiting_page
from modules.ui.assets import ROOT, PageAssets
from tests.ui.fake_services import FakeServices
from tests.ui.page_server import PageServer, serve


def test_page_carries_our_tags_before_the_scripts_of_gradio_run(server: PageServer) -> None:
    answer = httpx.get(server.url)
    assert answer.status_code == 200
    head, body = answer.text.split("</head>", 1)
    scripts = re.findall(r'<script src="(easel-assets/javascript/[^"]+)"', head)
    assert scripts[0].startswith("easel-assets/javascript/core.js?")
    assert len(scripts) == len(list((ROOT / "javascript").glob("*.js")))
    assert "easel-assets/style.css?" in head
    assert "easel-assets" not in body
    assert (
        int(answer.headers["content-length"]) == len(answer.content) or "content-encoding" in answer.headers
    )


def test_assets_are_kept_for_good_under_their_hash_only(server: PageServer) -> None:
    address = re.findall(r'"(easel-assets/style.css\?\w+)"', httpx.get(server.url).text)[0]
    hashed = httpx.get(server.url + address)
    assert hashed.headers["content-type"].startswith("text/css")
    assert "immutable" in hashed.headers["cache-control"]
    plain = httpx.get(server.url + "easel-assets/style.css")
    assert plain.headers["cache-control"] == "no-cache"
    assert plain.content == (ROOT / "style.css").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["../webui.py", "%2e%2e/pyproject.toml", "javascript/../../pyproject.toml", "javascript", "", "x.css"],
)
def test_only_listed_assets_exist(server: PageServer, name: str) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 80)) as raw:
        raw.sendall(f"GET /easel-assets/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in raw.recv(100)


def test_user_css_comes_last(tmp_path: Path) -> None:
    user = tmp_path / "user.css"
    assert "user.css" not in PageAssets.of(user_css=user).head_html()
    user.write_text("body{}")
    tags = PageAssets.of(user_css=user).head_html().splitlines()
    assert "user.css" in tags[-1] and "style.css" in tags[-2]


def test_routes_added_after_the_page_are_reached(server: PageServer) -> None:
    @server.app.get("/late/extension")
    def late() -> dict[str, int]:
        return {"late": 1}

    assert httpx.get(server.url + "late/extension").json() == {"late": 1}
    assert httpx.get(server.url + "internal/ping").json() == {}
    assert httpx.get(server.url + "internal/progress").status_code == 405


def test_waiting_page_until_the_page_is_there() -> None:
    app = FastAPI()
    mount_waiting_page(app)
    app.get("/internal/ping")(lambda: {"up": True})
    client = TestClient(app)
    answer = client.get("/")
    assert answer.status_code == 503 and "starting" in answer.text
    assert "http://" not in answer.text and "https://" not in answer.text
    assert client.get("/sdapi/v1/unknown").status_code == 404
    assert client.get("/internal/ping").status_code == 200


def test_page_below_a_path(services: FakeServices) -> None:
    with serve(services, path="/paint") as server:
        answer = httpx.get(server.url + "/")
        assert answer.status_code == 200
        address = re.findall(r'"(easel-assets/[^"]+)"', answer.text)[0]
        assert httpx.get(f"{server.url}/{address}").status_code == 200


def test_auth_guards_the_page(services: FakeServices) -> None:
    with serve(services, auth=[("anna", "secret")]) as server:
        client = httpx.Client(base_url=server.url)
        assert '"auth_required":true' in client.get("/").text.replace(" ", "")
        assert "txt2img_generate" not in client.get("/").text
        client.post("/login", data={"username": "anna", "password": "secret"})
        cookies = {c.name: c.value for c in client.cookies.jar}
        header = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        assert "txt2img_generate" in httpx.get(server.url, headers=header).text


def test_saved_files_are_served_in_place_and_others_are_not(server: PageServer, tmp_path: Path) -> None:
    picture = tmp_path / "outputs" / "a.png"
    picture.parent.mkdir()
    picture.write_bytes(b"\x89PNG")
    secret = tmp_path / "secret.txt"
    secret.write_text("no")
    assert httpx.get(f"{server.url}gradio_api/file={picture}").content == b"\x89PNG"
    assert httpx.get(f"{server.url}gradio_api/file={secret}").status_code in (403, 404)
    assert httpx.get(f"{server.url}gradio_api/file={picture.parent}/../secret.txt").status_code in (403, 404)


def test_no_connection_to_other_hosts(monkeypatch: pytest.MonkeyPatch, services: FakeServices) -> None:
    asked: list[Any] = []
    lookup = socket.getaddrinfo

    def watch(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", b"127.0.0.1", None):
            asked.append(host)
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", watch)
    with serve(services) as server:
        assert httpx.get(server.url).status_code == 200
    assert asked == []


def test_next_page_takes_the_place_of_the_one_before(server: PageServer, services: FakeServices) -> None:
    httpx.get(server.url)
    count = len(server.app.router.routes)
    mount_page(server.app, create_page(services, title="Second"), replaced={"core-x.js": b"new"})
    mount_page(server.app, create_page(services, title="Third"), replaced={"core-x.js": b"newer"})
    assert "Third" in httpx.get(server.url).text
    assert httpx.get(server.url + "assets/core-x.js").text == "newer"
    assert len(server.app.router.routes) <= count
    assert httpx.get(server.url + "internal/ping").json() == {}
