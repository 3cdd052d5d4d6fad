"""The restart marker: the program writes it and ends, the start script then starts it again.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path

MARKER = Path("tmp") / "restart"


def is_restartable(environ: Mapping[str, str]) -> bool:
    """Whether the start script will start the program again."""
    return bool(environ.get("SD_WEBUI_RESTART"))


def request_restart(install_dir: Path) -> None:
    """Write the marker; the caller then ends the program. Raises ``OSError`` when it cannot be written."""
    marker = install_dir / MARKER
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def take_marker(install_dir: Path, environ: MutableMapping[str, str]) -> bool:
    """Remove the marker. When there was one, SD_WEBUI_RESTARTING keeps the browser from opening again."""
    marker = install_dir / MARKER
    if not marker.exists():
        return False
    marker.unlink(missing_ok=True)
    environ["SD_WEBUI_RESTARTING"] = "1"
    return True
