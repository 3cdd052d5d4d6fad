"""The text of a picture inside an EXIF block (EXIF 2.32, tag 0x9286 UserComment).

JPEG, WebP and AVIF have no text chunks as PNG has. The comment starts with eight bytes that name
its encoding; programs of this field write UNICODE and big-endian UTF-16.
"""

from __future__ import annotations

import logging
import struct
from typing import Any

from PIL import Image

_log = logging.getLogger(__name__)

_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_LONG, _UNDEFINED = 4, 7
# A JPEG segment holds 65,533 bytes, of which the signature and the two directories take some.
LARGEST_JPEG_EXIF = 65_533


def build_exif(text: str) -> bytes:
    """An EXIF block that holds nothing but ``text`` as the comment, with its ``Exif`` signature.

    Layout (big endian): header of 8 bytes; directory 0 at 8 with one entry that points to the
    EXIF directory at 26, whose one entry points to the comment at 44.
    """
    comment = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    header = struct.pack(">2sHI", b"MM", 42, 8)
    first = struct.pack(">HHHIII", 1, _EXIF_IFD, _LONG, 1, 26, 0)
    second = struct.pack(">HHHIII", 1, _USER_COMMENT, _UNDEFINED, len(comment), 44, 0)
    return b"Exif\0\0" + header + first + second + comment


def read_exif_comment(block: Any) -> str | None:
    """The comment of an EXIF block, or None when there is none or the block is damaged."""
    if not isinstance(block, bytes):
        return None
    exif = Image.Exif()
    try:
        exif.load(block)
        comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error) as error:
        _log.warning("The EXIF block of a picture is damaged and was skipped: %s", error)
        return None
    return decode_comment(comment)


def decode_comment(comment: Any) -> str | None:
    """The text of a UserComment value; None when it is empty."""
    if isinstance(comment, str):
        return comment or None
    if not isinstance(comment, bytes):
        return None
    code, body = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        text = _decode_utf16(body)
    elif code == b"ASCII\0\0\0":
        text = body.decode("latin-1")
    elif code == b"JIS\0\0\0\0\0":
        text = body.decode("shift_jis", "replace")
    else:
        text = (body if code == bytes(8) else comment).decode("utf-8", "ignore")
    return text.rstrip("\0") or None


def _decode_utf16(body: bytes) -> str:
    """UTF-16 of either byte order: the standard ties it to the header, some programs do not."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", "replace")
    # Generation text holds mostly characters below 256, so the zero bytes tell the order.
    little = body[1::2].count(0) > body[0::2].count(0)
    return body.decode("utf-16-le" if little else "utf-16-be", "replace")
