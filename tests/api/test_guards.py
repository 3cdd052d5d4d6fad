"""Wrong passwords, too many calls, and addresses of pictures that lead where they must not."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.responses import Response
from starlette.testclient import TestClient

from modules.api.clients import REMEMBERED, Backoff, LoginGuard, RateLimit, TooManyRequests, address_of
from modules.api.fetching import PictureFetcher, is_public
from modules.errors import EaselError, Forbidden, InvalidInput
from tests.api.live import Live, live


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_ten_thousand_wrong_passwords_get_nowhere() -> None:
    with live(api_auth="me:secret") as server:
        codes = [
            server.client.get("/sdapi/v1/samplers", auth=("me", f"guess {number}")).status_code
            for number in range(100)
        ]
        assert codes[:5] == [401] * 5
        assert codes.count(429) >= 90, "nearly all guesses were not even compared"
        blocked = server.client.get("/sdapi/v1/samplers", auth=("me", "secret"))
        assert blocked.status_code == 429 and int(blocked.headers["retry-after"]) >= 1
        assert set(blocked.json()) == {"error", "detail", "body", "errors"}
        assert server.client.get("/internal/ping").status_code == 200


def test_waits_double_and_end() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    waits = []
    for _ in range(14):
        backoff.failed("a")
        try:
            backoff.check("a")
            waits.append(0.0)
        except TooManyRequests as error:
            waits.append(float(error.headers["Retry-After"]))
            clock.now += 70
            backoff.check("a")
    assert waits[:4] == [0] * 4
    assert (waits[4:9] == [2, 3, 5, 9, 17] and waits[-1] == 61) or waits[-1] == 60
    backoff.check("b")
    backoff.succeeded("a")
    backoff.failed("a")
    backoff.check("a")


def test_clients_are_remembered_within_bounds() -> None:
    backoff = Backoff(Clock())
    for number in range(REMEMBERED + 100):
        backoff.failed(str(number))
    assert len(backoff._clients) == REMEMBERED


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::1", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_address_of_a_client(host: str, client: str) -> None:
    assert address_of({"client": (host, 1)}) == client


def test_login_of_the_page_is_slowed_down_too() -> None:
    app = FastAPI()

    @app.post("/login")
    def login(password: str) -> Response:
        return Response(status_code=200 if password == "right" else 400)

    client = TestClient(LoginGuard(app, Backoff()))
    codes = [client.post(f"/login?password={number}").status_code for number in range(10)]
    assert codes[:5] == [400] * 5 and set(codes[5:]) == {429}
    assert client.post("/login?password=right").status_code == 429
    assert client.post("/elsewhere").status_code == 404


def test_rate_limit_is_one_clients_own() -> None:
    with live(api_rate_limit=5) as server:
        codes = [server.client.get("/sdapi/v1/samplers").status_code for _ in range(8)]
        assert codes[:5] == [200] * 5 and codes[-1] == 429
        assert server.client.get("/easel/v1/queue").status_code == 429
        assert server.client.get("/internal/ping").status_code == 200


def test_rate_limit_fills_up_again() -> None:
    clock = Clock()
    limit = RateLimit(FastAPI(), 60, clock)
    assert all(limit._take("a") == 0 for _ in range(60))
    assert limit._take("a") == pytest.approx(1.0)
    assert limit._take("b") == 0
    clock.now += 1.0
    assert limit._take("a") == 0
    assert limit._take("a") > 0


# Addresses of pictures


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("not figures", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4)).save(buffer, "PNG")
    return buffer.getvalue()


class Site:
    """A web site of raw answers: path → bytes, or a function that is handed the connection."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.agents: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                head = connection.recv(65536).decode("latin-1")
                path = head.split(" ")[1]
                self.asked.append(path)
                self.agents += [line[12:] for line in head.split("\r\n") if line.startswith("User-Agent")]
                page = self.pages[path]
                if callable(page):
                    page(connection)
                else:
                    connection.sendall(page)
            except OSError:
                pass


