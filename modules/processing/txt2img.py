"""Text → pictures: the way of one job from its request to its files.

Read from the bottom: ``paint_txt2img`` is the table of contents.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from modules.devices.finite import require_finite
from modules.errors import NonFiniteError
from modules.processing.output import Output
from modules.processing.pictures import decode_pictures
from modules.processing.preparation import Prepared, prepare
from modules.processing.request import Txt2ImgRequest
from modules.processing.result import Processed
from modules.processing.tiling import tiled
from modules.processing.validation import SIZE_UNIT, validate
from modules.prompts.conditioning import Pass
from modules.prompts.extra_networks import parse_batch
from modules.prompts.schedules import prompt_schedule
from modules.sampling.noise import ImageNoise
from modules.sampling.planning import SamplingPlan
from modules.sampling.run import SamplingResult, sample_txt2img

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine
    from modules.sampling.monitor import Monitor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """The pictures that are painted together: ``rows`` are their places in the job."""

    job: Prepared
    rows: range
    prompts: Sequence[str]
    extra: dict[str, Any] = field(default_factory=dict)

    def pick(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The entries of this batch out of a list over the whole job."""
        return tuple(values[row] for row in self.rows)

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        """Negative prompts of this batch."""
        return self.pick(self.job.negative_prompts)


def batch_of(job: Prepared, iteration: int) -> Batch:
    """Batch number ``iteration`` (from 0) of the job, with the entries its texts leave in the infotext."""
    size = job.request.batch_size
    rows = range(iteration * size, (iteration + 1) * size)
    prompts: Sequence[str] = [job.prompts[row] for row in rows]
    if not job.request.disable_extra_networks:
        prompts, _ = parse_batch(prompts)
    batch = Batch(job, rows, prompts)
    batch.extra.update(_text_entries(batch))
    return batch


def _text_entries(batch: Batch) -> dict[str, Any]:
    """Infotext entries that say how the prompts were read."""
    entries: dict[str, Any] = {}
    settings, steps = batch.job.settings, batch.job.request.steps
    if settings.use_old_scheduling and any(
        prompt_schedule(text, steps, old_scheduling=True) != prompt_schedule(text, steps)
        for text in batch.prompts
    ):
        entries["Old prompt editing timelines"] = True
    texts = (*batch.prompts, *batch.negative_prompts)
    if settings.emphasis != "Original" and any("(" in text or "[" in text for text in texts):
        entries["Emphasis"] = settings.emphasis
    return entries


def sample_batch(batch: Batch, model: DiffusionModel, engine: Engine, monitor: Monitor) -> SamplingResult:
    """One sampling run with ``model``; raises ``NonFiniteError`` when its latent is not finite."""
    job, request = batch.job, batch.job.request
    conditioner = engine.conditioners.of(model)
    which = Pass(steps=job.sampler.total_steps(request.steps), old_scheduling=job.settings.use_old_scheduling)
    seeds = batch.pick(job.seeds.seeds)
    noise = ImageNoise(
        (model.latent_channels, request.height // SIZE_UNIT, request.width // SIZE_UNIT),
        seeds,
        batch.pick(job.seeds.subseeds),
        request.subseed_strength,
        seed_resize_from_h=request.seed_resize_from_h,
        seed_resize_from_w=request.seed_resize_from_w,
        source=job.settings.randn_source,
        device=model.device,
        eta_noise_seed_delta=int(job.settings.eta_noise_seed_delta),
    )
    plan = SamplingPlan(
        model=model,
        sampler=job.sampler,
        steps=request.steps,
        cfg_scale=request.cfg_scale,
        seeds=seeds,
        scheduler=job.scheduler,
        settings=job.sampler_settings,
        eta=request.eta,
        s_churn=request.s_churn,
        s_tmin=request.s_tmin,
        s_tmax=request.s_tmax,
        s_noise=request.s_noise,
        s_min_uncond=request.s_min_uncond,
        empty_conditioning=lambda: conditioner.empty_chunk(job.text_options),
    )
    cond = conditioner.cond(batch.prompts, which, job.text_options)
    uncond = conditioner.uncond(batch.negative_prompts, which, job.text_options)
    result = sample_txt2img(plan, noise, cond, uncond, monitor)
    if model.policy.check_finite and not result.interrupted:
        require_finite(result.latent, "the latent")
    return result


def sample_safely(batch: Batch, engine: Engine, monitor: Monitor) -> SamplingResult:
    """``sample_batch``, repeated once in float32 when the first attempt gives NaN or infinity."""
    model = batch.job.model
    try:
        return sample_batch(batch, model, engine, monitor)
    except NonFiniteError as error:
        higher = model.policy.higher()
        if higher is None:
            raise NonFiniteError(
                f"{error} The model computes in full precision already: the checkpoint may be damaged, "
                "or the CFG scale far too high."
            ) from error
        _log.warning("%s The batch is painted again in full precision.", error)
        return sample_batch(batch, model.recast(higher), engine, monitor)


@torch.inference_mode()
def paint_txt2img(
    request: Txt2ImgRequest, engine: Engine, settings: SettingsView, monitor: Monitor
) -> Processed:
    """Paint all pictures of ``request``; the settings already hold its overrides.

    Raises ``InvalidInput``, ``NotFound``, ``ModelFileError`` or ``NonFiniteError``. An interrupted job
    returns what it has.
    """
    validate(request, engine.limits)
    job = prepare(request, engine, settings)
    output = Output(job, engine, getattr(monitor, "job_timestamp", None))
    monitor.begin_job(request.n_iter)
    with tiled(job.model, job.tiling):
        for iteration in range(request.n_iter):
            if monitor.interrupted or monitor.stopping_generation:
                break
            batch = batch_of(job, iteration)
            output.begin_batch(batch.rows, batch.extra)
            result = sample_safely(batch, engine, monitor)
            pictures = decode_pictures(job.model, result.latent)
            output.add_batch(pictures, result.extra, complete=not monitor.interrupted)
            monitor.next_job()
    return output.finish()
