"""Where extensions lie and which of them are enabled. Standard library only.

Used before anything is installed (install.py, preload.py) and by the catalogue of extensions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

DisableAll = Literal["none", "extra", "all"]


@dataclass(frozen=True)
class ExtensionFolder:
    """One folder below extensions/ or extensions-builtin/."""

    name: str
    path: Path
    builtin: bool
    enabled: bool


@dataclass(frozen=True)
class ExtensionChoice:
    """What the settings and flags say: names that are off, and ``extra`` (user's) or ``all`` off."""

    disabled: frozenset[str] = frozenset()
    disable_all: DisableAll = "none"
    problem: str = field(default="", compare=False)

    def allows(self, name: str, builtin: bool) -> bool:
        """Whether an extension of this name may run."""
        if self.disable_all == "all" or (self.disable_all == "extra" and not builtin):
            return False
        return name not in self.disabled


def read_extension_choice(
    settings_file: Path, disable_all: bool = False, disable_extra: bool = False
) -> ExtensionChoice:
    """The choice of a settings file and the two flags. A missing or damaged file disables nothing.

    ``problem`` of the result says in one sentence why the file could not be read.
    """
    settings, problem = _read_settings(settings_file)
    names = settings.get("disabled_extensions")
    disabled = (
        frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
    )
    chosen = settings.get("disable_all_extensions")
    mode: DisableAll = "all" if chosen == "all" else "extra" if chosen == "extra" else "none"
    if disable_all:
        mode = "all"
    elif disable_extra and mode == "none":
        mode = "extra"
    return ExtensionChoice(disabled, mode, problem)


def list_extensions(
    user_dir: Path, builtin_dir: Path, choice: ExtensionChoice | None = None
) -> tuple[ExtensionFolder, ...]:
    """Every extension folder: the user's sorted by name, then the built-in ones sorted by name."""
    allowed = choice or ExtensionChoice()
    found = []
    for base, builtin in ((user_dir, False), (builtin_dir, True)):
        for path in _subfolders(base):
            found.append(ExtensionFolder(path.name, path, builtin, allowed.allows(path.name, builtin)))
    return tuple(found)


def _subfolders(base: Path) -> Sequence[Path]:
    try:
        return sorted(
            path for path in base.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
        )
    except OSError:
        return ()


def _read_settings(path: Path) -> tuple[dict[str, Any], str]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"{path} cannot be read, so no extension is taken as disabled: {error}"
    if not isinstance(settings, dict):
        return {}, f"{path} holds no JSON object, so no extension is taken as disabled."
    return settings, ""
