"""Every component is in the DOM, whatever tab or accordion it lies in."""

from __future__ import annotations

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


@pytest.fixture
def address(gr: Any, tmp_path: Path) -> Iterator[str]:
    app = create_app(FakeServices(tmp_path))
    mount_page(app, gr.Blocks(), replaced=quicker_assets(gr))
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
