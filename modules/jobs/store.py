"""Where jobs are kept. One protocol, one store in memory; a durable one takes its place later."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace
from typing import Any, Protocol

from modules.errors import Busy
from modules.jobs.job import Job, JobRecord, JobState, TaskIdInUse


class JobStore(Protocol):
    """Keeps jobs and their states. Called by one thread at a time: the queue holds a lock around it."""

    def add(self, job: Job) -> None:
        """Take ``job`` as the last in the line. ``Busy`` when full, ``TaskIdInUse`` for a living id."""

    def take(self) -> Job | None:
        """The oldest queued job, which now counts as running; ``None`` when none waits."""

    def finish(
        self, job_id: str, state: JobState, result: Any = None, error: BaseException | None = None
    ) -> None:
        """Move a queued or running job to the final ``state``."""

    def get(self, job_id: str) -> JobRecord | None:
        """What is known of a job, ``None`` when it is unknown or long forgotten."""

    def ids(self, *states: JobState) -> tuple[str, ...]:
        """Ids of the jobs in ``states``: living ones in queue order, ended ones by time of ending."""


class MemoryJobStore:
    """Jobs in memory, in three bounded shelves.

    At most ``max_queued`` jobs wait. Of the ended ones the last ``keep_finished`` are remembered
    (the reference remembers 16), and of these only the last ``keep_results`` with their pictures.
    """

    def __init__(self, max_queued: int = 1000, keep_finished: int = 16, keep_results: int = 4) -> None:
        self._max_queued = max_queued
        self._keep_finished = keep_finished
        self._keep_results = keep_results
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._living: OrderedDict[str, JobRecord] = OrderedDict()
        self._ended: OrderedDict[str, JobRecord] = OrderedDict()

    def add(self, job: Job) -> None:
        """See ``JobStore``."""
        if job.id in self._living:
            raise TaskIdInUse(f"Task id {job.id!r} belongs to a job that has not ended; choose another id.")
        if len(self._jobs) >= self._max_queued:
            raise Busy(f"{len(self._jobs)} jobs are waiting already, which is the limit; try again later.")
        self._jobs[job.id] = job
        self._living[job.id] = JobRecord(job.id, job.kind, JobState.QUEUED, job.created)

    def take(self) -> Job | None:
        """See ``JobStore``."""
        if not self._jobs:
            return None
        job_id, job = self._jobs.popitem(last=False)
        self._living[job_id] = replace(self._living[job_id], state=JobState.RUNNING, started=time.time())
        return job

    def finish(
        self, job_id: str, state: JobState, result: Any = None, error: BaseException | None = None
    ) -> None:
        """See ``JobStore``."""
        self._jobs.pop(job_id, None)
        record = self._living.pop(job_id)
        self._ended.pop(job_id, None)
        self._ended[job_id] = replace(record, state=state, finished=time.time(), result=result, error=error)
        while len(self._ended) > self._keep_finished:
            self._ended.popitem(last=False)
        with_results = [key for key, ended in self._ended.items() if ended.result is not None]
        for key in with_results[: max(0, len(with_results) - self._keep_results)]:
            self._ended[key] = replace(self._ended[key], result=None)

    def get(self, job_id: str) -> JobRecord | None:
        """See ``JobStore``."""
        return self._living.get(job_id) or self._ended.get(job_id)

    def ids(self, *states: JobState) -> tuple[str, ...]:
        """See ``JobStore``."""
        records = [*self._living.values(), *self._ended.values()]
        return tuple(record.id for record in records if record.state in states)
