"""Networks of a job: tags, settings, infotext, and pictures without residue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.checkpoints.hashes import HashStore
from modules.checkpoints.network_folders import NetworkFolders
from modules.errors import InvalidInput
from modules.options.settings import default_options
from modules.processing.engine import Engine
from modules.processing.networks import (
    LEFT_OUT,
    LoraTag,
    NetworkShelf,
    default_tags,
    hypernetwork_tags,
    lora_tags,
    merged_hashes,
    without_loras,
)
from modules.processing.result import Processed
from modules.prompts.extra_networks import parse_extra_networks
from tests.golden.cases import ROOT

MODELS = ROOT / "models"
needs_networks = pytest.mark.skipif(
    not (MODELS / "Lora" / "tiny-lora.safetensors").is_file(), reason="the reference networks are absent"
)


@pytest.fixture
def folders(tmp_path: Path) -> NetworkFolders:
    (tmp_path / "more").mkdir()
    return NetworkFolders.at(
        (MODELS / "Lora", tmp_path / "more"),
        MODELS / "embeddings",
        MODELS / "hypernetworks",
        HashStore(tmp_path / "hashes"),
    )


@pytest.fixture
def engine(engine: Engine, folders: NetworkFolders) -> Engine:
    """The engine of the room, with the reference's networks."""
    from dataclasses import replace

    return replace(engine, networks=NetworkShelf(folders))


def tags_of(prompt: str) -> list[LoraTag]:
    return lora_tags(parse_extra_networks(prompt)[1])


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("<lora:a>", LoraTag("a", 1.0, 1.0)),
        ("<lora:a:0.5>", LoraTag("a", 0.5, 0.5)),
        ("<lyco:a:0.5:-2>", LoraTag("a", 0.5, -2.0)),
        ("<lora:a:1:1:4>", LoraTag("a", 1.0, 1.0, 4)),
        ("<lora:a:te=0:unet=0.8>", LoraTag("a", 0.0, 0.8)),
        ("<lora:a:te=0.3:dyn=2>", LoraTag("a", 0.3, 0.3, 2)),
        ("<lora:a:0.5:te=0.1>", LoraTag("a", 0.1, 0.1)),
    ],
)
def test_strengths_of_tags(tag: str, expected: LoraTag) -> None:
    assert tags_of(tag) == [expected]


def test_a_name_that_is_repeated_counts_each_time_with_its_last_strengths() -> None:
    assert tags_of("<lora:a:0.3> <lora:b:1> <lora:a:0.4>") == [
        LoraTag("a", 0.4, 0.4),
        LoraTag("b"),
        LoraTag("a", 0.4, 0.4),
    ]


@pytest.mark.parametrize("strength", ["much", "nan", "1e999", ""])
def test_strengths_that_are_no_numbers_are_named(strength: str) -> None:
    with pytest.raises(InvalidInput, match="'face' has the strength"):
        tags_of(f"<lora:face:{strength}>")
    with pytest.raises(InvalidInput, match="'face'"):
        hypernetwork_tags(parse_extra_networks(f"<hypernet:face:{strength}>")[1])


def test_kinds_are_kept_apart() -> None:
    networks = parse_extra_networks("<lora:a><hypernet:h:0.5><lyco:b>")[1]
    assert [tag.name for tag in lora_tags(networks)] == ["a", "b"]
    assert hypernetwork_tags(networks) == [("h", 0.5)]
    assert list(without_loras(networks)) == ["hypernet"]


def test_hashes_of_two_passes() -> None:
    assert merged_hashes({}, {}) == {}
    first, second = {"Lora hashes": "a: 1, b: 2"}, {"Lora hashes": "b: 2, c: 3"}
    assert merged_hashes(first, second) == {"Lora hashes": "a: 1, b: 2, c: 3"}


