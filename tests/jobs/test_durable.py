"""The queue on disk: nothing that was promised is lost, whatever ends the program."""

from __future__ import annotations

import sqlite3
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from modules.errors import Busy
from modules.jobs.durable import GIVEN_UP, MAX_ATTEMPTS, DurableJobStore
from modules.jobs.folder_lock import FolderInUse
from modules.jobs.job import CALL, Job, JobState
from modules.jobs.journal import FOLDER, open_journal
from modules.jobs.queue import STAYS, JobQueue
from modules.jobs.state import State
from modules.jobs.worker import Worker
from modules.options.settings import default_options
from modules.options.view import SettingsView
from modules.processing.request import Txt2ImgRequest
from modules.sampling.monitor import Monitor
from tests.jobs.fakes import Gate

OPTIONS = default_options(Namespace())


def job(name: str, **more: Any) -> Job:
    request = Txt2ImgRequest(prompt=name)
    return Job(id=name, kind="txt2img", request=request, settings=OPTIONS.view(), **more)


class Disk:
    """A file of a queue, opened anew by each ``start``; nothing of the run before is told that it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path / "queue.sqlite"

    def start(self) -> JobQueue:
        return JobQueue(DurableJobStore(self.path, SettingsView))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_waiting_jobs_go_on_after_a_kill(disk: Disk) -> None:
    queue = disk.start()
    overrides = {"CLIP_stop_at_last_layers": 3}
    settings = OPTIONS.view(overrides)
    queue.submit(
        Job(
            "a",
            "txt2img",
            Txt2ImgRequest(prompt="a kite"),
            settings,
            overrides,
            notes={"parameters": {"x": 1}},
        )
    )
    again = disk.start()
    assert again.pending == ("a",)
    taken = again.take(0)
    assert taken is not None and taken.spool
    assert taken.request.prompt == "a kite" and taken.overrides == overrides
    assert dict(taken.settings) == dict(settings) and taken.notes == {"parameters": {"x": 1}}


def test_the_running_job_is_begun_again_with_the_same_seeds(disk: Disk) -> None:
    queue = disk.start()
    for name in "abc":
        queue.submit(job(name))
    first = queue.take(0)
    assert first is not None and first.request.seed >= 0 and first.request.subseed >= 0
    again = disk.start()
    assert again.pending == ("a", "b", "c")
    second = again.take(0)
    assert second is not None and second.request == first.request
    record = again.record("a")
    assert record is not None and record.attempts == 2


def test_order_priority_and_pause_survive(disk: Disk) -> None:
    queue = disk.start()
    for number in range(6):
        queue.submit(job(f"a{number}", client="a"))
    queue.submit(job("b", client="b"))
    queue.move("a5", 0)
    queue.set_priority("a4", 7)
    queue.hold("a0")
    expected = queue.pending
    again = disk.start()
    assert again.pending == expected
    record = again.record("a0")
    assert record is not None and record.held
    assert [one.id for one in iter(lambda: again.take(0), None)] == [one for one in expected if one != "a0"]


def test_ended_jobs_do_not_come_back(disk: Disk) -> None:
    queue = disk.start()
    for name in ("done", "failed", "cancelled"):
        queue.submit(job(name))
    queue.cancel("cancelled")
    for name in ("done", "failed"):
        assert queue.take(0)
        queue.finish(name, "picture") if name == "done" else queue.fail(name, ValueError("x"))
    assert disk.start().pending == ()


def test_a_job_that_ends_the_program_is_given_up(disk: Disk) -> None:
    disk.start().submit(job("deadly"))
    for _ in range(MAX_ATTEMPTS):
        assert disk.start().take(0) is not None
    queue = disk.start()
    assert queue.take(0) is None
    record = queue.record("deadly")
    assert record is not None and record.state is JobState.FAILED and str(record.error) == GIVEN_UP
    assert disk.start().record("deadly") is None


def test_functions_and_odd_requests_live_in_memory(disk: Disk) -> None:
    queue = disk.start()
    future = queue.call(lambda: 7)
    queue.submit(Job("odd", "paint", object()))
    taken = queue.take(0)
    assert taken is not None and taken.kind == CALL
    queue.finish(taken.id, taken.request())
    assert future.result(0) == 7
    odd = queue.take(0)
    assert odd is not None and odd.id == "odd" and odd.request is not None
    assert disk.start().pending == ()


def test_orderly_stop_keeps_who_is_not_told(disk: Disk) -> None:
    queue = disk.start()
    told, kept = queue.submit(job("told", attached=True)), queue.submit(job("kept"))
    queue.close()
    queue.close_store()
    with pytest.raises(Busy, match="again"):
        told.result(0)
    with pytest.raises(Busy, match=STAYS[:30]):
        kept.result(0)
    assert disk.start().pending == ("kept",)


def test_running_job_is_kept_by_an_orderly_stop(disk: Disk) -> None:
    queue, state, gate = disk.start(), State(), Gate()

    def paint(_request: Any, _settings: Any, monitor: Monitor, /) -> str:
        monitor.begin_sampling(1)
        gate.pass_through()
        return "half a picture"

    kept: list[str] = []
    worker = Worker(queue, state, {"txt2img": paint}, keepers=[lambda one, *_: kept.append(one.id)])
    worker.start()
    future = queue.submit(job("a"))
    assert gate.reached.wait(60)
    queue.close()
    state.interrupt()
    gate.opened.set()
    assert worker.stop(60)
    queue.close_store()
    with pytest.raises(Busy):
        future.result(60)
    assert kept == []
    again = disk.start()
    assert again.pending == ("a",)
    record = again.record("a")
    assert record is not None and record.attempts == 0


def test_a_page_finds_its_job_after_a_restart(disk: Disk) -> None:
    disk.start().submit(job("mine"))
    queue = disk.start()
    future = queue.future("mine")
    assert future is not None
    assert queue.take(0)
    queue.finish("mine", "picture")
    assert future.result(0) == "picture"


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\0" + b"\xff" * 4000])
def test_damaged_file_is_set_aside(disk: Disk, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    disk.path.write_bytes(damage)
    queue = disk.start()
    queue.submit(job("a"))
    assert disk.start().pending == ("a",)
    assert len(list(disk.path.parent.glob("queue.sqlite.damaged-*"))) == 1
    assert "cannot be used" in caplog.text


def test_damaged_row_fails_its_job_and_no_other(disk: Disk) -> None:
    queue = disk.start()
    for name in "ab":
        queue.submit(job(name))
    with sqlite3.connect(disk.path) as database:
        database.execute("UPDATE job SET request = '{\"type\": 1' WHERE id = 'a'")
    queue = disk.start()
    worker = Worker(queue, State(), {"txt2img": lambda request, *_: request.prompt})
    futures = [queue.future("a"), queue.future("b")]
    worker.start()
    assert futures[0] is not None and futures[1] is not None
    with pytest.raises(Exception, match="send it again"):
        futures[0].result(60)
    assert futures[1].result(60) == "b"
    assert worker.stop(60)


def test_full_disk_costs_durability_not_the_job(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    queue = disk.start()
    queue.submit(job("before"))
    database = queue._store._database  # type: ignore[attr-defined]
    database.execute("PRAGMA query_only=1")
    queue.submit(job("after"))
    taken = [queue.take(0), queue.take(0)]
    assert [one.request.prompt for one in taken if one] == ["before", "after"]
    assert "do not survive" in caplog.text


def test_settings_are_stored_once_and_swept(disk: Disk) -> None:
    queue = disk.start()
    for number in range(50):
        queue.submit(job(str(number)))
    with sqlite3.connect(disk.path) as database:
        assert database.execute("SELECT count(*) FROM settings").fetchone() == (1,)
    for number in range(50):
        queue.cancel(str(number))
    queue.close_store()
    with sqlite3.connect(disk.path) as database:
        assert database.execute("SELECT count(*) FROM settings").fetchone() == (0,)


def test_requests_of_waiting_jobs_take_no_memory(disk: Disk) -> None:
    queue = disk.start()
    queue.submit(job("a"))
    assert queue._store._jobs["a"].request is None  # type: ignore[attr-defined]


def test_second_program_is_kept_out_of_the_folder(tmp_path: Path) -> None:
    flags = Namespace(generate=None)
    journal = open_journal(tmp_path, OPTIONS, flags)
    assert journal.lock is not None and journal.lock.held
    with pytest.raises(FolderInUse, match="runs on the data folder"):
        open_journal(tmp_path, OPTIONS, flags)
    open_journal(tmp_path, OPTIONS, Namespace(generate="one picture needs no queue"))
    journal.store.close()
    journal.close()
    again = open_journal(tmp_path, OPTIONS, flags)
    again.close()


def test_folder_that_cannot_be_used_costs_durability_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    journal = open_journal(tmp_path, OPTIONS, Namespace(generate=None))
    assert journal.history is None and journal.spool is None
    JobQueue(journal.store).submit(job("a"))
    assert "does not survive" in caplog.text
