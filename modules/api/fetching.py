"""Pictures at addresses, fetched through a guard.

Whoever can name an address could make this server look into the network behind it. So the address is
resolved once, checked, and connected to as it was checked (a name that resolves differently the second
time gains nothing); each redirect is checked the same way; size, time and redirects are bounded.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from modules.errors import Forbidden, InvalidInput

SECONDS = 20.0
REDIRECTS = 3
MAX_BYTES = 64 * 1024 * 1024
PORTS = {"http": 80, "https": 443}
_MOVED = (301, 302, 303, 307, 308)
_CHUNK = 64 * 1024

Resolver = Callable[[str, int], list[str]]
"""(host, port) → its addresses in figures. Raises ``OSError``."""


def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host, by the system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class PictureFetcher:
    """Fetches pictures for requests. ``forbid_local``: only addresses of the public internet."""

    forbid_local: bool = True
    user_agent: str = ""
    max_bytes: int = MAX_BYTES
    seconds: float = SECONDS
    resolver: Resolver = resolve

    def fetch(self, url: str, field: str) -> bytes:
        """The body behind ``url``.

        Raises ``Forbidden`` for an address that must not be asked, ``InvalidInput`` naming ``field`` when
        nothing usable comes back.
        """
        deadline = time.monotonic() + self.seconds
        for _ in range(REDIRECTS + 1):
            parts, port = _parts(url, field)
            address = self._address(parts.hostname or "", port, field)
            status, location, body = self._ask(parts, port, address, deadline, field)
            if status not in _MOVED or not location:
                if status != 200:
                    raise InvalidInput(f"{field} is an address that answers with status {status}.", field)
                return body
            url = urljoin(url, location)
        raise InvalidInput(f"{field} is an address that redirects more than {REDIRECTS} times.", field)

    def _address(self, host: str, port: int, field: str) -> str:
        try:
            found = self.resolver(host, port)
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise InvalidInput(f"{field} is an address whose host {host!r:.100} is not known.", field)
        if self.forbid_local and not all(is_public(one) for one in found):
            raise Forbidden(
                f"{field} is an address of this machine or of a local network; such are not asked "
                "(setting api_forbid_local_requests)."
            )
        return found[0]

    def _ask(
        self, parts: SplitResult, port: int, address: str, deadline: float, field: str
    ) -> tuple[int, str | None, bytes]:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = _Pinned(parts, port, address, deadline)
        try:
            with _cut_at(deadline, connection):
                headers = {"User-Agent": self.user_agent or "Easel", "Accept": "image/*"}
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                if answer.status != 200:
                    return answer.status, answer.getheader("location"), b""
                body = self._body(answer, field)
                if time.monotonic() >= deadline:
                    raise TimeoutError  # what was cut may look like a whole answer
                return 200, None, body
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise InvalidInput(
                    f"{field} is an address that took longer than {self.seconds:.0f} seconds.", field
                ) from None
            raise InvalidInput(
                f"{field} is an address that cannot be read ({type(error).__name__}: {error!s:.100}).", field
            ) from None
        finally:
            connection.close()

    def _body(self, answer: http.client.HTTPResponse, field: str) -> bytes:
        body = bytearray()
        while chunk := answer.read(_CHUNK):
            body += chunk
            if len(body) > self.max_bytes:
                raise InvalidInput(
                    f"{field} is an address with more than {self.max_bytes} bytes, which is the limit.", field
                )
        return bytes(body)


def is_public(address: str) -> bool:
    """Whether an address in figures belongs to the public internet, also when it is wrapped in another."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
        if parsed in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed.is_global and not parsed.is_multicast


def _parts(url: str, field: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise InvalidInput(f"{field} is {url!r:.100}, which is no address.", field) from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise Forbidden(f"{field} leads to {url!r:.100}; only http and https addresses are asked.")
    if parts.username or parts.password:
        raise Forbidden(f"{field} is an address with a name and password; such are not asked.")
    return parts, port


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked, under the name that it was found by."""

    def __init__(self, parts: SplitResult, port: int, address: str, deadline: float) -> None:
        host = parts.hostname or ""
        super().__init__(host, port, timeout=max(0.01, deadline - time.monotonic()))
        self.plain: socket.socket | None = None
        self._target = (address, port)
        self._name = host if parts.scheme == "https" else None
        if parts.scheme == "https":
            self.default_port = PORTS["https"]

    def connect(self) -> None:
        """Connect to the checked address; with TLS under the name."""
        # ``sock`` is let go when the answer begins, this is not: the deadline must reach it to the end.
        self.plain = self.sock = socket.create_connection(self._target, timeout=self.timeout)
        if self._name is not None:
            context = ssl.create_default_context()
            self.plain = self.sock = context.wrap_socket(self.sock, server_hostname=self._name)


@contextlib.contextmanager
def _cut_at(deadline: float, connection: _Pinned) -> Iterator[None]:
    """End the connection at ``deadline``, also when the other side sends one byte now and then."""

    def cut() -> None:
        if connection.plain is not None:
            with contextlib.suppress(OSError):
                connection.plain.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
