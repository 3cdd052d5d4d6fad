"""Soft inpainting: the pictures of the reference, and the parts of its arithmetic."""

from __future__ import annotations

import base64
import io
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from modules.options.settings import default_options
from modules.processing.engine import Engine
from modules.processing.img2img import paint_img2img
from modules.processing.request import Img2ImgRequest
from modules.processing.soft_inpainting import (
    SoftInpainting,
    smootherstep,
    tapered_kernel,
    weighted_percentiles,
)
from modules.sampling.guidance import MaskBlend
from modules.sampling.monitor import NullMonitor
from tests.golden.cases import Case, all_cases, pixels
from tests.paths import HAVE_GOLDENS

CASES = [case for case in all_cases() if "soft-inpainting" in case.features]


def decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


@pytest.mark.skipif(not HAVE_GOLDENS, reason="needs the reference pictures")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pictures_are_those_of_the_reference(case: Case, engine: Engine) -> None:
    body = case.body()
    names = {field.name for field in fields(Img2ImgRequest)}
    values = {name: value for name, value in body.items() if name in names}
    values["init_images"] = [decoded(text) for text in body["init_images"]]
    values["mask"] = decoded(body["mask"])
    request = Img2ImgRequest(**values, do_not_save_samples=True, do_not_save_grid=True)
    soft = SoftInpainting(*body["alwayson_scripts"]["soft inpainting"]["args"][1:])
    view = default_options().view({"randn_source": "CPU", "sd_model_checkpoint": case.checkpoint})
    result = paint_img2img(soft.prepared(request), engine, view, NullMonitor(), soft.hooks())
    assert case.problem(pixels(result.images[0]), case.expected(0)) is None
    assert result.infotexts[0] == case.infotexts[0]


def slowly(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The definition of ``weighted_percentiles``, cell by cell."""
    kernel, result = tapered_kernel(), np.zeros(values.shape)
    for row, column in np.ndindex(values.shape):
        stack = sorted(
            (values[r, c], kernel[r - row + 2, c - column + 2])
            for r in range(max(row - 2, 0), min(row + 3, values.shape[0]))
            for c in range(max(column - 2, 0), min(column + 3, values.shape[1]))
        )
        total = sum(weight for _, weight in stack)
        first, last = total * low, total * high
        if last - first < 1:
            first, last = (first + last) / 2 - 0.5, (first + last) / 2 + 0.5
            if last > total:
                first, last = total - 1, total
            if first < 0:
                first, last = 0, 1
        bottom = mean = weighed = 0.0
        for value, weight in stack:
            overlap = max(min(bottom + weight, last) - max(bottom, first), 0)
            mean, weighed, bottom = mean + value * overlap, weighed + overlap, bottom + weight
        result[row, column] = mean / weighed
    return result


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.floats(0, 9, width=32)
    ),
    st.sampled_from([(0.9, 1.0), (0.25, 0.75), (0.0, 0.1), (0.5, 0.5)]),
)
def test_percentiles_are_what_their_definition_says(values: np.ndarray, span: tuple[float, float]) -> None:
    np.testing.assert_allclose(weighted_percentiles(values, *span), slowly(values, *span), atol=1e-5)


def test_kernel_is_a_bell() -> None:
    kernel = tapered_kernel()
    assert kernel.shape == (5, 5) and kernel[2, 2] == 1 and kernel.min() >= 0
    assert np.array_equal(kernel, kernel.T) and np.array_equal(kernel, kernel[::-1])


def test_smootherstep_runs_from_0_to_1() -> None:
    line = smootherstep(np.linspace(0, 1, 101))
    assert line[0] == 0 and line[50] == pytest.approx(0.5) and line[100] == pytest.approx(1)
    assert (np.diff(line) >= 0).all()


def blended(soft: SoftInpainting, share: float, sigma: float, final: bool = False) -> Any:
    generator = torch.Generator().manual_seed(1)
    kept, painted = (torch.randn(1, 4, 4, 4, generator=generator) for _ in range(2))
    nmask = torch.full((4, 4, 4), share)
    view = MaskBlend(
        painted, nmask, kept, 1 - nmask, painted, sigma=torch.full((1,), sigma), is_final_blend=final
    )
    soft.blend(view)
    return view.blended_latent, kept, painted


def test_fully_masked_and_fully_kept_parts_are_left_alone() -> None:
    result, _, painted = blended(SoftInpainting(), 1.0, 3.0)
    assert torch.allclose(result, painted, atol=1e-4)
    result, kept, _ = blended(SoftInpainting(), 0.0, 3.0)
    assert torch.allclose(result, kept, atol=1e-4)


def test_the_original_decides_early() -> None:
    """At a high noise level a half masked part is mostly original, at a low one mostly painted."""
    early, kept, _ = blended(SoftInpainting(), 0.5, 14.0)
    late, _, painted = blended(SoftInpainting(), 0.5, 0.05)
    assert (early - kept).abs().mean() < 0.05 and (late - painted).abs().mean() < 0.05


def test_mixing_keeps_the_contrast() -> None:
    result, kept, painted = blended(SoftInpainting(inpaint_detail_preservation=8), 0.5, 2.0)
    plain = (kept + painted) / 2
    assert result.norm(dim=1).mean() > plain.norm(dim=1).mean()


def test_final_latent_is_not_mixed() -> None:
    result, _, painted = blended(SoftInpainting(), 0.5, 2.0, final=True)
    assert result is painted
