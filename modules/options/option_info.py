"""The description of one setting, with the chain interface that extensions use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

SectionId = tuple[Any, ...]


class OptionInfo:
    """What is known about a setting besides its value.

    ``component`` is the name of an input of the page or a component class; None lets the page
    choose one by the type of ``default``. ``component_args`` is a mapping of arguments or a
    function that returns one. ``section`` is (identifier, label) or (identifier, label, category
    identifier). ``infotext`` names the entry of a picture's text that restores the setting.

    ``checked`` is true for the settings of the program itself: a value of the wrong type is then
    converted or refused instead of only being reported.
    """

    def __init__(  # noqa: PLR0917 - the order is part of the interface for extensions
        self,
        default: Any = None,
        label: str = "",
        component: Any = None,
        component_args: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        onchange: Callable[[], Any] | None = None,
        section: SectionId | None = None,
        refresh: Callable[[], Any] | None = None,
        comment_before: str = "",
        comment_after: str = "",
        infotext: str | None = None,
        restrict_api: bool = False,
        category_id: str | None = None,
    ) -> None:
        self.default = default
        self.label = label
        self.component = component
        self.component_args = component_args
        self.onchange = onchange
        self.section: SectionId | None = section
        self.category_id = category_id
        self.refresh = refresh
        self.do_not_save = False
        self.comment_before = comment_before
        self.comment_after = comment_after
        self.infotext = infotext
        self.restrict_api = restrict_api
        self.checked = False
        self.reload_ui = False
        self.restart = False

    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the component, with choices that are known at this moment."""
        args = self.component_args
        return args() if callable(args) else (args or {})

    def link(self, label: str, url: str) -> OptionInfo:
        """Put a link in front of the input."""
        self.comment_before += f"[<a href='{url}' target='_blank' rel='noopener'>{label}</a>]"
        return self

    def js(self, label: str, js_func: str) -> OptionInfo:
        """Put a link in front of the input that calls a JavaScript function."""
        self.comment_before += f"[<a href='#' onclick='{js_func}(); return false'>{label}</a>]"
        return self

    def info(self, info: str) -> OptionInfo:
        """Put an explanation in brackets behind the label."""
        self.comment_after += f"<span class='info'>({info})</span>"
        return self

    def html(self, html: str) -> OptionInfo:
        """Put HTML behind the label. It comes from code, never from a file or a request."""
        self.comment_after += html
        return self

    def needs_restart(self) -> OptionInfo:
        """Say that a change takes effect after the program was restarted."""
        self.restart = True
        return self.html(" <span class='info'>(requires restart)</span>")

    def needs_reload_ui(self) -> OptionInfo:
        """Say that a change takes effect after the page was built anew."""
        self.reload_ui = True
        return self.html(" <span class='info'>(requires Reload UI)</span>")


class OptionHTML(OptionInfo):
    """A paragraph of HTML on a page of settings. It has no value and is never stored."""

    def __init__(self, text: str) -> None:
        super().__init__(str(text).strip(), label="", component="HTML")
        self.do_not_save = True


def options_section(
    section_identifier: SectionId, options_dict: MutableMapping[str, OptionInfo]
) -> MutableMapping[str, OptionInfo]:
    """Put every option of ``options_dict`` into one section and return the mapping.

    ``section_identifier`` is (identifier, label) or (identifier, label, category identifier).
    """
    for info in options_dict.values():
        info.section = tuple(section_identifier[:2])
        if len(section_identifier) > 2:
            info.category_id = section_identifier[2]
    return options_dict
