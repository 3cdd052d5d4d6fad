"""A real Easel server in a process of its own, for tests that speak to it over a socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.paths import ROOT

START_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A running server: its address, a client bound to it, its process and its log."""

    url: str
    client: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, path: str, body: Any) -> Any:
        """POST ``body`` as JSON and return the decoded answer; fails on an error status."""
        response = self.client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without what a developer's shell may have set for Easel."""
    dropped = {"COMMANDLINE_ARGS", "SD_WEBUI_RESTART"}
    return {k: v for k, v in os.environ.items() if k not in dropped} | {
        "PYTHONDONTWRITEBYTECODE": "1",
        **extra,
    }


@contextmanager
def start_server(data_dir: Path, flags: Sequence[str], **environment: str) -> Iterator[Server]:
    """Run ``webui.py`` with ``flags`` on a free port until the block ends."""
    port = free_port()
    log = data_dir / "server.log"
    command = [
        sys.executable,
        str(ROOT / "webui.py"),
        "--data-dir",
        str(data_dir),
        "--port",
        str(port),
        *flags,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(**environment), stdout=output, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            wait_until_up(client, process, log)
            yield Server(url, client, process, log)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_up(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers; fail with its log when it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if client.get("/internal/ping").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not come up:\n{log.read_text(errors='replace')[-4000:]}")
