"""Latent → pictures: decoding, the check for non-finite values, and the conversion to 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from modules.devices.finite import require_finite
from modules.errors import NonFiniteError

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel


def decode_pictures(model: DiffusionModel, latent: torch.Tensor) -> list[Image.Image]:
    """Pictures of ``latent`` [B, C, h, w], one after the other so that memory stays that of one.

    Each is retried once at the next higher precision of the autoencoder when it holds NaN or
    infinity, and refused with ``NonFiniteError`` after that: never a black picture.
    """
    return [_to_image(_decode_one(model, latent[index : index + 1])) for index in range(latent.shape[0])]


def _decode_one(model: DiffusionModel, latent: torch.Tensor) -> torch.Tensor:
    pixels = model.decode_latent(latent)
    if not model.policy.check_finite:
        return pixels[0]
    try:
        require_finite(pixels, "The decoded picture")
    except NonFiniteError:
        higher = model.policy.higher()
        if higher is None:
            raise
        pixels = model.decode_latent(latent, dtype=higher.vae_dtype)
        require_finite(pixels, f"The picture, also when decoded in {higher.vae_dtype}")
    return pixels[0]


def _to_image(pixels: torch.Tensor) -> Image.Image:
    """[3, H, W] in -1..1 → 8-bit RGB. Truncation, not rounding: the reference's pictures do that."""
    unit = ((pixels.float() + 1.0) / 2.0).clamp(0.0, 1.0)
    array = (255.0 * unit.permute(1, 2, 0).cpu().numpy()).astype(np.uint8)
    return Image.fromarray(array)
