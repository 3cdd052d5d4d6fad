"""The settings that one picture is painted with instead of the present ones."""

from __future__ import annotations

from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, TabBuilder


def create_overrides(ui: TabBuilder) -> Any:
    """A list of tokens ``Name: value``; seen while it holds one."""
    name = ui.id("override_settings_row")
    with ui.gr.Row(elem_id=name, elem_classes=[HIDDEN]):
        box = ui.gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            allow_custom_value=True,
            label="Override settings",
            elem_id=ui.id("override_settings"),
            interactive=True,
        )
    box.change(
        fn=None,
        inputs=[box],
        js=f"(texts) => {{ showWhileFilled({name!r}, texts); }}",
        **JS_EVENT,
    )
    return box
