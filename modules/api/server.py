"""Serving: uvicorn on a socket that is already bound, with an orderly end."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from argparse import Namespace
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from modules.jobs.commands import ServerCommands
from modules.jobs.queue import JobQueue
from modules.jobs.state import State

ANSWER_SECONDS = 2.0
"""Time that a running job gets to come to its end after the server was told to stop."""

STOP_SECONDS = 3
"""Time after which requests that are still open are cut. The whole end takes less than 5."""


class _Server(uvicorn.Server):
    """A server that returns from its run when told to stop, instead of passing on the signal."""

    def __init__(self, config: uvicorn.Config, queue: JobQueue, state: State) -> None:
        super().__init__(config)
        self._queue = queue
        self._state = state
        self.command: str | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGINT and SIGTERM; a second SIGINT stops without waiting for open requests."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGBREAK"):
            wanted.append(signal.SIGBREAK)
        before = {number: signal.signal(number, self._on_signal) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        self.command = self.command or "stop"
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the queue go first, so that requests which wait for it are answered and can end.

        A job that does not obey its interrupt in time is left behind; its thread dies with the process.
        """
        self._queue.close()
        self._state.interrupt()
        deadline = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._queue.abandon)
        try:
            await super().shutdown(sockets)
        finally:
            deadline.cancel()


def serve(
    app: ASGIApp,
    sock: socket.socket,
    flags: Namespace,
    *,
    queue: JobQueue,
    state: State,
    on_start: Callable[[], None] = lambda: None,
) -> str:
    """Serve ``app`` on the listening or bound socket ``sock`` until told to stop.

    Returns why it ended: ``"stop"`` (also after SIGTERM and Ctrl-C), or the word that was left in
    ``state.server_command``: ``"restart"`` for instance. At the end waiting jobs are refused, the
    running one is interrupted, and every open request is answered, all within 5 seconds; stopping the
    workers is left to the caller. ``on_start`` is called just before the first request can be taken.
    The TLS and keep-alive flags are honoured.
    """
    # asyncio does this only for sockets made with an explicit protocol number. Without it each reply, which
    # is written as head and body, waits some 40 ms for the acknowledgement of its head.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(_config(app, flags), queue, state)
    done = threading.Event()
    watch = (server, state.commands, done)
    threading.Thread(target=_obey, args=watch, name="easel-commands", daemon=True).start()
    on_start()
    try:
        server.run(sockets=[sock])
    finally:
        done.set()
    return server.command or "stop"


def _obey(server: _Server, commands: ServerCommands, done: threading.Event) -> None:
    while not done.is_set():
        command = commands.wait(timeout=1.0)
        if command is not None:
            server.command = command
            server.should_exit = True


def _config(app: ASGIApp, flags: Namespace) -> uvicorn.Config:
    options: dict[str, Any] = {}
    if getattr(flags, "tls_certfile", None):
        options["ssl_certfile"] = flags.tls_certfile
        options["ssl_keyfile"] = getattr(flags, "tls_keyfile", None)
    return uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=getattr(flags, "timeout_keep_alive", None) or 30,
        timeout_graceful_shutdown=STOP_SECONDS,
        **options,
    )
