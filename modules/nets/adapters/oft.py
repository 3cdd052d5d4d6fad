"""OFT and BOFT: the outputs of a layer are rotated, block by block.

Qiu et al. 2023, arXiv:2306.07280; Liu et al. 2023 (butterfly factors), arXiv:2311.06243.

    oft_blocks [blocks, b, b]        skew part of a Cayley transform; ``alpha`` limits its norm
    oft_blocks [factors, blocks, b, b]   the same for each butterfly factor
    oft_diag   [blocks, b, b]        the rotations themselves
    rescale    [out, ...]            factor of each output
"""

from __future__ import annotations

import torch
from torch import Tensor

from modules.nets.adapters.base import AdapterKind, Parts

_TINY = 1e-8


def _rotations(parts: Parts, out: int) -> Tensor:
    """Orthogonal matrices [..., b, b] of the skew-symmetric parts: (I + Q)(I - Q)⁻¹."""
    blocks = parts["oft_blocks"]
    skew = blocks - blocks.transpose(-1, -2)
    if "alpha" in parts:
        limit = parts["alpha"] * out
        norm = skew.flatten().norm()
        skew = torch.where(limit != 0, skew * ((torch.minimum(norm, limit) + _TINY) / (norm + _TINY)), skew)
    eye = torch.eye(skew.shape[-1], device=skew.device, dtype=skew.dtype)
    return (eye + skew) @ torch.linalg.inv(eye - skew)


def _turned(weight: Tensor, rotations: Tensor) -> Tensor:
    """Blocks of outputs [k·b, ...] multiplied with the transposed rotations [k, b, b]."""
    if rotations.shape[0] * rotations.shape[1] != weight.shape[0]:
        raise ValueError(
            f"{tuple(rotations.shape)} rotates another number of outputs than {weight.shape[0]}."
        )
    blocks = weight.reshape(rotations.shape[0], rotations.shape[1], -1)
    return (rotations.transpose(1, 2) @ blocks).reshape(weight.shape)


def _butterfly(weight: Tensor, factors: Tensor) -> Tensor:
    """The butterfly factors [m, k, b, b] one after the other; factor i mixes outputs b/2 · 2^i apart."""
    out, size = weight.shape[0], factors.shape[-1]
    rows = weight.reshape(out, -1)
    for number, factor in enumerate(factors):
        distance = (size // 2) * 2**number
        mixed = rows.reshape(-1, 2, distance, rows.shape[1]).transpose(1, 2)
        turned = factor @ mixed.reshape(-1, size, rows.shape[1])
        rows = turned.reshape(-1, distance, 2, rows.shape[1]).transpose(1, 2).reshape(out, -1)
    return rows.reshape(weight.shape)


def _rescaled(turned: Tensor, parts: Parts) -> Tensor:
    if "rescale" not in parts:
        return turned
    return turned * parts["rescale"].reshape(-1, *[1] * (turned.ndim - 1))


def _delta_blocks(parts: Parts, weight: Tensor, _dyn_dim: int | None) -> Tensor:
    rotations = _rotations(parts, weight.shape[0])
    turned = _butterfly(weight, rotations) if rotations.ndim == 4 else _turned(weight, rotations)
    return _rescaled(turned, parts) - weight


def _delta_diag(parts: Parts, weight: Tensor, _dyn_dim: int | None) -> Tensor:
    return _rescaled(_turned(weight, parts["oft_diag"]), parts) - weight


OFT_KINDS = (
    AdapterKind("oft", ("oft_blocks",), _delta_blocks),
    AdapterKind("oft", ("oft_diag",), _delta_diag),
)
