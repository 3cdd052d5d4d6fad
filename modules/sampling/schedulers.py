"""The 12 schedule types: how the noise levels of a run are spread between the highest and the lowest.

Every function returns host float32 levels, highest first. ``ScheduleRange`` holds what they may use.
A new schedule is one function and one row of ``SCHEDULERS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modules.errors import NotFound
from modules.sampling.parameterization import NoiseSchedule

# Sabour et al. 2024, arXiv:2404.14507, the published tables for 10 steps.
_AYS_SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)
_AYS_SD1 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)


@dataclass(frozen=True)
class ScheduleRange:
    """What a schedule function may look at.

    ``rho`` is the curvature of the schedules that have one; ``alpha`` and ``beta`` shape the Beta schedule.
    """

    model: NoiseSchedule
    sigma_min: float
    sigma_max: float
    rho: float = 7.0
    alpha: float = 0.6
    beta: float = 0.6
    is_sdxl: bool = False


ScheduleFunction = Callable[[int, ScheduleRange], Tensor]


@dataclass(frozen=True)
class Scheduler:
    """One schedule type: ``name`` for code, ``label`` for people and infotext.

    ``function`` is ``None`` for Automatic, which means the sampler's own choice. ``default_rho`` is -1
    where ρ has no meaning.
    """

    name: str
    label: str
    function: ScheduleFunction | None = None
    default_rho: float = -1
    need_inner_model: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """Label, name and aliases: the endings by which an old sampler name is recognised, in order."""
        return (self.label, self.name, *self.aliases)


def _ending_in_zero(levels: Tensor | Sequence[float]) -> Tensor:
    levels = torch.as_tensor(levels, dtype=torch.float32)
    return torch.cat([levels, levels.new_zeros(1)])


def uniform(n: int, span: ScheduleRange) -> Tensor:
    """Uniform in the training timestep, over the whole range of the model."""
    return span.model.default_sigmas(n)


def karras(n: int, span: ScheduleRange) -> Tensor:
    """Karras et al. 2022, equation 5: uniform in σ^(1/ρ)."""
    low, high = span.sigma_min ** (1 / span.rho), span.sigma_max ** (1 / span.rho)
    return _ending_in_zero((high + torch.linspace(0, 1, n) * (low - high)) ** span.rho)


def exponential(n: int, span: ScheduleRange) -> Tensor:
    """Uniform in log σ."""
    return _ending_in_zero(torch.linspace(math.log(span.sigma_max), math.log(span.sigma_min), n).exp())


def polyexponential(n: int, span: ScheduleRange) -> Tensor:
    """A power ρ of the ramp, in log σ; ρ = 1 is the exponential schedule."""
    low, high = math.log(span.sigma_min), math.log(span.sigma_max)
    return _ending_in_zero((torch.linspace(1, 0, n) ** span.rho * (high - low) + low).exp())


def _timestep_range(span: ScheduleRange) -> tuple[float, float]:
    ends = span.model.sigma_to_t(torch.tensor([span.sigma_max, span.sigma_min]))
    return float(ends[0]), float(ends[1])


def normal(n: int, span: ScheduleRange) -> Tensor:
    """Uniform in the timestep between the timesteps of the highest and the lowest level."""
    return _ending_in_zero(span.model.t_to_sigma(torch.linspace(*_timestep_range(span), n)))


def sgm_uniform(n: int, span: ScheduleRange) -> Tensor:
    """Like ``normal`` with one level more, of which the lowest is left out."""
    return _ending_in_zero(span.model.t_to_sigma(torch.linspace(*_timestep_range(span), n + 1)[:-1]))


def simple(n: int, span: ScheduleRange) -> Tensor:
    """Every (T/n)-th trained level, counted from the highest."""
    total = len(span.model)
    return _ending_in_zero(span.model.sigmas[[total - 1 - int(k * (total / n)) for k in range(n)]])


def ddim(n: int, span: ScheduleRange) -> Tensor:
    """Every (T//n)-th trained level from the second lowest up; more than n where n does not divide T."""
    stride = max(len(span.model) // max(n, 1), 1)
    return _ending_in_zero(span.model.sigmas[1::stride].flip(0))


def kl_optimal(n: int, span: ScheduleRange) -> Tensor:
    """Uniform in arctan σ (Sabour et al. 2024, theorem 3.1); n + 1 levels that end at σ_min, without a 0."""
    if n == 0:
        return torch.zeros(1)
    share = torch.arange(n + 1) / n
    return torch.tan(share * math.atan(span.sigma_min) + (1 - share) * math.atan(span.sigma_max))


def align_your_steps(n: int, span: ScheduleRange) -> Tensor:
    """The published tables, log-linearly interpolated to ``n`` levels.

    A single level is the highest: the lowest, which plain interpolation would give, means that the network
    sees noise where it expects a nearly finished latent.
    """
    table = _AYS_SDXL if span.is_sdxl else _AYS_SD1
    if n == len(table):
        return _ending_in_zero(table)
    if n == 1:
        return _ending_in_zero(table[:1])
    places = np.linspace(0, 1, n)
    levels = np.exp(np.interp(places, np.linspace(0, 1, len(table)), np.log(table)))
    return _ending_in_zero(torch.from_numpy(levels))


def beta(n: int, span: ScheduleRange) -> Tensor:
    """Quantiles of a beta distribution (Lee et al. 2024, arXiv:2407.12173), scaled to the range."""
    from scipy.special import betaincinv  # 0.1 s of import that only this schedule needs

    quantiles = betaincinv(span.alpha, span.beta, 1 - np.linspace(0, 1, n))
    levels = span.sigma_min + quantiles * (span.sigma_max - span.sigma_min)
    return _ending_in_zero(torch.from_numpy(levels))


SCHEDULERS: tuple[Scheduler, ...] = (
    Scheduler("automatic", "Automatic"),
    Scheduler("uniform", "Uniform", uniform, need_inner_model=True),
    Scheduler("karras", "Karras", karras, default_rho=7.0),
    Scheduler("exponential", "Exponential", exponential),
    Scheduler("polyexponential", "Polyexponential", polyexponential, default_rho=1.0),
    Scheduler("sgm_uniform", "SGM Uniform", sgm_uniform, need_inner_model=True, aliases=("SGMUniform",)),
    Scheduler("kl_optimal", "KL Optimal", kl_optimal),
    Scheduler("align_your_steps", "Align Your Steps", align_your_steps),
    Scheduler("simple", "Simple", simple, need_inner_model=True),
    Scheduler("normal", "Normal", normal, need_inner_model=True),
    Scheduler("ddim", "DDIM", ddim, need_inner_model=True),
    Scheduler("beta", "Beta", beta, need_inner_model=True),
)

AUTOMATIC = SCHEDULERS[0]


def known_scheduler(name: str | None) -> Scheduler | None:
    """The schedule type with this name or label, or ``None``."""
    return next((row for row in SCHEDULERS if name in (row.name, row.label)), None)


def find_scheduler(name: str | None) -> Scheduler:
    """The schedule type with this name or label; ``None`` and ``""`` mean Automatic.

    Raises ``NotFound`` for anything else.
    """
    if not name:
        return AUTOMATIC
    found = known_scheduler(name)
    if found is None:
        labels = ", ".join(row.label for row in SCHEDULERS)
        raise NotFound(f"There is no schedule type {name!r}. Choose one of: {labels}.")
    return found
