"""The real application on a real socket, with the real queue, worker and settings, and a fake painter."""

from __future__ import annotations

import http.client
import socket
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from modules.api.app import create_app
from modules.api.server import serve
from modules.api.services import ApiServices
from modules.jobs.events import Events
from modules.jobs.journal import Journal, open_journal, settings_of
from modules.jobs.keepers import journal_keepers
from modules.jobs.queue import JobQueue
from modules.jobs.state import State
from modules.jobs.store import MemoryJobStore
from modules.jobs.worker import Worker
from modules.options.settings import default_options
from modules.processing.infotext_parsing import parse_infotext
from modules.processing.request import Txt2ImgRequest
from modules.processing.result import Processed
from modules.sampling.monitor import Monitor, SamplingInterrupted
from tests.jobs.fakes import Gate


@dataclass
class FakePainter:
    """Paints pictures of one colour that comes from the seed, in the steps and batches that are asked for.

    ``gates``: prompt → gate at which a step of such a picture waits. ``seen``: what was painted.
    """

    gates: dict[str, Gate] = field(default_factory=dict)
    seen: list[tuple[Txt2ImgRequest, Any]] = field(default_factory=list)
    error: BaseException | None = None

    def __call__(self, request: Any, settings: Any, monitor: Monitor, /) -> Processed:
        self.seen.append((request, settings))
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        images: list[Image.Image] = []
        monitor.begin_job(request.n_iter)
        for _ in range(request.n_iter):
            if not self._sampled(request, monitor) and monitor.interrupted:
                break
            for _ in range(request.batch_size):
                colour = (request.seed % 256, request.steps % 256, len(images) % 256)
                images.append(Image.new("RGB", (request.width, request.height), colour))
            monitor.next_job()
            if monitor.stopping_generation:
                break
        texts = [f"{request.prompt}\nSteps: {request.steps}, Seed: {request.seed}" for _ in images]
        info = {
            "prompt": request.prompt,
            "seed": request.seed,
            "clip_skip": settings.CLIP_stop_at_last_layers,
        }
        return Processed(images=images, infotexts=texts, info=info)

    def _sampled(self, request: Txt2ImgRequest, monitor: Monitor) -> bool:
        monitor.begin_sampling(request.steps)
        try:
            for step in range(request.steps):
                monitor.check()
                monitor.step(step)
                monitor.latent(step)
                if step == request.steps // 2 and request.prompt in self.gates:
                    self.gates[request.prompt].pass_through()
        except SamplingInterrupted:
            return False
        return True


@dataclass(frozen=True)
class FakeCheckpoint:
    """An entry of the catalogue."""

    title: str
    model_name: str
    filename: str
    shorthash: str | None = None
    sha256: str | None = None
    config: str | None = None


@dataclass
class FakeCatalogue:
    """Two checkpoints; counts how often it was asked to look for more."""

    infos: tuple[FakeCheckpoint, ...] = (
        FakeCheckpoint(
            "a.safetensors [0123456789]", "a", "/models/a.safetensors", "0123456789", "0123456789ab"
        ),
        FakeCheckpoint("b.safetensors", "b", "/models/b\udcff.safetensors", config="/models/b.yaml"),
    )
    refreshed: int = 0

    def find(self, identifier: str) -> FakeCheckpoint | None:
        return next((one for one in self.infos if identifier in (one.title, one.model_name)), None)

    def refresh(self) -> None:
        self.refreshed += 1


def flags(**given: Any) -> Namespace:
    """Command-line flags as the parser gives them, as far as the interface reads them."""
    defaults = {
        "api": True,
        "nowebui": False,
        "api_auth": None,
        "api_log": False,
        "api_server_stop": False,
        "cors_allow_origins": None,
        "cors_allow_origins_regex": None,
        "listen": False,
        "server_name": None,
        "share": False,
        "ngrok": None,
        "subpath": None,
        "tls_certfile": None,
        "tls_keyfile": None,
        "timeout_keep_alive": 30,
    }
    return Namespace(**{**defaults, **given})


