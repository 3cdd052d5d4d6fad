"""A safetensors file written tensor by tensor: nothing of it is ever held in memory as a whole."""

from __future__ import annotations

import json
import math
import os
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from modules.checkpoints.tensor_file import TORCH_DTYPES
from modules.errors import InvalidInput

_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}
_ALIGNMENT = 8


@dataclass(frozen=True)
class OutputTensor:
    """A tensor that will be written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class TensorWriter:
    """Writes the tensors ``entries`` beside ``path`` and gives the file its name when all are there.

    Use it as a context manager: an error leaves nothing behind. An existing file is never replaced; it raises
    ``InvalidInput``. Raises ``OSError`` when the disk is full or cannot be written.
    """

    def __init__(
        self, path: Path, entries: Mapping[str, OutputTensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        # Wide types first, so that every tensor begins at a multiple of its element size.
        self.order = sorted(entries, key=lambda name: (-entries[name].dtype.itemsize, name))
        self._entries = dict(entries)
        self._metadata = dict(metadata or {})
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._expected = 0
        self._position = 0

    def __enter__(self) -> TensorWriter:
        if self.path.exists():
            raise InvalidInput(f"{self.path} is already there. Choose another name, or remove it first.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("xb")
        self._file.write(self._header())
        return self

    def _header(self) -> bytes:
        table: dict[str, object] = {"__metadata__": self._metadata} if self._metadata else {}
        for name in self.order:
            entry = self._entries[name]
            begin, self._expected = self._expected, self._expected + entry.nbytes
            table[name] = {
                "dtype": _NAMES[entry.dtype],
                "shape": list(entry.shape),
                "data_offsets": [begin, self._expected],
            }
        raw = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        raw += b" " * (-len(raw) % _ALIGNMENT)
        return struct.pack("<Q", len(raw)) + raw

    def write(self, piece: Tensor) -> None:
        """Append the next elements; all tensors follow each other in ``order``, in any number of pieces."""
        flat = piece.detach().contiguous().view(-1)
        self._file.write(memoryview(flat.view(torch.uint8).numpy()))
        self._position += flat.numel() * flat.element_size()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._position != self._expected:
                    raise ValueError(f"{self._position} of {self._expected} bytes were written")
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                publish(self._temporary, self.path)
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, unless that is taken by now. Raises ``InvalidInput``."""
    if path.exists():
        raise InvalidInput(f"{path} is already there. Choose another name, or remove it first.")
    temporary.rename(path)
