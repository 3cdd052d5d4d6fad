"""Textual inversion files of every form, and the catalogue of a folder of them."""

from __future__ import annotations

import base64
import json
import os
import pickle
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from modules.checkpoints.embedding_images import TEXT_KEY, hidden_bytes, random_bytes, read_image
from modules.checkpoints.embeddings import EmbeddingCatalogue, EmbeddingVectors, read_vectors
from modules.checkpoints.hashes import HashStore
from modules.errors import ModelFileError, NonFiniteError
from tests.checkpoints.files import write_safetensors

SD1, SDXL = {"clip_l": 6}, {"clip_l": 6, "clip_g": 8}


def vectors(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def as_json(name: str, tensor: Tensor) -> bytes:
    data = {"string_to_param": {"*": {"TORCHTENSOR": tensor.tolist()}}, "name": name, "step": 7}
    return json.dumps(data).encode()


def write_text_picture(path: Path, name: str, tensor: Tensor) -> Path:
    info = PngInfo()
    info.add_text(TEXT_KEY, base64.b64encode(as_json(name, tensor)).decode())
    Image.new("RGB", (32, 32), "white").save(path, pnginfo=info)
    return path


def write_pixel_picture(path: Path, name: str, tensor: Tensor, height: int = 40) -> Path:
    """As trainers write it: blocks of half bytes left and right, each beside a black column."""
    packed = zlib.compress(as_json(name, tensor))
    columns = -(-len(packed) // (height * 3))
    size = columns * height * 3
    data = np.frombuffer(packed + bytes(size - len(packed)), dtype=np.uint8)
    states, state = [], 0
    for _ in range(size):
        state = (1664525 * state + 1013904223) % 2**32
        states.append(state % 255 & 0x0F)
    mask = np.array(states, dtype=np.uint8)
    blocks = [((half ^ mask) | 0x10).reshape(height, columns, 3) for half in (data & 0x0F, data >> 4)]
    black = np.zeros((height, 1, 3), dtype=np.uint8)
    picture = np.full((height, 24, 3), 0x55, dtype=np.uint8)
    both = np.concatenate([blocks[0], black, picture, black, blocks[1]], axis=1)
    Image.fromarray(both).save(path)
    return path


def catalogue_of(folder: Path, enabled: bool = True) -> EmbeddingCatalogue:
    catalogue = EmbeddingCatalogue(folder, HashStore(None, enabled=enabled))
    catalogue.refresh()
    return catalogue


def test_forms_of_files(tmp_path: Path) -> None:
    one, two = vectors(3, 6), vectors(3, 8)
    torch.save({"string_to_param": {"*": one}, "name": "other", "step": 5}, tmp_path / "plain.pt")
    torch.save({"<token>": one[0]}, tmp_path / "library.bin")
    write_safetensors(tmp_path / "safe.safetensors", {"emb_params": one})
    write_safetensors(tmp_path / "large.safetensors", {"clip_l": one, "clip_g": two})
    write_text_picture(tmp_path / "text.png", "from text", one)
    write_pixel_picture(tmp_path / "pixels.png", "from pixels", one)
    Image.new("RGB", (16, 16), "white").save(tmp_path / "plain.preview.png")
    Image.new("RGB", (16, 16), "white").save(tmp_path / "holiday.png")
    (tmp_path / "empty.pt").touch()
    catalogue = catalogue_of(tmp_path)
    assert list(catalogue.files) == ["from pixels", "from text", "large", "library", "plain", "safe"]
    for name in ("plain", "safe", "from text", "from pixels"):
        found = catalogue.read(name)
        assert found is not None
        torch.testing.assert_close(found.vectors("clip_l"), one)
        assert found.fits(SD1)
        assert not found.fits(SDXL)
    plain, library, large = (catalogue.read(name) for name in ("plain", "library", "large"))
    assert plain is not None
    assert plain.step == 5
    assert library is not None
    assert library.vector_count == 1
    assert large is not None
    assert large.fits(SDXL)
    assert not large.fits(SD1)
    assert large.shape == 14
    torch.testing.assert_close(large.vectors("clip_g"), two)
    fitting, others = catalogue.sorted_by_fit(SD1)
    assert [one.name for one in others] == ["large"]
    assert len(fitting) == 5


def test_the_short_hash_is_twelve_digits_of_the_whole_file(tmp_path: Path) -> None:
    import hashlib

    path = write_safetensors(tmp_path / "one.safetensors", {"emb_params": vectors(1, 6)})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert catalogue_of(tmp_path).shorthash("one") == digest[:12]
    assert catalogue_of(tmp_path, enabled=False).shorthash("one") is None
    assert catalogue_of(tmp_path).shorthash("two") is None


def test_hostile_and_damaged_files_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Run:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "bad.pt").write_bytes(pickle.dumps(Run()))
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    torch.save({"string_to_param": {"*": torch.full((1, 6), float("nan"))}}, tmp_path / "nan.pt")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    catalogue = catalogue_of(tmp_path)
    assert [catalogue.read(name) for name in ("bad", "broken", "nan")] == [None] * 3
    assert not (tmp_path / "ran").exists()
    assert all(name in caplog.text for name in ("bad", "broken", "nan", "system"))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, ModelFileError),
        ({"a": torch.zeros(1, 2), "b": torch.zeros(1, 2)}, ModelFileError),
        ({"string_to_param": {"*": "text"}}, ModelFileError),
        ({"string_to_param": {"*": torch.zeros(0, 4)}}, ModelFileError),
        ({"string_to_param": {"*": torch.zeros(1, 2, 3)}}, ModelFileError),
        ({"clip_l": torch.zeros(1, 2), "clip_g": torch.zeros(2, 2)}, ModelFileError),
        ({"<t>": torch.tensor([float("inf")])}, NonFiniteError),
    ],
)
def test_other_tables_are_refused(data: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match="strange"):
        read_vectors(data, "strange")


