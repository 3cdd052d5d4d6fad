"""The door: what comes in, and what is said of what does not."""

from __future__ import annotations

import math

import pytest

from modules.errors import InvalidInput
from modules.processing.request import Txt2ImgRequest
from modules.processing.validation import Limits, validate


def test_the_defaults_are_legal():
    validate(Txt2ImgRequest())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0), ("steps", 10000), ("steps", 1.5), ("cfg_scale", math.nan), ("cfg_scale", math.inf),
        ("width", 0), ("width", 7), ("height", 65537), ("batch_size", 10**6), ("n_iter", 0),
        ("seed", "abc"), ("seed", True), ("seed", 2**70), ("subseed_strength", 1.1),
        ("denoising_strength", -0.1),
        ("eta", math.nan), ("hr_scale", 0.5), ("prompt", None),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_named(field, value):
    with pytest.raises(InvalidInput) as caught:
        validate(Txt2ImgRequest(**{field: value}))
    assert caught.value.field == field
    assert field in str(caught.value)


def test_memory_is_bounded_by_pixels_at_once():
    request = Txt2ImgRequest(width=16384, height=16384, batch_size=2)
    with pytest.raises(InvalidInput, match="pixels"):
        validate(request)
    validate(Txt2ImgRequest(width=16384, height=16384))


def test_limits_can_be_tightened():
    with pytest.raises(InvalidInput, match="from 1 to 10"):
        validate(Txt2ImgRequest(steps=11), Limits(steps=10))


def test_long_prompts_are_refused_before_they_are_read():
    with pytest.raises(InvalidInput, match="characters"):
        validate(Txt2ImgRequest(prompt="a" * (4 * 1024 * 1024 + 1)))
