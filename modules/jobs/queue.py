"""The line in front of the workers: bounded, fair between clients, safe for any number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from modules.errors import Busy, EaselError, NotFound
from modules.jobs import events
from modules.jobs.events import Events
from modules.jobs.job import CALL, Job, JobCancelled, JobRecord, JobState, create_task_id
from modules.jobs.serial import with_fixed_seeds
from modules.jobs.store import JobStore, MemoryJobStore

STAYS = "Easel is stopping; the job is kept and goes on when it is back."


class NotWaiting(EaselError):
    """The job has begun or ended, so its place in the line cannot be changed."""

    status = 409


@dataclass
class Tally:
    """What has ended since the program began; ``seconds`` were spent in jobs."""

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    seconds: float = 0.0

    def count(self, record: JobRecord) -> None:
        """Enter an ended job."""
        name = record.state.value
        setattr(self, name, getattr(self, name) + 1)
        if record.started is not None and record.finished is not None:
            self.seconds += record.finished - record.started


class JobQueue:
    """Takes jobs from faces, hands them to workers, and results back.

    A worker calls ``take`` and then exactly one of ``finish`` and ``fail``. Faces call ``submit`` and
    wait on the future. A future can not be cancelled by who waits on it: ``cancel`` does that by id,
    so a client that goes away never confuses a worker.
    """

    def __init__(self, store: JobStore | None = None, hub: Events | None = None) -> None:
        self._store: JobStore = store or MemoryJobStore()
        self.events = hub or Events()
        self._changed = threading.Condition()
        self._futures: dict[str, Future[Any]] = {
            job_id: _begun_future() for job_id in self._store.ids(JobState.QUEUED)
        }
        self.tally = Tally()
        self._closed: str | None = None
        self._paused = False

    def submit(self, job: Job) -> Future[Any]:
        """Put ``job`` in the line, with its random seeds drawn.

        The future gives the painter's result, or raises its error. Raises ``Busy`` when the line is
        full or the program is stopping, ``TaskIdInUse`` when the id is taken.
        """
        future = _begun_future()
        request = with_fixed_seeds(job.request)
        if request is not job.request:
            job = replace(job, request=request)
        with self._changed:
            if self._closed is not None:
                raise Busy(self._closed)
            self._store.add(job)
            self._futures[job.id] = future
            self._changed.notify()
        self.events.publish(job.id, events.QUEUED, job_kind=job.kind, client=job.client)
        return future

    def call(self, function: Callable[[], Any], title: str = CALL) -> Future[Any]:
        """Run ``function`` on the worker, in turn, so that it never meets a picture being painted.

        Not for use inside a job: it would wait for itself.
        """
        return self.submit(Job(id=create_task_id(title), kind=CALL, request=function))

    def take(self, timeout: float | None = None) -> Job | None:
        """The next job, now running. ``None`` after ``timeout`` seconds or when the queue is closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._closed is None:
                job = self._store.take(calls_only=self._paused)
                if job is not None:
                    self.events.publish(job.id, events.STARTED, job_kind=job.kind)
                    return job
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return None
                self._changed.wait(remaining)
            return None

    def finish(self, job_id: str, result: Any) -> None:
        """The job came to its end; whoever waits gets ``result``."""
        future = self._end(job_id, JobState.DONE, result=result)
        if future is not None:
            future.set_result(result)
        self.events.publish(job_id, events.DONE)

    def fail(self, job_id: str, error: BaseException) -> None:
        """The job ended without a result; whoever waits gets ``error`` raised."""
        state = JobState.CANCELLED if isinstance(error, JobCancelled) else JobState.FAILED
        future = self._end(job_id, state, error=error)
        if future is not None:
            future.set_exception(error)
        kind = events.CANCELLED if state is JobState.CANCELLED else events.FAILED
        self.events.publish(job_id, kind, error=type(error).__name__, detail=str(error))

    def put_back(self, job_id: str) -> bool:
        """The running job was cut short by the end of the program: keep it for the next start.

        False when it cannot be kept, and is to be finished as it is.
        """
        with self._changed:
            if not self._store.survives(job_id):
                return False
            self._store.put_back(job_id)
            future = self._futures.pop(job_id, None)
        if future is not None:
            future.set_exception(Busy(STAYS))
        return True

    def cancel(self, job_id: str) -> bool:
        """Take a waiting job out of the line. False when it is not waiting (any more)."""
        error = JobCancelled(f"Job {job_id} was cancelled before it began.")
        with self._changed:
            record = self._store.get(job_id)
            if record is None or record.state is not JobState.QUEUED:
                return False
            self._store.finish(job_id, JobState.CANCELLED, error=error)
            self.tally.cancelled += 1
            future = self._futures.pop(job_id, None)
        if future is not None:
            future.set_exception(error)
        self.events.publish(job_id, events.CANCELLED)
        return True

    def set_priority(self, job_id: str, priority: int) -> None:
        """Let a waiting job go before those of lower priority. Raises ``NotFound`` or ``NotWaiting``."""
        self._rearrange(job_id, lambda: self._store.set_priority(job_id, priority))

    def move(self, job_id: str, position: int) -> None:
        """Give a waiting job place number ``position``, 0 being the next. Raises as ``set_priority``."""
        self._rearrange(job_id, lambda: self._store.move(job_id, position))

    def hold(self, job_id: str, held: bool = True) -> None:
        """Let a waiting job be passed over, or no longer. Raises as ``set_priority``."""
        self._rearrange(job_id, lambda: self._store.hold(job_id, held))

    def _rearrange(self, job_id: str, change: Callable[[], None]) -> None:
        with self._changed:
            record = self._store.get(job_id)
            if record is None:
                raise NotFound(f"There is no job {job_id!r:.100}.")
            if record.state is not JobState.QUEUED:
                raise NotWaiting(
                    f"Job {job_id} is {record.state.value}; only waiting jobs can be rearranged."
                )
            change()
            self._changed.notify_all()
        self.events.publish(job_id, events.CHANGED)

    def pause(self) -> None:
        """Begin no more pictures. What runs goes on, and functions are still called in turn."""
        self._set_paused(True)

    def resume(self) -> None:
        """Go on after ``pause``."""
        self._set_paused(False)

    def _set_paused(self, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._changed.notify_all()
        self.events.publish("", events.CHANGED, paused=paused)

    @property
    def paused(self) -> bool:
        """Whether ``pause`` is in force."""
        return self._paused

    def close(self, reason: str = "Easel is stopping; send the request again when it is back.") -> None:
        """Refuse new jobs and let the workers go.

        Waiting jobs whose client is connected, and those that cannot be kept, end with ``Busy(reason)``;
        the others stay in the store for the next start.
        """
        with self._changed:
            self._closed = reason
            answers: list[tuple[Future[Any] | None, str]] = []
            for job_id in self._store.ids(JobState.QUEUED):
                stays = self._store.survives(job_id)
                answers.append((self._futures.pop(job_id, None), STAYS if stays else reason))
                if not stays:
                    self._store.finish(job_id, JobState.CANCELLED, error=Busy(reason))
            self._changed.notify_all()
        for future, sentence in answers:
            if future is not None:
                future.set_exception(Busy(sentence))

    def close_store(self) -> None:
        """Let go of the files of the store, after the workers have ended."""
        self.events.close()
        with self._changed:
            self._store.close()

    def abandon(self, reason: str = "Easel stopped before the job was done; send the request again.") -> None:
        """Answer those who wait for running jobs with ``Busy(reason)``; the jobs' own ends change nothing."""
        with self._changed:
            running = self._store.ids(JobState.RUNNING)
            futures = [self._futures.pop(job_id, None) for job_id in running]
        for future in futures:
            if future is not None:
                future.set_exception(Busy(reason))

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed is not None

    @property
    def pending(self) -> tuple[str, ...]:
        """Ids of the waiting jobs, next first."""
        return self._ids(JobState.QUEUED)

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the jobs in work: one per busy worker."""
        return self._ids(JobState.RUNNING)

    @property
    def finished(self) -> tuple[str, ...]:
        """Ids of the last ended jobs, oldest first."""
        return self._ids(JobState.DONE, JobState.FAILED, JobState.CANCELLED)

    def position(self, job_id: str) -> int | None:
        """Number of jobs that are served before this one; ``None`` when it does not wait."""
        pending = self.pending
        return pending.index(job_id) if job_id in pending else None

    def record(self, job_id: str) -> JobRecord | None:
        """What is known of a job; the result is there for the last few only."""
        with self._changed:
            return self._store.get(job_id)

    def future(self, job_id: str) -> Future[Any] | None:
        """Future of a known job, for instance for a page that was reloaded. Any number may wait on it.

        Of an ended job it has the outcome, as long as that is remembered; ``None`` when it is not.
        """
        with self._changed:
            living = self._futures.get(job_id)
            record = self._store.get(job_id)
        if living is not None or record is None or not record.state.final:
            return living
        ended: Future[Any] = Future()
        if record.error is not None:
            ended.set_exception(record.error)
        elif record.result is not None:
            ended.set_result(record.result)
        else:
            return None
        return ended

    def _ids(self, *states: JobState) -> tuple[str, ...]:
        with self._changed:
            return self._store.ids(*states)

    def _end(
        self, job_id: str, state: JobState, result: Any = None, error: BaseException | None = None
    ) -> Future[Any] | None:
        with self._changed:
            self._store.finish(job_id, state, result=result, error=error)
            record = self._store.get(job_id)
            if record is not None and record.kind != CALL:
                self.tally.count(record)
            return self._futures.pop(job_id, None)


def _begun_future() -> Future[Any]:
    """A future that nobody who waits on it can cancel."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
