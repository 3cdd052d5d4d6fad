"""How far a job is and how long it will take: pure functions over the state and the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.jobs.queue import JobQueue
    from modules.jobs.state import State

BEGUN = 0.01
"""A running job is at least this far, so that a bar shows that something happens while a model loads."""


def done_fraction(job_no: int, job_count: int, sampling_step: int, sampling_steps: int) -> float:
    """Part of a job that is done, 0 and up: whole sampling runs plus the part of the running one."""
    if job_count <= 0:
        return 0.0
    fraction = job_no / job_count
    if sampling_steps > 0:
        fraction += sampling_step / sampling_steps / job_count
    return fraction


@dataclass(frozen=True)
class Progress:
    """Progress of the job in work: ``fraction`` 0..1, ``eta`` the expected seconds until its end."""

    fraction: float
    eta: float


def progress_of(state: State, now: float) -> Progress:
    """Progress as ``/sdapi/v1/progress`` counts it; 0 and 0 when nothing runs. ``now``: epoch seconds.

    The time is extrapolated before the fraction is capped at 1, as the reference does.
    """
    if state.job_count == 0 or state.time_start is None:
        return Progress(0.0, 0.0)
    fraction = BEGUN + done_fraction(state.job_no, state.job_count, state.sampling_step, state.sampling_steps)
    elapsed = max(0.0, now - state.time_start)
    return Progress(min(fraction, 1.0), elapsed / fraction - elapsed)


@dataclass(frozen=True)
class TaskProgress:
    """Progress of one task as ``/internal/progress`` tells it; ``None`` where it does not apply."""

    active: bool
    queued: bool
    completed: bool
    progress: float | None = None
    eta: float | None = None
    textinfo: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return dict(vars(self))


def task_progress(queue: JobQueue, state: State, id_task: str | None, now: float) -> TaskProgress:
    """Where task ``id_task`` stands. Unknown tasks and ``None`` are neither active, queued nor completed."""
    pending = queue.pending
    completed = id_task in queue.finished
    if id_task is None or id_task not in queue.running:
        queued = id_task in pending
        textinfo = (
            f"In queue: {pending.index(id_task) + 1}/{len(pending)}" if queued and id_task else "Waiting..."
        )
        return TaskProgress(False, queued, completed, textinfo=textinfo)
    if state.job != id_task or state.time_start is None:
        return TaskProgress(True, False, False, progress=0.0)
    fraction = done_fraction(state.job_no, state.job_count, state.sampling_step, state.sampling_steps)
    fraction = min(fraction, 1.0)
    elapsed = max(0.0, now - state.time_start)
    eta = elapsed / fraction - elapsed if fraction > 0 else None
    return TaskProgress(True, False, completed, fraction, eta, state.textinfo)
