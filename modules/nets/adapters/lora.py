"""LoRA (Hu et al. 2021, arXiv:2106.09685) and LoCon, its form for convolutions.

down [r, in(, kh, kw)], up [out, r(, 1, 1)], mid [r, r, kh, kw] when the kernel is kept apart.
"""

from __future__ import annotations

from torch import Tensor

from modules.nets.adapters.base import AdapterKind, Parts, tucker


def _factors(parts: Parts, dyn_dim: int | None) -> tuple[Tensor, Tensor] | None:
    if "mid" in parts:
        return None
    up, down = parts["up"].flatten(1), parts["down"]
    return (up, down) if dyn_dim is None else (up[:, :dyn_dim], down[:dyn_dim])


def _delta(parts: Parts, _weight: Tensor, dyn_dim: int | None) -> Tensor:
    factors = _factors(parts, dyn_dim)
    if factors is None:
        return tucker(parts["mid"], parts["up"].flatten(1).T, parts["down"].flatten(1))
    up, down = factors
    return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


LORA = AdapterKind(
    "lora", ("up", "down"), _delta, lambda parts: parts["down"].shape[0], _factors, bias="diff_b"
)
