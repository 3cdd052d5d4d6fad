"""CSV files of styles.

UTF-8 with byte order mark, so that spreadsheets show umlauts; columns ``name``, ``prompt``,
``negative_prompt``. Files from before 2022 name the second column ``text``.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.errors import EaselError

COLUMNS = ("name", "prompt", "negative_prompt")
MAX_FIELD = 1 << 24


@dataclass(frozen=True)
class StyleRow:
    """One line of the file."""

    name: str
    prompt: str
    negative_prompt: str


def expand_patterns(paths: Iterable[Path]) -> list[Path]:
    """The existing files that paths and patterns stand for, each once, patterns in alphabetical order."""
    files: list[Path] = []
    for path in paths:
        if "*" in path.name or "?" in path.name:
            with contextlib.suppress(OSError):
                files += sorted(found for found in path.parent.glob(path.name) if found.is_file())
        elif path.is_file():
            files.append(path)
    return list(dict.fromkeys(files))


def read_styles(path: Path) -> tuple[list[StyleRow], str | None]:
    """Read one file.

    Returns:
        Its styles and ``None``; or, for a file that cannot be read, the styles of its backup (or
        none) and one sentence about what is wrong. Rows without a name and rows whose name starts
        with ``#`` are left out.
    """
    try:
        return _read(path), None
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        backup = backup_path(path)
        try:
            rows = _read(backup)
        except (OSError, UnicodeDecodeError, csv.Error, ValueError):
            return [], f"The styles of {path} could not be read ({error}). Repair or remove the file."
        return rows, f"The styles of {path} could not be read ({error}); the backup {backup.name} is used."


def write_styles(path: Path, rows: Sequence[StyleRow]) -> None:
    """Replace the file in one step; the old one is kept beside it with the ending ``.bak``.

    Raises:
        EaselError: the file could not be written. The old one is untouched.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.name, row.prompt, row.negative_prompt) for row in rows)
    content = text.getvalue().replace("\0", "").encode("utf-8-sig", errors="replace")
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
            shutil.copy2(path, backup_path(path))
        else:
            Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise EaselError(f"The styles could not be saved to {path}: {error.strerror or error}.") from error


def backup_path(path: Path) -> Path:
    return path.with_name(path.name + ".bak")


def _read(path: Path) -> list[StyleRow]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        content = file.read()
    # What a crash leaves of a file is often NUL bytes, and the csv module of Python 3.10 refuses them.
    text = content.replace("\0", "")
    # The module's default limit of 128 kB would lose a whole file for one long style.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    if content and "name" not in (reader.fieldnames or ()):
        raise ValueError('there is no column "name"')
    rows = []
    for record in reader:
        name = record.get("name") or ""
        if not name or name.startswith("#"):
            continue
        prompt = record.get("prompt") or record.get("text") or ""
        rows.append(StyleRow(name, prompt, record.get("negative_prompt") or ""))
    return rows
