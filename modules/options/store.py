"""config.json on disk: reading, repairing, writing without ever leaving half a file.

The file is one flat JSON object, indented by four blanks, UTF-8, non-ASCII characters as they are.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.errors import EaselError


class SettingsFileError(EaselError):
    """The file of settings cannot be read or written. The settings in memory stay in force."""


@dataclass
class StoredSettings:
    """What was read, and sentences for the user about repairs that were needed."""

    data: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def backup_of(path: Path) -> Path:
    """The copy of the last good file, kept beside it."""
    return path.with_name(path.name + ".bak")


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of ``path`` in one step; readers see the old file or the new one.

    A link is followed, permissions are kept. Raises OSError; the old file is then untouched.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            shutil.copymode(target, temporary)
        try:
            temporary.replace(target)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EXDEV):
                raise
            # A single file mounted into a container cannot be replaced, only rewritten.
            target.write_bytes(data)
    finally:
        temporary.unlink(missing_ok=True)


def read_settings(path: Path, damaged_dir: Path) -> StoredSettings:
    """Read the file of settings.

    A missing file means defaults. A damaged one is moved to ``damaged_dir`` and the backup takes
    its place. Raises SettingsFileError when a file is there but cannot be opened.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return StoredSettings()
    except (OSError, ValueError) as error:
        raise SettingsFileError(
            f"The settings in {path} cannot be read ({_reason(error)}). "
            "Defaults are used and the file is left as it is; correct its permissions and restart."
        ) from None
    data = _parse(raw)
    return StoredSettings(data) if data is not None else _recover(path, damaged_dir)


def save_settings(path: Path, data: Mapping[str, Any]) -> None:
    """Write the settings, keeping the file that was there as the backup.

    Raises SettingsFileError when that is impossible (no space, read-only folder); nothing is lost then.
    """
    encoded = _encode(data)
    try:
        old = path.read_bytes() if path.exists() else None
        if old == encoded:
            return
        if old is not None and _parse(old) is not None:
            write_atomic(backup_of(path), old)
        write_atomic(path, encoded)
    except (OSError, ValueError) as error:  # ValueError: a path that cannot be written in this locale
        raise SettingsFileError(
            f"The settings could not be written to {path} ({_reason(error)}). "
            "They stay in force until the program ends and the old file is unchanged; "
            "make room or correct the permissions, then save again."
        ) from None


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _encode(data: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(dict(data), indent=4, ensure_ascii=False, default=_plain)
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Lone surrogates, for instance from file names of another encoding, survive only as escapes.
        return json.dumps(dict(data), indent=4, default=_plain).encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise SettingsFileError(
        f"The settings could not be saved: {value!r:.100} is of type {type(value).__name__}, "
        "which JSON cannot hold. Give the setting that holds it a text, a number or a list."
    )


def _parse(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in ``raw``, or None when it holds anything else."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _recover(path: Path, damaged_dir: Path) -> StoredSettings:
    kept_at, note = _set_aside(path, damaged_dir)
    backup = backup_of(path)
    try:
        raw = backup.read_bytes()
    except OSError:
        raw = b""
    data = _parse(raw)
    if data is None:
        message = (
            f"The settings in {path} were damaged and there is no usable backup: defaults are used. {note}"
        )
        return StoredSettings({}, [message])
    messages = [f"The settings in {path} were damaged and have been restored from {backup}. {note}"]
    if kept_at is not None:
        try:
            write_atomic(path, raw)
        except OSError as error:
            messages.append(f"The restored settings are not on disk yet: {_reason(error)}.")
    return StoredSettings(data, messages)


def _set_aside(path: Path, damaged_dir: Path) -> tuple[Path | None, str]:
    """Move a damaged file away so that nothing overwrites it. Returns where it went and a sentence."""
    try:
        damaged_dir.mkdir(parents=True, exist_ok=True)
        kept_at = next(name for name in _candidates(damaged_dir, path) if not name.exists())
        shutil.move(os.path.realpath(path), kept_at)
    except OSError as error:
        return None, f"The damaged file could not be moved away ({_reason(error)}) and is still there."
    return kept_at, f"The damaged file was kept as {kept_at}."


def _candidates(directory: Path, path: Path) -> list[Path]:
    numbers = ["", *(f"-{number}" for number in range(1, 100)), f"-{secrets.token_hex(4)}"]
    return [directory / f"{path.stem}{number}{path.suffix}" for number in numbers]
