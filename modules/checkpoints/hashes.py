"""Hashes of model files: computed in the background, kept in a small database, never waited for in a listing.

Three kinds are in use: ``sha256`` of the whole file, ``addnet`` (sha256 of a safetensors file behind its
header, for LoRA), and ``old`` (of one block of 64 kB, the short hash of early versions).
A digest belongs to (path, size, modification time); a file that changed is hashed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import queue
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from modules.errors import ModelFileError

_log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS hashes (path TEXT, kind TEXT, size INTEGER, mtime_ns INTEGER, "
    "digest TEXT NOT NULL, PRIMARY KEY (path, kind))"
)

SHA256 = "sha256"
ADDNET = "addnet"


@dataclass(frozen=True)
class FileStamp:
    """What tells one state of a file from another."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | os.PathLike[str], status: os.stat_result | None = None) -> FileStamp:
        """Stamp of the file as it is now. Raises ``OSError``."""
        status = status or Path(path).stat()
        return cls(str(Path(path).absolute()), status.st_size, status.st_mtime_ns)


class HashStore:
    """Digests by file, in memory and in ``cache_dir/hashes.sqlite3``. Safe to use from many threads.

    A cache that cannot be read or written costs speed and one warning, nothing else. With
    ``enabled=False`` (``--no-hashing``) ``request`` does nothing: only known digests are served, unless
    ``sha256`` is called for one file.
    """

    def __init__(self, cache_dir: str | os.PathLike[str] | None, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.generation = 0
        """Grows with every new digest: who derived titles from digests sees that they are out of date."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[int, int, str]] = {}
        self._database = _Database(Path(cache_dir) / "hashes.sqlite3") if cache_dir is not None else None
        self._requests: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._pending: set[tuple[str, str]] = set()
        self._waiting: dict[tuple[str, str], list[Callable[[str], None]]] = {}
        self._worker: threading.Thread | None = None
        self._closed = False
        if self._database is not None:
            for path, kind, size, mtime_ns, digest in self._database.rows():
                self._known[path, kind] = (size, mtime_ns, digest)

    def sha256(self, path: str | os.PathLike[str]) -> str:
        """The sha256 of the file in hexadecimal; reads the whole file when it is not known yet.

        Raises ``ModelFileError`` when the file cannot be read.
        """
        return self._digest(path, SHA256)

    def addnet(self, path: str | os.PathLike[str]) -> str:
        """The sha256 of a safetensors file without its header; blocking like ``sha256``."""
        return self._digest(path, ADDNET)

    def peek(self, path: str | os.PathLike[str], kind: str = SHA256) -> str | None:
        """The digest if it is known for the file as it is now; never reads the file."""
        try:
            return self.peek_stamp(FileStamp.of(path), kind)
        except OSError:
            return None

    def peek_stamp(self, stamp: FileStamp, kind: str = SHA256) -> str | None:
        """Like ``peek``, for a file whose state is known already: touches no disk at all."""
        size, mtime_ns, digest = self._known.get((stamp.path, kind), (-1, -1, ""))
        return digest if (size, mtime_ns) == (stamp.size, stamp.mtime_ns) else None

    def remember(self, stamp: FileStamp, kind: str, digest: str) -> None:
        """Keep what was found out about a file, until the file changes."""
        with self._lock:
            self._known[stamp.path, kind] = (stamp.size, stamp.mtime_ns, digest)
            self.generation += 1
        if self._database is not None:
            self._database.store(stamp, kind, digest)

    def request(
        self, path: str | os.PathLike[str], kind: str = SHA256, done: Callable[[str], None] | None = None
    ) -> None:
        """Have the digest computed in the background, which then calls ``done(digest)``."""
        if not self.enabled:
            return
        known = self.peek(path, kind)
        if known is not None:
            if done is not None:
                done(known)
            return
        key = (str(Path(path).absolute()), kind)
        with self._lock:
            if self._closed:
                return
            if done is not None:
                self._waiting.setdefault(key, []).append(done)
            if key in self._pending:
                return
            self._pending.add(key)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="hashes", daemon=True)
                self._worker.start()
        self._requests.put(key)

    def request_all(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """``request`` for every file."""
        for path in paths:
            self.request(path)

    def close(self, timeout: float = 2.0) -> None:
        """Stop the background thread after at most ``timeout`` seconds; unfinished work is dropped."""
        with self._lock:
            self._closed = True
            worker = self._worker
        self._requests.put(None)
        if worker is not None:
            worker.join(timeout)
        if self._database is not None:
            self._database.close()

    def _digest(self, path: str | os.PathLike[str], kind: str) -> str:
        known = self.peek(path, kind)
        if known is not None:
            return known
        try:
            stamp, digest = _hash_stable_file(path, kind, lambda: False)
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read for its hash: {error.strerror or error}.") from error
        self.remember(stamp, kind, digest)
        return digest

    def _work(self) -> None:
        while (key := self._requests.get()) is not None and not self._closed:
            path, kind = key
            digest = None
            try:
                digest = self.peek(path, kind)
                if digest is None:
                    stamp, digest = _hash_stable_file(path, kind, lambda: self._closed)
                    self.remember(stamp, kind, digest)
            except (OSError, ModelFileError, _Stopped) as error:
                _log.warning("No hash for %s: %s", path, error)
            with self._lock:
                self._pending.discard(key)
                callbacks = self._waiting.pop(key, [])
            if digest is not None:
                _call_all(callbacks, digest)


class _Stopped(Exception):
    pass


def _call_all(callbacks: list[Callable[[str], None]], digest: str) -> None:
    for callback in callbacks:
        try:
            callback(digest)
        except Exception:
            _log.exception("A listener for a finished hash failed; hashing goes on.")


def _hash_stable_file(
    path: str | os.PathLike[str], kind: str, stopped: Callable[[], bool]
) -> tuple[FileStamp, str]:
    """Hash the file; once more if it changed meanwhile, and then give up."""
    for _ in range(2):
        before = FileStamp.of(path)
        digest = _hash_file(path, kind, stopped)
        if FileStamp.of(path) == before:
            return before, digest
    raise ModelFileError(f"{path} keeps changing while it is hashed; wait until it is written completely.")


def _hash_file(path: str | os.PathLike[str], kind: str, stopped: Callable[[], bool]) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        if kind == ADDNET:
            raw = file.read(8)
            file.seek(8 + struct.unpack("<Q", raw)[0] if len(raw) == 8 else 0)
        while block := file.read(_BLOCK):
            if stopped():
                raise _Stopped("the program is ending")
            digest.update(block)
    return digest.hexdigest()


def old_hash(path: str | os.PathLike[str]) -> str | None:
    """The eight-digit hash of early versions: sha256 of 64 kB at 1 MB. ``None`` for an unreadable file."""
    try:
        with Path(path).open("rb") as file:
            file.seek(0x100000)
            return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]
    except OSError:
        return None


class _Database:
    """The table on disk. Every failure is a warning: the cache is only a cache."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            self._start_afresh(error)
        except OSError as error:
            _log.warning("Hashes are not kept on disk: %s: %s", path, error)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=2.0, check_same_thread=False)
        try:
            connection.execute(_SCHEMA)
            connection.execute("SELECT path, kind, size, mtime_ns, digest FROM hashes LIMIT 1").fetchall()
            connection.commit()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _start_afresh(self, error: sqlite3.Error) -> None:
        if isinstance(error, sqlite3.OperationalError):  # locked, read-only, no space: not damaged
            _log.warning("Hashes are not kept on disk: %s: %s", self._path, error)
            with contextlib.suppress(sqlite3.Error):
                self._connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro",
                    uri=True,
                    timeout=2.0,
                    check_same_thread=False,
                )
            return
        _log.warning("The cache of hashes is damaged and starts afresh: %s: %s", self._path, error)
        try:
            self._path.replace(self._path.with_suffix(".damaged"))
            self._connection = self._open()
        except (OSError, sqlite3.Error) as again:
            _log.warning("Hashes are not kept on disk: %s: %s", self._path, again)

    def rows(self) -> list[tuple[str, str, int, int, str]]:
        if self._connection is None:
            return []
        try:
            with self._lock:
                return self._connection.execute(
                    "SELECT path, kind, size, mtime_ns, digest FROM hashes"
                ).fetchall()
        except sqlite3.Error as error:
            _log.warning("The cache of hashes cannot be read: %s: %s", self._path, error)
            return []

    def store(self, stamp: FileStamp, kind: str, digest: str) -> None:
        row = (stamp.path, kind, stamp.size, stamp.mtime_ns, digest)
        try:
            with self._lock:
                if self._connection is None:
                    return
                with self._connection:
                    self._connection.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            _log.warning("A hash could not be kept on disk: %s: %s", self._path, error)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
