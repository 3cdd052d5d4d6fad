"""Pictures whose opposite edges fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel


class Tiles:
    """The models of one job that paint without seams, if the job wants that."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._before: dict[nn.Conv2d, str] = {}

    def add(self, model: DiffusionModel) -> None:
        """Let every convolution of UNet and VAE wrap around the edges, until ``undo``."""
        if not self.enabled:
            return
        for net in (model.unet, model.vae):
            for layer in net.modules():
                if isinstance(layer, nn.Conv2d):
                    self._before.setdefault(layer, layer.padding_mode)
                    layer.padding_mode = "circular"

    def undo(self) -> None:
        """Give all layers back as they were."""
        for layer, mode in self._before.items():
            layer.padding_mode = mode
        self._before.clear()


@contextmanager
def tiled(model: DiffusionModel, enabled: bool) -> Iterator[Tiles]:
    """Paint without seams while the block runs; further models of the job are added to what it gives.

    The models belong to the running job alone, so nobody else sees the change.
    """
    tiles = Tiles(enabled)
    try:
        tiles.add(model)
        yield tiles
    finally:
        tiles.undo()
