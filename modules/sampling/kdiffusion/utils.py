"""What the samplers of k-diffusion need of their package's helpers."""

from __future__ import annotations

from torch import Tensor


def append_dims(x: Tensor, target_dims: int) -> Tensor:
    """``x`` with axes of length 1 added at the end until it has ``target_dims`` axes."""
    missing = target_dims - x.ndim
    if missing < 0:
        raise ValueError(f"a tensor of {x.ndim} axes cannot be given {target_dims}")
    return x.reshape(*x.shape, *([1] * missing))
