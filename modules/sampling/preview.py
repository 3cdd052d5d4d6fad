"""Small pictures of a latent for the live preview.

``Approx cheap`` is one matrix product per latent cell. ``Full`` decodes with the model. The two small
decoders need files of their own; where those are not at hand the cheap way is taken and the reason given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

METHODS = ("Full", "Approx NN", "Approx cheap", "TAESD")
_MAX_SIDE = 192  # latent cells; above this the latent is averaged first, so that the cost stays bounded

# Latent channel → red, green, blue in -1..1, fitted to the decoders of the two families.
_SD1 = (
    (0.298, 0.207, 0.208),
    (0.187, 0.286, 0.173),
    (-0.158, 0.189, 0.264),
    (-0.184, -0.271, -0.473),
)
_SDXL = (
    (0.3448, 0.4168, 0.4395),
    (-0.1953, -0.0290, 0.0250),
    (0.1074, 0.0886, -0.0163),
    (-0.3730, -0.2499, -0.2088),
)


class Decoder(Protocol):
    """What a preview needs of ``modules.checkpoints.model.DiffusionModel``."""

    @property
    def spec(self) -> Any:
        """Has ``is_sdxl``."""

    def decode_latent(self, latent: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in -1..1."""


@dataclass(frozen=True)
class Preview:
    """``pixels``: uint8 [B, H, W, 3] on the host. ``method``: the one used. ``reason``: why not another."""

    pixels: Tensor
    method: str
    reason: str | None = None


def latent_to_rgb(latent: Tensor, method: str, model: Decoder, max_side: int = _MAX_SIDE) -> Preview:
    """A preview of ``latent`` [B, C, h, w] by ``method``, one of ``METHODS``.

    Waits for the device: call it from the thread that wants the picture, never from the sampler.
    """
    if method == "Full":
        return Preview(_to_bytes(model.decode_latent(latent)), "Full")
    reason = None
    if method != "Approx cheap":
        reason = f"The preview method {method!r} has no decoder here; 'Approx cheap' is shown instead."
    if latent.shape[1] != len(_SD1):
        # Another latent space: its first channel as grey still shows that something happens.
        grey = _bounded(latent, max_side)[:, :1].float()
        pixels = (grey / grey.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)).expand(-1, 3, -1, -1)
        reason = f"There is no preview matrix for a latent of {latent.shape[1]} channels."
        return Preview(_to_bytes(pixels), "Approx cheap", reason)
    table = _SDXL if getattr(model.spec, "is_sdxl", False) else _SD1
    matrix = torch.tensor(table, dtype=torch.float32, device=latent.device)
    pixels = torch.einsum("bchw,cr->brhw", _bounded(latent, max_side).float(), matrix)
    return Preview(_to_bytes(pixels), "Approx cheap", reason)


def _bounded(latent: Tensor, max_side: int) -> Tensor:
    """``latent`` averaged down so that no side exceeds ``max_side`` cells."""
    factor = -(-max(latent.shape[-2:]) // max_side)
    return latent if factor <= 1 else F.avg_pool2d(latent, factor, ceil_mode=True)


@torch.no_grad()
def _to_bytes(pixels: Tensor) -> Tensor:
    """-1..1 [B, 3, H, W] to 0..255 [B, H, W, 3]; what is not finite becomes black."""
    unit = torch.nan_to_num(pixels.float() * 0.5 + 0.5, nan=0.0).clamp(0, 1)
    return (unit * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
