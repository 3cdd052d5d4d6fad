"""A large picture through a small network: cut into overlapping tiles, run, and put together without seams.

Two ways of cutting are kept apart because users compare pictures with earlier ones: a *fading* grid spreads
its tiles evenly and fades each tile into the next; an *averaged* one steps regularly and takes the mean where
tiles overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from modules.upscaling.watching import Watcher

Pixels = NDArray[np.float32]
"""A picture as [H, W, 3], 0 to 1."""

Run = Callable[[Pixels], Pixels]
"""The network: [h, w, 3] to [h · s, w · s, 3], with the same whole number s for every tile."""

Work = Callable[[Pixels, Run, int, int, Watcher], Pixels]
"""(picture, network, tile, overlap, watcher) → result: one of the two ways of cutting."""


def even_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of ``tile`` pixels begin on an edge of ``size`` pixels: evenly spread, the last at the end.

    For an edge shorter than a tile the one start is negative.
    """
    count = max(1, math.ceil((size - overlap) / (tile - overlap)))
    stride = (size - tile) / (count - 1) if count > 1 else 0
    return [min(int(index * stride), size - tile) for index in range(count)]


def stepped_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin when each is ``tile - overlap`` after the one before, and the last at the end."""
    return [*range(0, size - tile, tile - overlap), size - tile]


def cut(pixels: Pixels, top: int, left: int, tile: int) -> Pixels:
    """The square of ``tile`` pixels at (top, left); what lies outside the picture is black.

    Sources smaller than a tile are padded to one, as the reference does: it changes what a network paints
    at the edges.
    """
    inside = pixels[max(top, 0) : top + tile, max(left, 0) : left + tile]
    if inside.shape[:2] == (tile, tile):
        return inside
    above, before = max(-top, 0), max(-left, 0)
    padded = np.zeros((tile, tile, pixels.shape[2]), dtype=np.float32)
    padded[above : above + inside.shape[0], before : before + inside.shape[1]] = inside
    return padded


def run_fading(pixels: Pixels, run: Run, tile: int, overlap: int, watcher: Watcher) -> Pixels:
    """``run`` over a fading grid. Memory: the result and one row of tiles.

    Tiles and their mixtures have 8-bit levels, as the reference puts pictures together.
    """
    height, width = pixels.shape[:2]
    overlap = min(overlap, tile - 1)
    tops, lefts = even_starts(height, tile, overlap), even_starts(width, tile, overlap)
    watcher.begin_sampling(len(tops) * len(lefts))
    result: Pixels | None = None
    for row, top in enumerate(tops):
        strip: Pixels | None = None
        for column, left in enumerate(lefts):
            watcher.check()
            watcher.step(row * len(lefts) + column)
            done = eight_bit(run(cut(pixels, top, left, tile)))
            scale = done.shape[0] // tile
            if strip is None:
                strip = np.zeros((tile * scale, width * scale, done.shape[2]), dtype=np.float32)
            _fade_in(strip, done, left * scale, overlap * scale if column else 0, axis=1)
        assert strip is not None
        scale = strip.shape[0] // tile
        if result is None:
            result = np.zeros((height * scale, width * scale, strip.shape[2]), dtype=np.float32)
        _fade_in(result, strip, top * scale, overlap * scale if row else 0, axis=0)
    assert result is not None
    return result


def _fade_in(canvas: Pixels, piece: Pixels, start: int, overlap: int, axis: int) -> None:
    """Put ``piece`` on ``canvas`` from ``start`` on; its first ``overlap`` pixels rise from 0 to 1."""
    if start < 0:
        piece = piece[:, -start:] if axis == 1 else piece[-start:]
        start = 0
    where: Sequence[slice] = (
        [slice(None), slice(start, start + piece.shape[1])]
        if axis == 1
        else [slice(start, start + piece.shape[0])]
    )
    target = canvas[tuple(where)]
    if not overlap:
        target[...] = piece
        return
    ramp = np.ones(piece.shape[axis], dtype=np.float32)
    ramp[:overlap] = np.floor(np.arange(overlap, dtype=np.float32) * 255 / overlap) / 255
    weight = ramp[None, :, None] if axis == 1 else ramp[:, None, None]
    target[...] = eight_bit(target + (piece - target) * weight)


def eight_bit(pixels: Pixels) -> Pixels:
    """``pixels`` rounded to the levels of 8 bits."""
    return np.round(pixels * 255) / np.float32(255)


def run_averaged(pixels: Pixels, run: Run, tile: int, overlap: int, watcher: Watcher) -> Pixels:
    """``run`` over a regular grid, the mean where tiles overlap. A tile is never larger than the picture."""
    height, width = pixels.shape[:2]
    tile = min(tile, height, width)
    overlap = min(overlap, tile - 1)
    tops, lefts = stepped_starts(height, tile, overlap), stepped_starts(width, tile, overlap)
    watcher.begin_sampling(len(tops) * len(lefts))
    total: Pixels | None = None
    counts = np.zeros((height, width, 1), dtype=np.float32)
    scale = 1
    for number, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        watcher.check()
        watcher.step(number)
        done = run(pixels[top : top + tile, left : left + tile])
        if total is None:
            scale = done.shape[0] // tile
            total = np.zeros((height * scale, width * scale, done.shape[2]), dtype=np.float32)
        bottom, right = (top + tile) * scale, (left + tile) * scale
        total[top * scale : bottom, left * scale : right] += done
        counts[top : top + tile, left : left + tile] += 1
    assert total is not None
    return total / counts.repeat(scale, axis=0).repeat(scale, axis=1)