def test_the_catalogue_sees_new_and_changed_files(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"emb_params": vectors(1, 6)})
    catalogue = catalogue_of(tmp_path)
    version = catalogue.version
    catalogue.refresh_if_changed()
    assert catalogue.version == version
    time.sleep(0.02)
    write_safetensors(tmp_path / "b.safetensors", {"emb_params": vectors(2, 6)})
    catalogue.refresh_if_changed()
    assert list(catalogue.files) == ["a", "b"]
    assert catalogue.version > version
    write_safetensors(tmp_path / "b.safetensors", {"emb_params": vectors(5, 6)})
    catalogue.refresh()
    found = catalogue.read("b")
    assert found is not None
    assert found.vector_count == 5


def test_names_cost_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        (tmp_path / f"word{number}.pt").write_bytes(b"x")
    monkeypatch.setattr("modules.checkpoints.embeddings.EmbeddingFile.read", None)
    assert len(catalogue_of(tmp_path).files) == 300


def test_no_folder_means_no_embeddings() -> None:
    catalogue = EmbeddingCatalogue(None, HashStore(None))
    catalogue.refresh_if_changed()
    assert not catalogue.files


def test_the_mask_is_the_known_sequence() -> None:
    state, expected = 0, []
    for _ in range(1000):
        state = (1664525 * state + 1013904223) % 2**32
        expected.append(state % 255)
    assert random_bytes(1000).tolist() == expected


def test_ordinary_pictures_hide_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    noise[:, 10] = 0
    noise[:, 20] = 0
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    assert read_image(path) is None
    assert hidden_bytes(np.zeros((4, 4, 3), dtype=np.uint8)) is None


def test_a_vector_of_one_encoder_serves_whichever_there_is() -> None:
    one = EmbeddingVectors("one", {"": vectors(2, 6)})
    assert one.vectors("clip_l") is one.vectors("clip_g")
    assert one.fits({"clip_g": 6})
    assert not one.fits({"clip_g": 7})
