"""Where a request comes from: no foreign page and no rebound name may act on this server."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from modules.api.replies import Reply, error_object
from modules.errors import Forbidden

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

TUNNELS: Mapping[str, tuple[str, ...]] = {
    "share": (".gradio.live",),
    "ngrok": (".ngrok.io", ".ngrok.app", ".ngrok.dev", ".ngrok-free.app", ".ngrok-free.dev"),
}
"""Flag that opens a tunnel → endings of the public names that then lead here."""


@dataclass(frozen=True)
class OriginRules:
    """Which pages may act, and which names this server answers to.

    ``origins`` and ``origin_pattern`` are those of the CORS flags. ``hosts`` is ``None`` when the
    server is open to the network: its names are then not known to it.
    """

    origins: tuple[str, ...] = ()
    origin_pattern: re.Pattern[str] | None = None
    hosts: tuple[str, ...] | None = None
    host_endings: tuple[str, ...] = ()

    @classmethod
    def from_flags(cls, flags: Any) -> OriginRules:
        """Rules for the command-line ``flags``."""
        origins = split_origins(getattr(flags, "cors_allow_origins", None))
        pattern = getattr(flags, "cors_allow_origins_regex", None)
        server_name = getattr(flags, "server_name", None)
        open_to_network = getattr(flags, "listen", False) or not _is_loopback(server_name)
        hosts = tuple(_host_of(origin) for origin in origins) + (
            (server_name.lower(),) if server_name else ()
        )
        endings = [name for flag, names in TUNNELS.items() if getattr(flags, flag, None) for name in names]
        return cls(
            origins=origins,
            origin_pattern=re.compile(pattern) if pattern else None,
            hosts=None if open_to_network or "*" in origins else hosts,
            host_endings=tuple(endings),
        )

    def allows_origin(self, origin: str, hosts: Sequence[str]) -> bool:
        """Whether a page of ``origin`` may act on a server addressed as one of ``hosts``."""
        if "*" in self.origins or origin in self.origins:
            return True
        if self.origin_pattern is not None and self.origin_pattern.fullmatch(origin):
            return True
        return any(same_place(origin, host) for host in hosts if host)

    def knows_host(self, host: str) -> bool:
        """Whether ``host`` (with or without port) is a name of this server.

        An address in figures cannot be rebound, so it is always fine; a name can, so it must be known.
        """
        name = _host_of(f"//{host}")
        if self.hosts is None or not name or name == "localhost" or name.endswith(".localhost"):
            return True
        if name in self.hosts or name.endswith(self.host_endings or ("\0",)) or _is_address(name):
            return True
        return self.origin_pattern is not None and any(
            self.origin_pattern.fullmatch(f"{scheme}://{host}") for scheme in ("http", "https")
        )


def split_origins(text: str | None) -> tuple[str, ...]:
    """The origins of ``--cors-allow-origins``, which are joined by commas."""
    return tuple(part.strip().rstrip("/") for part in (text or "").split(",") if part.strip())


def same_place(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` was served under ``host``. The scheme may differ: proxies end TLS."""
    try:
        page = urlsplit(origin)
        target = urlsplit(f"{page.scheme}://{host}")
        default = _DEFAULT_PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or default) == (
            target.hostname,
            target.port or default,
        )
    except ValueError:
        return False


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(server_name: str | None) -> bool:
    if not server_name or server_name == "localhost":
        return True
    return _is_address(server_name) and ipaddress.ip_address(server_name).is_loopback


class OriginGuard:
    """Refuses state-changing requests and sockets of foreign pages, and names that are not ours."""

    def __init__(self, app: ASGIApp, rules: OriginRules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        problem = self._problem(scope) if scope["type"] in ("http", "websocket") else None
        if problem is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before the handshake is accepted a close is answered with 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "foreign origin"})
        else:
            await Reply(error_object(Forbidden(problem)), status_code=403)(scope, receive, send)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.rules.knows_host(host):
            return (
                f"This server is not known as {host!r:.100}. Open it by address, or start it with --listen, "
                f"or name the address with --cors-allow-origins."
            )
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is None:
            foreign = headers.get("sec-fetch-site") == "cross-site"
            return "This came from a page of another site." if foreign else None
        # Pages of other sites cannot set X-Forwarded-Host without being asked for permission first.
        if self.rules.allows_origin(origin, (host, headers.get("x-forwarded-host", ""))):
            return None
        return f"Pages of {origin!r:.100} may not act on this server; allow them with --cors-allow-origins."
