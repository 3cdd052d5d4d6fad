"""Which separate VAE goes with a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.vae_files import VaeFiles
from modules.errors import NotFound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "VAE/ten10.pt", "VAE/ten2.safetensors", "VAE/sub/deep.ckpt", "VAE/readme.txt", "VAE/photo.vae.pt",
        "models/photo.safetensors", "models/art.safetensors", "models/art.vae.safetensors",
        "models/plain.ckpt",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


@pytest.fixture
def vaes(folder: Path) -> VaeFiles:
    files = VaeFiles([folder / "VAE", folder / "absent"], [folder / "models"])
    files.refresh()
    return files


def chosen(vaes: VaeFiles, folder: Path, name: str, setting: str, overrides: bool = True) -> str | None:
    info = CheckpointInfo.for_file(next((folder / "models").glob(f"{name}.[sc]*")), folder / "models")
    path = vaes.choose(info, setting, overrides)
    return path.name if path else None


def test_names_in_natural_order_with_those_beside_checkpoints(vaes: VaeFiles) -> None:
    assert vaes.names == (
        "art.vae.safetensors", "deep.ckpt", "photo.vae.pt", "ten2.safetensors", "ten10.pt",
    )  # fmt: skip


def test_the_order_of_precedence(vaes: VaeFiles, folder: Path) -> None:
    assert chosen(vaes, folder, "photo", "Automatic") == "photo.vae.pt"
    assert chosen(vaes, folder, "art", "Automatic") == "art.vae.safetensors"
    assert chosen(vaes, folder, "plain", "Automatic") is None
    assert chosen(vaes, folder, "photo", "ten10.pt") == "ten10.pt"
    assert chosen(vaes, folder, "photo", "ten10.pt", overrides=False) == "photo.vae.pt"
    assert chosen(vaes, folder, "plain", "ten10.pt", overrides=False) == "ten10.pt"
    assert chosen(vaes, folder, "photo", "None") is None
    (folder / "models" / "photo.json").write_text(json.dumps({"vae": "deep.ckpt"}))
    assert chosen(vaes, folder, "photo", "Automatic") == "deep.ckpt"
    forced = VaeFiles([], [], folder / "VAE" / "deep.ckpt")
    assert chosen(forced, folder, "photo", "None") == "deep.ckpt"


def test_an_unknown_name_and_a_late_file(vaes: VaeFiles, folder: Path) -> None:
    with pytest.raises(NotFound, match=r"no VAE 'late.pt'. Known: .*ten2"):
        vaes.path("late.pt")
    (folder / "VAE" / "late.pt").write_bytes(b"x")
    assert vaes.path("late.pt") == folder / "VAE" / "late.pt"
