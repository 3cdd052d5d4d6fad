"""A cache that forgets what was not used for longest, with a limit in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LruCache(Generic[Value]):
    """Values by key. Safe to use from several threads.

    Args:
        limit: most bytes kept. A single value larger than that is handed out but not kept.
        size_of: bytes of a value.
    """

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        self._limit = limit
        self._size_of = size_of
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made now if it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        # Made outside the lock: encoding takes long, and two threads rarely want the same text.
        value = make()
        with self._lock:
            self._put(key, value)
        return value

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self.bytes = 0

    def _put(self, key: Hashable, value: Value) -> None:
        size = self._size_of(value)
        if size > self._limit:
            return
        if key in self._values:
            self.bytes -= self._size_of(self._values.pop(key))
        self._values[key] = value
        self.bytes += size
        while self.bytes > self._limit:
            _, oldest = self._values.popitem(last=False)
            self.bytes -= self._size_of(oldest)
