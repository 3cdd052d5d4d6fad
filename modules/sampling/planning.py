"""What a run will do, worked out on the host before the first model call.

Every choice that leaves a trace in the infotext writes it into the ``extra`` dictionary it is given, in the
order of the fields of the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from modules.sampling.guidance import GuidanceHooks, GuidanceOptions, LatentBlend
from modules.sampling.k_samplers import INSTALL_DIR
from modules.sampling.parameterization import ConsistencySchedule, NoiseSchedule, schedule_alphas
from modules.sampling.samplers import Sampler
from modules.sampling.schedulers import ScheduleRange, find_scheduler
from modules.sampling.settings import SamplerSettings
from modules.sampling.timestep_samplers import sampling_timesteps


class SampledModel(Protocol):
    """What sampling needs of ``modules.checkpoints.model.DiffusionModel``."""

    @property
    def spec(self) -> Any:
        """Has ``prediction`` ("eps" or "v") and ``is_sdxl``."""

    @property
    def alphas_cumprod(self) -> Tensor:
        """ᾱ, float32 [1000]."""

    def predict(self, x: Tensor, timesteps: Tensor, cond: Any) -> Tensor:
        """Raw network output."""


@dataclass
class ExtraNoise:
    """What an ``extra_noise`` hook of img2img sees; it may replace ``noise``."""

    noise: Tensor
    x: Tensor
    xi: Tensor


@dataclass(frozen=True)
class SamplingPlan:
    """One sampling run of one batch.

    ``seeds`` has one entry an image. ``scheduler`` is a label or name, ``None`` for Automatic. ``eta`` to
    ``s_min_uncond`` are values of the request, ``None`` where it says nothing. A second pass (hires) sets
    ``second_pass`` and gives the schedule type that the first one recorded. ``image_conditioning`` are the
    extra channels of inpainting and edit models, [B, C, h, w], ``image_cfg_scale`` the guidance of the latter
    by the picture. ``empty_conditioning`` gives the embedding of the empty prompt, [1, 77, D], for padding.
    ``sigmas`` replaces the schedule: a function of the step count.
    """

    model: SampledModel
    sampler: Sampler
    steps: int
    cfg_scale: float
    seeds: tuple[int, ...]
    scheduler: str | None = None
    settings: SamplerSettings = field(default_factory=SamplerSettings)
    eta: float | None = None
    s_churn: float | None = None
    s_tmin: float | None = None
    s_tmax: float | None = None
    s_noise: float | None = None
    s_min_uncond: float | None = None
    second_pass: bool = False
    first_schedule_type: str | None = None
    image_conditioning: Tensor | None = None
    image_cfg_scale: float | None = None
    empty_conditioning: Callable[[], Tensor] | None = None
    blend: LatentBlend | None = None
    hooks: GuidanceHooks = field(default_factory=GuidanceHooks)
    extra_noise_hooks: tuple[Callable[[ExtraNoise], None], ...] = ()
    sigmas: Callable[[int], Tensor] | None = None
    install_dir: Path = INSTALL_DIR

    @property
    def effective_eta(self) -> float:
        """η of the request, else of the setting that belongs to the sampler."""
        return self.eta if self.eta is not None else getattr(self.settings, self.sampler.eta_setting)

    def guidance(self) -> GuidanceOptions:
        """The part of the plan that concerns guidance."""
        settings = self.settings
        return GuidanceOptions(
            cfg_scale=self.cfg_scale,
            batch_cond_uncond=settings.batch_cond_uncond,
            pad_cond_uncond=settings.pad_cond_uncond,
            pad_cond_uncond_v0=settings.pad_cond_uncond_v0,
            skip_early_cond=settings.skip_early_cond,
            s_min_uncond=settings.s_min_uncond if self.s_min_uncond is None else self.s_min_uncond,
            s_min_uncond_all=settings.s_min_uncond_all,
            preview_content=settings.live_preview_content,
            image_cfg_scale=self.image_cfg_scale,
        )


def noise_schedule(plan: SamplingPlan, extra: dict[str, Any]) -> NoiseSchedule:
    """The model's noise levels under the settings that change them."""
    settings = plan.settings
    if settings.use_downcasted_alpha_bar:
        extra["Downcast alphas_cumprod"] = True
    if settings.zero_snr:
        extra["Noise Schedule"] = settings.sd_noise_schedule
    alphas = schedule_alphas(plan.model.alphas_cumprod, settings.use_downcasted_alpha_bar, settings.zero_snr)
    if plan.sampler.family == "lcm":
        return ConsistencySchedule(alphas)
    return NoiseSchedule(alphas, plan.model.spec.prediction, settings.enable_quantization)


