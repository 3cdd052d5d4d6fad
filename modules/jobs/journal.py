"""What outlives the program: the queue, the history, the kept pictures, and the lock that guards them."""

from __future__ import annotations

import logging
import sqlite3
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.jobs.durable import DurableJobStore
from modules.jobs.encoding import encode_picture
from modules.jobs.folder_lock import FolderLock
from modules.jobs.history import MAX_ENTRIES, History
from modules.jobs.spool import Spool
from modules.jobs.store import JobStore, MemoryJobStore
from modules.options.settings import Options, SettingsView

_log = logging.getLogger(__name__)

FOLDER = "journal"
MAX_QUEUED = 1000


@dataclass(frozen=True)
class Journal:
    """The files below ``<data>/journal``. ``spool`` and ``history`` are ``None`` when they cannot be used."""

    store: JobStore
    spool: Spool | None = None
    history: History | None = None
    lock: FolderLock | None = None

    def close(self) -> None:
        """Let go of all files. The store is closed by its queue."""
        if self.history is not None:
            self.history.close()
        if self.lock is not None:
            self.lock.release()


def open_journal(data_dir: Path, options: Options, flags: Namespace) -> Journal:
    """The journal of a data folder. Raises ``FolderInUse`` when another Easel runs on it.

    With ``--generate`` there is none: one picture needs no queue. When its files cannot be written, the
    program runs without them, with a message.
    """
    max_queued = getattr(flags, "max_queue", None) or MAX_QUEUED
    if getattr(flags, "generate", None) is not None:
        return Journal(MemoryJobStore(max_queued))
    folder = data_dir / FOLDER
    try:
        lock = FolderLock(folder / "lock")
        store = DurableJobStore(
            folder / "queue.sqlite", lambda values: settings_of(options, values), max_queued
        )
        history = _open_history(folder / "history.sqlite", getattr(flags, "history_size", None))
    except (OSError, sqlite3.Error) as error:
        _log.error("%s cannot be used, so the queue does not survive a restart: %s", folder, error)
        return Journal(MemoryJobStore(max_queued))
    return Journal(store, Spool(folder / "results", encode_picture), history, lock)


def _open_history(path: Path, size: int | None) -> History | None:
    return None if size == 0 else History(path, MAX_ENTRIES if size is None else size)


def settings_of(options: Options, values: Mapping[str, Any]) -> SettingsView:
    """Settings of a snapshot. Those that came to the program since then have their present values."""
    return SettingsView({**options.view(), **values})
