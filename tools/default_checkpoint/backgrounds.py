"""The backgrounds: plain, gradient, sky, night, sea and meadow, computed at the size of the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from tools.default_checkpoint.palette import COLOURS, RGB, SNOW, Floats, rgb_of
from tools.default_checkpoint.textures import soft_noise

GRADIENTS: tuple[tuple[str, str], ...] = (
    ("orange", "pink"),
    ("blue", "purple"),
    ("yellow", "orange"),
    ("turquoise", "blue"),
    ("pink", "purple"),
    ("green", "yellow"),
    ("pink", "white"),
    ("purple", "black"),
)


@dataclass(frozen=True)
class Landscape:
    """A background with a place in the world: colours from the top to the bottom of its two zones.

    ``horizon``: where the lower zone begins, as a share of the height; 1 means there is none.
    """

    upper: tuple[RGB, RGB]
    lower: tuple[RGB, RGB] | None
    horizon: float


LANDSCAPES: Mapping[str, Landscape] = MappingProxyType(
    {
        "sky": Landscape(((92, 168, 238), (196, 226, 248)), None, 1.0),
        "night": Landscape(((14, 18, 54), (54, 48, 110)), None, 1.0),
        "sea": Landscape(((158, 210, 242), (224, 240, 248)), ((32, 124, 176), (12, 72, 130)), 0.5),
        "meadow": Landscape(((132, 196, 242), (216, 238, 250)), ((126, 194, 84), (70, 146, 58)), 0.6),
    }
)

PLAIN: tuple[str, ...] = tuple(f"plain {name}" for name in COLOURS)
GRADIENT: tuple[str, ...] = tuple(f"{first} to {second} gradient" for first, second in GRADIENTS)
BACKGROUNDS: tuple[str, ...] = (*PLAIN, *GRADIENT, *LANDSCAPES)


def zone_colours(background: str) -> tuple[RGB, ...]:
    """The colours that an object in front of ``background`` must differ from."""
    if background in LANDSCAPES:
        land = LANDSCAPES[background]
        return (*land.upper, *(land.lower or ()))
    if background.endswith(" gradient"):
        first, second = background.removesuffix(" gradient").split(" to ")
        return rgb_of(first), rgb_of(second)
    return (rgb_of(background.removeprefix("plain ")),)


def paint_background(background: str, width: int, height: int, rng: Generator) -> Floats:
    """The background as float32 [height, width, 3], 0..255."""
    if background in LANDSCAPES:
        picture = _landscape(LANDSCAPES[background], width, height, rng)
        return _DETAILS[background](picture, rng)
    colours = zone_colours(background)
    jitter = rng.normal(0, 2.5, 3)
    rows = _ramp(colours[0], colours[-1], height) + jitter
    return np.broadcast_to(rows[:, None], (height, width, 3)).astype(np.float32)


def _ramp(first: RGB, second: RGB, count: int) -> Floats:
    share = np.linspace(0, 1, count, dtype=np.float32)[:, None]
    return np.array(first, np.float32) * (1 - share) + np.array(second, np.float32) * share


def _landscape(land: Landscape, width: int, height: int, rng: Generator) -> Floats:
    if land.lower is None:
        rows = _ramp(*land.upper, height)[:, None] + rng.normal(0, 2.5, 3).astype(np.float32)
        return np.repeat(rows, width, axis=1)
    level = height * (land.horizon + rng.uniform(-0.05, 0.05))
    line = np.full(width, level)
    if land.horizon > 0.5:  # hills; the sea is level
        x = np.arange(width) / width
        line += height * 0.025 * np.sin(2 * np.pi * (x * rng.uniform(0.6, 1.4) + rng.uniform()))
    middle = int(level)
    upper = np.concatenate(
        [_ramp(*land.upper, middle), np.tile(np.array(land.upper[1], np.float32), (height - middle, 1))]
    )
    lower = np.concatenate(
        [np.tile(np.array(land.lower[0], np.float32), (middle, 1)), _ramp(*land.lower, height - middle)]
    )
    below = np.clip(np.arange(height)[:, None] - line[None] + 0.5, 0, 1)[..., None].astype(np.float32)
    return upper[:, None] * (1 - below) + lower[:, None] * below


def _clouds(picture: Floats, rng: Generator) -> Floats:
    height, width = picture.shape[:2]
    veil = np.clip(soft_noise(width, height, rng, stretch=3) * 1.3 - 0.25, 0, 0.5)[..., None]
    return picture * (1 - veil * 0.5) + np.array(SNOW, np.float32) * veil * 0.5


def _stars(picture: Floats, rng: Generator) -> Floats:
    height, width = picture.shape[:2]
    unit = min(width, height) / 256
    for _ in range(int(rng.integers(24, 42))):
        x, y = rng.uniform(0.01, 0.99) * width, rng.uniform(0.01, 0.99) * height
        reach = rng.uniform(0.7, 1.7) * unit + 0.3
        left, top = max(int(x - 4 * reach), 0), max(int(y - 4 * reach), 0)
        patch = picture[top : int(y + 4 * reach) + 1, left : int(x + 4 * reach) + 1]
        ys, xs = np.ogrid[top : top + patch.shape[0], left : left + patch.shape[1]]
        glow = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / reach**2)[..., None] * rng.uniform(0.5, 1)
        patch += (np.array((255, 250, 225), np.float32) - patch) * glow.astype(np.float32)
    return picture


def _waves(picture: Floats, rng: Generator) -> Floats:
    height, width = picture.shape[:2]
    x, y = np.arange(width) / width, np.arange(height) / height
    depth = np.clip((y - LANDSCAPES["sea"].horizon - 0.03) * 2, 0, 1)[:, None]
    phase = 26 * np.sqrt(depth + 0.02) * 2 * np.pi + 0.9 * np.sin(2 * np.pi * (x * 5 + rng.uniform()))[None]
    crest = np.clip(np.sin(phase + rng.uniform() * 6) - 0.72, 0, 1) * (depth > 0)
    return picture + (crest * 100)[..., None].astype(np.float32) * np.array((0.75, 0.95, 1.0), np.float32)


def _blossoms(picture: Floats, rng: Generator) -> Floats:
    height, width = picture.shape[:2]
    unit = min(width, height) / 256
    colours = np.array([(255, 255, 255), (255, 226, 90), (250, 170, 200)], np.float32)
    for _ in range(int(rng.integers(30, 50))):
        share = rng.uniform(0.7, 0.99)
        reach = unit * (0.4 + 2.0 * (share - 0.55)) + 0.4
        x, y = rng.uniform(0.01, 0.99) * width, share * height
        left, top = max(int(x - 3 * reach), 0), max(int(y - 3 * reach), 0)
        patch = picture[top : int(y + 3 * reach) + 1, left : int(x + 3 * reach) + 1]
        ys, xs = np.ogrid[top : top + patch.shape[0], left : left + patch.shape[1]]
        dot = np.clip(reach + 0.5 - np.hypot(xs - x, ys - y), 0, 1)[..., None] * 0.85
        patch += (colours[rng.integers(3)] - patch) * dot.astype(np.float32)
    return picture


_DETAILS: Mapping[str, Callable[[Floats, Generator], Floats]] = MappingProxyType(
    {"sky": _clouds, "night": _stars, "sea": _waves, "meadow": _blossoms}
)
