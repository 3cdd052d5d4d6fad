"""The text that describes a picture, as it is stored in the picture's file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from PIL import Image, PngImagePlugin

from modules.images.exif import read_exif_comment

PARAMETERS = "parameters"

# Entries that describe the encoding and say nothing about the picture.
IGNORED_KEYS = frozenset(
    {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "exif", "loop", "background"}
    | {"timestamp", "duration", "progressive", "progression", "icc_profile", "chromaticity", "photoshop"}
)

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def read_info(
    image: Image.Image, sampler_names: Mapping[str, str] | None = None
) -> tuple[str | None, dict[str, Any]]:
    """The generation text of an opened picture, and its remaining metadata.

    ``sampler_names`` maps lower-case names and aliases to names of samplers; it is used for
    pictures of NovelAI only. The text is None when the picture has none. Both results come from
    an untrusted file: show them as text, never as HTML.
    """
    items: dict[str, Any] = {str(key): value for key, value in (image.info or {}).items()}
    infotext = _text(items.pop(PARAMETERS, None))
    comment = read_exif_comment(items.get("exif"))
    if comment:
        infotext = comment
    elif "exif" not in items and infotext is None:
        infotext = _text(items.get("comment"))
    for key in IGNORED_KEYS:
        items.pop(key, None)
    if items.get("Software") == "NovelAI":
        infotext = _novelai(items, image.size, sampler_names or {}) or infotext
    return infotext, items


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "ignore")
    return value if isinstance(value, str) else None


def _novelai(items: Mapping[str, Any], size: tuple[int, int], sampler_names: Mapping[str, str]) -> str | None:
    """The metadata of a NovelAI picture as generation text; None when its JSON is not as expected."""
    try:
        comment = json.loads(items["Comment"])
        sampler = sampler_names.get(str(comment["sampler"]).lower(), "Euler a")
        return (
            f"{items['Description']}\n"
            f"Negative prompt: {comment['uc']}\n"
            f"Steps: {comment['steps']}, Sampler: {sampler}, CFG scale: {comment['scale']}, "
            f"Seed: {comment['seed']}, Size: {size[0]}x{size[1]}, Clip skip: 2, ENSD: 31337"
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def storable(text: str) -> str:
    """``text`` without characters that a file cannot hold: NUL and lone surrogates become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def png_text(texts: Mapping[str, Any]) -> PngImagePlugin.PngInfo:
    """Text chunks of a PNG: Latin-1 chunks where possible, else UTF-8 ones (PNG 11.3.4)."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        # A keyword is 1 to 79 bytes of Latin-1; a foreign one that is not cannot be stored.
        if key and len(key) < 80 and key.isprintable() and key.isascii():
            chunks.add_text(key, storable(str(value)))
    return chunks
