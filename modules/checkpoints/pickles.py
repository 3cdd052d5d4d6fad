"""Pickled model files (.ckpt, .pt, .pth, .bin), read without running anything in them.

Two layouts are written by PyTorch:

    zip (since 1.6)   NAME/data.pkl: the pickle; NAME/data/KEY: the bytes of each storage, uncompressed
    legacy            five pickles (magic, version, system, the object, list of keys), then for each key
                      8 bytes with the number of elements and the elements themselves

Tensors are described first and read later, one by one, from their place in the file.
"""

from __future__ import annotations

import functools
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from modules.checkpoints.pickle_globals import (
    NumpyArray,
    NumpyType,
    ParameterTable,
    Storage,
    StorageKind,
    StoredTensor,
    find_global,
)
from modules.checkpoints.pickle_machine import PickleDamage, Stub, StubClass, run_pickle
from modules.checkpoints.tensor_file import TensorEntry, TensorFile
from modules.errors import ModelFileError

MAX_PICKLE_BYTES = 256 << 20
MAX_GROWTH = 2
"""Tensors may share storages, but all together may not be larger than this many times the file."""

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LOCAL_HEADER = struct.Struct("<4s22xHH")

# PickleDamage is a ValueError; the others come from the standard library's reader of damaged archives.
_DAMAGE = (
    *(ValueError, OSError, EOFError, RecursionError, RuntimeError),
    *(zipfile.BadZipFile, struct.error, zlib.error),
)

Result = TypeVar("Result")


class _Bounded(io.RawIOBase):
    """A file whose reads never ask for more than is left: a length in a pickle is only a claim."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def read(self, count: int | None = -1) -> bytes:
        left = self._size - self._file.tell()
        if count is None or count < 0 or count > left:
            raise PickleDamage(f"it is truncated: {max(0, (count or 0) - left)} bytes are missing")
        return self._file.read(count)

    def readline(self, size: int | None = -1) -> bytes:
        return self._file.readline(1 << 16)

    def tell(self) -> int:
        return self._file.tell()


class _Pickled:
    """An open pickled file: the object in it, its tensors described, and where its storages lie."""

    def __init__(self, path: str, file: BinaryIO, tolerant: bool) -> None:
        self.path = path
        self.tolerant = tolerant
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.offsets: dict[str, int] = {}
        self._storages: dict[str, Storage] = {}

    def read(self) -> Any:
        start = self.file.read(8)
        self.file.seek(0)
        if start.startswith(b"PK\x03\x04"):
            root = self._read_zip()
        elif start[:1] == b"\x80":
            root = self._read_legacy()
        else:
            raise PickleDamage(_what_else(start))
        return _finish(root, self.offsets)

    def _read_zip(self) -> Any:
        with zipfile.ZipFile(self.file) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise PickleDamage("its archive names a member twice")
            pickles = [name for name in names if name.lower().endswith((".pkl", ".pickle"))]
            if len(pickles) != 1 or not re.fullmatch(r"[^/]+/data\.pkl", pickles[0]):
                raise PickleDamage(
                    "its archive holds compiled code (TorchScript) or several pickles, not one state"
                )
            folder = pickles[0].rpartition("/")[0]
            if f"{folder}/byteorder" in names and _read_member(archive, f"{folder}/byteorder", 16) == b"big":
                raise PickleDamage("it was written on a big-endian machine")
            raw = _read_member(archive, pickles[0], MAX_PICKLE_BYTES)
            if raw.startswith(b"PK"):
                raise PickleDamage("its pickle is an archive itself")
            members = {info.filename: info for info in archive.infolist()}

            def load(kind: StorageKind, key: str, count: int) -> Storage:
                info = members.get(f"{folder}/data/{key}")
                if info is None:
                    raise PickleDamage(f"it lacks the storage {key}")
                self.offsets[key] = self._member_offset(info)
                return _storage(kind, key, count, info.file_size)

            return self._run(io.BytesIO(raw), load)

    def _member_offset(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of an uncompressed member begin in the file."""
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise PickleDamage("its tensors are compressed; save it again with torch.save")
        self.file.seek(info.header_offset)
        raw = self.file.read(_LOCAL_HEADER.size)
        if len(raw) != _LOCAL_HEADER.size:
            raise PickleDamage("its archive is truncated")
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(raw)
        offset = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if magic != b"PK\x03\x04" or offset + info.file_size > self.size:
            raise PickleDamage("its archive is damaged")
        return int(offset)

    def _read_legacy(self) -> Any:
        stream = cast(BinaryIO, _Bounded(self.file, self.size))

        def load(kind: StorageKind, key: str, count: int) -> Storage:
            return _storage(kind, key, count, self.size)

        if self._run(stream, load) != _MAGIC:
            raise PickleDamage("it does not begin like a file that PyTorch wrote")
        if self._run(stream, load) != _PROTOCOL:
            raise PickleDamage("it is of an unknown version of PyTorch's format")
        system = self._run(stream, load)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise PickleDamage("it was written on a big-endian machine")
        root = self._run(stream, load)
        keys = self._run(stream, load)
        if not isinstance(keys, list):
            raise PickleDamage("its list of storages is missing")
        for key in keys:
            self._skip_storage(str(key))
        missing = next((key for key in self._storages if key not in self.offsets), None)
        if missing is not None:
            raise PickleDamage(f"it lacks the storage {missing}")
        return root

    def _skip_storage(self, key: str) -> None:
        raw = self.file.read(8)
        storage = self._storages.get(key)
        if len(raw) != 8 or storage is None:
            raise PickleDamage("it is truncated, or its list of storages is damaged")
        position = self.file.tell()
        (count,) = struct.unpack("<q", raw)
        width = storage.kind.dtype.itemsize if storage.kind.dtype is not None else 1
        if count < 0 or count * width < storage.nbytes:
            raise PickleDamage(f"the storage {key} is smaller than its tensors need")
        if position + count * width > self.size:
            missing = position + count * width - self.size
            raise PickleDamage(f"it is truncated: {missing} bytes of the storage {key} are missing")
        self.offsets[key] = position
        self.file.seek(position + count * width)

    def _run(self, stream: BinaryIO, load: Callable[[StorageKind, str, int], Storage]) -> Any:
        def persistent(identifier: Any) -> Any:
            if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
                raise PickleDamage("it refers to something else than a storage")
            _, kind, key, _, count, *view = identifier
            if not isinstance(kind, StorageKind) or not isinstance(key, str):
                raise PickleDamage("a storage is of an unknown kind")
            if not isinstance(count, int) or count < 0 or (view and view[0] is not None):
                raise PickleDamage("a storage has an impossible size")
            known = self._storages.get(key)
            if known is None:
                known = self._storages[key] = load(kind, key, count)
            elif known.kind != kind:
                known = replace(known, kind=kind)
            return known

        return run_pickle(stream, functools.partial(find_global, tolerant=self.tolerant), persistent)


