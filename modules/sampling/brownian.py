"""Noise of a Brownian path, for the SDE samplers.

Two queries that overlap share their noise, so a run with more steps follows the same path. Every image has
its own tree, seeded with its own seed: a batch changes no picture. The trees are those of torchsde
(Li et al. 2020, arXiv:2001.01328); only where they take their normal numbers from is ours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from modules.errors import EaselError
from modules.sampling.noise import noise_stream

_DIGITS = 6
_TORCHSDE_FILE = "torchsde._brownian.brownian_interval"


def _private_interval_module(source: str, device: torch.device) -> ModuleType:
    """A copy of torchsde's interval module that draws from ``source``.

    The module is executed once more under a name of ours and is known to nobody else, so that its normal
    numbers can come from the source of the run without touching the torchsde that others import.
    """
    try:
        spec = importlib.util.find_spec(_TORCHSDE_FILE)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.loader is None:
        raise EaselError(
            "The SDE samplers need the package torchsde, which is not installed. "
            "Install it into the environment of Easel, or choose another sampler."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def draw(size: Sequence[int], dtype: torch.dtype, at: torch.device, seed: int) -> Tensor:
        return noise_stream(int(seed), source, device).randn(tuple(size)).to(at, dtype, non_blocking=True)

    module.__dict__["_randn"] = draw
    return module


class BrownianNoise:
    """Noise sampler ``(sigma, sigma_next) -> [B, C, h, w]`` of unit variance.

    ``sigma_min`` and ``sigma_max`` bound all queries. ``seeds`` has one entry an image; one seed for
    several images gives them one common tree. The trees are planted at the first query: a run of a single
    step, whose range is empty, never asks.
    """

    def __init__(
        self, like: Tensor, sigma_min: float, sigma_max: float, seeds: Sequence[int], source: str = "CPU"
    ) -> None:
        self._shape = tuple(like.shape) if len(seeds) == 1 else tuple(like.shape[1:])
        self._dtype, self._device = like.dtype, like.device
        self._range = (sigma_min, sigma_max)
        self._seeds = tuple(int(seed) for seed in seeds)
        self._source = source
        self._trees: list[Any] = []

    def _plant(self) -> list[Any]:
        module = _private_interval_module(self._source, self._device)
        low, high = self._range
        return [
            module.BrownianInterval(
                t0=low,
                t1=high,
                size=self._shape,
                dtype=self._dtype,
                device=self._device,
                entropy=seed,
                tol=10.0**-_DIGITS,
                pool_size=24,
                halfway_tree=True,
            )
            for seed in self._seeds
        ]

    def __call__(self, sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor:
        """Increment of the path between the two levels, divided by the square root of their distance."""
        if not self._trees:
            self._trees = self._plant()
        start, end = float(sigma), float(sigma_next)
        sign = 1 if start < end else -1
        low, high = min(start, end), max(start, end)
        # The trees round their ends; a query a hair outside is one at the end.
        floor, ceiling = (round(bound, _DIGITS) for bound in self._range)
        query = max(low, floor), min(high, ceiling)
        increments = [tree(*query) for tree in self._trees]
        path = increments[0] if len(increments) == 1 else torch.stack(increments)
        return path * (sign / (high - low) ** 0.5)
