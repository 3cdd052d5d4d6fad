"""Masks: what is painted, what is kept, and how both come together."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modules.processing.masks import (
    blurred_mask,
    crop_region,
    doubled_mask,
    expanded_region,
    filled,
    grey_mask,
    latent_mask,
    masked_composite,
    pasted_back,
    under_overlay,
    without_masked,
)
from tests.paths import DATA, GOLDENS, HAVE_GOLDENS

REGIONS = json.loads((DATA / "crop_regions.json").read_text("utf-8"))
OPERATIONS = json.loads((GOLDENS / "units/image_ops.json").read_text("utf-8")) if HAVE_GOLDENS else []


def mask(width: int, height: int, box: tuple[int, int, int, int] | None) -> Image.Image:
    image = Image.new("L", (width, height))
    if box:
        image.paste(255, box)
    return image


@pytest.mark.parametrize("fact", REGIONS)
def test_regions_are_those_of_the_reference(fact: dict[str, list[int]]) -> None:
    region = expanded_region(tuple(fact["region"]), *fact["processing"], *fact["image"])
    assert list(region) == fact["expanded"]


@pytest.mark.skipif(not HAVE_GOLDENS, reason="needs the reference pictures")
def test_the_copy_of_the_regions_is_true() -> None:
    theirs = [one for one in OPERATIONS if one["op"] == "crop_region"]
    assert [{key: one[key] for key in REGIONS[0]} for one in theirs] == REGIONS
    for one in theirs:
        image = Image.open(GOLDENS / "inputs" / one["mask"]).convert("L")
        assert list(crop_region(image, one["padding"])) == one["region"]


@pytest.mark.parametrize(
    "fact", [one for one in OPERATIONS if one["op"] == "masking.fill"], ids=lambda fact: fact["result"]
)
def test_fill_is_that_of_the_reference(fact: dict[str, str]) -> None:
    image = Image.open(GOLDENS / "inputs" / fact["source"]).convert("RGB")
    ours = filled(image, Image.open(GOLDENS / "inputs" / fact["mask"]).convert("L"))
    theirs = Image.open(GOLDENS / "units/images" / fact["result"]).convert("RGB")
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_region_of_a_blank_mask_is_none() -> None:
    assert crop_region(mask(32, 32, None), 8) is None
    assert crop_region(mask(32, 32, (4, 5, 6, 7)), 100) == (0, 0, 32, 32)
    assert crop_region(mask(32, 32, (4, 5, 6, 7))) == (4, 5, 6, 7)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_region_holds_the_mask_and_stays_in_the_picture(data: st.DataObject) -> None:
    width, height = (data.draw(st.integers(1, 300)) for _ in range(2))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    target = (data.draw(st.integers(8, 256)), data.draw(st.integers(8, 256)))
    grown = expanded_region((left, top, right, bottom), *target, width, height)
    assert 0 <= grown[0] <= left and 0 <= grown[1] <= top
    assert width >= grown[2] >= right and height >= grown[3] >= bottom


def test_alpha_counts_before_grey() -> None:
    image = Image.new("RGBA", (3, 1), (255, 255, 255, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 100))
    assert list(grey_mask(image).getdata()) == [0, 255, 0]
    assert list(grey_mask(image, hard=False).getdata()) == [0, 255, 100]
    image.putalpha(255)
    assert list(grey_mask(image).getdata()) == [255, 0, 0]
    assert list(grey_mask(Image.new("RGB", (1, 1), (128, 128, 128))).getdata()) == [128]


def test_blur_goes_along_the_axis_that_is_asked_for() -> None:
    point = mask(33, 33, (16, 16, 17, 17))
    along_x = np.asarray(blurred_mask(point, 2, 0))
    assert (along_x.any(axis=1)).sum() == 1 and (along_x.any(axis=0)).sum() > 3
    along_y = np.asarray(blurred_mask(point, 0, 2))
    assert np.array_equal(along_y, along_x.T)
    assert np.array_equal(np.asarray(blurred_mask(point, 0, 0)), np.asarray(point))


def test_fill_leaves_the_kept_part_alone() -> None:
    image = Image.new("RGB", (32, 32), (10, 20, 30))
    image.paste((250, 250, 250), (8, 8, 16, 16))
    result = np.asarray(filled(image, mask(32, 32, (8, 8, 16, 16)))).astype(int)
    assert np.abs(result - (10, 20, 30)).max() <= 3


def test_overlay_covers_what_is_kept() -> None:
    original, painted = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    overlay = without_masked(original, mask(16, 16, (4, 4, 8, 8))).convert("RGBA")
    result, without = under_overlay(painted, overlay, None)
    assert result.getpixel((5, 5)) == (0, 0, 255) and result.getpixel((0, 0)) == (255, 0, 0)
    assert without.getpixel((0, 0)) == (0, 0, 255)
    assert under_overlay(painted, None, None)[0] is painted


def test_a_crop_comes_back_to_its_place() -> None:
    back = pasted_back(Image.new("RGB", (8, 8), "blue"), (32, 16), (4, 2, 12, 10))
    assert back.size == (32, 16) and back.getbbox() == (4, 2, 12, 10)
    overlay = Image.new("RGBA", (32, 16))
    overlay.paste((255, 0, 0, 255), (8, 0, 32, 16))
    result, _ = under_overlay(Image.new("RGB", (8, 8), "blue"), overlay, (4, 2, 12, 10))
    assert result.size == (32, 16)
    assert result.getpixel((5, 5)) == (0, 0, 255) and result.getpixel((9, 5)) == (255, 0, 0)


def test_composite_shows_the_painted_part_alone() -> None:
    composite = masked_composite(Image.new("RGB", (16, 16), "blue"), mask(16, 16, (4, 4, 8, 8)))
    assert composite.getbbox() == (4, 4, 8, 8)
    assert composite.getpixel((5, 5)) == (0, 0, 255, 255)


def test_latent_mask_is_hard_or_soft() -> None:
    half = Image.new("L", (64, 32), 90)
    half.paste(200, (32, 0, 64, 32))
    hard = latent_mask(half, 4, 4, 8, True)
    assert hard.shape == (4, 4, 8) and set(hard.unique().tolist()) == {0.0, 1.0}
    soft = latent_mask(half, 4, 4, 8, False)
    assert 0 < soft.min() < soft.max() < 1
    assert list(doubled_mask(Image.new("L", (1, 1), 90)).getdata()) == [180]
    assert list(doubled_mask(Image.new("RGB", (1, 1), (90, 130, 0))).getdata()) == [(180, 255, 0)]
