"""Where jobs are kept. One protocol; here the store in memory, beside it the durable one."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace
from typing import Any, Protocol

from modules.errors import Busy
from modules.jobs.job import CALL, Job, JobRecord, JobState, TaskIdInUse
from modules.jobs.line import Line, Place


class JobStore(Protocol):
    """Keeps jobs and their states. Called by one thread at a time: the queue holds a lock around it."""

    def add(self, job: Job) -> None:
        """Put ``job`` in the line. ``Busy`` when full, ``TaskIdInUse`` for a living id."""

    def take(self, calls_only: bool = False) -> Job | None:
        """The next job, which now counts as running; ``None`` when none may begin.

        ``calls_only`` passes over everything that paints.
        """

    def finish(
        self, job_id: str, state: JobState, result: Any = None, error: BaseException | None = None
    ) -> None:
        """Move a queued or running job to the final ``state``."""

    def put_back(self, job_id: str) -> None:
        """Let a running job wait again, to be started from the beginning by the next run of the program."""

    def survives(self, job_id: str) -> bool:
        """Whether a living job is kept when the program stops in good order."""

    def place(self, job_id: str) -> Place | None:
        """Where a waiting job stands."""

    def set_priority(self, job_id: str, priority: int) -> None:
        """Change the priority of a waiting job."""

    def move(self, job_id: str, position: int) -> None:
        """Give a waiting job the place number ``position`` in the line, 0 being the next."""

    def hold(self, job_id: str, held: bool) -> None:
        """Let a waiting job be passed over, or no longer."""

    def get(self, job_id: str) -> JobRecord | None:
        """What is known of a job, ``None`` when it is unknown or long forgotten."""

    def ids(self, *states: JobState) -> tuple[str, ...]:
        """Ids of the jobs in ``states``: waiting ones in queue order, ended ones by time of ending."""

    def close(self) -> None:
        """Let go of files. Later calls keep nothing for the next start."""


class MemoryJobStore:
    """Jobs in memory, on bounded shelves.

    At most ``max_queued`` jobs of one client wait, and four times as many in all. Of the ended ones the
    last ``keep_finished`` are remembered (the reference remembers 16), and of these only the last
    ``keep_results`` with their pictures.
    """

    def __init__(self, max_queued: int = 1000, keep_finished: int = 16, keep_results: int = 4) -> None:
        self._max_queued = max_queued
        self._keep_finished = keep_finished
        self._keep_results = keep_results
        self._line = Line()
        self._jobs: dict[str, Job] = {}
        self._living: OrderedDict[str, JobRecord] = OrderedDict()
        self._ended: OrderedDict[str, JobRecord] = OrderedDict()

    def add(self, job: Job) -> None:
        """See ``JobStore``."""
        self._refuse(job)
        self._place(job, self._line.add(job.id, job.client, job.priority, held=job.held))

    def _place(self, job: Job, place: Place, attempts: int = 0) -> None:
        self._jobs[job.id] = job
        self._living[job.id] = JobRecord(
            job.id,
            job.kind,
            JobState.QUEUED,
            job.created,
            client=job.client,
            priority=place.priority,
            held=place.held,
            attempts=attempts,
        )

    def _refuse(self, job: Job) -> None:
        if job.id in self._living:
            raise TaskIdInUse(f"Task id {job.id!r} belongs to a job that has not ended; choose another id.")
        own = self._line.waiting_of(job.client)
        if own >= self._max_queued:
            raise Busy(f"{own} jobs of yours are waiting already, which is the limit; try again later.")
        if len(self._line) >= 4 * self._max_queued:
            raise Busy(f"{len(self._line)} jobs are waiting already, which is the limit; try again later.")

    def take(self, calls_only: bool = False) -> Job | None:
        """See ``JobStore``."""
        for place in self._line:
            job = self._jobs[place.id]
            if not place.held and (job.kind == CALL or not calls_only):
                self._line.serve(place.id)
                return self._begin(job)
        return None

    def _begin(self, job: Job) -> Job:
        record = self._living[job.id]
        self._living[job.id] = replace(
            record, state=JobState.RUNNING, started=time.time(), attempts=record.attempts + 1
        )
        return self._jobs.pop(job.id)

    def finish(
        self, job_id: str, state: JobState, result: Any = None, error: BaseException | None = None
    ) -> None:
        """See ``JobStore``."""
        self._line.remove(job_id)
        self._jobs.pop(job_id, None)
        record = self._living.pop(job_id, None)
        if record is None:
            return  # put back already: the program ends
        self._ended.pop(job_id, None)
        self._ended[job_id] = replace(record, state=state, finished=time.time(), result=result, error=error)
        while len(self._ended) > self._keep_finished:
            self._ended.popitem(last=False)
        with_results = [key for key, ended in self._ended.items() if ended.result is not None]
        for key in with_results[: max(0, len(with_results) - self._keep_results)]:
            self._ended[key] = replace(self._ended[key], result=None)

    def put_back(self, job_id: str) -> None:
        """There is no next run for what is kept in memory: the job is gone."""
        self._living.pop(job_id, None)

    def survives(self, job_id: str) -> bool:
        """See ``JobStore``."""
        return False

    def place(self, job_id: str) -> Place | None:
        """See ``JobStore``."""
        return self._line.place(job_id) if job_id in self._line else None

    def set_priority(self, job_id: str, priority: int) -> None:
        """See ``JobStore``."""
        self._replaced(self._line.set_priority(job_id, priority))

    def move(self, job_id: str, position: int) -> None:
        """See ``JobStore``."""
        for place in self._line.move(job_id, position):
            self._replaced(place)

    def hold(self, job_id: str, held: bool) -> None:
        """See ``JobStore``."""
        place = self._line.place(job_id)
        place.held = held
        self._replaced(place)

    def _replaced(self, place: Place) -> None:
        record = self._living[place.id]
        self._living[place.id] = replace(record, priority=place.priority, held=place.held)

    def get(self, job_id: str) -> JobRecord | None:
        """See ``JobStore``."""
        return self._living.get(job_id) or self._ended.get(job_id)

    def ids(self, *states: JobState) -> tuple[str, ...]:
        """See ``JobStore``."""
        waiting = [place.id for place in self._line] if JobState.QUEUED in states else []
        others = [*self._living.values(), *self._ended.values()]
        rest = [one.id for one in others if one.state in states and one.state is not JobState.QUEUED]
        return tuple(waiting + rest)

    def close(self) -> None:
        """Nothing to let go of."""
