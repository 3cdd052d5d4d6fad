"""The same prompt, seed and settings give the same picture and the same text as the reference.

Every case goes through a real server and the real JSON interface.
"""

from __future__ import annotations

import base64
import io

import httpx
import pytest
from PIL import Image

from tests.golden.cases import ROOT, Case, all_cases, pixels
from tests.server import Server, start_server

pytestmark = pytest.mark.golden

CASES = [case for case in all_cases() if case.pending is None and "extras" not in case.features]
OPTIONS = {"randn_source": "CPU", "live_previews_enable": False}
"""The settings under which the reference pictures were made; all others have their defaults."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = ROOT / "models"
    flags = ["--nowebui", "--api", "--no-half", "--precision", "full", "--use-cpu", "all"]
    flags += ["--ckpt-dir", str(models / "Stable-diffusion"), "--vae-dir", str(models / "VAE")]
    flags += ["--styles-file", str(models / "styles.csv"), "--esrgan-models-path", str(models / "ESRGAN")]
    flags += ["--lora-dir", str(models / "Lora"), "--embeddings-dir", str(models / "embeddings")]
    flags += ["--hypernetwork-dir", str(models / "hypernetworks")]
    with start_server(tmp_path_factory.mktemp("data"), flags) as running:
        running.post("/sdapi/v1/options", OPTIONS)
        yield running


def ask(server: Server, case: Case) -> httpx.Response:
    server.post("/sdapi/v1/options", {"sd_model_checkpoint": case.checkpoint})
    return server.client.post(case.endpoint, json=case.body(), timeout=600)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_picture_and_infotext(server, case, record_property):
    record_property("features", case.features)
    response = ask(server, case)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert len(answer["images"]) == len(case.images)

    for index, encoded in enumerate(answer["images"]):
        image = Image.open(io.BytesIO(base64.b64decode(encoded)))
        problem = case.problem(pixels(image), case.expected(index))
        assert problem is None, f"image {index}: {problem}"
        # Masks that come along with a picture have no text, there as here.
        assert image.info.get("parameters") == case.infotexts[index]
