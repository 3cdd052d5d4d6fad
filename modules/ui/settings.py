"""The Settings tab: a strip of pages, search, Apply, Reload UI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT, PageDefaults
from modules.ui.messages import error_html, notice_html, problem_html
from modules.ui.services import PageServices
from modules.ui.setting_inputs import SettingInput, create_setting, settings_json
from modules.ui.setting_services import SettingsChange, SettingsSection
from modules.ui.settings_extra import create_extra_pages


@dataclass(frozen=True)
class SettingsTab:
    """The inputs by key, and the components that other parts of the page use."""

    inputs: Mapping[str, SettingInput]
    json_text: Any
    result: Any
    read_again: Any

    def shown_values(self) -> dict[str, Any]:
        """The values that the page was built with."""
        return {key: one.row.value for key, one in self.inputs.items()}


def create_settings(
    gr: Any,
    services: PageServices,
    sections: Sequence[SettingsSection],
    above: Sequence[str],
    defaults: PageDefaults,
) -> SettingsTab:
    """Build the tab inside the present ``gr.Tab``. Settings of ``above`` stand above the tabs already."""
    with gr.Row(elem_id="settings_head"):
        submit = gr.Button("Apply settings", variant="primary", elem_id="settings_submit", scale=0)
        reload_ui = gr.Button("Reload UI", elem_id="settings_restart_gradio", scale=0)
        gr.Textbox(
            "",
            elem_id="settings_search",
            show_label=False,
            label="Search settings",
            placeholder="Search",
            scale=0,
        )
        gr.Button("Show all pages", elem_id="settings_show_all_pages", scale=0)
        gr.Button("Show only one page", elem_id="settings_show_one_page", elem_classes=[HIDDEN], scale=0)
    result = gr.HTML("", elem_id="settings_result", elem_classes=["html-log"])
    inputs: dict[str, SettingInput] = {}
    with gr.Tabs(elem_id="settings"):
        for section in sections:
            with (
                gr.Tab(section.label, elem_id=f"settings_{section.id}"),
                gr.Column(elem_id=f"column_settings_{section.id}", elem_classes=["setting-page"]),
            ):
                made = [create_setting(gr, services, row) for row in section.rows if row.key not in above]
                inputs.update({one.row.key: one for one in made if one is not None})
        create_extra_pages(gr, services, defaults)
    json_text = gr.Textbox("", elem_id="settings_json", elem_classes=[HIDDEN], show_label=False)
    read_again = gr.Button("Read again", elem_id="settings_read_again", elem_classes=[HIDDEN])
    tab = SettingsTab(inputs, json_text, result, read_again)
    _connect_apply(gr, services, tab, submit)
    _connect_reload(services, reload_ui, result)
    return tab


def _connect_apply(gr: Any, services: PageServices, tab: SettingsTab, submit: Any) -> None:
    """Apply sends all values as one text; what differs from what this browser was shown is set."""
    keys = list(tab.inputs)
    components = [one.component for one in tab.inputs.values()]
    packed = gr.Textbox("", elem_id="settings_packed", elem_classes=[HIDDEN], show_label=False)
    shown = gr.State(tab.shown_values())

    def apply(text: str, before: dict[str, Any]) -> list[Any]:
        given = dict(zip(keys, json.loads(text), strict=True))
        wanted = {key: value for key, value in given.items() if value != before[key]}
        try:
            change = services.change_settings(wanted)
        except Exception as error:
            return [gr.skip(), error_html(error), gr.skip()]
        now = {**before, **{key: given[key] for key in wanted if key not in change.problems}}
        return [settings_json(services), change_html(change), now]

    submit.click(
        fn=None, inputs=components, outputs=[packed], js="(...values) => JSON.stringify(values)", **JS_EVENT
    ).then(
        apply,
        [packed, shown],
        [tab.json_text, tab.result, shown],
        show_progress="minimal",
        show_progress_on=tab.result,
        **QUIET_EVENT,
    ).then(fn=None, inputs=[tab.json_text], js="(text) => { receiveSettings(text); }", **JS_EVENT)

    def read() -> list[Any]:
        now = {row.key: row.value for section in services.settings_sections() for row in section.rows}
        return [*(gr.update(value=now[key]) for key in keys), {key: now[key] for key in keys}]

    tab.read_again.click(
        read, None, [*components, shown], show_progress="hidden", show_progress_on=tab.result, **QUIET_EVENT
    )


def _connect_reload(services: PageServices, button: Any, result: Any) -> None:
    def rebuild() -> str:
        try:
            services.reload_page()
        except Exception as error:
            return error_html(error)
        return notice_html("The page is ready.")

    button.click(
        rebuild, None, [result], js="() => { announceReload(); }", show_progress="hidden", **QUIET_EVENT
    ).then(fn=None, inputs=[result], js="(html) => { finishReload(html); }", **JS_EVENT)


def change_html(change: SettingsChange) -> str:
    """How Apply went: how many settings were changed, and which could not be."""
    failed = "".join(problem_html(sentence) for sentence in change.problems.values())
    if not change.changed:
        return failed or notice_html("Nothing was changed.")
    count = len(change.changed)
    names = ", ".join(change.changed)
    return failed + notice_html(f"{count} setting{'s' if count > 1 else ''} changed: {names}.")
