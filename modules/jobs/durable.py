"""The durable store: what waits and what runs is on disk before the client has its answer."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from modules.errors import EaselError
from modules.jobs.database import open_database
from modules.jobs.job import CALL, Job, JobState
from modules.jobs.line import Place
from modules.jobs.serial import NotStorable, dump_plain, dump_request, dump_settings, load_plain, load_request
from modules.jobs.store import MemoryJobStore

_log = logging.getLogger(__name__)

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, running INTEGER NOT NULL DEFAULT 0,
    client TEXT NOT NULL, priority INTEGER NOT NULL, tag REAL NOT NULL, sub REAL NOT NULL,
    held INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL,
    spool INTEGER NOT NULL, request TEXT NOT NULL, settings TEXT, overrides TEXT NOT NULL, notes TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (digest TEXT PRIMARY KEY, snapshot TEXT NOT NULL);
"""

MAX_ATTEMPTS = 3
"""A job that was begun so often without an end is not begun again: it may be what ends the program."""

GIVEN_UP = f"The program ended {MAX_ATTEMPTS} times while it worked on this job, so it is not started again."


class JobGivenUp(EaselError):
    """A job that seems to end the program is not begun again."""

    status = 500


class JobUnreadable(EaselError):
    """The stored request of a job cannot be understood any more."""

    status = 500


SettingsReader = Callable[[Mapping[str, Any]], Any]
"""Values of a snapshot → settings as a painter takes them."""


class DurableJobStore(MemoryJobStore):
    """Jobs in an SQLite file, with their order and states in memory.

    Requests of waiting jobs are on disk only, so a thousand of them with pictures take no memory.
    What cannot be written, a function for instance, is kept in memory like everything else was: the
    job is done, but forgotten when the program ends. The same holds when the disk is full.
    """

    def __init__(self, path: Path, read_settings: SettingsReader, max_queued: int = 1000) -> None:
        super().__init__(max_queued)
        self._read_settings = read_settings
        self._written: set[str] = set()
        self._attached: set[str] = set()
        self._database: sqlite3.Connection | None = open_database(path, SCHEMA, VERSION)
        self._restore()

    # Writing

    def add(self, job: Job) -> None:
        """See ``JobStore``."""
        super().add(job)
        if job.kind == CALL:
            return
        try:
            row = self._row(job)
        except NotStorable as reason:
            _log.info("Job %s is kept in memory only: %s.", job.id, reason)
            return
        if self._write(_INSERT, row):
            self._written.add(job.id)
            if job.attached:
                self._attached.add(job.id)
            # Its request stays on disk until its turn comes.
            self._jobs[job.id] = replace(job, request=None, settings=None)

    def _begin(self, job: Job) -> Job:
        begun = super()._begin(job)
        if job.id not in self._written:
            return begun
        self._write("UPDATE job SET running = 1, attempts = attempts + 1 WHERE id = ?", (job.id,))
        try:
            return self._read(begun)
        except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
            return replace(begun, kind=CALL, request=_raising(error))

    def finish(
        self, job_id: str, state: JobState, result: Any = None, error: BaseException | None = None
    ) -> None:
        """See ``JobStore``."""
        super().finish(job_id, state, result, error)
        if job_id in self._written:
            self._written.discard(job_id)
            self._attached.discard(job_id)
            self._write("DELETE FROM job WHERE id = ?", (job_id,))

    def put_back(self, job_id: str) -> None:
        """See ``JobStore``. The attempt does not count: the job was not what ended the program."""
        super().put_back(job_id)
        self._write("UPDATE job SET running = 0, attempts = attempts - 1 WHERE id = ?", (job_id,))

    def survives(self, job_id: str) -> bool:
        """See ``JobStore``."""
        kept = job_id in self._written and job_id not in self._attached
        return kept and job_id in self._living and self._database is not None

    def _replaced(self, place: Place) -> None:
        super()._replaced(place)
        values = (place.priority, place.tag, place.sub, place.held, place.id)
        self._write("UPDATE job SET priority = ?, tag = ?, sub = ?, held = ? WHERE id = ?", values)

    def close(self) -> None:
        """See ``JobStore``."""
        if self._database is not None:
            self._sweep_settings()
            self._database.close()
            self._database = None

    def _row(self, job: Job) -> tuple[Any, ...]:
        place = self._line.place(job.id)
        return (
            job.id,
            job.kind,
            job.client,
            place.priority,
            place.tag,
            place.sub,
            place.held,
            job.created,
            job.spool,
            dump_request(job.request),
            None if job.settings is None else self._keep_settings(job.settings),
            dump_plain(job.overrides),
            dump_plain(job.notes),
        )

    def _keep_settings(self, settings: Mapping[str, Any]) -> str:
        """Store a snapshot once, however many jobs share it; returns its digest."""
        snapshot = dump_settings(settings)
        self._write("INSERT OR IGNORE INTO settings VALUES (?, ?)", (snapshot.digest, snapshot.text))
        return snapshot.digest

    def _write(self, statement: str, values: tuple[Any, ...]) -> bool:
        if self._database is None:
            return False
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            _log.error("The queue cannot be written (%s): new jobs do not survive a restart.", error)
            return False
        return True

    # Reading

    def _read(self, stub: Job) -> Job:
        """The whole job of a stub. Raises ``ValueError`` when its row cannot be understood."""
        assert self._database is not None
        query = (
            "SELECT request, snapshot FROM job LEFT JOIN settings ON digest = job.settings WHERE job.id = ?"
        )
        with closing(self._database.execute(query, (stub.id,))) as cursor:
            request, snapshot = cursor.fetchone()
        settings = None if snapshot is None else self._read_settings(json.loads(snapshot))
        return replace(stub, request=load_request(request), settings=settings)

    def _restore(self) -> None:
        """Take over what an earlier run of the program left, in its order; what ran is next again."""
        assert self._database is not None
        query = (
            "SELECT id, kind, client, priority, tag, sub, held, attempts, created, overrides, notes "
            "FROM job ORDER BY priority DESC, tag, sub"
        )
        for row in self._database.execute(query).fetchall():
            try:
                self._take_over(row)
            except (ValueError, KeyError, TypeError) as error:
                _log.error("Job %s of the last run cannot be read and is left out: %s", row[0], error)

    def _take_over(self, row: tuple[Any, ...]) -> None:
        job_id, kind, client, priority, tag, sub, held, attempts, created, overrides, notes = row
        place = Place(tag, sub, job_id, client, priority, bool(held))
        # Nobody is connected any more, so what comes of it is kept for who asks.
        job = Job(
            id=job_id,
            kind=kind,
            request=None,
            overrides=load_plain(overrides),
            created=created,
            client=client,
            priority=priority,
            held=bool(held),
            spool=True,
            notes=load_plain(notes),
        )
        self._line.restore(place)
        self._place(job, place, attempts)
        self._written.add(job_id)
        if attempts >= MAX_ATTEMPTS:
            self.finish(job_id, JobState.FAILED, error=JobGivenUp(GIVEN_UP))
        else:
            self._write("UPDATE job SET running = 0 WHERE id = ?", (job_id,))

    def _sweep_settings(self) -> None:
        self._write(
            "DELETE FROM settings WHERE digest NOT IN (SELECT settings FROM job WHERE settings NOT NULL)", ()
        )


_INSERT = (
    "INSERT INTO job (id, kind, client, priority, tag, sub, held, created, spool, request, settings, "
    "overrides, notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _raising(error: Exception) -> Callable[[], Any]:
    message = f"The stored request of this job cannot be read ({error!r}); send it again."

    def fail() -> Any:
        raise JobUnreadable(message)

    return fail
