"""Readers of events never hold up who tells; kept pictures make room and come back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.jobs import events
from modules.jobs.events import BUFFER, Events, Subscription
from modules.jobs.job import Job, JobCancelled, JobRecord, JobState
from modules.jobs.keepers import SpoolKeeper
from modules.jobs.queue import JobQueue
from modules.jobs.spool import Spool
from modules.jobs.state import State
from modules.jobs.status import job_status, kept_outcome
from modules.processing.result import Processed


def kinds(reader: Subscription) -> list[str]:
    return [event.kind for event in reader.drain()]


def test_life_of_a_job_is_told_in_order() -> None:
    queue, woken = JobQueue(), []
    state = State(events=queue.events)
    reader = queue.events.subscribe(lambda: woken.append(1), "a")
    queue.submit(Job("a", "paint", "r"))
    queue.submit(Job("other", "paint", "r"))
    assert queue.take(0)
    state.begin("a")
    state.begin_sampling(2)
    state.step(0)
    queue.finish("a", "picture")
    assert kinds(reader) == ["queued", "started", "step", "done"]
    assert woken == [1], "one wake until the reader has taken what waits"
    queue.cancel("other")
    assert kinds(reader) == []
    queue.events.unsubscribe(reader)
    assert queue.events.readers == 0


def test_failure_is_told_with_its_sentence() -> None:
    queue = JobQueue()
    reader = queue.events.subscribe(lambda: None)
    for name, error in (("a", ValueError("bad")), ("b", JobCancelled("enough"))):
        queue.submit(Job(name, "paint", "r"))
        queue.take(0)
        queue.fail(name, error)
    told = reader.drain()
    assert [(one.kind, one.data["detail"]) for one in told if one.kind in events.FINAL] == [
        ("failed", "bad"),
        ("cancelled", "enough"),
    ]
    assert [one.number for one in told] == sorted({one.number for one in told})


def test_reader_that_does_not_read_has_a_bounded_buffer() -> None:
    hub = Events()
    reader = hub.subscribe(lambda: None)
    for number in range(10_000):
        hub.publish("a", events.STEP, step=number)
    for _ in range(BUFFER + 50):
        hub.publish("a", events.CHANGED)
    waiting = reader.drain()
    assert len(waiting) == BUFFER and reader.lost == 51


def test_only_the_newest_step_waits() -> None:
    hub = Events()
    reader = hub.subscribe(lambda: None)
    for number in range(100):
        hub.publish("a", events.STEP, step=number)
    assert [event.data["step"] for event in reader.drain()] == [99]


def test_closing_wakes_all_readers() -> None:
    hub, woken = Events(), []
    reader = hub.subscribe(lambda: woken.append(1))
    hub.close()
    assert reader.closed and woken
    assert hub.subscribe(lambda: None).closed


def encode(image: Image.Image, text: str | None, _settings: Any) -> bytes:
    return f"{image.size} {text}".encode()


def result(count: int = 1) -> Processed:
    images = [Image.new("RGB", (number + 1, 1)) for number in range(count)]
    return Processed(images=images, infotexts=["text"], info={"seed": 3})


def test_kept_pictures_come_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, encode)
    job = Job("task(../../x)", "txt2img", None, notes={"send_images": True})
    assert spool.keep(job, result(2)) == 2
    outcome = Spool(tmp_path, encode).get(job.id)
    assert outcome is not None and outcome.state == "done" and outcome.info == '{"seed": 3}'
    assert [file.read_bytes() for file in outcome.files] == [b"(1, 1) text", b"(2, 1) None"]
    assert outcome.notes == {"send_images": True}
    assert all(file.resolve().is_relative_to(tmp_path.resolve()) for file in outcome.files)
    assert spool.forget(job.id) and not spool.forget(job.id)
    assert spool.get(job.id) is None


def test_errors_are_kept_with_their_status(tmp_path: Path) -> None:
    spool, queue = Spool(tmp_path, encode), JobQueue()
    keep = SpoolKeeper(spool, queue.events)
    keep(Job("a", "txt2img", None, spool=True), None, JobCancelled("enough"))
    outcome = spool.get("a")
    assert outcome is not None and (outcome.state, outcome.error, outcome.status) == (
        "cancelled",
        "enough",
        409,
    )
    keep(Job("b", "txt2img", None), result(), None)
    assert spool.get("b") is None, "nobody comes back for it"


@pytest.mark.parametrize(("max_bytes", "max_jobs"), [(10**9, 3), (700, 1000)])
def test_oldest_results_make_room(tmp_path: Path, max_bytes: int, max_jobs: int) -> None:
    spool = Spool(tmp_path, lambda *_: b"x" * 100, max_bytes, max_jobs)
    for number in range(8):
        spool.keep(Job(str(number), "txt2img", None), result())
    left = [str(number) for number in range(8) if spool.get(str(number))]
    assert left and len(left) <= 3 and left[-1] == "7"


def test_damaged_facts_are_no_result(tmp_path: Path) -> None:
    spool = Spool(tmp_path, encode)
    spool.keep(Job("a", "txt2img", None), result())
    next(tmp_path.iterdir()).joinpath("facts.json").write_text("{")
    assert spool.get("a") is None


def test_result_of_an_earlier_job_of_the_same_id_is_not_shown(tmp_path: Path) -> None:
    spool = Spool(tmp_path, encode)
    spool.keep(Job("a", "txt2img", None), result())
    outcome = spool.get("a")
    assert outcome is not None
    later = outcome.finished + 1
    record = JobRecord("a", "txt2img", JobState.DONE, later, started=later, finished=later + 1)
    assert kept_outcome("a", record, spool) is None
    assert kept_outcome("a", None, spool) == outcome
    status = job_status("a", JobQueue(), State(), spool, 0.0)
    assert status is not None and status["state"] == "done" and status["pictures"] == 1
    assert job_status("unknown", JobQueue(), State(), spool, 0.0) is None
