"""The row above the tabs: which checkpoint is in use, and what to do when there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modules.errors import EaselError
from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT, tool_button
from modules.ui.messages import checkpoint_notice_html, error_html
from modules.ui.services import CheckpointList, PageServices

REFRESH = "\N{ANTICLOCKWISE DOWNWARDS AND UPWARDS OPEN CIRCLE ARROWS}"


@dataclass(frozen=True)
class QuickSettings:
    """The components that other parts of the page refresh."""

    checkpoint: Any
    notice: Any


def create_quicksettings(gr: Any, services: PageServices) -> QuickSettings:
    """Build the row and its events."""
    now = services.checkpoints()
    with gr.Row(elem_id="quicksettings", equal_height=False):
        checkpoint = gr.Dropdown(
            list(now.titles),
            value=_shown(now),
            label="Stable Diffusion checkpoint",
            elem_id="setting_sd_model_checkpoint",
            interactive=True,
            scale=0,
            min_width=340,
        )
        refresh = tool_button(gr, REFRESH, "refresh_sd_model_checkpoint")
        theme = tool_button(gr, "\N{CIRCLE WITH RIGHT HALF BLACK}", "easel_theme_toggle")
    notice = gr.HTML(checkpoint_notice_html(now), elem_id="quicksettings_log", elem_classes=["html-log"])
    change = gr.Button("Change checkpoint", elem_id="change_checkpoint", elem_classes=[HIDDEN])
    parts = QuickSettings(checkpoint, notice)
    outputs = [checkpoint, notice]

    def select(title: str | None) -> list[Any]:
        return select_checkpoint(gr, services, title)

    checkpoint.input(
        select, [checkpoint], outputs, show_progress="minimal", show_progress_on=checkpoint, **QUIET_EVENT
    )
    change.click(
        select,
        [checkpoint],
        outputs,
        js="takeDesiredCheckpoint",
        show_progress="hidden",
        **QUIET_EVENT,
    )
    refresh.click(
        lambda: checkpoint_updates(gr, services.refresh_checkpoints),
        None,
        outputs,
        show_progress="hidden",
        **QUIET_EVENT,
    )
    theme.click(fn=None, js="() => { toggleTheme(); }", **JS_EVENT)
    return parts


def select_checkpoint(gr: Any, services: PageServices, title: str | None) -> list[Any]:
    """Use a checkpoint; when that fails the list shows the one that stays in use, and why."""
    try:
        if title:
            services.select_checkpoint(title)
    except Exception as error:
        return [_dropdown(gr, services.checkpoints()), error_html(error)]
    return checkpoint_updates(gr, services.checkpoints)


def checkpoint_updates(gr: Any, read: Any) -> list[Any]:
    """New content of the dropdown and of the notice below it."""
    try:
        now = read()
    except EaselError as error:
        return [gr.skip(), error_html(error)]
    return [_dropdown(gr, now), checkpoint_notice_html(now)]


def _dropdown(gr: Any, now: CheckpointList) -> Any:
    return gr.update(choices=list(now.titles), value=_shown(now))


def _shown(now: CheckpointList) -> str | None:
    return now.current if now.current in now.titles else None