def preview(latent: Any, _settings: Any) -> Image.Image:
    """A preview whose colour tells the step."""
    return Image.new("RGB", (8, 8), (latent % 256, 0, 0))


@dataclass
class Live:
    """A running server and everything behind it."""

    services: ApiServices
    painter: FakePainter
    worker: Worker
    journal: Journal
    url: str = ""
    address: tuple[str, int] = ("", 0)
    client: httpx.Client = field(default_factory=httpx.Client)
    ended_with: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None

    def txt2img(self, **body: Any) -> Any:
        """The decoded answer to a small request."""
        answer = self.client.post("/sdapi/v1/txt2img", json={"width": 8, "height": 8, "steps": 2, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def in_background(self, **body: Any) -> BackgroundCall:
        """Send a request in a thread, with a connection of its own."""
        return BackgroundCall(self.url, body)


class BackgroundCall:
    """A request on its way."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        self._answer: list[httpx.Response] = []
        whole = {"width": 8, "height": 8, "steps": 4, **body}
        self._thread = threading.Thread(target=self._send, args=(url, whole), daemon=True)
        self._thread.start()

    def _send(self, url: str, body: dict[str, Any]) -> None:
        with httpx.Client(base_url=url, timeout=60, verify=False) as client:
            self._answer.append(client.post("/sdapi/v1/txt2img", json=body))

    def answer(self) -> httpx.Response:
        """The answer, when it is there."""
        self._thread.join(60)
        assert self._answer, "no answer came"
        return self._answer[0]


def build(
    change: Callable[[ApiServices], ApiServices] = lambda services: services,
    *,
    data_dir: Path | None = None,
    **given: Any,
) -> Live:
    """The parts of a server that is not started yet. With ``data_dir`` it has a journal there."""
    given_flags = flags(**given)
    options, hub = default_options(given_flags), Events()
    journal = open_journal(data_dir, options, given_flags) if data_dir else Journal(MemoryJobStore())
    queue, state, painter = JobQueue(journal.store, hub), State(preview, hub), FakePainter()
    services = ApiServices(
        queue=queue,
        state=state,
        options=options,
        spool=journal.spool,
        history=journal.history,
        settings_of=lambda values: settings_of(options, values),
        output_folders=lambda: (data_dir / "outputs",) if data_dir else (),
        checkpoints=FakeCatalogue(),
        flags=given_flags,
        parse_infotext=parse_infotext,
        memory=lambda: {"ram": {"free": 1, "used": 2, "total": 3}, "cuda": {"error": "unavailable"}},
    )
    worker = Worker(
        queue, state, {"txt2img": painter, "img2img": painter}, keepers=journal_keepers(journal, hub)
    )
    return Live(change(services), painter, worker, journal)


@contextmanager
def live(
    change: Callable[[ApiServices], ApiServices] = lambda services: services,
    *,
    data_dir: Path | None = None,
    **given: Any,
) -> Iterator[Live]:
    """A running server; ``change`` may replace some of its services, ``given`` are its flags."""
    server = build(change, data_dir=data_dir, **given)
    services = server.services
    sock = socket.create_server(("127.0.0.1", 0))
    server.address = sock.getsockname()
    server.url = f"http://127.0.0.1:{server.address[1]}"
    app = create_app(services)

    def run() -> None:
        ended = serve(app, sock, services.flags, queue=services.queue, state=services.state)
        server.ended_with.append(ended)

    server.worker.start()
    server.thread = threading.Thread(target=run, daemon=True)
    server.thread.start()
    with httpx.Client(base_url=server.url, timeout=60, verify=False) as client:
        server.client = client
        try:
            yield server
        finally:
            for gate in server.painter.gates.values():
                gate.opened.set()
            services.state.server_command = "stop"
            server.thread.join(60)
            assert not server.thread.is_alive(), "the server did not stop"
            assert server.worker.stop(60)
            services.queue.close_store()
            server.journal.close()


def raw(address: tuple[str, int], request: bytes) -> tuple[int, bytes]:
    """Send bytes over a plain socket; status and body of the answer."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


__all__ = ["FakeCatalogue", "FakePainter", "Gate", "Live", "build", "flags", "live", "raw", "replace"]
