"""torchvision beside a CPU build of PyTorch.

The wheel that an index serves is built for CUDA. Beside a CPU-only PyTorch its compiled part does not load,
so its operators are unknown and the import itself fails. Declaring them before the import is enough for
everything that uses torchvision's Python code; ``nms`` gets an implementation because face detectors call it.
"""

from __future__ import annotations

import importlib
import sys
import threading

import torch
from torch import Tensor

_LOCK = threading.Lock()

_OPERATORS = (
    ("nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ("qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
)


def prepare_torchvision() -> None:
    """Import torchvision, with its operators declared when its own do not load. Does nothing the second time.

    Raises ``ImportError`` when torchvision is not installed.
    """
    with _LOCK:
        if "torchvision" in sys.modules:
            return
        try:
            importlib.import_module("torchvision")
        except RuntimeError:
            _forget()
            _declare_operators()
            boxes = importlib.import_module("torchvision.ops.boxes")
            boxes._assert_has_ops = _assume_operators  # type: ignore[attr-defined]


def _assume_operators() -> None:
    """Stands for torchvision's own check of its compiled part."""


def _forget() -> None:
    """Take the half-imported package out, so that the next import starts again."""
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]


def _declare_operators() -> None:
    known = torch.ops.torchvision
    for name, schema in _OPERATORS:
        if not hasattr(known, name):
            torch.library.define(f"torchvision::{name}", schema)
            torch.library.impl(f"torchvision::{name}", "cpu", suppress_overlaps)


def suppress_overlaps(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes to keep, best score first.

    ``boxes``: [N, 4] as x1, y1, x2, y2; ``scores``: [N]. A box goes when its intersection over union with a
    better one exceeds ``threshold``.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order].float()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for index in range(len(boxes)):
        if not alive[index]:
            continue
        rest = boxes[index + 1 :]
        corner = torch.maximum(boxes[index, :2], rest[:, :2])
        extent = (torch.minimum(boxes[index, 2:], rest[:, 2:]) - corner).clamp(min=0)
        shared = extent[:, 0] * extent[:, 1]
        union = areas[index] + areas[index + 1 :] - shared
        alive[index + 1 :] &= shared <= threshold * union
    return order[alive]
