"""Checkpoint files for tests: headers of real size without tensors, and small complete files."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from modules.checkpoints.building import build_empty
from modules.nets.autoencoder import AutoencoderConfig, AutoencoderKL
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextConfig, OpenCLIPTextModel
from modules.nets.unet import UNetConfig, UNetModel

Shapes = dict[str, tuple[int, ...]]

SD2 = UNetConfig(context_dim=1024, num_head_channels=64, use_linear_in_transformer=True)
SDXL = UNetConfig(
    channel_mult=(1, 2, 4),
    num_res_blocks=(2, 2, 2),
    transformer_depth=(0, 0, 2, 2, 10, 10),
    transformer_depth_output=(10, 10, 10, 2, 2, 2, 0, 0, 0),
    transformer_depth_middle=10,
    context_dim=2048,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=2816,
)
REFINER = UNetConfig(
    model_channels=384,
    channel_mult=(1, 2, 4, 4),
    transformer_depth=(0, 0, 4, 4, 4, 4, 0, 0),
    transformer_depth_output=(0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0),
    transformer_depth_middle=4,
    context_dim=1280,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=2560,
)
OPEN_CLIP_H = OpenCLIPTextConfig(width=1024, heads=16, layers=24, embed_dim=1024)


def shapes_of(prefix: str, make: Callable[[], nn.Module]) -> Shapes:
    """Names and shapes of a network below ``prefix``."""
    return {prefix + name: tuple(value.shape) for name, value in build_empty(make).state_dict().items()}


def checkpoint_shapes(unet: UNetConfig, *texts: tuple[str, CLIPTextConfig | OpenCLIPTextConfig]) -> Shapes:
    """A whole checkpoint with the usual VAE."""
    shapes = shapes_of("model.diffusion_model.", lambda: UNetModel(unet))
    shapes |= shapes_of("first_stage_model.", lambda: AutoencoderKL(AutoencoderConfig()))
    for prefix, config in texts:
        if isinstance(config, CLIPTextConfig):
            shapes |= shapes_of(prefix, lambda config=config: CLIPTextModel(config))  # type: ignore[misc]
        else:
            shapes |= shapes_of(prefix, lambda config=config: OpenCLIPTextModel(config))  # type: ignore[misc]
    return shapes


def sd1_shapes(in_channels: int = 4) -> Shapes:
    return checkpoint_shapes(
        UNetConfig(in_channels=in_channels), ("cond_stage_model.transformer.", CLIPTextConfig())
    )


def sd2_shapes(in_channels: int = 4) -> Shapes:
    return checkpoint_shapes(replace(SD2, in_channels=in_channels), ("cond_stage_model.model.", OPEN_CLIP_H))


def sdxl_shapes() -> Shapes:
    return checkpoint_shapes(
        SDXL,
        ("conditioner.embedders.0.transformer.", CLIPTextConfig()),
        ("conditioner.embedders.1.model.", OpenCLIPTextConfig()),
    )


def refiner_shapes() -> Shapes:
    return checkpoint_shapes(REFINER, ("conditioner.embedders.0.model.", OpenCLIPTextConfig()))


def ssd_shapes() -> Shapes:
    """SSD-1B: SDXL without parts of it (Gupta et al. 2024, arXiv:2401.02677), removed here by name."""
    removed = re.compile(
        r"model\.diffusion_model\.("
        r"middle_block\.[12]\.|"
        r"(input_blocks\.[78]|output_blocks\.[01])\.1\.transformer_blocks\.[4-9]\.|"
        r"output_blocks\.[45]\.1\.transformer_blocks\.1\.)"
    )
    return {name: shape for name, shape in sdxl_shapes().items() if not removed.match(name)}


def parameters_below(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return sum(torch.Size(shape).numel() for name, shape in shapes.items() if name.startswith(prefix))


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """A safetensors file, written here so that the tests do not lean on the library's own checks."""
    codes = {torch.float16: "F16", torch.float32: "F32", torch.bfloat16: "BF16", torch.int64: "I64"}
    codes |= {torch.float8_e4m3fn: "F8_E4M3", torch.uint8: "U8"}
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    body = bytearray()
    for name, tensor in tensors.items():
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": codes[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


TINY_UNET = UNetConfig(model_channels=32, channel_mult=(1, 1, 2, 2), context_dim=64)
TINY_VAE = AutoencoderConfig(ch=32, ch_mult=(1, 1, 1, 1))
TINY_CLIP = CLIPTextConfig(
    vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=1
)


def tiny_tensors(
    seed: int = 0, dtype: torch.dtype = torch.float16, unet: UNetConfig = TINY_UNET
) -> dict[str, Tensor]:
    """A complete SD1 checkpoint with random weights, about 5 MB."""
    generator = torch.Generator().manual_seed(seed)
    shapes = shapes_of("model.diffusion_model.", lambda: UNetModel(unet))
    shapes |= shapes_of("first_stage_model.", lambda: AutoencoderKL(TINY_VAE))
    shapes |= shapes_of("cond_stage_model.transformer.", lambda: CLIPTextModel(TINY_CLIP))
    return {
        name: (torch.randn(shape, generator=generator) * 0.05).to(dtype) for name, shape in shapes.items()
    }


EPS_METADATA = {"modelspec.prediction_type": "epsilon"}


def write_tiny_sd1(path: Path, seed: int = 0, dtype: torch.dtype = torch.float16) -> Path:
    """``tiny_tensors`` as a file that states its prediction."""
    return write_safetensors(path, tiny_tensors(seed, dtype), EPS_METADATA)
