"""The state is the monitor of the sampler and keeps the names that extensions use."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from modules.jobs.state import State
from modules.sampling.monitor import Monitor, SamplingInterrupted
from tests.jobs.fakes import Gate
from tests.paths import CONTRACT, HAVE_CONTRACT


def picture(latent: Any, _settings: Any) -> Image.Image:
    """A picture that tells which latent it was made from."""
    return Image.new("RGB", (1, 1), (latent, 0, 0))


def preview_settings(enabled: bool = True, period: int = 1) -> SimpleNamespace:
    return SimpleNamespace(live_previews_enable=enabled, show_progress_every_n_steps=period)


def begun(decoder: Callable[[Any, Any], Image.Image | None], settings: Any = None) -> State:
    state = State(decoder)
    state.begin("job", settings=settings or preview_settings())
    state.begin_job(1)
    state.begin_sampling(20)
    return state


def report(state: State, step: int) -> None:
    state.step(step)
    state.latent(step)


def join_previews() -> None:
    """Wait for decoders that are not held up by a gate."""
    for thread in threading.enumerate():
        if thread.name == "easel-preview":
            thread.join(60)


def shown(state: State) -> int | None:
    """The step whose latent the present preview was made from."""
    state.do_set_current_image()
    image = state.current_image
    return image.getpixel((0, 0))[0] if image else None  # type: ignore[index, return-value]


@pytest.mark.skipif(not HAVE_CONTRACT, reason="needs the contract beside the checkout")
def test_every_name_of_the_reference_is_there() -> None:
    facts = json.loads((CONTRACT / "extension_api.json").read_text("utf-8"))["shared"]["State"]
    state = State()
    public = [name for name in facts["attributes"] if not name.startswith("_")]
    for name in public:
        assert hasattr(state, name), name
    for name in public:
        if name not in ("server_start", "time_start"):
            assert getattr(state, name) == facts["attributes"][name], name
    for name in facts["methods"]:
        assert callable(getattr(state, name)), name
    assert state.need_restart is False and state.server_command is None


def test_state_is_a_monitor() -> None:
    monitor: Monitor = State()
    monitor.check()


def test_dict_has_the_fields_of_the_reply() -> None:
    state = State()
    assert list(state.dict()) == [
        "skipped",
        "interrupted",
        "stopping_generation",
        "job",
        "job_count",
        "job_timestamp",
        "job_no",
        "sampling_step",
        "sampling_steps",
    ]


def test_begin_and_end_frame_a_job() -> None:
    state = begun(picture)
    state.textinfo = "loading"
    state.interrupt()
    state.step(3)
    assert state.job == "job" and len(state.job_timestamp) == 14
    state.end()
    assert state.dict() | {"job_timestamp": ""} == State().dict() | {"job_timestamp": ""}
    assert state.textinfo is None and state.current_image is None


def test_job_count_of_a_script_stands() -> None:
    state = State()
    state.begin("grid")
    state.job_count = 12
    state.begin_job(1)
    assert state.job_count == 12


def test_check_leaves_the_sampler() -> None:
    state = begun(picture)
    state.check()
    state.skip()
    with pytest.raises(SamplingInterrupted):
        state.check()
    state.next_job()
    state.check()
    state.interrupt()
    state.nextjob()
    with pytest.raises(SamplingInterrupted):
        state.check()


def test_nothing_is_decoded_while_nobody_looks() -> None:
    calls: list[Any] = []
    state = begun(lambda latent, _settings: calls.append(latent))
    for step in range(20):
        report(state, step)
    state.next_job()
    state.end()
    assert calls == []


def test_newest_latent_is_shown() -> None:
    state = begun(picture)
    for step in range(1, 8):
        report(state, step)
    assert shown(state) == 7
    assert state.id_live_preview == 1 and state.current_image_sampling_step == 7
    report(state, 9)
    assert shown(state) == 9
    assert state.id_live_preview == 2


def test_settings_of_the_job_reach_the_decoder() -> None:
    seen: list[Any] = []
    settings = preview_settings()
    state = begun(lambda _latent, given: seen.append(given), settings)
    report(state, 5)
    state.do_set_current_image()
    assert seen == [settings]


def test_same_latent_is_decoded_once() -> None:
    calls: list[Any] = []
    state = begun(lambda latent, _settings: calls.append(latent))
    report(state, 5)
    for _ in range(3):
        state.do_set_current_image()
    assert calls == [5]


def test_period_is_kept_and_counts_anew_in_each_run() -> None:
    state = begun(picture, preview_settings(period=10))
    report(state, 9)
    assert shown(state) is None
    report(state, 10)
    assert shown(state) == 10
    report(state, 19)
    assert shown(state) == 10
    state.next_job()
    assert shown(state) == 19
    report(state, 9)
    assert shown(state) == 19
    report(state, 11)
    assert shown(state) == 11


def test_period_of_minus_one_shows_only_ended_runs() -> None:
    state = begun(picture, preview_settings(period=-1))
    report(state, 15)
    assert shown(state) is None
    state.next_job()
    assert shown(state) == 15


def test_previews_can_be_switched_off() -> None:
    state = begun(picture, preview_settings(enabled=False))
    report(state, 15)
    assert shown(state) is None


def test_hanging_decoder_blocks_neither_sampler_nor_the_next_job() -> None:
    gate = Gate()

    def hang(latent: Any, _settings: Any) -> Image.Image:
        if latent == 1:
            gate.pass_through()
        return picture(latent, None)

    state = begun(hang)
    report(state, 1)
    state.set_current_image()
    assert gate.reached.wait(60)
    for step in range(2, 20):
        report(state, step)
        state.set_current_image()
    state.next_job()
    state.end()
    state.begin("next", settings=preview_settings())
    report(state, 8)
    assert shown(state) == 8
    gate.opened.set()
    join_previews()
    assert shown(state) == 8, "the late picture of the old job must not appear in the next"
    assert state.id_live_preview == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [ValueError("torn"), SystemExit(1)])
def test_decoder_that_fails_costs_previews_of_this_job_only(
    error: BaseException,
) -> None:
    broken = [True]

    def decode(latent: Any, _settings: Any) -> Image.Image:
        if broken[0]:
            raise error
        return picture(latent, None)

    state = begun(decode)
    report(state, 3)
    assert shown(state) is None
    join_previews()
    broken[0] = False
    report(state, 4)
    assert shown(state) is None
    state.end()
    state.begin("next", settings=preview_settings())
    report(state, 5)
    assert shown(state) == 5


def test_latent_is_let_go_at_the_end() -> None:
    state = begun(picture)
    state.current_latent = 5
    assert state.current_latent == 5
    state.end()
    assert state.current_latent is None


def test_extension_may_show_its_own_picture() -> None:
    state = begun(picture)
    own = Image.new("RGB", (2, 2))
    state.assign_current_image(own)
    assert state.current_image is own and state.id_live_preview == 1


def test_server_commands_wake_who_waits() -> None:
    state = State()
    got: list[str | None] = []
    thread = threading.Thread(target=lambda: got.append(state.wait_for_server_command()))
    thread.start()
    state.request_restart()
    thread.join(60)
    assert got == ["restart"]
    assert state.server_command is None
    assert state.wait_for_server_command(0) is None
    state.need_restart = True
    assert state.server_command == "restart"
