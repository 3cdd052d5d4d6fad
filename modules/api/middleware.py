"""What every request passes: a clock, a log line, and a limit on the size of its body."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.api.replies import Reply, error_object
from modules.errors import EaselError

_log = logging.getLogger("easel.api")

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Largest body that is taken, unless the services say otherwise."""


class BodyTooLarge(EaselError):
    """The body of a request is over the limit."""

    status = 413


class BodyLimit:
    """Refuses bodies over ``limit`` bytes: by the announced length before a byte is read, else on the way."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413 and close the connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > self.limit:
            await self._refuse(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, self._counted(receive), watch)
        except BodyTooLarge:
            if started:
                raise
            await self._refuse(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit:
                raise self._error()
            return message

        return counted

    def _error(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self.limit} bytes, which is the limit of this server.")

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = Reply(error_object(self._error()), status_code=413, headers={"connection": "close"})
        await reply(scope, receive, send)


class Clock:
    """Adds ``X-Process-Time`` (seconds until the reply began) and writes the log of ``--api-log``."""

    def __init__(self, app: ASGIApp, log_requests: bool) -> None:
        self.app = app
        self.log_requests = log_requests
        if log_requests:
            # Who asks for the lines wants them whatever the level of other messages is.
            _log.setLevel(logging.INFO)
            if not _log.hasHandlers():
                _log.addHandler(logging.StreamHandler(sys.stdout))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def timed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                MutableHeaders(scope=message)["X-Process-Time"] = str(round(seconds, 4))
                if self.log_requests and "/sdapi" in scope["path"]:
                    client = (scope.get("client") or ("?",))[0]
                    line = "API %s %s %s %s %.4f s"
                    _log.info(
                        line, message["status"], scope["method"], _one_line(scope["path"]), client, seconds
                    )
            await send(message)

        await self.app(scope, receive, timed)


class Subpath:
    """Serves the application below ``prefix``, behind proxies that strip it and behind those that do not."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the application where it is, and pass the request on."""
        if scope["type"] in ("http", "websocket"):
            scope["root_path"] = self.prefix
        await self.app(scope, receive, send)


def _one_line(path: str) -> str:
    """A path that cannot forge a second line of the log."""
    return path[:200].encode("unicode_escape").decode("ascii")
