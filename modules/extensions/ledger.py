"""Who was called, how long it took, and what went wrong: extensions are contained here.

``Ledger.contain`` is the one place where an error of foreign code is caught. It is named with the
extension and the hook, and the program goes on.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_log = logging.getLogger(__name__)

KEPT_FAILURES = 100
SLOW_SECONDS = 10.0
"""After this time in one hook at the start an extension is named as one that holds the start up."""


@dataclass(frozen=True)
class Failure:
    """An error in a hook. ``seconds``: how long the hook had run; ``details``: the traceback."""

    extension: str
    hook: str
    error: str
    seconds: float
    details: str = ""

    def __str__(self) -> str:
        return (
            f"The extension {self.extension} failed in {self.hook} after {self.seconds:.2f} s: {self.error}. "
            "Everything else goes on."
        )


@dataclass
class Ledger:
    """Seconds per (extension, hook), and the newest failures. Used from any thread."""

    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def contain(
        self,
        extension: str,
        hook: str,
        function: Callable[..., Any],
        *args: Any,
        default: Any = None,
        **kwargs: Any,
    ) -> Any:
        """``function(*args, **kwargs)``; ``default`` when it raises, after the failure was told."""
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        except (Exception, SystemExit) as error:
            self.fail(extension, hook, error, time.perf_counter() - started)
            return default
        finally:
            self._add(extension, hook, time.perf_counter() - started)

    @contextmanager
    def timed(self, extension: str, hook: str) -> Iterator[None]:
        """Record the time of a block whose errors go on to the caller."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._add(extension, hook, time.perf_counter() - started)

    @contextmanager
    def watched(self, extension: str, hook: str, patience: float = SLOW_SECONDS) -> Iterator[None]:
        """Say who it is when a block takes longer than ``patience`` seconds."""
        sentence = f"The extension {extension} has been in {hook} for {patience:g} s; the start waits for it."
        timer = threading.Timer(patience, _log.warning, ("%s", sentence))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def fail(self, extension: str, hook: str, error: BaseException, seconds: float = 0.0) -> Failure:
        """Note and tell a failure."""
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        failure = Failure(extension, hook, text.strip().splitlines()[0].rstrip("."), seconds, details)
        with self._lock:
            self.failures.append(failure)
            del self.failures[:-KEPT_FAILURES]
        _log.error("%s\n%s", failure, details)
        return failure

    def _add(self, extension: str, hook: str, seconds: float) -> None:
        key = (extension, hook)
        with self._lock:
            self.seconds[key] = self.seconds.get(key, 0.0) + seconds
            self.calls[key] = self.calls.get(key, 0) + 1

    def profile(self) -> dict[str, dict[str, float]]:
        """Seconds by extension and hook, the slowest extension first."""
        with self._lock:
            items = list(self.seconds.items())
        table: dict[str, dict[str, float]] = {}
        for (extension, hook), seconds in items:
            table.setdefault(extension, {})[hook] = seconds
        return dict(sorted(table.items(), key=lambda item: -sum(item[1].values())))
