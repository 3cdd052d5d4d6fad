"""Faces: which files are missing, where a face goes and comes back, what is done about bad networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modules.errors import ModelFileError, NonFiniteError, NotFound
from modules.faces.alignment import STANDARD_LANDMARKS, cut_face, face_matrix, paste_face, soft_mask
from modules.faces.registry import FaceRestorers
from modules.faces.restoring import FaceNetworks, find_landmarks, restore_faces

LANDMARKS = STANDARD_LANDMARKS * 0.25 + 30
"""A face of 128 pixels at (30, 30)."""


def picture(width: int = 200, height: int = 180) -> Image.Image:
    generator = np.random.default_rng(0)
    rough = Image.fromarray(generator.integers(0, 255, (9, 10, 3), dtype=np.uint8))
    return rough.resize((width, height), Image.Resampling.BICUBIC)


def networks(repair: Any, landmarks: np.ndarray | None = LANDMARKS) -> FaceNetworks:
    """Fakes around a real way: one face at known places, all of it skin."""

    def detect(pixels: np.ndarray) -> np.ndarray:
        if landmarks is None:
            return np.zeros((0, 15))
        scale = min(pixels.shape[:2]) / 180
        return np.concatenate([np.zeros(5), (landmarks * scale).ravel()])[None]

    return FaceNetworks(detect, lambda face: np.ones((512, 512), dtype=np.int64), repair, torch.device("cpu"))


def test_a_face_goes_to_its_standard_place_and_back() -> None:
    pixels = np.asarray(picture())
    matrix = face_matrix(LANDMARKS)
    moved = LANDMARKS @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(moved - STANDARD_LANDMARKS).max() < 1e-6
    back = paste_face(pixels, cut_face(pixels, matrix), np.ones((512, 512), dtype=np.float32), matrix)
    assert np.abs(back.astype(int) - pixels.astype(int)).mean() < 2


def test_the_mask_is_soft_and_empty_at_the_border() -> None:
    classes = np.zeros((512, 512), dtype=np.int64)
    classes[100:400, 100:400] = 1
    classes[200:210, :] = 16
    mask = soft_mask(classes)
    assert (mask[0].max(), mask[:, -1].max()) == (0, 0)
    assert mask[300, 300] > 0.95
    assert 0 < mask[300, 98] < 1
    assert not soft_mask(np.full((512, 512), 18, dtype=np.int64)).any()


def test_only_the_face_changes() -> None:
    source = picture()
    done = restore_faces(source, networks(lambda face, weight: -face), None, lambda: None)
    before, after = np.asarray(source).astype(int), np.asarray(done).astype(int)
    assert np.abs(before - after)[:25].max() == 0
    assert np.abs(before - after)[165:].max() == 0
    assert np.abs(before - after)[80:110, 80:110].mean() > 10


def test_a_network_that_changes_nothing_leaves_the_picture() -> None:
    source = picture()
    done = restore_faces(source, networks(lambda face, weight: face), None, lambda: None)
    assert np.abs(np.asarray(source).astype(int) - np.asarray(done).astype(int)).mean() < 1


def test_the_weight_reaches_the_network() -> None:
    seen: list[float | None] = []

    def repair(face: torch.Tensor, weight: float | None) -> torch.Tensor:
        seen.append(weight)
        return face

    restore_faces(picture(), networks(repair), 0.25, lambda: None)
    assert seen == [0.25]


def test_without_a_face_the_picture_stays() -> None:
    source = picture()
    done = restore_faces(source, networks(lambda face, weight: -face, None), None, lambda: None)
    assert done.tobytes() == source.tobytes()


def test_tiny_faces_are_left_alone() -> None:
    tiny = STANDARD_LANDMARKS * 0.01 + 50
    assert find_landmarks(np.asarray(picture()), networks(lambda face, weight: face, tiny).detect) == []


def test_nan_is_an_error_and_no_black_face() -> None:
    with pytest.raises(NonFiniteError, match="face restorer"):
        restore_faces(picture(), networks(lambda face, weight: face * float("nan")), None, lambda: None)


def test_interrupt_is_seen_before_each_face() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_faces(picture(), networks(lambda face, weight: face), None, stop)


def test_the_first_missing_file_is_named_with_place_and_address(tmp_path: Path) -> None:
    folders = {"gfpgan_dir": tmp_path / "GFPGAN", "codeformer_dir": tmp_path / "Codeformer"}
    faces = FaceRestorers(folders)
    assert faces.names == ("CodeFormer", "GFPGAN")
    with pytest.raises(ModelFileError, match=r"GFPGAN needs the file gfpgan\*\.pth.*https://"):
        faces.check("GFPGAN")
    folders["gfpgan_dir"].mkdir()
    (folders["gfpgan_dir"] / "GFPGANv1.4.pth").touch()
    with pytest.raises(ModelFileError, match="detection_Resnet50_Final"):
        faces.check("GFPGAN")
    for name in ("detection_Resnet50_Final.pth", "parsing_parsenet.pth"):
        (folders["gfpgan_dir"] / name).touch()
    assert faces.check("GFPGAN").network.name == "GFPGANv1.4.pth"
    with pytest.raises(ModelFileError, match="CodeFormer needs"):
        faces.check("CodeFormer")
    with pytest.raises(NotFound, match="CodeFormer, GFPGAN"):
        faces.check("Magic")
