"""Extension folders for tests, made from texts."""

from __future__ import annotations

from pathlib import Path

from modules.extensions.host import ExtensionHost
from modules.launcher.extensions import ExtensionChoice


def write_extension(home: Path, name: str, files: dict[str, str]) -> Path:
    """An extension in ``home``: relative path → text."""
    for relative, text in files.items():
        path = home / name / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return home / name


def host_of(home: Path, host: ExtensionHost | None = None) -> ExtensionHost:
    """A host that sees the extensions in ``home``."""
    host = host or ExtensionHost()
    root = home.parent
    host.attach(root / "program", home, root / "builtin", ExtensionChoice)
    return host
