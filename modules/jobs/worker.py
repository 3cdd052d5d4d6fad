"""The thread that paints: takes one job after the other, and outlives whatever a job does."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modules.errors import EaselError, OutOfMemoryError
from modules.jobs.job import CALL, Job, JobCancelled, Painter
from modules.jobs.queue import JobQueue
from modules.jobs.state import State
from modules.sampling.monitor import SamplingInterrupted

_log = logging.getLogger(__name__)

Keeper = Callable[[Job, Any, "BaseException | None"], None]
"""(job, its result or ``None``, its error or ``None``): keeps the outcome of a job somewhere."""

_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")


class JobFailed(EaselError):
    """Something that is not an ``Exception`` ended a job, for instance an extension that calls exit."""

    status = 500


class Worker:
    """Runs the jobs of ``queue`` with the painter of their kind.

    ``painters``: kind of job → painter. ``keepers`` are handed each outcome before it is told to who waits:
    history, spool. ``reclaim`` is called after a failed job and gives memory
    back to the device; when it runs, nothing refers to the failed job's tensors any more.
    """

    def __init__(
        self,
        queue: JobQueue,
        state: State,
        painters: Mapping[str, Painter],
        *,
        reclaim: Callable[[], None] | None = None,
        keepers: Sequence[Keeper] = (),
    ) -> None:
        self._queue = queue
        self._state = state
        self._painters = dict(painters)
        self._reclaim = reclaim
        self._keepers = tuple(keepers)
        self._thread = threading.Thread(target=self._run, name="easel-worker", daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Close the queue, interrupt the running job and wait. True when the thread has ended."""
        self._queue.close()
        self._state.interrupt()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def thread(self) -> threading.Thread:
        """The thread that paints."""
        return self._thread

    @property
    def alive(self) -> bool:
        """Whether the thread takes jobs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._queue.closed:
            job = self._queue.take()
            if job is not None:
                self._execute(job)
            del job  # or the request, with its pictures, would live until the next one comes

    def _execute(self, job: Job) -> None:
        error: BaseException | None = None
        result: Any = None
        self._state.begin(job.id, settings=job.settings)
        try:
            result = self._paint(job)
        except BaseException as exc:
            error = self._explain(job, exc)
        cut_short = self._queue.closed and self._state.interrupted
        self._state.end()
        if cut_short and self._queue.put_back(job.id):
            return
        if job.kind != CALL:
            self._keep(job, result, error)
        if error is None:
            self._queue.finish(job.id, result)
            return
        self._give_memory_back()
        self._queue.fail(job.id, error)

    def _keep(self, job: Job, result: Any, error: BaseException | None) -> None:
        for keeper in self._keepers:
            try:
                keeper(job, result, error)
            except Exception:
                _log.exception("The outcome of job %s could not be kept.", job.id)

    def _paint(self, job: Job) -> Any:
        if job.kind == CALL:
            return job.request()
        painter = self._painters.get(job.kind)
        if painter is None:
            raise JobFailed(
                f"No worker can do a job of kind {job.kind!r}; known are {sorted(self._painters)}."
            )
        return painter(job.request, job.settings, self._state)

    def _explain(self, job: Job, exc: BaseException) -> BaseException:
        """The error for who waits, free of references to the frames, and thus tensors, that it left."""
        if isinstance(exc, SamplingInterrupted):
            forget_frames(exc)
            return JobCancelled(f"Job {job.id} was interrupted before its first picture was ready.")
        if isinstance(exc, EaselError):
            _log.warning("Job %s: %s", job.id, exc)
        else:
            _log.error("Job %s failed.\n%s", job.id, "".join(traceback.format_exception(exc)))
        forget_frames(exc)
        if is_out_of_memory(exc):
            return OutOfMemoryError(
                f"Out of memory: {exc}. "
                "Choose a smaller size or batch size, or start with --medvram or --lowvram."
            )
        if not isinstance(exc, Exception):
            return JobFailed(f"The job was ended by {type(exc).__name__}: {exc}")
        return exc

    def _give_memory_back(self) -> None:
        if self._reclaim is None:
            return
        try:
            self._reclaim()
        except Exception:
            _log.exception("Giving memory back after a failed job did not work.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is a lack of memory of the machine or of a device.

    Devices are told by the name or the text of the error, so that this floor need not load torch.
    """
    if isinstance(error, EaselError):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _MEMORY_SIGNS)


def forget_frames(error: BaseException) -> None:
    """Cut the tracebacks of ``error`` and of all errors behind it, and empty the frames they held.

    A traceback refers to every local variable on the way, which for an out-of-memory error is
    precisely the memory that must come back.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        waiting += [current.__cause__, current.__context__]
        traceback.clear_frames(current.__traceback__)
        current.__traceback__ = None
