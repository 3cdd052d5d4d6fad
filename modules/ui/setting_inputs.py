"""From the description of a setting to its input, in the tab of settings and above the tabs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.ui.components import QUIET_EVENT, tool_button
from modules.ui.services import PageServices
from modules.ui.setting_services import SettingRow

REFRESH = "\N{ANTICLOCKWISE DOWNWARDS AND UPWARDS OPEN CIRCLE ARROWS}"

INPUTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Checkbox": ("Checkbox", {}),
    "Textbox": ("Textbox", {}),
    "Number": ("Number", {}),
    "Slider": ("Slider", {}),
    "Radio": ("Radio", {}),
    "CheckboxGroup": ("CheckboxGroup", {}),
    "Dropdown": ("Dropdown", {}),
    "DropdownMulti": ("Dropdown", {"multiselect": True}),
    "DropdownEditable": ("Dropdown", {"allow_custom_value": True}),
    "FormColorPicker": ("ColorPicker", {}),
    "ColorPicker": ("ColorPicker", {}),
}
"""Name of an input in the tables → Gradio's component and its arguments."""

COMMIT_EVENTS: Mapping[str, tuple[str, ...]] = {
    "Textbox": ("submit", "blur"),
    "Number": ("submit", "blur"),
    "Slider": ("release",),
}
"""Events at which the value of an input is complete; of all others ``input``."""


@dataclass(frozen=True)
class SettingInput:
    """A setting on the page: what describes it and the component."""

    row: SettingRow
    component: Any


def create_setting(gr: Any, services: PageServices, row: SettingRow) -> SettingInput | None:
    """The input of a setting with its refresh button; a paragraph has no input."""
    if row.component == "HTML":
        gr.HTML(str(row.default or ""), elem_classes=["setting-text"])
        return None
    if not row.refreshable:
        return SettingInput(row, create_input(gr, row))
    with gr.Row(elem_classes=["setting-row"]):
        component = create_input(gr, row)
        refresh = tool_button(gr, REFRESH, f"refresh_{row.key}")
    connect_refresh(gr, services, row.key, component, refresh)
    return SettingInput(row, component)


def create_input(gr: Any, row: SettingRow, **extra: Any) -> Any:
    """The component alone."""
    name = row.component or _name_for(row.default)
    kind, fixed = INPUTS.get(name, ("Textbox", {})) if isinstance(name, str) else ("", {})
    args = {**row.args, **fixed, **extra}
    visible = args.pop("visible", True)
    look = "setting-hidden" if visible is False else "setting-locked" if row.locked else None
    if look:
        args["elem_classes"] = [*args.get("elem_classes", []), look]
    if not isinstance(name, str):
        return name(label=row.label, value=row.value, elem_id=f"setting_{row.key}", **args)
    if "choices" in args:
        args["choices"] = choices_with(args["choices"], row.value)
    return getattr(gr, kind)(
        label=row.label,
        value=row.value,
        elem_id=f"setting_{row.key}",
        interactive=row.locked is None,
        **args,
    )


def choices_with(choices: Any, value: Any) -> list[Any]:
    """The choices, and behind them a stored value that is none of them any more."""
    listed = list(choices)
    known = {item[1] if isinstance(item, tuple) else item for item in listed}
    present = value if isinstance(value, list) else [value]
    return listed + [item for item in present if item is not None and item != "" and item not in known]


def connect_refresh(gr: Any, services: PageServices, key: str, component: Any, button: Any) -> None:
    """Let a button read the choices again."""

    def refresh(value: Any) -> Any:
        return gr.update(choices=choices_with(services.refresh_choices(key), value))

    button.click(refresh, [component], [component], preprocess=False, show_progress="hidden", **QUIET_EVENT)


def commit_events(component: Any) -> list[Any]:
    """The event listeners at which a value above the tabs takes effect."""
    names = COMMIT_EVENTS.get(type(component).__name__, ("input",))
    return [getattr(component, name) for name in names if hasattr(component, name)]


def settings_json(services: PageServices, **more: Any) -> str:
    """What the browser reads as ``opts``."""
    return json.dumps({**services.browser_settings(), **more}, default=str)


def _name_for(default: Any) -> str:
    if isinstance(default, bool):
        return "Checkbox"
    return "Number" if isinstance(default, (int, float)) else "Textbox"
