"""What all kinds of adapters share: scale, decomposition of the weight, and adding the change in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]
"""The tensors of one layer by role, such as ``{"up": ..., "down": ..., "alpha": ...}``."""

Delta = Callable[[Parts, Tensor, "int | None"], Tensor]
"""(parts, present weight, dynamic rank) → the change, of as many elements as the weight."""

Factors = Callable[[Parts, "int | None"], "tuple[Tensor, Tensor] | None"]
"""(parts, dynamic rank) → A [out, r] and B [r, in, ...] of a change A·B, None when it is no such product."""

INPAINTING_CHANNELS = 9
LATENT_CHANNELS = 4


def no_rank(_parts: Parts) -> int | None:
    """For kinds that ``alpha`` does not scale."""
    return None


@dataclass(frozen=True)
class AdapterKind:
    """One way to describe the change of a weight.

    ``requires``: roles that must all be there. ``rank``: what ``alpha`` is divided by. ``bias``: role of the
    change of the layer's bias.
    """

    name: str
    requires: tuple[str, ...]
    delta: Delta
    rank: Callable[[Parts], int | None] = no_rank
    factors: Factors | None = None
    bias: str | None = None


@dataclass(frozen=True)
class Product:
    """A change ``factor`` · ``left`` @ ``right``: [out, r] and [r, in, ...]."""

    left: Tensor
    right: Tensor
    factor: float


@dataclass(frozen=True)
class Adapter:
    """The change of one layer, as it was read: tensors on the CPU in the type of the file."""

    kind: AdapterKind
    parts: Parts

    @property
    def scale(self) -> float:
        """``scale`` of the file if it has one, else alpha divided by the rank (Hu et al. 2021), else 1."""
        if "scale" in self.parts:
            return float(self.parts["scale"])
        rank = self.kind.rank(self.parts)
        if rank is None or "alpha" not in self.parts:
            return 1.0
        return float(self.parts["alpha"]) / rank

    def fits(self, shape: torch.Size | tuple[int, ...]) -> bool:
        """Whether the change can be added to a weight of ``shape``; computed on shapes alone."""
        if self._is_plain_product_of(shape):
            return True
        weight = torch.empty(shape, device="meta")
        parts = {role: part.to("meta", torch.float32) for role, part in self.parts.items()}
        sparse = parts.pop("bias_indices", None)
        try:
            if sparse is not None and sparse_part(self.parts).numel() != weight.numel():
                return False
            change = self._finished(parts, weight, None)
        except (RuntimeError, LookupError, ValueError):
            return False
        return change.shape == weight.shape

    @torch.no_grad()
    def add_to(self, weight: Tensor, multiplier: float, dyn_dim: int | None = None) -> None:
        """Add ``multiplier`` times the change to ``weight`` in place.

        ``weight`` is float32 with the changes of earlier networks; ``dyn_dim`` keeps the first so many
        components of the rank.
        """
        weight.add_(self._finished(self._on(weight.device), weight, dyn_dim), alpha=multiplier)

    def product(self, device: torch.device, dyn_dim: int | None = None) -> Product | None:
        """The change for multiplier 1 as a product of two thin matrices, where it is one."""
        if self.kind.factors is None or "dora_scale" in self.parts or "bias_indices" in self.parts:
            return None
        factors = self.kind.factors(self._on(device), dyn_dim)
        return None if factors is None else Product(*factors, self.scale)

    @torch.no_grad()
    def add_to_bias(self, bias: Tensor, multiplier: float) -> None:
        """Add the change of the bias, where there is one, in place."""
        change = self.parts.get(self.kind.bias) if self.kind.bias else None
        if change is not None:
            bias.add_(change.to(bias.device, bias.dtype).reshape(bias.shape), alpha=multiplier)

    @property
    def changes_bias(self) -> bool:
        """Whether ``add_to_bias`` does anything."""
        return self.kind.bias is not None and self.kind.bias in self.parts

    def _is_plain_product_of(self, shape: torch.Size | tuple[int, ...]) -> bool:
        """The usual case, decided by arithmetic: the shapes of hundreds of layers must be quick to check."""
        if self.kind.factors is None or "dora_scale" in self.parts or "bias_indices" in self.parts:
            return False
        factors = self.kind.factors(self.parts, None)
        if factors is None:
            return False
        left, right = factors
        values = left.shape[0] * math.prod(right.shape[1:])
        return left.shape[1] == right.shape[0] and left.shape[0] == shape[0] and values == math.prod(shape)

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        whole = ("bias_indices", "bias_size", "on_input")
        return {
            role: part.to(device) if role in whole else part.to(device, torch.float32)
            for role, part in self.parts.items()
        }

    def _finished(self, parts: Parts, weight: Tensor, dyn_dim: int | None) -> Tensor:
        """The change for multiplier 1, in the shape of the weight."""
        change = self.kind.delta(parts, weight, dyn_dim)
        if "bias_indices" in parts:
            change = change + sparse_part(parts).reshape(change.shape)
        change = shaped_like(change, weight) * self.scale
        return decomposed(change, weight, parts["dora_scale"]) if "dora_scale" in parts else change


def shaped_like(change: Tensor, weight: Tensor) -> Tensor:
    """``change`` in the shape of ``weight``: 1×1 convolutions are kept as matrices, and the other way round.

    The first layer of an inpainting model has five channels more than the adapter knows: they stay.
    """
    if change.shape == weight.shape:
        return change
    if (
        change.ndim == weight.ndim == 4
        and weight.shape[1] == INPAINTING_CHANNELS
        and change.shape[1] == LATENT_CHANNELS
    ):
        extra = INPAINTING_CHANNELS - LATENT_CHANNELS
        return torch.nn.functional.pad(change, (0, 0, 0, 0, 0, extra))
    if change.shape[0] != weight.shape[0]:
        raise ValueError(f"{tuple(change.shape)} has another number of outputs than {tuple(weight.shape)}.")
    return change.reshape(weight.shape)


def sparse_part(parts: Parts) -> Tensor:
    """The sparse addition of early LyCORIS files."""
    size = [int(length) for length in parts["bias_size"].tolist()]
    values = parts["bias_values"].float()
    # Unchecked indices of a damaged file would write outside of the tensor.
    return torch.sparse_coo_tensor(
        parts["bias_indices"].long(), values, size, check_invariants=True
    ).to_dense()


def decomposed(change: Tensor, weight: Tensor, magnitude: Tensor) -> Tensor:
    """Weight-decomposed change (DoRA, Liu et al. 2024, arXiv:2402.09353).

    The changed weight is normalised and gets the learned ``magnitude``: one per input as LyCORIS keeps it
    ([1, in, ...]), or one per output ([out, 1, ...] or [out]).
    """
    merged = weight + change
    rest = [1] * (weight.ndim - 2)
    per_output = magnitude.ndim == 1 or 1 == magnitude.shape[1] < magnitude.shape[0] == weight.shape[0]
    if per_output:
        norm = merged.flatten(1).norm(dim=1).reshape(-1, 1, *rest)
        magnitude = magnitude.reshape(-1, 1, *rest)
    else:
        norm = merged.transpose(0, 1).flatten(1).norm(dim=1).reshape(1, -1, *rest)
        magnitude = magnitude.reshape(1, -1, *rest)
    return merged * (magnitude / norm) - weight


def tucker(core: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Core [r, s, kh, kw] between ``left`` [r, out] and ``right`` [s, in]: [out, in, kh, kw]."""
    return torch.einsum("rskl,ro,si->oikl", core, left, right)
