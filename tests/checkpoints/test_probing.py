"""What the answer of a probe means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.conditioning import Conditioning
from modules.checkpoints.loading import load_model
from modules.checkpoints.model import DiffusionModel
from modules.checkpoints.probing import classify, probe_correlation, settle_prediction
from modules.devices.policy import DevicePolicy
from modules.errors import ModelFileError
from tests.checkpoints.files import write_tiny_sd1


@pytest.mark.parametrize(
    ("correlation", "expected"),
    [(0.99, "eps"), (0.6, "eps"), (0.5, None), (0.07, "v"), (-0.9, "v"), (float("nan"), None)],
)
def test_classes(correlation: float, expected: str | None) -> None:
    assert classify(correlation) == expected


@pytest.fixture
def model(tmp_path: Path) -> DiffusionModel:
    path = write_tiny_sd1(tmp_path / "a.safetensors")
    return load_model(CheckpointInfo.for_file(path), DevicePolicy(torch.device("cpu")))


@pytest.mark.parametrize(("v", "expected"), [(False, "eps"), (True, "v")])
def test_ideal_networks(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch, v: bool, expected: str
) -> None:
    """With a varying picture; for a flat one the v-answer is α·noise and nothing else."""
    clean = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))

    def predict(x: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        alpha, sigma = 0.068, 0.9977
        noise = (x - alpha * clean) / sigma
        return alpha * noise - sigma * clean if v else noise

    monkeypatch.setattr(model, "predict", predict)
    assert classify(probe_correlation(model)) == expected


@pytest.mark.parametrize(("family", "asks"), [("is_sd2", True), ("is_sd1", False)])
def test_an_unclear_answer_is_asked_for_or_logged(
    model: DiffusionModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    family: str,
    asks: bool,
) -> None:
    monkeypatch.setattr(model, "predict", lambda x, t, cond: torch.zeros_like(x))
    flags = {"is_sd1": False, "is_sd2": False, family: True}
    model.spec = replace(model.spec, prediction_source="assumed", **flags)  # type: ignore[arg-type]
    if asks:
        with pytest.raises(ModelFileError, match=r"a\.yaml beside it.*parameterization: v"):
            settle_prediction(model)
    else:
        assert settle_prediction(model).prediction == "eps"
        assert "Noise is assumed" in caplog.text


def test_what_is_stated_is_not_questioned(model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(x: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(model, "predict", predict)
    assert model.spec.prediction_source == "metadata"
    assert settle_prediction(model) is model.spec
