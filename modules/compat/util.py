"""Small helpers that extensions import from ``modules.util`` and ``modules.shared``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from modules.extensions.ordering import topological_sort
from modules.options.paths import INSTALL_DIR

__all__ = ["topological_sort"]


def natural_sort_key(s: str, regex: re.Pattern[str] = re.compile("([0-9]+)")) -> list[Any]:
    """A key that sorts "a2" before "a10"."""
    return [int(part) if part.isdigit() else part.lower() for part in regex.split(s)]


def listfiles(dirname: str) -> list[str]:
    """Paths of the visible files of a folder in natural order."""
    names = sorted((path.name for path in Path(dirname).iterdir() if path.is_file()), key=natural_sort_key)
    return [str(Path(dirname) / name) for name in names if not name.startswith(".")]


def html_path(filename: str) -> str:
    """Path of a file of the html folder."""
    return str(INSTALL_DIR / "html" / filename)


def html(filename: str) -> str:
    """Text of a file of the html folder, empty when it is not there."""
    path = Path(html_path(filename))
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def walk_files(path: str, allowed_extensions: Collection[str] | None = None) -> Iterator[str]:
    """Paths of the files below a folder, links followed, optionally only with these suffixes."""
    wanted = None if allowed_extensions is None else {one.lower() for one in allowed_extensions}
    for root, _, files in sorted(os.walk(path, followlinks=True), key=lambda row: natural_sort_key(row[0])):
        for name in sorted(files, key=natural_sort_key):
            if wanted is None or Path(name).suffix.lower() in wanted:
                yield str(Path(root) / name)


def ldm_print(*args: Any, **kwargs: Any) -> None:
    """Print, unless the setting hides what old model code says."""
    from modules import shared

    if shared.opts is None or not getattr(shared.opts, "hide_ldm_prints", False):
        print(*args, **kwargs)


def truncate_path(target_path: str, base_path: str | None = None) -> str:
    """The path relative to ``base_path`` (the working directory) when it lies inside."""
    base = Path(base_path or Path.cwd()).absolute()
    target = Path(target_path).absolute()
    return str(target.relative_to(base)) if base in target.parents else str(target)
