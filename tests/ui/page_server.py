"""A real server with the page and the one route that its scripts poll."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import Body, FastAPI

from modules.compat.mounting import keep_mounted, quicker_assets
from modules.ui import create_page, mount_page, mount_waiting_page
from modules.ui.gradio_setup import load_gradio
from tests.ui.fake_services import FakeServices


@dataclass
class PageServer:
    """Where the page is, what is behind it, and how long the parts took (seconds)."""

    url: str
    services: FakeServices
    app: FastAPI
    build_seconds: float
    mount_seconds: float


def create_app(services: FakeServices) -> FastAPI:
    """The routes that belong to another room, as far as the page needs them."""
    app = FastAPI()

    @app.post("/internal/progress")
    def progress(
        id_task: str = Body(), live_preview: bool = Body(True), id_live_preview: int = Body(-1)
    ) -> dict[str, Any]:
        return services.progress(id_task, live_preview, id_live_preview)

    @app.get("/internal/ping")
    def ping() -> dict[str, Any]:
        return {}

    return app


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """Serve ``app`` on a free port and give its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@contextlib.contextmanager
def serve(services: FakeServices, **mount: Any) -> Iterator[PageServer]:
    """Start the server first, then build and mount the page, as the program does."""
    app = create_app(services)
    path = mount.get("path", "/")
    mount_waiting_page(app, path=path)
    with listening(app) as url:
        start = time.perf_counter()
        gradio = load_gradio()
        keep_mounted(gradio)
        page = create_page(services)
        built = time.perf_counter()
        folders = [services.folder / "outputs"]
        mount_page(app, page, allowed_paths=folders, replaced=quicker_assets(gradio), **mount)
        mounted = time.perf_counter()
        yield PageServer(url + path, services, app, built - start, mounted - built)
