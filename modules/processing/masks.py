"""Masks of inpainting: where to paint, what lies there before, and how the result is put back.

A mask is white where the picture is painted anew and black where it is kept. Pixel values are those of the
reference program.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps

from modules.images.resizing import Box, ResizeMode, Upscale, resize_image

_OPAQUE = (255, 255)
_ALPHA_THRESHOLD = 128

_FILL_BLURS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""(radius, number of layers): far colours first, and near ones over them."""


def grey_mask(image: Image.Image, hard: bool = True) -> Image.Image:
    """The mask (mode "L") in ``image``: its alpha channel if it has one that says something, else its grey.

    ``hard``: alpha is cut at half, which a grey mask is not.
    """
    if image.mode == "RGBA" and image.getextrema()[-1] != _OPAQUE:
        alpha = image.getchannel("A")
        return alpha.point(lambda value: 255 if value > _ALPHA_THRESHOLD else 0) if hard else alpha
    return image.convert("L")


def blurred_mask(mask: Image.Image, sigma_x: float, sigma_y: float) -> Image.Image:
    """``mask`` blurred by a normal curve with standard deviations in pixels; 0 leaves a direction sharp."""
    import cv2

    pixels = np.asarray(mask)
    if sigma_x > 0:
        pixels = cv2.GaussianBlur(pixels, (_kernel_size(sigma_x), 1), sigma_x)
    if sigma_y > 0:
        pixels = cv2.GaussianBlur(pixels, (1, _kernel_size(sigma_y)), sigma_y)
    return Image.fromarray(pixels)


def _kernel_size(sigma: float) -> int:
    return 2 * int(2.5 * sigma + 0.5) + 1


def doubled_mask(mask: Image.Image) -> Image.Image:
    """``mask`` with twice its values: what is painted at all covers the original from half strength on."""
    return mask.point(lambda value: min(value * 2, 255))


def crop_region(mask: Image.Image, padding: int = 0) -> Box | None:
    """Smallest box (left, top, right, bottom) around the mask, wider by ``padding``; None for a black one."""
    box = mask.getbbox()
    if box is None:
        return None
    left, top, right, bottom = box
    return (
        max(left - padding, 0),
        max(top - padding, 0),
        min(right + padding, mask.width),
        min(bottom + padding, mask.height),
    )


def expanded_region(region: Box, width: int, height: int, image_width: int, image_height: int) -> Box:
    """``region`` grown to the proportions of ``width`` x ``height``, as far as the picture reaches."""
    left, top, right, bottom = region
    ratio = width / height
    if (right - left) / (bottom - top) > ratio:
        top, bottom = _grown(top, bottom, (right - left) / ratio, image_height)
    else:
        left, right = _grown(left, right, (bottom - top) * ratio, image_width)
    return left, top, right, bottom


def _grown(low: int, high: int, wanted: float, limit: int) -> tuple[int, int]:
    """The span low..high, grown on both sides to the length ``wanted`` and moved into 0..limit."""
    missing = int(wanted - (high - low))
    low, high = low - missing // 2, high + missing - missing // 2
    beyond = max(high - limit, 0)
    low, high = low - beyond, high - beyond
    before = max(-low, 0)
    return low + before, min(high + before, limit)


def without_masked(image: Image.Image, mask: Image.Image) -> Image.Image:
    """``image`` (RGB) with premultiplied transparency (mode "RGBa") where ``mask`` is white."""
    kept = Image.new("RGBa", image.size)
    kept.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    return kept


def filled(image: Image.Image, mask: Image.Image) -> Image.Image:
    """``image`` with the colours around the mask spread over it, more blurred the farther away. RGB."""
    kept = without_masked(image, mask)
    canvas = Image.new("RGBA", image.size)
    for radius, layers in _FILL_BLURS:
        blurred = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(layers):
            canvas.alpha_composite(blurred)
    return canvas.convert("RGB")


def pasted_back(
    image: Image.Image, size: tuple[int, int], region: Box, upscale: Upscale | None = None
) -> Image.Image:
    """``image`` cropped into its ``region`` of an empty RGBA picture of ``size``."""
    left, top, right, bottom = region
    canvas = Image.new("RGBA", size)
    canvas.paste(resize_image(ResizeMode.CROP, image, right - left, bottom - top, upscale), (left, top))
    return canvas


def under_overlay(
    image: Image.Image,
    overlay: Image.Image | None,
    region: Box | None,
    upscale: Upscale | None = None,
) -> tuple[Image.Image, Image.Image]:
    """The painted ``image`` under the kept part of the original, and the same without that part.

    ``region``: where a crop that was painted alone belongs; ``upscale`` enlarges it where that is larger.
    Without an overlay nothing is put back.
    """
    if overlay is None:
        return image, image.copy()
    if region is not None:
        image = pasted_back(image, overlay.size, region, upscale)
    whole = image.convert("RGBA")
    whole.alpha_composite(overlay)
    return whole.convert("RGB"), image


def masked_composite(painted: Image.Image, mask: Image.Image) -> Image.Image:
    """The newly painted part alone, RGBA: ``painted`` where ``mask`` is white, else transparent."""
    stencil = resize_image(ResizeMode.FILL, mask, painted.width, painted.height).convert("L")
    nothing = Image.new("RGBa", painted.size)
    return Image.composite(painted.convert("RGBA").convert("RGBa"), nothing, stencil).convert("RGBA")


def latent_mask(mask: Image.Image, channels: int, height: int, width: int, hard: bool) -> torch.Tensor:
    """``mask`` in cells of the latent, [C, h, w] in 0..1, 1 where painted; ``hard``: 0 or 1 alone."""
    small = np.asarray(mask.convert("RGB").resize((width, height)), dtype=np.float32)[..., 0] / 255
    if hard:
        small = np.around(small)
    return torch.from_numpy(np.ascontiguousarray(small)).expand(channels, -1, -1).clone()
