"""LoKr: the Kronecker product of a small and a large matrix, each whole or of low rank.

Yeh et al. 2023, "Navigating Text-To-Image Customization", arXiv:2309.14859.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modules.nets.adapters.base import AdapterKind, Parts, tucker


def _matrix(parts: Parts, number: int) -> Tensor:
    whole = parts.get(f"lokr_w{number}")
    if whole is not None:
        return whole
    left, right = parts[f"lokr_w{number}_a"], parts[f"lokr_w{number}_b"]
    core = parts.get(f"lokr_t{number}")
    return left @ right if core is None else tucker(core, left, right)


def _delta(parts: Parts, _weight: Tensor, _dyn_dim: int | None) -> Tensor:
    small, large = _matrix(parts, 1), _matrix(parts, 2)
    return torch.kron(small.reshape(*small.shape, *[1] * (large.ndim - small.ndim)), large.contiguous())


def _rank(parts: Parts) -> int | None:
    for role in ("lokr_w2_b", "lokr_w1_b"):
        if role in parts:
            return parts[role].shape[0]
    return None


LOKR_KINDS = tuple(
    AdapterKind("lokr", (first, second), _delta, _rank)
    for first in ("lokr_w1", "lokr_w1_a")
    for second in ("lokr_w2", "lokr_w2_a")
)
