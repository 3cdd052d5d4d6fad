"""The autoencoder between pictures and latents (KL-f8, Rombach et al. 2022, arXiv:2112.10752).

State-dict names are those of the checkpoints with ``first_stage_model.`` removed. Latents here are unscaled:
the caller multiplies or divides by the scale factor of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.devices.attention import SDP, AttentionBackend
from modules.nets.layers import Conv2d, GroupNorm32, channels_last

_EPS = 1e-6


@dataclass(frozen=True)
class AutoencoderConfig:
    """``ch`` channels at full size, times ``ch_mult`` per level; each further level halves the size.

    ``z_channels``: channels between encoder and quant_conv; ``embed_dim``: channels of the latent.
    ``use_quant_conv``: the 1×1 convolutions around the latent exist.
    """

    in_channels: int = 3
    out_ch: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    z_channels: int = 4
    embed_dim: int = 4
    use_quant_conv: bool = True

    @property
    def downscale(self) -> int:
        """Pixels per latent element along each side."""
        return 2 ** (len(self.ch_mult) - 1)


class ResnetBlock(nn.Module):
    """Two normalised convolutions added to the input (through a 1×1 convolution where the width changes)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm32(32, in_channels, eps=_EPS)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = GroupNorm32(32, out_channels, eps=_EPS)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttnBlock(nn.Module):
    """Attention with one head over all positions of the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = GroupNorm32(32, channels, eps=_EPS)
        self.q = Conv2d(channels, channels, 1)
        self.k = Conv2d(channels, channels, 1)
        self.v = Conv2d(channels, channels, 1)
        self.proj_out = Conv2d(channels, channels, 1)
        self.backend: AttentionBackend = SDP

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v))
        h = self.backend(q.contiguous(), k.contiguous(), v.contiguous())
        return x + self.proj_out(h.squeeze(1).transpose(1, 2).unflatten(-1, x.shape[-2:]))


class Downsample(nn.Module):
    """Halves the size; the odd row and column of padding are at the right and at the bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Doubles the size (nearest neighbour) and convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class _Level(nn.Module):
    """The blocks of one size, then the change of size (``downsample`` or ``upsample``), if any."""

    def __init__(self, channels: list[int], resize: tuple[str, nn.Module] | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(before, after) for before, after in pairwise(channels))
        if resize is not None:
            self.add_module(*resize)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.block:
            x = layer(x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class _Middle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Pixels [B, 3, H, W] to the moments [B, 2·z, H/8, W/8]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        last = len(widths) - 1
        self.conv_in = Conv2d(config.in_channels, config.ch, 3, padding=1)
        self.down = nn.ModuleList()
        before = config.ch
        for level, width in enumerate(widths):
            resize = ("downsample", Downsample(width)) if level != last else None
            self.down.append(_Level([before] + [width] * config.num_res_blocks, resize))
            before = width
        self.mid = _Middle(before)
        self.norm_out = GroupNorm32(32, before, eps=_EPS)
        self.conv_out = Conv2d(before, 2 * config.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h)), inplace=True))


class Decoder(nn.Module):
    """Latent [B, z, h, w] to pixels [B, 3, 8h, 8w].

    ``up`` is numbered from the full size and run from its end.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        before = widths[-1]
        self.conv_in = Conv2d(config.z_channels, before, 3, padding=1)
        self.mid = _Middle(before)
        levels: list[nn.Module] = []
        for level in reversed(range(len(widths))):
            width = widths[level]
            resize = ("upsample", Upsample(width)) if level else None
            levels.append(_Level([before] + [width] * (config.num_res_blocks + 1), resize))
            before = width
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = GroupNorm32(32, before, eps=_EPS)
        self.conv_out = Conv2d(before, config.out_ch, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(h), inplace=True))


class AutoencoderKL(nn.Module):
    """Encoder and decoder with the 1×1 convolutions between them."""

    optional_keys: frozenset[str] = frozenset()

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        if config.use_quant_conv:
            self.quant_conv = Conv2d(2 * config.z_channels, 2 * config.embed_dim, 1)
            self.post_quant_conv = Conv2d(config.embed_dim, config.z_channels, 1)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights: inputs are converted to it."""
        return self.decoder.conv_out.weight.dtype

    def set_attention(self, backend: AttentionBackend) -> None:
        """Use ``backend`` in the attention of both middles."""
        self.encoder.mid.attn_1.backend = backend
        self.decoder.mid.attn_1.backend = backend

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [B, 3, H, W] in -1..1 to mean and log-variance, each [B, z, H/8, W/8].

        H and W are multiples of 8.
        """
        moments = self.encoder(channels_last(pixels.to(self.dtype)))
        if self.config.use_quant_conv:
            moments = self.quant_conv(moments)
        mean, logvar = moments.chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent [B, z, h, w] to pixels [B, 3, 8h, 8w], about -1..1 and not clamped."""
        latent = channels_last(latent.to(self.dtype))
        return self.decoder(self.post_quant_conv(latent) if self.config.use_quant_conv else latent)
