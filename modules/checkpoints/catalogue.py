"""The checkpoints on disk: their names, titles and identifiers, and finding one by any of them."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modules.checkpoints.hashes import FileStamp, HashStore, old_hash
from modules.checkpoints.header import read_header
from modules.checkpoints.scanning import SCAN_SECONDS, FolderScanner, FoundFile, ScanResult, ScanRules
from modules.errors import ModelFileError

_log = logging.getLogger(__name__)

_CHECKSUM = re.compile(r"\s*\[[^\]]+\]\s*$")
_OLD_HASH = re.compile(r"[0-9a-f]{8}\Z")
_OLD_HASH_IN_BRACKETS = re.compile(r"\[([0-9a-f]{8})\]\s*\Z")


@dataclass(frozen=True, eq=False)
class CheckpointInfo:
    """One file of the catalogue, in the state in which it was seen.

    ``filename``: absolute path; ``name``: path relative to the model folder, with the suffix;
    ``stamp``: size and modification time; ``config``: path of the yaml beside it, or None.
    Everything that depends on a hash is looked up when asked for, because hashes arrive later.
    """

    filename: str
    name: str
    stamp: FileStamp
    config: str | None = None
    hashes: HashStore | None = field(default=None, repr=False)

    @classmethod
    def for_file(
        cls,
        path: str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
        hashes: HashStore | None = None,
    ) -> CheckpointInfo:
        """A file that no scan has found; ``name`` is relative to ``folder``. Raises ``ModelFileError``."""
        absolute = Path(path).absolute()
        try:
            stamp = FileStamp.of(absolute)
        except OSError as error:
            raise ModelFileError(f"{absolute} cannot be read: {error.strerror or error}.") from error
        inside = folder is not None and absolute.is_relative_to(Path(folder).absolute())
        name = absolute.relative_to(Path(folder or "").absolute()) if inside else Path(absolute.name)
        yaml = absolute.with_suffix(".yaml")
        return cls(str(absolute), str(name), stamp, str(yaml) if yaml.is_file() else None, hashes)

    @property
    def name_for_extra(self) -> str:
        """File name without folders and suffix; what infotext calls "Model"."""
        return Path(self.filename).stem

    @property
    def model_name(self) -> str:
        """``name`` without its suffix, folders joined by underscores."""
        flat = self.name.replace("/", "_").replace("\\", "_")
        return os.path.splitext(flat)[0]  # noqa: PTH122 (a name, not a path)

    @property
    def is_safetensors(self) -> bool:
        return self.filename.lower().endswith(".safetensors")

    @property
    def sha256(self) -> str | None:
        """Hash of the whole file, once it is known."""
        return self.hashes.peek_stamp(self.stamp) if self.hashes is not None else None

    @property
    def shorthash(self) -> str | None:
        """The first ten digits of ``sha256``; what infotext calls "Model hash"."""
        digest = self.sha256
        return digest[:10] if digest else None

    @property
    def hash(self) -> str | None:
        """The eight-digit hash of early versions; reads 64 kB of the file."""
        return old_hash(self.filename)

    @property
    def title(self) -> str:
        return _with_hash(self.name, self.shorthash)

    @property
    def short_title(self) -> str:
        return _with_hash(self.name_for_extra, self.shorthash)

    @property
    def quick_ids(self) -> tuple[str, ...]:
        """All identifiers but the two made of the old hash: these cost no disk access."""
        ids = (self.model_name, self.title, self.name, self.name_for_extra, self.filename)
        digest = self.sha256
        if not digest:
            return ids
        short = digest[:10]
        return (*ids, short, digest, f"{self.name} [{short}]", f"{self.name_for_extra} [{short}]")

    @property
    def ids(self) -> tuple[str, ...]:
        """Every text by which this checkpoint may be asked for."""
        old = self.hash
        return (*((old, f"{self.name} [{old}]") if old else ()), *self.quick_ids)

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of a safetensors header; empty for other files and for damaged ones."""
        if not self.is_safetensors:
            return {}
        try:
            return read_header(self.filename).metadata
        except ModelFileError as error:
            _log.warning("%s", error)
            return {}

    def calculate_shorthash(self) -> str:
        """``shorthash``, computed now when it is not known yet; the first time it reads the whole file."""
        store = self.hashes if self.hashes is not None else HashStore(None)
        return store.sha256(self.filename)[:10]


