"""Token merging: self-attention over fewer tokens, because neighbours in a picture resemble each other.

Bolya & Hoffman 2023, "Token Merging for Fast Stable Diffusion", arXiv:2303.17604: the top left token of every
2×2 cell is a destination, the others are sources; the sources most like a destination are averaged into it
before attention, and get its result back after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CELL = 2
"""Side of the cells that have one destination each."""


@dataclass(frozen=True)
class TokenPairs:
    """Which of N tokens are merged, for B sequences.

    ``sources`` [S] and ``destinations`` [D]: their places in the sequence. ``kept`` [B, S - R] and ``merged``
    [B, R]: which sources stay and which go; ``targets`` [B, R]: the destination that each joins.
    """

    sources: Tensor
    destinations: Tensor
    kept: Tensor
    merged: Tensor
    targets: Tensor

    def merge(self, x: Tensor) -> Tensor:
        """[B, N, C] to [B, N - R, C]: the sources that stay, then the destinations, each a mean."""
        sources = x[:, self.sources]
        joining = _rows(sources, self.merged)
        index = self.targets[..., None].expand_as(joining)
        means = x[:, self.destinations].scatter_reduce(1, index, joining, reduce="mean")
        return torch.cat([_rows(sources, self.kept), means], dim=1)

    def restore(self, x: Tensor) -> Tensor:
        """[B, N - R, C] to [B, N, C]: merged tokens take the value of their destination."""
        kept, means = x.split([self.kept.shape[1], len(self.destinations)], dim=1)
        width = x.shape[-1]
        out = x.new_empty(x.shape[0], len(self.sources) + len(self.destinations), width)
        out[:, self.destinations] = means
        for chosen, values in ((self.kept, kept), (self.merged, _rows(means, self.targets))):
            out.scatter_(1, self.sources[chosen][..., None].expand_as(values), values)
        return out


def pair_tokens(x: Tensor, size: tuple[int, int], ratio: float) -> TokenPairs | None:
    """The pairs to merge in ``x`` [B, h·w, C], a map of ``size`` (h, w); ``None`` when there are none.

    ``ratio``: share of all tokens that go, 0 to 1; destinations never do.
    """
    count = int(x.shape[1] * ratio)
    sources, destinations = _split_cells(size, x.device)
    if count <= 0 or not len(destinations):
        return None
    unit = x / x.norm(dim=-1, keepdim=True)
    likeness, nearest = (unit[:, sources] @ unit[:, destinations].transpose(1, 2)).max(dim=-1)
    order = likeness.argsort(dim=-1, descending=True)
    count = min(count, len(sources))
    merged = order[:, :count]
    return TokenPairs(sources, destinations, order[:, count:], merged, nearest.gather(1, merged))


def _split_cells(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Places of sources and destinations; a last odd row or column has sources only."""
    height, width = size
    place = torch.arange(height * width, device=device)
    row, column = place // width, place % width
    corner = (row % CELL == 0) & (column % CELL == 0)
    whole = (row < height // CELL * CELL) & (column < width // CELL * CELL)
    chosen = corner & whole
    return place[~chosen], place[chosen]


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """Tokens ``index`` [B, K] of ``x`` [B, N, C]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
