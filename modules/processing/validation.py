"""The door: every parameter is checked here, once, and nowhere else.

A failed check names the field, the value and the range, and costs nothing: no model is loaded and
no memory is taken before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modules.errors import InvalidInput
from modules.processing.hires_size import SIZE_UNIT, hires_size
from modules.processing.request import GenerationRequest, Img2ImgRequest, Txt2ImgRequest


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
HIRES_CFG = Range("hr_cfg", -1000, 1000)
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
        _validate_hires(request, limits)
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


def _validate_hires(request: Txt2ImgRequest, limits: Limits) -> None:
    for rule in HIRES:
        rule.check(getattr(request, rule.field))
    if request.hr_cfg is not None:
        HIRES_CFG.check(request.hr_cfg)
    if bool(request.firstphase_width) != bool(request.firstphase_height):
        raise InvalidInput(
            f"The first pass is {request.firstphase_width}x{request.firstphase_height} pixels; give both "
            "firstphase_width and firstphase_height, or neither.",
            "firstphase_width",
        )
    if request.firstpass_image is not None and not request.enable_hr:
        raise InvalidInput("firstpass_image is given without enable_hr; set enable_hr.", "firstpass_image")
    if not request.enable_hr:
        return
    if request.denoising_strength is None:
        raise InvalidInput(
            "denoising_strength is null; with enable_hr a number from 0 to 1 is needed, for instance 0.7.",
            "denoising_strength",
        )
    _validate_hires_size(request, limits)


def _validate_hires_size(request: Txt2ImgRequest, limits: Limits) -> None:
    size = hires_size(request)
    for width, height in (size.first, size.enlarged):
        pixels = width * height * request.batch_size
        if max(width, height) > limits.side or pixels > limits.pixels_at_once:
            raise InvalidInput(
                f"The two passes are {size.first[0]}x{size.first[1]} and {size.enlarged[0]}x"
                f"{size.enlarged[1]} pixels for {request.batch_size} pictures at once; expected sides up to "
                f"{limits.side} and {limits.pixels_at_once} pixels in all. Lower hr_scale, hr_resize_x and "
                "hr_resize_y, or the batch size.",
                "hr_scale" if size.resize is None else "hr_resize_x",
            )


def _validate_texts(request: GenerationRequest, limits: Limits) -> None:
    names = ["prompt", "negative_prompt"]
    if isinstance(request, Txt2ImgRequest):
        names += ["hr_prompt", "hr_negative_prompt"]
    for name in names:
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
    check_picture_count(len(request.init_images), request.batch_size)
    for image in request.init_images:
        if request.resize_mode == 3 and min(image.size) < SIZE_UNIT:
            raise InvalidInput(
                f"A picture of init_images is {image.width} x {image.height}; expected sides of at least "
                f"{SIZE_UNIT} pixels with resize_mode 3.",
                "init_images",
            )
    if request.denoising_strength is None:
        raise InvalidInput("denoising_strength is null; expected a number from 0 to 1.", "denoising_strength")


def check_picture_count(count: int, batch_size: int) -> None:
    """Raise ``InvalidInput`` unless ``count`` pictures can begin a batch of ``batch_size``."""
    if count == 0:
        raise InvalidInput("init_images is empty; expected at least one picture.", "init_images")
    if count > 1 and count > batch_size:
        raise InvalidInput(
            f"init_images has {count} pictures; expected one, or at most batch_size ({batch_size}).",
            "init_images",
        )
