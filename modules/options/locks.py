"""Which settings a flag protects from being changed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass

from modules.errors import Forbidden
from modules.options.option_info import OptionInfo


@dataclass(frozen=True)
class Locks:
    """The flags ``--freeze-*`` and ``--hide-ui-dir-config``.

    ``sections`` holds identifiers or labels of pages, ``keys`` single settings.
    """

    everything: bool = False
    sections: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    directories: bool = False

    @classmethod
    def from_flags(cls, flags: Namespace) -> Locks:
        """Read the lock flags; lists are separated by commas."""
        return cls(
            everything=bool(getattr(flags, "freeze_settings", False)),
            sections=_split(getattr(flags, "freeze_settings_in_sections", None)),
            keys=_split(getattr(flags, "freeze_specific_settings", None)),
            directories=bool(getattr(flags, "hide_ui_dir_config", False)),
        )

    def why(self, key: str, info: OptionInfo | None, restricted: set[str] | frozenset[str]) -> str | None:
        """The sentence that says why ``key`` cannot be changed, or None when it can."""
        if self.everything:
            return f"The setting {key!r} cannot be changed: all settings are frozen by --freeze-settings."
        if key in self.keys:
            return f"The setting {key!r} cannot be changed: it is frozen by --freeze-specific-settings."
        section = set(info.section or ()) if info else set()
        if section & self.sections:
            name = next(iter(section & self.sections))
            return (
                f"The setting {key!r} cannot be changed: "
                f"the section {name!r} is frozen by --freeze-settings-in-sections."
            )
        if self.is_hidden(key, info, restricted):
            return f"The setting {key!r} cannot be changed: --hide-ui-dir-config protects folders and names."
        return None

    def is_hidden(self, key: str, info: OptionInfo | None, restricted: set[str] | frozenset[str]) -> bool:
        """Whether the setting is hidden from the page, which also protects its value."""
        if self.directories and key in restricted:
            return True
        # Arguments that are computed are left alone here: computing them may list folders of models.
        args = info.component_args if info else None
        return isinstance(args, Mapping) and args.get("visible", True) is False

    def require_saving(self) -> None:
        """Raise Forbidden when the file of settings may not be written."""
        if self.everything:
            raise Forbidden("The settings are not saved: they are frozen by --freeze-settings.")


def _split(text: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (text or "").split(",") if part.strip())
