"""The stop verbs for a named task, wherever it stands: in the line or in work."""

from __future__ import annotations

import time
from collections.abc import Callable

from modules.jobs.queue import JobQueue
from modules.jobs.state import State

_TURN = 0.001
"""Seconds to wait while a worker is between taking a job and beginning it."""


def end_task(queue: JobQueue, state: State, job_id: str) -> bool:
    """Cancel the task when it waits, interrupt it when it runs. False when it has ended or is unknown."""
    return queue.cancel(job_id) or _while_running(queue, job_id, state.interrupt)


def skip_task(queue: JobQueue, state: State, job_id: str) -> bool:
    """End the present batch of the task if it is the running one."""
    return _while_running(queue, job_id, state.skip)


def stop_task_after_batch(queue: JobQueue, state: State, job_id: str) -> bool:
    """Cancel the task when it waits; when it runs, let it end after its present batch."""
    return queue.cancel(job_id) or _while_running(queue, job_id, state.stop_generating)


def _while_running(queue: JobQueue, job_id: str, verb: Callable[[str], bool]) -> bool:
    while job_id in queue.running:
        if verb(job_id):
            return True
        time.sleep(_TURN)
    return False
