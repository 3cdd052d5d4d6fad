"""The networks on disk: LoRA and its relatives by name, alias and hash. Nothing here needs torch."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modules.checkpoints.hashes import ADDNET, SHA256, FileStamp, HashStore
from modules.checkpoints.header import read_header
from modules.checkpoints.scanning import FolderScanner, ScanRules
from modules.errors import ModelFileError

_log = logging.getLogger(__name__)

SUFFIXES = (".pt", ".ckpt", ".safetensors")
SHORT_HASH = 12
NO_ALIAS = frozenset({"none", "addams"})
"""Aliases that are never used, because they mean something else in settings and prompts."""

_MAX_HEADER = 100 << 20
_OUTPUT_NAME = re.compile(rb'"ss_output_name"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class NetworkFile:
    """One file. ``name``: file name without suffix, what a tag calls it."""

    name: str
    stamp: FileStamp
    hashes: HashStore | None = field(default=None, repr=False, compare=False)

    @property
    def filename(self) -> str:
        return self.stamp.path

    @property
    def is_safetensors(self) -> bool:
        return self.filename.lower().endswith(".safetensors")

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of the header; empty for other and for damaged files."""
        if not self.is_safetensors:
            return {}
        try:
            return read_header(self.filename).metadata
        except ModelFileError as error:
            _log.warning("%s", error)
            return {}

    @property
    def alias(self) -> str:
        """The name that the trainer gave it, else ``name``. Reads the start of the file."""
        return (_output_name(self.filename) if self.is_safetensors else None) or self.name

    @property
    def hash_kind(self) -> str:
        """Safetensors files are hashed without their header, so that edited metadata do not matter."""
        return ADDNET if self.is_safetensors else SHA256

    @property
    def hash(self) -> str | None:
        """The digest if it is known already."""
        return self.hashes.peek_stamp(self.stamp, self.hash_kind) if self.hashes is not None else None

    @property
    def shorthash(self) -> str | None:
        """The first twelve digits of ``hash``."""
        digest = self.hash
        return digest[:SHORT_HASH] if digest else None

    def calculate_shorthash(self) -> str | None:
        """``shorthash``, computed now when it is not known; None when hashing is off."""
        if self.hashes is None or not self.hashes.enabled:
            return self.shorthash
        digest = (self.hashes.addnet if self.is_safetensors else self.hashes.sha256)(self.filename)
        return digest[:SHORT_HASH]


def _output_name(path: str) -> str | None:
    """``ss_output_name`` of the metadata, found without parsing the header: it may be large."""
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            match = _OUTPUT_NAME.search(file.read(length)) if length < _MAX_HEADER else None
        return json.loads(match[1]) if match else None
    except (OSError, ValueError):
        return None


class NetworkCatalogue:
    """The networks below ``dirs``; of files with the same name the last one counts. Thread-safe.

    Names are known after a scan that opens no file. Aliases are read when a name is asked for that is no file
    name, hashes in the background.
    """

    def __init__(self, dirs: Sequence[str | Path], hashes: HashStore, *, list_hidden: bool = False) -> None:
        self.dirs = tuple(str(Path(folder).absolute()) for folder in dirs)
        self.hashes = hashes
        self._scanner = FolderScanner(ScanRules(SUFFIXES, excluded=(), hidden=list_hidden))
        self._lock = threading.Lock()
        self._files: dict[str, NetworkFile] = {}
        self._scanned = False
        self._aliases: tuple[Mapping[str, NetworkFile], dict[str, str]] | None = None
        self._known_aliases: dict[FileStamp, str] = {}

    @property
    def files(self) -> Mapping[str, NetworkFile]:
        """Name → file. The first access reads the folders."""
        if not self._scanned:
            self.refresh()
        return self._files

    def refresh(self) -> None:
        """Read the folders again. A folder that does not answer keeps the entries it had."""
        with self._lock:
            scanned = self._scanner.scan(self.dirs)
            found: dict[str, NetworkFile] = {}
            for root in dict.fromkeys(self.dirs):
                result = scanned[root]
                if result.problems and not result.files:
                    _log.warning("%s", result.problems[0])
                    kept = (one for one in self._files.values() if Path(one.filename).is_relative_to(root))
                    found.update({one.name: one for one in kept})
                for item in result.files:
                    name = os.path.splitext(os.path.basename(item.path))[0]  # noqa: PTH119, PTH122 (often)
                    found[name] = NetworkFile(name, item.stamp, self.hashes)
            self._files = found
            self._scanned = True

    def find(self, name: str) -> NetworkFile | None:
        """The network meant by a tag: by file name, else by an alias that only one file has.

        An unknown name is looked for on disk once more.
        """
        found = self._find(name)
        if found is None:
            self.refresh()
            found = self._find(name)
        return found

    def by_hash(self, shorthash: str) -> NetworkFile | None:
        """The network with that hash of twelve digits, among those whose hash is known."""
        return next((one for one in self.files.values() if one.shorthash == shorthash), None)

    def request_hashes(self) -> None:
        """Have all hashes computed in the background."""
        for one in self.files.values():
            if one.hash is None:
                self.hashes.request(one.filename, one.hash_kind)

    def _find(self, name: str) -> NetworkFile | None:
        files = self.files
        if name in files:
            return files[name]
        return files.get(self._by_alias(files).get(name, ""))

    def _by_alias(self, files: Mapping[str, NetworkFile]) -> Mapping[str, str]:
        """Alias → name, without those that several files have."""
        cached = self._aliases
        if cached is not None and cached[0] is files:
            return cached[1]
        table: dict[str, str] = {}
        ambiguous: set[str] = set()
        for one in files.values():
            alias = self._known_aliases.get(one.stamp)
            if alias is None:
                alias = self._known_aliases[one.stamp] = one.alias
            if alias != one.name and table.setdefault(alias, one.name) != one.name:
                ambiguous.add(alias)
        usable = {k: v for k, v in table.items() if k not in ambiguous and k.lower() not in NO_ALIAS}
        self._aliases = (files, usable)
        return usable
