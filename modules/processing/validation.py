"""The door: every parameter is checked here, once, and nowhere else.

A failed check names the field, the value and the range, and costs nothing: no model is loaded and
no memory is taken before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modules.errors import InvalidInput
from modules.processing.request import GenerationRequest, Img2ImgRequest, Txt2ImgRequest

SIZE_UNIT = 8
"""Pixels per latent cell: both sides of a picture are whole numbers of cells."""


@dataclass(frozen=True)
class Range:
    """Closed interval of legal numbers for one field; ``whole`` asks for an integer."""

    field: str
    low: float
    high: float
    whole: bool = False

    def check(self, value: object) -> None:
        """Raise ``InvalidInput`` unless ``value`` is a finite number within the interval."""
        expected = f"{'a whole number' if self.whole else 'a number'} from {self.low:g} to {self.high:g}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidInput(f"{self.field} is {value!r}; expected {expected}.", self.field)
        finite = isinstance(value, int) or math.isfinite(value)
        if not finite or not self.low <= value <= self.high or (self.whole and value != int(value)):
            raise InvalidInput(f"{self.field} is {value}; expected {expected}.", self.field)


@dataclass(frozen=True)
class Limits:
    """The largest request that is accepted; generous for one machine, finite for its memory."""

    steps: int = 1000
    side: int = 16384
    batch_size: int = 128
    n_iter: int = 10000
    pixels_at_once: int = 256 * 1024 * 1024
    prompt_characters: int = 4 * 1024 * 1024


REQUIRED = (
    Range("seed", -1, 2**63 - 1, whole=True),
    Range("subseed", -1, 2**63 - 1, whole=True),
    Range("subseed_strength", 0, 1),
    Range("seed_resize_from_w", -1, 16384, whole=True),
    Range("seed_resize_from_h", -1, 16384, whole=True),
    Range("cfg_scale", -1000, 1000),
)
OPTIONAL = (
    Range("eta", 0, 100),
    Range("denoising_strength", 0, 1),
    Range("s_min_uncond", 0, 100),
    Range("s_churn", 0, 1000),
    Range("s_tmin", 0, 1e6),
    Range("s_tmax", 0, 1e12),
    Range("s_noise", 0, 100),
    Range("refiner_switch_at", 0, 1),
)
HIRES = (
    Range("hr_scale", 1, 16),
    Range("hr_second_pass_steps", 0, 1000, whole=True),
    Range("hr_resize_x", 0, 16384, whole=True),
    Range("hr_resize_y", 0, 16384, whole=True),
    Range("firstphase_width", 0, 16384, whole=True),
    Range("firstphase_height", 0, 16384, whole=True),
)
IMG2IMG = (
    Range("resize_mode", 0, 3, whole=True),
    Range("mask_blur_x", 0, 1024, whole=True),
    Range("mask_blur_y", 0, 1024, whole=True),
    Range("inpainting_fill", 0, 3, whole=True),
    Range("inpaint_full_res_padding", 0, 16384, whole=True),
    Range("inpainting_mask_invert", 0, 1, whole=True),
)
IMG2IMG_OPTIONAL = (
    Range("mask_blur", 0, 1024, whole=True),
    Range("image_cfg_scale", 0, 1000),
    Range("initial_noise_multiplier", 0, 100),
)


def validate(request: GenerationRequest, limits: Limits | None = None) -> None:
    """Raise ``InvalidInput`` naming the first field of ``request`` that is out of range."""
    limits = limits or Limits()
    sized = (
        Range("steps", 1, limits.steps, whole=True),
        Range("width", SIZE_UNIT, limits.side, whole=True),
        Range("height", SIZE_UNIT, limits.side, whole=True),
        Range("batch_size", 1, limits.batch_size, whole=True),
        Range("n_iter", 1, limits.n_iter, whole=True),
    )
    for rule in sized + REQUIRED:
        rule.check(getattr(request, rule.field))
    for rule in OPTIONAL:
        if getattr(request, rule.field) is not None:
            rule.check(getattr(request, rule.field))
    _validate_pixels(request, limits)
    _validate_texts(request, limits)
    if isinstance(request, Txt2ImgRequest):
        for rule in HIRES:
            rule.check(getattr(request, rule.field))
    if isinstance(request, Img2ImgRequest):
        _validate_img2img(request)


def _validate_pixels(request: GenerationRequest, limits: Limits) -> None:
    pixels = request.width * request.height * request.batch_size
    if pixels > limits.pixels_at_once:
        raise InvalidInput(
            f"width x height x batch_size is {pixels} pixels; expected at most {limits.pixels_at_once}. "
            "Lower the size or the batch size; n_iter makes more pictures without more memory.",
            "batch_size",
        )


def _validate_texts(request: GenerationRequest, limits: Limits) -> None:
    for name in ("prompt", "negative_prompt"):
        text = getattr(request, name)
        if not isinstance(text, str):
            raise InvalidInput(f"{name} is of type {type(text).__name__}; expected text.", name)
        if len(text) > limits.prompt_characters:
            raise InvalidInput(
                f"{name} has {len(text)} characters; expected at most {limits.prompt_characters}.", name
            )


def _validate_img2img(request: Img2ImgRequest) -> None:
    for rule in IMG2IMG:
        rule.check(getattr(request, rule.field))
    for rule in IMG2IMG_OPTIONAL:
        if getattr(request, rule.field) is not None:
            rule.check(getattr(request, rule.field))
    count = len(request.init_images)
    if count == 0:
        raise InvalidInput("init_images is empty; expected at least one picture.", "init_images")
    if count > 1 and count > request.batch_size:
        raise InvalidInput(
            f"init_images has {count} pictures; expected one, or at most batch_size ({request.batch_size}).",
            "init_images",
        )
    if request.denoising_strength is None:
        raise InvalidInput("denoising_strength is null; expected a number from 0 to 1.", "denoising_strength")
