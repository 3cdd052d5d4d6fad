"""Pictures are fitted into a size to the pixel of the reference."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.errors import InvalidInput
from modules.images.color_correction import ColorTarget
from modules.images.resizing import ResizeMode, flatten, resize_image
from tests.paths import GOLDENS, HAVE_GOLDENS

OPERATIONS = json.loads((GOLDENS / "units/image_ops.json").read_text("utf-8")) if HAVE_GOLDENS else []


def operations(name: str) -> list[Any]:
    return [pytest.param(one, id=one["result"]) for one in OPERATIONS if one["op"] == name]


def picture(width: int, height: int) -> Image.Image:
    """A picture in which every pixel is different."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([columns * 255 // width, rows * 255 // height, (rows + columns) % 256], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def source(name: str) -> Image.Image:
    return Image.open(GOLDENS / "inputs" / name).convert("RGB")


def same(ours: Image.Image, name: str) -> bool:
    theirs = Image.open(GOLDENS / "units/images" / name).convert("RGB")
    return np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("fact", operations("resize_image"))
def test_reference_sizes(fact: dict[str, Any]) -> None:
    ours = resize_image(fact["resize_mode"], source(fact["source"]), fact["width"], fact["height"])
    assert same(ours, fact["result"])


@pytest.mark.parametrize("fact", operations("color_correction"))
def test_reference_colours(fact: dict[str, Any]) -> None:
    ours = ColorTarget.of(source(fact["target"])).apply(source(fact["source"]))
    assert same(ours, fact["result"])


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(64, 64), (8, 96), (96, 8), (40, 32)])
@pytest.mark.parametrize("given", [(64, 48), (1, 1), (3, 200), (200, 3)])
def test_every_mode_gives_the_size_that_is_asked_for(
    mode: int, size: tuple[int, int], given: tuple[int, int]
) -> None:
    assert resize_image(mode, picture(*given), *size).size == size


def test_crop_keeps_the_middle() -> None:
    image = picture(96, 32)
    assert np.array_equal(
        np.asarray(resize_image(ResizeMode.CROP, image, 32, 32)), np.asarray(image.crop((32, 0, 64, 32)))
    )


def test_fill_draws_the_edges_out() -> None:
    image = Image.new("RGB", (32, 32), (10, 200, 30))
    filled = np.asarray(resize_image(ResizeMode.FILL, image, 64, 32))
    assert (filled == (10, 200, 30)).all()


def test_an_upscaler_is_asked_only_to_enlarge_pictures() -> None:
    factors: list[float] = []

    def upscale(image: Image.Image, factor: float) -> Image.Image:
        factors.append(factor)
        return image.resize((image.width * 4, image.height * 4))

    assert resize_image(0, picture(16, 16), 48, 32, upscale).size == (48, 32)
    resize_image(0, picture(16, 16), 8, 8, upscale)
    resize_image(0, picture(16, 16).convert("L"), 64, 64, upscale)
    assert factors == [3.0]


def test_a_sliver_does_not_take_the_memory_of_the_machine() -> None:
    sliver = Image.new("RGB", (1, 100_000))
    with pytest.raises(InvalidInput, match="1 x 100000"):
        resize_image(ResizeMode.CROP, sliver, 4096, 4096)


def test_transparent_parts_take_the_background() -> None:
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    flat = flatten(image, "#00ff00")
    assert flat.mode == "RGB"
    assert [flat.getpixel((x, 0)) for x in range(2)] == [(200, 0, 0), (0, 255, 0)]


def test_colours_are_taken_over_and_brightness_stays() -> None:
    target = ColorTarget.of(Image.new("RGB", (16, 16), (200, 40, 40)))
    grey = picture(16, 16).convert("L").convert("RGB")
    corrected = np.asarray(target.apply(grey)).astype(float)
    assert corrected[..., 0].mean() > corrected[..., 1].mean() + 20
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(corrected @ weights - np.asarray(grey) @ weights).max() < 3


def test_a_picture_keeps_its_own_colours() -> None:
    image = picture(32, 32)
    difference = np.asarray(ColorTarget.of(image).apply(image)).astype(int) - np.asarray(image)
    assert np.abs(difference).mean() < 2
