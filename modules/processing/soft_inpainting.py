"""Inpainting without an edge: grey parts of the mask are painted in part, and what hardly changed is kept.

Three ideas. While sampling, half masked parts follow the original at high noise levels, where the layout is
decided, and are painted freely at low ones, where the details are. Mixed vectors keep the length of their
parts, since plain averages of latents lose contrast. And the finished picture covers the original where their
latents differ, however the mask was drawn: this is how a seam disappears.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from modules.images.resizing import ResizeMode, resize_image
from modules.processing.finishing import Laid, one_of
from modules.processing.img2img import Img2ImgHooks, PaintedBatch
from modules.processing.masks import pasted_back, without_masked

if TYPE_CHECKING:
    from modules.processing.request import Img2ImgRequest
    from modules.sampling.guidance import MaskBlend

_EPSILON = 1e-5
_ANTIALIAS_RADIUS = 4
_KERNEL_RADIUS, _KERNEL_WIDTH = 2, 1.5


@dataclass(frozen=True)
class SoftInpainting:
    """The six numbers, with the defaults of the page.

    ``mask_blend_power``: how fast the influence of the original falls as the noise level falls.
    ``mask_blend_scale``: how strong it is. ``inpaint_detail_preservation``: exponent of the mean of lengths,
    above 1 in favour of contrast. ``composite_mask_influence``: 0 lets the difference alone decide what is
    covered, 1 the mask. ``composite_difference_threshold``: the difference that covers half.
    ``composite_difference_contrast``: how sudden the change from kept to covered is.
    """

    mask_blend_power: float = 1
    mask_blend_scale: float = 0.5
    inpaint_detail_preservation: float = 4
    composite_mask_influence: float = 0
    composite_difference_threshold: float = 0.5
    composite_difference_contrast: float = 2

    @property
    def entries(self) -> dict[str, object]:
        """Infotext entries."""
        return {
            "Soft inpainting enabled": True,
            "Soft inpainting schedule bias": self.mask_blend_power,
            "Soft inpainting preservation strength": self.mask_blend_scale,
            "Soft inpainting transition contrast boost": self.inpaint_detail_preservation,
            "Soft inpainting mask influence": self.composite_mask_influence,
            "Soft inpainting difference threshold": self.composite_difference_threshold,
            "Soft inpainting difference contrast": self.composite_difference_contrast,
        }

    def hooks(self) -> Img2ImgHooks:
        """What ``paint_img2img`` takes; the request must have passed ``prepared``."""
        return Img2ImgHooks(mask_blend=(self.blend,), overlays=self.overlays, entries=self.entries)

    @staticmethod
    def prepared(request: Img2ImgRequest) -> Img2ImgRequest:
        """The request with a mask that keeps its grey values."""
        return replace(request, mask_round=False)

    def blend(self, view: MaskBlend) -> None:
        """Mix painted and original latent of one step; at the end the painted one is left as it is."""
        if view.is_final_blend or view.sigma is None:
            view.blended_latent = view.current_latent
            return
        exponent = view.sigma.flatten()[0] ** self.mask_blend_power * self.mask_blend_scale
        view.blended_latent = self.mixed(view.init_latent, view.current_latent, view.nmask**exponent)

    def mixed(self, kept: Tensor, painted: Tensor, share: Tensor) -> Tensor:
        """``kept`` and ``painted`` [B, C, h, w], mixed by ``share`` [C, h, w] (1: painted), lengths too."""
        mixed = kept * (1 - share) + painted * share
        length = _length(mixed) + _EPSILON
        power, one = self.inpaint_detail_preservation, share[:1]
        wanted = _length(kept) ** power * (1 - one) + _length(painted) ** power * one
        return (mixed * (wanted ** (1 / power) / length)).to(mixed.dtype)

    def overlays(self, batch: PaintedBatch) -> list[Laid]:
        """What is laid over each picture: the original where the latents are alike."""
        assert batch.start.blend is not None
        painted_share = batch.start.blend.nmask[0].float().clamp(0, 1).cpu().numpy()
        threshold = self._threshold(painted_share)
        distances = (batch.latent - batch.start.latent).norm(dim=1).float().cpu().numpy()
        laid = []
        for index, distance in enumerate(distances):
            mask = self._covering(distance, threshold, batch.request)
            original = one_of(batch.images.originals, index)
            assert original is not None
            if batch.images.region is not None:
                mask = pasted_back(mask, original.size, batch.images.region)
            laid.append(Laid(mask, without_masked(original, mask).convert("RGBA")))
        return laid

    def _threshold(self, painted_share: np.ndarray) -> np.ndarray:
        """The difference of latents that covers half, by cell: lower where the mask says paint."""
        by_mask = 1 - painted_share ** (self.mask_blend_scale / 2)
        influence = self.composite_mask_influence
        share = 0.5 * (1 - influence) + by_mask * influence
        return self.composite_difference_threshold * share / (1.00001 - share)

    def _covering(self, distance: np.ndarray, threshold: np.ndarray, request: Img2ImgRequest) -> Image.Image:
        """The mask ("L", size of the request) that is white where the painted picture is shown."""
        distance = weighted_percentiles(distance, 0.9, 1.0)
        distance = weighted_percentiles(distance, 0.25, 0.75)
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = 1 / (1 + (distance / threshold) ** self.composite_difference_contrast)
        shown = 1 - smootherstep(np.nan_to_num(kept, nan=1.0))
        mask = Image.fromarray((255.0 * shown).astype(np.uint8))
        mask = resize_image(ResizeMode.FILL, mask, request.width, request.height).convert("L")
        return mask.filter(ImageFilter.GaussianBlur(_ANTIALIAS_RADIUS))


def _length(latent: Tensor) -> Tensor:
    """Length of the channel vectors, [B, 1, h, w]; in double precision, since it is raised to high powers."""
    length = torch.linalg.vector_norm(latent, dim=1, keepdim=True)
    return length if length.device.type == "mps" else length.double()  # Metal has no double precision


def smootherstep(x: np.ndarray) -> np.ndarray:
    """Ken Perlin's polynomial from 0 to 1 with two derivatives of 0 at both ends."""
    return x * x * x * (x * (6 * x - 15) + 10)