@needs_networks
def test_settings_add_networks_once(folders: NetworkFolders) -> None:
    view = default_options().view(
        {"sd_lora": "tiny-lora", "sd_hypernetwork": "tinyhyper", "extra_networks_default_multiplier": 0.5}
    )
    assert default_tags("a cat", view, folders) == "<hypernet:tinyhyper:0.5><lora:tiny-lora:0.5>"
    assert default_tags("a <lora:tiny-lora:2> cat", view, folders) == "<hypernet:tinyhyper:0.5>"
    gone = default_options().view({"sd_lora": "not-there"})
    assert default_tags("a cat", gone, folders) == ""


@needs_networks
def test_pictures_before_and_after_a_network_are_the_same_bytes(paint: Callable[..., Processed]) -> None:
    def bytes_of(**fields: Any) -> bytes:
        return paint(**fields).images[0].tobytes()

    plain = bytes_of()
    with_network = bytes_of(prompt="a cat <lora:tiny-lora:1> <hypernet:tinyhyper:1>")
    assert with_network != plain
    assert bytes_of(prompt="a cat <lora:tiny-locon:1>") not in (plain, with_network)
    assert bytes_of() == plain
    assert bytes_of(prompt="a cat <lora:tiny-lora:1> <hypernet:tinyhyper:1>") == with_network


@needs_networks
def test_a_network_with_nan_is_named_and_skipped(
    paint: Callable[..., Processed], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = load_file(MODELS / "Lora" / "tiny-lora.safetensors")
    next(value for key, value in tensors.items() if key.endswith("lora_up.weight"))[0] = float("nan")
    save_file(tensors, tmp_path / "more" / "poisoned.safetensors")
    (tmp_path / "more" / "damaged.safetensors").write_bytes(b"\0" * 9)
    plain = paint(prompt="a cat ")
    painted = paint(prompt="a cat <lora:poisoned:1><lora:damaged:1>")
    assert painted.images[0].tobytes() == plain.images[0].tobytes()
    assert f'{LEFT_OUT}: "poisoned (NaN), damaged (unreadable)"' in painted.infotexts[0]
    assert any("poisoned" in warning for warning in painted.warnings)
    assert "poisoned holds NaN" in caplog.text
    assert LEFT_OUT not in paint().infotexts[0]


@needs_networks
def test_a_network_of_another_family_is_noted(paint: Callable[..., Processed]) -> None:
    painted = paint(prompt="a cat <lora:tiny-sdxl-lora:1>")
    assert f"{LEFT_OUT}: tiny-sdxl-lora (misfit)" in painted.infotexts[0]
    assert "Lora hashes" in painted.infotexts[0]


@needs_networks
def test_hashes_can_be_left_out_of_the_text(paint: Callable[..., Processed]) -> None:
    prompt = "tinyemb <lora:tiny-lora:1>"
    with_hashes = paint(prompt=prompt).infotexts[0]
    assert 'Lora hashes: "tiny-lora: ed5f1fcc4dfd", TI hashes: "tinyemb: 6c6fbf2431c8"' in with_hashes
    sets = {"lora_add_hashes_to_infotext": False, "textual_inversion_add_hashes_to_infotext": False}
    assert "hashes" not in paint(prompt=prompt, sets=sets).infotexts[0]


@needs_networks
def test_networks_stay_in_memory_only_as_long_as_wanted(
    paint: Callable[..., Processed], engine: Engine
) -> None:
    shelf = engine.networks
    paint(prompt="<lora:tiny-lora:1>")
    paint(prompt="<lora:tiny-locon:1>", sets={"lora_in_memory_limit": 1})
    assert [network.name for network in shelf._loras.values()] == ["tiny-lora", "tiny-locon"]
    paint()
    assert not shelf._loras


@needs_networks
def test_a_word_of_another_family_is_an_ordinary_word(paint: Callable[..., Processed]) -> None:
    assert "TI hashes" not in paint(prompt="tinyxl").infotexts[0]


def test_no_folders_and_tags_of_nothing(paint: Callable[..., Processed]) -> None:
    plain = paint(prompt="a cat")
    tagged = paint(prompt="a cat<lora:never:1><hypernet:never:1><unknown:x>")
    assert torch.tensor(list(plain.images[0].tobytes())).equal(torch.tensor(list(tagged.images[0].tobytes())))
