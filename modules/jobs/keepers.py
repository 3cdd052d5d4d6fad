"""What becomes of finished jobs: an entry in the history, and pictures on disk for who comes back."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from modules.jobs import events
from modules.jobs.events import Events
from modules.jobs.history import History
from modules.jobs.job import Job, JobCancelled, JobState
from modules.jobs.journal import Journal
from modules.jobs.spool import Spool
from modules.jobs.worker import Keeper
from modules.processing.result import Processed

_log = logging.getLogger(__name__)


def journal_keepers(journal: Journal, hub: Events) -> tuple[Keeper, ...]:
    """The keepers that the files of ``journal`` ask for."""
    keepers: list[Keeper] = []
    if journal.history is not None:
        keepers.append(HistoryKeeper(journal.history))
    if journal.spool is not None:
        keepers.append(SpoolKeeper(journal.spool, hub))
    return tuple(keepers)


class HistoryKeeper:
    """Enters finished pictures in the history. A history that cannot be written costs no picture."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __call__(self, job: Job, result: Any, error: BaseException | None) -> None:
        """See ``Keeper``."""
        if error is None and isinstance(result, Processed):
            try:
                self._history.add(job, result)
            except sqlite3.Error as problem:
                _log.error("The pictures of job %s are not in the history: %s.", job.id, problem)


class SpoolKeeper:
    """Writes the outcome of jobs whose client comes back for it, and tells of each picture."""

    def __init__(self, spool: Spool, hub: Events) -> None:
        self._spool = spool
        self._events = hub

    def __call__(self, job: Job, result: Any, error: BaseException | None) -> None:
        """See ``Keeper``."""
        if not job.spool:
            return
        if error is not None:
            state = JobState.CANCELLED if isinstance(error, JobCancelled) else JobState.FAILED
            self._spool.keep_error(job, state.value, error)
            return
        for number in range(self._spool.keep(job, result)):
            self._events.publish(job.id, events.IMAGE, number=number)