def tapered_kernel(radius: int = _KERNEL_RADIUS, width: float = _KERNEL_WIDTH) -> np.ndarray:
    """A bell [2r + 1, 2r + 1] with 1 in the middle that reaches 0 one cell beyond its border."""
    line = np.arange(-radius, radius + 1, dtype=np.float64) ** 2
    bell = np.exp(-(line[:, None] + line) / width**2)
    floor = np.exp(-((radius + 1.0) ** 2) / width**2)
    return np.maximum(bell - floor, 0) / (1 - floor)


def weighted_percentiles(values: np.ndarray, low: float, high: float, least: float = 1.0) -> np.ndarray:
    """For every cell of [h, w] the weighted mean of its surroundings between two percentiles.

    The surroundings are weighted by ``tapered_kernel``, stacked in order of their values, and averaged over
    the part of the stack from ``low`` to ``high`` (0 to 1), which is at least ``least`` of weight wide.
    """
    kernel = tapered_kernel()
    radius = len(kernel) // 2
    window = np.lib.stride_tricks.sliding_window_view
    near = window(np.pad(values.astype(np.float64), radius), kernel.shape).reshape(*values.shape, -1)
    inside = window(np.pad(np.ones(values.shape), radius), kernel.shape).reshape(*values.shape, -1)
    weights = inside * kernel.reshape(-1)
    order = np.argsort(near, axis=-1, kind="stable")
    near, weights = np.take_along_axis(near, order, -1), np.take_along_axis(weights, order, -1)
    top = np.cumsum(weights, axis=-1)
    total = top[..., -1:]
    first, last = _widened(total * low, total * high, total, least)
    overlap = np.minimum(top, last) - np.maximum(top - weights, first)
    overlap = np.maximum(overlap, 0)
    return ((near * overlap).sum(-1) / overlap.sum(-1)).astype(values.dtype)


def _widened(
    first: np.ndarray, last: np.ndarray, total: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """The span first..last, at least ``least`` wide, moved into 0..total."""
    middle, narrow = (first + last) / 2, last - first < least
    low, high = middle - least / 2, middle + least / 2
    beyond = high > total
    low, high = np.where(beyond, total - least, low), np.where(beyond, total, high)
    below = low < 0
    low, high = np.where(below, 0.0, low), np.where(below, least, high)
    return np.where(narrow, low, first), np.where(narrow, high, last)
