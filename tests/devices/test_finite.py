"""Non-finite values are found and described."""

from __future__ import annotations

import pytest
import torch

from modules.devices.finite import is_finite, require_finite
from modules.errors import NonFiniteError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_finite_values_pass(dtype: torch.dtype) -> None:
    largest = torch.full((3, 4), torch.finfo(dtype).max, dtype=dtype)
    require_finite(largest, "The latent")
    assert is_finite(torch.zeros(0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_others_are_counted_and_named(value: float) -> None:
    latent = torch.zeros(2, 4, dtype=torch.float16)
    latent[1, 2:] = value
    with pytest.raises(NonFiniteError, match=r"^The latent holds 2 of 8 values .* float16.*--no-half"):
        require_finite(latent, "The latent")


def test_the_remedy_in_float32_does_not_ask_for_float32() -> None:
    with pytest.raises(NonFiniteError) as caught:
        require_finite(torch.tensor([float("nan")]), "The picture")
    assert "--no-half" not in str(caught.value)
