"""The measures of the checkpoint's networks, and what training adds to them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from modules.checkpoints.schedule import alphas_cumprod
from modules.nets.autoencoder import AutoencoderConfig, AutoencoderKL
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.unet import UNetConfig, UNetModel
from tools.default_checkpoint.tokens import UNKNOWN, clip_rows

SCALE_FACTOR = 0.18215
"""SD1 multiplies its latents by this; ours are stretched so that they then have unit variance."""


@dataclass(frozen=True)
class Measures:
    """Configurations of the networks.

    Everything that weights do not tell is what the program assumes for SD1 (8 heads in the UNet, one head for
    each 64 of the text width), so the checkpoint needs no yaml.
    """

    text_width: int = 96
    text_layers: int = 4
    vae: AutoencoderConfig = field(default_factory=lambda: AutoencoderConfig(ch=32, num_res_blocks=1))
    unet: UNetConfig = field(
        default_factory=lambda: UNetConfig(
            model_channels=64,
            channel_mult=(1, 2, 2),
            num_res_blocks=(2, 2, 2),
            transformer_depth=(1, 1, 1, 1, 1, 1),
            transformer_depth_output=(1, 1, 1, 1, 1, 1, 1, 1, 1),
            context_dim=96,
        )
    )

    @property
    def text(self) -> CLIPTextConfig:
        """The text tower with a row only for the tokens that captions use."""
        return CLIPTextConfig(
            vocab_size=len(clip_rows()),
            hidden_size=self.text_width,
            intermediate_size=4 * self.text_width,
            num_hidden_layers=self.text_layers,
            num_attention_heads=max(1, self.text_width // 64),
        )


FULL = Measures()
TINY = Measures(
    text_width=32,
    text_layers=1,
    vae=AutoencoderConfig(ch=32, ch_mult=(1, 1, 1, 1), num_res_blocks=1),
    unet=UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        num_res_blocks=(1, 1),
        transformer_depth=(0, 1),
        transformer_depth_output=(1, 1, 0, 0),
        context_dim=32,
    ),
)
"""For tests of the machinery: too small to paint anything."""


def make_text(measures: Measures) -> CLIPTextModel:
    """A fresh text tower; the row of unknown words is zero and stays so."""
    text = CLIPTextModel(measures.text)
    table = text.token_embedding
    nn.init.normal_(table.weight, std=0.05)
    nn.init.normal_(text.text_model.embeddings.position_embedding.weight, std=0.02)
    table.padding_idx = UNKNOWN
    with torch.no_grad():
        table.weight[UNKNOWN] = 0
    return text


def make_unet(measures: Measures) -> UNetModel:
    """A fresh UNet. Branches begin at zero, so that it starts as the identity (Dhariwal & Nichol 2021)."""
    unet = UNetModel(measures.unet)
    for name, parameter in unet.named_parameters():
        if name.endswith(("out_layers.3.weight", "proj_out.weight", "out.2.weight")):
            nn.init.zeros_(parameter)
    return unet


def make_autoencoder(measures: Measures) -> AutoencoderKL:
    """A fresh autoencoder whose last 1×1 convolutions begin as the identity."""
    vae = AutoencoderKL(measures.vae)
    with torch.no_grad():
        for layer in (vae.quant_conv, vae.post_quant_conv):
            layer.weight.copy_(torch.eye(layer.weight.shape[0])[:, :, None, None])
            layer.bias.zero_()
    return vae


def encode_text(text: CLIPTextModel, ids: Tensor) -> Tensor:
    """What the UNet reads: the last hidden state, normalised, [B, 77, D]."""
    return text.final_layer_norm(text(ids)[-1])


def signal_shares(device: torch.device) -> Tensor:
    """SD1's schedule: the share of signal at each of the 1000 steps, float32."""
    return alphas_cumprod(0.00085, 0.012, 1000).to(device, torch.float32)


class Average:
    """Exponential moving average of weights; the window grows with the number of steps."""

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.decay = decay
        self.sources = [dict(module.named_parameters()) for module in modules]
        self.values = [
            {name: copy.deepcopy(parameter.detach()) for name, parameter in source.items()}
            for source in self.sources
        ]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` (from 0)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        for source, values in zip(self.sources, self.values, strict=True):
            torch._foreach_lerp_(list(values.values()), [p.detach() for p in source.values()], 1 - keep)

    @torch.no_grad()
    def load(self, values: list[dict[str, Tensor]]) -> None:
        """Go on from saved values."""
        for own, saved in zip(self.values, values, strict=True):
            for name, tensor in own.items():
                tensor.copy_(saved[name])
