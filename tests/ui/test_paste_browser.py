"""Texts of pictures go back into the inputs, from the prompt, from a file and from the last picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from tests.ui.fake_services import FakeServices
from tests.ui.watched import GENERATE, Watched

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=window.pwned=1>"
TEXT = (
    f"a lighthouse {EVIL}\nNegative prompt: fog\n"
    "Steps: 33, Sampler: Euler a, Schedule type: Karras, CFG scale: 4.5, Seed: 77, Size: 640x768, "
    "Denoising strength: 0.55, Hires upscale: 1.5, Hires steps: 7, Hires upscaler: Lanczos, "
    "Variation seed: 5, Variation seed strength: 0.2, Clip skip: 2, Refiner: harbour, "
    "Refiner switch at: 0.6, Version: v1.10.1"
)


def value(page: Watched, name: str) -> str:
    return page.page.input_value(
        f"#txt2img_{name} :is(textarea, input[type=number], input[role=listbox], input)"
    )


def test_text_fills_every_input_and_reaches_the_job(page: Watched, services: FakeServices) -> None:
    page.page.fill("#txt2img_prompt textarea", TEXT)
    page.page.click("#txt2img_tools #paste")
    page.page.wait_for_function("document.querySelector('#txt2img_neg_prompt textarea').value === 'fog'")
    page.page.wait_for_function("document.querySelector('#txt2img_enable-visible-checkbox').checked")
    assert value(page, "prompt") == f"a lighthouse {EVIL}"
    assert page.page.locator("#txt2img_override_settings").is_visible()
    assert "Clip skip: 2" in page.text("#txt2img_override_settings")
    assert "from 640×768 to 960×1152" in page.text("#txtimg_hr_finalres")
    page.page.click(GENERATE)
    page.running()
    job = list(services.jobs.values())[-1]
    page.page.click("#txt2img_interrupt")
    page.idle()
    expected = {
        "prompt": f"a lighthouse {EVIL}", "negative_prompt": "fog", "steps": 33, "sampler_name": "Euler a",
        "scheduler": "Karras", "cfg_scale": 4.5, "seed": 77, "width": 640, "height": 768, "enable_hr": True,
        "denoising_strength": 0.55, "hr_scale": 1.5, "hr_second_pass_steps": 7, "hr_upscaler": "Lanczos",
        "subseed": 5, "subseed_strength": 0.2, "refiner_checkpoint": "harbour.safetensors [77777777aa]",
        "refiner_switch_at": 0.6, "override_texts": ["Clip skip: 2"],
    }  # fmt: skip
    assert {name: job.values.get(name) for name in expected} == expected
    assert "hr_sampler_name" not in job.values
    assert services.overrides(job.values["override_texts"]) == {"CLIP_stop_at_last_layers": 2}
    assert page.page.evaluate("window.pwned") is None


def test_switched_off_passes_are_not_sent(page: Watched, services: FakeServices) -> None:
    page.page.click("#txt2img_hr button.label-wrap")
    page.page.wait_for_function("document.querySelector('#txt2img_hr-checkbox input').checked")
    page.page.click("#txt2img_hr-visible-checkbox")
    page.page.wait_for_function("!document.querySelector('#txt2img_hr-checkbox input').checked")
    page.number("steps", 2)
    page.page.click(GENERATE)
    page.idle()
    page.page.wait_for_function("document.querySelector('#txt2img_gallery .preview img')")
    values = list(services.jobs.values())[-1].values
    assert values["enable_hr"] is False
    assert not {"hr_scale", "hr_upscaler", "refiner_checkpoint", "subseed"} & set(values)


def test_last_text_and_its_absence(page: Watched, services: FakeServices) -> None:
    page.page.click("#txt2img_tools #paste")
    page.page.locator("#html_log_txt2img [role=alert]").wait_for()
    assert "params.txt" in page.text("#html_log_txt2img [role=alert]")
    (services.folder / "params.txt").write_text("a harbour\nSteps: 5, Seed: 9, Size: 64x64")
    page.page.click("#txt2img_tools #paste")
    page.page.wait_for_function("document.querySelector('#txt2img_prompt textarea').value === 'a harbour'")
    assert page.page.locator("#html_log_txt2img [role=alert]").count() == 0


def test_picture_goes_through_png_info_to_txt2img(page: Watched, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", TEXT)
    info.add_text("note", EVIL)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (32, 32), "teal").save(picture, pnginfo=info)
    page.tab("PNG Info")
    page.page.set_input_files("#pnginfo_image input[type=file]", str(picture))
    page.page.wait_for_function(
        "document.querySelector('#html_info_pnginfo').innerText.includes('Steps: 33')"
    )
    assert page.text("#html_info_pnginfo").count(EVIL) == 2
    page.page.click("#txt2img_tab")
    page.page.wait_for_function("document.querySelector('#txt2img_neg_prompt textarea').value === 'fog'")
    assert page.page.locator(GENERATE).is_visible()
    assert page.page.evaluate("window.pwned") is None
