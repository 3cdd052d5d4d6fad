"""Where one job stands, in plain words and numbers: what faces show of it."""

from __future__ import annotations

from typing import Any

from modules.jobs.job import JobRecord, JobState
from modules.jobs.progress import task_progress
from modules.jobs.queue import JobQueue
from modules.jobs.spool import Outcome, Spool
from modules.jobs.state import State


def job_status(
    job_id: str, queue: JobQueue, state: State, spool: Spool | None, now: float
) -> dict[str, Any] | None:
    """The facts of a job, ``None`` when nothing is known of it. ``now``: seconds since the epoch."""
    record = queue.record(job_id)
    outcome = kept_outcome(job_id, record, spool)
    if record is None:
        return None if outcome is None else _of_outcome(outcome)
    facts: dict[str, Any] = {
        "id": record.id,
        "kind": record.kind,
        "state": record.state.value,
        "position": None,
        "priority": record.priority,
        "paused": record.held,
        "created": record.created,
        "started": record.started,
        "finished": record.finished,
        "attempts": record.attempts,
        "progress": 1.0 if record.state is JobState.DONE else 0.0,
        "eta": None,
        "pictures": len(outcome.files) if outcome else 0,
        "error": None if record.error is None else str(record.error),
    }
    if record.state is JobState.QUEUED:
        facts["position"] = queue.position(job_id)
    elif record.state is JobState.RUNNING:
        progress = task_progress(queue, state, job_id, now)
        facts.update(progress=progress.progress or 0.0, eta=progress.eta)
    return facts


def kept_outcome(job_id: str, record: JobRecord | None, spool: Spool | None) -> Outcome | None:
    """What the spool keeps of this job, and not of an earlier one that had the same id."""
    if spool is None or (record is not None and not record.state.final):
        return None
    outcome = spool.get(job_id)
    if outcome is None or record is None or record.started is None:
        return outcome
    return outcome if outcome.finished >= record.started else None


def _of_outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.job_id,
        "kind": outcome.kind,
        "state": outcome.state,
        "position": None,
        "priority": 0,
        "paused": False,
        "created": None,
        "started": None,
        "finished": outcome.finished,
        "attempts": 1,
        "progress": 1.0 if outcome.state == JobState.DONE.value else 0.0,
        "eta": None,
        "pictures": len(outcome.files),
        "error": outcome.error or None,
    }
