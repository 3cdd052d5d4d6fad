"""GLoRA: W·A + B with both of low rank (Chavan et al. 2023, arXiv:2306.07967).

a2 [in, r], a1 [r, in]: A = a2·a1;  b2 [out, r], b1 [r, in]: B = b2·b1.

``alpha`` is not applied, as in the reference.
"""

from __future__ import annotations

from torch import Tensor

from modules.nets.adapters.base import AdapterKind, Parts


def _delta(parts: Parts, weight: Tensor, _dyn_dim: int | None) -> Tensor:
    a1, a2, b1, b2 = (parts[role].flatten(1) for role in ("a1", "a2", "b1", "b2"))
    return b2 @ b1 + (weight.flatten(1) @ a2) @ a1


GLORA = AdapterKind("glora", ("a1", "a2", "b1", "b2"), _delta)
