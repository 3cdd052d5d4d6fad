"""The denoising UNet of SD1, SD2, SDXL, its refiner and the distilled SDXL models.

Rombach et al. 2022 (arXiv:2112.10752), Podell et al. 2023 (arXiv:2307.01952). The tree of modules and the
names are those of the checkpoints (``model.diffusion_model.`` removed): extensions walk ``input_blocks``,
``middle_block`` and ``output_blocks`` by index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.devices.attention import AttentionBackend
from modules.nets.layers import Conv2d, GroupNorm32, channels_last, timestep_embedding
from modules.nets.transformer import CrossAttention, SpatialTransformer


@dataclass(frozen=True)
class UNetConfig:
    """Hyper-parameters, all of them readable from the weights but for the number of heads.

    ``transformer_depth``: transformer blocks after each residual block of the way down, in the order of
    ``input_blocks``; 0 means no transformer there. ``transformer_depth_output``: the same for every one of
    ``output_blocks``. ``transformer_depth_middle``: 1 or more gives residual, transformer, residual block;
    0 a single residual block (SSD-1B), -1 no middle block (KOALA).
    ``num_head_channels`` (width of a head; SD2, SDXL) goes before ``num_heads`` (SD1).
    ``adm_in_channels``: width of the vector conditioning ``y``, None without one.
    """

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: tuple[int, ...] = (2, 2, 2, 2)
    transformer_depth: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 0, 0)
    transformer_depth_output: tuple[int, ...] = (0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    transformer_depth_middle: int = 1
    context_dim: int | None = 768
    num_heads: int = 8
    num_head_channels: int | None = None
    use_linear_in_transformer: bool = False
    adm_in_channels: int | None = None

    def __post_init__(self) -> None:
        levels, downs = len(self.channel_mult), sum(self.num_res_blocks)
        if len(self.num_res_blocks) != levels:
            raise ValueError(
                f"num_res_blocks has {len(self.num_res_blocks)} entries, channel_mult has {levels}."
            )
        if len(self.transformer_depth) != downs:
            raise ValueError(
                f"transformer_depth has {len(self.transformer_depth)} entries, expected {downs}."
            )
        if len(self.transformer_depth_output) != downs + levels:
            raise ValueError(
                f"transformer_depth_output has {len(self.transformer_depth_output)} entries, "
                f"expected {downs + levels}."
            )

    def heads(self, channels: int) -> tuple[int, int]:
        """Number of heads and width of one head at a block of ``channels`` channels."""
        if self.num_head_channels is not None:
            return channels // self.num_head_channels, self.num_head_channels
        return self.num_heads, channels // self.num_heads


class Upsample(nn.Module):
    """Doubles the size (nearest neighbour) and convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to [B, C, 2h, 2w]."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Downsample(nn.Module):
    """Halves the size with a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.op = Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class ResBlock(nn.Module):
    """Residual block with the time embedding added between its two convolutions."""

    def __init__(self, channels: int, emb_channels: int, out_channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.out_channels = out_channels
        self.in_layers = nn.Sequential(
            GroupNorm32(32, channels), nn.SiLU(inplace=True), Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, out_channels))
        self.out_layers = nn.Sequential(
            GroupNorm32(32, out_channels),
            nn.SiLU(inplace=True),
            nn.Dropout(0.0),
            Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.skip_connection = (
            nn.Identity() if channels == out_channels else Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """``x``: [B, C, h, w], ``emb``: [B, E]. Returns [B, out_channels, h, w]."""
        h = self.in_layers(x)
        h = h + self.emb_layers(emb)[:, :, None, None]
        return self.out_layers(h) + self.skip_connection(x)


class TimestepEmbedSequential(nn.Sequential):
    """A sequence that hands each layer what it takes: the time embedding, the context, or only the map."""

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None = None) -> Tensor:
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x


class UNetModel(nn.Module):
    """``time_embed``, ``label_emb``, ``input_blocks``, ``middle_block``, ``output_blocks`` and ``out``.

    ``label_emb`` is None where the configuration has no ``adm_in_channels``.
    """

    optional_keys: frozenset[str] = frozenset()

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.in_channels = config.in_channels
        self.out_channels = config.out_channels
        self.model_channels = config.model_channels
        self.context_hook: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
        self.num_classes = None if config.adm_in_channels is None else "sequential"
        width, emb = config.model_channels, config.model_channels * 4
        self.time_embed = _embedding_mlp(width, emb)
        self.label_emb: nn.Module | None = None
        if config.adm_in_channels is not None:
            self.label_emb = nn.Sequential(_embedding_mlp(config.adm_in_channels, emb))
        self.input_blocks, skips = _input_blocks(config, emb)
        self.middle_block = _middle_block(config, emb, skips[-1])
        self.output_blocks = _output_blocks(config, emb, skips)
        self.out = nn.Sequential(
            GroupNorm32(32, width), nn.SiLU(inplace=True), Conv2d(width, config.out_channels, 3, padding=1)
        )

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights: inputs are converted to it."""
        return self.out[2].weight.dtype

    def attentions(self) -> Iterator[CrossAttention]:
        """All attention layers, in the order of the forward pass of each block."""
        return (module for module in self.modules() if isinstance(module, CrossAttention))

    def set_attention(self, backend: AttentionBackend, upcast: bool = False) -> None:
        """Use ``backend`` in every attention layer; ``upcast``: compute it in float32."""
        for layer in self.attentions():
            layer.backend = backend
            layer.upcast = upcast

    @contextmanager
    def merging_tokens(self, ratio: float) -> Iterator[None]:
        """Merge a share ``ratio`` of the tokens of maps as large as the input, while the block runs."""
        layers = [
            module
            for block in self._outermost_blocks()
            for module in block.modules()
            if isinstance(module, SpatialTransformer)
        ]
        for layer in layers:
            layer.merge_ratio = ratio
        try:
            yield
        finally:
            for layer in layers:
                layer.merge_ratio = 0.0

    def _outermost_blocks(self) -> list[nn.Module]:
        """Blocks before the first step down, and their partners on the way up."""
        down = list(self.input_blocks)
        count = next((i for i, block in enumerate(down) if isinstance(block[0], Downsample)), len(down))
        return down[:count] + list(self.output_blocks)[len(self.output_blocks) - count :]

    def set_context_hook(self, hook: Callable[[Tensor], tuple[Tensor, Tensor]] | None) -> None:
        """Let ``hook`` change what keys and values are made of in every attention layer; None: nothing."""
        self.context_hook = hook
        for layer in self.attentions():
            layer.context_hook = hook

    def embed(self, timesteps: Tensor, y: Tensor | None = None) -> Tensor:
        """Time embedding plus vector conditioning: [B] and [B, adm] to [B, 4·model_channels]."""
        emb = self.time_embed(timestep_embedding(timesteps, self.model_channels).to(self.dtype))
        if self.label_emb is None:
            return emb
        if y is None:
            raise ValueError("This UNet was trained with a vector conditioning (y), and none was given.")
        return emb + self.label_emb(y.to(self.dtype))

    def forward(
        self, x: Tensor, timesteps: Tensor, context: Tensor | None = None, y: Tensor | None = None, **_: Any
    ) -> Tensor:
        """One evaluation of the network.

        ``x``: [B, C, h, w], any height and width; ``timesteps``: [B] in 0..999, may be fractional;
        ``context``: [B, T, D]; ``y``: [B, adm]. Returns [B, out_channels, h, w] in the type of ``x``.
        """
        emb = self.embed(timesteps, y)
        context = None if context is None else context.to(self.dtype)
        h = channels_last(x.to(self.dtype))
        skips: list[Tensor] = []
        for block in self.input_blocks:
            h = block(h, emb, context)
            skips.append(h)
        h = self.middle_block(h, emb, context)
        for block in self.output_blocks:
            skip = skips.pop()
            if h.shape[-2:] != skip.shape[-2:]:
                # The way down rounds odd sides up, so the way up may be one pixel too large.
                h = F.interpolate(h, size=skip.shape[-2:], mode="nearest")
            h = block(torch.cat([h, skip], dim=1), emb, context)
        return self.out(h).to(x.dtype)


