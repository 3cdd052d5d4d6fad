"""The pictures and the mask of an img2img request → what is encoded, masked and put back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from modules.errors import InvalidInput
from modules.images.color_correction import ColorTarget
from modules.images.resizing import Box, ResizeMode, Upscale, flatten, resize_image
from modules.processing.masks import (
    blurred_mask,
    crop_region,
    doubled_mask,
    expanded_region,
    filled,
    grey_mask,
    without_masked,
)
from modules.processing.request import Img2ImgRequest

if TYPE_CHECKING:
    from modules.options.view import SettingsView

BLANK_MASK = (
    "The mask is empty, so there is no masked area to paint alone; the whole picture was painted instead."
)


class MaskedContent(IntEnum):
    """What lies under the mask when painting begins. Numbers as in the JSON interface."""

    FILL = 0
    ORIGINAL = 1
    LATENT_NOISE = 2
    LATENT_NOTHING = 3


@dataclass(frozen=True)
class Masking:
    """The mask in its two forms, and the region that is painted alone, if one is.

    ``image``: in the size of the request, for latent and model. ``overlay``: in the size of the result,
    white where the result covers the original. ``entries``: infotext entries.
    """

    image: Image.Image
    overlay: Image.Image
    region: Box | None = None
    entries: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InitImages:
    """What painting starts from. Lists have one entry, or one a picture of the batch.

    ``pixels``: float32 [N, 3, H, W] in 0..1. ``originals``: the pictures as the result is laid into them, RGB
    (only with a mask). ``latent_mask``: the mask for the latent. ``overlays``: RGBA,
    the part of each original that is kept. ``targets``: colours to return to. ``entries``: infotext entries.
    ``content``: what lies under the mask.
    """

    pixels: torch.Tensor
    masking: Masking | None = None
    latent_mask: Image.Image | None = None
    originals: tuple[Image.Image, ...] = ()
    overlays: tuple[Image.Image, ...] = ()
    targets: tuple[ColorTarget, ...] = ()
    entries: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    content: MaskedContent = MaskedContent.ORIGINAL

    @property
    def region(self) -> Box | None:
        """The part of the originals that is painted alone."""
        return self.masking.region if self.masking else None


def read_init_images(
    request: Img2ImgRequest, settings: SettingsView, upscale: Upscale | None = None
) -> InitImages:
    """Resize, mask, fill and stack the pictures of a validated request."""
    masking = mask_of(request)
    warnings = () if masking or request.mask is None else (BLANK_MASK,)
    latent_mask = None
    if masking is not None:
        latent_mask = request.latent_mask or masking.image
    reader = _Reader(request, settings, masking, latent_mask, upscale)
    ready = [reader.read(image) for image in request.init_images]
    content = MaskedContent(request.inpainting_fill)
    entries = {"Denoising strength": request.denoising_strength, **(masking.entries if masking else {})}
    if masking is not None and content is not MaskedContent.ORIGINAL:
        entries["Masked content"] = content.name.lower().replace("_", " ")
    correct = settings.img2img_color_correction
    return InitImages(
        pixels=_stacked(ready),
        masking=masking,
        latent_mask=latent_mask,
        originals=tuple(reader.originals),
        overlays=tuple(reader.overlays),
        targets=tuple(ColorTarget.of(image) for image in ready) if correct else (),
        entries=entries,
        warnings=warnings,
        content=content,
    )


def mask_of(request: Img2ImgRequest) -> Masking | None:
    """The mask of the request, prepared; ``None`` without one, and when an empty one has no area to paint."""
    if request.mask is None:
        return None
    entries: dict[str, Any] = {}
    mask = grey_mask(request.mask, request.mask_round)
    if request.inpainting_mask_invert:
        mask = mask.point(lambda value: 255 - value)
        entries["Mask mode"] = "Inpaint not masked"
    blur_x, blur_y = request.blur
    mask = blurred_mask(mask, blur_x, blur_y)
    if blur_x > 0 or blur_y > 0:
        entries["Mask blur"] = blur_x if blur_x == blur_y else None
    if request.inpaint_full_res:
        return _only_masked(request, mask, entries)
    resized = resize_image(request.resize_mode, mask, request.width, request.height)
    return Masking(resized, doubled_mask(resized), entries=entries)


def _only_masked(request: Img2ImgRequest, mask: Image.Image, entries: dict[str, Any]) -> Masking | None:
    """The mask cut to its surroundings. A mask of another size than the picture is stretched to it first."""
    size = request.init_images[0].size
    if any(image.size != size for image in request.init_images):
        raise InvalidInput(
            "init_images have different sizes; expected equal ones for one mask with inpaint_full_res. "
            "Send them one at a time, or without inpaint_full_res.",
            "init_images",
        )
    if mask.size != size:
        mask = resize_image(ResizeMode.STRETCH, mask, *size)
    region = crop_region(mask, request.inpaint_full_res_padding)
    if region is None:
        return None
    region = expanded_region(region, request.width, request.height, mask.width, mask.height)
    entries["Inpaint area"] = "Only masked"
    entries["Masked area padding"] = request.inpaint_full_res_padding
    cut = resize_image(ResizeMode.FILL, mask.crop(region), request.width, request.height)
    return Masking(cut, mask, region, entries)


class _Reader:
    """Prepares one picture after the other; the lists grow by one for each when there is a mask."""

    def __init__(
        self,
        request: Img2ImgRequest,
        settings: SettingsView,
        masking: Masking | None,
        latent_mask: Image.Image | None,
        upscale: Upscale | None,
    ) -> None:
        self.request = request
        self.background = settings.img2img_background_color
        self.masking = masking
        self.latent_mask = latent_mask
        self.upscale = upscale
        self.originals: list[Image.Image] = []
        self.overlays: list[Image.Image] = []

    def read(self, image: Image.Image) -> Image.Image:
        """The picture that is encoded: RGB, of the size of the request except with a latent resize."""
        request, masking = self.request, self.masking
        image = flatten(image, self.background)
        if (masking is None or masking.region is None) and request.resize_mode != ResizeMode.LATENT:
            image = self._fitted(request.resize_mode, image)
        if masking is None:
            return image
        self.originals.append(image)
        self.overlays.append(without_masked(image, self._overlay_mask(image)).convert("RGBA"))
        if masking.region is not None:
            image = self._fitted(ResizeMode.FILL, image.crop(masking.region))
        if request.inpainting_fill != MaskedContent.ORIGINAL and self.latent_mask is not None:
            image = filled(image, resized_to(self.latent_mask, image.size))
        return image

    def _fitted(self, mode: int, image: Image.Image) -> Image.Image:
        return resize_image(mode, image, self.request.width, self.request.height, self.upscale)

    def _overlay_mask(self, image: Image.Image) -> Image.Image:
        assert self.masking is not None
        mask = self.masking.overlay
        if mask.size != image.size:
            mask = resize_image(self.request.resize_mode, mask, image.width, image.height)
        return mask


def resized_to(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """``mask`` stretched to ``size`` where it has another one, as with a latent resize."""
    return mask if mask.size == size else resize_image(ResizeMode.STRETCH, mask, *size)


def _stacked(images: list[Image.Image]) -> torch.Tensor:
    if len({image.size for image in images}) > 1:
        raise InvalidInput(
            "init_images have different sizes; expected equal ones for a latent resize (resize_mode 3).",
            "init_images",
        )
    pixels = np.stack([np.asarray(image, dtype=np.float32) / 255.0 for image in images])
    return torch.from_numpy(pixels).movedim(3, 1)


def picture_hash(image: Image.Image) -> str:
    """MD5 of the raw pixels as hex digits: the name of a saved original, not a protection."""
    return hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest()
