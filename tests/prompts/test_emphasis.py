from __future__ import annotations

import pytest
import torch

from modules.errors import InvalidInput
from modules.prompts.emphasis import EMPHASIS_MODES, find_emphasis


def some_states(texts: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(texts, 77, 8, generator=generator) + 0.5
    weights = torch.ones(texts, 77)
    weights[0, 3:6] = 1.7
    return states, weights


def test_the_modes_are_those_of_the_setting() -> None:
    assert [mode.name for mode in EMPHASIS_MODES] == ["None", "Ignore", "Original", "No norm"]
    with pytest.raises(InvalidInput, match='"Loud"'):
        find_emphasis("Loud")


@pytest.mark.parametrize("name", ["None", "Ignore"])
def test_two_modes_change_nothing(name: str) -> None:
    states, weights = some_states(2)
    assert torch.equal(find_emphasis(name).apply(states, weights, torch.ones(2)), states)


def test_no_norm_multiplies() -> None:
    states, weights = some_states(2)
    result = find_emphasis("No norm").apply(states, weights, torch.ones(2))
    assert torch.equal(result, states * weights[..., None])


@pytest.mark.parametrize("counts", [[1.0], [1.0, 1.0], [4.0, 1.0, 2.0]])
def test_original_keeps_the_mean_over_the_whole_batch(counts: list[float]) -> None:
    states, weights = some_states(len(counts))
    repeats = torch.tensor([int(count) for count in counts])
    whole, whole_weights = states.repeat_interleave(repeats, 0), weights.repeat_interleave(repeats, 0)
    weighted = whole * whole_weights[..., None]
    expected = weighted * (whole.mean() / weighted.mean())
    result = find_emphasis("Original").apply(states, weights, torch.tensor(counts))
    assert torch.allclose(result.repeat_interleave(repeats, 0), expected, atol=1e-5)


def test_original_leaves_a_vanished_mean_alone() -> None:
    states, _ = some_states(1)
    result = find_emphasis("Original").apply(states, torch.zeros(1, 77), torch.ones(1))
    assert torch.equal(result, torch.zeros_like(states))
