"""Builders of the components of a tab: element id, label, range, and the value that the user stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HIDDEN = "easel-hidden"
"""Class of elements that must be in the DOM but not be seen.

``visible=False`` would unmount them, and Gradio removes a class called ``hidden``."""

QUIET_EVENT: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}
"""Arguments of every event with a Python function: no public endpoint, never queued behind another."""

JS_EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Arguments of every event that runs in the browser alone."""


@dataclass
class PageDefaults:
    """The content of ui-config.json, and what the page adds to it.

    ``stored``: values of the file by ``<tab>/<label>/<field>``. ``fields``: the same keys of all
    components built so far, with the program's own defaults. ``components``: those that have a value,
    by key, with the value that they were built with.
    """

    stored: Mapping[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    components: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def missing(self) -> dict[str, Any]:
        """Fields that the file does not hold yet."""
        return {key: value for key, value in self.fields.items() if key not in self.stored}


@dataclass
class TabBuilder:
    """Makes the components of one tab, in the DOM also when not shown.

    ``tab`` is the id of the tab (``txt2img``); a value of ``defaults`` replaces the program's own unless
    it cannot be shown.
    """

    gr: Any
    tab: str
    defaults: PageDefaults = field(default_factory=PageDefaults)

    def id(self, name: str) -> str:
        """Element id of a component of this tab: ``txt2img_steps``."""
        return f"{self.tab}_{name}"

    def slider(
        self, label: str, name: str, span: tuple[float, float, float], value: float, **extra: Any
    ) -> Any:
        """A slider over ``span`` = (minimum, maximum, step); stored values may replace range and value."""
        minimum, maximum, step = span
        low = self._number(label, "minimum", minimum)
        high = self._number(label, "maximum", maximum)
        value = min(max(self._number(label, "value", value), low), high)
        step = self._number(label, "step", step)
        slider = self.gr.Slider(low, high, value, step=step, **self._common(label, name, extra))
        return self._recorded(label, slider, value)

    def number(self, label: str, name: str, value: float, **extra: Any) -> Any:
        """A number box without a range."""
        value = self._number(label, "value", value)
        return self._recorded(label, self.gr.Number(value, **self._common(label, name, extra)), value)

    def dropdown(self, label: str, name: str, choices: Sequence[str], value: Any, **extra: Any) -> Any:
        """A list to choose from; a stored value outside the choices is ignored."""
        choices = list(choices)
        stored = self._stored(label, "value", value)
        wanted = stored if isinstance(stored, list) else [stored]
        if all(item in choices for item in wanted):
            value = stored
        elif not isinstance(value, list) and value not in choices:
            value = choices[0] if choices else None
        dropdown = self.gr.Dropdown(choices, value=value, **self._common(label, name, extra))
        return self._recorded(label, dropdown, value)

    def textbox(self, label: str, name: str, value: str = "", **extra: Any) -> Any:
        """A text box."""
        value = str(self._stored(label, "value", value))
        return self._recorded(label, self.gr.Textbox(value, **self._common(label, name, extra)), value)

    def checkbox(self, label: str, name: str, value: bool = False, **extra: Any) -> Any:
        """A check box."""
        value = bool(self._stored(label, "value", value))
        return self._recorded(label, self.gr.Checkbox(value, **self._common(label, name, extra)), value)

    def radio(self, label: str, name: str, choices: Sequence[str], value: str, **extra: Any) -> Any:
        """Choices that are all seen at once."""
        stored = self._stored(label, "value", value)
        value = stored if stored in choices else value
        radio = self.gr.Radio(list(choices), value=value, **self._common(label, name, extra))
        return self._recorded(label, radio, value)

    def button(self, text: str, name: str, **extra: Any) -> Any:
        """An ordinary button."""
        return self.gr.Button(text, elem_id=self.id(name), **extra)

    def hidden_text(self, name: str) -> Any:
        """A text box for scripts: in the DOM, never seen."""
        return self.gr.Textbox("", elem_id=self.id(name), elem_classes=[HIDDEN], show_label=False)

    def hidden_button(self, text: str, name: str) -> Any:
        """A button that only scripts click."""
        return self.gr.Button(text, elem_id=self.id(name), elem_classes=[HIDDEN])

    def tool_button(self, text: str, name: str, full_id: bool = False) -> Any:
        """A small square button with one symbol."""
        return tool_button(self.gr, text, name if full_id else self.id(name))

    def _common(self, label: str, name: str, extra: dict[str, Any]) -> dict[str, Any]:
        common = {"label": label, "elem_id": self.id(name), "interactive": True, **extra}
        if self._stored(label, "visible", True) is False:
            common["elem_classes"] = [*common.get("elem_classes", []), HIDDEN]
        return common

    def _recorded(self, label: str, component: Any, value: Any) -> Any:
        """Remember a component for ui-config.json; of several with one label the first counts."""
        self.defaults.components.setdefault(f"{self.tab}/{label}/value", (component, value))
        return component

    def _stored(self, label: str, field_name: str, default: Any) -> Any:
        key = f"{self.tab}/{label}/{field_name}"
        self.defaults.fields.setdefault(key, default)
        return self.defaults.stored.get(key, default)

    def _number(self, label: str, field_name: str, default: float) -> float:
        value = self._stored(label, field_name, default)
        usable = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if usable else default


def tool_button(gr: Any, text: str, elem_id: str) -> Any:
    """A small square button with one symbol; style.css draws the known ones as icons."""
    return gr.Button(text, elem_id=elem_id, elem_classes=["tool"], size="sm", min_width=0, scale=0)
