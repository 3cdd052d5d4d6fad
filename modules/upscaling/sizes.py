"""How large a picture becomes: a model's own factor is fixed, what users ask for is not."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

MAX_PASSES = 3
"""Passes of a model over its own result, before Lanczos does the rest."""

MULTIPLE = 8

MAX_PIXELS = 400_000_000
"""Largest result in pixels; a larger one would not fit into the memory of most machines."""


def target_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Size after scaling, rounded down to multiples of 8, and at least 8.

    >>> target_size(100, 64, 1.5)
    (144, 96)
    """
    return (
        max(int(width * scale // MULTIPLE * MULTIPLE), MULTIPLE),
        max(int(height * scale // MULTIPLE * MULTIPLE), MULTIPLE),
    )


def scale_to(image: Image.Image, scale: float, enlarge: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """``image`` made larger ``scale`` times: ``enlarge`` until it is large enough, then Lanczos to size.

    A scale of 1 runs the model once too, and brings the result back to size. A model that does not
    change the size runs once.
    """
    width, height = target_size(image.width, image.height, scale)
    for number in range(MAX_PASSES):
        large_enough = image.width >= width and image.height >= height
        if large_enough and (number > 0 or scale != 1):
            break
        before = image.size
        image = enlarge(image)
        if image.size == before:
            break
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return image
