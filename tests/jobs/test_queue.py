"""First in, first out, bounded, and every waiting client gets exactly one answer."""

from __future__ import annotations

import re
import threading

import pytest

from modules.errors import Busy
from modules.jobs.job import Job, JobCancelled, JobState, TaskIdInUse, create_task_id
from modules.jobs.queue import JobQueue
from modules.jobs.store import MemoryJobStore


def job(name: str) -> Job:
    return Job(id=name, kind="paint", request=name)


def test_jobs_leave_in_the_order_they_came() -> None:
    queue = JobQueue()
    for name in "abc":
        queue.submit(job(name))
    assert queue.pending == ("a", "b", "c")
    taken = [queue.take(0) for _ in range(3)]
    assert [one.id for one in taken if one] == ["a", "b", "c"]
    assert queue.running == ("a", "b", "c")
    assert queue.take(0) is None


def test_result_reaches_who_waits() -> None:
    queue = JobQueue()
    future = queue.submit(job("a"))
    queue.take(0)
    assert not future.done()
    queue.finish("a", "picture")
    assert future.result(0) == "picture"
    record = queue.record("a")
    assert record and record.state is JobState.DONE and record.result == "picture"
    assert record.started is not None and record.finished is not None


def test_error_reaches_who_waits() -> None:
    queue = JobQueue()
    future = queue.submit(job("a"))
    queue.take(0)
    queue.fail("a", ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        future.result(0)
    record = queue.record("a")
    assert record and record.state is JobState.FAILED


def test_cancel_takes_only_waiting_jobs() -> None:
    queue = JobQueue()
    running, waiting = queue.submit(job("a")), queue.submit(job("b"))
    queue.take(0)
    assert queue.cancel("b")
    assert not queue.cancel("a")
    assert not queue.cancel("b")
    assert not queue.cancel("unknown")
    with pytest.raises(JobCancelled):
        waiting.result(0)
    assert not running.done()
    assert queue.take(0) is None
    record = queue.record("b")
    assert record and record.state is JobState.CANCELLED


def test_a_client_that_gives_up_does_not_disturb_the_worker() -> None:
    queue = JobQueue()
    future = queue.submit(job("a"))
    assert not future.cancel()
    queue.take(0)
    queue.finish("a", 1)
    assert future.result(0) == 1


def test_the_line_is_bounded() -> None:
    queue = JobQueue(MemoryJobStore(max_queued=2))
    queue.submit(job("a"))
    queue.submit(job("b"))
    with pytest.raises(Busy, match="2 jobs"):
        queue.submit(job("c"))
    queue.take(0)
    queue.submit(job("c"))


def test_a_living_id_is_not_given_twice_but_an_ended_one_may_return() -> None:
    queue = JobQueue()
    queue.submit(job("a"))
    with pytest.raises(TaskIdInUse):
        queue.submit(job("a"))
    queue.take(0)
    with pytest.raises(TaskIdInUse):
        queue.submit(job("a"))
    queue.finish("a", 1)
    queue.submit(job("a"))
    record = queue.record("a")
    assert record and record.state is JobState.QUEUED


def test_last_sixteen_ids_and_last_results_are_remembered() -> None:
    queue = JobQueue()
    for number in range(20):
        queue.submit(job(str(number)))
        queue.take(0)
        queue.finish(str(number), f"picture {number}")
    assert queue.finished == tuple(str(number) for number in range(4, 20))
    assert queue.record("3") is None
    kept = [queue.record(name) for name in queue.finished]
    assert [record.result for record in kept if record and record.result] == [
        f"picture {number}" for number in range(16, 20)
    ]


def test_closing_answers_the_waiting_and_refuses_the_new() -> None:
    queue = JobQueue()
    running, waiting = queue.submit(job("a")), queue.submit(job("b"))
    queue.take(0)
    queue.close("stopping")
    with pytest.raises(Busy, match="stopping"):
        waiting.result(0)
    with pytest.raises(Busy, match="stopping"):
        queue.submit(job("c"))
    assert queue.take(0) is None
    queue.finish("a", "still delivered")
    assert running.result(0) == "still delivered"


def test_closing_wakes_a_worker_that_waits() -> None:
    queue = JobQueue()
    got: list[Job | None] = []
    thread = threading.Thread(target=lambda: got.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(60)
    assert got == [None]


def test_many_submitters_and_takers_lose_nothing() -> None:
    queue = JobQueue(MemoryJobStore(max_queued=10_000))

    def take_all() -> None:
        while (one := queue.take()) is not None:
            queue.finish(one.id, one.request)

    takers = [threading.Thread(target=take_all) for _ in range(4)]
    answers: dict[str, str] = {}

    def submit_all(client: int) -> None:
        for number in range(50):
            name = f"{client}-{number}"
            answers[name] = queue.submit(job(name)).result(60)

    submitters = [threading.Thread(target=submit_all, args=(client,)) for client in range(8)]
    for thread in takers + submitters:
        thread.start()
    for thread in submitters:
        thread.join(60)
    queue.close()
    for thread in takers:
        thread.join(60)
    assert len(answers) == 400
    assert all(name == answer for name, answer in answers.items())


def test_task_ids_have_the_known_form() -> None:
    ids = {create_task_id("txt2img") for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"task\(txt2img-[A-Z0-9]{7}\)", one) for one in ids)


def test_abandoning_answers_who_waits_for_a_running_job() -> None:
    queue = JobQueue()
    future = queue.submit(job("a"))
    queue.take(0)
    queue.close()
    queue.abandon("left")
    with pytest.raises(Busy, match="left"):
        future.result(0)
    queue.finish("a", "late")
    with pytest.raises(Busy, match="left"):
        future.result(0)


def test_reloaded_page_finds_its_job_again() -> None:
    queue = JobQueue(MemoryJobStore(keep_results=1))
    first = queue.submit(job("a"))
    assert queue.future("a") is first
    queue.take(0)
    queue.finish("a", "picture")
    again = queue.future("a")
    assert again and again.result(0) == "picture"
    queue.submit(job("b"))
    queue.take(0)
    queue.fail("b", ValueError("torn"))
    failed = queue.future("b")
    assert failed and isinstance(failed.exception(0), ValueError)
    queue.submit(job("c"))
    queue.take(0)
    queue.finish("c", "newer")
    assert queue.future("a") is None
    assert queue.future("unknown") is None
