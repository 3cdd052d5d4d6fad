"""The PNG Info tab: what a picture's file says about it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT
from modules.ui.messages import error_html, infotext_html, notice_html
from modules.ui.paste import PasteTarget, connect_paste
from modules.ui.services import PageServices


def create_pnginfo(gr: Any, services: PageServices, targets: Mapping[str, PasteTarget]) -> None:
    """Build the tab inside the present ``gr.Tab``. ``targets``: tabs that take the text, by id."""
    with gr.Row(equal_height=False, elem_classes=["generation"]):
        with gr.Column(scale=1, min_width=320):
            image = gr.Image(
                label="Source", elem_id="pnginfo_image", type="filepath", image_mode=None, sources=["upload"],
                height="60vh", buttons=["fullscreen"],
            )  # fmt: skip
        with gr.Column(scale=1, min_width=320):
            text = gr.Textbox("", elem_id="pnginfo_generation_info", elem_classes=[HIDDEN], show_label=False)
            with gr.Row(elem_id="pnginfo_send_buttons"):
                buttons = {tab: gr.Button(f"Send to {tab}", elem_id=f"{tab}_tab") for tab in targets}
            shown = gr.HTML(EMPTY, elem_id="html_info_pnginfo", elem_classes=["infotext"])

    def read(path: str | None) -> list[str]:
        if not path:
            return ["", EMPTY]
        try:
            infotext, items = services.picture_info(path)
        except Exception as error:
            return ["", error_html(error)]
        return [infotext or "", info_html(infotext, items)]

    image.change(read, [image], [text, shown], show_progress="hidden", **QUIET_EVENT)
    for tab, button in buttons.items():
        connect_paste(gr, services, button.click, text, targets[tab])
        button.click(fn=None, js=f"() => {{ switch_to_{tab}(); }}", **JS_EVENT)


EMPTY = notice_html("Drop a picture on the left to see the text it was painted from.")


def info_html(infotext: str | None, items: Mapping[str, Any]) -> str:
    """The generation text, then all other entries of the file, as text."""
    parts = []
    if infotext:
        parts.append(f'<h3>Generation text</h3><div class="pnginfo-text">{infotext_html(infotext)}</div>')
    for key, value in items.items():
        parts.append(f"<h3>{html.escape(str(key))}</h3><p>{html.escape(str(value)[:20000])}</p>")
    return "".join(parts) or notice_html("The file says nothing about how the picture was made.")
