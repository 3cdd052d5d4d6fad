"""One sampling run: plan, noise and conditioning in, latent out.

Nothing is written outside the result: infotext entries come back in ``SamplingResult.extra``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from modules.sampling.brownian import BrownianNoise
from modules.sampling.guidance import CondSchedule, GuidedDenoiser, UncondSchedule
from modules.sampling.k_samplers import sample_k
from modules.sampling.monitor import Monitor, SamplingInterrupted
from modules.sampling.own_samplers import restart_sampler, sample_lcm
from modules.sampling.parameterization import (
    ConsistencyDenoiser,
    Denoiser,
    NoiseSchedule,
    Predict,
    ScaledDenoiser,
    TimestepDenoiser,
)
from modules.sampling.planning import (
    ExtraNoise,
    SamplingPlan,
    img2img_steps,
    noise_schedule,
    run_sigmas,
    run_timesteps,
    stochastic_options,
    without_repeats,
)
from modules.sampling.samplers import Sampler
from modules.sampling.timestep_samplers import ddim, plms
from modules.sampling.unipc import unipc

_CFGPP_SCALE = 1 / 12.5  # so that the usual CFG scales fit CFG++, whose own range is 0 to 1


class NoiseSource(Protocol):
    """``modules.sampling.noise.ImageNoise``, or a stand-in."""

    source: str

    def first(self) -> Tensor:
        """Initial noise [B, C, h, w]."""

    def next(self) -> Tensor:
        """Every later draw."""


@dataclass(frozen=True)
class SamplingResult:
    """``latent`` [B, C, h, w] before the division by the scale factor.

    ``extra``: infotext entries in order. ``interrupted``: the run was stopped, the latent is its last
    estimate. ``eta``: the η in force. ``levels``: noise levels or timesteps of the whole schedule.
    """

    latent: Tensor
    extra: dict[str, Any]
    interrupted: bool = False
    eta: float = 0.0
    levels: Tensor = field(default_factory=lambda: torch.zeros(0))


def make_denoiser(sampler: Sampler, predict: Predict, schedule: NoiseSchedule) -> Denoiser:
    """The wrapper of a network that this sampler works with; a refiner needs one for its own network."""
    if sampler.uses_timesteps:
        return TimestepDenoiser(predict, schedule)
    if sampler.family == "lcm":
        return ConsistencyDenoiser(predict, schedule)
    return ScaledDenoiser(predict, schedule)


class _Run:
    """What both entries share."""

    def __init__(
        self,
        plan: SamplingPlan,
        noise: NoiseSource,
        cond: CondSchedule,
        uncond: UncondSchedule,
        monitor: Monitor,
    ) -> None:
        self.plan = plan
        self.noise = noise
        self.monitor = monitor
        self.extra: dict[str, Any] = {}
        self.schedule = noise_schedule(plan, self.extra)
        cfgpp = plan.sampler.function == "ddim_cfgpp"
        self.guided = GuidedDenoiser(
            denoiser=make_denoiser(plan.sampler, plan.model.predict, self.schedule),
            cond=cond,
            uncond=uncond,
            options=plan.guidance(),
            total_steps=plan.sampler.total_steps(plan.steps),
            monitor=monitor,
            extra=self.extra,
            hooks=plan.hooks,
            image_conditioning=plan.image_conditioning,
            empty_conditioning=plan.empty_conditioning,
            blend=plan.blend,
            scale_multiplier=_CFGPP_SCALE if cfgpp else 1.0,
            keep_uncond=cfgpp,
        )

    def progress(self, state: dict[str, Any]) -> None:
        """Called by samplers once a step."""
        self.guided.sampling_step = state["i"]
        self.monitor.step(state["i"])

    def levels_walk(self, x: Tensor, all_sigmas: Tensor, sigmas: Tensor, partial: bool) -> Tensor:
        """Run a sampler over noise levels ``sigmas``, which may be the end of ``all_sigmas``."""
        sampler, options = self.plan.sampler, stochastic_options(self.plan, self.extra)
        draw = self.noise.next
        if len(sigmas) < 2:
            return x
        if sampler.function in ("restart_sampler", "sample_lcm"):
            own = restart_sampler if sampler.function == "restart_sampler" else sample_lcm
            return own(self.guided, x, without_repeats(sigmas), draw, self.progress)
        if sampler.brownian_noise:
            options["noise_sampler"] = self._brownian(x, all_sigmas)
        if sampler.solver_type:
            options["solver_type"] = sampler.solver_type
        options |= self._span(sigmas, partial)
        return sample_k(
            sampler.function,
            self.guided,
            x,
            draw=draw,
            progress=self.progress,
            options=options,
            install_dir=self.plan.install_dir,
        )

    def _span(self, sigmas: Tensor, partial: bool) -> dict[str, Any]:
        """How the schedule is told to the sampler."""
        if self.plan.sampler.takes == "sigmas":
            return {"sigmas": without_repeats(sigmas)}
        low, high = self.schedule.sigma_min, self.schedule.sigma_max
        if partial:
            # These samplers cannot go down to 0; the level before it is the end.
            low, high = float(sigmas[-2]), float(sigmas[0])
        if low >= high:
            return {"sigmas": torch.stack([sigmas[0], sigmas.new_zeros(())])}
        span: dict[str, Any] = {"sigma_min": low, "sigma_max": high}
        if self.plan.sampler.takes == "range and count":
            span["n"] = len(sigmas) - 1 if partial else self.plan.steps
        return span

    def _brownian(self, x: Tensor, sigmas: Tensor) -> BrownianNoise:
        seeds = self.plan.seeds
        if self.plan.settings.no_dpmpp_sde_batch_determinism:
            seeds = seeds[:1]
        low, high = float(sigmas[sigmas > 0].min()), float(sigmas.max())
        return BrownianNoise(x, low, high, seeds, self.noise.source)

    def timesteps_walk(self, x: Tensor, timesteps: list[int], partial: bool) -> Tensor:
        """Run a sampler over timesteps, given lowest first."""
        options = stochastic_options(self.plan, self.extra)
        alphas, guided, settings = self.schedule.alphas_cumprod, self.guided, self.plan.settings
        if not timesteps:
            return x
        function = self.plan.sampler.function
        if function == "unipc":
            return unipc(
                guided,
                x,
                timesteps,
                alphas,
                self.progress,
                variant=settings.uni_pc_variant,
                skip_type=settings.uni_pc_skip_type,
                order=settings.uni_pc_order,
                lower_order_final=settings.uni_pc_lower_order_final,
                partial=partial,
            )
        if len(timesteps) == 1 and not partial:
            # The rule gives a run of one step one timestep and thus no way to go: let it start at the top.
            timesteps = [*timesteps, len(alphas) - 1]
        if function == "plms":
            return plms(guided, x, timesteps, alphas, self.progress)
        if function == "ddim_cfgpp":
            options["direction"] = lambda eps: guided.last_uncond
        return ddim(guided, x, timesteps, alphas, self.progress, draw=self.noise.next, **options)

    def finish(self, walk: Any, x: Tensor, steps: int, levels: Any) -> SamplingResult:
        """Run ``walk`` from ``x``, and pack up what comes of it, also of an interrupted one."""
        self.guided.last_latent = x
        self.guided.sampling_steps = steps
        self.guided.total_steps = self.plan.sampler.total_steps(steps)
        self.monitor.begin_sampling(steps)
        interrupted = False
        try:
            latent = walk(x)
        except SamplingInterrupted:
            latent, interrupted = self.guided.last_latent, True
        if self.guided.padded:
            self.extra["Pad conds"] = True
        if self.guided.padded_v0:
            self.extra["Pad conds v0"] = True
        eta = self.plan.effective_eta
        return SamplingResult(latent, self.extra, interrupted, eta, torch.as_tensor(levels))


def sample_txt2img(
    plan: SamplingPlan, noise: NoiseSource, cond: CondSchedule, uncond: UncondSchedule, monitor: Monitor
) -> SamplingResult:
    """From pure noise to a latent.

    ``cond`` and ``uncond`` count model calls: they are made for ``plan.sampler.total_steps(plan.steps)``.
    Interrupting returns what there is, flagged; it does not raise.
    """
    run = _Run(plan, noise, cond, uncond, monitor)
    x = noise.first()
    if plan.sampler.uses_timesteps:
        timesteps = run_timesteps(plan, plan.steps, run.extra)
        return run.finish(lambda x: run.timesteps_walk(x, timesteps, False), x, plan.steps, timesteps)
    sigmas = run_sigmas(plan, run.schedule, plan.steps, run.extra)
    top = float(sigmas[0])
    if plan.settings.sgm_noise_multiplier:
        run.extra["SGM noise multiplier"] = True
        top = math.sqrt(1 + top**2)
    return run.finish(lambda x: run.levels_walk(x, sigmas, sigmas, False), x * top, plan.steps, sigmas)


def sample_img2img(
    plan: SamplingPlan,
    init_latent: Tensor,
    noise: NoiseSource,
    cond: CondSchedule,
    uncond: UncondSchedule,
    *,
    monitor: Monitor,
    denoising_strength: float,
    exact_steps: bool = False,
    noise_multiplier: float = 1.0,
) -> SamplingResult:
    """From ``init_latent`` [B, C, h, w] with noise of ``denoising_strength`` (0 to 1) to a latent.

    ``exact_steps``: really take ``plan.steps`` steps, as the second pass of hires fix does and as the setting
    img2img_fix_steps demands. ``noise_multiplier`` scales the initial noise.
    """
    run = _Run(plan, noise, cond, uncond, monitor)
    exact = exact_steps or plan.settings.img2img_fix_steps
    steps, t_enc = img2img_steps(plan.steps, denoising_strength, exact)
    first = noise.first()
    if noise_multiplier != 1:
        first = first * noise_multiplier
    if plan.sampler.uses_timesteps:
        return _img2img_timesteps(run, init_latent, first, steps, t_enc)
    sigmas = run_sigmas(plan, run.schedule, steps, run.extra)
    # A schedule can have fewer levels than asked for; one step down to the last always remains.
    begin = max(min(steps - t_enc - 1, len(sigmas) - 2), 0)
    part = sigmas[begin:] if steps else sigmas[-1:]
    x = init_latent + first * float(part[0])
    x = _with_extra_noise(run, init_latent, first, x, 1.0)
    return run.finish(lambda x: run.levels_walk(x, sigmas, part, True), x, t_enc + 1, sigmas)


def _img2img_timesteps(run: _Run, init: Tensor, noise: Tensor, steps: int, t_enc: int) -> SamplingResult:
    if steps == 0:
        return run.finish(lambda x: x, init, t_enc + 1, [])
    timesteps = run_timesteps(run.plan, steps, run.extra)
    start = float(run.schedule.alphas_cumprod[timesteps[t_enc]])
    x = init * math.sqrt(start) + noise * math.sqrt(1 - start)
    x = _with_extra_noise(run, init, noise, x, math.sqrt(start))
    # One timestep alone would take no step and leave all the noise: then walk down from its level.
    part = timesteps[: 2 if t_enc == 1 else t_enc]
    return run.finish(lambda x: run.timesteps_walk(x, part, True), x, t_enc + 1, timesteps)


def _with_extra_noise(run: _Run, init: Tensor, noise: Tensor, x: Tensor, scale: float) -> Tensor:
    """Add the share of noise that the setting asks for on top of the schedule's."""
    amount = run.plan.settings.img2img_extra_noise
    if amount <= 0:
        return x
    run.extra["Extra noise"] = amount
    given = ExtraNoise(noise, init, x)
    for hook in run.plan.extra_noise_hooks:
        hook(given)
    return given.xi + given.noise * (amount * scale)
