"""Scenes: what a picture shows, drawn at random, and which combinations training never sees."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator

from tools.default_checkpoint.backgrounds import BACKGROUNDS, GRADIENT, LANDSCAPES, PLAIN, zone_colours
from tools.default_checkpoint.objects import OBJECTS
from tools.default_checkpoint.palette import COLOURS, distance, rgb_of

STYLES: tuple[str, ...] = ("flat", "outline", "watercolour", "pixel art")
CHALK = "chalk"
"""The style of the example LoRA; never in the training of the checkpoint."""

POSITIONS: tuple[str, ...] = (
    "left",
    "right",
    "top",
    "bottom",
    "top left",
    "top right",
    "bottom left",
    "bottom right",
)
SIZES: tuple[str, ...] = ("small", "large")
RELATIONS: tuple[str, ...] = ("left of", "above")

MIN_CONTRAST = 30.0
"""Smallest distance in L*a*b* between an object and any colour of its background."""

HELD_OUT_SHARE = 8
"""One combination of object, colour, background and style in this many is held out."""


@dataclass(frozen=True)
class Group:
    """``count`` (1..3) equal objects. ``size``: "small", "large", "" (medium); ``position``: "" is centre."""

    object: str
    colour: str
    count: int = 1
    size: str = ""
    position: str = ""


@dataclass(frozen=True)
class Scene:
    """All that a caption can say of a picture. ``relation``: how the first of two groups lies."""

    groups: tuple[Group, ...]
    background: str
    style: str
    relation: str = ""

    @property
    def combinations(self) -> tuple[tuple[str, str, str, str], ...]:
        """(object, colour, background, style) of every group: what the split is made by."""
        return tuple((group.object, group.colour, self.background, self.style) for group in self.groups)


def is_held_out(object_name: str, colour: str, background: str, style: str) -> bool:
    """Whether training must not see this combination. Depends on the words alone, on every machine alike."""
    return zlib.crc32("|".join((object_name, colour, background, style)).encode()) % HELD_OUT_SHARE == 0


@cache
def has_contrast(colour: str, background: str) -> bool:
    """Whether an object of this colour stands out from the background."""
    return all(distance(rgb_of(colour), zone) >= MIN_CONTRAST for zone in zone_colours(background))


@cache
def colours_before(background: str) -> tuple[str, ...]:
    """The colours that stand out from ``background``."""
    return tuple(colour for colour in COLOURS if has_contrast(colour, background))


def training_scene(rng: Generator) -> Scene:
    """A random scene none of whose combinations is held out."""
    while True:
        scene = _random_scene(rng)
        if not any(is_held_out(*combination) for combination in scene.combinations):
            return scene


def held_out_scene(rng: Generator) -> Scene:
    """A random scene of one object or group whose combination is held out."""
    while True:
        scene = _random_scene(rng, groups=1)
        if is_held_out(*scene.combinations[0]):
            return scene


def _choice(rng: Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _random_background(rng: Generator) -> str:
    kind = rng.random()
    return _choice(rng, PLAIN if kind < 0.42 else GRADIENT if kind < 0.62 else tuple(LANDSCAPES))


def _random_scene(rng: Generator, groups: int | None = None) -> Scene:
    background = _random_background(rng)
    style = _choice(rng, STYLES)
    if groups is None:
        groups = 2 if rng.random() < 0.15 else 1
    colours = colours_before(background)
    if groups == 2:
        objects = rng.choice(len(OBJECTS), 2, replace=False)
        pair = tuple(Group(OBJECTS[int(number)], _choice(rng, colours)) for number in objects)
        return Scene(pair, background, style, _choice(rng, RELATIONS))
    count = int(rng.choice(3, p=(0.7, 0.18, 0.12))) + 1
    size = _choice(rng, SIZES) if rng.random() < 0.4 else ""
    position = _choice(rng, POSITIONS) if count == 1 and size != "large" and rng.random() < 0.35 else ""
    return Scene(
        (Group(_choice(rng, OBJECTS), _choice(rng, colours), count, size, position),), background, style
    )


def scene_rng(seed: int, number: int) -> Generator:
    """The source of randomness of picture ``number`` in the series ``seed``."""
    return np.random.default_rng([seed, number])


ALL_COMBINATIONS = len(OBJECTS) * len(COLOURS) * len(BACKGROUNDS) * len(STYLES)
"""Combinations without regard to contrast."""
