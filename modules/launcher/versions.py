"""Which Easel this is, and which interface it serves. Standard library only."""

from __future__ import annotations

import re
from pathlib import Path

from modules.launcher.git import NOT_KNOWN, head_commit

# Extensions and the readers of generation texts decide by this what they may use.
INTERFACE_VERSION = "v1.10.1"


def program_version(install_dir: Path) -> str:
    """The version in pyproject.toml, or ``unknown``."""
    try:
        text = (install_dir / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    match = re.search(r'^version\s*=\s*"([^"]+)"', text, re.MULTILINE)
    return match[1] if match else "unknown"


def commit_hash(install_dir: Path) -> str:
    """The commit of the checkout, or ``<none>``."""
    return head_commit(install_dir) or NOT_KNOWN
