"""Pictures whose opposite edges fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel


@contextmanager
def tiled(model: DiffusionModel, enabled: bool) -> Iterator[None]:
    """Let every convolution of UNet and VAE wrap around the edges while the block runs.

    The model belongs to the running job alone, so nobody else sees the change.
    """
    layers = [
        layer for net in (model.unet, model.vae) for layer in net.modules() if isinstance(layer, nn.Conv2d)
    ]
    if not enabled:
        yield
        return
    before = [layer.padding_mode for layer in layers]
    for layer in layers:
        layer.padding_mode = "circular"
    try:
        yield
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.padding_mode = mode
