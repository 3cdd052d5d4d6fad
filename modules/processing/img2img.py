"""Pictures → pictures, whole or under a mask: the way of one img2img job.

Read from the bottom: ``paint_img2img`` is the table of contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from modules.devices.finite import require_finite
from modules.errors import EaselError
from modules.images.resizing import ResizeMode, Upscale
from modules.images.saving import save_image
from modules.processing.batches import Batch, batch_of, conditioning_of, noise_of, plan_of, with_retry
from modules.processing.image_conditioning import encode_pictures, picture_conditioning
from modules.processing.init_images import InitImages, MaskedContent, picture_hash, read_init_images
from modules.processing.masks import latent_mask, masked_composite, under_overlay
from modules.processing.output import Companion, Output
from modules.processing.pictures import decode_pictures
from modules.processing.preparation import prepare
from modules.processing.request import Img2ImgRequest
from modules.processing.result import Processed
from modules.processing.tiling import tiled
from modules.processing.validation import validate
from modules.sampling.guidance import LatentBlend
from modules.sampling.noise import ImageNoise
from modules.sampling.run import SamplingResult, sample_img2img

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine
    from modules.sampling.monitor import Monitor

Entry = TypeVar("Entry")

TAESD_MISSING = "The small autoencoder (TAESD) does not encode in this version; the full one was used."


@dataclass(frozen=True)
class Start:
    """Where the pictures of one batch begin: ``latent`` [B, C, h, w], extra channels, and what is kept."""

    latent: Tensor
    conditioning: Tensor | None = None
    blend: LatentBlend | None = None


class Starts:
    """Encodes the pictures of a job once, and makes the start of every batch from them."""

    def __init__(self, request: Img2ImgRequest, images: InitImages, mask_weight: float) -> None:
        self.request = request
        self.images = images
        self.mask_weight = mask_weight
        self._encoded: tuple[Tensor, Tensor | None] | None = None

    def of(self, batch: Batch, model: DiffusionModel) -> Start:
        """The start of ``batch``."""
        if self._encoded is None:
            self._encoded = self._encode(model)
        count = len(batch.rows)
        latent, conditioning = (self._rows(tensor, count) for tensor in self._encoded)
        assert latent is not None
        if self.images.latent_mask is None:
            return Start(latent, conditioning)
        channels, height, width = latent.shape[1:]
        hard = self.request.mask_round
        painted = latent_mask(self.images.latent_mask, channels, height, width, hard).to(latent)
        kept = 1.0 - painted
        if self.images.content is MaskedContent.LATENT_NOISE:
            # From the seeds alone: variations of one picture have the same noise under the mask.
            source = batch.job.settings.randn_source
            noise = ImageNoise(latent.shape[1:], batch.seeds, source=source, device=model.device)
            latent = latent * kept + noise.first().to(latent) * painted
        elif self.images.content is MaskedContent.LATENT_NOTHING:
            latent = latent * kept
        return Start(latent, conditioning, LatentBlend(kept, painted, latent))

    def _encode(self, model: DiffusionModel) -> tuple[Tensor, Tensor | None]:
        request, images = self.request, self.images
        pixels = images.pixels * 2 - 1
        latent = encode_pictures(model, pixels)
        if request.resize_mode == ResizeMode.LATENT:
            size = (request.height // model.downscale, request.width // model.downscale)
            latent = functional.interpolate(latent, size=size, mode="bilinear")
        conditioning = picture_conditioning(
            model,
            pixels,
            latent,
            images.masking.image if images.masking else None,
            mask_weight=self.mask_weight,
            hard=request.mask_round,
        )
        return latent, conditioning

    @staticmethod
    def _rows(tensor: Tensor | None, count: int) -> Tensor | None:
        if tensor is None or tensor.shape[0] == count:
            return tensor
        return tensor.expand(count, -1, -1, -1)


def sample_batch(
    batch: Batch, start: Start, model: DiffusionModel, *, engine: Engine, monitor: Monitor, multiplier: float
) -> SamplingResult:
    """One sampling run with ``model``; raises ``NonFiniteError`` when its latent is not finite."""
    request = batch.job.request
    noise = noise_of(batch, model, request.width, request.height)
    cond, uncond = conditioning_of(batch, model, engine)
    plan = plan_of(batch, model, engine, image_conditioning=start.conditioning)
    result = sample_img2img(
        replace(plan, blend=start.blend),
        start.latent,
        noise,
        cond,
        uncond,
        monitor=monitor,
        denoising_strength=request.denoising_strength or 0.0,
        noise_multiplier=multiplier,
    )
    if model.policy.check_finite and not result.interrupted:
        require_finite(result.latent, "The latent")
    latent = start.blend(result.latent) if start.blend else result.latent
    entries = {} if multiplier == 1.0 else {"Noise multiplier": multiplier}
    return replace(result, latent=latent, extra={**entries, **result.extra})


@dataclass(frozen=True)
class Finisher:
    """Puts a painted picture into its original, and adds the pictures that the settings ask for."""

    images: InitImages
    settings: SettingsView

    def finish(
        self, pictures: Sequence[Image.Image]
    ) -> tuple[list[Image.Image], list[tuple[Companion, ...]]]:
        """The pictures of a batch as they are shown, and the companions of each."""
        both = [self._finish_one(index, picture) for index, picture in enumerate(pictures)]
        return [picture for picture, _ in both], [companions for _, companions in both]

    def _finish_one(self, index: int, picture: Image.Image) -> tuple[Image.Image, tuple[Companion, ...]]:
        images, settings = self.images, self.settings
        overlay = _one_of(images.overlays, index) if settings.overlay_inpaint else None
        companions: list[Companion] = []
        target = _one_of(images.targets, index)
        if target is not None:
            before, _ = under_overlay(picture, overlay, images.region)
            companions.append(
                Companion(
                    before, "-before-color-correction", save=settings.save_images_before_color_correction
                )
            )
            picture = target.apply(picture)
        picture, painted = under_overlay(picture, overlay, images.region)
        if images.masking is not None:
            companions += self._masks(images.masking.overlay, painted)
        return picture, tuple(companions)

    def _masks(self, mask: Image.Image, painted: Image.Image) -> list[Companion]:
        settings = self.settings
        found: list[Companion] = []
        if settings.return_mask or settings.save_mask:
            found.append(
                Companion(mask.convert("RGB"), "-mask", show=settings.return_mask, save=settings.save_mask)
            )
        if settings.return_mask_composite or settings.save_mask_composite:
            found.append(
                Companion(
                    masked_composite(painted, mask),
                    "-mask-composite",
                    show=settings.return_mask_composite,
                    save=settings.save_mask_composite,
                )
            )
        return found


def _one_of(values: Sequence[Entry], index: int) -> Entry | None:
    """The entry of a picture in a list with one for all, one each, or none."""
    if not values:
        return None
    return values[index] if len(values) > 1 else values[0]


def _upscale(engine: Engine, settings: SettingsView) -> Upscale | None:
    """How pictures are enlarged by setting; ``None`` is Lanczos. Raises ``NotFound`` for an unknown one."""
    name = settings.upscaler_for_img2img
    if name in (None, "", "None"):
        return None
    engine.upscalers.find(name)
    return lambda image, factor: engine.upscalers.upscale(name, image, factor, settings)


def _keep_originals(request: Img2ImgRequest, output: Output, engine: Engine, settings: SettingsView) -> None:
    """Save the pictures of the request under the hash of their pixels, each once."""
    folder = engine.folder(settings.outdir_init_images)
    for image in request.init_images:
        name = picture_hash(image)
        output.facts.init_image_hash = name
        if any(folder.glob(f"{name}.*")):
            continue
        try:
            save_image(image, folder, "", settings, forced_filename=name, save_to_dirs=False)
        except EaselError as error:
            output.warn(str(error))


def _encoder_warning(settings: SettingsView) -> tuple[str, ...]:
    return (TAESD_MISSING,) if settings.sd_vae_encode_method == "TAESD" else ()


def _noise_multiplier(request: Img2ImgRequest, settings: SettingsView) -> float:
    value = request.initial_noise_multiplier
    return settings.initial_noise_multiplier if value is None else value


@torch.inference_mode()
def paint_img2img(
    request: Img2ImgRequest, engine: Engine, settings: SettingsView, monitor: Monitor
) -> Processed:
    """Paint all pictures of ``request``; the settings already hold its overrides.

    Raises ``InvalidInput``, ``NotFound``, ``ModelFileError`` or ``NonFiniteError``. An interrupted job
    returns what it has.
    """
    validate(request, engine.limits)
    if len(request.init_images) > 1:
        request = replace(request, batch_size=len(request.init_images))
    job = prepare(request, engine, settings)
    output = Output(job, engine, getattr(monitor, "job_timestamp", None))
    images = read_init_images(request, settings, _upscale(engine, settings))
    output.extra.update(images.entries)
    for warning in (*images.warnings, *_encoder_warning(settings)):
        output.warn(warning)
    if settings.save_init_img:
        _keep_originals(request, output, engine, settings)
    starts = Starts(request, images, settings.inpainting_mask_weight)
    finisher = Finisher(images, settings)
    multiplier = _noise_multiplier(request, settings)
    monitor.begin_job(request.n_iter)
    with tiled(job.model, job.tiling):
        for iteration in range(request.n_iter):
            if monitor.interrupted or monitor.stopping_generation:
                break
            batch = batch_of(job, iteration)
            output.begin_batch(batch.rows, batch.extra)
            start = starts.of(batch, job.model)
            attempt = partial(
                sample_batch, batch, start, engine=engine, monitor=monitor, multiplier=multiplier
            )
            result = with_retry(job.model, attempt)
            pictures, companions = finisher.finish(decode_pictures(job.model, result.latent))
            output.add_batch(pictures, result.extra, complete=not monitor.interrupted, companions=companions)
            monitor.next_job()
    return output.finish()
