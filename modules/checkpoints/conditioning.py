"""What a UNet is conditioned on, as tensors with one row per picture or sub-prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Rows of conditioning; all tensors have the same number of rows B.

    ``crossattn``: [B, T, D], what the cross-attention layers look at; T is a multiple of 77 for text.
    ``vector``: [B, adm], pooled text and size embeddings (SDXL), else None.
    ``concat``: [B, C, h, w], extra input channels (inpainting, instruct-pix2pix), else None.
    """

    crossattn: Tensor
    vector: Tensor | None = None
    concat: Tensor | None = None

    def __post_init__(self) -> None:
        rows = self.crossattn.shape[0]
        for name, tensor in (("vector", self.vector), ("concat", self.concat)):
            if tensor is not None and tensor.shape[0] != rows:
                raise ValueError(f"{name} has {tensor.shape[0]} rows, and crossattn has {rows}.")

    def __len__(self) -> int:
        return self.crossattn.shape[0]

    def __getitem__(self, rows: slice | Tensor | Sequence[int]) -> Conditioning:
        """The chosen rows, in the order given; a slice makes no copy."""
        index = rows if isinstance(rows, (slice, Tensor)) else list(rows)
        return Conditioning(
            self.crossattn[index],
            None if self.vector is None else self.vector[index],
            None if self.concat is None else self.concat[index],
        )

    def repeat(self, count: int) -> Conditioning:
        """All rows, ``count`` times after each other."""
        return Conditioning.cat([self] * count)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditioning:
        """The same on ``device`` and in ``dtype``; what is there already is not copied."""
        moved = self.crossattn.to(device=device, dtype=dtype)
        return Conditioning(moved, _to(self.vector, device, dtype), _to(self.concat, device, dtype))

    def with_concat(self, concat: Tensor | None) -> Conditioning:
        """The same text with other extra channels; a single row of them serves all rows."""
        if concat is not None and concat.shape[0] == 1 and len(self) > 1:
            concat = concat.expand(len(self), -1, -1, -1)
        return replace(self, concat=concat)

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """All rows of all parts, in order. They must agree in T, and in having ``vector`` and ``concat``."""
        if len(parts) == 1:
            return parts[0]
        crossattn, vector, concat = (
            _cat(tensors) for tensors in zip(*(p._tensors() for p in parts), strict=True)
        )
        if crossattn is None:
            raise ValueError("There is no conditioning to join.")
        return Conditioning(crossattn, vector, concat)

    def _tensors(self) -> tuple[Tensor | None, ...]:
        return self.crossattn, self.vector, self.concat


def _to(tensor: Tensor | None, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor | None:
    return None if tensor is None else tensor.to(device=device, dtype=dtype)


def _cat(tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    if len(present) != len(tensors):
        raise ValueError("Some parts of the conditioning have extra tensors that others lack.")
    return torch.cat(present)
