"""A file of tensors, open for reading: what it holds, and one tensor at a time into its final place.

Why tensors are read and not left mapped into memory: a mapped file that is overwritten in place changes the
model in use, and a truncated one ends the process with SIGBUS. Reading into private memory costs the same
pass over the page cache, because nearly every tensor is cast or moved to a device anyway; it needs one small
buffer, and the pages of the file are not counted to this process.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch
from torch import Tensor

from modules.checkpoints.header import read_header_from
from modules.errors import ModelFileError

CHUNK_BYTES = 16 << 20
"""Read and cast piece by piece: small enough to stay near the processor, large enough to share out."""

TORCH_DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
}


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file. ``offset``: position of its first element, in bytes from the start of the file.

    ``stride`` (in elements) is None when the elements lie in order without gaps.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    stride: tuple[int, ...] | None = None

    @property
    def elements(self) -> int:
        """Number of elements that must be read, gaps included."""
        if self.stride is None:
            return math.prod(self.shape)
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True)
class FileIdentity:
    """Tells whether a file is still the one that was opened."""

    size: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, file: BinaryIO) -> FileIdentity:
        status = os.fstat(file.fileno())
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


class TensorFile:
    """An open file of tensors; use it as a context manager. Not for use by several threads at once."""

    def __init__(
        self, path: str, file: BinaryIO, entries: dict[str, TensorEntry], metadata: dict[str, str]
    ) -> None:
        self.path = path
        self.entries = entries
        self.metadata = metadata
        self.identity = FileIdentity.of(file)
        self._file = file
        self._buffer: Tensor | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: entry.shape for name, entry in self.entries.items()}

    def read(
        self,
        name: str,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        shape: tuple[int, ...] | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> Tensor:
        """The tensor ``name`` in memory of its own, cast to ``dtype`` (its own when None) on ``device``.

        ``shape``: another shape of as many elements. Raises ``ModelFileError`` when the file has become
        shorter, ``OSError`` when the disk fails.
        """
        entry = self.entries[name]
        target = torch.empty(
            entry.shape if shape is None else shape,
            dtype=dtype or entry.dtype,
            device=device,
            memory_format=memory_format,
        )
        if target.numel() == 0:
            return target
        if entry.stride is None and target.is_contiguous():
            self._read_flat(entry, target.view(-1))
        else:
            raw = self._read_bytes(entry.offset, entry.nbytes).view(entry.dtype)
            source = raw if entry.stride is None else raw.as_strided(entry.shape, entry.stride)
            target.copy_(source.reshape(target.shape))
        return target

    def check_unchanged(self) -> None:
        """Raise ``ModelFileError`` when somebody wrote to the file since it was opened."""
        if FileIdentity.of(self._file) != self.identity:
            raise ModelFileError(
                f"{self.path} was changed while it was read. Wait until it is written completely, "
                "then load it again."
            )

    def close(self) -> None:
        """Release the file and the buffer."""
        self._file.close()
        self._buffer = None

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_flat(self, entry: TensorEntry, target: Tensor) -> None:
        """Into contiguous ``target``: straight when nothing is cast, else piece by piece."""
        self._file.seek(entry.offset)
        if target.device.type == "cpu" and target.dtype == entry.dtype:
            self._fill(target.view(torch.uint8))
            return
        step = CHUNK_BYTES // entry.dtype.itemsize
        for begin in range(0, target.numel(), step):
            end = min(begin + step, target.numel())
            piece = self._scratch((end - begin) * entry.dtype.itemsize, target.device)
            self._fill(piece)
            target[begin:end].copy_(piece.view(entry.dtype))

    def _read_bytes(self, offset: int, length: int) -> Tensor:
        self._file.seek(offset)
        piece = self._scratch(length, torch.device("cpu"))
        self._fill(piece)
        return piece

    def _scratch(self, length: int, device: torch.device) -> Tensor:
        """``length`` bytes of the buffer, which grows to the largest tensor that needs to be read at once."""
        if self._buffer is None or self._buffer.numel() < length:
            self._buffer = None
            pinned = device.type == "cuda"
            self._buffer = torch.empty(max(length, CHUNK_BYTES), dtype=torch.uint8, pin_memory=pinned)
        return self._buffer[:length]

    def _fill(self, target: Tensor) -> None:
        view = memoryview(target.numpy())
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise ModelFileError(
                    f"{self.path} became shorter while it was read: {len(view) - done} bytes of a tensor are "
                    "missing. Load it again when it is complete."
                )
            done += count


def open_safetensors(path: str | os.PathLike[str]) -> TensorFile:
    """Open a safetensors file; the header is validated. Raises ``ModelFileError``."""
    name = os.fspath(path)
    try:
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (the TensorFile closes it)
    except OSError as error:
        raise ModelFileError(f"{name} cannot be read: {error.strerror or error}.") from error
    try:
        header = read_header_from(file, name)  # type: ignore[arg-type]
        entries = {
            key: TensorEntry(TORCH_DTYPES[info.dtype], info.shape, header.data_offset + info.begin)
            for key, info in header.tensors.items()
        }
        return TensorFile(name, file, entries, header.metadata)  # type: ignore[arg-type]
    except BaseException:
        file.close()
        raise
