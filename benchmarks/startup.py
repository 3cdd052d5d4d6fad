"""The start-up profile: how long until the interface answers, the page is there, and a model is loaded.

    python -m benchmarks.startup [--checkpoints FOLDER] [--rounds 3]

The yardsticks of the same run are bare imports that no program of this kind can avoid: PyTorch for
painting, Gradio for the page. ``answers`` needs neither.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.timing import interleave
from tests.golden.cases import ROOT as GOLDENS
from tests.paths import ROOT
from tests.server import clean_environment, free_port

PATIENCE = 120


def until(done: Callable[[httpx.Client], bool], folder: Path) -> Callable[[], None]:
    """A start of the program in a fresh process that ends as soon as ``done`` says so."""

    def work() -> None:
        port = free_port()
        with tempfile.TemporaryDirectory() as data:
            words = ["--api", "--use-cpu", "all", "--port", str(port), "--data-dir", data]
            process = subprocess.Popen(
                [sys.executable, "webui.py", *words, "--ckpt-dir", str(folder)],
                cwd=ROOT,
                env=clean_environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait(done, f"http://127.0.0.1:{port}")
            finally:
                process.kill()
                process.wait()

    return work


def _wait(done: Callable[[httpx.Client], bool], url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        while time.monotonic() < deadline:
            try:
                if done(client):
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.01)
    raise SystemExit("the program did not come up")


def answers(client: httpx.Client) -> bool:
    """The JSON interface answers."""
    return client.get("/internal/ping").status_code == 200


def page(client: httpx.Client) -> bool:
    """The page is served."""
    return client.get("/").status_code == 200


def paints(client: httpx.Client) -> bool:
    """A first picture of one step came back, so PyTorch is imported and a model loaded."""
    body = {"prompt": "", "steps": 1, "width": 64, "height": 64}
    return client.post("/sdapi/v1/txt2img", json=body).status_code == 200


def bare_import(module: str) -> Callable[[], None]:
    """A fresh process that imports one package and ends."""
    return lambda: subprocess.run(
        [sys.executable, "-c", f"import {module}"], check=True, env=clean_environment()
    )


def main() -> None:
    """Print medians, and the ratio of each stage to its yardstick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=GOLDENS / "models" / "Stable-diffusion")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    stages = {"answers": answers, "page": page, "first picture": paints}
    contenders = {name: until(done, options.checkpoints) for name, done in stages.items()}
    contenders |= {f"import {name}": bare_import(name) for name in ("torch", "gradio")}
    timings = {timing.name: timing for timing in interleave(contenders, options.rounds)}
    for timing in timings.values():
        print(f"{timing.name:16} {timing.median:6.2f} s")
    pairs = (("answers", "import torch"), ("page", "import gradio"), ("first picture", "import torch"))
    for stage, yardstick in pairs:
        print(f"{stage} / {yardstick}: {timings[stage].ratio_to(timings[yardstick]):.2f}")


if __name__ == "__main__":
    main()
