"""The numbers beside the text that SDXL was trained with (Podell et al. 2023, arXiv:2307.01952)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modules.errors import EaselError
from modules.prompts.text_options import TextOptions

FIELD_WIDTH = 256
MAX_PERIOD = 10_000


def size_numbers(count: int, options: TextOptions, negative: bool) -> tuple[float, ...]:
    """What the model is told: original size, crop and target size; the refiner gets a score in their place.

    ``count``: 6 for the base model, 5 for the refiner.
    """
    size = (options.height, options.width)
    crop = (options.crop_top, options.crop_left)
    score = options.low_aesthetic_score if negative else options.high_aesthetic_score
    by_count: dict[int, tuple[float, ...]] = {6: (*size, *crop, *size), 5: (*size, *crop, score)}
    if count not in by_count:
        raise EaselError(
            f"The model wants {count} numbers beside the text; only SDXL's 6 and its refiner's 5 are known."
        )
    return by_count[count]


def embed_numbers(numbers: tuple[float, ...], width: int = FIELD_WIDTH) -> Tensor:
    """Each number as ``width / 2`` cosines and as many sines of falling frequency; [len(numbers) * width]."""
    half = width // 2
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, dtype=torch.float32) / half)
    angles = torch.tensor(numbers, dtype=torch.float32)[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1).flatten()
