"""The noise schedule that a checkpoint was trained with."""

from __future__ import annotations

import torch
from torch import Tensor


def alphas_cumprod(linear_start: float, linear_end: float, steps: int) -> Tensor:
    """Cumulative product of 1 - β, float32 [steps], for β whose square root grows linearly.

    Computed in float64 and rounded once (Rombach et al. 2022, appendix; Ho et al. 2020, eq. 4).
    """
    betas = torch.linspace(linear_start**0.5, linear_end**0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1.0 - betas, dim=0).to(torch.float32)


def is_valid_schedule(values: Tensor, steps: int) -> bool:
    """Whether a stored ``alphas_cumprod`` can be one: [steps], falling, between 0 and 1."""
    if values.shape != (steps,) or not values.is_floating_point():
        return False
    values = values.double()
    inside = bool(torch.isfinite(values).all()) and bool((values >= 0).all()) and bool((values <= 1).all())
    return inside and bool((values[1:] <= values[:-1]).all())
