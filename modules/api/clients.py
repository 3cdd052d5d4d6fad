"""Who asks: the name or address by which clients share the workers, and how often they may try."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.api.replies import error_reply
from modules.errors import EaselError

REMEMBERED = 10_000
"""Clients that are remembered; of more, those seen longest ago are forgotten."""

FREE_TRIES = 5
"""Wrong passwords in a row before a client has to wait."""

LONGEST_WAIT = 60.0


class TooManyRequests(EaselError):
    """The client has to wait a while."""

    status = 429

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(max(1, round(seconds + 0.5)))}


def address_of(scope: Mapping[str, Any]) -> str:
    """The address of a client; of IPv6 the network, because one customer has all the addresses in it."""
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


@dataclass
class _Tries:
    failures: int = 0
    blocked_until: float = 0.0


class Backoff:
    """Makes guessing passwords slow: after a few wrong ones each costs twice the wait of the one before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, _Tries] = OrderedDict()

    def check(self, client: str) -> None:
        """Raise ``TooManyRequests`` while ``client`` has to wait. Right passwords wait as well."""
        with self._lock:
            tries = self._clients.get(client)
            left = tries.blocked_until - self._clock() if tries else 0.0
        if left > 0:
            raise TooManyRequests(
                f"Too many wrong passwords came from {client}; try again in {left:.0f} seconds.", left
            )

    def failed(self, client: str) -> None:
        """A wrong password came."""
        with self._lock:
            tries = self._clients.setdefault(client, _Tries())
            self._clients.move_to_end(client)
            tries.failures += 1
            if tries.failures >= FREE_TRIES:
                wait = min(LONGEST_WAIT, 2.0 ** min(tries.failures - FREE_TRIES, 16))
                tries.blocked_until = self._clock() + wait
            while len(self._clients) > REMEMBERED:
                self._clients.popitem(last=False)

    def succeeded(self, client: str) -> None:
        """A right password came: what was wrong before is forgiven."""
        with self._lock:
            self._clients.pop(client, None)


class LoginGuard:
    """The same back-off for the login of the page, which is not ours: counts its refusals."""

    def __init__(self, app: ASGIApp, backoff: Backoff) -> None:
        self.app = app
        self.backoff = backoff

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        is_login = scope["type"] == "http" and scope["method"] == "POST" and _is_login(scope["path"])
        if not is_login:
            await self.app(scope, receive, send)
            return
        client = address_of(scope)
        try:
            self.backoff.check(client)
        except TooManyRequests as error:
            await error_reply(error)(scope, receive, send)
            return

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                outcome = self.backoff.failed if message["status"] in (400, 401) else self.backoff.succeeded
                outcome(client)
            await send(message)

        await self.app(scope, receive, watch)


def _is_login(path: str) -> bool:
    return path.rstrip("/").endswith("/login")


class RateLimit:
    """At most ``per_minute`` calls of the interface by one client; up to a minute's worth at once."""

    def __init__(self, app: ASGIApp, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._rate = per_minute / 60.0
        self._most = float(per_minute)
        self._clock = clock
        # Client → (calls left, as of when).
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        if scope["type"] != "http" or not _is_interface(scope["path"]):
            await self.app(scope, receive, send)
            return
        wait = self._take(address_of(scope))
        if wait <= 0:
            await self.app(scope, receive, send)
            return
        error = TooManyRequests(f"This server takes {self._most:.0f} calls a minute of one client.", wait)
        await error_reply(error)(scope, receive, send)

    def _take(self, client: str) -> float:
        """Take one call. Returns 0, or the seconds until there is one."""
        now = self._clock()
        left, then = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._left[client] = (left - 1 if wait == 0 else left, now)
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return wait


def _is_interface(path: str) -> bool:
    return "/sdapi/" in path or "/easel/v1/" in path
