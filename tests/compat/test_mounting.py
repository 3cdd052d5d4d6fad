"""Every component is in the DOM, whatever tab or accordion it lies in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from modules.compat.mounting import REPLACEMENTS, TESTED_GRADIO, keep_mounted, quicker_assets
from modules.ui import mount_page
from modules.ui.gradio_setup import load_gradio
from tests.ui.fake_services import FakeServices
from tests.ui.page_server import create_app, listening


@pytest.fixture(scope="module")
def gr() -> Any:
    gradio = load_gradio()
    keep_mounted(gradio)
    return gradio


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
        source.input(lambda text: text[::-1], [source], [deep])
        go.click(lambda: gr.update(selected="second"), None, [outer])
    return page.queue(default_concurrency_limit=None)


@pytest.fixture
def address(gr: Any, tmp_path: Path) -> Iterator[str]:
    app = create_app(FakeServices(tmp_path))
    mount_page(app, nested_page(gr), replaced=quicker_assets(gr))
    with listening(app) as url:
        yield url


def test_the_pinned_gradio_is_the_one_that_was_read() -> None:
    """Fails when Gradio is replaced: read its browser part again before changing the version here."""
    assert version("gradio") == TESTED_GRADIO


def test_both_files_hold_the_expression_that_is_replaced(gr: Any) -> None:
    names = quicker_assets(gr)
    assert len(names) == len(REPLACEMENTS)
    folder = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    for name, content in names.items():
        assert content != (folder / name).read_bytes()


def test_another_gradio_is_left_alone_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Other:
        __file__ = str(tmp_path / "__init__.py")
        __version__ = "9.9"

    assert quicker_assets(Other) == {}
    assert "Gradio 9.9" in caplog.text


def test_replaced_files_are_served_and_not_sent_twice(gr: Any, address: str) -> None:
    for name, content in quicker_assets(gr).items():
        answer = httpx.get(f"{address}/assets/{name}")
        assert answer.content == content and answer.headers["content-type"].startswith("text/javascript")
        again = httpx.get(f"{address}/assets/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


def test_twice_is_once(gr: Any) -> None:
    tabs = gr.Tabs
    keep_mounted(gr)
    assert gr.Tabs is tabs and gr.layouts.Tabs is tabs and gr.TabItem is gr.Tab


def test_no_stub_file_is_written() -> None:
    folder = Path(keep_mounted.__code__.co_filename).parent
    assert list(folder.glob("*.pyi")) == []


@pytest.mark.browser
def test_every_id_is_in_the_dom_and_hidden_parts_live(context: Any, address: str) -> None:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(address)
    page.locator("#in_one textarea").wait_for()
    ids = re.findall(r'"elem_id":"(\w+)"', page.content().replace(" ", ""))
    assert {"in_deep", "tab_deep", "in_lone", "inner", "closed"} <= set(ids)
    page.wait_for_function("(ids) => ids.every((id) => document.getElementById(id))", arg=ids)
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
