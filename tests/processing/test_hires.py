"""Hires fix from request to files, with the small reference checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from modules.api.infotext import TXT2IMG_ENTRIES
from modules.errors import InvalidInput, NotFound
from modules.processing.infotext_parsing import parse_infotext
from modules.sampling.monitor import NullMonitor

HIRES = {"enable_hr": True, "denoising_strength": 0.6, "hr_scale": 1.5}


class Counts(NullMonitor):
    """Counts runs, and raises a stop flag at a model call."""

    def __init__(self, stop_at: int = 0, flag: str = "interrupted") -> None:
        super().__init__()
        self.stop_at, self.flag = stop_at, flag
        self.announced = self.runs = self.checks = 0

    def begin_job(self, job_count: int) -> None:
        self.announced = job_count

    def next_job(self) -> None:
        self.runs += 1
        self.skipped = False

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            setattr(self, self.flag, True)
        super().check()


def difference(one: Any, other: Any) -> int:
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


def test_size_text_and_facts(paint):
    monitor = Counts()
    result = paint(monitor, **HIRES, n_iter=2, do_not_save_grid=True)
    assert [image.size for image in result.images] == [(96, 96)] * 2
    assert (result.info["width"], result.info["height"]) == (64, 64)
    assert "Size: 64x64, " in result.infotexts[0]
    assert "Denoising strength: 0.6, RNG: CPU, Hires upscale: 1.5, Version" in result.infotexts[0]
    assert (monitor.announced, monitor.runs) == (4, 4)


@pytest.mark.parametrize("upscaler", ["Latent", "Latent (nearest-exact)", "Lanczos", "None"])
def test_a_picture_of_a_batch_is_the_one_painted_alone(paint, upscaler):
    fields = {**HIRES, "hr_upscaler": upscaler, "do_not_save_grid": True}
    batch, alone = paint(**fields, batch_size=2), paint(**fields, seed=2)
    assert difference(batch.images[1], alone.images[0]) <= 1
    assert f"Hires upscaler: {upscaler}," in alone.infotexts[0]


def test_sides_that_are_no_multiple_of_eight_are_cut_to_cells(paint):
    for upscaler in ("Latent", "Lanczos"):
        result = paint(**{**HIRES, "hr_resize_x": 101, "hr_resize_y": 77}, hr_upscaler=upscaler, steps=1)
        assert result.images[0].size == (96, 72)
        assert "Hires resize: 101x77" in result.infotexts[0]


def test_a_given_picture_takes_the_place_of_the_first_pass(paint):
    fields = {**HIRES, "hr_upscaler": "Lanczos"}
    first, both = paint(), paint(**fields)
    again = paint(**fields, firstpass_image=first.images[0], width=512, height=512)
    assert again.images[0].tobytes() == both.images[0].tobytes()
    assert "Original Size: 512x512" in again.infotexts[0]
    assert "Size: 64x64" in again.infotexts[0]


def test_a_given_picture_is_enlarged_as_a_latent_too(paint):
    fields = {**HIRES, "n_iter": 2, "do_not_save_grid": True}
    first, other = paint().images[0], paint(seed=9).images[0]
    result = paint(**fields, firstpass_image=first)
    assert [image.size for image in result.images] == [(96, 96)] * 2
    assert difference(*result.images) > 3  # each seed has its own noise
    assert difference(result.images[0], paint(**fields, firstpass_image=other).images[0]) > 3
    assert paint(**fields, firstpass_image=first.convert("RGBA")).images[1].tobytes() == (
        result.images[1].tobytes()
    )


def test_interrupted_in_the_first_pass_the_first_picture_is_kept_and_not_saved(paint):
    result = paint(Counts(2), **HIRES, steps=10, n_iter=2)
    assert [image.size for image in result.images] == [(64, 64)]
    assert result.saved == []


def test_interrupted_in_the_second_pass_the_large_picture_is_kept(paint):
    monitor = Counts(24)
    result = paint(monitor, **HIRES, steps=10)
    assert [image.size for image in result.images] == [(96, 96)]
    assert monitor.runs == 2


def test_skipping_ends_both_passes_of_the_batch_alone(paint):
    result = paint(Counts(2, "skipped"), **HIRES, n_iter=2, do_not_save_grid=True)
    assert [image.size for image in result.images] == [(64, 64), (96, 96)]
    assert len(result.saved) == 1


@pytest.mark.parametrize("upscaler", ["Latent", "Nearest"])
def test_the_first_picture_is_saved_when_wanted(paint, upscaler):
    result = paint(sets={"save_images_before_highres_fix": True}, **HIRES, hr_upscaler=upscaler)
    assert [path.name for path in result.saved] == ["00000-1-before-highres-fix.png", "00001-1.png"]
    assert len(result.images) == 1
    quiet = paint(
        sets={"save_images_before_highres_fix": True}, **HIRES, hr_upscaler=upscaler, do_not_save_samples=True
    )
    assert quiet.saved == []


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"hr_upscaler": "Giga"}, InvalidInput, "'Giga'.*Latent \\(bicubic\\)"),
        ({"hr_sampler_name": "Eular"}, NotFound, "'Eular'"),
        ({"hr_scheduler": "Fast"}, NotFound, "'Fast'"),
        ({"hr_checkpoint_name": "gone"}, NotFound, "'gone'"),
    ],
)
def test_unknown_names_are_refused_before_any_painting(paint, engine, fields, error, words):
    engine.models.unload()
    with pytest.raises(error, match=words):
        paint(**HIRES, **fields)
    assert engine.models.current is None


@pytest.mark.parametrize(
    "same",
    [
        {"hr_sampler_name": "Use same sampler", "hr_scheduler": "Use same scheduler"},
        {"hr_sampler_name": "Euler", "hr_checkpoint_name": "Use same checkpoint"},
        {"hr_prompt": "a cat", "hr_cfg": 7.0, "hr_second_pass_steps": 0},
    ],
)
def test_as_in_the_first_pass(paint, same):
    plain, named = paint(**HIRES), paint(**HIRES, **same)
    assert plain.images[0].tobytes() == named.images[0].tobytes()
    assert plain.infotexts == named.infotexts


def test_old_behaviour_takes_width_and_height_as_the_final_size(paint):
    result = paint(sets={"use_old_hires_fix_width_height": True}, **HIRES, steps=1, width=128, height=64)
    assert result.images[0].size == (128, 64)
    assert "Size: 768x384" in result.infotexts[0]
    assert "Hires resize: 128x64" in result.infotexts[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"hr_upscaler": "None", "hr_prompt": 'dog, wet: "yes"', "hr_negative_prompt": "cat", "hr_cfg": 4.5},
        {"hr_sampler_name": "DPM++ 2M", "hr_scheduler": "Karras", "hr_second_pass_steps": 3},
        {"hr_resize_x": 112, "hr_resize_y": 80, "hr_upscaler": "Latent (bicubic)"},
    ],
)  # fmt: skip
def test_a_picture_is_painted_again_from_its_text(paint, fields):
    result = paint(**{**HIRES, "hr_upscaler": "Latent", **fields})
    entries = parse_infotext(result.infotexts[0])
    request = {name: entries[entry] for entry, name in TXT2IMG_ENTRIES.items() if entry in entries}
    whole = ("seed", "steps", "width", "height", "hr_second_pass_steps", "hr_resize_x", "hr_resize_y")
    real = ("cfg_scale", "hr_cfg", "denoising_strength", "hr_scale")
    request |= {name: int(request[name]) for name in whole if name in request}
    request |= {name: float(request[name]) for name in real if name in request}
    again = paint(**request, enable_hr=True)
    assert again.images[0].tobytes() == result.images[0].tobytes()
    assert again.infotexts == result.infotexts


@pytest.mark.parametrize("stop", [0, 3])
def test_tiling_leaves_the_model_as_it_was(paint, engine, stop):
    plain = paint(**HIRES)
    tiled = paint(Counts(stop), **HIRES, tiling=True)
    assert tiled.images[0].tobytes() != plain.images[0].tobytes()
    networks = (engine.models.current.unet, engine.models.current.vae)
    layers = [layer for net in networks for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert {layer.padding_mode for layer in layers} == {"zeros"}


def test_token_merging_of_the_second_pass_alone(paint):
    plain = paint(**HIRES)
    merged = paint(sets={"token_merging_ratio_hr": 0.5}, **HIRES)
    assert difference(plain.images[0], merged.images[0]) > 3
    assert "Token merging ratio hr: 0.5" in merged.infotexts[0]
    assert "Token merging ratio:" not in merged.infotexts[0]
    assert paint(**HIRES).images[0].tobytes() == plain.images[0].tobytes()


def test_first_pass_conditions_change_nothing_without_networks(paint):
    plain = paint(**HIRES)
    early = paint(sets={"hires_fix_use_firstpass_conds": True}, **HIRES)
    assert early.images[0].tobytes() == plain.images[0].tobytes()
