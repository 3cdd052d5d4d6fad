"""The line in front of the workers: first in, first out, bounded, safe for any number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from modules.errors import Busy
from modules.jobs.job import CALL, Job, JobCancelled, JobRecord, JobState, create_task_id
from modules.jobs.store import JobStore, MemoryJobStore


class JobQueue:
    """Takes jobs from faces, hands them to workers, and results back.

    A worker calls ``take`` and then exactly one of ``finish`` and ``fail``. Faces call ``submit`` and
    wait on the future. A future can not be cancelled by who waits on it: ``cancel`` does that by id,
    so a client that goes away never confuses a worker.
    """

    def __init__(self, store: JobStore | None = None) -> None:
        self._store: JobStore = store or MemoryJobStore()
        self._changed = threading.Condition()
        self._futures: dict[str, Future[Any]] = {}
        self._closed: str | None = None

    def submit(self, job: Job) -> Future[Any]:
        """Put ``job`` at the end of the line.

        The future gives the painter's result, or raises its error. Raises ``Busy`` when the line is
        full or the program is stopping, ``TaskIdInUse`` when the id is taken.
        """
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            if self._closed is not None:
                raise Busy(self._closed)
            self._store.add(job)
            self._futures[job.id] = future
            self._changed.notify()
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
                job = self._store.take()
                if job is not None:
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

    def fail(self, job_id: str, error: BaseException) -> None:
        """The job ended without a result; whoever waits gets ``error`` raised."""
        state = JobState.CANCELLED if isinstance(error, JobCancelled) else JobState.FAILED
        future = self._end(job_id, state, error=error)
        if future is not None:
            future.set_exception(error)

    def cancel(self, job_id: str) -> bool:
        """Take a waiting job out of the line. False when it is not waiting (any more)."""
        error = JobCancelled(f"Job {job_id} was cancelled before it began.")
        with self._changed:
            record = self._store.get(job_id)
            if record is None or record.state is not JobState.QUEUED:
                return False
            self._store.finish(job_id, JobState.CANCELLED, error=error)
            future = self._futures.pop(job_id, None)
        if future is not None:
            future.set_exception(error)
        return True

    def close(self, reason: str = "Easel is stopping; send the request again when it is back.") -> None:
        """Refuse new jobs, answer the waiting ones with ``Busy(reason)`` and let the workers go."""
        with self._changed:
            self._closed = reason
            waiting = self._store.ids(JobState.QUEUED)
            futures = [self._futures.pop(job_id, None) for job_id in waiting]
            for job_id in waiting:
                self._store.finish(job_id, JobState.CANCELLED, error=Busy(reason))
            self._changed.notify_all()
        for future in futures:
            if future is not None:
                future.set_exception(Busy(reason))

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
            return self._futures.pop(job_id, None)
