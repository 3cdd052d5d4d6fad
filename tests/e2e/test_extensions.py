"""The tutorial extension and a broken one in a real server, with a page."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.golden.cases import ROOT
from tests.paths import DATA
from tests.server import Server, start_server

pytestmark = pytest.mark.slow

SMALL = {
    "prompt": "a cat",
    "seed": 3,
    "steps": 1,
    "width": 64,
    "height": 64,
    "sampler_name": "Euler",
    "override_settings": {"sd_model_checkpoint": "tiny-sd1"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(DATA / "extensions" / "tutorial", data / "extensions" / "tutorial")
    broken = data / "extensions" / "broken" / "scripts"
    broken.mkdir(parents=True)
    (broken / "broken.py").write_text("import a_module_that_is_nowhere\n")
    flags = ["--api", "--ckpt-dir", str(ROOT / "models" / "Stable-diffusion")]
    with start_server(data, flags, OMP_NUM_THREADS="1") as running:
        yield running


def test_the_door_lists_the_scripts_of_extensions(server: Server) -> None:
    names = server.client.get("/sdapi/v1/scripts", timeout=120).json()
    assert names == {tab: ["tutorial", "tutorial: twice"] for tab in ("txt2img", "img2img")}
    rows = server.client.get("/sdapi/v1/script-info").json()
    tutorial = next(row for row in rows if row["name"] == "tutorial" and not row["is_img2img"])
    assert tutorial["is_alwayson"] and tutorial["args"][2]["maximum"] == 1


def test_a_request_reaches_a_script_and_its_texts(server: Server) -> None:
    body = {**SMALL, "alwayson_scripts": {"Tutorial": {"args": [True, "blue"]}}}
    answer = server.post("/sdapi/v1/txt2img", body)
    info = json.loads(answer["info"])
    assert info["prompt"] == "a cat, blue" and "Tutorial words: blue" in info["infotexts"][0]
    picture = Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))
    assert "Tutorial picture: number 0" in picture.info["parameters"]
    twice = server.post("/sdapi/v1/txt2img", {**SMALL, "script_name": "Tutorial: twice", "script_args": [4]})
    assert len(twice["images"]) == 2


def test_unknown_scripts_are_refused_at_the_door(server: Server) -> None:
    answer = server.client.post("/sdapi/v1/txt2img", json={**SMALL, "script_name": "nobody"})
    assert answer.status_code == 422 and "'nobody' not found" in answer.text


def test_routes_settings_and_texts_of_an_extension_are_there(server: Server) -> None:
    deadline = time.monotonic() + 120
    while server.client.get("/tutorial/hello").status_code != 200:
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.5)
    assert server.client.get("/tutorial/hello").json() == {"hello": "world"}, "also behind the page"
    assert server.client.get("/sdapi/v1/options").json()["tutorial_mood"] == "bright"
    assert "prioritized_callbacks_ui_settings" in server.client.get("/sdapi/v1/options").json()
    assert "gradio" in server.client.get("/").text.lower()


def test_the_broken_one_is_named_and_the_start_profile_tells_the_times(server: Server) -> None:
    log = server.log.read_text()
    assert "The extension broken is off until the next start" in log and "a_module_that_is_nowhere" in log
    records = server.client.get("/internal/profile-startup").json()["records"]
    assert {"load extensions", "load extensions/tutorial/load tutorial_script.py"} <= set(records)
    data = Path(server.log).parent
    assert (data / "ui-config.json").exists() and (data / "config.json").exists()
