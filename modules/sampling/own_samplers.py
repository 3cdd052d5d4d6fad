"""Samplers over noise levels that k-diffusion does not have: Restart and LCM."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Model = Callable[[Tensor, Tensor], Tensor]
Draw = Callable[[], Tensor]
Progress = Callable[[dict[str, Any]], None]

_RESTART_FROM, _RESTART_TO = 0.1, 2.0  # the interval of σ that is walked again


def _karras(n: int, low: Tensor, high: Tensor, rho: float = 7.0) -> Tensor:
    """Levels from ``high`` to ``low``, then 0, uniform in σ^(1/ρ)."""
    ends = float(low) ** (1 / rho), float(high) ** (1 / rho)
    levels = (ends[1] + torch.linspace(0, 1, n) * (ends[0] - ends[1])) ** rho
    return torch.cat([levels, levels.new_zeros(1)])


def restart_plan(sigmas: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pairs (from, to) of noise levels in the order in which Restart takes them.

    Xu et al. 2023, arXiv:2306.14878, with one interval: below 20 steps none; from 20 steps 9 steps once,
    from 36 steps a quarter of the steps twice. What remains of the budget is spread by the Karras rule.
    """
    steps = len(sigmas) - 1
    if steps < 20:
        return list(itertools.pairwise(sigmas))
    length, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    sigmas = _karras(steps - length * times, sigmas[-2], sigmas[0])
    bottom = int((sigmas - _RESTART_FROM).abs().argmin())
    top = int((sigmas - _RESTART_TO).abs().argmin())
    pairs = list(itertools.pairwise(sigmas))
    if top >= bottom:
        return pairs
    again = _karras(length + 1, sigmas[bottom], sigmas[top])[:-1]
    loop = list(itertools.pairwise(again)) * times
    return pairs[:bottom] + loop + pairs[bottom:]


@torch.no_grad()
def restart_sampler(model: Model, x: Tensor, sigmas: Tensor, draw: Draw, progress: Progress) -> Tensor:
    """Heun steps that go back up by adding noise and come down again (Xu et al. 2023, algorithm 1)."""
    ones = x.new_ones(len(x))
    reached: Tensor | None = None
    for index, (start, end) in enumerate(restart_plan(sigmas)):
        if reached is not None and reached < start:
            x = x + draw().to(x) * (start**2 - reached**2) ** 0.5
        denoised = model(x, start * ones)
        slope = (x - denoised) / start
        progress({"x": x, "i": index, "sigma": end, "sigma_hat": start, "denoised": denoised})
        ahead = x + slope * (end - start)
        if end > 0:
            slope_ahead = (ahead - model(ahead, end * ones)) / end
            ahead = x + (slope + slope_ahead) / 2 * (end - start)
        x, reached = ahead, end
    return x


@torch.no_grad()
def sample_lcm(model: Model, x: Tensor, sigmas: Tensor, draw: Draw, progress: Progress) -> Tensor:
    """Multistep consistency sampling: jump to the estimate, add noise of the next level (Luo et al. 2023)."""
    ones = x.new_ones(len(x))
    for index, (start, end) in enumerate(itertools.pairwise(sigmas)):
        denoised = model(x, start * ones)
        progress({"x": x, "i": index, "sigma": start, "sigma_hat": start, "denoised": denoised})
        x = denoised + end * draw().to(x) if end > 0 else denoised
    return x
