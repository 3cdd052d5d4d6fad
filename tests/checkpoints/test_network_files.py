"""The catalogue of networks: names, aliases, hashes; and that a large folder opens no file."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
import torch

from modules.checkpoints.hashes import HashStore
from modules.checkpoints.hypernetwork_files import HypernetworkFiles
from modules.checkpoints.network_files import NetworkCatalogue
from tests.checkpoints.files import write_safetensors


def write(path: Path, alias: str | None = None, value: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"ss_output_name": alias} if alias else None
    return write_safetensors(path, {"x.alpha": torch.tensor([value])}, metadata)


def catalogue_of(*folders: Path) -> NetworkCatalogue:
    return NetworkCatalogue(folders, HashStore(None))


def test_names_are_those_of_the_files_below_all_folders(tmp_path: Path) -> None:
    write(tmp_path / "a" / "deep" / "one.safetensors")
    (tmp_path / "a" / "two.pt").write_bytes(b"x")
    (tmp_path / "a" / "notes.txt").write_bytes(b"x")
    last = write(tmp_path / "b" / "one.safetensors")
    catalogue = catalogue_of(tmp_path / "a", tmp_path / "b", tmp_path / "absent")
    assert set(catalogue.files) == {"one", "two"}
    assert catalogue.files["one"].filename == str(last)


def test_aliases_of_the_trainer_are_found_unless_they_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path / "one.safetensors", 'Löwe "Leo"')
    write(tmp_path / "two.safetensors", "same")
    write(tmp_path / "three.safetensors", "same")
    write(tmp_path / "four.safetensors", "one")
    write(tmp_path / "five.safetensors", "None")
    catalogue = catalogue_of(tmp_path)
    lion = catalogue.find('Löwe "Leo"')
    assert lion is not None
    assert (lion.name, lion.alias) == ("one", 'Löwe "Leo"')
    file_name = catalogue.find("one")
    assert file_name is not None
    assert file_name.name == "one"
    assert catalogue.find("same") is None
    assert catalogue.find("None") is None
    assert catalogue.find("never heard of") is None


def test_an_unknown_name_is_looked_for_on_disk(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path)
    assert not catalogue.files
    write(tmp_path / "late.safetensors", "later")
    assert catalogue.find("late") is not None
    assert catalogue.find("later") is not None


def test_the_hash_leaves_out_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "one.safetensors", "alias", value=3.0)
    file = catalogue_of(tmp_path).files["one"]
    body = torch.tensor([3.0]).numpy().tobytes()
    assert path.read_bytes().endswith(body)
    assert file.shorthash is None
    assert file.calculate_shorthash() == hashlib.sha256(body).hexdigest()[:12]
    assert file.shorthash == file.calculate_shorthash()
    assert file.metadata == {"ss_output_name": "alias"}


def test_hashes_come_in_the_background_and_find_their_file(tmp_path: Path) -> None:
    write(tmp_path / "one.safetensors", value=1.0)
    (tmp_path / "two.pt").write_bytes(b"pickle")
    hashes = HashStore(None)
    catalogue = NetworkCatalogue([tmp_path], hashes)
    catalogue.request_hashes()
    wanted = hashlib.sha256(b"pickle").hexdigest()[:12]
    for _ in range(500):
        if (found := catalogue.by_hash(wanted)) is not None:
            break
        time.sleep(0.01)
    assert found is not None
    assert found.name == "two"
    hashes.close()


def test_a_large_folder_is_listed_without_opening_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2000):
        (tmp_path / f"net{number}.safetensors").touch()
    monkeypatch.setattr("modules.checkpoints.network_files._output_name", None)
    monkeypatch.setattr("modules.checkpoints.network_files.read_header", None)
    catalogue = catalogue_of(tmp_path)
    assert len(catalogue.files) == 2000
    assert catalogue.find("net1234") is not None


def test_damaged_files_have_no_metadata(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 20)
    file = catalogue_of(tmp_path).files["broken"]
    assert (file.metadata, file.alias) == ({}, "broken")


def test_hypernetworks_are_listed_by_name(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.pt", "deep/a.pt", "None.pt", "c.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    files = HypernetworkFiles(tmp_path)
    assert set(files.files) == {"a", "b"}
    assert files.find("missing") is None
    (tmp_path / "missing.pt").write_bytes(b"x")
    found = files.find("missing")
    assert found is not None
    assert found.path == str(tmp_path / "missing.pt")
    assert not HypernetworkFiles(None).files
