"""The header of a safetensors file, read and checked before anything is allocated.

Layout (https://github.com/huggingface/safetensors, "Format"):

    8 bytes            N, unsigned little-endian length of the header
    N bytes            JSON: {"__metadata__": {str: str},
                              name: {"dtype": str, "shape": [int], "data_offsets": [begin, end]}, ...}
    the rest           the tensors, little-endian, without gaps; offsets count from the end of the header

Everything is validated here, so that the code behind may trust each number.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from modules.errors import ModelFileError

MAX_HEADER_BYTES = 100_000_000
"""The limit of the format's own library; SDXL checkpoints have headers of about 0.3 MB."""

MAX_DIMENSIONS = 64
"""PyTorch has no tensors of more dimensions."""

DTYPE_BYTES: Mapping[str, int] = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}

# What people put into a model folder by accident; recognised by its first bytes.
IMPOSTORS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "it is a pickled checkpoint; rename it to .ckpt"),
    (b"\x80\x02", "it is a pickled checkpoint; rename it to .ckpt"),
    (
        b"version https://git-lfs",
        "it is a Git LFS pointer, not the model; fetch it with 'git lfs pull'",
    ),
    (b"<!DOCTYPE", "it is a web page, saved in place of the model; download the model again"),
    (b"<!doctype", "it is a web page, saved in place of the model; download the model again"),
    (b"<html", "it is a web page, saved in place of the model; download the model again"),
    (b"GGUF", "it is a GGUF file, which is not supported; use a .safetensors version of the model"),
)


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies. ``begin`` and ``end`` are bytes counted from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class SafetensorsHeader:
    """A validated header. ``data_offset`` is the position in the file where the tensors begin."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_offset: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: info.shape for name, info in self.tensors.items()}


class _Duplicate(ValueError):
    pass


def read_header(path: str | os.PathLike[str]) -> SafetensorsHeader:
    """Read and validate the header of a safetensors file; no tensor is touched.

    Raises ``ModelFileError`` with a sentence for every kind of damage, and for a file that cannot be opened.
    """
    try:
        with Path(path).open("rb") as file:
            return read_header_from(file, os.fspath(path))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_header_from(file: BinaryIO, name: str) -> SafetensorsHeader:
    """Like ``read_header``, for a file that is already open; ``name`` is what messages call it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = _header_length(file, size, name)
    raw = file.read(length)
    if len(raw) != length:
        _refuse(name, f"it is truncated: {length - len(raw)} bytes of its header are missing")
    entries = _parse_json(raw, name)
    metadata = _metadata(entries.pop("__metadata__", {}), name)
    tensors = {key: _tensor_info(key, value, name) for key, value in entries.items()}
    _check_extent(tensors, size - 8 - length, name)
    return SafetensorsHeader(tensors, metadata, 8 + length)


def _refuse(name: str, why: str) -> NoReturn:
    raise ModelFileError(f"{name} is not a usable safetensors file: {why}.")


def _header_length(file: BinaryIO, size: int, name: str) -> int:
    start = file.read(32)
    file.seek(8)
    for magic, why in IMPOSTORS:
        if start.startswith(magic):
            _refuse(name, why)
    if size < 8:
        _refuse(name, f"it has {size} bytes, and the length of the header alone takes 8; download it again")
    (length,) = struct.unpack("<Q", start[:8])
    if length > MAX_HEADER_BYTES:
        _refuse(name, f"its header claims {length} bytes, and the limit is {MAX_HEADER_BYTES}")
    if length < 2:
        _refuse(name, f"its header claims {length} bytes, too few for any content")
    if length > size - 8:
        missing = length - (size - 8)
        _refuse(name, f"it is truncated: {missing} bytes of its header are missing; download it again")
    return int(length)


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Duplicate(key)
            seen.add(key)
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _parse_json(raw: bytes, name: str) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        _refuse(name, "its header does not begin with '{'")
    try:
        entries = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique_pairs, parse_constant=_no_constant
        )
    except _Duplicate as error:
        _refuse(name, f"its header names {str(error)!r} twice")
    except (ValueError, RecursionError) as error:
        _refuse(name, f"its header is not valid JSON ({_first_line(error)})")
    if not isinstance(entries, dict):
        _refuse(name, "its header is not a JSON object")
    return entries


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _metadata(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        _refuse(name, "its __metadata__ is not a table of texts")
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _tensor_info(key: str, value: Any, name: str) -> TensorInfo:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        _refuse(name, f"the entry {_short(key)} is not made of dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        _refuse(name, f"the tensor {_short(key)} has the unknown dtype {_short(dtype)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_count, shape)):
        _refuse(name, f"the tensor {_short(key)} has the impossible shape {_short(shape)}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        _refuse(name, f"the tensor {_short(key)} has the impossible offsets {_short(offsets)}")
    begin, end = offsets
    if begin > end:
        _refuse(name, f"the tensor {_short(key)} ends at {_short(end)}, before it begins at {_short(begin)}")
    expected = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - begin != expected:
        _refuse(
            name,
            f"the tensor {_short(key)} ({dtype}, shape {_short(shape)}) needs {_short(expected)} bytes "
            f"and has {_short(end - begin)}",
        )
    return TensorInfo(dtype, tuple(shape), begin, end)


def _check_extent(tensors: Mapping[str, TensorInfo], available: int, name: str) -> None:
    """The tensors must lie side by side and fill the rest of the file exactly."""
    position = 0
    previous = ""
    for key, info in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if info.begin < position:
            _refuse(name, f"the tensors {_short(previous)} and {_short(key)} overlap")
        if info.begin > position:
            _refuse(
                name, f"{_short(info.begin - position)} bytes before the tensor {_short(key)} belong to none"
            )
        position, previous = info.end, key
    if position > available:
        raise ModelFileError(
            f"{name} is truncated: {_short(position - available)} of its {_short(position)} data bytes "
            "are missing. Download it again."
        )
    if position < available:
        _refuse(name, f"{available - position} bytes at its end belong to no tensor")


def _short(value: Any) -> str:
    """A value for a message: quoted when it is text, and never longer than a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python prints
        return "a number beyond all bounds"
    return text if len(text) <= 100 else text[:97] + "..."
