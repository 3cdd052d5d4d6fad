"""The conditioning of the reference, reproduced from its checkpoints."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.loading import load_model
from modules.devices.policy import DevicePolicy
from modules.prompts.chunks import TokenSequenceMatcher
from modules.prompts.comments import strip_comments
from modules.prompts.conditioning import Pass, PromptConditioner
from modules.prompts.extra_networks import parse_extra_networks
from modules.prompts.text_options import TextOptions
from modules.prompts.tokenizer import ClipTokenizer
from tests.paths import GOLDENS, HAVE_GOLDENS

TOLERANCE = 2e-4
CALLS_RECORDED = 12
TWO_CALLS_A_STEP = ("Heun", "DPM2", "DPM2 a", "DPM++ 2S a", "DPM++ SDE", "Restart")
# A network that changes the text encoder belongs to a later floor; its other half is tested here.
NOT_HERE = {"net-lora"}


def cases() -> list[str]:
    if not HAVE_GOLDENS:
        return []
    found = []
    for path in sorted((GOLDENS / "cases").glob("*.json")):
        tensors = json.loads(path.read_text(encoding="utf-8")).get("tensors")
        if tensors and path.stem not in NOT_HERE:
            with np.load(GOLDENS / "tensors" / tensors) as arrays:
                if any("cond_" in name for name in arrays.files):
                    found.append(path.stem)
    return found


@cache
def conditioner(checkpoint: str) -> PromptConditioner:
    path = GOLDENS / "models" / "Stable-diffusion" / f"{checkpoint}.safetensors"
    model = load_model(CheckpointInfo.for_file(path), DevicePolicy(torch.device("cpu")))
    return PromptConditioner(model, learned_words())


class LearnedFile:
    """The embedding ``tinyemb`` of the goldens."""

    name = "tinyemb"
    vector_count = 3

    def vectors(self, encoder: str) -> Tensor | None:
        path = GOLDENS / "models" / "embeddings" / "tinyemb.pt"
        return torch.load(path, weights_only=False)["string_to_param"]["*"]


def learned_words() -> TokenSequenceMatcher:
    return TokenSequenceMatcher([LearnedFile()], ClipTokenizer().encode)


def options_of(request: dict[str, Any]) -> TextOptions:
    settings = request.get("override_settings") or {}
    return TextOptions(
        emphasis=settings.get("emphasis", "Original"),
        clip_skip=settings.get("CLIP_stop_at_last_layers", 1),
        width=request.get("width", 512),
        height=request.get("height", 512),
    )


def recorded(arrays: Any, kind: str) -> list[np.ndarray]:
    """The array in force at each recorded call; it is stored when it changes."""
    last = None
    values = []
    for call in range(CALLS_RECORDED):
        name = f"unet{call:02}_{kind}"
        last = arrays[name] if name in arrays.files else last
        if last is not None and f"unet{call:02}_x" in arrays.files:
            values.append(last)
    return values


@pytest.mark.parametrize("name", cases())
def test_conditioning(name: str) -> None:
    case = json.loads((GOLDENS / "cases" / f"{name}.json").read_text(encoding="utf-8"))
    request = case["request"]
    sampler = request.get("sampler_name", "Euler")
    steps = request["steps"] * (2 if sampler in TWO_CALLS_A_STEP else 1)
    switch = request["steps"] * request.get("refiner_switch_at", 2)
    options = options_of(request)
    prompt, _ = parse_extra_networks(strip_comments(request["prompt"]))
    compared = 0
    with np.load(GOLDENS / "tensors" / case["tensors"]) as arrays:
        for kind in ("cond_crossattn", "uncond_crossattn", "cond_vector", "uncond_vector"):
            for call, expected in enumerate(recorded(arrays, kind)):
                if request.get("enable_hr") and call >= request["steps"]:
                    break
                refining = call >= switch
                checkpoint = Path(request["refiner_checkpoint"]).stem if refining else case["checkpoint"]
                reader = conditioner(checkpoint)
                if kind.startswith("cond"):
                    rows = reader.cond([prompt], Pass(steps), options).at(call).rows
                else:
                    rows = reader.uncond([request.get("negative_prompt", "")], Pass(steps), options).at(call)
                found = rows.vector if kind.endswith("vector") else rows.crossattn
                assert found is not None
                assert found.shape == expected.shape
                assert np.abs(found.numpy() - expected).max() <= TOLERANCE, f"{kind} at call {call}"
                compared += 1
    assert compared
