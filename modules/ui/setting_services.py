"""What the tab of settings asks of the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class SettingRow:
    """One input on a page of settings.

    ``component`` is the name of an input (``Checkbox``, ``Slider``, ``Dropdown``, ``HTML``, ...), a
    component class of an extension, or ``None``: chosen by the type of the default. ``locked`` is the
    sentence that says why the value cannot be changed.
    """

    key: str
    label: str
    component: Any
    value: Any
    default: Any = None
    args: Mapping[str, Any] = field(default_factory=dict)
    refreshable: bool = False
    locked: str | None = None


@dataclass(frozen=True)
class SettingsSection:
    """One page of settings, with the heading above it in the strip when it is the first below it."""

    id: str
    label: str
    rows: tuple[SettingRow, ...]
    heading: str | None = None


@dataclass(frozen=True)
class SettingsChange:
    """Which settings were changed, and a sentence for each one that could not be."""

    changed: tuple[str, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


class SettingServices(Protocol):
    """Settings, defaults of the page, and what is done beside them."""

    def settings_sections(self) -> Sequence[SettingsSection]:
        """All pages in order. Sections may share an id."""

    def quick_settings(self) -> Sequence[str]:
        """Keys of the settings that stand above the tabs, in order."""

    def change_settings(self, values: Mapping[str, Any]) -> SettingsChange:
        """Set these settings, call what depends on them, and write the file when one was changed."""

    def refresh_choices(self, key: str) -> Sequence[Any]:
        """Look for the choices of a setting again, for instance on disk."""

    def save_defaults(self, values: Mapping[str, Any]) -> None:
        """Write values into ui-config.json; other keys of the file stay."""

    def system_report(self) -> str:
        """The description of the system as JSON text, secrets taken out."""

    def report_is_intact(self, text: str) -> bool:
        """Whether a description of a system is as it was written."""

    def licences(self) -> Sequence[tuple[str, str]]:
        """(what, text of its licence or its name)."""

    def unload_model(self) -> None:
        """Take the model out of the device's memory."""

    def reload_model(self) -> None:
        """Put the chosen model into the device's memory."""

    def hash_checkpoints(self) -> int:
        """Compute the checksums of all checkpoints that have none yet; returns how many there are."""

    def reload_page(self) -> None:
        """Build the page anew with the present settings; returns when it is being served."""
