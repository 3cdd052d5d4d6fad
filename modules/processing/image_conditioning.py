"""The extra channels of models that see a picture besides the latent.

Inpainting models (Rombach et al. 2022, arXiv:2112.10752, section 4.5) take five: the mask, and the latent of
the picture with the masked part greyed out. Edit models (Brooks et al. 2023, arXiv:2211.09800) take four: the
latent of the picture, unscaled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from modules.devices.finite import require_finite
from modules.errors import NonFiniteError

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel


def encode_pictures(model: DiffusionModel, pixels: Tensor) -> Tensor:
    """Latents [N, C, h, w] of ``pixels`` [N, 3, H, W] in -1..1, one after the other to keep memory low.

    The mean of the posterior, so that one picture always has one latent. Retried at the next higher
    precision when it is not finite; raises ``NonFiniteError`` after that.
    """
    return torch.cat([_encode_one(model, pixels[index : index + 1]) for index in range(len(pixels))])


def _encode_one(model: DiffusionModel, pixels: Tensor) -> Tensor:
    latent = model.encode_pixels(pixels)
    if not model.policy.check_finite:
        return latent
    try:
        require_finite(latent, "the encoded picture")
    except NonFiniteError:
        higher = model.policy.higher()
        if higher is None:
            raise
        latent = model.encode_pixels(pixels, dtype=higher.vae_dtype)
        require_finite(latent, f"the picture, also when encoded in {higher.vae_dtype}")
    return latent


def blank_conditioning(model: DiffusionModel, count: int, width: int, height: int) -> Tensor | None:
    """Extra channels of ``count`` pictures painted from text alone; ``None`` for models without them."""
    if model.spec.conditioning != "hybrid":
        return None
    if model.spec.is_pix2pix:
        size = (count, model.latent_channels, height // model.downscale, width // model.downscale)
        return torch.zeros(size, device=model.device)
    latent = encode_pictures(model, torch.zeros(1, 3, height, width))
    return torch.cat([torch.ones_like(latent[:, :1]), latent], dim=1).expand(count, -1, -1, -1)


def picture_conditioning(
    model: DiffusionModel,
    pixels: Tensor,
    latent: Tensor,
    mask: Image.Image | None,
    *,
    mask_weight: float = 1.0,
    hard: bool = True,
) -> Tensor | None:
    """Extra channels of pictures painted from pictures; ``None`` for models without them.

    ``pixels``: the pictures, [N, 3, H, W] in -1..1; ``latent``: theirs, [N, C, h, w]; ``mask``: white where
    to paint, ``None`` for everywhere. ``mask_weight``: how far the masked part is greyed out, 0 to 1.
    ``hard``: the mask is 0 or 1.
    """
    if model.spec.conditioning != "hybrid":
        return None
    if model.spec.is_pix2pix:
        return _fitted(encode_pictures(model, pixels) / model.spec.scale_factor, latent)
    covering = _covering(mask, pixels, hard)
    masked = encode_pictures(model, torch.lerp(pixels, pixels * (1.0 - covering), mask_weight))
    cells = functional.interpolate(covering, size=latent.shape[-2:]).to(masked)
    return torch.cat([cells.expand(len(masked), -1, -1, -1), _fitted(masked, latent)], dim=1)


def _covering(mask: Image.Image | None, pixels: Tensor, hard: bool) -> Tensor:
    """The mask as [1, 1, H, W] in 0..1."""
    height, width = pixels.shape[-2:]
    if mask is None:
        return torch.ones(1, 1, height, width)
    grey = mask.convert("L")
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.LANCZOS)
    covering = torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255.0)[None, None]
    return covering.round() if hard else covering


def _fitted(latent: Tensor, like: Tensor) -> Tensor:
    """``latent`` in the size of ``like``, which differs with a latent resize."""
    if latent.shape[-2:] == like.shape[-2:]:
        return latent
    return functional.interpolate(latent, size=like.shape[-2:], mode="bilinear")
