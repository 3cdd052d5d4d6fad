"""An accordion that is a switch: open means that its inputs count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, TabBuilder


@contextmanager
def input_accordion(ui: TabBuilder, label: str, name: str) -> Iterator[Any]:
    """Build the accordion around the body of the ``with``; gives the hidden checkbox that holds the state.

    Scripts of the page put a visible checkbox with the id ``<id>-visible-checkbox`` on the header.
    """
    elem_id = ui.id(name)
    checkbox = ui.checkbox(label, f"{name}-checkbox", elem_classes=[HIDDEN])
    checkbox.change(
        fn=None, inputs=[checkbox], js=f"(on) => {{ inputAccordionChecked({elem_id!r}, on); }}", **JS_EVENT
    )
    with ui.gr.Accordion(label, open=bool(checkbox.value), elem_id=elem_id, elem_classes=["input-accordion"]):
        yield checkbox
