"""Soft random textures, cut out of one sheet that is the same on every machine."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image

from tools.default_checkpoint.palette import Floats

_SIDE = 640


@lru_cache(maxsize=1)
def _sheet() -> Image.Image:
    """Noise of several sizes added up, mean 0.5, as 8-bit grey."""
    rng = np.random.default_rng(20_240_229)
    total = np.zeros((_SIDE, _SIDE), np.float32)
    for cells, weight in ((10, 1.0), (22, 0.6), (56, 0.35), (140, 0.18)):
        grain = Image.fromarray(rng.normal(0, 1, (cells, cells)).astype(np.float32))
        total += weight * np.asarray(grain.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
    total = (total - total.mean()) / total.std()
    return Image.fromarray(np.clip(127.5 + 48 * total, 0, 255).astype(np.uint8))


def soft_noise(width: int, height: int, rng: Generator, stretch: int = 1) -> Floats:
    """A cutting [height, width] with values 0..1 around 0.5; ``stretch``: wider than high by this factor."""
    side = int(rng.integers(_SIDE // 3, _SIDE // 2))
    left, top = int(rng.integers(0, _SIDE - side // stretch)), int(rng.integers(0, _SIDE - side))
    box = (left, top, left + side // stretch, top + side)
    cut = _sheet().resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(cut, np.float32) / np.float32(255)
