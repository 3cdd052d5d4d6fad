"""The layers of a loaded model under every name that network files call them by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from modules.checkpoints.network_keys import TE, TE1, TE2, UNET
from modules.nets.open_clip_text import OpenCLIPTextModel, PackedAttention
from modules.nets.unet import UNetConfig

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel

RESNET_LAYERS: tuple[tuple[str, str], ...] = (
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
)
"""Layers of a residual block: here, in diffusers."""

UNET_ENDS: tuple[tuple[str, str], ...] = (
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("middle_block.0", "mid_block.resnets.0"),
    ("middle_block.1", "mid_block.attentions.0"),
    ("middle_block.2", "mid_block.resnets.1"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
)

OPEN_CLIP_LAYERS: tuple[tuple[str, str], ...] = (
    ("attn.out_proj", "self_attn.out_proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
)
"""Layers of a text block: here (OpenCLIP), in Hugging Face's layout."""

PACKED = ("q_proj", "k_proj", "v_proj")
"""The parts of the packed projection of OpenCLIP, from the first row on."""


@dataclass(frozen=True)
class Target:
    """A weight that an adapter may change.

    ``net``: index of the network, 0 for the UNet and i + 1 for text encoder i. ``weight`` and ``bias`` are
    names of parameters; ``rows``: only these rows of them.
    """

    net: int
    weight: str
    bias: str | None = None
    rows: tuple[int, int] | None = None


Targets = dict[tuple[str, str], Target]
"""(place, path with underscores) → target."""


def unet_blocks(config: UNetConfig) -> Iterator[tuple[str, str]]:
    """Paths of the blocks of the UNet here and in diffusers."""
    yield from UNET_ENDS
    last = len(config.channel_mult) - 1
    index = 1
    for level, count in enumerate(config.num_res_blocks):
        for number in range(count):
            yield f"input_blocks.{index}.0", f"down_blocks.{level}.resnets.{number}"
            yield f"input_blocks.{index}.1", f"down_blocks.{level}.attentions.{number}"
            index += 1
        if level != last:
            yield f"input_blocks.{index}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
            index += 1
    index = 0
    for level, count in enumerate(reversed(config.num_res_blocks)):
        for number in range(count + 1):
            yield f"output_blocks.{index}.0", f"up_blocks.{level}.resnets.{number}"
            if config.transformer_depth_output[index]:
                yield f"output_blocks.{index}.1", f"up_blocks.{level}.attentions.{number}"
            if number == count and level != last:
                upsample = 2 if config.transformer_depth_output[index] else 1
                yield f"output_blocks.{index}.{upsample}.conv", f"up_blocks.{level}.upsamplers.0.conv"
            index += 1


def unet_names(path: str, blocks: dict[str, str]) -> Iterator[str]:
    """The paths of a layer of the UNet, its own first."""
    yield path
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        block = blocks.get(".".join(parts[:length]))
        if block is not None:
            rest = ".".join(parts[length:])
            rest = dict(RESNET_LAYERS).get(rest, rest)
            yield f"{block}.{rest}" if rest else block
            return


def open_clip_names(path: str) -> Iterator[str]:
    """The paths of a layer of an OpenCLIP tower, its own first."""
    yield path
    if path == "ln_final":
        yield "text_model.final_layer_norm"
    elif path == "token_embedding":
        yield "text_model.embeddings.token_embedding"
    elif path.startswith("transformer.resblocks."):
        number, _, layer = path.removeprefix("transformer.resblocks.").partition(".")
        yield f"text_model.encoder.layers.{number}.{dict(OPEN_CLIP_LAYERS).get(layer, layer)}"


def _layers(net: int, module: nn.Module) -> Iterator[tuple[str, Target]]:
    """Every layer with a weight, under its own path."""
    for path, layer in module.named_modules():
        if isinstance(getattr(layer, "weight", None), nn.Parameter):
            bias = f"{path}.bias" if isinstance(getattr(layer, "bias", None), nn.Parameter) else None
            yield path, Target(net, f"{path}.weight", bias)


def _packed_layers(net: int, module: nn.Module) -> Iterator[tuple[str, Target]]:
    """Queries, keys and values of the packed projections, under the paths of Hugging Face's layout."""
    for path, layer in module.named_modules():
        if isinstance(layer, PackedAttention):
            number = path.removeprefix("transformer.resblocks.").partition(".")[0]
            width = layer.in_proj_weight.shape[1]
            weight, bias = f"{path}.in_proj_weight", f"{path}.in_proj_bias"
            yield f"{path}.in_proj", Target(net, weight, bias)
            for place, name in enumerate(PACKED):
                rows = (place * width, (place + 1) * width)
                yield f"text_model.encoder.layers.{number}.self_attn.{name}", Target(net, weight, bias, rows)


def text_places(model: DiffusionModel) -> tuple[tuple[str, int], ...]:
    """Which text encoder of ``model`` the places of the files mean, as indices of networks."""
    if not model.text_encoders:
        return ()
    if len(model.text_encoders) > 1:
        return (TE, 1), (TE1, 1), (TE2, 2)
    return ((TE2, 1),) if model.spec.is_refiner else ((TE, 1), (TE1, 1))


def model_targets(model: DiffusionModel) -> Targets:
    """Every weight of ``model`` that a network may change, by all its names."""
    targets: Targets = {}
    blocks = dict(unet_blocks(model.spec.unet))
    for path, target in _layers(0, model.unet):
        for name in unet_names(path, blocks):
            targets[UNET, name.replace(".", "_")] = target
    for place, net in text_places(model):
        encoder = model.text_encoders[net - 1]
        packed = isinstance(encoder, OpenCLIPTextModel)
        for path, target in _layers(net, encoder):
            for name in open_clip_names(path) if packed else (path,):
                targets[place, name.replace(".", "_")] = target
        for path, target in _packed_layers(net, encoder) if packed else ():
            targets[place, path.replace(".", "_")] = target
    return targets
