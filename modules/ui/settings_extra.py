"""The last pages of the Settings tab: defaults of the page, system report, actions, licences."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT, PageDefaults
from modules.ui.messages import error_html, notice_html
from modules.ui.services import PageServices


def create_extra_pages(gr: Any, services: PageServices, defaults: PageDefaults) -> None:
    """Build the pages inside the present ``gr.Tabs``."""
    with gr.Tab("Defaults", elem_id="settings_tab_defaults"):
        _create_defaults(gr, services, defaults)
    with gr.Tab("Sysinfo", elem_id="settings_tab_sysinfo"):
        _create_sysinfo(gr, services)
    with gr.Tab("Actions", elem_id="settings_tab_actions"):
        _create_actions(gr, services)
    with gr.Tab("Licenses", elem_id="settings_tab_licenses"):
        gr.HTML(licences_html(services), elem_id="licenses")


def _create_defaults(gr: Any, services: PageServices, defaults: PageDefaults) -> None:
    gr.HTML(
        "<p>The values that the inputs of the page start with, kept in <code>ui-config.json</code>. "
        "Set inputs on other tabs as you like them, look at the changes here, and apply them.</p>",
        elem_classes=["setting-text"],
    )
    with gr.Row():
        view = gr.Button("View changes", elem_id="ui_defaults_view", scale=0)
        apply = gr.Button("Apply", elem_id="ui_defaults_apply", variant="primary", scale=0)
    review = gr.HTML("", elem_id="ui_defaults_review", elem_classes=["html-log"])
    components = [component for component, _ in defaults.components.values()]

    def changes(values: tuple[Any, ...]) -> dict[str, Any]:
        pairs = zip(defaults.components.items(), values, strict=True)
        return {key: value for (key, (_, built)), value in pairs if (value or built) and value != built}

    def show(*values: Any) -> str:
        return changes_html(changes(values), {key: old for key, (_, old) in defaults.components.items()})

    def save(*values: Any) -> str:
        wanted = changes(values)
        try:
            services.save_defaults(wanted)
        except Exception as error:
            return error_html(error)
        return notice_html(f"Saved {len(wanted)} values. The page starts with them after Reload UI.")

    raw: dict[str, Any] = {"preprocess": False, "show_progress": "hidden", **QUIET_EVENT}
    view.click(show, components, [review], **raw)
    apply.click(save, components, [review], **raw)


def changes_html(changes: dict[str, Any], before: dict[str, Any]) -> str:
    """A table of inputs whose value differs from what the page started with."""
    if not changes:
        return notice_html("Every input has the value that the page started with.")
    rows = "".join(
        f"<tr><td>{_text(key.removesuffix('/value'))}</td><td>{_text(before[key])}</td><td>{_text(value)}</td></tr>"
        for key, value in changes.items()
    )
    head = "<tr><th>Input</th><th>Now</th><th>New</th></tr>"
    return f'<table class="plain-table"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def _create_sysinfo(gr: Any, services: PageServices) -> None:
    gr.HTML(
        '<p><button type="button" class="link-button" onclick="downloadSysinfo()">'
        "Download system info</button></p><p>A description of this system for a report of a problem. "
        "Passwords and keys are taken out; look through it before you give it away.</p>",
        elem_id="sysinfo_download",
        elem_classes=["setting-text"],
    )
    report = gr.Textbox("", elem_id="sysinfo_text", elem_classes=[HIDDEN], show_label=False)
    write = gr.Button("Write", elem_id="sysinfo_write", elem_classes=[HIDDEN])
    file = gr.File(label="Check system info for validity", file_types=[".json", ".txt"], height=140)
    validity = gr.HTML("", elem_id="sysinfo_validity", elem_classes=["html-log"])
    write.click(services.system_report, None, [report], show_progress="hidden", **QUIET_EVENT).then(
        fn=None, inputs=[report], js="(text) => { saveText('sysinfo.json', text); }", **JS_EVENT
    )

    def check(path: str | None) -> str:
        if not path:
            return ""
        try:
            intact = services.report_is_intact(Path(path).read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            return error_html(error)
        return notice_html(
            "The file is as it was written." if intact else "The file was changed or is no report."
        )

    file.change(check, [file], [validity], show_progress="hidden", **QUIET_EVENT)


def _create_actions(gr: Any, services: PageServices) -> None:
    result = gr.HTML("", elem_id="settings_actions_result", elem_classes=["html-log"])
    with gr.Row():
        unload = gr.Button("Unload SD checkpoint to RAM", elem_id="sett_unload_sd_model")
        reload = gr.Button("Load SD checkpoint to VRAM from RAM", elem_id="sett_reload_sd_model")
    checksums = gr.Button("Calculate hash for all checkpoint", elem_id="calculate_all_checkpoint_hash")

    def count() -> str:
        return f"All {services.hash_checkpoints()} checkpoints have a checksum."

    for button, action in (
        (unload, _saying(services.unload_model, "The checkpoint is off the device.")),
        (reload, _saying(services.reload_model, "The checkpoint is on the device.")),
        (checksums, count),
    ):
        button.click(_guarded(action), None, [result], show_progress="minimal", **QUIET_EVENT)


def _saying(action: Callable[[], None], sentence: str) -> Callable[[], str]:
    def run() -> str:
        action()
        return sentence

    return run


def _guarded(action: Callable[[], str]) -> Callable[[], str]:
    def run() -> str:
        try:
            return notice_html(action())
        except Exception as error:
            return error_html(error)

    return run


def licences_html(services: PageServices) -> str:
    """The program's licence in full, and those of the packages it stands on by name."""
    parts = (f"<h3>{_text(name)}</h3><pre>{_text(text)}</pre>" for name, text in services.licences())
    return "".join(parts)


def _text(value: Any) -> str:
    return html.escape(str(value))
