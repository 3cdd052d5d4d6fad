"""The spatial transformer of latent diffusion (Rombach et al. 2022, arXiv:2112.10752).

Feature maps become sequences of tokens, pass blocks of self-attention, cross-attention to the text
and a gated feed-forward layer, and are added back to the map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.devices.attention import SDP, AttentionBackend
from modules.nets.layers import Conv2d, GroupNorm32
from modules.nets.token_merging import pair_tokens


class GEGLU(nn.Module):
    """Linear layer whose output is gated by a GELU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim_in, dim_out * 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        if gate.requires_grad:
            return value * F.gelu(gate)
        # In place: at full size these are the largest tensors of the network.
        return torch.ops.aten.gelu_(gate).mul_(value)


class FeedForward(nn.Module):
    """Gated feed-forward layer with four times the width inside."""

    def __init__(self, dim: int, mult: int = 4) -> None:
        super().__init__()
        inner = dim * mult
        self.net = nn.Sequential(GEGLU(dim, inner), nn.Dropout(0.0), nn.Linear(inner, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class CrossAttention(nn.Module):
    """Multi-head attention from ``x`` to ``context``, or to itself when ``context`` is None.

    ``backend`` computes softmax(QKᵀ)V; ``upcast`` does it in float32 (for 16-bit models that overflow).
    ``context_hook`` turns the context [B, T, D] into what keys and what values are made of (hypernetworks).
    """

    def __init__(
        self, query_dim: int, context_dim: int | None = None, heads: int = 8, dim_head: int = 64
    ) -> None:
        super().__init__()
        inner = heads * dim_head
        context_dim = query_dim if context_dim is None else context_dim
        self.heads = heads
        self.dim_head = dim_head
        self.scale = dim_head**-0.5
        self.backend: AttentionBackend = SDP
        self.upcast = False
        self.context_hook: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k = nn.Linear(context_dim, inner, bias=False)
        self.to_v = nn.Linear(context_dim, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, query_dim), nn.Dropout(0.0))

    def forward(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """``x``: [B, N, C], ``context``: [B, T, D], ``mask``: bool, broadcast to [B, H, N, T].

        Returns [B, N, C].
        """
        source = x if context is None else context
        keys, values = (source, source) if self.context_hook is None else self.context_hook(source)
        q, k, v = self._split(self.to_q(x)), self._split(self.to_k(keys)), self._split(self.to_v(values))
        if self.upcast and q.dtype != torch.float32:
            out = self.backend(q.float(), k.float(), v.float(), mask).to(x.dtype)
        else:
            out = self.backend(q, k, v, mask)
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """[B, N, H·D] to [B, H, N, D] without a copy."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class BasicTransformerBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward layer, each pre-normalised and residual."""

    def __init__(self, dim: int, n_heads: int, d_head: int, context_dim: int | None = None) -> None:
        super().__init__()
        self.attn1 = CrossAttention(dim, heads=n_heads, dim_head=d_head)
        self.ff = FeedForward(dim)
        self.attn2 = CrossAttention(dim, context_dim=context_dim, heads=n_heads, dim_head=d_head)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        size: tuple[int, int] | torch.Size = (0, 0),
        merge_ratio: float = 0.0,
    ) -> Tensor:
        """``x``: [B, N, C], ``context``: [B, T, D] or None. Returns [B, N, C].

        ``merge_ratio``: share of the tokens that are merged for self-attention; ``size`` is then (h, w).
        """
        pairs = pair_tokens(x, (size[0], size[1]), merge_ratio) if merge_ratio else None
        if pairs is None:
            x = self.attn1(self.norm1(x)) + x
        else:
            x = pairs.restore(self.attn1(pairs.merge(self.norm1(x)))) + x
        x = self.attn2(self.norm2(x), context=context) + x
        return self.ff(self.norm3(x)) + x


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map.

    ``use_linear``: the projections around the blocks are linear layers (SD2, SDXL) and not 1×1 convolutions.
    ``merge_ratio``: share of tokens that self-attention merges.
    """

    merge_ratio = 0.0

    def __init__(
        self,
        in_channels: int,
        n_heads: int,
        d_head: int,
        *,
        depth: int = 1,
        context_dim: int | None = None,
        use_linear: bool = False,
    ) -> None:
        super().__init__()
        inner = n_heads * d_head
        self.in_channels = in_channels
        self.use_linear = use_linear
        self.norm = GroupNorm32(32, in_channels, eps=1e-6)
        self.proj_in = nn.Linear(in_channels, inner) if use_linear else Conv2d(in_channels, inner, 1)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(inner, n_heads, d_head, context_dim) for _ in range(depth)
        )
        self.proj_out = nn.Linear(inner, in_channels) if use_linear else Conv2d(inner, in_channels, 1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``x``: [B, C, h, w], ``context``: [B, T, D] or None. Returns [B, C, h, w]."""
        size = x.shape[-2:]
        h = self.norm(x)
        if self.use_linear:
            h = self.proj_in(to_tokens(h))
        else:
            h = to_tokens(self.proj_in(h))
        merging = {"size": size, "merge_ratio": self.merge_ratio} if self.merge_ratio else {}
        for block in self.transformer_blocks:
            h = block(h, context=context, **merging)
        if self.use_linear:
            h = to_map(self.proj_out(h), size)
        else:
            h = self.proj_out(to_map(h, size))
        if not x.is_contiguous(memory_format=torch.channels_last):
            # Adding tensors of different memory order is many times slower than a copy.
            h = h.contiguous()
        return h + x


def to_tokens(x: Tensor) -> Tensor:
    """[B, C, h, w] to [B, h·w, C]; a view when ``x`` is channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_map(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """[B, h·w, C] to [B, C, h, w] as a channels-last view."""
    return x.unflatten(1, tuple(size)).permute(0, 3, 1, 2)
