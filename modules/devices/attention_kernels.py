"""The computations behind the attention table. Queries [B, H, N, D], keys [B, H, T, D], values [B, H, T, E].

Every kernel takes ``mask`` (bool, broadcast to [B, H, N, T], False hides a key) and ``scale`` (1/√D when
None), and returns [B, H, N, E] in the type of the queries.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from modules.devices.memory import free_bytes

_FIXED_BUDGET = 256 * 2**20
_USABLE_SHARE = 0.7


def sdp(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """PyTorch's fused attention (Dao et al. 2022, arXiv:2205.14135, where the device has it)."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def sdp_without_memory_efficient(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """PyTorch's fused attention without its memory-efficient kernel, whose result can vary between runs."""
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH]):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def xformers_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    flash: bool = False,
) -> Tensor:
    """xformers' memory-efficient attention; ``flash`` prefers its flash kernel for 16-bit inputs."""
    from xformers import ops

    q, k, v = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    bias = None
    if mask is not None:
        shape = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
        bias = torch.zeros(shape, dtype=q.dtype, device=q.device).masked_fill(~mask.expand(shape), -math.inf)
    op = None
    if flash and bias is None and q.dtype in (torch.float16, torch.bfloat16):
        op = ops.MemoryEfficientAttentionFlashAttentionOp
    return ops.memory_efficient_attention(q, k, v, attn_bias=bias, scale=scale, op=op).transpose(1, 2)


def plain(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """The formula itself with all scores in memory (Vaswani et al. 2017, arXiv:1706.03762)."""
    scores = torch.matmul(q * _scale(q, scale), k.transpose(-1, -2))
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.matmul(scores.softmax(dim=-1), v)


def split_by_heads(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None, rows: int = 2
) -> Tensor:
    """``plain`` for ``rows`` of the B·H heads at a time."""
    batch, heads, tokens, _ = q.shape
    shape = (batch, heads, tokens, k.shape[2])
    flat_mask = None if mask is None else mask.expand(shape).flatten(0, 1)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    out = q.new_empty(batch * heads, tokens, v.shape[-1])
    for start in range(0, batch * heads, rows):
        part = slice(start, start + rows)
        part_mask = None if flat_mask is None else flat_mask[part]
        out[part] = plain(q[part], k[part], v[part], mask=part_mask, scale=scale)
    return out.unflatten(0, (batch, heads))


def split_by_fixed_budget(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    budget: int = _FIXED_BUDGET,
) -> Tensor:
    """Whole when the scores fit into ``budget`` bytes, else as many heads as fit, else slices of queries."""
    per_head = _score_bytes(q, k) // (q.shape[0] * q.shape[1])
    if per_head * q.shape[0] * q.shape[1] <= budget:
        return plain(q, k, v, mask=mask, scale=scale)
    if per_head <= budget:
        return split_by_heads(q, k, v, mask=mask, scale=scale, rows=max(1, budget // max(per_head, 1)))
    return split_by_queries(q, k, v, mask=mask, scale=scale, parts=math.ceil(_score_bytes(q, k) / budget))


def split_by_free_memory(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Slices of the queries, as few (a power of two) as let scores and softmax fit into the free memory."""
    needed = 2.5 * _score_bytes(q, k)
    free = max(1.0, _USABLE_SHARE * free_bytes(q.device))
    parts = 1 if needed <= free else 2 ** math.ceil(math.log2(needed / free))
    return split_by_queries(q, k, v, mask=mask, scale=scale, parts=parts)


def split_by_queries(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None, parts: int = 1
) -> Tensor:
    """``plain`` for slices of the queries: about N / ``parts`` tokens of every head at a time."""
    if parts <= 1:
        return plain(q, k, v, mask=mask, scale=scale)
    tokens = q.shape[2]
    step = max(1, math.ceil(tokens / parts))
    out = q.new_empty(*q.shape[:3], v.shape[-1])
    for start in range(0, tokens, step):
        part = slice(start, start + step)
        out[:, :, part] = plain(q[:, :, part], k, v, mask=_query_slice(mask, part), scale=scale)
    return out


def sub_quadratic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    q_chunk: int = 1024,
    kv_chunk: int | None = None,
    threshold_percent: int | None = None,
) -> Tensor:
    """Attention in O(√N) memory by an exact running softmax (Rabe & Staats 2021, arXiv:2112.05682).

    ``q_chunk`` queries are taken at a time against ``kv_chunk`` keys (√T when None, at least ``q_chunk``).
    The keys stay whole where the scores of one slice of queries need no more than ``threshold_percent`` of
    the free memory (70 when None, 0: always in chunks).
    """
    keys = k.shape[2]
    percent = 100 * _USABLE_SHARE if threshold_percent is None else threshold_percent
    q_chunk = max(1, min(q_chunk, q.shape[2]))
    slice_bytes = _score_bytes(q, k) * q_chunk // max(1, q.shape[2])
    if percent and slice_bytes <= percent / 100 * free_bytes(q.device):
        kv_chunk = keys
    elif not kv_chunk:
        kv_chunk = max(q_chunk, math.isqrt(keys))
    out = q.new_empty(*q.shape[:3], v.shape[-1])
    for start in range(0, q.shape[2], q_chunk):
        part = slice(start, start + q_chunk)
        part_mask = _query_slice(mask, part)
        if kv_chunk >= keys:
            out[:, :, part] = plain(q[:, :, part], k, v, mask=part_mask, scale=scale)
        else:
            out[:, :, part] = _running_softmax(
                q[:, :, part], k, v, mask=part_mask, scale=scale, chunk=kv_chunk
            )
    return out


def _running_softmax(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None, scale: float | None, chunk: int
) -> Tensor:
    """One pass over the keys that keeps the maximum, the weighted sum of values and the sum of weights."""
    q = q * _scale(q, scale)
    peak = q.new_full((*q.shape[:3], 1), -math.inf, dtype=torch.float32)
    total = torch.zeros_like(peak)
    values = q.new_zeros(*q.shape[:3], v.shape[-1], dtype=torch.float32)
    for start in range(0, k.shape[2], chunk):
        part = slice(start, start + chunk)
        scores = torch.matmul(q, k[:, :, part].transpose(-1, -2)).float()
        if mask is not None:
            hidden = ~(mask if mask.shape[-1] == 1 else mask[..., part])
            scores = scores.masked_fill(hidden, -math.inf)
        new_peak = torch.maximum(peak, scores.amax(dim=-1, keepdim=True))
        # A row whose keys are all hidden so far has no maximum; any finite reference will do.
        anchor = new_peak.clamp_min(torch.finfo(torch.float32).min)
        weights = (scores - anchor).exp_()
        shrink = (peak - anchor).exp_()
        total = total * shrink + weights.sum(dim=-1, keepdim=True)
        values = values * shrink + torch.matmul(weights.to(v.dtype), v[:, :, part]).float()
        peak = new_peak
    return (values / total).to(v.dtype)


def _scale(q: Tensor, scale: float | None) -> float:
    return q.shape[-1] ** -0.5 if scale is None else scale


def _score_bytes(q: Tensor, k: Tensor) -> int:
    return q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] * q.element_size()


def _query_slice(mask: Tensor | None, part: slice) -> Tensor | None:
    """The mask for a slice of queries; a mask that is the same for all queries stays as it is."""
    if mask is None or mask.ndim < 2 or mask.shape[-2] == 1:
        return mask
    return mask[..., part, :]
