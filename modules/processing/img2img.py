"""Pictures → pictures, whole or under a mask: the way of one img2img job.

Read from the bottom: ``paint_img2img`` is the table of contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from modules.devices.finite import require_finite
from modules.errors import EaselError
from modules.images.resizing import Upscale
from modules.images.saving import save_image
from modules.processing.batches import Batch, batch_of, conditioning_of, noise_of, plan_of, with_retry
from modules.processing.finishing import Finisher, Laid
from modules.processing.hooks import NO_HOOKS, JobHooks
from modules.processing.init_images import InitImages, picture_hash, read_init_images
from modules.processing.output import Output
from modules.processing.preparation import prepare
from modules.processing.refiner import Refiner, RefinerSwitch, choose_refiner
from modules.processing.request import Img2ImgRequest
from modules.processing.result import Processed
from modules.processing.second_pass import Sampled
from modules.processing.starts import Start, Starts
from modules.processing.tiling import Tiles, tiled
from modules.processing.validation import validate
from modules.sampling.guidance import MaskBlend
from modules.sampling.run import sample_img2img

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine
    from modules.sampling.monitor import Monitor

TAESD_MISSING = "The small autoencoder (TAESD) does not encode in this version; the full one was used."


@dataclass(frozen=True)
class PaintedBatch:
    """What an ``overlays`` hook sees: the finished ``latent`` [B, C, h, w], and what it began with."""

    latent: Tensor
    start: Start
    images: InitImages
    request: Img2ImgRequest


@dataclass(frozen=True)
class Img2ImgHooks:
    """Places where inpainting can be changed.

    ``mask_blend`` gets every blend of painted and kept latent, the final one included. ``overlays`` gives
    what is laid over the pictures of a batch in place of the masked original. ``entries`` come first in the
    infotext.
    """

    mask_blend: tuple[Callable[[MaskBlend], None], ...] = ()
    overlays: Callable[[PaintedBatch], Sequence[Laid]] | None = None
    entries: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Painter:
    """Paints the batches of one job. ``noise_multiplier`` scales the initial noise."""

    images: InitImages
    starts: Starts
    finisher: Finisher
    refiner: Refiner
    output: Output
    engine: Engine
    monitor: Monitor
    tiles: Tiles
    noise_multiplier: float
    hooks: Img2ImgHooks

    def paint(self, batch: Batch) -> None:
        """Paint one batch and hand it to the output."""
        start = self.starts.of(batch, batch.job.model)
        sampled = with_retry(batch.job.model, partial(self._sample, batch, start))
        laid: Sequence[Laid] = ()
        if self.hooks.overlays is not None and start.blend is not None:
            seen = PaintedBatch(sampled.result.latent, start, self.images, self.starts.request)
            laid = self.hooks.overlays(seen)
        painted = self.output.restored(sampled.pictures(batch.job.hooks))
        pictures, companions = self.finisher.finish(painted, laid)
        stopped = self.monitor.interrupted or self.monitor.skipped
        self.output.add_batch(pictures, sampled.result.extra, complete=not stopped, companions=companions)

    def _sample(self, batch: Batch, start: Start, model: DiffusionModel) -> Sampled:
        """One sampling run with ``model``; raises ``NonFiniteError`` when its latent is not finite."""
        request = batch.job.request
        self.tiles.add(model)
        noise = noise_of(batch, model, request.width, request.height)
        cond, uncond = conditioning_of(batch, model, self.engine)
        plan = plan_of(batch, model, self.engine)
        hooks = replace(plan.hooks, mask_blend=(*plan.hooks.mask_blend, *self.hooks.mask_blend))
        plan = replace(
            plan,
            blend=start.blend,
            image_conditioning=start.conditioning,
            image_cfg_scale=self.output.facts.image_cfg_scale,
            hooks=hooks,
        )
        switch = RefinerSwitch(self.refiner, plan, batch, model, engine=self.engine, tiles=self.tiles)
        result = sample_img2img(
            switch.plan(),
            start.latent,
            noise,
            cond,
            uncond,
            monitor=self.monitor,
            denoising_strength=request.denoising_strength or 0.0,
            noise_multiplier=self.noise_multiplier,
        )
        if model.policy.check_finite and not result.interrupted:
            require_finite(result.latent, "The latent")
        entries = {} if self.noise_multiplier == 1.0 else {"Noise multiplier": self.noise_multiplier}
        latent = _final_blend(result.latent, start, hooks.mask_blend)
        return Sampled(replace(result, latent=latent, extra={**entries, **result.extra}), switch.model)


def _final_blend(latent: Tensor, start: Start, hooks: Sequence[Callable[[MaskBlend], None]]) -> Tensor:
    """The finished latent with what is kept laid over it once more, as the hooks want it."""
    blend = start.blend
    if blend is None:
        return latent
    view = MaskBlend(latent, blend.nmask, blend.init_latent, blend.mask, blend(latent), is_final_blend=True)
    for hook in hooks:
        hook(view)
    return view.blended_latent


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
    request: Img2ImgRequest,
    engine: Engine,
    settings: SettingsView,
    monitor: Monitor,
    hooks: Img2ImgHooks | None = None,
    *,
    job_hooks: JobHooks = NO_HOOKS,
    count_jobs: bool = True,
) -> Processed:
    """Paint all pictures of ``request``; the settings already hold its overrides.

    ``count_jobs``: tell the monitor how many batches there are; off where a larger job has done so.
    Raises ``InvalidInput``, ``NotFound``, ``ModelFileError`` or ``NonFiniteError``. An interrupted job
    returns what it has.
    """
    validate(request, engine.limits)
    if len(request.init_images) > 1:
        request = replace(request, batch_size=len(request.init_images))
    hooks = hooks or Img2ImgHooks()
    refiner = choose_refiner(request, engine, settings)
    job = prepare(request, engine, settings, job_hooks)
    output = Output(job, engine, getattr(monitor, "job_timestamp", None))
    upscale = _upscale(engine, settings)
    images = read_init_images(request, settings, upscale)
    output.extra.update({**hooks.entries, **images.entries})
    for warning in (*images.warnings, *_encoder_warning(settings)):
        output.warn(warning)
    if settings.save_init_img:
        _keep_originals(request, output, engine, settings)
    starts = Starts(request, images, settings.inpainting_mask_weight)
    finisher = Finisher(images, settings, upscale)
    multiplier = _noise_multiplier(request, settings)
    if count_jobs:
        monitor.begin_job(request.n_iter)
    with tiled(job.model, job.tiling) as tiles:
        painter = Painter(
            images, starts, finisher, refiner, output, engine, monitor, tiles, multiplier, hooks
        )
        for iteration in range(request.n_iter):
            if monitor.interrupted or monitor.stopping_generation:
                break
            batch = batch_of(job, iteration, engine)
            output.begin_batch(batch.rows, batch.extra)
            painter.paint(batch)
            monitor.next_job()
    return output.finish()
