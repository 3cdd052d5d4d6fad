"""The right half of a generation tab: gallery, generation text, messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modules.ui.components import HIDDEN, QUIET_EVENT, TabBuilder
from modules.ui.messages import duration_html, infotext_html, warnings_html
from modules.ui.services import PageResult, Picture


@dataclass(frozen=True)
class ResultsPanel:
    """The components that a finished job fills."""

    gallery: Any
    info_html: Any
    log_html: Any
    generation_info: Any

    def outputs(self) -> list[Any]:
        """The outputs of a generating event, in the order of ``show_result``."""
        return [self.gallery, self.generation_info, self.info_html, self.log_html]


def create_results(ui: TabBuilder) -> ResultsPanel:
    """Build the panel and the event that follows the selection in the gallery."""
    gr = ui.gr
    with (
        gr.Column(elem_id=ui.id("results"), elem_classes=["results"], scale=1, min_width=320),
        gr.Column(elem_id=ui.id("results_panel"), elem_classes=["results-panel"]),
    ):
        with gr.Column(elem_id=ui.id("gallery_container"), elem_classes=["gallery-frame"]):
            gallery = gr.Gallery(
                label="Output",
                show_label=False,
                elem_id=ui.id("gallery"),
                format="png",
                columns=4,
                fit_columns=False,
                preview=True,
                object_fit="contain",
                interactive=False,
                buttons=["download", "fullscreen"],
            )
        info_html = gr.HTML("", elem_id=f"html_info_{ui.tab}", elem_classes=["infotext"])
        log_html = gr.HTML("", elem_id=f"html_log_{ui.tab}", elem_classes=["html-log"])
        generation_info = gr.Textbox(
            "", elem_id=f"generation_info_{ui.tab}", elem_classes=[HIDDEN], show_label=False
        )
        info_button = ui.hidden_button("Run", "generation_info_button")
    _follow_selection(gr, gallery, info_button, generation_info, info_html)
    return ResultsPanel(gallery, info_html, log_html, generation_info)


def _follow_selection(gr: Any, gallery: Any, button: Any, generation_info: Any, info_html: Any) -> None:
    def selected(info: str, event: Any) -> str:
        return infotext_of(info, event.index)

    # Gradio finds the event argument by its annotation; Gradio itself is imported lazily.
    selected.__annotations__["event"] = gr.SelectData
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", **QUIET_EVENT}
    gallery.select(selected, [generation_info], [info_html], **quick)
    button.click(
        infotext_of,
        [generation_info, info_html],
        [info_html],
        js="(info) => [info, selected_gallery_index()]",
        **quick,
    )


def infotext_of(generation_info: str, index: Any) -> str:
    """HTML of the generation text of picture number ``index``; of the first one when none is selected."""
    try:
        texts = json.loads(generation_info or "{}").get("infotexts") or []
    except ValueError:
        return ""
    position = max(int(index), 0) if isinstance(index, (int, float)) else 0
    return infotext_html(str(texts[position])) if position < len(texts) else ""


def show_result(gr: Any, result: PageResult) -> list[Any]:
    """Values for ``ResultsPanel.outputs``, with the first picture selected."""
    texts = [picture.infotext for picture in result.pictures]
    info = {**result.info, "infotexts": texts}
    return [
        gr.update(value=gallery_value(result.pictures), selected_index=0 if texts else None),
        json.dumps(info, default=lambda _: None),
        infotext_html(texts[0]) if texts else "",
        warnings_html(result.warnings) + duration_html(result.seconds),
    ]


def gallery_value(pictures: Sequence[Picture]) -> list[Any]:
    """What the gallery takes: paths of saved files; pixels with their infotext for unsaved pictures."""
    value: list[Any] = []
    for picture in pictures:
        if picture.path is not None and picture.path.is_file():
            value.append(str(picture.path))
        elif picture.image is not None:
            copy = picture.image.copy()
            copy.info = {**copy.info, "parameters": picture.infotext}
            value.append(copy)
    return value
