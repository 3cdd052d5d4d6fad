from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.errors import InvalidInput
from modules.processing.hires_size import SIZE_UNIT, hires_size, old_first_pass_size
from modules.processing.request import Txt2ImgRequest
from modules.processing.validation import validate

SIDES = st.integers(64, 2048)


# Examples of the contract.
@pytest.mark.parametrize(
    ("fields", "enlarged", "cut"),
    [
        ({"width": 512, "height": 512, "hr_scale": 1.5}, (768, 768), (0, 0)),
        ({"width": 512, "height": 512, "hr_resize_x": 1000, "hr_resize_y": 700}, (1000, 1000), (0, 37)),
        ({"width": 640, "height": 512, "hr_resize_x": 1000}, (1000, 800), (0, 0)),
        ({"width": 640, "height": 512, "hr_resize_y": 1000}, (1250, 1000), (0, 0)),
        ({"firstphase_width": 48, "firstphase_height": 64, "width": 96, "height": 128}, (96, 128), (0, 0)),
    ],
)
def test_sizes(fields: dict[str, int], enlarged: tuple[int, int], cut: tuple[int, int]) -> None:
    size = hires_size(Txt2ImgRequest(**fields))
    assert (size.enlarged, size.cut) == (enlarged, cut)


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ((1024, 1024), (512, 512)),
        ((1024, 768), (640, 448)),
        ((512, 768), (448, 640)),
        ((1920, 1080), (704, 384)),
    ],
)
def test_old_first_pass(asked: tuple[int, int], first: tuple[int, int]) -> None:
    assert old_first_pass_size(*asked) == first
    request = Txt2ImgRequest(width=asked[0], height=asked[1], hr_scale=3)
    size = hires_size(request, old_behaviour=True)
    assert size.first == first
    assert size.resize == asked
    assert all(asked[axis] <= size.final[axis] + SIZE_UNIT for axis in (0, 1))


@given(SIDES, SIDES, SIDES, SIDES)
def test_the_cut_leaves_the_wanted_size_in_cells(width: int, height: int, to_x: int, to_y: int) -> None:
    size = hires_size(Txt2ImgRequest(width=width, height=height, hr_resize_x=to_x, hr_resize_y=to_y))
    rows, columns = size.window
    assert (columns.stop - columns.start) * SIZE_UNIT == size.final[0]
    assert (rows.stop - rows.start) * SIZE_UNIT == size.final[1]
    for final, wanted in zip(size.final, (to_x, to_y), strict=True):
        assert abs(final - wanted) <= SIZE_UNIT
    assert columns.start in (size.cut[0] // 2, (size.cut[0] + 1) // 2)


def test_a_second_pass_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 8x8") as caught:
        hires_size(Txt2ImgRequest(width=64, height=64, hr_resize_x=4, hr_resize_y=4))
    assert caught.value.field == "hr_resize_x"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"denoising_strength": None}, "denoising_strength"),
        ({"firstphase_width": 64}, "firstphase_width"),
        ({"width": 2048, "height": 2048, "hr_scale": 16}, "hr_scale"),
        ({"hr_resize_x": 16384, "hr_resize_y": 8, "width": 8, "height": 512}, "hr_resize_x"),
        ({"hr_prompt": 5}, "hr_prompt"),
        ({"hr_cfg": float("nan")}, "hr_cfg"),
    ],
)
def test_the_door_names_the_field(fields: dict[str, Any], field: str) -> None:
    request = Txt2ImgRequest(**{"enable_hr": True, "denoising_strength": 0.7, **fields})
    with pytest.raises(InvalidInput) as caught:
        validate(request)
    assert caught.value.field == field


def test_a_given_first_picture_needs_a_second_pass() -> None:
    from PIL import Image

    with pytest.raises(InvalidInput, match="enable_hr"):
        validate(Txt2ImgRequest(firstpass_image=Image.new("RGB", (64, 64))))
