"""Steps that prepare pictures for training: splitting, crops, flips, captions."""

from __future__ import annotations

import math
from collections.abc import Iterator

from PIL import Image, ImageOps

from modules.errors import InvalidInput
from modules.postprocessing.picture import PostprocessedImage
from modules.postprocessing.steps import Bench, Values

SPLIT_DEFAULTS: Values = {"enable": False, "split_threshold": 0.5, "overlap_ratio": 0.2}
AUTOSIZED_DEFAULTS: Values = {
    "enable": False,
    "mindim": 384,
    "maxdim": 768,
    "minarea": 64 * 64,
    "maxarea": 640 * 640,
    "objective": "Maximize area",
    "threshold": 0.1,
}
FLIP_DEFAULTS: Values = {"enable": False, "option": ("Horizontal",)}
CAPTION_DEFAULTS: Values = {"enable": False, "option": ("Deepbooru",)}

SIZE_STEP = 64


def split_oversized(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Cut a picture that is much longer than the wanted shape into overlapping pieces of that shape."""
    width, height = pp.shared.target_width, pp.shared.target_height
    if not values["enable"] or not width or not height:
        return
    upright = pp.image.height > pp.image.width
    ratio = pp.image.width * height / (pp.image.height * width)
    if not upright:
        ratio = 1 / ratio
    if ratio >= 1.0 or ratio > float(values["split_threshold"]):
        return
    first, *others = _pieces(pp.image, (width, height), upright, float(values["overlap_ratio"]))
    pp.image = first
    pp.extra_images = [pp.create_copy(piece) for piece in others]


def _pieces(
    image: Image.Image, size: tuple[int, int], upright: bool, overlap: float
) -> Iterator[Image.Image]:
    """Pieces of ``size``, from the top down, or from left to right when not ``upright``."""
    width, height = size
    long, piece = (
        (image.height * width // image.width, height)
        if upright
        else (image.width * height // image.height, width)
    )
    resized = image.resize((width, long) if upright else (long, height), Image.Resampling.LANCZOS)
    count = max(1, math.ceil((long - piece * overlap) / (piece * (1.0 - overlap))))
    stride = (long - piece) / (count - 1) if count > 1 else 0
    for index in range(count):
        start = int(stride * index)
        box = (0, start, width, start + piece) if upright else (start, 0, start + piece, height)
        yield resized.crop(box)


def autosized_crop(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Crop to the best of the allowed sizes; a picture that none of them fits stays as it is."""
    if not values["enable"]:
        return
    size = best_size(pp.image.size, values)
    if size is not None:
        pp.image = ImageOps.fit(pp.image, size, Image.Resampling.LANCZOS)


def best_size(size: tuple[int, int], values: Values) -> tuple[int, int] | None:
    """The allowed size of largest area, or with "Minimize error" of the most similar shape, else None."""
    shape = size[0] / size[1]

    def error(width: int, height: int) -> float:
        ratio = shape / (width / height)
        return 1 - min(ratio, 1 / ratio)

    sides = range(int(values["mindim"]), int(values["maxdim"]) + 1, SIZE_STEP)
    allowed = [
        (width, height)
        for width in sides
        for height in sides
        if values["minarea"] <= width * height <= values["maxarea"]
        and error(width, height) <= values["threshold"]
    ]
    if values["objective"] == "Maximize area":
        return max(allowed, key=lambda one: (one[0] * one[1], -error(*one)), default=None)
    return max(allowed, key=lambda one: (-error(*one), one[0] * one[1]), default=None)


def flipped_copies(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Add mirrored copies."""
    if not values["enable"]:
        return
    chosen = values["option"]
    if "Horizontal" in chosen:
        pp.extra_images.append(ImageOps.mirror(pp.image))
    if "Vertical" in chosen:
        pp.extra_images.append(ImageOps.flip(pp.image))
    if "Both" in chosen:
        pp.extra_images.append(ImageOps.flip(ImageOps.mirror(pp.image)))


def check_caption(values: Values, bench: Bench) -> None:
    """Raise for a kind of caption that nothing here can write."""
    for kind in values["option"] if values["enable"] else ():
        if kind not in bench.captioners:
            raise InvalidInput(
                f"Captions by {kind} need an interrogation model, which this version of Easel cannot run; "
                "switch the step Caption off.",
                "option",
            )


def caption(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Write a caption for the picture."""
    if not values["enable"]:
        return
    captions = [bench.captioners[kind](pp.image.convert("RGB")) for kind in values["option"]]
    pp.caption = ", ".join([pp.caption, *captions] if pp.caption else captions)
