"""Upscaling networks: read from a file by the safe route, run over a picture tile by tile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from modules.checkpoints.pickles import load_pickle
from modules.checkpoints.tensor_file import open_safetensors
from modules.devices.policy import DevicePolicy
from modules.errors import ModelFileError, NonFiniteError, OutOfMemoryError
from modules.upscaling.tiles import Pixels, Run, Work, run_averaged, run_fading
from modules.upscaling.watching import Watcher

SMALLEST_TILE = 64
LARGEST_TILE = 512
"""Where the search for a tile that fits begins when the setting asks for the whole picture."""

_HALF_TYPES = (torch.float16, torch.bfloat16)


def read_weights(path: Path) -> dict[str, Any]:
    """The tensors of an upscaler file. Raises ``ModelFileError`` for damage and hostile pickles."""
    if path.suffix.lower() == ".safetensors":
        with open_safetensors(path) as file:
            return {name: file.read(name) for name in file.entries}
    return load_pickle(path, tolerant=True)


def describe(path: Path, prepare: Callable[[], None]) -> Any:
    """The network of a file as spandrel's description of it, float32 on the CPU.

    ``prepare`` is called before spandrel is imported. Raises ``ModelFileError``.
    """
    weights = read_weights(path)
    prepare()
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    try:
        found = ModelLoader(torch.device("cpu")).load_from_state_dict(weights)
    except UnsupportedModelError:
        raise ModelFileError(
            f"{path} is no upscaler of a known architecture. Supported are those of spandrel: ESRGAN, "
            "Real-ESRGAN, SwinIR, DAT, HAT, ScuNET and others."
        ) from None
    except (RuntimeError, ValueError, KeyError, AssertionError, TypeError, AttributeError) as error:
        # What spandrel raises for weights of a known architecture that do not fit together.
        raise ModelFileError(f"{path} does not fit its architecture: {_first_line(error)}") from error
    if not isinstance(found, ImageModelDescriptor):
        raise ModelFileError(f"{path} is a {found.architecture.name} model, which does not upscale pictures.")
    if found.input_channels != 3 or found.output_channels != 3:
        raise ModelFileError(
            f"{path} works on {found.input_channels} channels and gives {found.output_channels}; "
            "expected 3 and 3."
        )
    return found.eval()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class NetworkUpscaler:
    """Keeps the network that was used last, and runs it. Safe for use from several threads, one at a time."""

    def __init__(self, policy: Callable[[], DevicePolicy], prepare: Callable[[], None]) -> None:
        self._policy = policy
        self._prepare = prepare
        self._lock = threading.Lock()
        self._key: tuple[Any, ...] | None = None
        self._network: Any = None

    def unload(self) -> None:
        """Give the memory of the network back."""
        with self._lock:
            self._key = self._network = None

    def enlarge(
        self, image: Image.Image, path: Path, *, tile: int, overlap: int, averaged: bool, watcher: Watcher
    ) -> Image.Image:
        """``image`` (any mode, transparency is dropped) through the network of ``path``.

        Raises ``ModelFileError``, ``NonFiniteError`` when the network gives no numbers also in float32,
        ``OutOfMemoryError`` when not even the smallest tile fits, and whatever ``watcher.check`` raises.
        """
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)
        with self._lock:
            policy = self._policy()
            device = policy.device_for("esrgan")
            half = policy.unet_dtype in _HALF_TYPES and device.type != "cpu"
            dtypes = [policy.unet_dtype, torch.float32] if half else [torch.float32]
            for dtype in dtypes:
                run = self._load(path, device, dtype)
                work = run_averaged if averaged else run_fading
                done = _fit(pixels, run, work, tile=tile, overlap=overlap, watcher=watcher)
                if np.isfinite(done).all():
                    return Image.fromarray((done * 255).round().clip(0, 255).astype(np.uint8))
        raise NonFiniteError(
            f"The upscaler {path.name} gives NaN or infinity for this picture. Its file is probably damaged; "
            "download it again or choose another upscaler."
        )

    def _load(self, path: Path, device: torch.device, dtype: torch.dtype) -> Run:
        """The network of ``path`` as a function of pixels. ``dtype`` where its architecture allows it."""
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns, device, dtype)
        if self._key != key:
            self._key = self._network = None
            network = describe(path, self._prepare)
            supported = {torch.float16: network.supports_half, torch.bfloat16: network.supports_bfloat16}
            network.to(device, dtype if supported.get(dtype, True) else torch.float32)
            self._network, self._key = network, key
        return partial(_run, self._network)


def _fit(pixels: Pixels, run: Run, work: Work, *, tile: int, overlap: int, watcher: Watcher) -> Pixels:
    """Run with smaller and smaller tiles until one fits into the memory; 0 is the whole picture at once."""
    while True:
        try:
            if tile > 0:
                return work(pixels, run, tile, overlap, watcher)
            watcher.begin_sampling(1)
            watcher.check()
            return run(pixels)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
        # Outside the handler: the error refers to the tensors that must go.
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        smaller = tile // 2 if tile > 0 else LARGEST_TILE
        if smaller < SMALLEST_TILE:
            raise OutOfMemoryError(
                f"Upscaling does not fit into the memory, not even in tiles of {tile} pixels. "
                "Start with --use-cpu esrgan, or make room by unloading the checkpoint."
            )
        tile = smaller


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory"))


@torch.inference_mode()
def _run(network: Any, pixels: Pixels) -> Pixels:
    """One tile through the network.

    Channels go in and come out in the order blue, green, red: the pictures of the reference are made so,
    and a network is sensitive to the order.
    """
    planes = torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1])).permute(2, 0, 1)[None]
    done = (
        network(planes.to(network.device, network.dtype))[0]
        .float()
        .clamp(0, 1)
        .permute(1, 2, 0)
        .cpu()
        .numpy()
    )
    return np.ascontiguousarray(done[:, :, ::-1], dtype=np.float32)
