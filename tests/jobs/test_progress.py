"""The figures of the progress bar, by the contract's formula."""

from __future__ import annotations

import pytest

from modules.jobs.job import Job
from modules.jobs.progress import progress_of, task_progress
from modules.jobs.queue import JobQueue
from modules.jobs.state import State


def running(job_no: int = 0, job_count: int = 1, step: int = 0, steps: int = 0) -> State:
    state = State()
    state.begin("a")
    state.time_start = 100.0
    state.job_no, state.job_count = job_no, job_count
    state.sampling_step, state.sampling_steps = step, steps
    return state


def test_idle_is_zero() -> None:
    progress = progress_of(State(), 100.0)
    assert (progress.fraction, progress.eta) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("numbers", "fraction"),
    [
        ((0, 1, 0, 0), 0.01),
        ((0, 1, 10, 20), 0.51),
        ((1, 2, 0, 20), 0.51),
        ((1, 4, 10, 20), 0.01 + 0.25 + 0.125),
        ((0, -1, 10, 20), 0.01),
        ((2, 2, 20, 20), 1.0),
    ],
)
def test_fraction(numbers: tuple[int, int, int, int], fraction: float) -> None:
    assert progress_of(running(*numbers), 110.0).fraction == pytest.approx(fraction)


def test_eta_is_extrapolated() -> None:
    assert progress_of(running(0, 1, 49, 100), 110.0).eta == pytest.approx(10.0)


def test_eta_is_taken_before_the_cap() -> None:
    progress = progress_of(running(1, 1, 0, 20), 201.0)
    assert progress.fraction == 1.0
    assert progress.eta == pytest.approx(101 / 1.01 - 101)


def test_tasks_go_through_queued_active_completed() -> None:
    queue = JobQueue()
    state = running(0, 1, 5, 10)
    for name in "abc":
        queue.submit(Job(id=name, kind="paint", request=None))
    queue.take(0)
    active = task_progress(queue, state, "a", 110.0)
    assert (active.active, active.queued, active.completed) == (True, False, False)
    assert active.progress == pytest.approx(0.5) and active.eta == pytest.approx(10.0)
    waiting = task_progress(queue, state, "c", 110.0)
    assert (waiting.active, waiting.queued, waiting.completed) == (False, True, False)
    assert waiting.textinfo == "In queue: 2/2"
    assert waiting.progress is None and waiting.eta is None
    queue.finish("a", None)
    done = task_progress(queue, state, "a", 110.0)
    assert (done.active, done.queued, done.completed) == (False, False, True)


@pytest.mark.parametrize("id_task", [None, "nobody's"])
def test_unknown_task_is_nothing(id_task: str | None) -> None:
    answer = task_progress(JobQueue(), State(), id_task, 0.0)
    assert (answer.active, answer.queued, answer.completed) == (False, False, False)
    assert answer.textinfo == "Waiting..."


def test_task_just_taken_has_no_figures_of_the_job_before() -> None:
    queue = JobQueue()
    queue.submit(Job(id="b", kind="paint", request=None))
    queue.take(0)
    answer = task_progress(queue, running(0, 1, 9, 10), "b", 110.0)
    assert answer.active and answer.progress == 0.0
