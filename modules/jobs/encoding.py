"""A finished picture as the file that goes to a client."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from modules.errors import InvalidInput
from modules.images.formats import FORMATS
from modules.images.metadata import PARAMETERS

if TYPE_CHECKING:
    from PIL.Image import Image

SENT_FORMATS = ("png", "jpg", "jpeg", "webp", "avif")
"""Values of ``samples_format`` in which pictures can be sent."""


def encode_picture(image: Image, infotext: str | None, settings: Any) -> bytes:
    """The file that goes to a client: in the format of ``samples_format``, with the text inside.

    Raises ``InvalidInput`` for a format that clients do not take.
    """
    name = str(settings.samples_format).strip().lower()
    if name not in SENT_FORMATS:
        raise InvalidInput(
            f"The setting samples_format is {name!r:.60}; pictures are sent as {', '.join(SENT_FORMATS)}."
        )
    text = infotext if settings.enable_pnginfo else None
    buffer = io.BytesIO()
    FORMATS[name].encode(image, buffer, settings, {PARAMETERS: text} if text else {}, text)
    return buffer.getvalue()
