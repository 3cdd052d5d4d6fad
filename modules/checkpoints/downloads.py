"""A model file from the network: whole or not at all, continued where it broke off, checked by its hash."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from modules.errors import EaselError

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30
PARTIAL = ".part"

Watch = Callable[[int, "int | None"], None]
"""(bytes so far, bytes in all or None); may raise to break off."""


class DownloadFailed(EaselError):
    """A file could not be fetched. What came is kept and continued at the next try."""

    status = 502


def download(
    url: str, target: Path, sha256: str | None = None, watch: Watch = lambda done, total: None
) -> None:
    """Fetch ``url`` into ``target``; the proxy of the environment is used.

    What was fetched before a break lies in ``target`` + ".part" and is continued from there. A file whose
    SHA-256 is not ``sha256`` is deleted. Raises ``DownloadFailed`` with a sentence.
    """
    partial = target.with_name(target.name + PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, partial, watch)
        _check(url, partial, sha256)
        partial.replace(target)
    except urllib.error.HTTPError as error:
        raise DownloadFailed(
            _sentence(url, target, f"the server answers {error.code} {error.reason}")
        ) from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise DownloadFailed(_sentence(url, target, f"{reason}; {_proxy(url)}")) from None
    except OSError as error:
        raise DownloadFailed(_sentence(url, target, error.strerror or str(error))) from None


def _sentence(url: str, target: Path, why: str) -> str:
    return (
        f"{target.name} could not be downloaded from {url}: {why}. "
        f"Try again, or download it by other means and put it at {target}."
    )


def _proxy(url: str) -> str:
    scheme = urllib.parse.urlsplit(url).scheme
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy:
        return "no proxy is in use"
    parts = urllib.parse.urlsplit(proxy)
    return f"the proxy {parts.hostname or proxy} is in use"


def _fetch(url: str, partial: Path, watch: Watch) -> None:
    """Append what is missing to ``partial``; begin again when the server cannot continue."""
    have = partial.stat().st_size if partial.is_file() else 0
    try:
        response = _ask(url, have)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if _total_of(error.headers) == have:
            return
        have, response = 0, _ask(url, 0)
    with response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with partial.open("ab" if have else "wb") as file:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                have += len(chunk)
                watch(have, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise urllib.error.URLError(f"the connection ended after {have} of {total} bytes")


def _ask(url: str, begin: int) -> Any:
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)


def _total_of(headers: Any) -> int | None:
    total = str(headers.get("Content-Range", "")).rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _check(url: str, partial: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    digest = hashlib.sha256()
    with partial.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        partial.unlink()
        raise DownloadFailed(
            f"What {url} has is not the expected file: its SHA-256 is {digest.hexdigest()}, "
            f"expected {sha256}. "
            "It was deleted; try again, or download the file by other means."
        )
