"""Listing the model files below a folder, in bounded time even when the folder's disk has vanished."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modules.checkpoints.hashes import FileStamp

SCAN_SECONDS = 1.5
"""How long one listing waits; a hung network mount blocks the calls of the system for minutes."""


PATIENCE = 10
"""How many times as long the listing of a large folder may take that does answer."""


@dataclass(frozen=True)
class FoundFile:
    """A model file: its folder's root, the state it was seen in, and whether a yaml lies beside it."""

    root: str
    stamp: FileStamp
    yaml: str | None

    @property
    def path(self) -> str:
        return self.stamp.path


@dataclass(frozen=True)
class ScanRules:
    """Which files count: by suffix, lower case. ``hidden``: also enter folders that begin with a dot."""

    suffixes: tuple[str, ...] = (".ckpt", ".safetensors")
    excluded: tuple[str, ...] = (".vae.ckpt", ".vae.safetensors")
    hidden: bool = False

    def accept(self, name: str) -> bool:
        lower = name.lower()
        return lower.endswith(self.suffixes) and not lower.endswith(self.excluded)


@dataclass
class ScanResult:
    """``files`` in natural order by folder, then name; ``problems`` are sentences for the user."""

    files: list[FoundFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``model2`` comes before ``model10``; letters compare without case."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


class FolderScanner:
    """Scans folders, each in a thread of its own that may be left behind when its disk does not answer."""

    def __init__(self, rules: ScanRules | None = None, timeout: float = SCAN_SECONDS) -> None:
        self.rules = rules or ScanRules()
        self.timeout = timeout
        self._hung: dict[str, threading.Thread] = {}

    def scan(self, roots: Sequence[str | os.PathLike[str]]) -> dict[str, ScanResult]:
        """Scan all roots at the same time; results in the order given.

        A root that is absent is empty; one that does not answer in time has a problem.
        """
        names = list(dict.fromkeys(os.fspath(root) for root in roots))
        results: dict[str, ScanResult] = {}
        threads: dict[str, threading.Thread] = {}
        done: dict[str, ScanResult] = {}
        for root in names:
            hung = self._hung.get(root)
            if hung is not None and hung.is_alive():
                results[root] = _unanswered(root)
                continue
            done[root] = ScanResult()
            thread = threading.Thread(target=scan_folder, args=(root, self.rules, done[root]), daemon=True)
            threads[root] = thread
            thread.start()
        self._wait(threads, done)
        for root, thread in threads.items():
            self._hung.pop(root, None)
            if thread.is_alive():
                self._hung[root] = thread
                results[root] = _unanswered(root)
            else:
                results[root] = done[root]
        return {root: results[root] for root in names}

    def _wait(self, threads: Mapping[str, threading.Thread], done: Mapping[str, ScanResult]) -> None:
        """Until all have ended, or none has found anything for ``timeout`` seconds."""
        started = changed = time.monotonic()
        seen = -1
        while alive := [root for root, thread in threads.items() if thread.is_alive()]:
            found, now = sum(len(done[root].files) for root in alive), time.monotonic()
            if found != seen:
                seen, changed = found, now
            if now - changed > self.timeout or now - started > PATIENCE * self.timeout:
                return
            for root in alive:
                threads[root].join(min(0.02, self.timeout / len(alive)))


def _unanswered(root: str) -> ScanResult:
    return ScanResult(
        problems=[
            f"The folder {root} does not answer; its models are as last seen. Is its disk still mounted?"
        ]
    )


def scan_folder(root: str, rules: ScanRules, result: ScanResult | None = None) -> ScanResult:
    """All files below ``root`` that the rules accept. Links are followed, circles are not.

    ``result`` grows while the folder is read, and is sorted at the end.
    """
    result = ScanResult() if result is None else result
    start = str(Path(root).absolute())
    pending = [start]
    visited: set[tuple[int, int]] = set()
    while pending:
        folder = pending.pop()
        try:
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in visited and status.st_ino:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                pending += _read_folder(entries, start, rules, result)
        except FileNotFoundError:
            continue
        except OSError as error:
            result.problems.append(f"The folder {folder} cannot be listed: {error.strerror or error}.")
    result.files.sort(key=_order)
    return result


def _order(file: FoundFile) -> tuple[object, object]:
    folder, name = os.path.split(file.path)
    return natural_key(folder), natural_key(name)


def _read_folder(
    entries: Iterable[os.DirEntry[str]], root: str, rules: ScanRules, result: ScanResult
) -> list[str]:
    """Take the accepted files of one folder into ``result`` and return its subfolders."""
    folders: list[str] = []
    names = {entry.name: entry for entry in entries}
    for name, entry in names.items():
        try:
            if entry.is_dir():
                if rules.hidden or not name.startswith("."):
                    folders.append(entry.path)
            elif rules.accept(name) and entry.is_file():
                yaml = names.get(name.rpartition(".")[0] + ".yaml")
                status = entry.stat()
                stamp = FileStamp(entry.path, status.st_size, status.st_mtime_ns)
                result.files.append(FoundFile(root, stamp, yaml.path if yaml is not None else None))
        except OSError as error:
            result.problems.append(f"The file {entry.path} is not accessible: {error.strerror or error}.")
    return folders
