"""Plain image analysis: which pixels are object, how they hang together, what form they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tools.default_checkpoint.palette import COLOURS, Floats, to_lab

SIDE = 128
"""Pictures are analysed with their shorter side at this many pixels."""

GRID = 24
"""Forms are compared on a grid of this side."""

Mask = NDArray[np.bool_]

_DIFFERENT = 17.0  # in L*a*b*: from here on a pixel is no background
_SAME = 24.0  # in L*a*b*: up to here a pixel has the dominant colour
_SMALLEST = 0.003  # share of the picture that an object covers at least
_EQUAL = 0.4  # an object is at least this large compared to the largest one


@dataclass(frozen=True)
class Found:
    """One object: its ``mask`` in the analysed picture and its ``form``, float32 [2, GRID, GRID] in 0..1.

    The first half of the form is the silhouette, the second the part that has the dominant colour.
    """

    mask: Mask
    colour: str
    form: Floats


@dataclass(frozen=True)
class Analysis:
    """What is in a picture. ``top`` and ``bottom``: L*a*b* of the background there. Largest object first."""

    top: Floats
    bottom: Floats
    objects: tuple[Found, ...]


def analyse(pixels: NDArray[np.uint8]) -> Analysis:
    """Analyse a picture uint8 [H, W, 3]."""
    picture = Image.fromarray(pixels)
    scale = SIDE / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    rgb = np.asarray(picture.resize(size, Image.Resampling.BOX))
    lab = to_lab(rgb)
    back = _background(lab)
    mask = _opened(_distance(lab, back) > _DIFFERENT)
    rows = back.mean(1)
    height = len(rows)
    top, bottom = rows[: height // 10].mean(0), rows[-(height // 10) :].mean(0)
    objects = tuple(_describe(part, lab) for part in _parts(mask))
    return Analysis(top, bottom, objects)


def _background(lab: Floats) -> Floats:
    """The picture without its objects: every row goes from its left margin to its right one."""
    width = lab.shape[1]
    margin = max(2, round(width * 0.035))
    left, right = _smooth(lab[:, :margin]), _smooth(lab[:, -margin:])
    share = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    return left[:, None] * (1 - share) + right[:, None] * share


def _distance(lab: Floats, back: Floats) -> Floats:
    """Distance of each pixel to the background of its row or of one nearby: horizons need not be straight."""
    best = np.full(lab.shape[:2], np.inf, np.float32)
    height = len(lab)
    for shift in (-10, -7, -4, -2, 0, 2, 4, 7, 10):
        rows = np.clip(np.arange(height) + shift, 0, height - 1)
        np.minimum(best, ((lab - back[rows]) ** 2).sum(-1), out=best)
    return np.sqrt(best)


def _smooth(strip: Floats) -> Floats:
    """Median of each row and its neighbours, [H, 3]: stars and flowers at the margin vanish."""
    padded = np.pad(strip, ((2, 2), (0, 0), (0, 0)), mode="edge")
    windows = np.concatenate([padded[shift : shift + len(strip)] for shift in range(5)], axis=1)
    return np.median(windows, axis=1).astype(np.float32)


def _filtered(mask: Mask, *sizes: int) -> Mask:
    """Grow (positive) or shrink (negative) a mask by so many pixels, one after the other."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    for size in sizes:
        kind = ImageFilter.MaxFilter if size > 0 else ImageFilter.MinFilter
        picture = picture.filter(kind(2 * abs(size) + 1))
    return np.asarray(picture) > 127


def _opened(mask: Mask) -> Mask:
    """Without thin lines and specks (stars, waves, blossoms), but with the points of what is larger."""
    return mask & _filtered(mask, -1, 3)


def _parts(mask: Mask) -> list[Mask]:
    """The objects of a mask, largest first; parts that nearly touch are one object."""
    labels = label(_filtered(mask, 1))
    found = [mask & (labels == number) for number in np.unique(labels[labels > 0])]
    found = sorted((part for part in found if part.mean() >= _SMALLEST), key=lambda part: -int(part.sum()))
    return [part for part in found if part.sum() >= _EQUAL * found[0].sum()]


def label(mask: Mask) -> NDArray[np.int32]:
    """Number the connected areas (4 neighbours); 0 outside. Numbers are not consecutive."""
    labels = np.where(mask, np.arange(1, mask.size + 1, dtype=np.int32).reshape(mask.shape), 0)
    while True:
        before = labels
        for axis in (0, 1):
            labels = _spread(_spread(labels, mask, axis), mask, axis, backwards=True)
        if np.array_equal(before, labels):
            return labels


def _spread(labels: NDArray[np.int32], mask: Mask, axis: int, backwards: bool = False) -> NDArray[np.int32]:
    """Carry the largest label along each run of the mask, one whole line at a time."""
    view = np.moveaxis(labels.copy(), axis, 0)
    inside = np.moveaxis(mask, axis, 0)
    order = range(len(view) - 2, -1, -1) if backwards else range(1, len(view))
    step = 1 if backwards else -1
    for line in order:
        np.maximum(view[line], view[line + step], out=view[line], where=inside[line])
    return np.moveaxis(view, 0, axis)


_NAMES = tuple(COLOURS)
_PALETTE = to_lab(np.array([COLOURS[name] for name in _NAMES]))


def nearest_colour(lab: Floats) -> NDArray[np.intp]:
    """Number of the nearest colour of the palette for each of [N, 3]."""
    return np.linalg.norm(lab[:, None] - _PALETTE[None], axis=-1).argmin(1)


def _describe(mask: Mask, lab: Floats) -> Found:
    # Without its rim: that is ink in one style and blends with the background in the others.
    for shrink in (max(2, round(0.07 * float(np.sqrt(mask.sum())))), 2, 1, 0):
        core = _filtered(mask, -shrink) if shrink else mask
        if core.sum() >= 0.15 * mask.sum():
            break
    inside = lab[core]
    votes = np.bincount(nearest_colour(inside), minlength=len(_NAMES))
    colour = _NAMES[int(votes.argmax())]
    chosen = inside[nearest_colour(inside) == votes.argmax()]
    same = mask & (np.linalg.norm(lab - np.median(chosen, axis=0), axis=-1) < _SAME)
    return Found(mask, colour, _form(mask, same))


def _form(mask: Mask, same: Mask) -> Floats:
    ys, xs = np.nonzero(mask)
    half = max(np.ptp(ys), np.ptp(xs)) / 2 + 1
    y, x = (ys.min() + ys.max() + 1) / 2, (xs.min() + xs.max() + 1) / 2
    grids = []
    for part in (mask, same):
        # Padding lets the square around the object reach beyond the picture.
        padded = Image.fromarray(np.pad(part, SIDE).astype(np.uint8) * 255)
        box = (x - half + SIDE, y - half + SIDE, x + half + SIDE, y + half + SIDE)
        grids.append(np.asarray(padded.resize((GRID, GRID), Image.Resampling.BOX, box=box), np.float32) / 255)
    return np.stack(grids)
