"""From a scene to a picture."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tools.default_checkpoint.backgrounds import paint_background
from tools.default_checkpoint.layout import Placed, place
from tools.default_checkpoint.objects import Points, layers_of
from tools.default_checkpoint.palette import BUTTER, INK, PAPER, RGB, SNOW, STEM, WOOD, Floats, mix, rgb_of
from tools.default_checkpoint.scenes import CHALK, Scene, scene_rng
from tools.default_checkpoint.textures import soft_noise

Pixels = NDArray[np.uint8]

_FIXED = {"pupil": INK, "snow": SNOW, "wood": WOOD, "stem": STEM, "butter": BUTTER}
_CELL = 4  # pixels of the picture per pixel of pixel art


def render(scene: Scene, width: int = 256, height: int = 256, *, seed: int = 0, number: int = 0) -> Pixels:
    """The picture as uint8 [height, width, 3], the same for the same arguments on every machine.

    ``width`` and ``height``: multiples of 8. ``seed`` and ``number`` decide what the scene leaves open.
    """
    rng = scene_rng(seed, number)
    placed = place(scene, width, height, rng)
    if scene.style == "pixel art":
        return _pixel_art(scene, placed, width, height, rng)
    back = paint_background(scene.background, width, height, rng)
    factor = 3 if max(width, height) <= 320 else 2
    if scene.style == CHALK:
        return _chalk(placed, width, height, factor, rng)
    if scene.style == "watercolour":
        return _watercolour(placed, back, factor, rng)
    canvas = _enlarged(back, factor)
    for item in placed:
        _draw(ImageDraw.Draw(canvas), item, factor, _colours(item, rng), stroke=_stroke(scene, item, factor))
    return np.asarray(canvas.reduce(factor))


def _enlarged(back: Floats, factor: int) -> Image.Image:
    picture = Image.fromarray(np.clip(back, 0, 255).astype(np.uint8))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _stroke(scene: Scene, item: Placed, factor: int) -> int:
    """Width of the ink around the areas; 0 for none."""
    return round(factor * max(1.6, item.radius * 0.085)) if scene.style == "outline" else 0


def _colours(item: Placed, rng: Generator) -> dict[str, RGB]:
    main = np.clip(np.array(rgb_of(item.colour)) + rng.normal(0, 3, 3), 0, 255).astype(int)
    colour: RGB = (int(main[0]), int(main[1]), int(main[2]))
    ink = SNOW if item.colour == "black" else INK
    return {**_FIXED, "ink": ink, "main": colour, "dark": mix(colour, INK, 0.38)}


def _placed_points(points: Points, item: Placed, factor: float, wobble: Floats | None = None) -> list[float]:
    cos, sin = np.cos(item.turn), np.sin(item.turn)
    local = points * (item.stretch, 1.0)
    if wobble is not None:
        angle = np.arctan2(local[:, 1], local[:, 0])
        swell = 1 + wobble[0] * np.sin(3 * angle + wobble[1]) + wobble[2] * np.sin(7 * angle + wobble[3])
        local = local * swell[:, None]
    turned = local @ np.array([[cos, sin], [-sin, cos]]) * item.radius + (item.x, item.y)
    return [float(value) for value in (turned * factor).ravel()]


def _draw(
    pen: ImageDraw.ImageDraw,
    item: Placed,
    factor: float,
    colours: dict[str, RGB],
    *,
    stroke: int = 0,
    wobble: Floats | None = None,
) -> None:
    """Draw an object; with ``stroke``, each layer gets one line of ink around its melted areas."""
    for role, polygons in layers_of(item.object):
        areas = [_placed_points(points, item, factor, wobble) for points in polygons]
        if stroke and role not in ("ink", "pupil"):
            for area in areas:
                pen.line(area + area[:4], fill=INK, width=stroke * 2, joint="curve")
        for area in areas:
            pen.polygon(area, fill=colours[role])


def _pixel_art(scene: Scene, placed: tuple[Placed, ...], width: int, height: int, rng: Generator) -> Pixels:
    columns, rows = width // _CELL, height // _CELL
    back = paint_background(scene.background, columns, rows, rng)
    canvas = Image.fromarray((np.round(np.clip(back, 0, 252) / 12) * 12).astype(np.uint8))
    for item in placed:
        _draw(ImageDraw.Draw(canvas), item, 1 / _CELL, _colours(item, rng))
    return np.asarray(canvas.resize((width, height), Image.Resampling.NEAREST))


def _watercolour(placed: tuple[Placed, ...], back: Floats, factor: int, rng: Generator) -> Pixels:
    """Uneven pigment, a darker rim where it dries, edges that are not quite straight, white paper."""
    height, width = back.shape[:2]
    size = (width * factor, height * factor)
    wash = soft_noise(width, height, rng)[..., None]
    paper = np.array(PAPER, np.float32)
    back = back + (paper - back) * (0.08 + 0.20 * wash)
    layer, mask = _enlarged(back, factor), Image.new("L", size)
    for item in placed:
        wobble = np.array([0.025, rng.uniform(0, 6), 0.012, rng.uniform(0, 6)], np.float32)
        colours = _colours(item, rng)
        _draw(ImageDraw.Draw(layer), item, factor, colours, wobble=wobble)
        for _, polygons in layers_of(item.object):
            for points in polygons:
                ImageDraw.Draw(mask).polygon(_placed_points(points, item, factor, wobble), fill=255)
    alpha = mask.reduce(factor)
    soft = alpha.filter(ImageFilter.GaussianBlur(min(width, height) / 110))
    inside = np.asarray(alpha, np.float32)[..., None] / 255
    rim = inside * (1 - np.asarray(soft, np.float32)[..., None] / 255)
    picture = np.asarray(layer.reduce(factor), np.float32)
    pigment = soft_noise(width, height, rng)[..., None]
    picture = picture + inside * (paper - picture) * np.clip(pigment - 0.35, 0, 1) * 0.55
    picture = picture * (1 - 0.35 * rim)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _chalk(placed: tuple[Placed, ...], width: int, height: int, factor: int, rng: Generator) -> Pixels:
    """Coloured chalk on a green board, for the example LoRA."""
    board = np.array((38, 66, 56), np.float32) + 26 * (soft_noise(width, height, rng)[..., None] - 0.5)
    canvas = _enlarged(board, factor)
    for item in placed:
        colours = {role: mix(colour, SNOW, 0.25) for role, colour in _colours(item, rng).items()}
        _draw(ImageDraw.Draw(canvas), item, factor, colours | {"ink": (38, 66, 56)})
    picture = np.asarray(canvas.reduce(factor), np.float32)
    grain = rng.random((height, width, 1), np.float32) < 0.78
    cover = np.abs(picture - board).max(-1, keepdims=True) > 24
    return np.clip(np.where(cover & ~grain, board * 0.6 + picture * 0.4, picture), 0, 255).astype(np.uint8)
