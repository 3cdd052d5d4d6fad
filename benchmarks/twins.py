"""Networks of diffusers and transformers that share their weights with ours, for tests and benchmarks.

Both packages are test dependencies only. The weights are random; twins hold the same tensors, not copies.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from modules.nets.autoencoder import AutoencoderKL
from modules.nets.clip_text import CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextModel
from modules.nets.unet import UNetConfig, UNetModel

SD1_UNET = UNetConfig()
SD2_UNET = UNetConfig(context_dim=1024, num_head_channels=64, use_linear_in_transformer=True)
SDXL_UNET = UNetConfig(
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


def have_oracles() -> bool:
    """Whether diffusers and transformers are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("diffusers", "transformers"))


def import_oracle(name: str) -> ModuleType:
    """Import a module of diffusers or transformers as if torchvision were not installed.

    Both import torchvision when they find it, and its usual build does not load beside a CPU build of torch.
    """
    if "torchvision" in sys.modules:
        return importlib.import_module(name)
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules["torchvision"]


def fill_randomly(net: nn.Module, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Replace the (meta) parameters by seeded ones whose activations keep about unit size."""
    generator = torch.Generator().manual_seed(seed)
    for owner in net.modules():
        for name, old in list(owner.named_parameters(recurse=False)):
            values = torch.randn(old.shape, generator=generator, dtype=torch.float32)
            norm_weight = isinstance(owner, (nn.GroupNorm, nn.LayerNorm)) and name == "weight"
            fan_in = old[0].numel() if old.ndim > 1 else 0
            scaled = values.mul_(fan_in**-0.5 if fan_in else 0.1)
            setattr(owner, name, nn.Parameter((scaled + float(norm_weight)).to(dtype), requires_grad=False))
    return net.eval()


def random_net(kind: type[nn.Module], config: Any, seed: int = 0) -> Any:
    """A network of ours with random weights."""
    with torch.device("meta"):
        net = kind(config)
    return fill_randomly(net, seed)


def diffusers_unet(net: UNetModel) -> nn.Module:
    """The UNet of diffusers with the weights of ``net``."""
    diffusers = import_oracle("diffusers")
    conversion = import_oracle("diffusers.loaders.single_file_utils")
    with torch.device("meta"):
        twin = diffusers.UNet2DConditionModel(**_diffusers_unet_arguments(net.config))
    ours = {f"model.diffusion_model.{key}": value for key, value in net.state_dict().items()}
    twin.load_state_dict(conversion.convert_ldm_unet_checkpoint(ours, twin.config), assign=True)
    return twin.eval()


def _diffusers_unet_arguments(config: UNetConfig) -> dict[str, Any]:
    counts = set(config.num_res_blocks)
    if len(counts) != 1:
        raise ValueError("The twin needs the same number of residual blocks at every level.")
    (count,) = counts
    levels = len(config.channel_mult)
    widths = [config.model_channels * mult for mult in config.channel_mult]
    down = _grouped(config.transformer_depth, count)
    up = _grouped(config.transformer_depth_output, count + 1)
    arguments: dict[str, Any] = {
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": widths,
        "layers_per_block": count,
        "down_block_types": ["CrossAttnDownBlock2D" if any(depths) else "DownBlock2D" for depths in down],
        "up_block_types": ["CrossAttnUpBlock2D" if any(depths) else "UpBlock2D" for depths in up],
        "attention_head_dim": [config.heads(width)[0] for width in widths],
        "cross_attention_dim": config.context_dim,
        "use_linear_projection": config.use_linear_in_transformer,
        "transformer_layers_per_block": [depths if any(depths) else [1] * count for depths in down],
        "reverse_transformer_layers_per_block": [
            depths if any(depths) else [1] * (count + 1) for depths in up
        ],
    }
    if config.transformer_depth_middle == 0:
        arguments["mid_block_type"] = "UNetMidBlock2D"
    elif config.transformer_depth_middle != config.transformer_depth[levels * count - 1]:
        arguments["transformer_layers_per_block"][-1] = config.transformer_depth_middle
    if config.adm_in_channels is not None:
        arguments["addition_embed_type"] = "text_time"
        arguments["addition_time_embed_dim"] = 256
        arguments["projection_class_embeddings_input_dim"] = config.adm_in_channels
    return arguments


def _grouped(values: tuple[int, ...], count: int) -> list[list[int]]:
    return [list(values[start : start + count]) for start in range(0, len(values), count)]


def diffusers_vae(net: AutoencoderKL) -> nn.Module:
    """The autoencoder of diffusers with the weights of ``net``."""
    diffusers = import_oracle("diffusers")
    conversion = import_oracle("diffusers.loaders.single_file_utils")
    config = net.config
    levels = len(config.ch_mult)
    with torch.device("meta"):
        twin = diffusers.AutoencoderKL(
            block_out_channels=[config.ch * mult for mult in config.ch_mult],
            layers_per_block=config.num_res_blocks,
            latent_channels=config.embed_dim,
            down_block_types=["DownEncoderBlock2D"] * levels,
            up_block_types=["UpDecoderBlock2D"] * levels,
        )
    ours = {f"first_stage_model.{key}": value for key, value in net.state_dict().items()}
    twin.load_state_dict(conversion.convert_ldm_vae_checkpoint(ours, twin.config), assign=True)
    return twin.eval()


def transformers_clip(net: CLIPTextModel) -> nn.Module:
    """The CLIP text model of transformers with the weights of ``net``."""
    transformers = import_oracle("transformers.models.clip.modeling_clip")
    config = net.config
    arguments = {
        name: getattr(config, name)
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "hidden_act")
    }
    twin = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(num_attention_heads=config.num_attention_heads, **arguments)
    )
    _load_text_weights(twin, net.state_dict())
    return twin.eval()


def transformers_open_clip(net: OpenCLIPTextModel) -> nn.Module:
    """transformers' CLIP text model with projection and the weights of an OpenCLIP tower."""
    transformers = import_oracle("transformers.models.clip.modeling_clip")
    config = net.config
    twin = transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            projection_dim=config.embed_dim,
            eos_token_id=config.vocab_size - 1,
            hidden_act="gelu",
        )
    )
    _load_text_weights(twin, _as_clip_names(net.state_dict()))
    return twin.eval()


def _load_text_weights(twin: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load by name; newer versions of transformers leave out the leading ``text_model.``."""
    names = twin.state_dict().keys()
    if not any(name.startswith("text_model.") for name in names):
        weights = {name.removeprefix("text_model."): value for name, value in weights.items()}
    twin.load_state_dict(weights)


_OPEN_CLIP_NAMES = (
    ("transformer.resblocks.", "text_model.encoder.layers."),
    ("token_embedding.", "text_model.embeddings.token_embedding."),
    ("ln_final.", "text_model.final_layer_norm."),
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".attn.", ".self_attn."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
)


def _as_clip_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {
        "text_model.embeddings.position_embedding.weight": weights["positional_embedding"],
        "text_projection.weight": weights["text_projection"].T.contiguous(),
    }
    for key, value in weights.items():
        if key in ("positional_embedding", "text_projection", "logit_scale"):
            continue
        name = key
        for old, new in _OPEN_CLIP_NAMES:
            name = name.replace(old, new)
        if ".in_proj_" in name:
            for part, third in zip("qkv", value.chunk(3), strict=True):
                renamed[name.replace(".in_proj_", f".{part}_proj.")] = third
        else:
            renamed[name] = value
    return renamed
