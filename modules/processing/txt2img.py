"""Text → pictures: the way of one job from its request to its files.

Read from the bottom: ``paint_txt2img`` is the table of contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from modules.devices.finite import require_finite
from modules.processing.batches import Batch, batch_of, conditioning_of, noise_of, plan_of, with_retry
from modules.processing.hires import Hires, choose_hires, settle_size, sized_by_picture
from modules.processing.hooks import NO_HOOKS, JobHooks
from modules.processing.image_conditioning import blank_conditioning
from modules.processing.output import Output
from modules.processing.preparation import prepare
from modules.processing.refiner import Refiner, RefinerSwitch, choose_refiner
from modules.processing.request import Txt2ImgRequest
from modules.processing.result import Processed
from modules.processing.second_pass import Sampled, SecondPass
from modules.processing.tiling import Tiles, tiled
from modules.processing.validation import validate
from modules.sampling.monitor import SamplingInterrupted
from modules.sampling.run import sample_txt2img

if TYPE_CHECKING:
    from PIL.Image import Image

    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine
    from modules.sampling.monitor import Monitor


@dataclass(frozen=True)
class Painter:
    """Paints the batches of one job. ``given``: a picture that takes the place of the first pass."""

    hires: Hires | None
    refiner: Refiner
    output: Output
    engine: Engine
    monitor: Monitor
    tiles: Tiles
    given: Image | None = None

    def paint(self, batch: Batch) -> None:
        """Paint one batch and hand it to the output. Stopped between the passes, the first one counts."""
        if self.hires is None:
            sampled = self._first_pass(batch)
            self._add(sampled.pictures(batch.job.hooks), sampled.result.extra)
            return
        second = SecondPass(self.hires, batch, self.refiner, self.engine, self.monitor, self.tiles)
        early = second.early_conditions()
        first = [self.given] * len(batch.rows) if self.given is not None else self._first_pass(batch)
        extra: dict[str, Any] = {} if not isinstance(first, Sampled) else dict(first.result.extra)
        if not self._stopped:
            self._keep_first(first, batch)
            batch.job.hooks.before_second_pass()
            self.monitor.next_job()
            with suppress(SamplingInterrupted):  # in the upscaler: the first pass is what there is
                first, extra = self._second_pass(second, first, extra, early)
        last = first.pictures(batch.job.hooks) if isinstance(first, Sampled) else first
        self._add(last, extra)

    @property
    def _stopped(self) -> bool:
        return self.monitor.interrupted or self.monitor.skipped

    def _add(self, pictures: Sequence[Image], extra: dict[str, Any]) -> None:
        self.output.add_batch(self.output.restored(pictures), extra, complete=not self._stopped)

    def _first_pass(self, batch: Batch) -> Sampled:
        return with_retry(batch.job.model, partial(self._sample, batch))

    def _sample(self, batch: Batch, model: DiffusionModel) -> Sampled:
        """One sampling run with ``model``; raises ``NonFiniteError`` when its latent is not finite."""
        request = batch.job.request
        self.tiles.add(model)
        noise = noise_of(batch, model, request.width, request.height)
        blank = blank_conditioning(model, len(batch.rows), request.width, request.height)
        plan = replace(plan_of(batch, model, self.engine), image_conditioning=blank)
        switch = RefinerSwitch(self.refiner, plan, batch, model, engine=self.engine, tiles=self.tiles)
        cond, uncond = conditioning_of(batch, model, self.engine)
        result = sample_txt2img(switch.plan(), noise, cond, uncond, self.monitor)
        if model.policy.check_finite and not result.interrupted:
            require_finite(result.latent, "The latent")
        return Sampled(result, switch.model)

    def _second_pass(
        self, second: SecondPass, first: Sampled | Sequence[Image], extra: dict[str, Any], early: Any
    ) -> tuple[Sampled, dict[str, Any]]:
        model = second.model()
        start = second.start(first, model)

        def attempt(model: DiffusionModel) -> Sampled:
            self.tiles.add(model)
            return second.sample(start, model, early, extra.get("Schedule type"))

        sampled = with_retry(model, attempt)
        return sampled, {**extra, **sampled.result.extra}

    def _keep_first(self, first: Sampled | Sequence[Image], batch: Batch) -> None:
        """Save the pictures of the first pass, if that is wanted."""
        if batch.job.settings.save_images_before_highres_fix and isinstance(first, Sampled):
            for picture, row in zip(first.pictures(), batch.rows, strict=True):
                self.output.save_intermediate(picture, row, "-before-highres-fix")


@torch.inference_mode()
def paint_txt2img(
    request: Txt2ImgRequest,
    engine: Engine,
    settings: SettingsView,
    monitor: Monitor,
    hooks: JobHooks = NO_HOOKS,
) -> Processed:
    """Paint all pictures of ``request``; the settings already hold its overrides.

    Raises ``InvalidInput``, ``NotFound``, ``ModelFileError`` or ``NonFiniteError``. An interrupted job
    returns what it has.
    """
    asked = f"{request.width}x{request.height}"
    request = sized_by_picture(request)
    validate(request, engine.limits)
    request, size = settle_size(request, settings)
    hires = choose_hires(request, size, engine, settings) if size else None
    refiner = choose_refiner(request, engine, settings, two_passes=hires is not None)
    job = prepare(request, engine, settings, hooks)
    output = Output(job, engine, getattr(monitor, "job_timestamp", None))
    if request.firstpass_image is not None:
        output.extra["Original Size"] = asked
    if hires:
        output.extra.update(hires.entries(engine, job.sampler.name))
    monitor.begin_job(request.n_iter * (2 if hires else 1))
    with tiled(job.model, job.tiling) as tiles:
        painter = Painter(hires, refiner, output, engine, monitor, tiles, request.firstpass_image)
        for iteration in range(request.n_iter):
            if monitor.interrupted or monitor.stopping_generation:
                break
            batch = batch_of(job, iteration, engine)
            output.begin_batch(batch.rows, batch.extra)
            painter.paint(batch)
            monitor.next_job()
    return output.finish()
