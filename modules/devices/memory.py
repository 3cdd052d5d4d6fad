"""How much memory there is, on the machine and on the accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

_LINUX_MEMINFO = Path("/proc/meminfo")
_LINUX_STATM = Path("/proc/self/statm")


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on ``device``, including what the allocator holds unused."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        stats = torch.cuda.memory_stats(device)
        return free + stats.get("reserved_bytes.all.current", 0) - stats.get("active_bytes.all.current", 0)
    return _system_memory()[1]


def memory_report() -> dict[str, dict[str, Any]]:
    """``{"ram": {free, used, total}, "cuda": {...}}`` in bytes; an unknown part is ``{"error": reason}``.

    ``ram.used`` is the resident memory of this process, ``ram.free`` what it leaves of the machine's total.
    """
    return {"ram": _ram_report(), "cuda": _cuda_report()}


def _ram_report() -> dict[str, Any]:
    try:
        total, _ = _system_memory()
        used = _resident_memory()
    except (ImportError, OSError, ValueError) as error:
        return {"error": f"The memory of this machine could not be read: {error}"}
    return {"free": total - used, "used": used, "total": total}


def _cuda_report() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {"error": "unavailable"}
    try:
        free, total = torch.cuda.mem_get_info()
        stats = dict(torch.cuda.memory_stats())
    except RuntimeError as error:
        return {"error": str(error)}
    return cuda_figures(free, total, stats)


def cuda_figures(free: int, total: int, stats: dict[str, int]) -> dict[str, Any]:
    """The report from the figures of the driver and of PyTorch's allocator (``torch.cuda.memory_stats``)."""

    def pair(name: str) -> dict[str, int]:
        return {part: stats.get(f"{name}.all.{part}", 0) for part in ("current", "peak")}

    return {
        "system": {"free": free, "used": total - free, "total": total},
        "active": pair("active_bytes"),
        "allocated": pair("allocated_bytes"),
        "reserved": pair("reserved_bytes"),
        "inactive": pair("inactive_split_bytes"),
        "events": {"retries": stats.get("num_alloc_retries", 0), "oom": stats.get("num_ooms", 0)},
    }


def _system_memory() -> tuple[int, int]:
    """Total and available bytes of the machine."""
    if _LINUX_MEMINFO.is_file():
        lines = (line.split() for line in _LINUX_MEMINFO.read_text().splitlines())
        sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) >= 2}
        return sizes["MemTotal"], sizes.get("MemAvailable", sizes["MemFree"])
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, memory.available


def _resident_memory() -> int:
    if _LINUX_STATM.is_file():
        import resource

        return int(_LINUX_STATM.read_text().split()[1]) * resource.getpagesize()
    import psutil

    return psutil.Process().memory_info().rss