def page(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def site(**pages: Any) -> Iterator[Site]:
    made = Site({f"/{path}": content for path, content in pages.items()})
    try:
        yield made
    finally:
        made.socket.close()


def drip(connection: socket.socket) -> None:
    """An answer that never ends and never stands still."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.05)


def drip_head(connection: socket.socket) -> None:
    for _ in range(600):
        connection.sendall(b"H")
        time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


LOCAL = PictureFetcher(forbid_local=False, max_bytes=100_000, seconds=0.7)


def test_picture_is_fetched() -> None:
    with site(picture=page(png())) as made:
        assert LOCAL.fetch(f"{made.url}/picture", "image") == png()
        assert replace(LOCAL, user_agent="me/1").fetch(f"{made.url}/picture", "image")
        assert [one.strip() for one in made.agents] == ["Easel", "me/1"]


@pytest.mark.parametrize("kind", ["drip", "drip_head", "flood"])
def test_slow_and_endless_answers_are_cut(kind: str) -> None:
    with site(picture={"drip": drip, "drip_head": drip_head, "flood": flood}[kind]) as made:
        with pytest.raises(InvalidInput) as caught:
            LOCAL.fetch(f"{made.url}/picture", "image")
        assert caught.value.field == "image"
        assert ("limit" if kind == "flood" else "longer") in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page(b"", "404 Not Found"), "status 404"),
        (b"nonsense\r\n\r\n", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_other_answers_are_told(answer: bytes, words: str) -> None:
    with site(picture=answer) as made, pytest.raises(InvalidInput, match=words):
        LOCAL.fetch(f"{made.url}/picture", "image")


def test_redirects_are_followed_a_few_times() -> None:
    hops = {f"hop{n}": page(b"", "302 Found", Location=f"/hop{n + 1}") for n in range(3)}
    with site(**hops, hop3=page(png()), again=page(b"", "302 Found", Location="/again")) as made:
        assert LOCAL.fetch(f"{made.url}/hop0", "image") == png()
        with pytest.raises(InvalidInput, match="redirects more"):
            LOCAL.fetch(f"{made.url}/again", "image")


def test_redirects_are_checked_like_addresses() -> None:
    """A public name that sends the server back into its own network."""
    with site(out=page(b"", "302 Found", Location="http://localhost:1/"), secret=page(png())) as made:
        port = int(made.url.rpartition(":")[2])

        def resolver(host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        public = replace(LOCAL, forbid_local=True, resolver=resolver)
        with pytest.raises(Forbidden):
            public.fetch(f"http://public.example:{port}/out", "image")
        assert made.asked == []
        for target in ("file:///etc/passwd", "ftp://x/", "gopher://x/", "http://u:p@x/"):
            made.pages["/out"] = page(b"", "302 Found", Location=target)
            with pytest.raises(Forbidden):
                LOCAL.fetch(f"{made.url}/out", "image")


def test_the_checked_address_is_the_one_that_is_asked() -> None:
    """A name that resolves differently the second time gains nothing: it is resolved once."""
    asked: list[str] = []

    def resolver(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.9.9.9"]

    with site(picture=page(png())) as made:
        port = made.url.rpartition(":")[2]
        fetcher = replace(LOCAL, resolver=resolver)
        assert fetcher.fetch(f"http://rebound.example:{port}/picture", "image") == png()
    assert asked == ["rebound.example"]


@pytest.mark.parametrize(
    "answers", [["93.184.216.34", "127.0.0.1"], ["10.0.0.1"], ["::1"], ["::ffff:10.0.0.1"]]
)
def test_one_local_address_among_several_is_enough_to_refuse(answers: list[str]) -> None:
    fetcher = PictureFetcher(resolver=lambda *_: answers)
    with pytest.raises(Forbidden, match="api_forbid_local_requests"):
        fetcher.fetch("http://mixed.example/", "image")


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "http://x:99999/", "https://no.such.host.invalid/", "http://\udcff/"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(EaselError) as caught:
        PictureFetcher(resolver=lambda *_: []).fetch(url, "image")
    assert caught.value.status in (403, 422)


class TestThroughTheInterface:
    """The settings and the flag."""

    def ask(self, server: Live, url: str) -> Any:
        return server.client.post("/sdapi/v1/png-info", json={"image": url})

    def test_off_unless_allowed(self) -> None:
        with site(picture=page(png())) as made, live() as server:
            for url in (
                f"{made.url}/picture",
                "https://example.org/x.png",
                " HTTP://x/",
                "file:///etc/passwd",
            ):
                answer = self.ask(server, url)
                assert answer.status_code == 403 and "--api-image-urls" in answer.json()["detail"]
            assert made.asked == []

    def test_local_addresses_stay_forbidden_when_allowed(self) -> None:
        with site(picture=page(png())) as made, live(api_image_urls=True) as server:
            answer = self.ask(server, f"{made.url}/picture")
            assert answer.status_code == 403 and "api_forbid_local_requests" in answer.json()["detail"]
            assert self.ask(server, "file:///etc/passwd").status_code == 403
            assert made.asked == []

    def test_allowed_with_both(self) -> None:
        with site(picture=page(png()), text=page(b"no picture")) as made, live(api_image_urls=True) as server:
            server.services.options.set("api_forbid_local_requests", False)
            assert self.ask(server, f"{made.url}/picture").status_code == 200
            assert self.ask(server, f"{made.url}/text").status_code == 422
            body = {"init_images": [f"{made.url}/picture"], "width": 8, "height": 8, "steps": 1}
            assert server.client.post("/sdapi/v1/img2img", json=body).status_code == 200
            server.services.options.set("api_enable_requests", False)
            assert self.ask(server, f"{made.url}/picture").status_code == 403

    def test_clients_cannot_allow_themselves(self) -> None:
        with site(picture=page(png())) as made, live(api_image_urls=True) as server:
            off = {"api_forbid_local_requests": False}
            assert server.client.post("/sdapi/v1/options", json=off).status_code == 200
            assert server.client.get("/sdapi/v1/options").json()["api_forbid_local_requests"] is True
            assert self.ask(server, f"{made.url}/picture").status_code == 403


def test_base64_is_no_address() -> None:
    with live() as server:
        text = base64.b64encode(png()).decode()
        assert server.client.post("/sdapi/v1/png-info", json={"image": text}).status_code == 200
