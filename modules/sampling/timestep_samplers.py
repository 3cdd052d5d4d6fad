"""DDIM, DDIM with CFG++, and PLMS: samplers over integer timesteps (UniPC is in ``unipc.py``).

``x`` is variance preserving, x_t = √ᾱ_t·x0 + √(1−ᾱ_t)·ε, and the model returns ε. A walk goes from the
highest timestep of the list down to its lowest, whose noise level remains.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Draw = Callable[[], Tensor]
Progress = Callable[[dict[str, Any]], None]


class TimestepModel(Protocol):
    """The guided ε of a run."""

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """ε for ``x`` [B, C, h, w] at timesteps ``t`` [B]."""


def sampling_timesteps(steps: int) -> list[int]:
    """Timesteps of a run, lowest first: every (1000 // steps)-th plus 1, at most 999.

    Where ``steps`` does not divide 1000 there are more of them than steps.
    """
    stride = max(1000 // steps, 1)
    return [min(t + 1, 999) for t in range(0, 1000, stride)]


def _walk(timesteps: Sequence[int], alphas: Tensor) -> list[tuple[int, float, int, float]]:
    """(timestep, ᾱ, next lower timestep, its ᾱ) from the highest to the second lowest."""
    path = list(reversed(timesteps))
    return [(t, float(alphas[t]), low, float(alphas[low])) for t, low in itertools.pairwise(path)]


@torch.no_grad()
def ddim(
    model: TimestepModel,
    x: Tensor,
    timesteps: Sequence[int],
    alphas: Tensor,
    progress: Progress,
    *,
    draw: Draw,
    eta: float = 0.0,
    direction: Callable[[Tensor], Tensor] = lambda eps: eps,
) -> Tensor:
    """Song et al. 2020, arXiv:2010.02502, equations 12 and 16.

    ``alphas`` is ᾱ [T] on the host. ``direction`` chooses, given the guided ε, the ε that points back to
    the noise: CFG++ (Chung et al. 2024, arXiv:2406.08070) takes the unconditional one.
    """
    ones = x.new_ones(len(x))
    for index, (t, a, _, a_low) in enumerate(_walk(timesteps, alphas)):
        eps = model(x, t * ones)
        sigma = eta * math.sqrt((1 - a_low) / (1 - a) * (1 - a / a_low))
        clean = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
        progress({"x": x, "i": index, "sigma": 0, "sigma_hat": 0, "denoised": clean})
        # η near 1 can make the difference negative by a rounding error.
        back = math.sqrt(max(1 - a_low - sigma**2, 0.0))
        x = math.sqrt(a_low) * clean + back * direction(eps)
        if sigma > 0:
            x = x + sigma * draw().to(x)
    return x


@torch.no_grad()
def plms(
    model: TimestepModel, x: Tensor, timesteps: Sequence[int], alphas: Tensor, progress: Progress
) -> Tensor:
    """Liu et al. 2022, arXiv:2202.09778: Adams–Bashforth up to order 4, begun with one Heun step."""
    ones = x.new_ones(len(x))
    history: list[Tensor] = []

    def step(eps: Tensor, a: float, a_low: float) -> Tensor:
        clean = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
        return math.sqrt(a_low) * clean + math.sqrt(1 - a_low) * eps

    for index, (t, a, t_low, a_low) in enumerate(_walk(timesteps, alphas)):
        eps = model(x, t * ones)
        if not history:
            mixed = (eps + model(step(eps, a, a_low), t_low * ones)) / 2
        elif len(history) == 1:
            mixed = (3 * eps - history[-1]) / 2
        elif len(history) == 2:
            mixed = (23 * eps - 16 * history[-1] + 5 * history[-2]) / 12
        else:
            mixed = (55 * eps - 59 * history[-1] + 37 * history[-2] - 9 * history[-3]) / 24
        progress({"x": x, "i": index, "sigma": 0, "sigma_hat": 0, "denoised": eps})
        x = step(mixed, a, a_low)
        history = [*history[-2:], eps]
    return x
