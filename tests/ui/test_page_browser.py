"""The page in a real browser, against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from modules.errors import NonFiniteError
from modules.ui import create_page, mount_page, mount_waiting_page
from tests.paths import DATA
from tests.ui.fake_services import FakeServices
from tests.ui.page_server import create_app, listening, serve
from tests.ui.watched import GENERATE, Watched

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=window.pwned=1>${window.pwned=2}{{constructor}}"
PREVIEW = "#txt2img_gallery .preview img"


def last_job(services: FakeServices) -> Any:
    return list(services.jobs.values())[-1]


def test_generate_works_again_and_again(page: Watched, services: FakeServices) -> None:
    for count, prompt in enumerate(("a lighthouse at dusk", "a harbour"), start=1):
        page.page.fill("#txt2img_prompt textarea", prompt)
        page.page.click(GENERATE)
        page.page.locator(".livePreview img").wait_for()
        assert not page.page.locator(GENERATE).is_visible()
        page.idle()
        page.page.wait_for_function("!document.querySelector('.livePreview, .progressDiv')")
        assert len(services.jobs) == count
        saved = last_job(services).result.pictures[0].path
        assert page.page.locator(PREVIEW).first.get_attribute("src").endswith(saved.name)
        assert prompt in page.text("#html_info_txt2img")
        assert "Time taken" in page.text("#html_log_txt2img")
    assert page.page.title() == "Easel"


def test_saved_pictures_outlive_the_server(context: Any, services: FakeServices) -> None:
    with serve(services) as server:
        page = context.new_page()
        page.goto(server.url)
        page.wait_for_function("window.executedOnLoaded")
        page.click(GENERATE)
        page.locator(PREVIEW).first.wait_for()
        page.close()
    assert last_job(services).result.pictures[0].path.is_file()


def test_values_of_the_page_reach_the_job(page: Watched, services: FakeServices) -> None:
    page.page.fill("#txt2img_prompt textarea", "a lighthouse")
    page.page.fill("#txt2img_neg_prompt textarea", "fog")
    page.page.click("#txt2img_sampling input")
    page.page.get_by_role("option", name="Euler a").click()
    for name, value in (("steps", 4), ("width", 128), ("height", 64), ("batch_count", 2), ("cfg_scale", 5)):
        page.number(name, value)
    page.page.click("#txt2img_res_switch_btn")
    page.page.check("#txt2img_subseed_show input")
    page.page.fill("#txt2img_subseed input", "77")
    page.number("subseed_strength", 1)
    page.page.fill("#txt2img_seed input", "42")
    page.page.keyboard.press("Control+Enter")
    page.page.locator(PREVIEW).first.wait_for()
    values = dict(last_job(services).values)
    assert values == {
        "prompt": "a lighthouse", "negative_prompt": "fog", "styles": [], "sampler_name": "Euler a",
        "scheduler": "Automatic", "steps": 4, "width": 64, "height": 128, "n_iter": 2, "batch_size": 1,
        "cfg_scale": 5, "seed": 42, "subseed": 77, "subseed_strength": 1,
        "seed_resize_from_w": 0, "seed_resize_from_h": 0, "enable_hr": False, "override_texts": [],
    }  # fmt: skip


def test_interrupt_ends_the_job_and_gives_what_there_is(page: Watched, services: FakeServices) -> None:
    page.number("steps", 150)
    page.page.click(GENERATE)
    page.running()
    page.page.click("#txt2img_interrupt")
    page.idle()
    assert services.calls == ["interrupt"]
    assert last_job(services).step < 149
    page.page.locator(PREVIEW).first.wait_for()


def test_interrupt_of_a_series_waits_for_the_picture_unless_asked_twice(
    page: Watched, services: FakeServices
) -> None:
    page.number("steps", 20)
    page.number("batch_count", 5)
    page.page.click(GENERATE)
    page.running()
    page.page.click("#txt2img_interrupt")
    page.page.locator("#txt2img_interrupting").wait_for()
    page.idle()
    assert services.calls == ["stop_generating"]
    assert len(last_job(services).result.pictures) < 5

    page.number("steps", 150)
    page.page.click(GENERATE)
    page.running()
    page.page.keyboard.press("Escape")
    page.page.locator("#txt2img_interrupting").wait_for()
    page.page.keyboard.press("Escape")
    page.idle()
    assert services.calls[1:] == ["stop_generating", "interrupt"]


def test_skip_goes_on_with_the_next_batch(page: Watched, services: FakeServices) -> None:
    page.number("steps", 100)
    page.number("batch_count", 2)
    page.page.click(GENERATE)
    page.running()
    page.page.click("#txt2img_skip")
    page.page.wait_for_function("document.querySelector('.progressDiv')?.ariaValueNow >= 50")
    page.page.keyboard.press("Alt+Enter")
    page.idle()
    assert services.calls == ["skip", "skip"]
    assert len(last_job(services).result.pictures) == 2


def test_ctrl_enter_while_running_starts_again(page: Watched, services: FakeServices) -> None:
    page.number("steps", 150)
    page.page.click(GENERATE)
    page.running()
    page.page.fill("#txt2img_prompt textarea", "second")
    page.number("steps", 3)
    page.page.keyboard.press("Control+Enter")
    page.page.wait_for_function("document.querySelector('#html_info_txt2img').innerText.includes('second')")
    assert [job.values["prompt"] for job in services.jobs.values()] == ["", "second"]


def test_failure_is_a_sentence_where_the_action_was(page: Watched, services: FakeServices) -> None:
    services.fail_next = NonFiniteError("The picture holds NaN. Start with --no-half.")
    page.page.click(GENERATE)
    message = page.page.locator("#html_log_txt2img [role=alert]")
    message.wait_for()
    assert message.inner_text() == "The picture holds NaN. Start with --no-half."
    assert message.evaluate("(e) => uiElementInSight(e)")
    page.idle()
    page.page.click(GENERATE)
    page.page.locator(PREVIEW).first.wait_for()
    assert page.page.locator("#html_log_txt2img [role=alert]").count() == 0


def test_refused_value_is_marked_at_its_field(page: Watched) -> None:
    page.page.evaluate("document.querySelector('#txt2img_width input[type=number]').step = 1")
    page.number("width", 515)
    page.page.click(GENERATE)
    page.page.locator("#txt2img_width.invalid").wait_for()
    assert "multiple of 8" in page.text("#html_log_txt2img [role=alert]")
    page.number("width", 512)
    page.page.click(GENERATE)
    page.page.locator(PREVIEW).first.wait_for()
    assert page.page.locator(".invalid").count() == 0


def test_empty_model_folder_is_explained(open_page: Callable[[], Watched], services: FakeServices) -> None:
    services.titles, services.current = (), None
    page = open_page()
    page.open()
    assert str(services.folder) in page.text("#quicksettings_log")
    page.page.click(GENERATE)
    page.page.locator("#html_log_txt2img [role=alert]").wait_for()
    assert "no checkpoint" in page.text("#html_log_txt2img [role=alert]")
    page.page.click("#refresh_sd_model_checkpoint")
    page.page.locator("#quicksettings_log .easel-message").wait_for(state="detached")
    assert page.page.input_value("#setting_sd_model_checkpoint input") == services.on_disk[0]


def test_checkpoint_choice_and_its_failure(page: Watched, services: FakeServices) -> None:
    first, second = services.titles
    page.page.click("#setting_sd_model_checkpoint input")
    page.page.get_by_role("option", name=second).click()
    page.page.wait_for_timeout(300)
    assert services.current == second
    services.broken_titles.add(first)
    page.page.click("#setting_sd_model_checkpoint input")
    page.page.get_by_role("option", name=first).click()
    page.page.locator("#quicksettings_log [role=alert]").wait_for()
    assert "bytes are missing" in page.text("#quicksettings_log")
    assert page.page.input_value("#setting_sd_model_checkpoint input") == second
    services.broken_titles.clear()
    page.page.evaluate("(name) => selectCheckpoint(name)", first)
    page.page.wait_for_function(
        "(name) => document.querySelector('#setting_sd_model_checkpoint input').value === name", arg=first
    )
    assert services.current == first


def test_reload_finds_the_running_job(page: Watched, services: FakeServices) -> None:
    page.number("steps", 150)
    page.page.click(GENERATE)
    page.running()
    page.page.reload()
    page.loaded()
    page.errors.clear()  # Gradio reports the stream that the reload cut off
    page.running()
    page.page.locator(".livePreview img").wait_for()
    assert page.page.locator("#txt2img_interrupt").is_visible()
    page.idle()
    page.page.locator(PREVIEW).first.wait_for()
    assert "Steps: 150" in page.text("#html_info_txt2img")
    assert len(services.jobs) == 1
    page.page.reload()
    page.loaded()
    assert page.page.locator(".progressDiv").count() == 0


def test_page_closed_during_a_job_shows_the_result_when_opened_again(
    open_page: Callable[[], Watched], services: FakeServices
) -> None:
    first = open_page()
    first.open()
    first.page.click(GENERATE)
    first.running()
    first.page.close()
    last_job(services).done.wait(10)
    second = open_page()
    second.open()
    second.page.locator(PREVIEW).first.wait_for()
    second.idle()


def test_waiting_job_says_its_place(page: Watched, services: FakeServices) -> None:
    other = services.submit_txt2img({**VALUES, "steps": 100}, "task(other)")
    page.number("steps", 2)
    page.page.click(GENERATE)
    page.page.get_by_text("In queue: 1/1").wait_for()
    services.interrupt(other.task_id)
    page.page.locator(PREVIEW).first.wait_for()


VALUES = {"prompt": "", "negative_prompt": "", "sampler_name": "", "cfg_scale": 1} | {
    "steps": 1, "n_iter": 1, "batch_size": 1, "width": 64, "height": 64
}  # fmt: skip


def test_names_and_texts_are_never_html(open_page: Callable[[], Watched], services: FakeServices) -> None:
    services.titles = services.on_disk = (EVIL, "plain")
    services.current = EVIL
    services.styles = (EVIL,)
    page = open_page()
    page.open()
    page.page.fill("#txt2img_prompt textarea", EVIL)
    page.page.click("#txt2img_styles input")
    page.page.get_by_role("option").first.click()
    page.page.click("#txt2img_style_apply")
    page.page.click(GENERATE)
    page.page.locator(PREVIEW).first.wait_for()
    assert EVIL in page.text("#html_info_txt2img")
    services.fail_next = NonFiniteError(EVIL)
    page.page.click(GENERATE)
    page.page.locator("#html_log_txt2img [role=alert]").wait_for()
    assert page.text("#html_log_txt2img [role=alert]") == EVIL
    services.broken_titles.add("plain")
    page.page.click("#setting_sd_model_checkpoint input")
    page.page.get_by_role("option", name="plain").click()
    page.page.locator("#quicksettings_log [role=alert]").wait_for()
    assert page.page.evaluate("window.pwned") is None


def test_selected_picture_gives_text_and_seed(page: Watched) -> None:
    page.number("steps", 2)
    page.number("batch_count", 3)
    page.page.click(GENERATE)
    page.page.locator(PREVIEW).first.wait_for()
    page.idle()
    assert "Seed: 1234" in page.text("#html_info_txt2img")
    page.page.locator("#txt2img_gallery .thumbnails .thumbnail-item").nth(2).click()
    page.page.wait_for_function("document.querySelector('#html_info_txt2img').innerText.includes('1236')")
    assert page.page.evaluate("selected_gallery_index()") == 2
    page.page.click("#txt2img_reuse_seed")
    page.page.wait_for_function("document.querySelector('#txt2img_seed input').value === '1236'")
    page.page.click("#txt2img_random_seed")
    page.page.wait_for_function("document.querySelector('#txt2img_seed input').value === '-1'")


def test_token_counter_counts_while_typing(page: Watched) -> None:
    page.page.fill("#txt2img_prompt textarea", "one two three")
    page.page.get_by_text("3/75").wait_for()


def test_clear_asks_first(page: Watched) -> None:
    page.page.fill("#txt2img_prompt textarea", "one")
    page.page.once("dialog", lambda dialog: dialog.dismiss())
    page.page.click("#txt2img_clear_prompt")
    assert page.page.input_value("#txt2img_prompt textarea") == "one"
    page.page.once("dialog", lambda dialog: dialog.accept())
    page.page.click("#txt2img_clear_prompt")
    page.page.wait_for_function("document.querySelector('#txt2img_prompt textarea').value === ''")


def test_every_element_of_the_contract_is_in_the_dom(page: Watched) -> None:
    rows = json.loads((DATA / "ui_txt2img.json").read_text(encoding="utf-8"))["components"]
    wanted = [row["elem_id"] for row in rows]
    missing = page.page.evaluate("(ids) => ids.filter((id) => !document.getElementById(id))", wanted)
    assert missing == []
    hidden = [
        "change_checkpoint",
        "txt2img_restore_progress",
        "txt2img_token_button",
        "generation_info_txt2img",
    ]
    assert [name for name in hidden if page.page.locator(f"#{name}").is_visible()] == []


GLOBALS = """
gradioApp onUiUpdate onAfterUiUpdate onUiLoaded onUiTabChange onOptionsChanged onOptionsAvailable
get_uiCurrentTab get_uiCurrentTabContent switch_to_txt2img updateInput onEdit args_to_array
randomId requestProgress request requestGet setTitle formatTime localSet localGet localRemove
submit create_submit_args showSubmitButtons showSubmitInterruptingPlaceholder showRestoreProgressButton
restoreProgressTxt2img confirm_clear_prompt setRandomSeed switchWidthHeight selectCheckpoint set_theme
selected_gallery_index selected_gallery_index_id extract_image_from_gallery
update_txt2img_tokens recalculate_prompts_txt2img
"""


def test_globals_that_extensions_call_exist(page: Watched) -> None:
    names = GLOBALS.split()
    assert page.page.evaluate("(names) => names.filter((n) => typeof window[n] !== 'function')", names) == []
    assert page.page.evaluate("/^task\\([0-9a-z]{15}\\)$/.test(randomId())")
    assert page.page.evaluate("get_uiCurrentTabContent().id") == "tab_txt2img"
    assert page.page.evaluate("get_uiCurrentTab().innerText") == "txt2img"
    page.page.evaluate("switchWidthHeight('txt2img'); setRandomSeed('txt2img_seed')")
    assert page.page.evaluate("opts.live_preview_refresh_period") == 100


def test_browser_opened_early_gets_the_page_by_itself(context: Any, services: FakeServices) -> None:
    app = create_app(services)
    mount_waiting_page(app)
    with listening(app) as url:
        page = context.new_page()
        page.goto(url)
        page.get_by_text("Easel is starting").wait_for()
        mount_page(app, create_page(services))
        page.locator(GENERATE).wait_for()


def test_theme_is_kept(page: Watched) -> None:
    assert not page.page.evaluate("document.body.classList.contains('dark')")
    page.page.click("#easel_theme_toggle")
    assert page.page.evaluate("document.body.classList.contains('dark')")
    page.page.reload()
    page.loaded()
    assert page.page.evaluate("document.body.classList.contains('dark')")


def test_narrow_window_is_usable(page: Watched) -> None:
    page.page.set_viewport_size({"width": 360, "height": 740})
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
    page.page.click(GENERATE)
    page.page.locator(PREVIEW).first.wait_for()
    width = page.page.locator("#txt2img_gallery").bounding_box()["width"]
    assert 300 < width <= 360


def test_controls_have_names(page: Watched) -> None:
    nameless = page.page.evaluate(
        """() => Array.from(document.querySelectorAll('button, input, textarea'))
            .filter((e) => e.checkVisibility())
            .filter((e) => !(e.ariaLabel || e.title || e.labels?.[0]?.innerText))
            .filter((e) => !/\\w/.test(e.innerText || ''))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_lost_connection_is_said_and_survived(page: Watched, context: Any) -> None:
    page.number("steps", 150)
    page.page.route("**/internal/progress", lambda route: route.abort())
    page.page.click(GENERATE)
    page.page.get_by_text("Connection lost").wait_for()
    page.page.unroute("**/internal/progress")
    page.running()
    page.idle()
    page.errors.clear()
