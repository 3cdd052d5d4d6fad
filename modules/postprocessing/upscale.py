"""The step "Upscale": one or two upscalers, by a factor or to a size, cropped to fit."""

from __future__ import annotations

from typing import Any

from PIL import Image

from modules.errors import InvalidInput
from modules.postprocessing.cache import fingerprint
from modules.postprocessing.picture import PostprocessedImage
from modules.postprocessing.steps import Bench, Values
from modules.upscaling.sizes import MAX_PIXELS

BY_FACTOR, TO_SIZE = 0, 1
"""Values of ``upscale_mode``."""

DEFAULTS: Values = {
    "upscale_enabled": True,
    "upscale_mode": BY_FACTOR,
    "upscale_by": 4.0,
    "max_side_length": 0,
    "upscale_to_width": 512,
    "upscale_to_height": 512,
    "upscale_crop": True,
    "upscaler_1_name": "None",
    "upscaler_2_name": "None",
    "upscaler_2_visibility": 0.0,
}


def _chosen(name: Any) -> str | None:
    return None if name in (None, "", "None") else str(name)


def check(values: Values, bench: Bench) -> None:
    """Raise ``InvalidInput`` or ``NotFound`` for values that cannot be."""
    if not values["upscale_enabled"]:
        return
    for key in ("upscaler_1_name", "upscaler_2_name"):
        name = _chosen(values[key])
        if name is not None:
            bench.upscalers.find(name)
    if values["upscale_mode"] == TO_SIZE:
        width, height = values["upscale_to_width"], values["upscale_to_height"]
        if width < 1 or height < 1 or width * height > MAX_PIXELS:
            raise InvalidInput(
                f"The size {width} × {height} is not possible; expected at least 1 × 1 and at most "
                f"{MAX_PIXELS // 1_000_000} million pixels.",
                "upscaling_resize_w",
            )
    elif not values["upscale_by"] > 0:
        raise InvalidInput(f"The factor is {values['upscale_by']}; expected more than 0.", "upscaling_resize")


def announce_size(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Tell the other steps which size is wanted."""
    if values["upscale_mode"] == TO_SIZE:
        size = int(values["upscale_to_width"]), int(values["upscale_to_height"])
    else:
        by = values["upscale_by"]
        size = limited_size(
            int(pp.image.width * by), int(pp.image.height * by), int(values["max_side_length"])
        )
    pp.shared.target_width, pp.shared.target_height = size


def limited_size(width: float, height: float, limit: int) -> tuple[int, int]:
    """The size with its longer side cut to ``limit``, in proportion; 0 is no limit."""
    longest = max(width, height)
    if not limit or longest <= limit:
        return int(width), int(height)
    if width >= height:
        return limit, int(limit / width * height)
    return int(limit / height * width), limit


def process(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Upscale, and mix in a second upscaler's result."""
    first = _chosen(values["upscaler_1_name"])
    if not values["upscale_enabled"] or first is None:
        return
    source = pp.image
    result = _upscaled(source, first, pp.info, values, bench)
    pp.info["Postprocess upscaler"] = first
    second, visibility = _chosen(values["upscaler_2_name"]), float(values["upscaler_2_visibility"])
    if second is not None and visibility > 0:
        other = _upscaled(source, second, pp.info, values, bench)
        if other.mode != result.mode:
            other = other.convert(result.mode)
        result = Image.blend(result, other, visibility)
        pp.info["Postprocess upscaler 2"] = second
    pp.image = result


def _upscaled(
    image: Image.Image, name: str, info: dict[str, Any], values: Values, bench: Bench
) -> Image.Image:
    """``image`` through one upscaler, at the size of the values; writes the entries of the text."""
    by, limit = float(values["upscale_by"]), int(values["max_side_length"])
    crop: tuple[int, int] | None = None
    if values["upscale_mode"] == TO_SIZE:
        size = int(values["upscale_to_width"]), int(values["upscale_to_height"])
        by = max(size[0] / image.width, size[1] / image.height)
        info["Postprocess upscale to"] = f"{size[0]}x{size[1]}"
        crop = size if values["upscale_crop"] else None
    else:
        info["Postprocess upscale by"] = by
        if limit and max(image.size) * by > limit:
            width, height = limited_size(image.width * by, image.height * by, limit)
            by = max(width / image.width, height / image.height)
            info["Max side length"] = limit
    result = _cached(image, name, by, bench)
    if crop is not None:
        result = _cropped(result, crop)
        info["Postprocess crop to"] = f"{crop[0]}x{crop[1]}"
    return result


def _cached(image: Image.Image, name: str, by: float, bench: Bench) -> Image.Image:
    limit = int(bench.settings.upscaling_max_images_in_cache)
    family = bench.upscalers.find(name).family
    tiles = (bench.settings[family.tile], bench.settings[family.overlap]) if family else ()
    key = (fingerprint(image), name, by, tiles) if limit > 0 else None
    kept = bench.cache.get(key) if key is not None else None
    if kept is not None:
        return kept
    result = bench.upscalers.upscale(name, image, by, bench.settings, bench.monitor)
    if key is not None:
        bench.cache.put(key, result, limit)
    return result


def _cropped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of ``image``, enlarged before by the few pixels that rounding took."""
    width, height = size
    if image.width < width or image.height < height:
        by = max(width / image.width, height / image.height)
        full = max(width, round(image.width * by)), max(height, round(image.height * by))
        image = image.resize(full, Image.Resampling.LANCZOS)
    left, top = image.width // 2 - width // 2, image.height // 2 - height // 2
    return image.convert("RGB").crop((left, top, left + width, top + height))