def _with_hash(name: str, shorthash: str | None) -> str:
    return f"{name} [{shorthash}]" if shorthash else name


class CheckpointCatalogue:
    """All checkpoints in ``dirs`` and the ``extra_files`` (``--ckpt``), the latter first.

    ``refresh`` reads the folders in bounded time; everything else answers from memory. Thread-safe: what
    is handed out is never changed afterwards.
    """

    def __init__(
        self,
        dirs: Sequence[str | os.PathLike[str]],
        hashes: HashStore,
        *,
        extra_files: Sequence[str | os.PathLike[str]] = (),
        list_hidden: bool = False,
        timeout: float = SCAN_SECONDS,
    ) -> None:
        self.dirs = tuple(str(Path(folder).absolute()) for folder in dirs)
        self.extra_files = tuple(str(Path(file).absolute()) for file in extra_files)
        self.hashes = hashes
        self._scanner = FolderScanner(ScanRules(hidden=list_hidden), timeout)
        self._refreshing = threading.Lock()
        self._last: Mapping[str, ScanResult] = {}
        self._index: tuple[int, tuple[CheckpointInfo, ...], dict[str, CheckpointInfo]] | None = None
        self._infos: tuple[CheckpointInfo, ...] | None = None
        self._problems: tuple[str, ...] = ()

    def refresh(self) -> None:
        """Read the folders again. A folder that does not answer in time keeps the entries it had."""
        with self._refreshing:
            scanned = self._scanner.scan(self.dirs)
            problems = [problem for result in scanned.values() for problem in result.problems]
            for problem in problems:
                _log.warning("%s", problem)
            kept = {root: self._kept(root, result) for root, result in scanned.items()}
            self._last = kept
            self._problems = tuple(problems)
            self._infos = self._collect([file for result in kept.values() for file in result.files])

    def _kept(self, root: str, result: ScanResult) -> ScanResult:
        unread = result.problems and not result.files
        return self._last.get(root, result) if unread else result

    @property
    def infos(self) -> tuple[CheckpointInfo, ...]:
        """The checkpoints in natural order; the first access reads the folders."""
        if self._infos is None:
            self.refresh()
        return self._infos or ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences about folders that the last refresh could not read."""
        return self._problems

    def find(self, identifier: str | None) -> CheckpointInfo | None:
        """The checkpoint meant by ``identifier``: an exact identifier, else a part of a title.

        Among titles that contain the text the shortest wins; a hash in brackets that matches nothing is
        ignored, so that settings of another installation still find the file of that name.
        """
        if not identifier:
            return None
        exact = self.find_exact(identifier)
        if exact is not None:
            return exact
        for text in dict.fromkeys((identifier, _CHECKSUM.sub("", identifier))):
            matches = [info for info in self.infos if text and text in info.title]
            if matches:
                return min(matches, key=lambda info: len(info.title))
        return None

    def find_exact(self, identifier: str) -> CheckpointInfo | None:
        """The checkpoint that has ``identifier`` among its ``ids``."""
        found = self._by_id().get(identifier)
        if found is not None:
            return found
        old = _OLD_HASH.match(identifier) or _OLD_HASH_IN_BRACKETS.search(identifier)
        if old is None:
            return None
        return next((info for info in self.infos if identifier in info.ids), None)

    def _by_id(self) -> dict[str, CheckpointInfo]:
        infos, generation = self.infos, self.hashes.generation
        index = self._index
        if index is None or index[0] != generation or index[1] is not infos:
            table: dict[str, CheckpointInfo] = {}
            for info in infos:
                for key in info.quick_ids:
                    table.setdefault(key, info)
            self._index = index = (generation, infos, table)
        return index[2]

    def _collect(self, found: Sequence[FoundFile]) -> tuple[CheckpointInfo, ...]:
        infos: dict[str, CheckpointInfo] = {}
        for file in self.extra_files:
            if Path(file).is_file():
                infos[file] = CheckpointInfo.for_file(file, self._folder_of(file), self.hashes)
        for item in found:
            name = os.path.relpath(item.path, item.root)
            infos.setdefault(item.path, CheckpointInfo(item.path, name, item.stamp, item.yaml, self.hashes))
        return tuple(infos.values())

    def _folder_of(self, file: str) -> str | None:
        return next((folder for folder in self.dirs if Path(file).is_relative_to(folder)), None)
