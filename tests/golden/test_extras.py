"""Extras give the same pictures and texts as the reference, through a real server."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.golden.cases import ROOT, all_cases, pixels
from tests.server import Server, start_server

pytestmark = pytest.mark.golden

CASES = [case for case in all_cases() if case.endpoint.endswith("/extra-single-image")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    flags = ["--nowebui", "--api", "--use-cpu", "all", "--skip-load-model-at-start"]
    flags += ["--esrgan-models-path", str(ROOT / "models" / "ESRGAN")]
    with start_server(tmp_path_factory.mktemp("data"), flags) as running:
        yield running


def picture(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_picture_and_text(server: Server, case):
    answer = server.post(case.endpoint, case.body())
    image = picture(answer["image"])
    difference = np.abs(pixels(image) - case.expected(0))
    assert difference.max() <= 1, difference.mean()
    with Image.open(ROOT / "cases" / case.images[0]) as expected:
        text = expected.info["postprocessing"]
    assert image.info["postprocessing"] == text
    assert answer["html_info"] == f"<p>{text}</p>"


def test_batch_is_the_same_as_one_by_one(server: Server):
    if not CASES:
        pytest.skip("no extras among the goldens here")
    body = CASES[0].body()
    encoded = body.pop("image")
    answer = server.post(
        "/sdapi/v1/extra-batch-images", {**body, "imageList": [{"data": encoded, "name": "a.png"}] * 2}
    )
    assert len(answer["images"]) == 2
    for one in answer["images"]:
        assert np.abs(pixels(picture(one)) - CASES[0].expected(0)).max() <= 1
