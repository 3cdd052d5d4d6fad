"""Jobs in which the scripts of the tutorial extension take part."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import modules.processing as public
from modules.errors import InvalidInput
from modules.extensions.arguments import ScriptNotFound, script_arguments
from modules.extensions.current import HOST
from modules.extensions.host import ExtensionHost
from modules.launcher.extensions import ExtensionChoice
from modules.options.settings import default_options
from modules.processing.engine import Engine
from modules.processing.facade import from_request, to_request
from modules.processing.request import GenerationRequest, Img2ImgRequest, Txt2ImgRequest
from modules.processing.result import Processed
from modules.processing.script_hooks import Stage
from modules.processing.scripted import NoStage, paint_with_scripts
from modules.sampling.monitor import NullMonitor
from tests.paths import DATA

SMALL = {"prompt": "a cat", "seed": 1, "steps": 2, "width": 64, "height": 64, "sampler_name": "Euler"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExtensionHost]:
    """The host of the process with the tutorial loaded: its callbacks register there."""
    path = list(sys.path)
    empty = tmp_path_factory.mktemp("program")
    HOST.ledger.failures.clear()  # of other tests in this process
    HOST.attach(empty, DATA / "extensions", empty / "builtin", ExtensionChoice)
    HOST.load_scripts()
    HOST.initialize_scripts()
    HOST.build_inputs()
    assert not HOST.ledger.failures, [str(one) for one in HOST.ledger.failures]
    yield HOST
    HOST.unload()
    HOST.attach(empty, empty, empty / "builtin", ExtensionChoice)
    HOST.ledger.failures.clear()
    sys.path[:] = path


@pytest.fixture
def seen(host: ExtensionHost) -> list[Any]:
    helper = sys.modules["scripts.tutorial_helper"]
    helper.SEEN.clear()
    return helper.SEEN


@pytest.fixture
def stage(engine: Engine, host: ExtensionHost) -> Callable[..., Stage]:
    def make(**sets: Any) -> Stage:
        view = default_options().view({"sd_model_checkpoint": "tiny-sd1", "randn_source": "CPU", **sets})
        return Stage(engine, view, NullMonitor(), host)

    return make


@pytest.fixture
def scripted(host: ExtensionHost, stage: Callable[..., Stage]) -> Callable[..., Processed]:
    def run(request: GenerationRequest, **sets: Any) -> Processed:
        runner = host.img2img if isinstance(request, Img2ImgRequest) else host.txt2img
        values = script_arguments(runner, request.script_name, request.script_args, request.alwayson_scripts)
        return paint_with_scripts(request, stage(**sets), runner, values)

    return run


def names(seen: list[Any]) -> list[str]:
    return list(dict.fromkeys(hook for hook, _ in seen))


def test_hooks_are_called_in_the_order_of_the_contract(
    scripted: Callable[..., Processed], seen: list[Any], paint: Callable[..., Processed]
) -> None:
    result = scripted(Txt2ImgRequest(**SMALL, batch_size=2))
    assert names(seen) == [
        "setup",
        "before_process",
        "process",
        "before_process_batch",
        "after_extra_networks_activate",
        "process_batch",
        "process_before_every_sampling",
        "cfg_denoiser",
        "cfg_denoised",
        "cfg_after_cfg",
        "post_sample",
        "postprocess_batch",
        "postprocess_batch_list",
        "postprocess_image",
        "postprocess_image_after_composite",
        "before_image_saved",
        "image_saved",
        "postprocess",
    ]
    facts = dict(seen)
    assert facts["process"]["seeds"] == [1, 2] and facts["postprocess"]["count"] == len(result.images)
    assert facts["cfg_denoiser"] == {"step": 0, "of": 2, "rows": 4}
    plain = paint(batch_size=2)
    assert result.infotexts == plain.infotexts and result.info["all_seeds"] == plain.info["all_seeds"]
    for one, other in zip(result.images, plain.images, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other)), "scripts that change nothing cost nothing"


def test_a_script_changes_prompt_texts_picture_and_file(
    scripted: Callable[..., Processed], seen: list[Any]
) -> None:
    plain = scripted(Txt2ImgRequest(**SMALL, alwayson_scripts={"Tutorial": {"args": [True, "red", 0]}}))
    assert plain.info["prompt"] == "a cat, red"
    assert "Tutorial words: red" in plain.infotexts[0] and "Tutorial picture: number 0" in plain.infotexts[0]
    assert plain.info["extra_generation_params"]["Tutorial words"] == "red"
    inverted = scripted(Txt2ImgRequest(**SMALL, alwayson_scripts={"tutorial": {"args": [True, "red", 1]}}))
    total = np.asarray(plain.images[0]).astype(int) + np.asarray(inverted.images[0])
    assert np.all(total == 255)
    with Image.open(inverted.saved[0]) as stored:
        assert stored.info["tutorial"] == "was here" and "Tutorial words: red" in stored.info["parameters"]


def test_a_chosen_script_paints_as_often_as_it_likes(
    scripted: Callable[..., Processed], seen: list[Any]
) -> None:
    result = scripted(Txt2ImgRequest(**SMALL, script_name="tutorial: TWICE", script_args=[5]))
    assert len(result.images) == 2 and "Seed: 1," in result.infotexts[0] and "Seed: 6," in result.infotexts[1]
    assert len(result.saved) == 2


def test_second_pass_and_img2img_have_their_hooks(
    scripted: Callable[..., Processed], seen: list[Any]
) -> None:
    scripted(
        Txt2ImgRequest(**SMALL, enable_hr=True, hr_scale=2, hr_upscaler="Latent", denoising_strength=0.7)
    )
    order = [hook for hook, _ in seen]
    assert order.count("before_hr") == 1 and order.count("process_before_every_sampling") == 2
    assert order.count("process_batch") == 1 and order.count("post_sample") == 1
    assert order.index("before_hr") > order.index("process_before_every_sampling")
    seen.clear()
    picture = Image.new("RGB", (64, 64), "teal")
    mask = Image.new("L", (64, 64), 255)
    scripted(Img2ImgRequest(**SMALL, init_images=[picture], mask=mask))
    assert {"on_mask_blend", "postprocess_image", "process"} <= set(names(seen))


def test_a_script_that_fails_everywhere_is_named_and_the_picture_comes(
    host: ExtensionHost, scripted: Callable[..., Processed], seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = next(one for one in host.txt2img.alwayson_scripts if one.title() == "Tutorial")
    hooks = [name for name, _ in seen] or ["before_process", "process", "process_batch", "postprocess_image"]

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise ZeroDivisionError("on purpose")

    for name in hooks:
        monkeypatch.setattr(script, name, fail)
    before = len(host.ledger.failures)
    result = scripted(Txt2ImgRequest(**SMALL))
    assert len(result.images) == 1
    failed = host.ledger.failures[before:]
    assert [one.hook.split()[0] for one in failed] == hooks
    assert {one.extension for one in failed} == {"tutorial"}
    assert all("after" in str(one) for one in failed)
    del host.ledger.failures[before:]


def test_what_process_changes_is_checked_again(
    host: ExtensionHost, scripted: Callable[..., Processed], seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = next(one for one in host.txt2img.alwayson_scripts if one.title() == "Tutorial")
    monkeypatch.setattr(script, "process", lambda p, *_: setattr(p, "width", 128))
    assert scripted(Txt2ImgRequest(**SMALL)).images[0].size == (128, 64)
    monkeypatch.setattr(script, "process", lambda p, *_: setattr(p, "width", -8))
    with pytest.raises(InvalidInput, match="width"):
        scripted(Txt2ImgRequest(**SMALL))


def test_core_functions_are_looked_up_when_called(
    scripted: Callable[..., Processed], seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = public.process_images_inner, []
    monkeypatch.setattr(public, "process_images_inner", lambda p: calls.append(p) or usual(p))
    scripted(Txt2ImgRequest(**SMALL))
    assert len(calls) == 1


def test_unknown_scripts_and_too_many_arguments_are_refused(host: ExtensionHost) -> None:
    with pytest.raises(ScriptNotFound, match="'nope' not found"):
        script_arguments(host.txt2img, "nope")
    with pytest.raises(ScriptNotFound):
        script_arguments(host.txt2img, None, [], {"Tutorial: twice": {}})
    with pytest.raises(InvalidInput, match="takes 3"):
        script_arguments(host.txt2img, None, [], {"tutorial": {"args": [1, 2, 3, 4]}})
    with pytest.raises(InvalidInput, match="a list"):
        script_arguments(host.txt2img, "tutorial: twice", "text")
    assert script_arguments(host.txt2img) == [0, False, "", 0, 1]


def test_process_images_outside_of_a_job_is_one_sentence() -> None:
    with pytest.raises(NoStage, match="outside of a job"):
        public.process_images(public.StableDiffusionProcessingTxt2Img(prompt="x"))


def test_a_request_survives_the_way_through_p() -> None:
    request = Txt2ImgRequest(**SMALL, styles=["one"], override_settings={"eta": 1}, hr_prompt="big", eta=0.5)
    assert to_request(from_request(request)) == request
    other = Img2ImgRequest(init_images=[Image.new("RGB", (8, 8))], mask=Image.new("L", (8, 8)), mask_blur_x=2)
    again = to_request(from_request(other))
    assert isinstance(again, Img2ImgRequest) and again.mask is other.mask and again.blur == other.blur
    p = from_request(request)
    p.anything_at_all = Path("x")  # type: ignore[attr-defined]
    assert p.scripts is None and p.anything_at_all == Path("x")  # type: ignore[attr-defined]
