"""Saved sets of extensions: which were enabled, and at which commits.

A file holds ``created_at`` (unix time), ``name``, ``webui`` and ``extensions`` (name → facts), as files of
the reference do.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import InvalidInput, NotFound
from modules.extensions.catalogue import Catalogue, Extension
from modules.extensions.repository import ExtensionError, RepositoryFacts, read_facts
from modules.launcher.git import FULL_COMMIT, Git
from modules.launcher.state import write_atomically


@dataclass(frozen=True)
class ConfigStates:
    """Saves and restores. ``set_disabled`` stores the names of the disabled extensions in the settings."""

    folder: Path
    install_dir: Path
    catalogue: Catalogue
    set_disabled: Callable[[list[str]], None]

    def saved(self) -> dict[str, dict[str, Any]]:
        """The saved states by label, the newest first; files that cannot be read are left out."""
        found = []
        for path in self.folder.glob("*.json") if self.folder.is_dir() else ():
            state = _read(path)
            if state is not None:
                found.append(state)
        found.sort(key=lambda state: -float(state["created_at"]))
        return {_label(state): state for state in found}

    def current(self) -> dict[str, Any]:
        """The state of this moment."""
        for extension in self.catalogue.extensions:
            extension.read_info_from_repo()
        return {
            "created_at": time.time(),
            "webui": _webui(read_facts(self.install_dir, self.catalogue.git)),
            "extensions": {row.name: _facts(row) for row in self.catalogue.extensions},
        }

    def save(self, name: str = "") -> Path:
        """Write the state of this moment. Raises ``ExtensionError`` when it cannot be written."""
        state = {**self.current(), "name": name.strip() or "Config"}
        safe = re.sub(r"[^\w. -]+", "_", state["name"])[:80].strip(". ") or "Config"
        stamp = time.strftime("%Y_%m_%d-%H_%M_%S")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{stamp}_{safe}.json"
            number = 1
            while path.exists():
                path, number = self.folder / f"{stamp}_{safe}-{number}.json", number + 1
            write_atomically(path, json.dumps(state, indent=4, ensure_ascii=False))
        except OSError as error:
            raise ExtensionError(f"The state cannot be saved in {self.folder}: {error.strerror}.") from error
        return path

    def restore(self, label: str) -> list[str]:
        """Bring the extensions back to a saved state; they take effect with the next start.

        Extensions that the state does not know are disabled, never removed. Returns a sentence for each
        that could not be brought back. Raises ``NotFound`` for an unknown label.
        """
        state = self.saved().get(label)
        if state is None:
            raise NotFound(f"There is no saved state {label!r:.100}.")
        return self.restore_extensions(state["extensions"])

    def restore_extensions(self, wanted: Mapping[str, Any]) -> list[str]:
        """The same, from the ``extensions`` of a state."""
        problems, disabled = [], []
        known = {row.name: row for row in self.catalogue.extensions}
        for name, extension in known.items():
            facts = wanted.get(name)
            if not isinstance(facts, dict):
                disabled.append(name)
                continue
            if not facts.get("enabled", True):
                disabled.append(name)
            problems += _bring_back(extension, facts.get("commit_hash"))
        for name, facts in wanted.items():
            if name not in known and isinstance(facts, dict) and facts.get("remote"):
                problems.append(f"The extension {name} is not installed: install it from {facts['remote']}.")
        self.set_disabled(disabled)
        return problems

    def restore_webui(self, state: Mapping[str, Any], git: Git) -> None:
        """Bring the program to the commit of a state. Raises ``ExtensionError`` or ``InvalidInput``."""
        commit = (state.get("webui") or {}).get("commit_hash")
        if not isinstance(commit, str) or not FULL_COMMIT.match(commit):
            raise InvalidInput("The saved state names no commit of the program.")
        Extension("the program", self.install_dir, git=git).checkout(commit)


def _bring_back(extension: Extension, commit: Any) -> list[str]:
    extension.read_info_from_repo()
    if extension.is_builtin or not commit or commit == extension.commit_hash or not extension.commit_hash:
        return []
    if not isinstance(commit, str) or not FULL_COMMIT.match(commit):
        return [f"The saved state names no commit of the extension {extension.name}, it stays as it is."]
    try:
        extension.checkout(commit)
    except ExtensionError as error:
        return [str(error)]
    return []


def _facts(extension: Extension) -> dict[str, Any]:
    return {
        "name": extension.name,
        "path": extension.path,
        "status": extension.status,
        "is_builtin": extension.is_builtin,
        "enabled": extension.enabled,
        "have_info_from_repo": extension.have_info_from_repo,
        **extension.to_dict(),
    }


def _webui(facts: RepositoryFacts | None) -> dict[str, Any]:
    return {
        "remote": facts.remote if facts else None,
        "commit_hash": facts.commit if facts else None,
        "commit_date": facts.commit_date if facts else None,
        "branch": facts.branch if facts else None,
    }


def _label(state: Mapping[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(state["created_at"])))
    return f"{moment}: {state.get('name') or 'Config'} ({Path(state['filepath']).stem})"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        float(state["created_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(state.get("extensions"), dict):
        return None
    return {**state, "filepath": str(path)}
