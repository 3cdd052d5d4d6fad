"""Upscaled pictures that may be wanted again with other later steps."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from PIL import Image


def fingerprint(image: Image.Image) -> str:
    """Equal for equal pixels only."""
    head = f"{image.mode} {image.size}".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


class UpscaleCache:
    """The last upscaled pictures, least recently used first out. Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, Image.Image] = OrderedDict()

    def get(self, key: Any) -> Image.Image | None:
        """A copy of the picture that was kept under ``key``."""
        with self._lock:
            image = self._kept.get(key)
            if image is not None:
                self._kept.move_to_end(key)
            return None if image is None else image.copy()

    def put(self, key: Any, image: Image.Image, limit: int) -> None:
        """Keep ``image``, and at most ``limit`` pictures in all."""
        with self._lock:
            self._kept[key] = image.copy()
            self._kept.move_to_end(key)
            while len(self._kept) > max(limit, 0):
                self._kept.popitem(last=False)
