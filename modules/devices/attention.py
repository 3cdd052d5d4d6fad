"""The table of attention backends: different ways to compute softmax(QKᵀ·scale)·V, with one result.

Queries, keys and values are [B, H, N, D]. The names and titles are those that users know from the command
line and the setting ``cross_attention_optimization``.
"""

from __future__ import annotations

import functools
import importlib
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from modules.devices import attention_kernels as kernels

Kernel = Callable[..., Tensor]


@dataclass(frozen=True)
class AttentionBackend:
    """One way to compute attention.

    ``flag`` is the command-line flag (dest) that asks for it. ``priority`` orders the list of what
    Automatic may take, ``priority_on`` overrides it by device type.
    """

    name: str
    title: str
    flag: str
    kernel: Kernel
    priority: int
    priority_on: tuple[tuple[str, int], ...] = ()

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
    ) -> Tensor:
        """[B, H, N, D], [B, H, T, D], [B, H, T, E] to [B, H, N, E].

        ``mask``: bool, broadcast to [B, H, N, T], False hides a key. ``scale``: 1/√D when None.
        """
        return self.kernel(q, k, v, mask=mask, scale=scale)

    def rank(self, device_type: str) -> int:
        return dict(self.priority_on).get(device_type, self.priority)


XFORMERS = AttentionBackend("xformers", "xformers", "xformers", kernels.xformers_attention, 100)
SDP_NO_MEM = AttentionBackend(
    "sdp-no-mem",
    "sdp-no-mem - scaled dot product without memory efficient attention",
    "opt_sdp_no_mem_attention",
    kernels.sdp_without_memory_efficient,
    80,
)
# Above Doggettx (90) and, on a CPU, above what other programs take there: it is the fastest and all agree.
SDP = AttentionBackend(
    "sdp",
    "sdp - scaled dot product",
    "opt_sdp_attention",
    kernels.sdp,
    70,
    (("cpu", 1000), ("cuda", 95), ("xpu", 95)),
)
SUB_QUADRATIC = AttentionBackend(
    "sub-quadratic",
    "sub-quadratic",
    "opt_sub_quad_attention",
    kernels.sub_quadratic,
    10,
    (("mps", 1000),),
)
SPLIT_V1 = AttentionBackend("V1", "V1 - original v1", "opt_split_attention_v1", kernels.split_by_heads, 10)
INVOKE_AI = AttentionBackend(
    "InvokeAI", "InvokeAI", "opt_split_attention_invokeai", kernels.split_by_fixed_budget, 10, (("cpu", 900),)
)
DOGGETTX = AttentionBackend("Doggettx", "Doggettx", "opt_split_attention", kernels.split_by_free_memory, 90)
PLAIN = AttentionBackend("none", "None", "", kernels.plain, 0)

BACKENDS: tuple[AttentionBackend, ...] = (
    XFORMERS,
    SDP_NO_MEM,
    SDP,
    SUB_QUADRATIC,
    SPLIT_V1,
    INVOKE_AI,
    DOGGETTX,
)
"""Every backend but ``PLAIN``, which stands for the setting None."""


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    backend: AttentionBackend = SDP,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """softmax(QKᵀ·scale)·V of [B, H, N, D] tensors with ``backend``; see ``AttentionBackend``."""
    return backend(q, k, v, mask, scale)


def available_backends(flags: Namespace | None, device: torch.device) -> tuple[AttentionBackend, ...]:
    """What can run on ``device``, the highest priority first."""
    usable = [row for row in BACKENDS if row is not XFORMERS or _xformers_usable(flags, device)]
    return tuple(sorted(usable, key=lambda row: row.rank(device.type), reverse=True))


def backend_titles(flags: Namespace | None, device: torch.device) -> list[str]:
    """The choices of the setting ``cross_attention_optimization``."""
    return ["Automatic", *(row.title for row in available_backends(flags, device)), "None"]


def choose_backend(
    setting_value: str, flags: Namespace | None, device: torch.device | None = None
) -> AttentionBackend:
    """The backend for a value of the setting: a title, a name, "Automatic" or "None".

    Automatic takes the first (by priority) whose flag is set, else the first of the list; with
    --disable-opt-split-attention it takes none. A title that is not available counts as Automatic, so
    that a settings file moved between machines keeps working. ``device`` is the CPU when None.
    """
    device = torch.device("cpu") if device is None else device
    if setting_value == PLAIN.title:
        return PLAIN
    rows = available_backends(flags, device)
    chosen = next((row for row in rows if setting_value in (row.title, row.name)), None)
    if chosen is None:
        if setting_value == "Automatic" and _flag(flags, "disable_opt_split_attention"):
            return PLAIN
        chosen = next((row for row in rows if _flag(flags, row.flag)), rows[0])
    return _with_flags(chosen, flags)


def _with_flags(row: AttentionBackend, flags: Namespace | None) -> AttentionBackend:
    """The row with the parameters that the flags set for it."""
    if row is SUB_QUADRATIC:
        parameters = {
            "q_chunk": _flag(flags, "sub_quad_q_chunk_size", 1024),
            "kv_chunk": _flag(flags, "sub_quad_kv_chunk_size", None),
            "threshold_percent": _flag(flags, "sub_quad_chunk_threshold", None),
        }
        return replace(row, kernel=functools.partial(row.kernel, **parameters))
    if row is XFORMERS and _flag(flags, "xformers_flash_attention"):
        return replace(row, kernel=functools.partial(row.kernel, flash=True))
    return row


def _flag(flags: Namespace | None, name: str, default: Any = False) -> Any:
    return getattr(flags, name, default) if name else default


def _xformers_usable(flags: Namespace | None, device: torch.device) -> bool:
    """Whether xformers was asked for, can be imported, and has kernels for this device."""
    forced = bool(_flag(flags, "force_enable_xformers"))
    if not (forced or _flag(flags, "xformers")) or _import_xformers() is None:
        return False
    return forced or (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (6, 0))


def _import_xformers() -> ModuleType | None:
    try:
        return importlib.import_module("xformers.ops")
    except (ImportError, OSError):
        return None