def _discards(plan: SamplingPlan, extra: dict[str, Any]) -> bool:
    """Whether one step more is scheduled for a level that is then left out."""
    if plan.sampler.discard_next_to_last_sigma:
        return True
    if plan.settings.always_discard_next_to_last_sigma:
        extra["Discard penultimate sigma"] = True
        return True
    return False


def _schedule_range(
    plan: SamplingPlan, schedule: NoiseSchedule, default_rho: float, extra: dict[str, Any]
) -> ScheduleRange:
    settings = plan.settings
    low, high, rho = schedule.sigma_min, schedule.sigma_max, default_rho
    if settings.use_old_karras_scheduler_sigmas:
        low, high = 0.1, 10.0
    if settings.sigma_min not in (0, schedule.sigma_min):
        low = extra["Schedule min sigma"] = settings.sigma_min
    if settings.sigma_max not in (0, schedule.sigma_max):
        high = extra["Schedule max sigma"] = settings.sigma_max
    if default_rho != -1 and settings.rho not in (0, default_rho):
        rho = extra["Schedule rho"] = settings.rho
    return ScheduleRange(
        schedule,
        low,
        high,
        rho,
        settings.beta_dist_alpha,
        settings.beta_dist_beta,
        bool(getattr(plan.model.spec, "is_sdxl", False)),
    )


def run_sigmas(plan: SamplingPlan, schedule: NoiseSchedule, steps: int, extra: dict[str, Any]) -> Tensor:
    """Noise levels of a run of ``steps`` steps, host float32, highest first."""
    discard = _discards(plan, extra)
    count = steps + 1 if discard else steps
    row = find_scheduler(plan.scheduler)
    if row.function is None:
        row = find_scheduler(plan.sampler.scheduler)
    if plan.sigmas is not None:
        sigmas = plan.sigmas(count).detach().cpu().float()
    elif row.function is None or count == 0:
        sigmas = schedule.default_sigmas(count)
    else:
        if not plan.second_pass:
            extra["Schedule type"] = row.label
        elif row.label != plan.first_schedule_type:
            extra["Hires schedule type"] = row.label
        span = _schedule_range(plan, schedule, row.default_rho, extra)
        if row.name == "beta":
            extra["Beta schedule alpha"] = span.alpha
            extra["Beta schedule beta"] = span.beta
        sigmas = row.function(count, span)
    return torch.cat([sigmas[:-2], sigmas[-1:]]) if discard else sigmas


def run_timesteps(plan: SamplingPlan, steps: int, extra: dict[str, Any]) -> list[int]:
    """Timesteps of a run of ``steps`` steps, lowest first."""
    return sampling_timesteps(steps + 1 if _discards(plan, extra) else steps)


def stochastic_options(plan: SamplingPlan, extra: dict[str, Any]) -> dict[str, Any]:
    """η and the churn parameters that the sampler takes.

    A setting that is not at its default wins over the request, and only it is written to the infotext.
    """
    sampler, settings = plan.sampler, plan.settings
    options: dict[str, Any] = {}
    if sampler.accepts_eta:
        options["eta"] = plan.effective_eta
        if plan.effective_eta != sampler.eta_default:
            extra[sampler.eta_infotext] = plan.effective_eta
    labels = {"s_churn": "churn", "s_tmin": "tmin", "s_tmax": "tmax", "s_noise": "noise"}
    for name, label in labels.items():
        if name not in sampler.extra_params:
            continue
        setting, requested = getattr(settings, name), getattr(plan, name)
        changed = setting != getattr(SamplerSettings, name)
        value = setting if changed or requested is None else requested
        options[name] = value or math.inf if name == "s_tmax" else value
        if changed:
            extra[f"Sigma {label}"] = setting
    return options


def img2img_steps(requested: int, strength: float, exact: bool) -> tuple[int, int]:
    """Length of the schedule, and how many of its steps are taken after the first (``t_enc``).

    ``exact``: the requested number of steps is really taken, out of a longer schedule; otherwise a share
    ``strength`` of the requested ones is.
    """
    share = min(strength, 0.999)
    if exact:
        return (int(requested / share) if strength > 0 else 0), requested - 1
    return requested, int(share * requested)


def without_repeats(sigmas: Tensor) -> Tensor:
    """Drop levels equal to the one before: multistep samplers divide by the distance."""
    keep = torch.ones(len(sigmas), dtype=torch.bool)
    keep[1:] = sigmas[1:] != sigmas[:-1]
    return sigmas[keep]
