"""The whole page: quick settings, tabs, footer, and what happens when a browser opens it."""

from __future__ import annotations

import html
import json
from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT
from modules.ui.gradio_setup import load_gradio
from modules.ui.quicksettings import checkpoint_updates, create_quicksettings
from modules.ui.services import PageServices
from modules.ui.txt2img import create_txt2img

HINT = "Ctrl+Enter: generate · Esc: interrupt · Alt+Enter: skip"


CACHE_SECONDS = (3600, 86400)
"""How often copies of unsaved pictures are looked for, and the age at which they are removed."""


def create_page(services: PageServices, *, title: str = "Easel") -> Any:
    """Build the page as ``gr.Blocks``; imports Gradio, so call it when the API already answers."""
    gr = load_gradio()
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True, delete_cache=CACHE_SECONDS) as page:
        quick = create_quicksettings(gr, services)
        with gr.Tabs(elem_id="tabs"), gr.Tab("txt2img", id="txt2img", elem_id="tab_txt2img"):
            top = create_txt2img(gr, services)
        settings = gr.Textbox("", elem_id="settings_json", elem_classes=[HIDDEN], show_label=False)
        gr.HTML(_footer(services.version), elem_id="footer")
        _connect_load(gr, page, services, [quick.checkpoint, quick.notice, top.styles, settings])
    page.queue(default_concurrency_limit=None, api_open=False)
    return page


def _connect_load(gr: Any, page: Any, services: PageServices, outputs: list[Any]) -> None:
    """The page is built once; lists that change since are read again when a browser opens it.

    ``outputs``: checkpoint, notice, styles, settings.
    """

    def refresh() -> list[Any]:
        return [
            *checkpoint_updates(gr, services.checkpoints),
            gr.update(choices=list(services.style_names())),
            json.dumps(dict(services.browser_settings()), default=str),
        ]

    page.load(fn=None, js="() => { uiMounted(); }", **JS_EVENT)
    page.load(refresh, None, outputs, queue=False, show_progress="hidden", **QUIET_EVENT).then(
        fn=None, inputs=outputs[-1:], js="(text) => { receiveSettings(text); }", **JS_EVENT
    )


def _footer(version: str) -> str:
    return f"<span>Easel {html.escape(version)}</span><span>{html.escape(HINT)}</span>"
