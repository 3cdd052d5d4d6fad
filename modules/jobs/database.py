"""SQLite files of the program: opened in WAL mode, checked, and replaced when they are damaged."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

_log = logging.getLogger(__name__)

BUSY_SECONDS = 5.0


def open_database(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """A connection to ``path``, with the tables of ``schema``.

    A damaged file, or one that a later version wrote, is set aside under another name, with a message, and
    a new one is begun. Raises ``sqlite3.Error`` or ``OSError`` when the folder cannot be written.
    WAL with ``synchronous=NORMAL`` loses nothing when the process is killed, and at most the
    last moments, never the file, when the machine loses power (sqlite.org/wal.html).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path, schema, version)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not _is_unusable(error):
            raise
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d%H%M%S')}")
        _log.error("%s cannot be used (%s); it is kept as %s and begun anew.", path, error, aside.name)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        path.replace(aside)
        return _connect(path, schema, version)


def _is_unusable(error: sqlite3.OperationalError) -> bool:
    return "no such column" in str(error) or "already exists" in str(error)


def _connect(path: Path, schema: str, version: int) -> sqlite3.Connection:
    # Callers hold a lock around every use, so threads may share the connection.
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        written = connection.execute("PRAGMA user_version").fetchone()[0]
        if written not in (0, version):
            raise sqlite3.DatabaseError(f"it was written by another version: {written}, not {version}")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its pages are damaged")
        connection.executescript(schema)
        connection.execute(f"PRAGMA user_version={version:d}")
    except BaseException:
        connection.close()
        raise
    return connection
