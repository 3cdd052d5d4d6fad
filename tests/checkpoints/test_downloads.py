"""Downloads against a real server: whole, continued, checked, broken off, and without any network."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modules.checkpoints.downloads import DownloadFailed, download

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """A server of one file. ``cut``: end the connection after so many bytes; ``ranges``: can continue."""

    url: str = ""
    cut: int | None = None
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if self.path == "/missing":
                self.send_error(404)
                return
            begin = int(wanted[6:-1]) if wanted and state.ranges else 0
            if begin >= len(CONTENT):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = CONTENT[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if state.cut is None else body[: state.cut])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/model.pth"
    yield state
    server.shutdown()
    server.server_close()


def test_a_whole_file(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "new" / "model.pth"
    seen: list[tuple[int, int | None]] = []
    download(site.url, target, SHA256, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.iterdir()] == ["model.pth"]


@pytest.mark.parametrize("ranges", [True, False])
def test_what_broke_off_is_continued(site: Site, tmp_path: Path, ranges: bool) -> None:
    target = tmp_path / "model.pth"
    site.cut, site.ranges = 300_000, ranges
    with pytest.raises(DownloadFailed, match="after 300000 of 1024000 bytes"):
        download(site.url, target, SHA256)
    assert not target.exists()
    site.cut = None
    download(site.url, target, SHA256)
    assert target.read_bytes() == CONTENT
    assert site.asked == [None, "bytes=300000-"]


def test_a_complete_part_is_only_checked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "model.pth.part").write_bytes(CONTENT)
    download(site.url, tmp_path / "model.pth", SHA256)
    assert (tmp_path / "model.pth").read_bytes() == CONTENT


def test_another_file_is_refused_and_deleted(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="SHA-256"):
        download(site.url, tmp_path / "model.pth", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_one_sentence(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="the server answers 404"):
        download(site.url.replace("model.pth", "missing"), tmp_path / "model.pth")


def test_without_a_network_the_sentence_names_address_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/model.pth"
        with pytest.raises(DownloadFailed) as caught:
            download(url, tmp_path / "model.pth")
        monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(DownloadFailed) as proxied:
            download("http://models.invalid/model.pth", tmp_path / "model.pth")
    assert url in str(caught.value)
    assert str(tmp_path / "model.pth") in str(caught.value)
    assert "the proxy 127.0.0.1 is in use" in str(proxied.value)
    assert "secret" not in str(proxied.value)


def test_breaking_off_keeps_what_came(site: Site, tmp_path: Path) -> None:
    def stop(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(site.url, tmp_path / "model.pth", watch=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth.part"]
