"""Pictures with captions, rendered by several processes; the same ones for the same arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tools.default_checkpoint.captions import caption, caption_without_colour
from tools.default_checkpoint.drawing import render
from tools.default_checkpoint.presets import Bucket
from tools.default_checkpoint.scenes import CHALK, Scene, scene_rng, training_scene
from tools.default_checkpoint.tokens import Ids, encode

_FILLER = 0.08  # share of captions among whose words some unknown ones are strewn
_WORK = 64  # pictures handed to a process at once

LEARNED_COLOUR = "lime"
PLACEHOLDER = "placeholder"
"""Stands in captions where the example embedding goes; an unknown word."""


@dataclass(frozen=True)
class Series:
    """Which pictures: ``kind`` is "training", "chalk" (for the LoRA) or "lime" (for the embedding)."""

    seed: int
    bucket: Bucket
    captions: int
    kind: str = "training"


@dataclass(frozen=True)
class Rendered:
    """``pixels``: uint8 [n, H, W, 3]; ``ids``: rows of the small token table, [n, captions, 77]."""

    pixels: NDArray[np.uint8]
    ids: Ids


def scene_of(series: Series, number: int) -> tuple[Scene, Generator]:
    """Scene ``number`` of a series, and the source of randomness for its captions."""
    rng = scene_rng(series.seed, number)
    scene = training_scene(rng)
    if series.kind == CHALK:
        scene = replace(scene, style=CHALK)
    elif series.kind == LEARNED_COLOUR:
        scene = replace(scene, groups=(replace(scene.groups[0], colour=LEARNED_COLOUR),), relation="")
    return scene, rng


def captions_of(series: Series, scene: Scene, rng: Generator) -> list[str]:
    """Captions of a scene; some have unknown words in them, as prompts of people have."""
    if series.kind == LEARNED_COLOUR:
        return [caption_without_colour(scene, rng, PLACEHOLDER) for _ in range(series.captions)]
    texts = [caption(scene, rng) for _ in range(series.captions)]
    return [_with_filler(text, rng) if rng.random() < _FILLER else text for text in texts]


def _with_filler(text: str, rng: Generator) -> str:
    words = ", ".join(["unknown"] * int(rng.integers(1, 5)))
    return f"{words}, {text}" if rng.random() < 0.5 else f"{text}, {words}"


def _render_range(series: Series, numbers: range) -> Rendered:
    pixels, ids = [], []
    for number in numbers:
        scene, rng = scene_of(series, number)
        texts = captions_of(series, scene, rng)
        bucket = series.bucket
        pixels.append(render(scene, bucket.width, bucket.height, seed=series.seed, number=number))
        ids.append(np.stack([encode(text) for text in texts]))
    return Rendered(np.stack(pixels), np.stack(ids))


def render_series(series: Series, count: int, workers: int) -> Iterator[Rendered]:
    """The first ``count`` pictures of a series in order, in portions; ``workers`` 0: in this process."""
    ranges = [range(start, min(start + _WORK, count)) for start in range(0, count, _WORK)]
    if workers == 0:
        yield from map(partial(_render_range, series), ranges)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_render_range, series), ranges)


def render_all(series: Series, count: int, workers: int) -> Rendered:
    """Like ``render_series``, in one piece."""
    return join(list(render_series(series, count, workers)))


def join(parts: Sequence[Rendered]) -> Rendered:
    """Portions as one."""
    return Rendered(
        np.concatenate([part.pixels for part in parts]), np.concatenate([part.ids for part in parts])
    )
