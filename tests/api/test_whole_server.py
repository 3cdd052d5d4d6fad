"""The whole program in processes of its own: what is promised when one of them dies, stops or is doubled."""

from __future__ import annotations

import base64
import io
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.golden.cases import ROOT as GOLDEN_ROOT
from tests.paths import ROOT
from tests.server import Server, clean_environment, free_port, start_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (GOLDEN_ROOT / "models" / "Stable-diffusion").is_dir(), reason="needs the small checkpoints"
    ),
]

MODELS = GOLDEN_ROOT / "models"
FLAGS = (
    "--nowebui --api --no-half --precision full --use-cpu all --skip-load-model-at-start "
    f"--ckpt-dir {MODELS / 'Stable-diffusion'} --vae-dir {MODELS / 'VAE'}"
).split()
SMALL = {"width": 64, "height": 64, "steps": 2}


def order(server: Server, **request: Any) -> str:
    answer = server.client.post("/easel/v1/jobs", json={"request": {**SMALL, **request}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(server: Server, job: str) -> Any:
    """The status of a job when it has ended; a minute is the bound of a broken test."""
    for _ in range(600):
        status = server.client.get(f"/easel/v1/jobs/{job}").json()
        if status["state"] not in ("queued", "running"):
            return status
        time.sleep(0.1)
    raise AssertionError(f"job {job} did not end: {status}")


def until_running(server: Server, job: str, step: int = 1) -> None:
    for _ in range(600):
        state = server.client.get("/sdapi/v1/progress?skip_current_image=true").json()["state"]
        if state["job"] == job and state["sampling_step"] >= step:
            return
        time.sleep(0.05)
    raise AssertionError("the job did not begin")


def images_of(server: Server, job: str) -> Any:
    answer = server.client.get(f"/easel/v1/jobs/{job}/result")
    assert answer.status_code == 200, answer.text
    return answer.json()["images"]


def saved(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.png") if "journal" not in path.parts)


def test_kill_in_the_middle_of_a_step(tmp_path: Path) -> None:
    """Bad input 22: the queue goes on, the running job gives the same bytes, no saved picture is damaged."""
    with start_server(tmp_path, FLAGS) as server:
        finished = order(server, prompt="before", save_images=True)
        assert ended(server, finished)["state"] == "done"
        running = order(server, prompt="a castle", steps=60, save_images=True, seed=-1)
        waiting = [order(server, prompt=f"waiting {number}") for number in range(3)]
        until_running(server, running)
        server.process.kill()
        server.process.wait(30)
    with start_server(tmp_path, FLAGS) as server:
        status = ended(server, running)
        assert status["state"] == "done" and status["attempts"] == 2
        assert [ended(server, job)["state"] for job in waiting] == ["done"] * 3
        pictures = images_of(server, running)
        info = Image.open(io.BytesIO(base64.b64decode(pictures[0]))).info["parameters"]
        seed = int(info.split("Seed: ")[1].split(",")[0])
        body = {**SMALL, "prompt": "a castle", "steps": 60, "seed": seed}
        assert server.post("/sdapi/v1/txt2img", body)["images"] == pictures
        assert images_of(server, finished), "results of the last run are still there"
    for path in saved(tmp_path):
        with Image.open(path) as picture:
            picture.load()
    assert len(saved(tmp_path)) == 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_orderly_stop_is_quick_and_keeps_the_queue(tmp_path: Path) -> None:
    """Bad input 23, with a job in work whose client waits and one whose client comes back."""
    with start_server(tmp_path, FLAGS) as server:
        running = order(server, prompt="long", steps=500, seed=3)
        until_running(server, running)
        with ThreadPoolExecutor() as pool:
            told = pool.submit(
                httpx.post, f"{server.url}/sdapi/v1/txt2img", json={**SMALL, "steps": 3}, timeout=60
            )
            while server.client.get("/internal/pending-tasks").json()["size"] == 0:
                time.sleep(0.02)
            began = time.monotonic()
            server.process.terminate()
            assert server.process.wait(30) == 0
            assert time.monotonic() - began < 10, "five seconds are promised; the machine may be busy"
            assert told.result().status_code == 503
    with start_server(tmp_path, FLAGS) as server:
        jobs = server.client.get("/easel/v1/jobs").json()
        assert [one["id"] for one in jobs] == [running]
        server.client.delete(f"/easel/v1/jobs/{running}")


def test_second_server_on_one_folder_is_told(tmp_path: Path) -> None:
    """Bad input 24."""
    with start_server(tmp_path, FLAGS):
        command = [sys.executable, str(ROOT / "webui.py"), "--data-dir", str(tmp_path), *FLAGS]
        command += ["--port", str(free_port())]
        second = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, timeout=120, cwd=ROOT
        )
    assert second.returncode == 13
    assert "Another Easel" in second.stderr + second.stdout and "--data-dir" in second.stderr + second.stdout


CLIENTS: Sequence[dict[str, Any]] = [
    {
        "prompt": f"client {number}",
        "seed": number,
        "steps": 1 + number % 3,
        "width": 64 + 64 * (number % 2),
        "height": 64,
        "cfg_scale": 3 + number % 4,
        "sampler_name": ("Euler", "Euler a", "DDIM", "DPM++ 2M")[number % 4],
        "override_settings": {
            "sd_model_checkpoint": ("tiny-sd1", "tiny-sd1-b", "tiny-sd2-v")[number // 8 % 3],
            "CLIP_stop_at_last_layers": 1 + number % 2,
            "samples_format": ("png", "webp")[number % 5 == 0],
        },
    }
    for number in range(64)
]


def test_64_clients_get_what_each_would_have_got_alone(tmp_path: Path) -> None:
    """P15: different checkpoints, sizes, samplers, formats and settings at once, and no cross-talk."""
    with start_server(tmp_path, FLAGS) as server:
        before = server.client.get("/sdapi/v1/options").json()

        def paint(body: dict[str, Any]) -> Any:
            # No certificates are read for each of so many clients.
            with httpx.Client(base_url=server.url, timeout=300, verify=False) as client:
                answer = client.post("/sdapi/v1/txt2img", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()["images"]

        with ThreadPoolExecutor(64) as pool:
            together = list(pool.map(paint, CLIENTS))
        # Alone: grouped by checkpoint, so that each model is loaded once.
        alone = sorted(range(64), key=lambda number: number // 8 % 3)
        for number in alone:
            assert paint(CLIENTS[number]) == together[number], CLIENTS[number]
        assert len({images[0] for images in together}) == 64
        assert server.client.get("/sdapi/v1/options").json() == before


def test_published_client_works_unmodified(tmp_path: Path) -> None:
    """``webuiapi`` as it is published, against a live server."""
    webuiapi = pytest.importorskip("webuiapi")
    with start_server(tmp_path, [*FLAGS, "--api-auth", "me:secret"]) as server:
        host, port = server.url.removeprefix("http://").split(":")
        api = webuiapi.WebUIApi(host=host, port=int(port), sampler="Euler", steps=2)
        api.set_auth("me", "secret")
        painted = api.txt2img(
            prompt="a kite", negative_prompt="rain", seed=7, width=64, height=64, cfg_scale=5, n_iter=2
        )
        assert [image.size for image in painted.images] == [(64, 64)] * 2
        assert painted.info["seed"] == 7 and painted.parameters["prompt"] == "a kite"
        again = api.img2img(images=[painted.image], prompt="a kite", seed=1, width=64, height=64, steps=3)
        assert again.image.size == (64, 64)
        mask = Image.new("L", (64, 64), 255)
        inpainted = api.img2img(
            images=[painted.image], mask_image=mask, prompt="a kite", seed=1, width=64, height=64, steps=3
        )
        assert inpainted.image.size == (64, 64)
        bigger = api.extra_single_image(image=painted.image, upscaler_1="Lanczos", upscaling_resize=2)
        assert bigger.image.size == (128, 128)
        both = api.extra_batch_images(images=painted.images, upscaler_1="Nearest", upscaling_resize=2)
        assert [image.size for image in both.images] == [(128, 128)] * 2
        assert "Seed: 7" in api.png_info(painted.image).info
        with pytest.raises(RuntimeError, match="501"):
            api.interrogate(painted.image)
        _look_around(api)


def _look_around(api: Any) -> None:
    """What the client reads and sets besides painting."""
    assert api.get_progress()["progress"] == 0
    assert api.interrupt() == {} and api.skip() is None
    options = api.get_options()
    assert options["CLIP_stop_at_last_layers"] == 1
    api.set_options({"CLIP_stop_at_last_layers": 2})
    assert api.get_options()["CLIP_stop_at_last_layers"] == 2
    assert api.get_cmd_flags()["nowebui"] is True
    assert "Euler" in api.util_get_sampler_names() and "karras" in api.util_get_scheduler_names()
    assert any("tiny-sd1" in name for name in api.util_get_model_names())
    assert "tiny-sd1-b" in str(api.refresh_checkpoints() or api.get_sd_models())
    api.util_set_model(next(name for name in api.util_get_model_names() if "tiny-sd1-b" in name))
    assert "tiny-sd1-b" in api.util_get_current_model()
    api.util_wait_for_ready(check_interval=0.05)
    for listing in (api.get_upscalers, api.get_latent_upscale_modes, api.get_sd_vae, api.get_prompt_styles):
        assert isinstance(listing(), list)
    assert set(api.get_scripts()) == {"txt2img", "img2img"}
    assert {"loaded", "skipped"} == set(api.get_embeddings()) and "ram" in api.get_memory()
    assert isinstance(api.get_face_restorers(), list) and isinstance(api.get_realesrgan_models(), list)
    assert isinstance(api.get_loras(), list) and isinstance(api.get_hypernetworks(), list)


def test_client_that_waits_without_blocking(tmp_path: Path) -> None:
    """The asynchronous use of the same client."""
    import asyncio

    webuiapi = pytest.importorskip("webuiapi")
    pytest.importorskip("aiohttp")
    with start_server(tmp_path, FLAGS) as server:
        host, port = server.url.removeprefix("http://").split(":")
        api = webuiapi.WebUIApi(host=host, port=int(port), sampler="Euler", steps=2)

        async def paint() -> Any:
            call = api.txt2img(prompt="a kite", seed=7, width=64, height=64, use_async=True)
            return await call

        assert asyncio.run(paint()).image.size == (64, 64)


def test_flags_of_the_doors(tmp_path: Path) -> None:
    """The flags as they are typed, on the program with its page."""
    logins = tmp_path / "logins.txt"
    logins.write_text("anna:one\n")
    flags = [flag for flag in FLAGS if flag != "--nowebui"]
    flags += ["--subpath", "easel", "--api-log", "--api-server-stop", "--gradio-auth", "otto:two"]
    flags += ["--gradio-auth-path", str(logins), "--cors-allow-origins", "http://a.example"]
    with start_server(tmp_path, flags) as server:
        client = server.client
        assert client.get("/easel/sdapi/v1/samplers").status_code == 200
        foreign = client.post("/sdapi/v1/skip", headers={"origin": "http://evil.example"})
        allowed = client.post("/sdapi/v1/skip", headers={"origin": "http://a.example"})
        assert (foreign.status_code, allowed.status_code) == (403, 200)
        assert allowed.headers["access-control-allow-origin"] == "http://a.example"
        for _ in range(600):
            if "The page is ready" in server.log.read_text():
                break
            time.sleep(0.1)
        assert '"auth_required":true' in client.get("/").text.replace(" ", "")
        pairs = (("anna", "one"), ("otto", "two"))
        right = [client.post("/login", data={"username": n, "password": p}) for n, p in pairs]
        assert [one.status_code for one in right] == [200, 200]
        wrong = [client.post("/login", data={"username": "anna", "password": str(n)}) for n in range(8)]
        assert {one.status_code for one in wrong[:5]} == {400} and wrong[-1].status_code == 429
        assert "/sdapi/v1/samplers" in server.log.read_text()
        assert client.post("/sdapi/v1/server-stop").text == "Stopping."
        assert server.process.wait(30) == 0


def test_https_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(make, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl makes no certificate here")
    port = free_port()
    command = [sys.executable, str(ROOT / "webui.py"), "--data-dir", str(tmp_path), *FLAGS]
    command += ["--port", str(port), "--tls-certfile", str(certificate), "--tls-keyfile", str(key)]
    process = subprocess.Popen(command, env=clean_environment(), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(verify=context, base_url=f"https://127.0.0.1:{port}") as client:
            for _ in range(600):
                try:
                    assert client.get("/sdapi/v1/samplers").status_code == 200
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                raise AssertionError("the server did not come up")
    finally:
        process.terminate()
        assert process.wait(30) == 0
