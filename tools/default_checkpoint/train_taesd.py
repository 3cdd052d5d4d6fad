"""Stage ``taesd``: a tiny decoder for previews, in the layout of TAESD (github.com/madebyollin/taesd).

Names of its tensors are the numbers of a plain sequence: ``1.weight`` the first convolution,
``3.conv.0.weight`` the first convolution of the first block, ... ``19.weight`` the last convolution. It takes
latents in the scale of the sampler and gives pixels in 0..1. Ours is narrower (24 channels in place of 64).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.default_checkpoint.networks import SCALE_FACTOR
from tools.default_checkpoint.stage import Session, set_rate
from tools.default_checkpoint.train_autoencoder import Pictures, finished_vae, picture_loss

WIDTH = 24
_PICTURES = 2_000


class Clamp(nn.Module):
    """Soft limit of the latent at ±3, as TAESD begins."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


def make_decoder(width: int = WIDTH) -> nn.Sequential:
    """Latent [B, 4, h, w] to pixels [B, 3, 8h, 8w], about 0..1."""
    layers: list[nn.Module] = [Clamp(), nn.Conv2d(4, width, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [Block(width), Block(width), Block(width), nn.Upsample(scale_factor=2)]
        layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))
    return nn.Sequential(*layers, Block(width), nn.Conv2d(width, 3, 3, padding=1))


class TaesdTrainee:
    """The pictures themselves are what the small decoder should make of the latents."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plan = session.preset.stages["taesd"]
        torch.manual_seed(session.seed + 2)
        self.vae = finished_vae(session)
        self.decoder = session.place(make_decoder())
        self.optimiser = torch.optim.AdamW(self.decoder.parameters(), 1.0, (0.9, 0.99), weight_decay=0.0)
        self.pictures = Pictures(session, min(_PICTURES, session.preset.pictures))

    def step(self, step: int) -> Mapping[str, Tensor]:
        generator = self.session.generator("taesd", step)
        pixels = self.pictures.batch(self.plan.batch, generator)
        set_rate(self.optimiser, self.plan, step)
        with self.session.autocast():
            with torch.no_grad():
                latents = self.vae.encode(pixels)[0] * SCALE_FACTOR
            made = self.decoder(latents).float() * 2 - 1
        loss = picture_loss(made, pixels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {"loss": loss, "difference": (made.detach() - pixels).abs().mean() * 127.5}

    def state(self) -> dict[str, Any]:
        return {"decoder": self.decoder.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.decoder.load_state_dict(state["decoder"])
        self.optimiser.load_state_dict(state["optimiser"])
