"""The judge: says of a picture which object in which colour before which background it shows.

It uses no network: margins give the background, what differs from them is the object, its colour is the
most frequent one inside, its form is compared with drawn examples on a coarse grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tools.default_checkpoint.analysis import Analysis, Found, analyse
from tools.default_checkpoint.backgrounds import BACKGROUNDS, zone_colours
from tools.default_checkpoint.drawing import render
from tools.default_checkpoint.objects import OBJECTS
from tools.default_checkpoint.palette import PAPER, Floats, mix, to_lab
from tools.default_checkpoint.scenes import STYLES, Group, Scene

_WASH = 0.18  # share of paper that shows through the backgrounds of watercolours
_EXAMPLE_COLOURS = (("red", "white"), ("yellow", "blue"), ("gray", "white"), ("green", "white"))
_EXAMPLE_SEED = 90_210
_LOST = "nothing"


@dataclass(frozen=True)
class Verdict:
    """What the picture shows; ``object`` and ``colour`` are "nothing" where no object was found."""

    object: str
    colour: str
    background: str
    count: int


def judge(pixels: NDArray[np.uint8]) -> Verdict:
    """Judge a picture uint8 [H, W, 3]. Of several objects the largest counts."""
    seen = analyse(pixels)
    background = _background(seen)
    if not seen.objects:
        return Verdict(_LOST, _LOST, background, 0)
    names = [_name(found) for found in seen.objects]
    main = max(set(names), key=names.count)
    first = next(found for found, name in zip(seen.objects, names, strict=True) if name == main)
    return Verdict(main, first.colour, background, len(seen.objects))


@lru_cache(maxsize=1)
def _signatures() -> tuple[tuple[str, ...], Floats]:
    """(names, L*a*b* [n, 2, 3] at the top and the bottom) of all backgrounds, also as watercolours."""
    names, rows = [], []
    for background in BACKGROUNDS:
        zones = zone_colours(background)
        for wash in (0.0, _WASH):
            names.append(background)
            rows.append([mix(zones[0], PAPER, wash), mix(zones[-1], PAPER, wash)])
    return tuple(names), to_lab(np.array(rows))


def _background(seen: Analysis) -> str:
    names, signatures = _signatures()
    seen_pair = np.stack([seen.top, seen.bottom])
    distances = np.linalg.norm(signatures - seen_pair[None], axis=-1).sum(1)
    return names[int(distances.argmin())]


@lru_cache(maxsize=1)
def _examples() -> tuple[tuple[str, ...], Floats]:
    """Forms of all objects in all styles and three sizes, drawn before plain backgrounds."""
    names, forms = [], []
    for number, name in enumerate(OBJECTS):
        for style in STYLES:
            for index, (colour, back) in enumerate(_EXAMPLE_COLOURS):
                size = ("small", "", "large", "")[index]
                scene = Scene((Group(name, colour, 1, size),), f"plain {back}", style)
                found = analyse(render(scene, seed=_EXAMPLE_SEED, number=number * 100 + index)).objects
                names.append(name)
                forms.append(found[0].form)
    return tuple(names), np.stack(forms).reshape(len(forms), -1)


def _name(found: Found) -> str:
    """The object whose three most similar examples are nearest."""
    names, examples = _examples()
    distances = ((examples - found.form.reshape(1, -1)) ** 2).mean(1)
    best: dict[str, float] = {}
    for number in np.argsort(distances)[:40]:
        best.setdefault(names[int(number)], float(distances[number]))
    return min(best, key=lambda name: best[name])