def _storage(kind: StorageKind, key: str, count: int, available: int) -> Storage:
    nbytes = count * (kind.dtype.itemsize if kind.dtype is not None else 1)
    if nbytes > available:
        raise PickleDamage(f"the storage {key} claims {nbytes} bytes, and {available} are there")
    return Storage(key, kind, nbytes)


def _read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with archive.open(name) as member:
        raw = member.read(limit + 1)
    if len(raw) > limit:
        raise PickleDamage(f"its member {name} is larger than {limit} bytes")
    return raw


def _what_else(start: bytes) -> str:
    if len(start) == 8 and struct.unpack("<Q", start)[0] < 100_000_000:
        return "it looks like a safetensors file; rename it to .safetensors"
    if start.startswith((b"<", b"version ")):
        return "it is a web page or a pointer, saved in place of the model; download the model again"
    return "it is neither an archive nor a pickle of PyTorch"


def _rebuild(value: Any, leaf: Callable[[Any], Any], done: dict[int, Any]) -> Any:
    """``value`` with every part passed through ``leaf``; containers are new, shared parts stay shared."""
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    if id(value) in done:
        return done[id(value)]
    new = leaf(value)
    if isinstance(new, dict):
        table: dict[Any, Any] = {}
        done[id(value)] = table
        table.update((key, _rebuild(item, leaf, done)) for key, item in new.items())
        return table
    if isinstance(new, list):
        items: list[Any] = []
        done[id(value)] = items
        items.extend(_rebuild(item, leaf, done) for item in new)
        return items
    if isinstance(new, tuple):
        new = tuple(_rebuild(item, leaf, done) for item in new)
    done[id(value)] = new
    return new


