"""What happens to jobs, told to any number of readers. A slow reader costs itself, never a worker."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

QUEUED, STARTED, STEP, IMAGE, CHANGED = "queued", "started", "step", "image", "changed"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
FINAL = (DONE, FAILED, CANCELLED)

BUFFER = 256
"""Events that wait for one reader; of more, the oldest are dropped, steps first."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. Numbers rise by one through the life of the program."""

    number: int
    job: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)


class Subscription:
    """The events for one reader. ``wake`` is called, from any thread, when there is something to take."""

    def __init__(self, wake: Callable[[], None], job: str | None = None, buffer: int = BUFFER) -> None:
        self.job = job
        self.lost = 0
        self.closed = False
        self._wake = wake
        self._buffer = buffer
        self._lock = threading.Lock()
        self._waiting: deque[Event] = deque()
        self._woken = False

    def offer(self, event: Event) -> None:
        """Keep ``event`` for the reader. Returns at once."""
        if self.job is not None and event.job != self.job:
            return
        with self._lock:
            if event.kind == STEP and self._waiting and self._waiting[-1].kind == STEP:
                # Nobody needs an old step: the newest tells all.
                if self._waiting[-1].job == event.job:
                    self._waiting.pop()
            elif len(self._waiting) >= self._buffer:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(event)
            wake, self._woken = not self._woken, True
        if wake:
            self._wake()

    def drain(self) -> list[Event]:
        """All that waits, oldest first."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
            self._woken = False
            return taken

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._wake()


class Events:
    """Hands every event to every subscription."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: tuple[Subscription, ...] = ()
        self._numbers = itertools.count(1)
        self._closed = False

    @property
    def readers(self) -> int:
        """How many listen."""
        return len(self._readers)

    def subscribe(self, wake: Callable[[], None], job: str | None = None) -> Subscription:
        """A new reader of all events, or of those of one job. End it with ``unsubscribe``."""
        reader = Subscription(wake, job)
        with self._lock:
            self._readers = (*self._readers, reader)
            reader.closed = self._closed
        return reader

    def unsubscribe(self, reader: Subscription) -> None:
        """``reader`` gets nothing more."""
        with self._lock:
            self._readers = tuple(one for one in self._readers if one is not reader)

    def publish(self, job: str, kind: str, **data: Any) -> None:
        """Tell all readers. Called by workers at every step, so it does nothing when nobody listens."""
        readers = self._readers
        if not readers:
            return
        event = Event(next(self._numbers), job, kind, data)
        for reader in readers:
            reader.offer(event)

    def close(self) -> None:
        """The server stops: let all readers go."""
        with self._lock:
            self._closed = True
        for reader in self._readers:
            reader.close()
