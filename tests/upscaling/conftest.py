"""Upscalers over a folder of small models with random weights in the real layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modules.compat.torchvision_cpu import prepare_torchvision
from modules.options.settings import default_options
from modules.upscaling.families import FAMILIES
from modules.upscaling.registry import Upscalers


@pytest.fixture(scope="session")
def settings() -> Any:
    return default_options().view()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    found = {family.folder: tmp_path / family.name for family in FAMILIES}
    for folder in found.values():
        folder.mkdir()
    return found


@pytest.fixture
def upscalers(folders: dict[str, Path]) -> Upscalers:
    return Upscalers(folders, prepare=prepare_torchvision)


def compact(scale: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of a small Real-ESRGAN network of the compact kind."""
    prepare_torchvision()
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(seed)
    return Compact(num_feat=8, num_conv=2, upscale=scale).state_dict()


@pytest.fixture
def add_compact(folders: dict[str, Path]) -> Callable[..., Path]:
    def add(name: str = "small", scale: int = 2, folder: str = "esrgan_dir", seed: int = 0) -> Path:
        path = folders[folder] / f"{name}.pth"
        torch.save({"params": compact(scale, seed)}, path)
        return path

    return add


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture with smooth and rough parts."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 255, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
