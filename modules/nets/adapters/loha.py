"""LoHa: the elementwise product of two low-rank matrices (Hyeon-Woo et al. 2021, arXiv:2108.06098)."""

from __future__ import annotations

from torch import Tensor

from modules.nets.adapters.base import AdapterKind, Parts, tucker


def _half(parts: Parts, number: int) -> Tensor:
    left, right = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
    core = parts.get(f"hada_t{number}")
    if core is not None:
        return tucker(core, left, right)
    return (left @ right.flatten(1)).reshape(left.shape[0], *right.shape[1:])


def _delta(parts: Parts, _weight: Tensor, _dyn_dim: int | None) -> Tensor:
    return _half(parts, 1) * _half(parts, 2)


LOHA = AdapterKind(
    "loha",
    ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    _delta,
    lambda parts: parts["hada_w1_b"].shape[0],
)
