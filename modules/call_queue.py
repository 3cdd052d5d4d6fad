"""For extensions: run something in turn with the pictures, on the thread that paints them.

``with queue_lock:`` keeps the painter waiting while the block runs.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from modules import shared


class QueueLock:
    """A lock that is taken in turn with the jobs of the queue; taken again by its holder it does nothing."""

    def __init__(self) -> None:
        self._held = threading.local()

    def __enter__(self) -> QueueLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> bool:
        """Wait until it is our turn."""
        depth = getattr(self._held, "depth", 0)
        self._held.depth = depth + 1
        if depth == 0 and _elsewhere():
            taken, left = threading.Event(), threading.Event()
            self._held.left = left

            def hold() -> None:
                taken.set()
                left.wait()

            shared.job_queue.call(hold)
            taken.wait()
        return True

    def release(self) -> None:
        """Let the next one take its turn."""
        self._held.depth -= 1
        left = getattr(self._held, "left", None)
        if self._held.depth == 0 and left is not None:
            self._held.left = None
            left.set()


def _elsewhere() -> bool:
    """Whether somebody else paints: not before the program runs, nor on the painting thread itself."""
    worker = shared.job_worker
    return worker is not None and worker.alive and worker.thread is not threading.current_thread()


queue_lock = QueueLock()


def wrap_queued_call(func: Callable[..., Any]) -> Callable[..., Any]:
    """``func``, called in turn with the pictures."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with queue_lock:
            return func(*args, **kwargs)

    return wrapped
