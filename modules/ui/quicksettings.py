"""The row above the tabs: which checkpoint is in use, and what to do when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modules.errors import EaselError
from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT, tool_button
from modules.ui.messages import checkpoint_notice_html, error_html, problem_html
from modules.ui.services import CheckpointList, PageServices
from modules.ui.setting_inputs import REFRESH, SettingInput, commit_events, create_setting, settings_json
from modules.ui.setting_services import SettingRow

CHECKPOINT = "sd_model_checkpoint"


@dataclass(frozen=True)
class QuickSettings:
    """The row: inputs by key, and the components that other parts of the page refresh.

    ``checkpoint`` is ``None`` when the user took it out of the row.
    """

    checkpoint: Any
    refresh: Any
    notice: Any
    change: Any
    others: tuple[SettingInput, ...]


def create_quicksettings(gr: Any, services: PageServices, rows: Sequence[SettingRow]) -> QuickSettings:
    """Build the row of the settings ``rows``."""
    now = services.checkpoints()
    checkpoint = refresh = None
    others = []
    with gr.Row(elem_id="quicksettings", equal_height=False):
        for row in rows:
            if row.key == CHECKPOINT:
                checkpoint = gr.Dropdown(
                    list(now.titles),
                    value=_shown(now),
                    label="Stable Diffusion checkpoint",
                    elem_id=f"setting_{CHECKPOINT}",
                    interactive=True,
                    scale=0,
                    min_width=340,
                )
                refresh = tool_button(gr, REFRESH, f"refresh_{CHECKPOINT}")
                continue
            made = create_setting(gr, services, row)
            if made is not None:
                others.append(made)
        theme = tool_button(gr, "\N{CIRCLE WITH RIGHT HALF BLACK}", "easel_theme_toggle")
    notice = gr.HTML(checkpoint_notice_html(now), elem_id="quicksettings_log", elem_classes=["html-log"])
    change = gr.Button("Change checkpoint", elem_id="change_checkpoint", elem_classes=[HIDDEN])
    theme.click(fn=None, js="() => { toggleTheme(); }", **JS_EVENT)
    return QuickSettings(checkpoint, refresh, notice, change, tuple(others))


def connect_checkpoint(
    gr: Any, services: PageServices, quick: QuickSettings, checkpoint: Any, json_text: Any
) -> None:
    """The choice of the checkpoint, in the row or on the page of settings."""
    outputs = [checkpoint, quick.notice, json_text]

    def select(title: str | None) -> list[Any]:
        return [*select_checkpoint(gr, services, title), settings_json(services)]

    received: dict[str, Any] = {"fn": None, "inputs": [json_text], "js": RECEIVE, **JS_EVENT}
    if quick.checkpoint is not None:
        checkpoint.input(
            select, [checkpoint], outputs, show_progress="minimal", show_progress_on=checkpoint, **QUIET_EVENT
        ).then(**received)
        quick.refresh.click(
            lambda: checkpoint_updates(gr, services.refresh_checkpoints),
            None,
            outputs[:2],
            show_progress="hidden",
            **QUIET_EVENT,
        )
    quick.change.click(
        select, [checkpoint], outputs, js="takeDesiredCheckpoint", show_progress="hidden", **QUIET_EVENT
    ).then(**received)


def connect_others(gr: Any, services: PageServices, quick: QuickSettings, json_text: Any) -> None:
    """A change of any other setting in the row takes effect at once."""
    for one in quick.others:

        def change(value: Any, key: str = one.row.key) -> list[Any]:
            try:
                problems = services.change_settings({key: value}).problems
            except EaselError as error:
                return [error_html(error), gr.skip()]
            notice = (
                problem_html(problems[key]) if problems else checkpoint_notice_html(services.checkpoints())
            )
            return [notice, settings_json(services)]

        for listen in commit_events(one.component):
            listen(
                change, [one.component], [quick.notice, json_text], preprocess=False, show_progress="hidden",
                **QUIET_EVENT,
            ).then(fn=None, inputs=[json_text], js=RECEIVE, **JS_EVENT)  # fmt: skip


RECEIVE = "(text) => { receiveSettings(text); }"


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
