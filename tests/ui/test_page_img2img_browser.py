"""The img2img tab in a real browser: a picture, a drawn mask, an uploaded mask."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.ui.fake_services import FakeServices
from tests.ui.watched import Watched

pytestmark = pytest.mark.browser


def paint(page: Watched, services: FakeServices, count: int) -> dict[str, Any]:
    """Generate, and give the values of job number ``count``."""
    page.page.click("#img2img_generate")
    deadline = time.monotonic() + 15
    while len(services.jobs) < count and time.monotonic() < deadline:
        page.page.wait_for_timeout(50)
    page.page.wait_for_function("!runningTask('img2img')")
    assert len(services.jobs) == count, page.text("#html_log_img2img")
    return dict(list(services.jobs.values())[-1].values)


def test_picture_and_masks_reach_the_job(page: Watched, services: FakeServices, tmp_path: Path) -> None:
    picture, mask = tmp_path / "in.png", tmp_path / "mask.png"
    Image.linear_gradient("L").convert("RGB").resize((128, 64)).save(picture)
    Image.new("L", (128, 64), 255).save(mask)
    page.tab("img2img")
    box = page.page.locator("#img2img_steps input[type=number]")
    box.fill("2")
    box.blur()
    page.page.click("#img2img_generate")
    page.page.locator("#html_log_img2img [role=alert]").wait_for()
    assert "no picture to start from" in page.text("#html_log_img2img")
    assert not page.page.locator("#inpaint_controls").is_visible()

    page.page.set_input_files("#img2img_image input[type=file]", str(picture))
    page.page.locator("#img2img_image img").wait_for()
    values = paint(page, services, 1)
    assert values["init_images"][0].size == (128, 64)
    assert "mask" not in values and values["denoising_strength"] == 0.75

    page.page.locator("#mode_img2img > .tab-nav > button", has_text="Inpaint upload").click()
    page.page.set_input_files("#img_inpaint_base input[type=file]", str(picture))
    page.page.set_input_files("#img_inpaint_mask input[type=file]", str(mask))
    page.page.locator("#img_inpaint_mask img").wait_for()
    assert page.page.locator("#inpaint_controls").is_visible()
    values = paint(page, services, 2)
    assert values["mask"].size == (128, 64) and values["inpainting_fill"] == 1

    page.page.locator("#mode_img2img > .tab-nav > button").nth(1).click()
    page.page.set_input_files("#img2maskimg input[type=file]", str(picture))
    canvas = page.page.locator("#img2maskimg canvas").first
    canvas.wait_for()
    page.page.wait_for_function("document.querySelector('#img2maskimg').innerText.includes('%')")
    page.page.wait_for_timeout(800)
    frame = canvas.bounding_box()
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.page.mouse.move(x - 20, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 20, y, steps=5)
    page.page.mouse.up()
    page.page.wait_for_timeout(300)
    values = paint(page, services, 3)
    drawn = values["mask"].getbbox()
    assert drawn[0] < 64 < drawn[2] and drawn[1] < 32 < drawn[3]
