"""Which device computes what, and in which precision: one frozen object made from the command line."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from modules.devices.attention import choose_backend
from modules.errors import InvalidInput

_HALF_TYPES = (torch.float16, torch.bfloat16)
PRECISIONS = ("full", "half", "autocast")


@dataclass(frozen=True)
class DevicePolicy:
    """Device and number types of one loaded model.

    ``unet_dtype``, ``vae_dtype``, ``text_dtype``: types of the weights. ``compute_dtype``: type of latents,
    noise and sigmas, always float32, so that sampling is exact whatever the UNet computes in.
    ``autocast``: networks run under torch's autocast. ``upcast_sampling``: as the flag asks; with float32
    latents it is how we always sample. ``check_finite``: look for NaN and infinity. ``attention``: name of
    the backend that the flags choose. ``channels_last``: keep feature maps in NHWC order.
    ``cpu_tasks``: tasks that --use-cpu keeps off the accelerator ("all" for each).
    """

    device: torch.device
    unet_dtype: torch.dtype = torch.float32
    vae_dtype: torch.dtype = torch.float32
    text_dtype: torch.dtype = torch.float32
    compute_dtype: torch.dtype = torch.float32
    autocast: bool = False
    upcast_sampling: bool = False
    check_finite: bool = True
    attention: str = "sdp"
    channels_last: bool = False
    cpu_tasks: frozenset[str] = frozenset()

    @classmethod
    def from_flags(cls, flags: Namespace) -> DevicePolicy:
        """The policy that the flags ask for on this machine. Raises ``InvalidInput`` for flags at odds."""
        precision = _precision(flags)
        device = pick_device(flags)
        tasks = _cpu_tasks(flags)
        network, vae = _weight_types(flags, precision, device)
        return cls(
            device=device,
            unet_dtype=network,
            vae_dtype=vae,
            text_dtype=network,
            autocast=precision == "autocast" and network in _HALF_TYPES and device.type in ("cuda", "xpu"),
            upcast_sampling=bool(_flag(flags, "upcast_sampling")),
            check_finite=not _flag(flags, "disable_nan_check"),
            attention=choose_backend("Automatic", flags, device).name,
            channels_last=bool(_flag(flags, "opt_channelslast")) or device.type == "cpu",
            cpu_tasks=tasks,
        )

    @property
    def is_full_precision(self) -> bool:
        """Whether every network already computes in float32."""
        return not self.autocast and not any(
            dtype in _HALF_TYPES for dtype in (self.unet_dtype, self.vae_dtype, self.text_dtype)
        )

    def higher(self) -> DevicePolicy | None:
        """The policy for the retry after non-finite latents: all in float32. None when it already is."""
        if self.is_full_precision:
            return None
        full = torch.float32
        return replace(self, unet_dtype=full, vae_dtype=full, text_dtype=full, autocast=False)

    def higher_vae(self, bfloat16: bool = False) -> DevicePolicy | None:
        """The policy for the retry after non-finite pixels: the VAE in float32, the rest as it is.

        ``bfloat16``: try that type first, which has the range of float32 in half the memory.
        None when the VAE cannot go higher.
        """
        if self.vae_dtype == torch.float16:
            return replace(self, vae_dtype=torch.bfloat16 if bfloat16 else torch.float32)
        if self.vae_dtype == torch.bfloat16:
            return replace(self, vae_dtype=torch.float32)
        return None

    def device_for(self, task: str) -> torch.device:
        """The device for a side task such as "esrgan" or "interrogate", as --use-cpu names them."""
        return torch.device("cpu") if {"all", task.lower()} & self.cpu_tasks else self.device

    def autocast_context(self, dtype: torch.dtype | None = None) -> AbstractContextManager[Any]:
        """The context to run a network of ``dtype`` weights in; float32 weights run without autocast."""
        dtype = self.unet_dtype if dtype is None else dtype
        if not self.autocast or dtype not in _HALF_TYPES:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)


def pick_device(flags: Namespace) -> torch.device:
    """The accelerator of this machine, or the CPU without one or with ``--use-cpu all`` or ``sd``.

    ``--device-id`` is the index of the accelerator; InvalidInput when there is no such one.
    """
    if {"all", "sd"} & _cpu_tasks(flags):
        return torch.device("cpu")
    if _flag(flags, "use_ipex") and _available("xpu"):
        return torch.device("xpu", _device_index(flags, torch.xpu.device_count()))
    if _available("cuda"):
        return torch.device("cuda", _device_index(flags, torch.cuda.device_count()))
    if _available("xpu"):
        return torch.device("xpu", _device_index(flags, torch.xpu.device_count()))
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def _available(name: str) -> bool:
    module = getattr(torch, name, None)
    return module is not None and module.is_available()


def _device_index(flags: Namespace, count: int) -> int:
    value = _flag(flags, "device_id", None)
    if value is None:
        return 0
    if not str(value).isdecimal() or int(value) >= count:
        raise InvalidInput(
            f"--device-id is {value!r}, expected a number from 0 to {count - 1}: this machine has {count} "
            "accelerator(s). Leave the flag out to take the first.",
            field="device_id",
        )
    return int(value)


def _precision(flags: Namespace) -> str:
    precision = _flag(flags, "precision", "autocast")
    if precision not in PRECISIONS:
        raise InvalidInput(
            f"--precision is {precision!r}, expected one of {', '.join(PRECISIONS)}.", field="precision"
        )
    if precision == "half" and (_flag(flags, "no_half") or _flag(flags, "no_half_vae")):
        raise InvalidInput(
            "--precision half asks for 16-bit numbers and --no-half or --no-half-vae for 32-bit ones. "
            "Use one or the other.",
            field="precision",
        )
    return precision


def _weight_types(flags: Namespace, precision: str, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """Types of the UNet's (and text encoders') and of the VAE's weights.

    A CPU gets 16-bit weights only on request, because few have 16-bit arithmetic. ``--precision full`` means
    float32 everywhere: half weights without autocast would only meet inputs of another type.
    """
    full, half = torch.float32, torch.float16
    if precision == "half":
        return half, half
    if precision == "full" or _flag(flags, "no_half") or device.type == "cpu":
        return full, full
    return half, full if _flag(flags, "no_half_vae") else half


def _cpu_tasks(flags: Namespace) -> frozenset[str]:
    tasks: Iterable[str] = _flag(flags, "use_cpu", []) or []
    return frozenset(task.lower() for task in tasks)


def _flag(flags: Namespace, name: str, default: Any = False) -> Any:
    return getattr(flags, name, default)
