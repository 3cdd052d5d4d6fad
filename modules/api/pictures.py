"""Pictures on the wire: base64 in both directions, with a look at the size before any pixel is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageOps

from modules.errors import Forbidden, InvalidInput
from modules.images.conversion import eight_bit
from modules.jobs.encoding import SENT_FORMATS, encode_picture

__all__ = ["SENT_FORMATS", "encode_picture"]

MAX_PIXELS = 200_000_000
"""Largest picture that is taken in."""

READABLE = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Formats that are taken in. Pillow knows more, some of which run foreign programs."""

PREVIEW_FORMATS = {"png": "PNG", "jpeg": "JPEG", "jpg": "JPEG", "webp": "WEBP"}
"""Value of ``live_previews_image_format`` → format of Pillow."""

ImageEncoder = Callable[[Image.Image, "str | None", Any], bytes]
"""(picture, infotext, settings) → file in the format of ``samples_format``, infotext inside."""


def to_base64(data: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def open_picture(text: str, field: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture in base64 ``text`` or data URL. Its pixels are not decoded yet.

    Raises ``InvalidInput`` naming ``field`` for what is no picture or too large a one, ``Forbidden``
    for an address of a picture elsewhere.
    """
    if is_address(text):
        raise Forbidden(f"{field} is an address; pictures are not fetched from addresses. Send base64.")
    data = _bytes_of(text, field)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_readable())
    except Image.DecompressionBombError:
        raise InvalidInput(f"{field} has more than {max_pixels} pixels, which is the limit.", field) from None
    except Exception as error:
        # Decoders of damaged files raise almost anything.
        raise InvalidInput(
            f"{field} is not a readable picture ({type(error).__name__}); "
            f"expected one of {', '.join(READABLE)}.",
            field,
        ) from None
    if image.width * image.height > max_pixels:
        raise InvalidInput(
            f"{field} is {image.width} × {image.height}; expected at most {max_pixels} pixels.", field
        )
    return image


def is_address(text: str) -> bool:
    """Whether ``text`` names a picture elsewhere instead of holding one."""
    return re.match(r"\s*[a-z][a-z0-9+.-]{1,20}://", text, re.IGNORECASE) is not None


def load_picture(text: str, field: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture in base64 ``text`` or data URL, decoded: upright, 8 bits a channel, "L", "RGB" or "RGBA".

    Raises what ``open_picture`` raises, and ``InvalidInput`` for a file that ends early.
    """
    image = open_picture(text, field, max_pixels)
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except Exception as error:
        raise InvalidInput(
            f"{field} is a damaged picture ({type(error).__name__}); save it anew with another program.",
            field,
        ) from None
    return eight_bit(image)


def _readable() -> list[str]:
    Image.init()
    return [name for name in READABLE if name in Image.OPEN]


def _bytes_of(text: str, field: str) -> bytes:
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidInput(f"{field} begins like a data URL but is not data:image/...;base64,....", field)
    try:
        return base64.b64decode(re.sub(r"\s+", "", text), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{field} is not base64.", field) from None


def preview_url(image: Image.Image, format_name: str) -> str:
    """The picture as a data URL in the format that the setting names, PNG for unknown ones."""
    name = format_name.lower() if format_name.lower() in PREVIEW_FORMATS else "png"
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": 80} if name != "png" else {"compress_level": 1}
    ready = image if name == "png" or image.mode == "RGB" else image.convert("RGB")
    ready.save(buffer, PREVIEW_FORMATS[name], **options)
    return f"data:image/{name};base64,{to_base64(buffer.getvalue())}"


class EncodedOnce:
    """Remembers the encoded form of the last picture in each format, for the many who ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, tuple[Image.Image, str]] = {}

    def get(self, image: Image.Image, form: str, encode: Callable[[Image.Image], str]) -> str:
        """``encode(image)``, or what it gave for this very picture before."""
        with self._lock:
            made = self._made.get(form)
            if made is None or made[0] is not image:
                made = self._made[form] = (image, encode(image))
            return made[1]
