from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.nets.token_merging import pair_tokens
from modules.nets.transformer import SpatialTransformer
from modules.nets.unet import UNetConfig, UNetModel

SIDES = st.integers(2, 9)


@settings(max_examples=50, deadline=None)
@given(SIDES, SIDES, st.floats(0.05, 1.0))
def test_kept_tokens_come_back_and_merged_ones_are_their_destination(
    height: int, width: int, ratio: float
) -> None:
    x = torch.randn(2, height * width, 6, generator=torch.Generator().manual_seed(height * 10 + width))
    pairs = pair_tokens(x, (height, width), ratio)
    gone = min(int(height * width * ratio), height * width - (height // 2) * (width // 2))
    if gone == 0:
        assert pairs is None
        return
    assert pairs is not None
    short = pairs.merge(x)
    assert short.shape == (2, height * width - gone, 6)
    back = pairs.restore(short)
    for row in range(2):
        kept = pairs.sources[pairs.kept[row]]
        assert torch.equal(back[row, kept], x[row, kept])
        merged = pairs.sources[pairs.merged[row]]
        targets = pairs.destinations[pairs.targets[row]]
        assert torch.equal(back[row, merged], back[row, targets])
        for place in targets.unique():
            group = torch.cat([place[None], merged[targets == place]])
            assert torch.allclose(back[row, place], x[row, group].mean(0), atol=1e-5)


def test_the_most_alike_go_first() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01], [-1.0, 0.0]])[None]  # the first is the destination
    pairs = pair_tokens(x, (2, 2), 0.25)
    assert pairs is not None
    assert pairs.sources[pairs.merged].tolist() == [[2]]


def test_cells_of_one_colour_lose_nothing() -> None:
    x = torch.randn(1, 4, 8).reshape(1, 2, 2, 8).repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)
    pairs = pair_tokens(x, (4, 4), 0.75)
    assert pairs is not None
    assert pairs.merge(x).shape[1] == 4
    assert torch.allclose(pairs.restore(pairs.merge(x)), x)


@pytest.mark.parametrize("size", [(1, 9), (9, 1)])
def test_a_map_without_cells_is_left_alone(size: tuple[int, int]) -> None:
    assert pair_tokens(torch.randn(1, 9, 4), size, 0.9) is None


def test_only_the_outermost_layers_merge_and_only_for_the_time_being() -> None:
    config = UNetConfig(model_channels=32, channel_mult=(1, 2, 2, 2), context_dim=16)
    net = UNetModel(config)
    layers = {name: one for name, one in net.named_modules() if isinstance(one, SpatialTransformer)}
    with pytest.raises(RuntimeError), net.merging_tokens(0.5):
        merging = {name for name, one in layers.items() if one.merge_ratio}
        raise RuntimeError
    assert merging == {f"input_blocks.{i}.1" for i in (1, 2)} | {f"output_blocks.{i}.1" for i in (9, 10, 11)}
    assert all(one.merge_ratio == 0 for one in layers.values())