def _finish(root: Any, offsets: dict[str, int]) -> Any:
    """Plain containers, arrays and ``TensorEntry``s in place of what stood for them."""

    def leaf(value: Any) -> Any:
        if isinstance(value, StoredTensor):
            return value.placed(offsets[value.storage.key])
        if isinstance(value, NumpyArray):
            return value.value
        if isinstance(value, ParameterTable):
            return value.parameters
        if isinstance(value, (NumpyType, StubClass)):
            return Stub(value.code if isinstance(value, NumpyType) else value.name)
        return value

    result = _rebuild(root, leaf, {})
    for part in _walk(result):
        if isinstance(part, dict):
            _refuse_stubs(part)
    return result


def _walk(root: Any) -> Iterator[Any]:
    """``root`` and everything in it, each object once."""
    pending, seen = [root], {id(root)}
    while pending:
        value = pending.pop()
        yield value
        parts = (
            value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        )
        for part in parts:
            if id(part) not in seen:
                seen.add(id(part))
                pending.append(part)


def _refuse_stubs(table: dict[Any, Any]) -> None:
    """Beside tensors there may be numbers and texts, but no objects: what they are is not known."""
    if not any(isinstance(value, TensorEntry) for value in table.values()):
        return
    for key, value in table.items():
        if isinstance(value, Stub):
            raise PickleDamage(f"among its tensors, under {str(key)[:100]!r}, is an object of {value.name}")


def _opened(path: str | os.PathLike[str], tolerant: bool, use: Callable[[_Pickled, Any], Result]) -> Result:
    """Open and read the pickle; ``use`` gets the open file and the object."""
    name = os.fspath(path)
    try:
        file = Path(path).open("rb")  # noqa: SIM115 (closed below, or by the TensorFile)
    except OSError as error:
        raise ModelFileError(f"{name} cannot be read: {error.strerror or error}.") from error
    try:
        pickled = _Pickled(name, file, tolerant)
        return use(pickled, pickled.read())
    except _DAMAGE as error:
        file.close()
        why = str(error) or type(error).__name__
        raise ModelFileError(f"{name} is not a usable model file: {why}.") from error
    except ModelFileError as error:
        file.close()
        raise ModelFileError(f"{name} is refused. {error}") from error
    except BaseException:
        file.close()
        raise


def open_pickle(path: str | os.PathLike[str], *, tolerant: bool = False) -> TensorFile:
    """The tensors of a pickled checkpoint, of its ``state_dict`` where it has one. Nothing is read yet.

    ``tolerant`` (``--disable-safe-unpickle``): forbidden globals are not refused; they are not run either.
    Raises ``ModelFileError`` for damaged, hostile and oversized files, naming a forbidden global.
    """

    def use(pickled: _Pickled, root: Any) -> TensorFile:
        state = root.get("state_dict", root) if isinstance(root, dict) else root
        if not isinstance(state, dict):
            kind = state.name if isinstance(state, Stub) else type(state).__name__
            raise PickleDamage(f"it holds an object of {kind} in place of a table of tensors")
        entries = {
            key: value
            for key, value in state.items()
            if isinstance(key, str) and isinstance(value, TensorEntry)
        }
        _limit_total(entries.values(), pickled.size)
        return TensorFile(pickled.path, pickled.file, entries, {})

    return _opened(path, tolerant, use)


def load_pickle(path: str | os.PathLike[str], *, tolerant: bool = False) -> dict[Any, Any]:
    """The whole object of a pickled file, with its tensors in memory on the CPU.

    For small files: embeddings, hypernetworks, networks. Objects that are not plain data are ``Stub``s.
    ``tolerant``: see ``open_pickle``. Raises ``ModelFileError`` as that does, and when the object is no
    table.
    """

    def use(pickled: _Pickled, root: Any) -> dict[Any, Any]:
        if not isinstance(root, dict):
            kind = root.name if isinstance(root, Stub) else type(root).__name__
            raise PickleDamage(f"it holds an object of {kind} in place of a table")
        entries = [part for part in _walk(root) if isinstance(part, TensorEntry)]
        _limit_total(entries, pickled.size)
        named = {str(id(entry)): entry for entry in entries}
        with TensorFile(pickled.path, pickled.file, named, {}) as file:

            def leaf(value: Any) -> Any:
                return file.read(str(id(value))) if isinstance(value, TensorEntry) else value

            return cast("dict[Any, Any]", _rebuild(root, leaf, {}))

    return _opened(path, tolerant, use)


def _limit_total(entries: Iterable[TensorEntry], size: int) -> None:
    if sum(entry.nbytes for entry in entries) > MAX_GROWTH * size:
        raise PickleDamage("its tensors share their storage to become much larger than the file")
