"""The check that keeps black pictures from being saved."""

from __future__ import annotations

import torch
from torch import Tensor

from modules.errors import NonFiniteError


def is_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite."""
    return bool(torch.isfinite(tensor).all())


def require_finite(tensor: Tensor, what: str) -> None:
    """Raise ``NonFiniteError`` when ``tensor`` holds NaN or infinity.

    ``what`` names the tensor at the start of the sentence, for instance "The latent of step 3".
    """
    if is_finite(tensor):
        return
    bad = int((~torch.isfinite(tensor)).sum())
    raise NonFiniteError(
        f"{what} holds {bad} of {tensor.numel()} values that are NaN or infinite in {_name(tensor.dtype)}, "
        f"expected finite numbers. {_remedy(tensor.dtype)}"
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _remedy(dtype: torch.dtype) -> str:
    if dtype in (torch.float16, torch.bfloat16):
        return (
            "Start with --no-half (or --no-half-vae when only the VAE fails), "
            "or turn on the setting that upcasts cross attention to float32."
        )
    return (
        "The checkpoint, a network or an embedding is probably damaged; "
        "--disable-nan-check turns this check off."
    )
