"""Embeddings that travel inside a picture.

Either as text: the chunk ``sd-ti-embedding`` holds base64 of JSON. Or in the pixels: left and right of a
picture, each beside a black column, stand blocks whose low four bits are the low and high halves of the bytes
of a zlib stream of the same JSON, masked by a fixed sequence of random numbers. Tensors are ``{"TORCHTENSOR":
nested lists}``.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import zlib
from typing import Any

import numpy as np
import torch
from PIL import Image

from modules.errors import ModelFileError

TEXT_KEY = "sd-ti-embedding"
TENSOR_KEY = "TORCHTENSOR"
MAX_JSON_BYTES = 64 << 20
MAX_PIXELS = 1 << 26
MULTIPLIER, INCREMENT = 1664525, 1013904223


def read_image(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The table of the embedding inside a picture; None when it is an ordinary picture.

    Raises ``ModelFileError`` for a picture that cannot be read, and for a damaged embedding.
    """
    try:
        with Image.open(path) as image:
            text = image.info.get(TEXT_KEY)
            if isinstance(text, str):
                return _parsed(base64.b64decode(text, validate=True), path)
            if image.width * image.height > MAX_PIXELS:
                return None
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        raise ModelFileError(f"The picture {os.fspath(path)} cannot be read: {error}.") from error
    stream = hidden_bytes(pixels)
    return None if stream is None else _unpacked(stream, path)


def hidden_bytes(pixels: np.ndarray) -> bytes | None:
    """The bytes hidden in pixels [H, W, 3] (uint8); None when there are no blocks."""
    low = _without_border(pixels) & 0x0F
    black = np.flatnonzero(low.sum(axis=(0, 2)) == 0)
    if len(black) < 2:
        return None
    left, right = low[:, : black.min()], low[:, black.max() + 1 :]
    if left.shape != right.shape or not left.size:
        return None
    mask = random_bytes(left.size).reshape(left.shape) & 0x0F
    return (((right ^ mask) << 4) | (left ^ mask)).astype(np.uint8).tobytes()


def random_bytes(count: int) -> np.ndarray:
    """The first ``count`` values of the mask: x' = a·x + c mod 2³², from 0, each modulo 255."""
    states = np.array([INCREMENT], dtype=np.uint32)
    factor, offset = np.uint32(MULTIPLIER), np.uint32(INCREMENT)
    with np.errstate(over="ignore"):
        while len(states) < count:
            # ``len(states)`` steps at once are again of the form factor · x + offset.
            states = np.concatenate([states, states * factor + offset])
            offset = factor * offset + offset
            factor = factor * factor
    return (states[:count] % 255).astype(np.uint8)


def _without_border(pixels: np.ndarray) -> np.ndarray:
    """Cut to the rows and columns that hold a pixel with no channel at 0."""
    bright = np.all(pixels > 0, axis=2)
    rows, columns = np.flatnonzero(np.any(bright, axis=1)), np.flatnonzero(np.any(bright, axis=0))
    if not len(rows):
        return pixels[:0, :0]
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _unpacked(stream: bytes, path: str | os.PathLike[str]) -> dict[str, Any] | None:
    try:
        expander = zlib.decompressobj()
        text = expander.decompress(stream, MAX_JSON_BYTES)
    except zlib.error:
        return None  # black columns are common in ordinary pictures
    return _parsed(text, path) if expander.eof else None


def _parsed(text: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        data = json.loads(text, object_hook=_with_tensors)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"The embedding in the picture {os.fspath(path)} is damaged: {error}."
        ) from error
    if not isinstance(data, dict):
        raise ModelFileError(f"The embedding in the picture {os.fspath(path)} is no table.")
    return data


def _with_tensors(table: dict[str, Any]) -> Any:
    if TENSOR_KEY in table:
        return torch.tensor(table[TENSOR_KEY], dtype=torch.float32)
    return table
