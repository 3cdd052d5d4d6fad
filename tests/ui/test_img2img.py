"""From the inputs of the img2img tab to the fields of a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from modules.errors import InvalidInput
from modules.processing.request import Img2ImgRequest
from modules.processing.validation import validate
from modules.ui.img2img import IMG2IMG, INPAINT, INPAINT_UPLOAD, drawn_mask, request_fields
from tests.paths import CONTRACT
from tests.ui.fake_services import FakeServices
from tests.ui.test_contract import components_of

PICTURE = Image.new("RGB", (64, 64), "teal")
MASKING = {"mask_blur": 4, "inpainting_mask_invert": 1, "inpainting_fill": 2, "inpaint_full_res": 1}


NAMES = (("label", "label"), ("default", "value"), ("min", "minimum"), ("max", "maximum"))


def drawn(*boxes: tuple[int, int, int, int]) -> dict[str, Any]:
    layer = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    for box in boxes:
        ImageDraw.Draw(layer).rectangle(box, fill="white")
    return {"background": PICTURE, "layers": [layer], "composite": PICTURE}


def test_plain_picture_leaves_out_everything_about_masks() -> None:
    fields = request_fields({"mode": IMG2IMG, "picture": PICTURE, "drawn": drawn((0, 0, 9, 9)), **MASKING})
    assert fields == {"init_images": [PICTURE]}


def test_drawn_mask_is_white_where_something_was_drawn() -> None:
    fields = request_fields({"mode": INPAINT, "picture": None, "drawn": drawn((8, 8, 15, 23)), **MASKING})
    assert fields["mask"].mode == "L" and fields["mask"].getbbox() == (8, 8, 16, 24)
    assert fields["mask"].getextrema() == (0, 255)
    assert fields["inpaint_full_res"] is True and fields["inpainting_fill"] == 2
    request = Img2ImgRequest(**fields, prompt="", width=64, height=64)
    validate(request)


def test_uploaded_mask_is_taken_as_it_is() -> None:
    mask = Image.new("L", (64, 64), 255)
    fields = request_fields({"mode": INPAINT_UPLOAD, "base": PICTURE, "base_mask": mask, **MASKING})
    assert fields["mask"] is mask and fields["init_images"] == [PICTURE]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"mode": IMG2IMG}, "picture"),
        ({"mode": INPAINT, "drawn": None}, "picture"),
        ({"mode": INPAINT, "drawn": drawn()}, "mask"),
        ({"mode": INPAINT_UPLOAD, "base": PICTURE}, "mask"),
    ],
)
def test_what_is_missing_is_said(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        request_fields(values)
    assert refused.value.field == field


def test_nothing_drawn_is_no_mask() -> None:
    assert drawn_mask({}) is None
    assert drawn_mask(drawn()) is None


@pytest.mark.skipif(not (CONTRACT / "ui.json").exists(), reason="the contract is not here")
def test_components_are_those_of_the_reference(tmp_path: Path) -> None:
    rows = json.loads((CONTRACT / "ui.json").read_text())["tabs"]["img2img"]["components"]
    ours = components_of(FakeServices(tmp_path))
    shared = [row for row in rows if row.get("elem_id") in ours and row["type"] not in ("row", "column")]
    assert len(shared) > 60
    for row in shared:
        props = ours[row["elem_id"]]
        for theirs, name in (
            ("label", "label"),
            ("default", "value"),
            ("min", "minimum"),
            ("max", "maximum"),
        ):
            if theirs in row and row["type"] in ("slider", "number", "checkbox", "radio", "textbox"):
                assert props[name] == row[theirs], row["elem_id"]
