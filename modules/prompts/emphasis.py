"""How weights change the vectors that a text encoder gives for a chunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from modules.errors import InvalidInput

Apply = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class EmphasisMode:
    """One way to apply weights.

    ``apply(states, weights, counts)``: states [N, 77, D] of N different texts, weights [N, 77],
    counts [N] how often each text occurs in the batch; returns the new states.
    """

    name: str
    apply: Apply


def _unchanged(states: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    return states


def _multiply(states: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    return states * weights.unsqueeze(-1).to(states)


def _multiply_and_restore_mean(states: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    """Multiply, then scale everything so that the mean over the whole batch is what it was.

    One factor for all texts: the texts of one schedule influence each other, as in the reference.
    """
    weighted = _multiply(states, weights, counts)
    before, after = _batch_mean(states, counts), _batch_mean(weighted, counts)
    if after == 0:
        return weighted
    return weighted * (before / after).to(states.dtype)


def _batch_mean(states: Tensor, counts: Tensor) -> Tensor:
    if len(states) == 1:
        return states.mean()
    means = states.mean(dim=(1, 2), dtype=torch.float64 if states.device.type == "cpu" else torch.float32)
    shares = (counts / counts.sum()).to(means)
    return (means * shares).sum()


EMPHASIS_MODES: tuple[EmphasisMode, ...] = (
    EmphasisMode("None", _unchanged),
    EmphasisMode("Ignore", _unchanged),
    EmphasisMode("Original", _multiply_and_restore_mean),
    EmphasisMode("No norm", _multiply),
)


def find_emphasis(name: str) -> EmphasisMode:
    """The mode of that name.

    Raises:
        InvalidInput: there is none.
    """
    for mode in EMPHASIS_MODES:
        if mode.name == name:
            return mode
    names = ", ".join(f'"{mode.name}"' for mode in EMPHASIS_MODES)
    raise InvalidInput(f'"{name}" is no emphasis mode. Expected one of {names}.', "emphasis")
