"""The worker outlives its jobs, gives their memory back, and stops them when asked."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from modules.errors import InvalidInput, OutOfMemoryError
from modules.jobs.job import Job, JobCancelled, JobState
from modules.jobs.queue import JobQueue
from modules.jobs.state import State
from modules.jobs.worker import JobFailed, Worker
from modules.sampling.monitor import Monitor, SamplingInterrupted
from tests.jobs.fakes import Gate, StepPainter


class Bench:
    """A queue, a state and a worker whose painter calls the request."""

    def __init__(self) -> None:
        self.queue = JobQueue()
        self.state = State()
        self.reclaimed = 0
        self.steps = StepPainter()
        painters = {"run": self._run, "steps": self._steps}
        self.worker = Worker(self.queue, self.state, painters, reclaim=self._reclaim)
        self.worker.start()

    def _reclaim(self) -> None:
        self.reclaimed += 1

    def _run(self, request: Any, settings: Any, monitor: Monitor, /) -> Any:
        return request(monitor)

    def _steps(self, request: Any, settings: Any, monitor: Monitor, /) -> Any:
        return request(request, settings, monitor)

    def submit(self, name: str, request: Any, kind: str = "run") -> Any:
        return self.queue.submit(Job(id=name, kind=kind, request=request))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    assert bench.worker.stop(60)


class DeviceMemory(list[int]):
    """Stands for a tensor: a list that weak references can watch."""


class FakeDeviceError(RuntimeError):
    """Stands for the error of a device library; the worker knows it by the name given below."""


FakeDeviceError.__name__ = "OutOfMemoryError"


def test_settings_of_the_job_reach_the_painter() -> None:
    queue, state, painter = JobQueue(), State(), StepPainter()
    worker = Worker(queue, state, {"paint": painter})
    worker.start()
    queue.submit(Job(id="a", kind="paint", request="r", settings="s")).result(60)
    assert painter.seen == [("r", "s")]
    assert worker.stop(60)
    assert not worker.alive


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("broken"), ValueError),
        (InvalidInput("no", "steps"), InvalidInput),
        (MemoryError("RAM"), OutOfMemoryError),
        (FakeDeviceError("tried to allocate"), OutOfMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), OutOfMemoryError),
        (OutOfMemoryError("with the smaller plan too"), OutOfMemoryError),
        (SystemExit(3), JobFailed),
        (KeyboardInterrupt(), JobFailed),
        (RecursionError("deep"), RecursionError),
    ],
)
def test_no_error_ends_the_worker(bench: Bench, error: BaseException, kind: type[Exception]) -> None:
    def fail(_monitor: Monitor) -> None:
        raise error

    with pytest.raises(kind):
        bench.submit("bad", fail).result(60)
    assert bench.submit("good", lambda _monitor: "picture").result(60) == "picture"
    assert bench.reclaimed == 1


def test_failed_job_lets_go_of_its_memory_before_it_is_reclaimed() -> None:
    held: list[weakref.ref[DeviceMemory]] = []
    alive_at_reclaim: list[bool] = []

    def paint(_request: Any, _settings: Any, _monitor: Monitor, /) -> None:
        tensor = DeviceMemory([1])
        held.append(weakref.ref(tensor))
        try:
            raise FakeDeviceError("step")
        except FakeDeviceError as exc:
            raise ValueError("wrapped") from exc

    def reclaim() -> None:
        gc.collect()
        alive_at_reclaim.append(held[0]() is not None)

    queue, state = JobQueue(), State()
    worker = Worker(queue, state, {"paint": paint}, reclaim=reclaim)
    worker.start()
    with pytest.raises(ValueError, match="wrapped"):
        queue.submit(Job(id="a", kind="paint", request=None)).result(60)
    assert alive_at_reclaim == [False]
    assert worker.stop(60)


def test_failing_reclaim_does_not_hide_the_error_nor_end_the_worker() -> None:
    def fail(*_: Any) -> None:
        raise ValueError("the error of the job")

    def reclaim() -> None:
        raise RuntimeError("device is gone")

    queue = JobQueue()
    worker = Worker(queue, State(), {"paint": fail}, reclaim=reclaim)
    worker.start()
    for name in "ab":
        with pytest.raises(ValueError, match="the error of the job"):
            queue.submit(Job(id=name, kind="paint", request=None)).result(60)
    assert worker.stop(60)


def test_unknown_kind_is_a_sentence(bench: Bench) -> None:
    with pytest.raises(JobFailed, match="'knit'"):
        bench.submit("a", None, kind="knit").result(60)


def test_function_runs_in_turn(bench: Bench) -> None:
    gate, order = Gate(), []

    def paint(_monitor: Monitor) -> None:
        gate.pass_through()
        order.append("picture")

    bench.submit("a", paint)
    called = bench.queue.call(lambda: order.append("call"))
    assert gate.reached.wait(60)
    assert not called.done()
    gate.opened.set()
    called.result(60)
    assert order == ["picture", "call"]


def stepping(bench: Bench, painter: StepPainter, name: str = "a") -> Any:
    return bench.submit(name, lambda monitor: painter(None, None, monitor))


def test_interrupt_ends_the_job_within_one_step(bench: Bench) -> None:
    gate = Gate()
    future = stepping(bench, StepPainter(runs=3, gates={(1, 2): gate}))
    assert gate.reached.wait(60)
    assert bench.state.interrupt()
    gate.opened.set()
    assert future.result(60)[-1] == (1, 2)


def test_skip_ends_one_run_only(bench: Bench) -> None:
    gate = Gate()
    future = stepping(bench, StepPainter(runs=2, gates={(0, 1): gate}))
    assert gate.reached.wait(60)
    assert bench.state.skip()
    gate.opened.set()
    assert future.result(60) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3)]


def test_stop_after_this_image_ends_the_run_first(bench: Bench) -> None:
    gate = Gate()
    future = stepping(bench, StepPainter(runs=3, gates={(0, 1): gate}))
    assert gate.reached.wait(60)
    assert bench.state.stop_generating()
    gate.opened.set()
    assert future.result(60) == [(0, 0), (0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize("verb", ["interrupt", "skip", "stop_generating"])
def test_no_flag_leaks_into_the_next_job(bench: Bench, verb: str) -> None:
    gate = Gate()
    first = stepping(bench, StepPainter(runs=2, gates={(1, 3): gate}), "first")
    second = stepping(bench, StepPainter(runs=2), "second")
    assert gate.reached.wait(60)
    getattr(bench.state, verb)()
    gate.opened.set()
    first.result(60)
    assert len(second.result(60)) == 8


def test_verbs_reach_only_the_job_that_is_named(bench: Bench) -> None:
    gate = Gate()
    future = stepping(bench, StepPainter(gates={(0, 1): gate}))
    assert gate.reached.wait(60)
    assert not bench.state.interrupt("another")
    assert not bench.state.interrupted
    gate.opened.set()
    assert len(future.result(60)) == 4
    bench.queue.call(lambda: None).result(60)


def test_verbs_without_a_job_do_nothing() -> None:
    state = State()
    assert not state.interrupt()
    assert not state.interrupted


def test_interrupt_that_nobody_catches_is_a_cancelled_job(bench: Bench) -> None:
    def leave(_monitor: Monitor) -> None:
        raise SamplingInterrupted

    with pytest.raises(JobCancelled):
        bench.submit("a", leave).result(60)
    record = bench.queue.record("a")
    assert record and record.state is JobState.CANCELLED


def test_stopping_interrupts_the_running_job() -> None:
    gate = Gate()
    queue, state, painter = JobQueue(), State(), StepPainter(gates={(0, 0): gate})
    worker = Worker(queue, state, {"paint": painter})
    worker.start()
    future = queue.submit(Job(id="a", kind="paint", request=None))
    assert gate.reached.wait(60)
    assert not worker.stop(0)
    gate.opened.set()
    assert future.result(60) == [(0, 0)]
    assert worker.stop(60)


def test_request_is_let_go_when_the_job_is_done(bench: Bench) -> None:
    class Request:
        def __call__(self, _monitor: Monitor) -> str:
            return "picture"

    request = Request()
    watch = weakref.ref(request)
    future = bench.submit("a", request)
    assert future.result(60) == "picture"
    bench.queue.call(lambda: None).result(60)
    del request
    gc.collect()
    assert watch() is None, sys.getrefcount(watch())
