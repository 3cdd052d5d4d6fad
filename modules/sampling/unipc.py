"""UniPC, the unified predictor–corrector (Zhao et al. 2023, arXiv:2302.04867), predicting x0.

All coefficients are host numbers: they depend on the schedule alone. With λ = log(√ᾱ/√(1−ᾱ)) and
h = λ_t − λ_s the linear part is exact and the rest is a combination of differences of model outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modules.errors import InvalidInput

Progress = Callable[[dict[str, Any]], None]
Array = NDArray[np.float64]

VARIANTS = ("bh1", "bh2", "vary_coeff")
SKIP_TYPES = ("time_uniform", "time_quadratic", "logSNR")


class ContinuousSchedule:
    """The trained levels as functions of a time in (0, 1]: level k of N lies at time (k + 1) / N."""

    def __init__(self, alphas: Tensor) -> None:
        self.count = len(alphas)
        self._times: Array = np.linspace(0.0, 1.0, self.count + 1)[1:]
        self._log_signal: Array = 0.5 * np.log(alphas.detach().cpu().double().numpy())

    def log_signal(self, t: float) -> float:
        """log √ᾱ, linear between the trained levels and beyond them."""
        return float(_interpolate(t, self._times, self._log_signal))

    def half_log_snr(self, t: float) -> float:
        """λ = log √ᾱ − log √(1−ᾱ)."""
        log_signal = self.log_signal(t)
        return log_signal - 0.5 * math.log(-math.expm1(2 * log_signal))

    def time_of(self, half_log_snr: float) -> float:
        """Inverse of ``half_log_snr``."""
        log_signal = -0.5 * float(np.logaddexp(0.0, -2 * half_log_snr))
        return float(_interpolate(log_signal, self._log_signal[::-1], self._times[::-1]))

    def spread(self, start: float, end: float, steps: int, skip_type: str) -> list[float]:
        """``steps`` + 1 times from ``start`` down to ``end``."""
        if skip_type == "logSNR":
            ends = self.half_log_snr(start), self.half_log_snr(end)
            return [self.time_of(value) for value in np.linspace(*ends, steps + 1)]
        if skip_type == "time_uniform":
            return [float(t) for t in np.linspace(start, end, steps + 1)]
        if skip_type == "time_quadratic":
            return [float(t) for t in np.linspace(start**0.5, end**0.5, steps + 1) ** 2]
        raise InvalidInput(
            f"The UniPC skip type is {skip_type!r}; expected one of {', '.join(SKIP_TYPES)}.",
            field="uni_pc_skip_type",
        )


def _interpolate(x: float, xs: Array, ys: Array) -> float:
    """Piecewise linear through (xs, ys), xs ascending, continued beyond both ends."""
    k = int(np.clip(np.searchsorted(xs, x) - 1, 0, len(xs) - 2))
    return float(ys[k] + (x - xs[k]) * (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k]))


@dataclass
class _Past:
    """Model outputs (estimates of x0) and their λ, newest last."""

    estimates: list[Tensor] = field(default_factory=list)
    lambdas: list[float] = field(default_factory=list)

    def add(self, estimate: Tensor, half_log_snr: float, keep: int) -> None:
        self.estimates = [*self.estimates, estimate][-keep:]
        self.lambdas = [*self.lambdas, half_log_snr][-keep:]

    def differences(self, order: int, h: float) -> tuple[list[float], list[Tensor]]:
        """r_k = (λ_k − λ_0)/h and (m_k − m_0)/r_k for the order − 1 outputs before the newest."""
        ratios = [(self.lambdas[-1 - k] - self.lambdas[-1]) / h for k in range(1, order)]
        newest = self.estimates[-1]
        return ratios, [(self.estimates[-2 - k] - newest) / r for k, r in enumerate(ratios)]


@dataclass(frozen=True)
class _Weights:
    """What multiplies the differences: of the predictor, of the corrector, and of its new difference."""

    predict: Array
    correct: Array
    newest: float


def _bh_weights(ratios: list[float], h: float, variant: str) -> _Weights:
    """UniPC-B(h), section 3.3: solve R·ρ = b; B(h) = h or e^h − 1."""
    order = len(ratios) + 1
    points = np.array([*ratios, 1.0])
    hh = -h
    scale = hh if variant == "bh1" else math.expm1(hh)
    system = np.stack([points**k for k in range(order)])
    goal, phi, factorial = [], math.expm1(hh) / hh - 1, 1
    for k in range(1, order + 1):
        goal.append(phi * factorial / scale)
        factorial *= k + 1
        phi = phi / hh - 1 / factorial
    right = np.array(goal)
    # Order 2 of the predictor and order 1 of the corrector have the solution 1/2 for every h (appendix).
    if order <= 2:
        predict = np.full(order - 1, 0.5)
    else:
        predict = np.linalg.solve(system[:-1, :-1], right[:-1])
    correct = np.array([0.5]) if order == 1 else np.linalg.solve(system, right)
    return _Weights(predict * scale, correct[:-1] * scale, float(correct[-1] * scale))


def _vary_weights(ratios: list[float], h: float) -> _Weights:
    """Coefficients that vary with the step, from the inverse of C (section 3.2).

    The newest difference takes part with the last row that the corrector loops over, as in the published
    program, whose pictures are the standard.
    """
    order = len(ratios) + 1
    points = np.array([*ratios, 1.0])
    hh = -h
    columns, column = [], np.ones(order)
    for k in range(1, order + 1):
        columns.append(column)
        column = column * points / (k + 1)
    matrix = np.stack(columns, axis=1)
    phis, phi, factorial = [], math.expm1(hh), 1
    for k in range(1, order + 2):
        phis.append(phi)
        phi = phi / hh - 1 / factorial
        factorial *= k + 1
    higher = np.array(phis[1:order])
    inverse = np.linalg.inv(matrix)
    predict = higher @ np.linalg.inv(matrix[:-1, :-1]) if order > 1 else np.zeros(0)
    correct = higher @ inverse[: order - 1, :-1] if order > 1 else np.zeros(0)
    return _Weights(predict, correct, float(phis[order] * inverse[max(order - 2, 0), -1]))


def _weighted(weights: Array, tensors: list[Tensor]) -> Tensor | float:
    total: Tensor | float = 0.0
    for weight, tensor in zip(weights, tensors, strict=True):
        total = total + float(weight) * tensor
    return total


class UniPC:
    """One run. ``model`` gives ε at a training timestep that need not be whole."""

    def __init__(
        self,
        model: Callable[[Tensor, Tensor], Tensor],
        alphas: Tensor,
        variant: str = "bh1",
        order: int = 3,
        lower_order_final: bool = True,
    ) -> None:
        if variant not in VARIANTS:
            raise InvalidInput(
                f"The UniPC variant is {variant!r}; expected one of {', '.join(VARIANTS)}.",
                field="uni_pc_variant",
            )
        self.model = model
        self.schedule = ContinuousSchedule(alphas)
        self.variant = variant
        self.order = max(int(order), 1)
        self.lower_order_final = lower_order_final

    def _estimate(self, x: Tensor, t: float) -> Tensor:
        """x0 = (x − √(1−ᾱ)·ε) / √ᾱ at time ``t``."""
        log_signal = self.schedule.log_signal(t)
        timestep = (t - 1 / self.schedule.count) * 1000
        eps = self.model(x, timestep * x.new_ones(len(x)))
        noise = math.sqrt(-math.expm1(2 * log_signal))
        return (x - noise * eps) / math.exp(log_signal)

    def _step(
        self, x: Tensor, past: _Past, span: tuple[float, float], order: int, correct: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Over the times ``span``: new x, and the estimate there when the corrector needed it."""
        start, end = span
        lambda_end = self.schedule.half_log_snr(end)
        h = lambda_end - past.lambdas[-1]
        log_from, log_to = self.schedule.log_signal(start), self.schedule.log_signal(end)
        shrink = math.sqrt(math.expm1(2 * log_to) / math.expm1(2 * log_from))
        signal, newest = math.exp(log_to), past.estimates[-1]
        ratios, differences = past.differences(order, h)
        if self.variant == "vary_coeff":
            weights = _vary_weights(ratios, h)
        else:
            weights = _bh_weights(ratios, h, self.variant)
        linear = shrink * x - signal * math.expm1(-h) * newest
        predicted = linear - signal * _weighted(weights.predict, differences)
        if not correct:
            return predicted, None
        estimate = self._estimate(predicted, end)
        change = _weighted(weights.correct, differences) + weights.newest * (estimate - newest)
        return linear - signal * change, estimate

    @torch.no_grad()
    def sample(self, x: Tensor, times: Sequence[float], progress: Progress) -> Tensor:
        """Walk ``x`` [B, C, h, w] along ``times`` (highest first). The last step has no corrector."""
        steps = len(times) - 1
        order = min(self.order, steps)
        past = _Past()
        past.add(self._estimate(x, times[0]), self.schedule.half_log_snr(times[0]), order)
        for step in range(1, steps + 1):
            step_order = min(step, order)
            if self.lower_order_final and step >= order:
                step_order = min(step_order, steps + 1 - step)
            x, estimate = self._step(x, past, (times[step - 1], times[step]), step_order, step < steps)
            progress({"x": x, "i": step - 1, "sigma": 0, "sigma_hat": 0, "denoised": past.estimates[-1]})
            if estimate is not None:
                past.add(estimate, self.schedule.half_log_snr(times[step]), order)
        return x


def unipc(
    model: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    timesteps: Sequence[int],
    alphas: Tensor,
    progress: Progress,
    *,
    variant: str = "bh1",
    skip_type: str = "time_uniform",
    order: int = 3,
    lower_order_final: bool = True,
    partial: bool = False,
) -> Tensor:
    """UniPC over as many steps as ``timesteps`` has entries, which otherwise only bound a ``partial`` run.

    A full run goes from time 1 to 1/N; a partial one (img2img) starts at the highest of ``timesteps``.
    """
    solver = UniPC(model, alphas, variant, order, lower_order_final)
    count = solver.schedule.count
    start = timesteps[-1] / 1000 + 1 / 1000 if partial else 1.0
    return solver.sample(x, solver.schedule.spread(start, 1 / count, len(timesteps), skip_type), progress)
