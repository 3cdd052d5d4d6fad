"""Hyper-parameters read from the names and shapes of weights.

Everything here takes ``shapes``: tensor name → shape, with the prefix of the network already removed, and
returns the configuration of the network, ``ModelFileError`` when the names make no such network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from modules.errors import ModelFileError
from modules.nets.autoencoder import AutoencoderConfig
from modules.nets.clip_text import CLIPTextConfig
from modules.nets.open_clip_text import OpenCLIPTextConfig
from modules.nets.unet import UNetConfig

Shapes = Mapping[str, tuple[int, ...]]

HEAD_WIDTH = 64
"""Width of an attention head in every published text encoder, and in the UNets of SD2 and SDXL."""

SD1_HEADS = 8
"""Number of heads in every attention layer of SD1's UNet."""


def below(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    """The part of ``shapes`` whose names begin with ``prefix``, without it."""
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def read_unet(
    shapes: Shapes, num_heads: int | None = None, num_head_channels: int | None = None
) -> UNetConfig:
    """Configuration of the UNet with these weights.

    ``num_heads`` and ``num_head_channels`` come from a yaml. Without one, projections that are
    convolutions mean SD1 with its 8 heads, and linear ones mean heads of width 64.
    """
    width, in_channels = _shape(shapes, "input_blocks.0.0.weight", 4)[:2]
    channel_mult, num_res_blocks, depths = _way_down(shapes, width)
    projections = [shape for name, shape in shapes.items() if name.endswith(".proj_in.weight")]
    contexts = {shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")}
    if len(contexts) > 1:
        raise ModelFileError(f"Its UNet expects texts of several widths at once ({sorted(contexts)}).")
    linear = bool(projections) and len(projections[0]) == 2
    if num_head_channels is None and num_heads is None and linear:
        num_head_channels = HEAD_WIDTH
    config = UNetConfig(
        in_channels=in_channels,
        out_channels=_shape(shapes, "out.2.weight", 4)[0],
        model_channels=width,
        channel_mult=tuple(channel_mult),
        num_res_blocks=tuple(num_res_blocks),
        transformer_depth=tuple(depths),
        transformer_depth_output=_way_up(shapes, sum(num_res_blocks) + len(channel_mult)),
        transformer_depth_middle=_middle_depth(shapes),
        context_dim=contexts.pop() if contexts else None,
        num_heads=num_heads or SD1_HEADS,
        num_head_channels=num_head_channels,
        use_linear_in_transformer=linear,
        adm_in_channels=shapes["label_emb.0.0.weight"][1] if "label_emb.0.0.weight" in shapes else None,
    )
    _check_heads(config)
    return config


def _way_down(shapes: Shapes, width: int) -> tuple[list[int], list[int], list[int]]:
    """channel_mult and number of residual blocks of each level, and the transformer depth of each block."""
    channel_mult: list[int] = []
    num_res_blocks = [0]
    depths: list[int] = []
    for index in range(1, _count(shapes, "input_blocks.")):
        block = f"input_blocks.{index}."
        if f"{block}0.op.weight" in shapes:
            num_res_blocks.append(0)
            continue
        channels = _shape(shapes, f"{block}0.out_layers.3.weight", 4)[0]
        if channels % width:
            raise ModelFileError(f"Its UNet has a block of {channels} channels, no multiple of {width}.")
        if not num_res_blocks[-1]:
            channel_mult.append(channels // width)
        num_res_blocks[-1] += 1
        depths.append(_count(shapes, f"{block}1.transformer_blocks."))
    if len(channel_mult) != len(num_res_blocks):
        raise ModelFileError("Its UNet has a level without residual blocks.")
    return channel_mult, num_res_blocks, depths


def _way_up(shapes: Shapes, expected: int) -> tuple[int, ...]:
    blocks = _count(shapes, "output_blocks.")
    if blocks != expected:
        raise ModelFileError(f"Its UNet has {blocks} output blocks, and its input blocks need {expected}.")
    return tuple(_count(shapes, f"output_blocks.{index}.1.transformer_blocks.") for index in range(blocks))


def _middle_depth(shapes: Shapes) -> int:
    if "middle_block.0.in_layers.2.weight" not in shapes:
        return -1
    return _count(shapes, "middle_block.1.transformer_blocks.")


def _check_heads(config: UNetConfig) -> None:
    for mult in set(config.channel_mult):
        channels = mult * config.model_channels
        unit = config.num_head_channels or config.num_heads
        if unit <= 0 or (channels % unit and any(config.transformer_depth)):
            raise ModelFileError(
                f"Its UNet has {channels} channels, which {unit} attention heads or head channels do not "
                "divide. Correct num_heads or num_head_channels in the yaml beside the checkpoint."
            )


def read_autoencoder(shapes: Shapes) -> AutoencoderConfig:
    """Configuration of the autoencoder with these weights."""
    levels = _count(shapes, "decoder.up.")
    ch = _shape(shapes, "decoder.norm_out.weight", 1)[0]
    out_ch = _shape(shapes, "decoder.conv_out.weight", 4)[0]
    z_channels = _shape(shapes, "decoder.conv_in.weight", 4)[1]
    quant = "post_quant_conv.weight" in shapes
    if any(
        _count(shapes, f"{side}.{level}.attn.")
        for side in ("encoder.down", "decoder.up")
        for level in (0, 1, 2, 3)
    ):
        raise ModelFileError("Its VAE has attention outside of the middle block, which is not supported.")
    return AutoencoderConfig(
        in_channels=_shape(shapes, "encoder.conv_in.weight", 4)[1],
        out_ch=out_ch,
        ch=ch,
        ch_mult=tuple(
            _shape(shapes, f"decoder.up.{level}.block.0.conv1.weight", 4)[0] // ch for level in range(levels)
        ),
        num_res_blocks=_count(shapes, "encoder.down.0.block."),
        z_channels=z_channels,
        embed_dim=_shape(shapes, "post_quant_conv.weight", 4)[1] if quant else z_channels,
        use_quant_conv=quant,
    )


def read_clip(shapes: Shapes, heads: int | None = None) -> CLIPTextConfig:
    """Configuration of a CLIP text encoder in the layout of Hugging Face (``text_model.``)."""
    vocab, width = _shape(shapes, "text_model.embeddings.token_embedding.weight", 2)
    return CLIPTextConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=_shape(shapes, "text_model.encoder.layers.0.mlp.fc1.weight", 2)[0],
        num_hidden_layers=_count(shapes, "text_model.encoder.layers."),
        num_attention_heads=_text_heads(width, heads),
        max_position_embeddings=_shape(shapes, "text_model.embeddings.position_embedding.weight", 2)[0],
    )


def read_open_clip(shapes: Shapes, heads: int | None = None) -> OpenCLIPTextConfig:
    """Configuration of a text tower in the layout of OpenCLIP (``transformer.resblocks.``)."""
    vocab, width = _shape(shapes, "token_embedding.weight", 2)
    projection = shapes.get("text_projection", (width, width))
    return OpenCLIPTextConfig(
        vocab_size=vocab,
        width=width,
        heads=_text_heads(width, heads),
        layers=_count(shapes, "transformer.resblocks."),
        context_length=_shape(shapes, "positional_embedding", 2)[0],
        embed_dim=projection[-1],
    )


def _text_heads(width: int, heads: int | None) -> int:
    chosen = heads if heads is not None else max(1, width // HEAD_WIDTH)
    if chosen <= 0 or width % chosen:
        raise ModelFileError(
            f"Its text encoder has the width {width}, which {chosen} heads do not divide. "
            "Correct num_attention_heads or heads in the yaml beside the checkpoint."
        )
    return chosen


def _shape(shapes: Shapes, name: str, dimensions: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        raise ModelFileError(f"It lacks the tensor {name}.")
    if len(shape) != dimensions or not all(shape):
        raise ModelFileError(
            f"Its tensor {name} has the shape {list(shape)}: {dimensions} dimensions expected."
        )
    return shape


def _count(shapes: Iterable[str], prefix: str) -> int:
    """How many numbers follow ``prefix`` in the names; they must be 0, 1, 2, ..."""
    pattern = re.compile(re.escape(prefix) + r"(\d{1,4})\.")
    found = {int(match[1]) for match in map(pattern.match, shapes) if match}
    if found != set(range(len(found))):
        raise ModelFileError(f"Its parts {prefix}N have gaps in their numbers: {sorted(found)[:20]}.")
    return len(found)
