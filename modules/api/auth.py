"""Who may use the interface: HTTP basic with the pairs of ``--api-auth``."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence

from fastapi import Request

from modules.api.clients import Backoff, address_of
from modules.errors import EaselError, InvalidInput

_USER = "easel.user"
"""Key of the request's scope under which the guard leaves the name."""


class NotAuthorized(EaselError):
    """Name or password are missing or wrong."""

    status = 401


def parse_pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    """``user:password`` pairs joined by commas, as the flag takes them. None and empty: no pairs."""
    pairs = []
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, colon, password = part.partition(":")
        if not colon:
            raise InvalidInput("--api-auth holds an entry without a colon; expected user:password pairs.")
        pairs.append((name.strip(), password))
    return tuple(pairs)


def basic_guard(
    pairs: Sequence[tuple[str, str]], backoff: Backoff | None = None
) -> Callable[[Request], None]:
    """A check that raises ``NotAuthorized`` unless the request names one of ``pairs``.

    Every pair is compared, in time that does not depend on where they differ, so that an answer
    tells nothing about how close a guess came. Who guesses wrong has to wait longer and longer
    (``TooManyRequests``).
    """
    backoff = backoff or Backoff()
    known = [(name.encode(), password.encode()) for name, password in pairs]

    def check(request: Request) -> None:
        if not known:
            return
        given = _credentials(request.headers.get("authorization", ""))
        if given is None:
            raise NotAuthorized("Send a name and password by HTTP basic; the server runs with --api-auth.")
        client = address_of(request.scope)
        backoff.check(client)
        right = False
        for name, password in known:
            same_name = hmac.compare_digest(name, given[0])
            same_password = hmac.compare_digest(password, given[1])
            right |= same_name and same_password
        if not right:
            backoff.failed(client)
            raise NotAuthorized("Incorrect username or password.")
        backoff.succeeded(client)
        request.scope[_USER] = given[0].decode("utf-8", "replace")

    return check


def user_of(request: Request) -> str | None:
    """The name that the request proved, ``None`` without passwords."""
    return request.scope.get(_USER)


def _credentials(header: str) -> tuple[bytes, bytes] | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None
