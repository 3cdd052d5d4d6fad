"""Stopping a task by its id reaches it in the line and in work."""

from __future__ import annotations

import pytest

from modules.jobs.control import end_task, skip_task, stop_task_after_batch
from modules.jobs.job import Job, JobCancelled
from modules.jobs.queue import JobQueue
from modules.jobs.state import State
from modules.jobs.worker import Worker
from tests.jobs.fakes import Gate, StepPainter


def test_verbs_find_the_task() -> None:
    gate = Gate()
    queue, state = JobQueue(), State()
    worker = Worker(queue, state, {"paint": StepPainter(runs=2, gates={(0, 1): gate})})
    running = queue.submit(Job(id="running", kind="paint", request=None))
    second, third = (queue.submit(Job(id=name, kind="paint", request=None)) for name in ("second", "third"))
    worker.start()
    assert gate.reached.wait(60)
    assert end_task(queue, state, "second")
    assert stop_task_after_batch(queue, state, "third")
    assert not skip_task(queue, state, "third")
    assert skip_task(queue, state, "running")
    gate.opened.set()
    assert running.result(60) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3)]
    for future in (second, third):
        with pytest.raises(JobCancelled):
            future.result(0)
    for verb in (end_task, skip_task, stop_task_after_batch):
        assert not verb(queue, state, "running")
        assert not verb(queue, state, "unknown")
    assert worker.stop(60)


def test_interrupt_just_after_the_click_is_not_lost() -> None:
    """Whatever moment the verb meets, in the line, between, or in work, the job ends before its last step."""
    for round_number in range(50):
        queue, state = JobQueue(), State()
        gate = Gate()
        worker = Worker(queue, state, {"paint": StepPainter(gates={(0, 2): gate})})
        worker.start()
        future = queue.submit(Job(id="a", kind="paint", request=None))
        assert end_task(queue, state, "a"), round_number
        gate.opened.set()
        error = future.exception(60)
        assert isinstance(error, JobCancelled) or (0, 3) not in future.result(60)
        assert worker.stop(60)
