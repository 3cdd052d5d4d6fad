"""The refiner: a second checkpoint takes over the rest of a sampling run.

It is the second expert of an ensemble (Podell et al. 2023, arXiv:2307.01952, section 2.5): the base model is
good at high noise levels, the refiner at low ones, and both work on the same latent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from modules.processing.batches import Batch, conditioning_of
from modules.processing.hires_size import SIZE_UNIT
from modules.processing.image_conditioning import blank_conditioning
from modules.processing.networks import without_loras
from modules.processing.token_merging import merging
from modules.prompts.conditioning import Pass
from modules.sampling.planning import SamplingPlan, noise_schedule
from modules.sampling.run import make_denoiser

if TYPE_CHECKING:
    from modules.checkpoints.catalogue import CheckpointInfo
    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine
    from modules.processing.request import GenerationRequest
    from modules.processing.tiling import Tiles
    from modules.sampling.guidance import GuidedDenoiser

FIRST_PASS, SECOND_PASS = "first pass", "second pass"
_NO_REFINER = (None, "", "None", "none")


@dataclass(frozen=True)
class Refiner:
    """What a request says about its refiner.

    ``info``: the checkpoint, ``None`` for no refiner. ``switch_at``: from which share of the way on it
    paints, 0 to 1; ``None`` means from the start. ``by_steps``: the way is counted in model calls and not in
    noise levels. ``hires_pass``: setting hires_fix_refiner_pass, for requests with two passes.
    """

    info: CheckpointInfo | None = None
    switch_at: float | None = None
    by_steps: bool = False
    hires_pass: str | None = None

    def works_in(self, second_pass: bool) -> bool:
        """Whether it is wanted in this pass."""
        if self.hires_pass is None:
            return True
        return self.hires_pass != (FIRST_PASS if second_pass else SECOND_PASS)


def choose_refiner(
    request: GenerationRequest, engine: Engine, settings: SettingsView, *, two_passes: bool = False
) -> Refiner:
    """The refiner of a request. Raises ``NotFound`` for an unknown checkpoint; loads nothing."""
    name = request.refiner_checkpoint
    return Refiner(
        info=None if name in _NO_REFINER else engine.models.resolve(name),
        switch_at=request.refiner_switch_at,
        by_steps=settings.refiner_switch_by_sample_steps,
        hires_pass=settings.hires_fix_refiner_pass if two_passes else None,
    )


class RefinerSwitch:
    """Watches one sampling run and hands it to the refiner when its time has come.

    ``model`` is the model in force: the one that the finished latent belongs to and must be decoded with.
    """

    def __init__(
        self,
        refiner: Refiner,
        plan: SamplingPlan,
        batch: Batch,
        model: DiffusionModel,
        *,
        engine: Engine,
        tiles: Tiles,
        which: Pass | None = None,
        second_pass: bool = False,
    ) -> None:
        self.refiner = refiner
        self.model = model
        self._tiles = tiles
        self._plan = plan
        self._batch = batch
        self._engine = engine
        self._which = which
        self._second_pass = second_pass
        self._levels = noise_schedule(plan, {}).sigmas
        self._switched = False

    def plan(self) -> SamplingPlan:
        """The plan of the run with this switch in it."""
        hooks = self._plan.hooks
        if self.refiner.info is None and not self.refiner.by_steps:
            return self._plan
        return replace(self._plan, hooks=replace(hooks, before_step=(*hooks.before_step, self)))

    def __call__(self, guided: GuidedDenoiser, x: torch.Tensor, sigma: torch.Tensor) -> None:
        """Called before each model call."""
        refiner = self.refiner
        if refiner.by_steps:
            guided.extra["Refiner switch by sampling steps"] = True
        info = refiner.info
        if self._switched or info is None or info.filename == self.model.info.filename:
            return
        if not refiner.works_in(self._second_pass) or not self._is_due(guided, sigma):
            return
        if refiner.hires_pass not in (None, SECOND_PASS):
            guided.extra["Hires refiner"] = refiner.hires_pass
        guided.extra["Refiner"] = self._engine.short_title(info)
        guided.extra["Refiner switch at"] = refiner.switch_at
        self._switch(guided, x, info)

    def _is_due(self, guided: GuidedDenoiser, sigma: torch.Tensor) -> bool:
        share = self.refiner.switch_at
        if share is None:
            return True
        if self.refiner.by_steps:
            return guided.step / guided.total_steps >= share
        # Reading the level makes the host wait for the device, but only up to the switch.
        level, trained = float(sigma.max()), len(self._levels)
        if self._plan.sampler.uses_timesteps:
            place = int(level)
        else:
            place = int((self._levels - level).abs().argmin())
        return (trained - 1 - place) / trained >= share

    def _switch(self, guided: GuidedDenoiser, x: torch.Tensor, info: CheckpointInfo) -> None:
        batch, policy = self._batch, self.model.policy
        model = self._engine.model_of(info, batch.job.settings)
        if model.policy != policy:
            model = model.recast(policy)  # the run is repeated in full precision
        self._tiles.add(model)
        schedule = noise_schedule(replace(self._plan, model=model), {})
        predict = merging(model, batch.job.token_merging_ratio).predict
        guided.denoiser = make_denoiser(self._plan.sampler, predict, schedule)
        # The reference leaves LoRAs off the refiner; pictures of old texts depend on it.
        batch = replace(batch, networks=without_loras(batch.networks))
        guided.cond, guided.uncond = conditioning_of(batch, model, self._engine, self._which)
        conditioner, options = self._engine.conditioners.of(model), batch.job.text_options
        guided.empty_conditioning = lambda: conditioner.empty_chunk(options)
        if model.spec.conditioning != self.model.spec.conditioning:
            count, _, rows, columns = x.shape
            guided.image_conditioning = blank_conditioning(
                model, count, columns * SIZE_UNIT, rows * SIZE_UNIT
            )
        self.model, self._switched = model, True
