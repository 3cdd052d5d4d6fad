"""Every component is in the DOM and works, whatever tab or accordion it lies in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from modules.compat.mounting import keep_mounted, quicker_assets
from modules.ui import mount_page
from modules.ui.gradio_setup import load_gradio
from tests.ui.fake_services import FakeServices
from tests.ui.page_server import create_app, listening
from tests.ui.watched import Watched

pytestmark = pytest.mark.browser


def nested_page(gr: Any) -> Any:
    """Text boxes in the second tab of a second tab, in a closed accordion and in a lone tab."""
    with gr.Blocks() as page:
        with gr.Tabs(elem_id="outer") as outer:
            with gr.Tab("one", elem_id="tab_one"):
                source = gr.Textbox(elem_id="in_one")
            with gr.TabItem("two", elem_id="tab_two", id="second"), gr.Tabs(elem_id="inner"):
                gr.Tab("empty", elem_id="tab_empty")
                with (
                    gr.Tab("deep", elem_id="tab_deep"),
                    gr.Accordion("closed", open=False, elem_id="closed"),
                ):
                    deep = gr.Textbox(elem_id="in_deep")
                    echo = gr.Textbox(elem_id="echo")
                    hidden_button = gr.Button("echo", elem_id="hidden_button")
        with gr.Tab("lone", elem_id="tab_lone"):
            gr.Textbox(elem_id="in_lone")
        go = gr.Button("go", elem_id="go")
        hidden_button.click(lambda text: text.upper(), [deep], [echo])
        source.change(lambda text: text[::-1], [source], [deep])
        page.load(fn=None, js="() => { uiMounted(); }")
        go.click(lambda: gr.update(selected="second"), None, [outer])
    return page.queue(default_concurrency_limit=None)


def test_every_id_is_in_the_dom_and_hidden_parts_live(context: Any, tmp_path: Path) -> None:
    gr = load_gradio()
    keep_mounted(gr)
    app = create_app(FakeServices(tmp_path))
    mount_page(app, nested_page(gr), replaced=quicker_assets(gr))
    with listening(app) as address:
        use_nested_page(context.new_page(), address)


def use_nested_page(page: Any, address: str) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(address)
    page.locator("#in_one textarea").wait_for()
    ids = re.findall(r'"elem_id":"(\w+)"', page.content().replace(" ", ""))
    assert {"in_deep", "tab_deep", "in_lone", "inner", "closed"} <= set(ids)
    page.wait_for_function("(ids) => ids.every((id) => document.getElementById(id))", arg=ids)
    page.wait_for_function("window.executedOnLoaded")
    page.click("#in_one textarea")
    page.keyboard.type("olleh")
    page.wait_for_function("document.querySelector('#in_deep textarea').value === 'hello'")
    page.evaluate(
        """() => {
            const box = document.querySelector('#in_deep textarea');
            box.value = 'typed by a script';
            box.dispatchEvent(new Event('input', { bubbles: true }));
            document.getElementById('hidden_button').click();
        }"""
    )
    page.wait_for_function("document.querySelector('#echo textarea').value === 'TYPED BY A SCRIPT'")
    page.click("#go")
    page.locator("#tab_two").wait_for()
    assert not page.locator("#in_deep").is_visible()
    page.get_by_role("tab", name="deep").click()
    page.get_by_role("button", name="closed").click()
    page.locator("#in_deep").wait_for()
    assert page.locator("#outer > .tab-nav > button.selected").inner_text() == "two"
    assert errors == []


def test_every_id_of_the_page_is_in_the_dom(page: Watched) -> None:
    ids = set(re.findall(r'"elem_id":"([^"]+)"', page.page.content()))
    assert len(ids) > 100
    missing = page.page.evaluate("(ids) => ids.filter((id) => !document.getElementById(id))", sorted(ids))
    assert missing == []
