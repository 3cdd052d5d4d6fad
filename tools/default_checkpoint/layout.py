"""Where the objects of a scene lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from tools.default_checkpoint.scenes import Group, Scene

_RADIUS = {"small": (0.13, 0.10, 0.08), "": (0.23, 0.15, 0.102), "large": (0.35, 0.182, 0.12)}
_NEAR = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
_MARGIN = 0.05


@dataclass(frozen=True)
class Placed:
    """One object: centre and radius in pixels, ``turn`` in radians, ``stretch`` of its width."""

    object: str
    colour: str
    x: float
    y: float
    radius: float
    turn: float
    stretch: float


def place(scene: Scene, width: int, height: int, rng: Generator) -> tuple[Placed, ...]:
    """Positions of all objects of ``scene`` in a picture of this size; no two overlap."""
    if len(scene.groups) == 2:
        return _pair(scene, width, height, rng)
    group = scene.groups[0]
    side = min(width, height)
    radius = side * _RADIUS[group.size][group.count - 1] * rng.uniform(0.92, 1.06)
    x, y = _centre(group, width, height, radius, rng)
    step = radius * rng.uniform(2.45, 2.6)
    placed = []
    for number in range(group.count):
        at_x = x + step * (number - (group.count - 1) / 2)
        at_y = y + (rng.uniform(-0.3, 0.3) * radius if group.count > 1 else 0.0)
        placed.append(_put(group, (at_x, at_y), radius, (width, height), rng))
    return tuple(placed)


def _pair(scene: Scene, width: int, height: int, rng: Generator) -> tuple[Placed, ...]:
    side = min(width, height)
    radius = side * rng.uniform(0.16, 0.19)
    dx, dy = (width * 0.23, 0.0) if scene.relation == "left of" else (0.0, height * 0.23)
    placed = []
    for group, sign in zip(scene.groups, (-1, 1), strict=True):
        x = width / 2 + sign * dx + rng.uniform(-0.02, 0.02) * side
        y = height / 2 + sign * dy + rng.uniform(-0.02, 0.02) * side
        placed.append(_put(group, (x, y), radius, (width, height), rng))
    return tuple(placed)


def _centre(group: Group, width: int, height: int, radius: float, rng: Generator) -> tuple[float, float]:
    sides = np.array([_NEAR[word] for word in group.position.split()] or [(0, 0)]).sum(0)
    reach = np.array([width, height]) / 2 - radius * 1.12 - _MARGIN * min(width, height)
    jitter = rng.uniform(-1, 1, 2) * min(width, height) * 0.035
    x, y = np.array([width, height]) / 2 + sides * reach * rng.uniform(0.75, 0.98) + jitter
    return float(x), float(y)


def _put(
    group: Group, centre: tuple[float, float], radius: float, size: tuple[int, int], rng: Generator
) -> Placed:
    width, height = size
    x, y = centre
    reach = radius * 1.12 + _MARGIN * min(width, height)
    return Placed(
        object=group.object,
        colour=group.colour,
        x=float(np.clip(x, reach, width - reach)),
        y=float(np.clip(y, reach, height - reach)),
        radius=float(radius),
        turn=float(rng.normal(0, 0.07)),
        stretch=float(rng.uniform(0.94, 1.06)),
    )