def _embedding_mlp(dim_in: int, dim_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim_in, dim_out), nn.SiLU(), nn.Linear(dim_out, dim_out))


def _transformer(config: UNetConfig, channels: int, depth: int) -> list[nn.Module]:
    if depth <= 0:
        return []
    heads, width = config.heads(channels)
    return [
        SpatialTransformer(
            channels,
            heads,
            width,
            depth=depth,
            context_dim=config.context_dim,
            use_linear=config.use_linear_in_transformer,
        )
    ]


def _input_blocks(config: UNetConfig, emb: int) -> tuple[nn.ModuleList, list[int]]:
    """The way down and the channels that each of its blocks leaves for the way up."""
    channels = config.model_channels
    blocks = nn.ModuleList([TimestepEmbedSequential(Conv2d(config.in_channels, channels, 3, padding=1))])
    skips = [channels]
    depths = iter(config.transformer_depth)
    for level, (mult, count) in enumerate(zip(config.channel_mult, config.num_res_blocks, strict=True)):
        for _ in range(count):
            target = mult * config.model_channels
            layers = [ResBlock(channels, emb, target), *_transformer(config, target, next(depths))]
            blocks.append(TimestepEmbedSequential(*layers))
            channels = target
            skips.append(channels)
        if level != len(config.channel_mult) - 1:
            blocks.append(TimestepEmbedSequential(Downsample(channels)))
            skips.append(channels)
    return blocks, skips


def _middle_block(config: UNetConfig, emb: int, channels: int) -> TimestepEmbedSequential:
    depth = config.transformer_depth_middle
    layers: list[nn.Module] = []
    if depth >= 0:
        layers.append(ResBlock(channels, emb, channels))
    if depth > 0:
        layers += [*_transformer(config, channels, depth), ResBlock(channels, emb, channels)]
    return TimestepEmbedSequential(*layers)


def _output_blocks(config: UNetConfig, emb: int, skips: list[int]) -> nn.ModuleList:
    remaining = list(skips)
    channels = remaining[-1]
    depths = iter(config.transformer_depth_output)
    blocks = nn.ModuleList()
    levels = list(enumerate(zip(config.channel_mult, config.num_res_blocks, strict=True)))
    for level, (mult, count) in reversed(levels):
        for index in range(count + 1):
            target = mult * config.model_channels
            layers: list[nn.Module] = [ResBlock(channels + remaining.pop(), emb, target)]
            layers += _transformer(config, target, next(depths))
            if level and index == count:
                layers.append(Upsample(target))
            blocks.append(TimestepEmbedSequential(*layers))
            channels = target
    return blocks
