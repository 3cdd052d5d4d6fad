"""Which VAE goes with a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.vae_files import VaeFiles
from modules.errors import NotFound


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    checkpoints, vaes = tmp_path / "Stable-diffusion", tmp_path / "VAE"
    for path in (checkpoints / "model.safetensors", vaes / "good.safetensors", vaes / "deep" / "other.pt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (vaes / "notes.txt").write_text("not a VAE")
    return checkpoints, vaes


@pytest.fixture
def info(folders):
    return CheckpointInfo.for_file(folders[0] / "model.safetensors", folders[0])


def files(folders, forced=None) -> VaeFiles:
    found = VaeFiles([folders[1]], [folders[0]], forced)
    found.refresh()
    return found


def test_names_come_from_all_folders(folders):
    assert files(folders).names == ("good.safetensors", "other.pt")


def test_a_named_setting_wins(folders, info):
    assert files(folders).choose(info, "other.pt") == folders[1] / "deep" / "other.pt"


def test_automatic_and_none_take_the_baked_one(folders, info):
    assert files(folders).choose(info, "Automatic") is None
    assert files(folders).choose(info, "None") is None
    assert files(folders).choose(info, "auto") is None


def test_a_file_that_begins_with_the_name_of_the_checkpoint_is_automatic(folders, info):
    beside = folders[0] / "model.vae.safetensors"
    beside.write_bytes(b"x")
    found = files(folders)
    assert found.choose(info, "Automatic") == beside
    assert found.choose(info, "None") is None
    assert found.choose(info, "good.safetensors", overrides_preferences=False) == beside


def test_the_note_on_the_card_of_the_checkpoint(folders, info):
    (folders[0] / "model.json").write_text(json.dumps({"vae": "good.safetensors"}))
    assert files(folders).choose(info, "Automatic") == folders[1] / "good.safetensors"


def test_a_damaged_card_changes_nothing(folders, info):
    (folders[0] / "model.json").write_text("{")
    assert files(folders).choose(info, "Automatic") is None


def test_the_flag_wins_over_everything(folders, info):
    forced = folders[1] / "good.safetensors"
    assert files(folders, forced).choose(info, "other.pt") == forced


def test_an_unknown_name_is_told_with_the_known_ones(folders, info):
    with pytest.raises(NotFound, match=r"good\.safetensors, other\.pt"):
        files(folders).choose(info, "gone.pt")


def test_a_new_file_is_found_without_a_refresh(folders, info):
    found = files(folders)
    (folders[1] / "new.pt").write_bytes(b"x")
    assert found.choose(info, "new.pt") == folders[1] / "new.pt"
