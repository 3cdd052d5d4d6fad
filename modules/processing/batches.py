"""The pictures that are painted together, and the parts of sampling that every kind of job shares."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from modules.errors import NonFiniteError
from modules.processing.networks import embedding_entry, lora_entry
from modules.processing.preparation import Prepared
from modules.processing.token_merging import merging
from modules.processing.validation import SIZE_UNIT
from modules.prompts.conditioning import CondSchedule, Pass, UncondSchedule
from modules.prompts.extra_networks import Networks, parse_batch
from modules.prompts.schedules import prompt_schedule
from modules.sampling.noise import ImageNoise
from modules.sampling.planning import SamplingPlan

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel
    from modules.processing.engine import Engine

Painted = TypeVar("Painted")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """One sampling run: ``rows`` are the places of its pictures in the job.

    ``prompts`` are free of extra network tags; ``networks`` holds what the tags asked for. ``extra`` are
    entries that the texts leave in the infotext.
    """

    job: Prepared
    rows: range
    prompts: tuple[str, ...]
    networks: Networks = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def pick(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The entries of this batch out of a list over the whole job."""
        return tuple(values[row] for row in self.rows)

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        """Negative prompts of this batch."""
        return self.pick(self.job.negative_prompts)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of this batch."""
        return self.pick(self.job.seeds.seeds)


def batch_of(job: Prepared, iteration: int, engine: Engine) -> Batch:
    """Batch number ``iteration`` (from 0) of the job; its networks are put on the model."""
    size = job.request.batch_size
    rows = range(iteration * size, (iteration + 1) * size)
    job = job.hooks.before_batch(job, rows)
    prompts, networks = parse_batch([job.prompts[row] for row in rows])
    if job.request.disable_extra_networks:
        networks = {}
    batch = Batch(job, rows, tuple(prompts), networks)
    use_networks(batch, job.model, engine)
    batch = job.hooks.batch(batch)
    batch.extra.update(_text_entries(batch, engine))
    return batch


def use_networks(batch: Batch, model: DiffusionModel, engine: Engine) -> None:
    """Make ``model`` hold the networks of the batch and no others; costs nothing when it does already."""
    keep = int(batch.job.settings.lora_in_memory_limit)
    engine.networks.put_on(model, batch.networks, engine.conditioners.of(model), keep)


def _text_entries(batch: Batch, engine: Engine) -> dict[str, Any]:
    """Infotext entries that say how the prompts were read."""
    entries: dict[str, Any] = lora_entry(batch.networks, engine.networks.folders, batch.job.settings)
    settings, steps = batch.job.settings, batch.job.request.steps
    if settings.use_old_scheduling and any(
        prompt_schedule(text, steps, old_scheduling=True) != prompt_schedule(text, steps)
        for text in batch.prompts
    ):
        entries["Old prompt editing timelines"] = True
    entries.update(embedding_entry(batch, engine.conditioners.of(batch.job.model), engine.networks))
    texts = (*batch.prompts, *batch.negative_prompts)
    if settings.emphasis != "Original" and any("(" in text or "[" in text for text in texts):
        entries["Emphasis"] = settings.emphasis
    return entries


def noise_of(batch: Batch, model: DiffusionModel, width: int, height: int) -> ImageNoise:
    """The random numbers of the batch for pictures of ``width`` x ``height`` pixels."""
    request, settings = batch.job.request, batch.job.settings
    noise = ImageNoise(
        (model.latent_channels, height // SIZE_UNIT, width // SIZE_UNIT),
        batch.seeds,
        batch.pick(batch.job.seeds.subseeds),
        request.subseed_strength,
        seed_resize_from_h=request.seed_resize_from_h,
        seed_resize_from_w=request.seed_resize_from_w,
        source=settings.randn_source,
        device=model.device,
        eta_noise_seed_delta=int(settings.eta_noise_seed_delta),
    )
    return batch.job.hooks.noise(batch, noise)


def first_pass(job: Prepared) -> Pass:
    """What prompts are read for when there is no second pass, or before it."""
    return Pass(
        steps=job.sampler.total_steps(job.request.steps), old_scheduling=job.settings.use_old_scheduling
    )


def conditioning_of(
    batch: Batch, model: DiffusionModel, engine: Engine, which: Pass | None = None
) -> tuple[CondSchedule, UncondSchedule]:
    """Prompts and negative prompts of the batch over the steps of ``which``, the first pass by default.

    The networks of the batch are put on ``model`` first: they change its text encoders too.
    """
    job = batch.job
    use_networks(batch, model, engine)
    conditioner = engine.conditioners.of(model)
    which = which or first_pass(job)
    return (
        conditioner.cond(batch.prompts, which, job.text_options),
        conditioner.uncond(batch.negative_prompts, which, job.text_options),
    )


def plan_of(batch: Batch, model: DiffusionModel, engine: Engine) -> SamplingPlan:
    """The sampling plan of the first pass, without the extra channels of models that see a picture."""
    job, request = batch.job, batch.job.request
    conditioner = engine.conditioners.of(model)
    plan = SamplingPlan(
        model=merging(model, job.token_merging_ratio),
        sampler=job.sampler,
        steps=request.steps,
        cfg_scale=request.cfg_scale,
        seeds=batch.seeds,
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
    return job.hooks.plan(plan)


def with_retry(model: DiffusionModel, attempt: Callable[[DiffusionModel], Painted]) -> Painted:
    """``attempt(model)``, repeated once in float32 when it ends in NaN or infinity.

    Raises ``NonFiniteError`` when that does not help, or when the model computes in float32 already.
    """
    try:
        return attempt(model)
    except NonFiniteError as error:
        higher = model.policy.higher()
        if higher is None:
            raise NonFiniteError(
                f"{error} The model computes in full precision already: the checkpoint may be damaged, "
                "or the CFG scale far too high."
            ) from error
        _log.warning("%s The batch is painted again in full precision.", error)
        return attempt(model.recast(higher))
