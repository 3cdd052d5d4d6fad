"""The objects that can be drawn: polygons on the square -1..1 (x to the right, y down).

An object is a list of layers; a layer is a role, which says what colour it gets, and polygons that melt
into one area. The layer "main" has the colour of the caption and covers most of the object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Layers = tuple[tuple[str, tuple[Points, ...]], ...]


def _points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, np.float64)


def _ellipse(x: float, y: float, rx: float, ry: float | None = None, count: int = 40) -> Points:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + (rx if ry is None else ry) * np.sin(angle)], 1)


def _regular(corners: int, turn: float = 0.0, radius: float = 1.0) -> Points:
    angle = np.arange(corners) * 2 * np.pi / corners + turn - np.pi / 2
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _arc(x: float, y: float, radius: float, start: float, end: float, *, count: int = 28) -> Points:
    """Points on a circle from angle ``start`` to ``end``, in degrees clockwise from the right."""
    angle = np.radians(np.linspace(start, end, count))
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def _star() -> Points:
    angle = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.44)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle) + 0.08], 1)


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 17, y / 17 - 0.1], 1)


def _ring() -> Points:
    # Outside one way, inside the other way: one polygon with a hole.
    outer, inner = _arc(0, 0, 1, 0, 360, count=48), _arc(0, 0, 0.52, 360, 0, count=48)
    return np.concatenate([outer, inner])


def _moon() -> Points:
    return np.concatenate([_arc(0.1, 0, 1, 62, 298, count=40), _arc(0.47, 0, 0.885, 272, 88, count=40)])


def _rays() -> tuple[Points, ...]:
    rays = []
    for turn in np.arange(8) * np.pi / 4:
        ray = _points((-0.21, -0.66), (0, -1.08), (0.21, -0.66))
        rays.append(ray @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]))
    return tuple(rays)


def _petals() -> tuple[Points, ...]:
    angles = np.arange(6) * np.pi / 3 + np.pi / 6
    return tuple(_ellipse(0.42 * np.cos(a), 0.42 * np.sin(a) - 0.3, 0.29, count=24) for a in angles)


def _smile() -> Points:
    return np.concatenate([_arc(0, 0.06, 0.6, 160, 20), _arc(0, -0.02, 0.42, 25, 155)])


_OBJECTS: Mapping[str, Callable[[], Layers]] = MappingProxyType(
    {
        "circle": lambda: (("main", (_ellipse(0, 0, 0.95),)),),
        "square": lambda: (("main", (_points((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),)),),
        "triangle": lambda: (("main", (_points((0, -0.95), (0.98, 0.8), (-0.98, 0.8)),)),),
        "hexagon": lambda: (("main", (_regular(6),)),),
        "cross": lambda: (
            (
                "main",
                (
                    _points((-0.3, -0.95), (0.3, -0.95), (0.3, 0.95), (-0.3, 0.95)),
                    _points((-0.95, -0.3), (0.95, -0.3), (0.95, 0.3), (-0.95, 0.3)),
                ),
            ),
        ),
        "ring": lambda: (("main", (_ring(),)),),
        "heart": lambda: (("main", (_heart(),)),),
        "star": lambda: (("main", (_star(),)),),
        "moon": lambda: (("main", (_moon(),)),),
        "sun": lambda: (("main", (*_rays(), _ellipse(0, 0, 0.57))),),
        "cloud": lambda: (
            (
                "main",
                (
                    _ellipse(-0.55, 0.2, 0.42, 0.38),
                    _ellipse(0.58, 0.2, 0.42, 0.38),
                    _ellipse(-0.18, -0.12, 0.46),
                    _ellipse(0.3, -0.02, 0.4),
                    _points((-0.6, 0.1), (0.6, 0.1), (0.6, 0.58), (-0.6, 0.58)),
                ),
            ),
        ),
        "house": lambda: (
            ("main", (_points((-0.72, -0.14), (0.72, -0.14), (0.72, 0.92), (-0.72, 0.92)),)),
            ("dark", (_points((-0.98, -0.1), (0, -0.95), (0.98, -0.1)),)),
            ("wood", (_points((-0.18, 0.36), (0.18, 0.36), (0.18, 0.92), (-0.18, 0.92)),)),
            ("butter", (_points((0.32, 0.12), (0.58, 0.12), (0.58, 0.4), (0.32, 0.4)),)),
        ),
        "tree": lambda: (
            ("wood", (_points((-0.13, 0.1), (0.13, 0.1), (0.17, 1.0), (-0.17, 1.0)),)),
            (
                "main",
                (
                    _ellipse(-0.4, 0.02, 0.42),
                    _ellipse(0.4, 0.02, 0.42),
                    _ellipse(0, -0.42, 0.52),
                    _ellipse(0, 0.05, 0.4),
                ),
            ),
        ),
        "boat": lambda: (
            ("wood", (_points((-0.05, -0.98), (0.05, -0.98), (0.05, 0.3), (-0.05, 0.3)),)),
            (
                "snow",
                (
                    _points((0.13, -0.82), (0.72, 0.2), (0.13, 0.2)),
                    _points((-0.13, -0.6), (-0.13, 0.2), (-0.55, 0.2)),
                ),
            ),
            ("main", (_points((-1, 0.3), (1, 0.3), (0.66, 0.88), (-0.66, 0.88)),)),
        ),
        "fish": lambda: (
            ("main", (_ellipse(-0.14, 0, 0.76, 0.5), _points((0.36, 0), (0.98, -0.5), (0.98, 0.5)))),
            ("dark", (_points((-0.02, 0.02), (0.3, -0.2), (0.3, 0.24)),)),
            ("snow", (_ellipse(-0.5, -0.12, 0.15, count=20),)),
            ("pupil", (_ellipse(-0.52, -0.12, 0.075, count=16),)),
        ),
        "flower": lambda: (
            (
                "stem",
                (
                    _points((-0.06, 0.1), (0.06, 0.1), (0.06, 1.05), (-0.06, 1.05)),
                    _ellipse(0.26, 0.72, 0.24, 0.11, 24),
                ),
            ),
            ("main", _petals()),
            ("butter", (_ellipse(0, -0.3, 0.22, count=28),)),
        ),
        "mountain": lambda: (
            ("main", (_points((-1.1, 0.8), (-0.25, -0.8), (0.2, -0.02), (0.45, -0.35), (1.1, 0.8)),)),
            (
                "snow",
                (
                    _points(
                        (-0.25, -0.8),
                        (0.0, -0.36),
                        (-0.15, -0.24),
                        (-0.28, -0.38),
                        (-0.44, -0.22),
                        (-0.52, -0.3),
                    ),
                ),
            ),
        ),
        "face": lambda: (
            ("main", (_ellipse(0, 0, 0.95),)),
            (
                "ink",
                (_ellipse(-0.34, -0.28, 0.13, 0.18, 24), _ellipse(0.34, -0.28, 0.13, 0.18, 24), _smile()),
            ),
        ),
    }
)

OBJECTS: tuple[str, ...] = tuple(_OBJECTS)

PLURALS: Mapping[str, str] = MappingProxyType(
    {"cross": "crosses", "fish": "fish"}
    | {name: f"{name}s" for name in _OBJECTS if name not in ("cross", "fish")}
)


@cache
def layers_of(name: str) -> Layers:
    """The layers of an object, from back to front; raises ``KeyError`` for an unknown one."""
    return _OBJECTS[name]()
