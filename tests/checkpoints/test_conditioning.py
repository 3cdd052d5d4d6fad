"""Rows of conditioning."""

from __future__ import annotations

import pytest
import torch

from modules.checkpoints.conditioning import Conditioning


def rows(count: int, start: float = 0.0, vector: bool = True) -> Conditioning:
    values = torch.arange(count) + start
    return Conditioning(
        values[:, None, None].expand(count, 3, 2),
        values[:, None].expand(count, 4) if vector else None,
        values[:, None, None, None].expand(count, 1, 2, 2),
    )


def first_values(cond: Conditioning) -> list[float]:
    values = cond.crossattn[:, 0, 0].tolist()
    if cond.vector is not None:
        assert cond.vector[:, 0].tolist() == values
    if cond.concat is not None:
        assert cond.concat[:, 0, 0, 0].tolist() == values
    return values


def test_length_slices_and_indices() -> None:
    cond = rows(5)
    assert len(cond) == 5
    assert first_values(cond[1:3]) == [1, 2]
    assert first_values(cond[[3, 0, 3]]) == [3, 0, 3]
    assert first_values(cond[torch.tensor([4])]) == [4]


def test_joining_and_repeating() -> None:
    joined = Conditioning.cat([rows(2), rows(1, 7.0)])
    assert first_values(joined) == [0, 1, 7]
    assert first_values(joined.repeat(2)) == [0, 1, 7, 0, 1, 7]
    assert Conditioning.cat([joined]) is joined


def test_parts_must_agree() -> None:
    with pytest.raises(ValueError, match="lack"):
        Conditioning.cat([rows(1), rows(1, vector=False)])
    with pytest.raises(ValueError, match="vector has 2 rows, and crossattn has 1"):
        Conditioning(torch.zeros(1, 77, 8), torch.zeros(2, 4))


def test_extra_channels_serve_all_rows() -> None:
    cond = Conditioning(torch.zeros(3, 77, 8)).with_concat(torch.ones(1, 5, 2, 2))
    assert cond.concat is not None
    assert cond.concat.shape == (3, 5, 2, 2)
    assert cond.with_concat(None).concat is None


def test_moving_keeps_what_is_there_already() -> None:
    cond = rows(2)
    assert cond.to("cpu").crossattn is cond.crossattn
    half = cond.to(dtype=torch.float16)
    assert {t.dtype for t in (half.crossattn, half.vector, half.concat) if t is not None} == {torch.float16}
