"""The second pass of hires fix: enlarge the first picture, add noise, and sample again at the larger size.

The picture is enlarged as a latent, or decoded, enlarged by an upscaler and encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modules.devices.finite import require_finite
from modules.images.resizing import ResizeMode, resize_image
from modules.processing.batches import Batch, batch_of, conditioning_of, noise_of, plan_of, use_networks
from modules.processing.hires import Hires
from modules.processing.hooks import NO_HOOKS, JobHooks
from modules.processing.image_conditioning import (
    blank_conditioning,
    encode_pictures,
    picture_conditioning,
)
from modules.processing.networks import merged_hashes
from modules.processing.pictures import decode_pictures
from modules.processing.refiner import Refiner, RefinerSwitch
from modules.prompts.conditioning import CondSchedule, UncondSchedule
from modules.sampling.run import SamplingResult, sample_img2img

if TYPE_CHECKING:
    from PIL.Image import Image

    from modules.checkpoints.model import DiffusionModel
    from modules.processing.engine import Engine
    from modules.processing.tiling import Tiles
    from modules.sampling.monitor import Monitor

Conditions = tuple[CondSchedule, UncondSchedule]


@dataclass(frozen=True)
class Sampled:
    """The outcome of one pass: what sampling gave, and the model that its latent belongs to."""

    result: SamplingResult
    model: DiffusionModel

    def pictures(self, hooks: JobHooks = NO_HOOKS) -> list[Image]:
        """The latent, decoded. ``hooks`` see it before."""
        return decode_pictures(self.model, hooks.latent(self.result.latent))


@dataclass(frozen=True)
class SecondPass:
    """The second pass of one batch."""

    hires: Hires
    first: Batch
    refiner: Refiner
    engine: Engine
    monitor: Monitor
    tiles: Tiles

    def model(self) -> DiffusionModel:
        """The checkpoint of this pass, loaded when it is not."""
        job = self.first.job
        if self.hires.checkpoint is None:
            return job.model
        model = self.engine.model_of(self.hires.checkpoint, job.settings)
        self.tiles.add(model)
        return model

    def batch(self, model: DiffusionModel) -> Batch:
        """The batch as this pass sees it: with prompts, size and sampler of its own."""
        job = self.hires.second_job(self.first.job, model)
        return batch_of(job, self.first.rows.start // job.request.batch_size, self.engine)

    def early_conditions(self) -> Conditions | None:
        """The conditioning of this pass, when the first pass is to make it with its own extra networks."""
        job = self.first.job
        if self.hires.checkpoint is not None or not job.settings.hires_fix_use_firstpass_conds:
            return None
        which = self.hires.reads_for(job)
        batch = replace(self.batch(job.model), networks=self.first.networks)
        return conditioning_of(batch, job.model, self.engine, which)

    def start(self, first: Sampled | Sequence[Image], model: DiffusionModel) -> Tensor:
        """The enlarged latent [B, C, h, w] that sampling starts from.

        ``first``: what the first pass gave, or pictures in its place. ``model`` encodes pictures. Raises
        ``SamplingInterrupted`` when the upscaler is stopped.
        """
        size, mode = self.hires.size, self.hires.latent_mode
        columns, rows = size.cells
        if mode is None:
            pictures = first.pictures() if isinstance(first, Sampled) else first
            latent = encode_pictures(model, _pixels([self._enlarged(picture) for picture in pictures]))
        else:
            latent = (
                first.result.latent if isinstance(first, Sampled) else encode_pictures(model, _pixels(first))
            )
            latent = F.interpolate(latent, (rows, columns), mode=mode.mode, antialias=mode.antialias)
        window = size.window
        return latent[:, :, window[0], window[1]]

    def sample(
        self,
        start: Tensor,
        model: DiffusionModel,
        early: Conditions | None = None,
        first_schedule_type: str | None = None,
    ) -> Sampled:
        """Work ``start`` over. Raises ``NonFiniteError`` when the latent that comes out is not finite."""
        batch, job = self.batch(model), self.first.job
        which = self.hires.reads_for(job)
        request = batch.job.request
        plan = replace(
            plan_of(batch, model, self.engine),
            second_pass=True,
            first_schedule_type=first_schedule_type,
            image_conditioning=self._image_conditioning(start, model),
        )
        switch = RefinerSwitch(
            self.refiner,
            plan,
            batch,
            model,
            engine=self.engine,
            tiles=self.tiles,
            which=which,
            second_pass=True,
        )
        use_networks(batch, model, self.engine)
        cond, uncond = early or conditioning_of(batch, model, self.engine, which)
        result = sample_img2img(
            switch.plan(),
            start,
            noise_of(batch, model, request.width, request.height),
            cond,
            uncond,
            monitor=self.monitor,
            denoising_strength=request.denoising_strength or 0.0,
            exact_steps=True,
        )
        if model.policy.check_finite and not result.interrupted:
            require_finite(result.latent, "the latent of the second pass")
        extra = {**merged_hashes(self.first.extra, batch.extra), **result.extra}
        return Sampled(replace(result, extra=extra), switch.model)

    def _image_conditioning(self, start: Tensor, model: DiffusionModel) -> Tensor | None:
        """Extra channels of inpainting models: all is to be painted, over grey or a faint picture."""
        weight = self.first.job.settings.inpainting_mask_weight
        if model.spec.conditioning == "hybrid" and weight < 1:
            pixels = model.decode_latent(start).clamp(-1, 1).cpu()
            return picture_conditioning(model, pixels, start, None, mask_weight=weight)
        width, height = self.hires.size.final
        return blank_conditioning(model, len(start), width, height)

    def _enlarged(self, picture: Image) -> Image:
        width, height = self.hires.size.enlarged
        return resize_image(ResizeMode.STRETCH, picture, width, height, self._upscale())

    def _upscale(self) -> Callable[[Image, float], Image] | None:
        name, settings = self.hires.upscaler, self.first.job.settings
        if name == "None":
            return None
        upscalers, monitor = self.engine.upscalers, self.monitor
        return lambda picture, scale: upscalers.upscale(name, picture, scale, settings, monitor)


def _pixels(pictures: Sequence[Image]) -> Tensor:
    """Pictures of one size as [N, 3, H, W] in -1..1."""
    unit = np.stack([np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0 for picture in pictures])
    return torch.from_numpy(unit).movedim(3, 1) * 2 - 1
