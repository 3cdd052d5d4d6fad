"""The index of extensions that can be installed: a JSON file on the web or on disk."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from modules.extensions.repository import ExtensionError, proxy_in_use
from modules.launcher.git import without_password

DEFAULT_INDEX = (
    "https://raw.githubusercontent.com/AUTOMATIC1111/stable-diffusion-webui-extensions/master/index.json"
)
MAX_BYTES = 32 * 2**20


@dataclass(frozen=True)
class IndexEntry:
    """One extension of an index. ``added`` is a date as text."""

    name: str
    url: str
    description: str = ""
    added: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExtensionIndex:
    """``tags`` maps a tag to what it means."""

    tags: Mapping[str, str]
    entries: tuple[IndexEntry, ...]


def index_address(environ: Mapping[str, str]) -> str:
    """The index to use: WEBUI_EXTENSIONS_INDEX, or the public one."""
    return environ.get("WEBUI_EXTENSIONS_INDEX") or DEFAULT_INDEX


def fetch_index(url: str, timeout: float = 20.0) -> ExtensionIndex:
    """Load and read an index. Raises ``ExtensionError``."""
    address = url.strip()
    if urlsplit(address).scheme not in ("http", "https", "file"):
        raise ExtensionError(
            f"{address[:200]!r} is not the address of an index, such as https://host/index.json."
        )
    try:
        with urllib.request.urlopen(address, timeout=timeout) as answer:
            body = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        proxy = proxy_in_use(os.environ)
        used = f"The proxy in use is {without_password(proxy[1])}" if proxy else "No proxy is in use"
        raise ExtensionError(
            f"The index {without_password(address)} cannot be loaded: {reason}. {used}; check it, then retry."
        ) from error
    if len(body) > MAX_BYTES:
        raise ExtensionError(f"The index {without_password(address)} is larger than {MAX_BYTES >> 20} MiB.")
    return read_index(body, without_password(address))


def read_index(text: str | bytes, where: str = "the index") -> ExtensionIndex:
    """Read an index; entries without a name or address are left out. Raises ``ExtensionError``."""
    try:
        data = json.loads(text)
        rows = data["extensions"]
        entries = tuple(entry for row in rows if (entry := _entry(row)) is not None)
        tags = {str(key): str(value) for key, value in dict(data.get("tags") or {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExtensionError(
            f"{where} is not an index of extensions: expected a JSON object with a list called extensions."
        ) from error
    return ExtensionIndex(tags, entries)


def _entry(row: Any) -> IndexEntry | None:
    if (
        not isinstance(row, dict)
        or not isinstance(row.get("name"), str)
        or not isinstance(row.get("url"), str)
    ):
        return None
    tags = row.get("tags")
    return IndexEntry(
        row["name"],
        row["url"],
        str(row.get("description") or ""),
        str(row.get("added") or ""),
        tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
    )
