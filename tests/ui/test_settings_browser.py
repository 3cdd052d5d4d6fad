"""The tab of settings in a real browser, with the real settings and their file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ui.fake_services import FakeServices
from tests.ui.watched import Watched

pytestmark = pytest.mark.browser

PATTERN = "#setting_samples_filename_pattern textarea, #setting_samples_filename_pattern input"


@pytest.fixture
def services(tmp_path: Path) -> FakeServices:
    services = FakeServices(tmp_path)
    services.every_setting = True
    return services


def stored(services: FakeServices) -> dict[str, object]:
    return json.loads(services._program.paths.config_file.read_text())


def apply(page: Watched) -> str:
    page.page.evaluate("document.querySelector('#settings_result .easel-message')?.remove()")
    page.page.click("#settings_submit")
    page.page.locator("#settings_result .easel-message").first.wait_for()
    return page.text("#settings_result")


def test_every_setting_is_in_the_dom_and_search_finds_it(page: Watched, services: FakeServices) -> None:
    keys = [row.key for section in services.settings_sections() for row in section.rows]
    texts = [key for key, info in services.options.data_labels.items() if info.do_not_save]
    wanted = [f"setting_{key}" for key in keys if key not in texts]
    assert len(wanted) > 300
    missing = page.page.evaluate("(ids) => ids.filter((id) => !document.getElementById(id))", wanted)
    assert missing == []
    page.tab("Settings")
    headings = page.page.locator("#settings > .tab-nav .settings-category").all_inner_texts()
    assert headings == [
        "Saving images", "Stable Diffusion", "User Interface", "System", "Postprocessing", "Training",
        "Uncategorized", "Other",
    ]  # fmt: skip
    page.page.fill("#settings_search input, #settings_search textarea", "grid rows")
    page.page.fill("#settings_search input, #settings_search textarea", "samples_filename_pattern")
    page.page.locator("#setting_samples_filename_pattern").wait_for()
    page.page.wait_for_function(
        "Array.from(document.querySelectorAll('[id^=setting_]')).filter((e) => e.checkVisibility()"
        " && !e.closest('#quicksettings')).length === 1"
    )
    page.page.fill("#settings_search input, #settings_search textarea", "")
    page.page.locator("#settings > .tab-nav").wait_for()
    page.page.click("#settings_show_all_pages")
    page.page.locator("#setting_live_previews_enable").wait_for()
    assert page.page.locator("#setting_samples_format").is_visible()


def test_apply_saves_only_what_this_browser_changed(page: Watched, services: FakeServices) -> None:
    page.tab("Settings")
    services.options.set("jpeg_quality", 55)
    page.page.locator("#settings > .tab-nav > button", has_text="Live previews").click()
    page.page.locator("#setting_live_previews_enable input").uncheck()
    page.page.locator("#settings > .tab-nav > button", has_text="Saving images/grids").click()
    page.page.fill(
        "#setting_samples_filename_pattern textarea, #setting_samples_filename_pattern input", "[seed]"
    )
    assert apply(page).startswith("2 settings changed")
    saved = stored(services)
    assert saved["live_previews_enable"] is False
    assert saved["samples_filename_pattern"] == "[seed]"
    assert saved["jpeg_quality"] == 55
    page.page.wait_for_function("opts.live_previews_enable === false")
    assert apply(page) == "Nothing was changed."


def test_refused_setting_says_why(page: Watched, services: FakeServices) -> None:
    def refuse() -> None:
        from modules.errors import ModelFileError

        raise ModelFileError("<b>vae</b> is damaged. Choose another one.")

    services.options.onchange("CLIP_stop_at_last_layers", refuse, call=False)
    page.tab("Settings")
    page.page.fill("#settings_search input, #settings_search textarea", "CLIP_stop_at_last_layers")
    box = page.page.locator("#setting_CLIP_stop_at_last_layers input[type=number]")
    box.fill("2")
    box.blur()
    assert "<b>vae</b> is damaged. Choose another one." in apply(page)
    assert services.options.CLIP_stop_at_last_layers == 1


def test_page_opened_later_shows_the_present_values(
    open_page: Callable[[], Watched], services: FakeServices
) -> None:
    page = open_page()
    for pattern in ("[date]", "[prompt]"):
        services.options.set("samples_filename_pattern", pattern)
        page.open()
        page.errors.clear()  # Gradio reports the streams that the next opening cuts off
        page.page.wait_for_function(f"document.querySelector('{PATTERN}').value === '{pattern}'")


def test_defaults_of_the_page(page: Watched, services: FakeServices) -> None:
    assert services.stored["txt2img/Width/value"] == 512
    page.number("width", 640)
    page.tab("Settings")
    page.page.locator("#settings > .tab-nav > button", has_text="Defaults").click()
    page.page.click("#ui_defaults_view")
    page.page.locator("#ui_defaults_review td", has_text="640").wait_for()
    page.page.click("#ui_defaults_apply")
    page.page.get_by_text("Saved 1 values").wait_for()
    assert services.stored["txt2img/Width/value"] == 640
    assert services.stored["txt2img/Height/value"] == 512


def test_report_and_failed_action(page: Watched, tmp_path: Path) -> None:
    page.tab("Settings")
    page.page.locator("#settings > .tab-nav > button", has_text="Sysinfo").click()
    with page.page.expect_download() as download:
        page.page.click("#sysinfo_download button")
    report = tmp_path / "report.json"
    download.value.save_as(report)
    assert json.loads(report.read_text())["Python"]
    page.page.set_input_files("#settings_tab_sysinfo input[type=file]", str(report))
    page.page.get_by_text("The file is as it was written.").wait_for()
    page.page.locator("#settings > .tab-nav > button", has_text="Actions").click()
    page.page.click("#sett_unload_sd_model")
    page.page.get_by_text("There is no model in memory.").wait_for()
