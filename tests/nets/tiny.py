"""The small reference checkpoints: their shapes, and our networks filled with their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from modules.nets.autoencoder import AutoencoderConfig, AutoencoderKL
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextConfig, OpenCLIPTextModel
from modules.nets.unet import UNetConfig, UNetModel
from tests.paths import GOLDENS

CLIP = CLIPTextConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4)
OPEN_CLIP = OpenCLIPTextConfig(width=64, heads=4, layers=5, embed_dim=64)
VAE = AutoencoderConfig(ch=32, ch_mult=(1, 1, 1, 1))
SD1_VAE = replace(VAE, ch_mult=(1, 1, 1, 2))
_SD1 = UNetConfig(model_channels=32, channel_mult=(1, 1, 2, 2), context_dim=64)
_LINEAR = {"use_linear_in_transformer": True, "context_dim": 64}


@dataclass(frozen=True)
class TinyCheckpoint:
    """Where the parts of one checkpoint are, and their shapes."""

    name: str
    unet: UNetConfig
    vae: AutoencoderConfig
    texts: tuple[tuple[str, Any], ...]
    scale_factor: float
    prediction: str = "eps"


_CLIP_SD1 = (("cond_stage_model.transformer.", CLIP),)
CHECKPOINTS = (
    TinyCheckpoint("tiny-sd1", replace(_SD1, channel_mult=(1, 2, 2, 2)), SD1_VAE, _CLIP_SD1, 0.18215),
    TinyCheckpoint("tiny-sd1-b", _SD1, SD1_VAE, _CLIP_SD1, 0.18215),
    TinyCheckpoint("tiny-sd1-inpaint", replace(_SD1, in_channels=9), VAE, _CLIP_SD1, 0.18215),
    TinyCheckpoint(
        "tiny-sd2-v",
        replace(_SD1, num_head_channels=16, **_LINEAR),
        VAE,
        (("cond_stage_model.model.", OPEN_CLIP),),
        0.18215,
        "v",
    ),
    TinyCheckpoint(
        "tiny-sdxl",
        UNetConfig(
            model_channels=32,
            channel_mult=(1, 1, 2),
            num_res_blocks=(2, 2, 2),
            transformer_depth=(0, 0, 1, 1, 2, 2),
            transformer_depth_output=(2, 2, 2, 1, 1, 1, 0, 0, 0),
            transformer_depth_middle=2,
            context_dim=128,
            num_head_channels=32,
            use_linear_in_transformer=True,
            adm_in_channels=1600,
        ),
        VAE,
        (("conditioner.embedders.0.transformer.", CLIP), ("conditioner.embedders.1.model.", OPEN_CLIP)),
        0.13025,
    ),
    TinyCheckpoint(
        "tiny-sdxl-refiner",
        replace(
            _SD1,
            transformer_depth=(0, 0, 1, 1, 1, 1, 0, 0),
            transformer_depth_output=(0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0),
            num_head_channels=32,
            adm_in_channels=1344,
            **_LINEAR,
        ),
        VAE,
        (("conditioner.embedders.0.model.", OPEN_CLIP),),
        0.13025,
    ),
)


def checkpoint(name: str) -> TinyCheckpoint:
    return next(row for row in CHECKPOINTS if row.name == name)


@cache
def weights(name: str) -> dict[str, Tensor]:
    return load_file(GOLDENS / "models" / "Stable-diffusion" / f"{name}.safetensors")


def part(name: str, prefix: str) -> dict[str, Tensor]:
    """The float32 weights below ``prefix``, without the buffer that holds 0..76."""
    return {
        key.removeprefix(prefix): value.float()
        for key, value in weights(name).items()
        if key.startswith(prefix) and not key.endswith("position_ids")
    }


def load(kind: type[nn.Module], config: Any, values: dict[str, Tensor]) -> Any:
    """A network filled by name from the meta device; a missing or unexpected name is an error."""
    with torch.device("meta"):
        net = kind(config)
    net.load_state_dict(values, strict=True, assign=True)
    return net.eval().requires_grad_(False)


@cache
def unet(name: str) -> UNetModel:
    return load(UNetModel, checkpoint(name).unet, part(name, "model.diffusion_model."))


@cache
def vae(name: str) -> AutoencoderKL:
    return load(AutoencoderKL, checkpoint(name).vae, part(name, "first_stage_model."))


@cache
def text(name: str, index: int = 0) -> Any:
    prefix, config = checkpoint(name).texts[index]
    kind = CLIPTextModel if isinstance(config, CLIPTextConfig) else OpenCLIPTextModel
    return load(kind, config, part(name, prefix))


def tensors(case: str) -> dict[str, Tensor]:
    """The stored tensors of a golden case."""
    with np.load(GOLDENS / "tensors" / f"{case}.npz") as stored:
        return {key: torch.from_numpy(stored[key]) for key in stored.files}


def tokens(words: list[int], pad: int) -> Tensor:
    """[1, 77]: start token, words, end token, padding."""
    row = [49406, *words, 49407]
    return torch.tensor([row + [pad] * (77 - len(row))])


def training_sigmas() -> Tensor:
    """sigma of the 1000 training times of the "scaled linear" schedule (0.00085 to 0.012)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, dim=0)
    return ((1 - alphas) / alphas).sqrt()


def sigma_to_time(sigma: Tensor) -> Tensor:
    """Fractional training time of ``sigma``, interpolated in log sigma."""
    logs = training_sigmas().log().numpy()
    return torch.from_numpy(np.interp(sigma.double().log().numpy(), logs, np.arange(1000.0))).float()
