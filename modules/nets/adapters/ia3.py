"""(IA)³: one learned factor per output, or per input (Liu et al. 2022, arXiv:2205.05638)."""

from __future__ import annotations

from torch import Tensor

from modules.nets.adapters.base import AdapterKind, Parts


def _delta(parts: Parts, weight: Tensor, _dyn_dim: int | None) -> Tensor:
    rest = [1] * (weight.ndim - 2)
    # On the meta device only shapes count, and a flag has no value there.
    on_input = bool(parts["on_input"]) if not weight.is_meta else parts["weight"].numel() == weight.shape[1]
    factor = parts["weight"]
    return weight * (factor.reshape(1, -1, *rest) if on_input else factor.reshape(-1, 1, *rest))


IA3 = AdapterKind("ia3", ("weight", "on_input"), _delta)
