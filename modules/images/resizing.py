"""Fitting a picture into a size: stretched, cropped, or with its edges drawn out.

The sizes and offsets are those of the reference program, to the pixel, so that a picture that is painted
from another one is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from PIL import Image

from modules.errors import InvalidInput

MAX_PIXELS = 256 * 1024 * 1024
"""Largest picture that is made on the way to a size: a sliver that must cover a square would be huge."""

Upscale = Callable[[Image.Image, float], Image.Image]
"""(picture, factor above 1) → a picture of about that many times the size."""

Box = tuple[int, int, int, int]


class ResizeMode(IntEnum):
    """What happens when the proportions differ. Numbers as in the JSON interface."""

    STRETCH = 0
    CROP = 1
    FILL = 2
    LATENT = 3
    """The latent is resized in place of the picture; a picture that must be resized is filled."""


def resize_image(
    mode: int, image: Image.Image, width: int, height: int, upscale: Upscale | None = None
) -> Image.Image:
    """``image`` in the size ``width`` x ``height`` (pixels).

    ``upscale`` enlarges where a side must grow; without it, and for masks (mode "L"), Lanczos does.
    The results of cropping and filling are RGB, that of stretching has the mode of ``image``. Raises
    ``InvalidInput`` for proportions that are too far apart.
    """
    if mode == ResizeMode.STRETCH:
        return _scaled(image, width, height, upscale)
    wider = width / height > image.width / image.height
    cover = mode == ResizeMode.CROP
    by_width = wider if cover else width / height < image.width / image.height
    by_height = not wider if cover else width / height >= image.width / image.height
    inner_width = width if by_width else image.width * height // image.height
    inner_height = height if by_height else image.height * width // image.width
    inner = _scaled(image, inner_width, inner_height, upscale)
    canvas = Image.new("RGB", (width, height))
    left, top = width // 2 - inner_width // 2, height // 2 - inner_height // 2
    canvas.paste(inner, (left, top))
    if not cover:
        _draw_out_edges(canvas, inner, left, top)
    return canvas


def _scaled(image: Image.Image, width: int, height: int, upscale: Upscale | None) -> Image.Image:
    if width * height > MAX_PIXELS:
        raise InvalidInput(
            f"A picture of {image.width} x {image.height} pixels would have to become {width} x {height}; "
            "expected proportions nearer to those of width and height. Stretch it (resize_mode 0) or crop it."
        )
    if upscale is not None and image.mode != "L":
        factor = max(width / image.width, height / image.height)
        if factor > 1:
            image = upscale(image, factor)
        if image.size == (width, height):
            return image
    return image.resize((max(width, 1), max(height, 1)), Image.Resampling.LANCZOS)


def _draw_out_edges(canvas: Image.Image, inner: Image.Image, left: int, top: int) -> None:
    """Fill what ``inner``, pasted at (left, top), leaves free with its outermost rows or columns."""
    width, height = inner.size
    strips: list[tuple[tuple[int, int], Box, tuple[int, int]]] = []
    if top > 0:
        size = (canvas.width, top)
        strips += [
            (size, (0, 0, width, 0), (0, 0)),
            (size, (0, height, width, height), (0, top + height)),
        ]
    elif left > 0:
        size = (left, canvas.height)
        strips += [
            (size, (0, 0, 0, height), (0, 0)),
            (size, (width, 0, width, height), (left + width, 0)),
        ]
    for size, box, place in strips:
        # A box without height or width: the resampling filter then looks at the pixels beside the edge alone.
        canvas.paste(inner.resize(size, box=box), place)


def flatten(image: Image.Image, background: str) -> Image.Image:
    """``image`` as RGB, with ``background`` (a colour such as ``#ffffff``) behind transparent parts."""
    if image.mode == "RGBA":
        canvas = Image.new("RGBA", image.size, background)
        canvas.paste(image, mask=image)
        image = canvas
    return image.convert("RGB")
