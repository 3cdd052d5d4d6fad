"""The functions behind the buttons, without a browser."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.errors import OutOfMemoryError
from modules.ui.generation import Generation, request_values
from modules.ui.gradio_setup import load_gradio
from modules.ui.results import gallery_value, infotext_of
from modules.ui.seed import seed_of
from modules.ui.services import Picture
from tests.ui.fake_services import FakeServices

VALUES: dict[str, Any] = {
    "prompt": "a lighthouse",
    "negative_prompt": "",
    "styles": [],
    "sampler_name": "Euler",
    "scheduler": "Automatic",
    "steps": 3,
    "width": 64,
    "height": 64,
    "n_iter": 2,
    "batch_size": 1,
    "cfg_scale": 7,
    "seed": 5,
    "extra": False,
    "subseed": 9,
    "subseed_strength": 0.5,
    "seed_resize_from_w": 64,
    "seed_resize_from_h": 64,
}


def generation(services: FakeServices) -> Generation:
    return Generation(load_gradio(), services, services.submit_txt2img, tuple(VALUES))


def is_unchanged(update: Any) -> bool:
    return update == load_gradio().skip()


def test_variation_fields_count_only_with_extra() -> None:
    plain = request_values(tuple(VALUES), tuple(VALUES.values()))
    assert "subseed" not in plain and "extra" not in plain and plain["seed"] == 5
    extra = {**VALUES, "extra": True, "seed": None}
    given = request_values(tuple(extra), tuple(extra.values()))
    assert given["subseed_strength"] == 0.5 and given["seed_resize_from_w"] == 64
    assert "seed" not in given


def test_generate_gives_pictures_texts_and_info(services: FakeServices) -> None:
    gallery, info, html, log = asyncio.run(generation(services).generate("task(1)", *VALUES.values()))
    assert [Path(path).is_file() for path in gallery["value"]] == [True, True]
    assert json.loads(info)["all_seeds"] == [5, 6]
    assert "Seed: 6" in json.loads(info)["infotexts"][1]
    assert "Seed: 5" in html and "Time taken" in log


def test_a_failed_job_leaves_the_gallery_and_says_why(services: FakeServices) -> None:
    services.fail_next = OutOfMemoryError("A step of 2048x2048 did not fit. Use a smaller size.")
    *others, log = asyncio.run(generation(services).generate("task(1)", *VALUES.values()))
    assert all(is_unchanged(update) for update in others)
    assert "did not fit" in log and 'role="alert"' in log


def test_a_refused_job_names_the_field(services: FakeServices) -> None:
    values = {**VALUES, "width": 63}
    log = asyncio.run(generation(services).generate("task(1)", *values.values()))[-1]
    assert 'data-field="width"' in log


def test_restore_gives_the_result_of_a_running_and_of_a_finished_job(services: FakeServices) -> None:
    job = services.submit_txt2img(VALUES, "task(1)")
    actions = generation(services)
    first = asyncio.run(actions.restore("task(1)"))
    assert job.done.is_set()
    assert asyncio.run(actions.restore("task(1)"))[:3] == first[:3]


def test_restore_of_a_forgotten_job_is_a_remark(services: FakeServices) -> None:
    *others, log = asyncio.run(generation(services).restore("task(gone)"))
    assert all(is_unchanged(update) for update in others)
    assert "output folder" in log


def test_first_interrupt_is_polite_and_the_second_is_not(services: FakeServices) -> None:
    services.submit_txt2img(VALUES, "task(1)")
    actions = generation(services)
    asyncio.run(actions.interrupt("task(1)"))
    assert services.calls == ["stop_generating"]
    asyncio.run(actions.interrupt_now("task(1)"))
    assert services.calls == ["stop_generating", "interrupt"]


def test_interrupt_needs_no_thread_while_all_are_waiting(services: FakeServices) -> None:
    release = threading.Event()
    actions = generation(services)

    async def story() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(actions.waiting._max_workers):
            loop.run_in_executor(actions.waiting, release.wait)
        await actions.interrupt_now(None)
        await actions.skip(None)
        release.set()

    asyncio.run(story())
    assert services.calls == ["interrupt", "skip"]


@pytest.mark.parametrize(
    ("index", "seed"), [(-1, 10), (0, 10), (1, 10), (2, 11), (9, 11), (None, 10)], ids=str
)
def test_reuse_skips_the_grid(index: float | None, seed: int) -> None:
    info = json.dumps({"all_seeds": [10, 11], "index_of_first_image": 1})
    assert seed_of(info, index, "all_seeds") == seed


def test_reuse_before_the_first_picture() -> None:
    assert seed_of("", 0, "all_seeds") == -1
    assert seed_of("not json", 0, "all_seeds") == -1
    assert seed_of("{}", 0, "all_subseeds") == -1


def test_infotext_of_the_selected_picture() -> None:
    info = json.dumps({"infotexts": ["first", "<b>second</b>"]})
    assert infotext_of(info, -1) == "<p>first</p>"
    assert infotext_of(info, 1) == "<p>&lt;b&gt;second&lt;/b&gt;</p>"
    assert infotext_of(info, 7) == ""
    assert infotext_of("", 0) == ""


def test_unsaved_pictures_keep_their_infotext(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    saved = tmp_path / "a.png"
    image.save(saved)
    gone = tmp_path / "gone.png"
    value = gallery_value(
        [
            Picture("one", saved),
            Picture("two", None, image),
            Picture("three", gone, image),
            Picture("four", gone),
        ]
    )
    assert value[0] == str(saved)
    assert [picture.info["parameters"] for picture in value[1:]] == ["two", "three"]
    assert "parameters" not in image.info
