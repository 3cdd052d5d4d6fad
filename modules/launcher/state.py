"""What the launcher remembers between starts, beside the environment it describes.

It lies in the virtual environment, so that deleting that folder forgets it; without one it lies in
the folder tmp/. Losing it costs time, never correctness. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class LauncherState:
    """A small JSON object: section -> key -> value. ``save`` writes only after a change, atomically."""

    path: Path
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: bool = False

    @staticmethod
    def load(install_dir: Path) -> LauncherState:
        """The remembered state, or an empty one when there is none or it is damaged."""
        path = state_path(install_dir)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            data = {}
        sections = data if isinstance(data, dict) else {}
        return LauncherState(path, {key: value for key, value in sections.items() if isinstance(value, dict)})

    def get(self, section: str, key: str) -> Any:
        """The value, or ``None``."""
        return self.sections.get(section, {}).get(key)

    def put(self, section: str, key: str, value: Any) -> None:
        """Remember ``value``."""
        if self.get(section, key) != value:
            self.sections.setdefault(section, {})[key] = value
            self.changed = True

    def forget(self, section: str, key: str) -> None:
        """Remove the value if there is one."""
        if self.sections.get(section, {}).pop(key, None) is not None:
            self.changed = True

    def save(self) -> None:
        """Write if something changed. A folder that cannot be written leaves the old state."""
        if not self.changed:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(self.sections, indent=1, sort_keys=True))
        except OSError as error:
            print(f"The launcher cannot remember this start: {error}")
            return
        self.changed = False


def state_path(install_dir: Path) -> Path:
    """Where the state of the running Python's environment lies."""
    prefix = Path(sys.prefix)
    if sys.prefix != sys.base_prefix and os.access(prefix, os.W_OK):
        return prefix / "easel-launcher.json"
    digest = hashlib.sha256(os.fsencode(sys.prefix)).hexdigest()[:10]
    return install_dir / "tmp" / f"launcher-{digest}.json"


def installed_fingerprint() -> str:
    """A short text that changes whenever a package is installed, removed or changes its version."""
    digest = hashlib.sha256()
    for folder in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        try:
            names = sorted(
                path.name
                for path in Path(folder).iterdir()
                if path.suffix in (".dist-info", ".egg-link", ".pth")
            )
        except OSError:
            names = []
        digest.update("\n".join([folder, *names]).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the whole new one. Raises ``OSError``."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
