"""The random numbers of a run: one generator an image, so that a batch changes no picture.

Sources: ``CPU`` (PyTorch's generator on the host, the same everywhere), ``GPU`` (PyTorch's generator on
the device), ``NV`` (the numbers of an NVIDIA GPU, computed on the host).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from modules.errors import InvalidInput
from modules.sampling.philox import PhiloxGenerator

SOURCES = ("GPU", "CPU", "NV")
_CELL = 8  # pixels of a latent cell


class NoiseStream(Protocol):
    """Successive normal draws."""

    def randn(self, shape: tuple[int, ...]) -> Tensor:
        """The next draw, float32 of this shape, wherever the source computes."""


class _TorchStream:
    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(int(seed))

    def randn(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, device=self.device, generator=self.generator)


class _PhiloxStream:
    def __init__(self, seed: int) -> None:
        self.generator = PhiloxGenerator(seed)

    def randn(self, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(self.generator.randn(shape))


def noise_stream(seed: int, source: str, device: torch.device) -> NoiseStream:
    """A fresh stream for ``seed``; Metal has no generator of its own and takes the host's."""
    if source not in SOURCES:
        raise InvalidInput(
            f"The random number source is {source!r}; expected one of {', '.join(SOURCES)}. "
            "Correct the setting 'Random number generator source'.",
            field="randn_source",
        )
    if source == "NV":
        return _PhiloxStream(seed)
    on_host = source == "CPU" or device.type == "mps"
    return _TorchStream(seed, torch.device("cpu") if on_host else device)


def slerp(share: float, low: Tensor, high: Tensor) -> Tensor:
    """Spherical interpolation from ``low`` (share 0) to ``high`` (share 1), both [C, h, w].

    Angles are taken along axis 1 and the scale is that of ``low``'s direction, as pictures with variation
    seeds were always made. Nearly parallel noises are mixed linearly, there with the shares exchanged.
    """
    cosine = (low / low.norm(dim=1, keepdim=True) * (high / high.norm(dim=1, keepdim=True))).sum(1)
    if cosine.mean() > 0.9995:
        return low * share + high * (1 - share)
    angle = cosine.acos()
    sine = angle.sin()
    from_low = ((1 - share) * angle).sin() / sine
    from_high = (share * angle).sin() / sine
    return from_low.unsqueeze(1) * low + from_high.unsqueeze(1) * high


def _paste_centred(canvas: Tensor, patch: Tensor) -> Tensor:
    """Lay ``patch`` over the middle of ``canvas``, both [C, h, w], cutting what stands out."""
    target: list[slice] = [slice(None)]
    source: list[slice] = [slice(None)]
    for axis in (1, 2):
        # Floor division also for negative differences: it decides on which side the odd cell is cut.
        shift = (canvas.shape[axis] - patch.shape[axis]) // 2
        length = patch.shape[axis] if shift >= 0 else patch.shape[axis] + 2 * shift
        target.append(slice(max(shift, 0), max(shift, 0) + length))
        source.append(slice(max(-shift, 0), max(-shift, 0) + length))
    canvas[tuple(target)] = patch[tuple(source)]
    return canvas


class ImageNoise:
    """Noise of a batch: ``first()`` for the initial latent, ``next()`` for every later draw.

    ``shape`` is (C, h, w) of one latent; ``seeds`` has one entry an image. A variation strength above 0
    turns the first noise towards that of ``subseeds``. Seed resize sizes are pixels; when both are above 0
    the first noise is drawn for that size and laid into the middle. With ``eta_noise_seed_delta`` later
    draws come from generators of seed + delta.

    All results are float32 [B, C, h, w] on ``device``.
    """

    def __init__(
        self,
        shape: Sequence[int],
        seeds: Sequence[int],
        subseeds: Sequence[int] | None = None,
        subseed_strength: float = 0.0,
        *,
        seed_resize_from_h: int = 0,
        seed_resize_from_w: int = 0,
        source: str = "GPU",
        device: torch.device | str = "cpu",
        eta_noise_seed_delta: int = 0,
    ) -> None:
        self.shape = tuple(int(side) for side in shape)
        self.seeds = tuple(int(seed) for seed in seeds)
        self.subseeds = tuple(int(seed) for seed in subseeds or ())
        self.subseed_strength = subseed_strength
        self.source = source
        self.device = torch.device(device)
        self.eta_noise_seed_delta = int(eta_noise_seed_delta or 0)
        resize = seed_resize_from_h > 0 and seed_resize_from_w > 0
        self._first_shape = (
            (self.shape[0], int(seed_resize_from_h) // _CELL, int(seed_resize_from_w) // _CELL)
            if resize
            else self.shape
        )
        self._streams = [self._stream(seed) for seed in self.seeds]
        self._started = False

    def _stream(self, seed: int) -> NoiseStream:
        return noise_stream(seed, self.source, self.device)

    def _first_of(self, index: int) -> Tensor:
        resized = self._first_shape != self.shape
        stream = self._stream(self.seeds[index]) if resized else self._streams[index]
        noise = stream.randn(self._first_shape)
        if self.subseed_strength != 0 and self.subseeds:
            subseed = self.subseeds[index] if index < len(self.subseeds) else 0
            noise = slerp(self.subseed_strength, noise, self._stream(subseed).randn(self._first_shape))
        if resized:
            noise = _paste_centred(self._streams[index].randn(self.shape), noise)
        return noise

    def first(self) -> Tensor:
        """The initial noise of every image; to be called once, before ``next``."""
        self._started = True
        noises = [self._first_of(index) for index in range(len(self.seeds))]
        if self.eta_noise_seed_delta:
            self._streams = [self._stream(seed + self.eta_noise_seed_delta) for seed in self.seeds]
        return self._placed(noises)

    def next(self) -> Tensor:
        """The next draw of every image; the very first one is that of ``first``."""
        if not self._started:
            return self.first()
        return self._placed([stream.randn(self.shape) for stream in self._streams])

    def _placed(self, noises: list[Tensor]) -> Tensor:
        # Samplers draw at every step; a blocking copy would make the host wait for the device each time.
        return torch.stack(noises).to(self.device, non_blocking=True)
