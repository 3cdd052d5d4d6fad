"""torchvision works beside a CPU build of PyTorch, and its suppression of boxes is right."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from modules.compat.torchvision_cpu import prepare_torchvision, suppress_overlaps
from tests.paths import ROOT


def simple_suppression(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    """The definition, box by box."""

    def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        shared = width * height
        areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
        return float(shared / (areas - shared))

    kept: list[int] = []
    for index in scores.argsort(descending=True, stable=True).tolist():
        if all(overlap(boxes[index], boxes[other]) <= threshold for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_suppression_against_its_definition(threshold: float) -> None:
    generator = torch.Generator().manual_seed(5)
    corners = torch.rand(60, 2, generator=generator) * 20
    boxes = torch.cat([corners, corners + 1 + torch.rand(60, 2, generator=generator) * 10], dim=1)
    scores = torch.rand(60, generator=generator)
    assert suppress_overlaps(boxes, scores, threshold).tolist() == simple_suppression(
        boxes, scores, threshold
    )


def test_no_boxes() -> None:
    assert suppress_overlaps(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_prepared_twice_in_a_fresh_process() -> None:
    code = (
        "from modules.compat.torchvision_cpu import prepare_torchvision as p; p(); p();"
        "import torch, torchvision;"
        "from torchvision.ops import nms;"
        "print(nms(torch.tensor([[0, 0, 9, 9], [0, 0, 9, 8.]]), torch.tensor([0.1, 0.9]), 0.5).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[1]", done.stderr[-2000:]


def test_spandrel_imports_afterwards() -> None:
    prepare_torchvision()
    import spandrel

    assert len(spandrel.MAIN_REGISTRY) > 20
