"""The inspector tells what a file is from its header, and finds what is wrong with it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.checkpoints.inspect_command import main
from modules.checkpoints.inspector import inspect_file
from modules.errors import ModelFileError
from tests.paths import GOLDENS, HAVE_GOLDENS

pytestmark = pytest.mark.skipif(not HAVE_GOLDENS, reason="needs the goldens beside the checkout")

MODELS = GOLDENS / "models"
SD1 = MODELS / "Stable-diffusion" / "tiny-sd1.safetensors"


@pytest.mark.parametrize(
    ("name", "family", "prediction", "texts"),
    [
        ("tiny-sd1", "sd1", "eps", 1),
        ("tiny-sd1-inpaint", "sd1", "eps", 1),
        ("tiny-sd2-v", "sd2", "v", 1),
        ("tiny-sdxl", "sdxl", "eps", 2),
        ("tiny-sdxl-refiner", "sdxl-refiner", "eps", 1),
    ],
)
def test_checkpoints(name: str, family: str, prediction: str, texts: int) -> None:
    report = inspect_file(MODELS / "Stable-diffusion" / f"{name}.safetensors")
    assert (report.kind, report.family, report.prediction) == ("checkpoint", family, prediction)
    assert report.is_inpainting == name.endswith("inpaint")
    assert len(report.text_encoders) == texts
    assert (report.missing.count, report.extra.count, report.has_vae) == (0, 0, True)
    assert report.nonfinite is None
    assert report.problem is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("Lora/tiny-lora.safetensors", "lora"),
        ("VAE/tiny-vae.safetensors", "vae"),
        ("ESRGAN/tiny-esrgan-4x.pth", "upscaler"),
    ],
)
def test_other_kinds(path: str, kind: str) -> None:
    report = inspect_file(MODELS / path)
    assert report.kind == kind
    assert report.tensors > 0
    assert report.problem


def test_only_the_header_is_read_unless_asked(tmp_path: Path) -> None:
    """A sparse file of the right size would take long to read and is all zeros behind its header."""
    raw = SD1.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    copy = tmp_path / "zeros.safetensors"
    with copy.open("wb") as file:
        file.write(raw[: 8 + length])
        file.truncate(len(raw))
    report = inspect_file(copy)
    assert report.parameters == inspect_file(SD1).parameters
    assert report.dtypes == inspect_file(SD1).dtypes


def test_missing_extra_and_nonfinite(tmp_path: Path) -> None:
    weights = load_file(SD1)
    del weights["model.diffusion_model.out.2.bias"]
    weights["model.diffusion_model.surprise"] = torch.zeros(3)
    weights["first_stage_model.decoder.conv_in.bias"][1] = float("inf")
    save_file(weights, tmp_path / "m.safetensors", {"note": "<b>hello</b>"})
    report = inspect_file(tmp_path / "m.safetensors", weights=True, hashing=True)
    assert report.missing.names == ("model.diffusion_model.out.2.bias",)
    assert report.extra.names == ("model.diffusion_model.surprise",)
    assert report.nonfinite is not None
    assert report.nonfinite.names == ("first_stage_model.decoder.conv_in.bias",)
    assert report.metadata == {"note": "<b>hello</b>"}
    assert report.sha256 is not None
    assert "missing" in (report.problem or "")


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": {"a": Evil()}}, tmp_path / "evil.ckpt", pickle_module=pickle)
    with pytest.raises(ModelFileError):
        inspect_file(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", str(SD1)]) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "sd1"
    assert main([str(SD1), str(tmp_path / "none.safetensors")]) == 1
    shown = capsys.readouterr()
    assert "SD 1.x, predicts eps" in shown.out
    assert "none.safetensors" in shown.err
