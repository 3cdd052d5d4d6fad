"""Live previews."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from modules.sampling.preview import latent_to_rgb
from tests.paths import DATA

MATRICES = json.loads((DATA / "sampling.json").read_text(encoding="utf-8"))["decode_matrices"]


class FakeModel:
    def __init__(self, is_sdxl: bool = False) -> None:
        self.spec = SimpleNamespace(is_sdxl=is_sdxl)

    def decode_latent(self, latent: Tensor) -> Tensor:
        return torch.full((len(latent), 3, latent.shape[2] * 8, latent.shape[3] * 8), 0.5)


@pytest.mark.parametrize(("family", "is_sdxl"), [("sd1/sd2", False), ("sdxl", True)])
def test_cheap_preview_uses_the_matrix_of_the_family(family: str, is_sdxl: bool) -> None:
    for channel in range(4):
        latent = torch.zeros(1, 4, 2, 3)
        latent[:, channel] = 1
        preview = latent_to_rgb(latent, "Approx cheap", FakeModel(is_sdxl))
        assert preview.pixels.shape == (1, 2, 3, 3)
        assert preview.pixels.dtype == torch.uint8
        expected = [int((value * 0.5 + 0.5) * 255) for value in MATRICES[family][channel]]
        assert (preview.pixels[0, 0, 0] - torch.tensor(expected)).abs().max() <= 1
        assert preview.reason is None


def test_full_preview_decodes() -> None:
    preview = latent_to_rgb(torch.zeros(2, 4, 4, 4), "Full", FakeModel())
    assert preview.pixels.shape == (2, 32, 32, 3)
    assert (preview.pixels == 191).all()


@pytest.mark.parametrize("method", ["Approx NN", "TAESD"])
def test_missing_decoders_fall_back_with_a_reason(method: str) -> None:
    preview = latent_to_rgb(torch.zeros(1, 4, 4, 4), method, FakeModel())
    assert preview.method == "Approx cheap"
    assert preview.reason
    assert method in preview.reason


def test_cost_is_bounded_for_large_latents() -> None:
    preview = latent_to_rgb(torch.zeros(1, 4, 700, 1000), "Approx cheap", FakeModel())
    assert max(preview.pixels.shape[1:3]) <= 192


def test_other_latent_spaces_and_broken_latents_show_something() -> None:
    preview = latent_to_rgb(torch.randn(1, 16, 4, 4), "Approx cheap", FakeModel())
    assert preview.pixels.shape == (1, 4, 4, 3)
    assert "16 channels" in str(preview.reason)
    broken = latent_to_rgb(torch.full((1, 4, 4, 4), torch.nan), "Approx cheap", FakeModel())
    assert (broken.pixels == 0).all()
