"""One job from request to files."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from modules.checkpoints.model import DiffusionModel
from modules.devices.policy import DevicePolicy
from modules.errors import InvalidInput, NonFiniteError, NotFound
from modules.sampling.monitor import NullMonitor, SamplingInterrupted


class StopsAt(NullMonitor):
    """Raises one of the stop flags when a certain model call is about to happen."""

    def __init__(self, call: int, flag: str) -> None:
        super().__init__()
        self.call, self.flag, self.calls, self.runs = call, flag, 0, 0

    def check(self) -> None:
        self.calls += 1
        if self.calls == self.call:
            setattr(self, self.flag, True)
        super().check()

    def next_job(self) -> None:
        self.runs += 1
        self.skipped = False


def test_pictures_are_saved_under_the_usual_names_with_their_text(paint, engine):
    result = paint(batch_size=2, n_iter=2)
    names = [path.relative_to(engine.data_dir / "outputs").parts[0] for path in result.saved]
    assert names == ["txt2img-images"] * 4 + ["txt2img-grids"]
    assert [path.name for path in result.saved[:4]] == [f"0000{i}-{i + 1}.png" for i in range(4)]
    for path, text in zip(result.saved[:4], result.infotexts[1:], strict=True):
        assert Image.open(path).info["parameters"] == text
    assert (engine.data_dir / "params.txt").read_text() == result.infotexts[1]


def test_a_grid_comes_first_and_is_counted(paint):
    result = paint(batch_size=2)
    assert len(result.images) == 3
    assert result.index_of_first_image == 1
    assert result.images[0].size == (128, 64)
    assert json.loads(result.js())["index_of_first_image"] == 1


def test_the_same_request_gives_the_same_bytes(paint):
    first, second = paint(), paint()
    assert first.images[0].tobytes() == second.images[0].tobytes()


def test_a_picture_of_a_batch_is_the_one_painted_alone(paint):
    batch = paint(batch_size=3, do_not_save_grid=True)
    alone = paint(seed=3)
    pairs = zip(batch.images[2].getdata(), alone.images[0].getdata(), strict=True)
    assert max(abs(a - b) for p, q in pairs for a, b in zip(p, q, strict=True)) <= 1


def test_a_random_seed_is_told(paint):
    result = paint(seed=-1)
    assert result.info["seed"] >= 0
    assert f"Seed: {result.info['seed']}," in result.infotexts[0]


def test_interrupt_ends_within_one_step_and_keeps_what_is_there(paint):
    monitor = StopsAt(3, "interrupted")
    result = paint(monitor, steps=50, n_iter=3)
    assert monitor.calls == 3
    assert len(result.images) == 1
    assert result.saved == []  # save_incomplete_images is off


def test_skip_goes_on_with_the_next_batch(paint):
    monitor = StopsAt(3, "skipped")
    result = paint(monitor, steps=4, n_iter=2, do_not_save_grid=True)
    assert monitor.runs == 2
    assert len(result.images) == 2


def test_stop_after_this_batch(paint):
    monitor = StopsAt(1, "stopping_generation")
    result = paint(monitor, n_iter=3)
    assert len(result.images) == 1


def test_a_picture_that_cannot_be_saved_is_still_delivered(paint, engine):
    (engine.data_dir / "outputs").write_text("a file where a folder should be")
    result = paint()
    assert len(result.images) == 1
    assert result.saved == []
    assert "outputs" in result.warnings[0]


def test_unknown_names_are_errors_not_replacements(paint):
    with pytest.raises(NotFound, match="Euler b"):
        paint(sampler_name="Euler b")
    with pytest.raises(NotFound, match="Carras"):
        paint(scheduler="Carras")
    with pytest.raises(NotFound, match="no-such-model"):
        paint(sets={"sd_model_checkpoint": "no-such-model"})
    with pytest.raises(NotFound, match="no-such-vae"):
        paint(sets={"sd_vae": "no-such-vae.pt"})


def test_old_combined_sampler_names_are_split(paint):
    result = paint(sampler_name="DPM++ 2M Karras")
    assert "Sampler: DPM++ 2M, Schedule type: Karras," in result.infotexts[0]


def test_texts_of_a_job_without_hashes(paint, engine):
    object.__setattr__(engine, "hashing", False)
    assert "Model hash" not in paint().infotexts[0]


def test_styles_are_written_into_both_prompts(paint):
    result = paint(styles=["Tiny Photo"], negative_prompt="fog")
    assert result.info["prompt"] == "photo of a cat, sharp focus, 50mm"
    assert result.info["negative_prompt"] == "fog, blurry, (lowres:1.2)"
    assert result.info["styles"] == ["Tiny Photo"]


class TestNonFinite:
    """Half precision can overflow: the job is repeated in float32, and never ends in a black picture."""

    @pytest.fixture
    def half(self, models, monkeypatch):
        # A CPU has no use for half weights; only the policy claims to, which is what the retry looks at.
        model = models.use("tiny-sd1")
        monkeypatch.setattr(model, "policy", DevicePolicy(torch.device("cpu"), unet_dtype=torch.bfloat16))
        return model

    def test_latents_are_painted_again_in_full_precision(self, paint, half, monkeypatch):
        expected = paint().images[0].tobytes()
        whole = DiffusionModel.predict
        tried = []

        def overflow(self, x, timesteps, cond):
            tried.append(self.policy.unet_dtype)
            out = whole(self, x, timesteps, cond)
            return out * float("nan") if self.policy.unet_dtype == torch.bfloat16 else out

        monkeypatch.setattr(DiffusionModel, "predict", overflow)
        assert paint().images[0].tobytes() == expected
        assert tried == [torch.bfloat16] * 2 + [torch.float32] * 2

    def test_what_stays_non_finite_is_an_error(self, paint, half, monkeypatch):
        monkeypatch.setattr(DiffusionModel, "predict", lambda self, x, timesteps, cond: x * float("nan"))
        with pytest.raises(NonFiniteError, match=r"The latent holds .* NaN"):
            paint()

    def test_pixels_are_decoded_again_in_full_precision(self, paint, half, monkeypatch):
        expected = paint().images[0].tobytes()
        whole = DiffusionModel.decode_latent

        def overflow(self, latent, dtype=None):
            pixels = whole(self, latent, dtype)
            return pixels if dtype == torch.float32 else pixels * float("inf")

        monkeypatch.setattr(DiffusionModel, "decode_latent", overflow)
        assert paint().images[0].tobytes() == expected


def test_bad_values_cost_nothing(paint, models, monkeypatch):
    monkeypatch.setattr(models, "use", lambda *a, **k: pytest.fail("a model was asked for"))
    with pytest.raises(InvalidInput) as caught:
        paint(steps=0)
    assert caught.value.field == "steps"


def test_interrupted_is_what_check_raises():
    with pytest.raises(SamplingInterrupted):
        StopsAt(1, "interrupted").check()
