"""The refiner: when it takes over, what it leaves behind, and what is loaded."""

from __future__ import annotations

import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.api.infotext import TXT2IMG_ENTRIES
from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.store import ModelStore
from modules.devices.policy import DevicePolicy
from modules.errors import NotFound
from modules.options.settings import default_options
from modules.processing.infotext_overrides import overrides_from_params
from modules.processing.infotext_parsing import parse_infotext
from tests.golden.cases import ROOT

HIRES = {"enable_hr": True, "denoising_strength": 0.6, "hr_scale": 1.5}
BASE, OTHER = "tiny-sd1", "warped"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """A store of one place and two checkpoints: the reference's, and the same with a stronger UNet."""
    folder = tmp_path_factory.mktemp("checkpoints")
    source = ROOT / "models" / "Stable-diffusion" / f"{BASE}.safetensors"
    weights = load_file(source)
    key = "model.diffusion_model.middle_block.1.transformer_blocks.0.ff.net.2.weight"
    weights[key] = weights[key] * 8
    save_file(weights, folder / f"{OTHER}.safetensors")
    shutil.copy(source, folder)
    for name in (BASE, OTHER):
        shutil.copy(source.with_suffix(".yaml"), folder / f"{name}.yaml")
    catalogue = CheckpointCatalogue([folder], HashStore(tmp_path_factory.mktemp("hashes")))
    catalogue.refresh()
    return ModelStore(catalogue, DevicePolicy(torch.device("cpu")))


def same(one, other) -> bool:
    return one.images[0].tobytes() == other.images[0].tobytes()


def test_from_the_start_it_paints_alone(paint):
    for share in (0.0, None):
        refined = paint(refiner_checkpoint=OTHER, refiner_switch_at=share)
        assert same(refined, paint(sets={"sd_model_checkpoint": OTHER}))
        assert f"Model: {BASE}, " in refined.infotexts[0]
        assert f"Refiner: {OTHER} [" in refined.infotexts[0]


def test_never_reached_it_is_not_loaded_and_not_named(paint, engine):
    plain = paint()
    refined = paint(refiner_checkpoint=OTHER, refiner_switch_at=1.0)
    assert same(refined, plain)
    assert refined.infotexts == plain.infotexts
    assert engine.models.current.info.name_for_extra == BASE


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM", "DPM++ 2M SDE", "LCM"])
def test_half_way_it_paints_neither_picture(paint, sampler):
    fields = {"sampler_name": sampler, "steps": 6}
    base, other = paint(**fields), paint(**fields, sets={"sd_model_checkpoint": OTHER})
    refined = paint(**fields, refiner_checkpoint=OTHER, refiner_switch_at=0.5)
    assert not same(refined, base)
    assert not same(refined, other)
    assert "Refiner switch at: 0.5" in refined.infotexts[0]
    assert same(paint(**fields), base)


def test_a_refiner_that_is_the_model_changes_nothing(paint):
    plain = paint()
    refined = paint(refiner_checkpoint=BASE, refiner_switch_at=0.5)
    assert same(refined, plain)
    assert refined.infotexts == plain.infotexts


def test_counted_in_steps(paint):
    sets = {"refiner_switch_by_sample_steps": True}
    assert "Refiner switch by sampling steps: True" in paint(sets=sets).infotexts[0]
    refined = paint(sets=sets, steps=4, refiner_checkpoint=OTHER, refiner_switch_at=0.75)
    assert "Refiner switch by sampling steps: True, Refiner: " in refined.infotexts[0]
    late = paint(sets=sets, steps=4, refiner_checkpoint=OTHER, refiner_switch_at=0.76)
    assert "Refiner:" not in late.infotexts[0]


def test_the_pass_of_hires_fix_that_it_works_in(paint):
    fields = {**HIRES, "refiner_checkpoint": OTHER, "refiner_switch_at": 0.5, "steps": 3}
    pictures = {}
    for which in ("first pass", "second pass", "both passes"):
        result = paint(sets={"hires_fix_refiner_pass": which}, **fields)
        assert (f"Hires refiner: {which}" in result.infotexts[0]) == (which != "second pass")
        assert "Refiner switch at: 0.5" in result.infotexts[0]
        pictures[which] = result.images[0].tobytes()
    plain = paint(**{**fields, "refiner_checkpoint": None})
    assert len({*pictures.values(), plain.images[0].tobytes()}) == 4


def test_a_checkpoint_of_its_own_for_the_second_pass(paint):
    result = paint(**HIRES, hr_checkpoint_name=OTHER)
    assert f"Hires checkpoint: {OTHER} [" in result.infotexts[0]
    assert not same(result, paint(**HIRES))
    everything = paint(**HIRES, sets={"sd_model_checkpoint": OTHER})
    assert not same(result, everything)


def test_a_checkpoint_is_read_once_a_job(paint, engine, caplog):
    engine.models.unload()
    with caplog.at_level(logging.INFO):
        paint(n_iter=3, refiner_checkpoint=OTHER, refiner_switch_at=0.5, do_not_save_grid=True)
    loaded = [line for line in caplog.messages if line.startswith("Loaded ")]
    assert len(loaded) == 2


def test_an_unknown_refiner_is_refused_before_anything_is_loaded(paint, engine):
    engine.models.unload()
    with pytest.raises(NotFound, match="'gone'"):
        paint(refiner_checkpoint="gone", refiner_switch_at=0.5)
    assert engine.models.current is None


@pytest.mark.parametrize("name", ["", "None", "none"])
def test_names_for_no_refiner(paint, name):
    assert same(paint(refiner_checkpoint=name, refiner_switch_at=0.1), paint())


def test_tiling_reaches_the_refiner_and_ends_with_the_job(paint, engine):
    fields = {"refiner_checkpoint": OTHER, "refiner_switch_at": 0.0}
    tiled = paint(**fields, tiling=True)
    assert same(tiled, paint(sets={"sd_model_checkpoint": OTHER}, tiling=True))
    assert same(paint(**fields), paint(sets={"sd_model_checkpoint": OTHER}))


@pytest.mark.parametrize(
    "sets", [{}, {"hires_fix_refiner_pass": "both passes", "refiner_switch_by_sample_steps": True}]
)
def test_a_picture_is_painted_again_from_the_names_in_its_text(paint, sets):
    fields = {**HIRES, "steps": 3, "refiner_switch_at": 0.5}
    result = paint(**fields, refiner_checkpoint=OTHER, hr_checkpoint_name=OTHER, sets=sets)
    options = default_options()
    entries = parse_infotext(result.infotexts[0])
    rows = overrides_from_params(entries, options, options.view(), TXT2IMG_ENTRIES)
    # The second pass has the refiner's checkpoint already, so only the first pass may name a refiner.
    names = {"hr_checkpoint_name": entries["Hires checkpoint"], "refiner_checkpoint": entries.get("Refiner")}
    again = paint(**fields, **names, sets={row.setting: row.value for row in rows})
    assert same(again, result)
    assert again.infotexts == result.infotexts
    assert ("Refiner" in entries) == bool(sets)
