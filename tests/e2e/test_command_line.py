"""``--generate``: one picture without a server."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from PIL import Image

from tests.golden.cases import ROOT, load, pixels
from tests.paths import ROOT as PROGRAM
from tests.server import clean_environment

CASE = load(ROOT / "cases" / "basic-euler.json")


def run(*words: str, data_dir) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(PROGRAM / "webui.py"),
        "--data-dir",
        str(data_dir),
        "--use-cpu",
        "all",
        *words,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, env=clean_environment(), timeout=300, check=False
    )


def request_words() -> list[str]:
    request = CASE.request
    words = ["--generate", request["prompt"], "--sampler", request["sampler_name"]]
    for name in ("steps", "seed", "width", "height"):
        words += [f"--{name}", str(request[name])]
    words += ["--cfg-scale", str(request["cfg_scale"]), "--checkpoint", CASE.checkpoint]
    return [*words, "--ckpt-dir", str(ROOT / "models" / "Stable-diffusion")]


def test_generate_writes_the_picture_of_the_reference(tmp_path):
    (tmp_path / "config.json").write_text('{"randn_source": "CPU"}')
    target = tmp_path / "out.png"
    done = run(*request_words(), "--output", str(target), data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == str(target)
    picture = Image.open(target)
    assert np.abs(pixels(picture) - CASE.expected(0)).max() <= CASE.tolerance[0]
    assert picture.info["parameters"] == CASE.infotexts[0]


def test_generate_without_output_uses_the_usual_name(tmp_path):
    done = run(*request_words(), data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    saved = list((tmp_path / "outputs" / "txt2img-images").rglob("*.png"))
    assert [str(path) for path in saved] == done.stdout.strip().splitlines()[-1:]
    assert saved[0].name == "00000-1.png"


def test_without_a_checkpoint_one_sentence_says_what_to_do(tmp_path):
    done = run("--generate", "a lighthouse", "--models-dir", str(tmp_path / "none"), data_dir=tmp_path)
    assert done.returncode == 1
    assert "There is no checkpoint" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_values_are_named(tmp_path):
    done = run(*request_words(), "--steps", "0", data_dir=tmp_path)
    assert done.returncode == 1
    assert "steps is 0" in done.stderr
