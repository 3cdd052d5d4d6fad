"""The shape of a row in the tables of settings.

A new setting is one row: a call of one of the small constructors below inside a ``Group``.
Rows are plain frozen data; ``modules.options.settings`` turns them into ``OptionInfo`` objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Category:
    """A heading that unites several pages of settings."""

    id: str
    label: str


@dataclass(frozen=True)
class Section:
    """A page of settings. ``id`` None: never shown. ``category`` None: listed after all categories."""

    id: str | None
    label: str
    category: str | None


@dataclass(frozen=True)
class Setting:
    """One setting.

    ``default`` tuples stand for lists. ``choices`` is a tuple of labels, or the name of a provider
    of choices that are only known at run time (see ``modules.options.choices``).
    ``limits`` is (minimum, maximum, step) of a slider. ``infotext`` is the name of the entry in the
    text of a picture that restores this setting. ``restrict_api``: clients of the HTTP interface
    cannot change it. ``restricted`` and ``hidden_with_dirs``: neither shown nor changed under
    ``--hide-ui-dir-config``. ``in_data_dir``: the default is a path below the data directory.
    """

    key: str
    default: Any
    label: str
    component: str
    choices: tuple[str, ...] | str | None = None
    limits: tuple[float, float, float] | None = None
    precision: int | None = None
    infotext: str | None = None
    info: str = ""
    refresh: bool = False
    reload_ui: bool = False
    restart: bool = False
    restrict_api: bool = False
    restricted: bool = False
    hidden_with_dirs: bool = False
    in_data_dir: bool = False


@dataclass(frozen=True)
class DisplayText:
    """A paragraph on a page of settings. It is shown, listed by the HTTP interface and never stored."""

    key: str
    text: str


@dataclass(frozen=True)
class Group:
    """Rows of one section. ``source`` names the built-in extension that uses them, or ``core``."""

    section: Section
    rows: tuple[Setting | DisplayText, ...]
    source: str = "core"


def check(key: str, default: bool, label: str, **more: Any) -> Setting:
    return Setting(key, default, label, "Checkbox", **more)


def text(key: str, default: str, label: str, **more: Any) -> Setting:
    return Setting(key, default, label, "Textbox", **more)


def number(key: str, default: float, label: str, **more: Any) -> Setting:
    return Setting(key, default, label, "Number", **more)


def slider(key: str, default: float, label: str, limits: tuple[float, float, float], **more: Any) -> Setting:
    return Setting(key, default, label, "Slider", limits=limits, **more)


def radio(key: str, default: str, label: str, choices: tuple[str, ...] | str, **more: Any) -> Setting:
    return Setting(key, default, label, "Radio", choices=choices, **more)


def color(key: str, default: str, label: str, **more: Any) -> Setting:
    return Setting(key, default, label, "FormColorPicker", **more)


def dropdown(
    key: str, default: str | None, label: str, choices: tuple[str, ...] | str, **more: Any
) -> Setting:
    return Setting(key, default, label, "Dropdown", choices=choices, **more)


def editable(key: str, default: str, label: str, choices: tuple[str, ...] | str, **more: Any) -> Setting:
    return Setting(key, default, label, "DropdownEditable", choices=choices, **more)


def multi(
    key: str, default: tuple[str, ...], label: str, choices: tuple[str, ...] | str, **more: Any
) -> Setting:
    return Setting(key, default, label, "DropdownMulti", choices=choices, **more)


def checks(
    key: str, default: tuple[str, ...], label: str, choices: tuple[str, ...] | str, **more: Any
) -> Setting:
    return Setting(key, default, label, "CheckboxGroup", choices=choices, **more)


def hidden(key: str, default: Any, label: str, **more: Any) -> Setting:
    return Setting(key, default, label, "none", **more)
