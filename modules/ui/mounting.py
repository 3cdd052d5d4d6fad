"""Puts a page on a running web application.

The application answers API requests before the page is built, so nothing here relies on start-up
events, which have passed by then: the page starts itself with its first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.ui.assets import MEDIA_TYPES, ROOT, FixedContent, PageAssets
from modules.ui.gradio_setup import create_theme, load_gradio

Credentials = Sequence[tuple[str, str]]


class LastMount(Mount):
    """A mount that yields to every other route, also to those added after it.

    A mount at ``/`` matches everything, so routes that extensions add later would never be reached;
    routers take a partial match only when no route matches fully.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As for any mount, but never as a full match."""
        match, child_scope = super().matches(scope)
        return (Match.PARTIAL if match is Match.FULL else match), child_scope


class PageFiles(Mount):
    """The files of a page; its own class so that the next page takes its place."""


class PageScript(Route):
    """One replaced script of a page."""


GRACE_SECONDS = 60
"""How long a page that was replaced goes on, for the answers that are still under way."""


class PageApp:
    """A Gradio application that starts when it is first asked for something."""

    def __init__(self, gradio_app: Any) -> None:
        self.gradio_app = gradio_app
        self._life: asyncio.Task[None] | None = None
        self._ready: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, after the start."""
        if self._ready is None or self._life is None:
            self._ready = asyncio.Event()
            self._life = asyncio.create_task(self._live(self._ready), name="page")
        await self._ready.wait()
        if self._life.done():
            self._life.result()
        await self.gradio_app(scope, receive, send)

    def end(self) -> None:
        """End the background tasks after a grace period. May be called from any thread."""
        if self._life is not None:
            loop, life = self._life.get_loop(), self._life
            loop.call_soon_threadsafe(lambda: loop.call_later(GRACE_SECONDS, life.cancel))

    async def _live(self, ready: asyncio.Event) -> None:
        """From the start of Gradio's background tasks until the server's loop cancels this one."""
        try:
            async with self.gradio_app.router.lifespan_context(self.gradio_app):
                blocks = self.gradio_app.get_blocks()
                blocks.run_startup_events()
                await blocks.run_extra_startup_events()
                ready.set()
                await asyncio.Event().wait()
        finally:
            ready.set()


class HeadMiddleware:
    """Writes our tags into the head of the page.

    Gradio inserts scripts of its own ``head`` argument after ``DOMContentLoaded`` and rewrites style
    sheets; start-up listeners of extensions need plain tags in the HTML that the server sends.
    """

    def __init__(self, app: ASGIApp, tags: Callable[[], str]) -> None:
        self.app = app
        self.tags = tags

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; only the page itself is edited."""
        is_page = scope["type"] == "http" and _path_below(scope) in ("", "/")
        await self.app(scope, receive, _HeadInserter(send, self.tags()) if is_page else send)


class _HeadInserter:
    """Collects an HTML answer and sends it with ``tags`` before the end of its head."""

    def __init__(self, send: Send, tags: str) -> None:
        self.send = send
        self.tags = tags.encode()
        self.start: Message | None = None
        self.body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self.start = message
        elif self.start is None or message["type"] != "http.response.body":
            await self.send(message)
        else:
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self.start)

    async def _finish(self, start: Message) -> None:
        body = bytes(self.body).replace(b"</head>", self.tags + b"</head>", 1)
        headers = [pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"etag")]
        headers += [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-cache")]
        await self.send({**start, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _path_below(scope: Scope) -> str:
    """The path of a request relative to where its application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _is_html(message: Message) -> bool:
    kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return any(value.startswith(b"text/html") for value in kinds)


def mount_page(
    app: FastAPI,
    page: Any,
    *,
    path: str = "/",
    auth: Credentials | Callable[[str, str], bool] | None = None,
    allowed_paths: Sequence[Path] = (),
    root_path: str | None = None,
    assets: PageAssets | None = None,
    replaced: Mapping[str, bytes] = MappingProxyType({}),
) -> FastAPI:
    """Serve ``page`` (from ``create_page``) below ``path``; may be called while ``app`` is serving.

    ``auth``: pairs of name and password, or a function that checks them; it guards the page, not
    other routes of ``app``. ``allowed_paths``: folders whose files the gallery may show; they are
    served in place, without a copy. ``replaced``: content of Gradio's script files, by name, that is
    served instead of theirs. Replaces the page of ``mount_waiting_page``.
    """
    assets = assets or PageAssets.of()
    folders = [str(Path(folder).resolve()) for folder in allowed_paths]
    gradio_app = _gradio_app(
        app, page, path=path, auth=_credentials(auth), allowed_paths=folders, root_path=root_path
    )
    # The end of the list is the innermost place: Gradio's compression comes after us.
    gradio_app.user_middleware.append(Middleware(HeadMiddleware, tags=assets.head_html))
    prefix = path.rstrip("/")
    earlier = [route for route in app.router.routes if _belongs_to_page(route, prefix)]
    routes = [route for route in app.router.routes if route not in earlier]
    files: ASGIApp = assets
    routes.append(PageFiles(f"{prefix}/{assets.prefix}", app=files))
    for name, content in replaced.items():
        script = FixedContent(content, MEDIA_TYPES[".js"])
        routes.append(PageScript(f"{prefix}/assets/{name}", script, methods=["GET", "HEAD"]))
    routes.append(LastMount(prefix, app=PageApp(gradio_app)))
    app.router.routes[:] = routes
    for route in earlier:
        if isinstance(route, LastMount) and isinstance(route.app, PageApp):
            route.app.end()
    return app


def _belongs_to_page(route: Any, prefix: str) -> bool:
    """Whether a route was made by an earlier call for the same path."""
    if isinstance(route, (PageFiles, PageScript)):
        return route.path.startswith(f"{prefix}/")
    return isinstance(route, LastMount) and route.path == prefix


def _credentials(auth: Credentials | Callable[[str, str], bool] | None) -> Any:
    return auth if auth is None or callable(auth) else [tuple(pair) for pair in auth]


def _gradio_app(app: FastAPI, page: Any, *, allowed_paths: list[str], **options: Any) -> Any:
    """Gradio's application for the page, not yet mounted: a stand-in takes its mount and start-up hook."""
    gr = load_gradio()
    if allowed_paths:
        gr.set_static_paths(allowed_paths)
    stand_in = FastAPI()
    stand_in.user_middleware = app.user_middleware
    gr.mount_gradio_app(
        stand_in,
        page,
        allowed_paths=allowed_paths,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        mcp_server=False,
        show_error=True,
        theme=create_theme(),
        **options,
    )
    return stand_in.router.routes[-1].app  # type: ignore[attr-defined]


def mount_waiting_page(app: FastAPI, *, path: str = "/") -> FastAPI:
    """Answer with a page that says "starting" and looks again every second, until ``mount_page``."""
    text = (ROOT / "html" / "starting.html").read_text(encoding="utf-8")
    headers = {"Cache-Control": "no-store", "Retry-After": "1"}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = _path_below(scope) in ("", "/")
        response: Response = PlainTextResponse("Not found", status_code=404)
        if is_page:
            response = HTMLResponse(text, status_code=503, headers=headers)
        await response(scope, receive, send)

    app.router.routes.append(LastMount(path.rstrip("/"), app=answer))
    return app
