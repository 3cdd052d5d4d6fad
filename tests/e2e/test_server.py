"""The running program from outside: progress, stop verbs, faults, signals."""

from __future__ import annotations

import base64
import io
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.golden.cases import ROOT, load
from tests.paths import ROOT as PROGRAM
from tests.server import clean_environment, start_server

CASE = load(ROOT / "cases" / "basic-euler.json")
CHECKPOINT = ROOT / "models" / "Stable-diffusion" / "tiny-sd1.safetensors"
SMALL = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64, "seed": 1, "sampler_name": "Euler"}
LONG = {**SMALL, "steps": 900, "width": 256, "height": 256}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model folder of our own, so that tests may add damaged files."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(CHECKPOINT.with_suffix(suffix), folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory, folder):
    flags = ["--nowebui", "--use-cpu", "all", "--no-half", "--ckpt-dir", str(folder)]
    with start_server(tmp_path_factory.mktemp("data"), flags) as running:
        running.post("/sdapi/v1/options", {"randn_source": "CPU", "show_progress_type": "Approx cheap"})
        yield running


def paint(server, **fields) -> httpx.Response:
    return server.client.post("/sdapi/v1/txt2img", json={**SMALL, **fields}, timeout=300)


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_progress_preview_and_interrupt_of_a_running_job(server):
    with ThreadPoolExecutor() as pool:
        job = pool.submit(paint, server, **{**LONG, "n_iter": 3})

        def progress(**params):
            return server.client.get("/sdapi/v1/progress", params=params).json()

        wait_for(lambda: progress(skip_current_image=True)["state"]["sampling_step"] > 2)
        state = progress()
        assert 0 < state["progress"] < 1
        assert state["eta_relative"] > 0
        assert state["state"]["job_count"] == 3
        wait_for(lambda: progress()["current_image"] is not None)
        preview = Image.open(io.BytesIO(base64.b64decode(progress()["current_image"])))
        assert preview.width == preview.height
        server.post("/sdapi/v1/interrupt", {})
        answer = job.result(60).json()
    assert len(answer["images"]) == 1
    idle = server.client.get("/sdapi/v1/progress").json()
    assert idle["progress"] == 0
    assert idle["state"]["job_count"] == 0


def test_an_interrupt_does_not_reach_the_next_job(server):
    server.post("/sdapi/v1/interrupt", {})
    assert len(paint(server).json()["images"]) == 1


def test_requests_at_the_same_time_get_their_own_pictures(server):
    def ask(seed: int) -> tuple[int, str]:
        answer = paint(server, seed=seed, width=64 + 8 * (seed % 3)).json()
        return seed, answer["images"][0]

    with ThreadPoolExecutor(8) as pool:
        together = dict(pool.map(ask, range(1, 9)))
    for seed, picture in together.items():
        assert ask(seed)[1] == picture


def test_a_damaged_checkpoint_is_named_and_the_old_one_stays(server, folder):
    before = paint(server).json()["images"]
    whole = CHECKPOINT.read_bytes()
    (folder / "broken.safetensors").write_bytes(whole[: len(whole) // 2])
    server.post("/sdapi/v1/refresh-checkpoints", {})
    response = paint(server, override_settings={"sd_model_checkpoint": "broken"})
    assert 400 <= response.status_code < 500
    assert "bytes" in response.text
    assert "broken.safetensors" in response.text
    assert paint(server).json()["images"] == before
    (folder / "broken.safetensors").unlink()
    server.post("/sdapi/v1/refresh-checkpoints", {})


def test_listings_show_what_is_there(server):
    models = server.client.get("/sdapi/v1/sd-models").json()
    assert [row["model_name"] for row in models] == ["tiny-sd1"]
    assert models[0]["config"].endswith("tiny-sd1.yaml")
    assert len(server.client.get("/sdapi/v1/samplers").json()) == 20
    assert len(server.client.get("/sdapi/v1/schedulers").json()) == 12
    memory = server.client.get("/sdapi/v1/memory").json()
    assert memory["ram"]["total"] > memory["ram"]["used"] > 0


def test_unknown_names_are_refused_at_the_door(server):
    response = paint(server, sampler_name="Euler b")
    assert response.status_code == 404
    assert "Euler b" in response.json()["errors"]


def test_an_override_does_not_outlive_its_request(server):
    paint(server, override_settings={"CLIP_stop_at_last_layers": 2})
    assert server.client.get("/sdapi/v1/options").json()["CLIP_stop_at_last_layers"] == 1
    assert "Clip skip" not in paint(server).json()["info"]


def test_no_checkpoint_at_all_is_explained(tmp_path):
    flags = ["--nowebui", "--use-cpu", "all", "--models-dir", str(tmp_path / "empty")]
    with start_server(tmp_path, flags) as server:
        response = paint(server)
        assert response.status_code == 404
        assert "Put a .safetensors file" in response.text


def test_sigterm_ends_in_good_order(tmp_path, folder):
    with start_server(tmp_path, ["--nowebui", "--use-cpu", "all", "--ckpt-dir", str(folder)]) as server:
        thread = threading.Thread(target=lambda: paint(server, **LONG), daemon=True)
        thread.start()
        wait_for(lambda: server.client.get("/sdapi/v1/progress").json()["state"]["sampling_step"] > 0)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        thread.join(10)


def test_a_taken_port_is_told_before_anything_is_loaded(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "webui.py", "--data-dir", str(tmp_path), "--port", str(port)],
            cwd=PROGRAM, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 17
    assert f"Port {port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "cache").exists()
