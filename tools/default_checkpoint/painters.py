"""Two ways to paint with the checkpoint: through the whole program, and directly, for a first look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tools.default_checkpoint.networks import SCALE_FACTOR, encode_text, signal_shares
from tools.default_checkpoint.stage import Session
from tools.default_checkpoint.tokens import encode
from tools.default_checkpoint.train_autoencoder import finished_vae
from tools.default_checkpoint.train_diffusion import finished_networks

if TYPE_CHECKING:
    from modules.processing.engine import Engine

Pixels = NDArray[np.uint8]
_BATCH = 16


@dataclass(frozen=True)
class Order:
    """One picture to paint."""

    prompt: str
    seed: int
    negative: str = ""
    guidance: float = 7.0
    width: int = 256
    height: int = 256
    steps: int = 20


class Painter(Protocol):
    """Whatever makes pictures uint8 [H, W, 3] of orders."""

    def paint(self, orders: Sequence[Order]) -> list[Pixels]:
        """One picture for each order, in their order."""


class DirectPainter:
    """DDIM (Song et al. 2021) with the networks of a run; reads no emphasis."""

    def __init__(self, session: Session) -> None:
        self.device = session.device
        self.unet, self.text = finished_networks(session)
        self.vae = finished_vae(session)
        self.shares = signal_shares(session.device)

    def paint(self, orders: Sequence[Order]) -> list[Pixels]:
        done: list[Pixels] = []
        for start in range(0, len(orders), _BATCH):
            done += self._batch(orders[start : start + _BATCH])
        return done

    @torch.inference_mode()
    def _batch(self, orders: Sequence[Order]) -> list[Pixels]:
        first = orders[0]
        if any((order.width, order.height) != (first.width, first.height) for order in orders):
            return [picture for order in orders for picture in self._batch([order])]
        texts = [order.negative for order in orders] + [order.prompt for order in orders]
        ids = torch.from_numpy(np.stack([encode(text) for text in texts])).to(self.device)
        context = encode_text(self.text, ids)
        guidance = torch.tensor([order.guidance for order in orders], device=self.device).view(-1, 1, 1, 1)
        latent = torch.stack([self._noise(order) for order in orders]).to(self.device)
        times = torch.linspace(999, 0, first.steps + 1).round().long().tolist()
        for time, following in pairwise(times):
            latent = self._step(latent, context, guidance, time, following)
        pixels = self.vae.decode(latent / SCALE_FACTOR).float().clamp(-1, 1)
        return list(((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())

    def _noise(self, order: Order) -> Tensor:
        generator = torch.Generator().manual_seed(order.seed)
        return torch.randn(4, order.height // 8, order.width // 8, generator=generator)

    def _step(self, latent: Tensor, context: Tensor, guidance: Tensor, time: int, following: int) -> Tensor:
        steps = torch.full((2 * len(latent),), time, device=self.device)
        without, given = self.unet(latent.repeat(2, 1, 1, 1), steps, context).chunk(2)
        noise = without + guidance * (given - without)
        now, then = self.shares[time], self.shares[following] if following else torch.ones(())
        clean = (latent - (1 - now).sqrt() * noise) / now.sqrt()
        return then.sqrt() * clean + (1 - then).sqrt() * noise


class EnginePainter:
    """The program's own way from a request to a picture."""

    def __init__(self, checkpoint: Path, scratch: Path, sampler: str = "DPM++ 2M") -> None:
        self.engine = _engine(checkpoint, scratch)
        self.checkpoint = checkpoint.name
        self.sampler = sampler

    def paint(self, orders: Sequence[Order]) -> list[Pixels]:
        return [self._paint(order) for order in orders]

    def _paint(self, order: Order) -> Pixels:
        from modules.options.settings import default_options
        from modules.processing.request import Txt2ImgRequest
        from modules.processing.txt2img import paint_txt2img
        from modules.sampling.monitor import NullMonitor

        request = Txt2ImgRequest(
            prompt=order.prompt,
            negative_prompt=order.negative,
            seed=order.seed,
            cfg_scale=order.guidance,
            width=order.width,
            height=order.height,
            steps=order.steps,
            sampler_name=self.sampler,
            do_not_save_samples=True,
            do_not_save_grid=True,
        )
        settings = default_options().view({"sd_model_checkpoint": self.checkpoint, "randn_source": "CPU"})
        result = paint_txt2img(request, self.engine, settings, NullMonitor())
        return np.asarray(result.images[0].convert("RGB"))


def _engine(checkpoint: Path, scratch: Path) -> Engine:
    """An engine that knows this one checkpoint and writes nothing but hashes, into ``scratch``."""
    from modules.checkpoints.catalogue import CheckpointCatalogue
    from modules.checkpoints.hashes import HashStore
    from modules.checkpoints.store import ModelStore
    from modules.checkpoints.vae_files import VaeFiles
    from modules.devices.policy import DevicePolicy
    from modules.processing.engine import Engine
    from modules.prompts.styles import StyleDatabase

    scratch.mkdir(parents=True, exist_ok=True)
    catalogue = CheckpointCatalogue([checkpoint.parent], HashStore(scratch / "hashes"))
    catalogue.refresh()
    policy = DevicePolicy(torch.device("cpu"))
    return Engine(
        ModelStore(catalogue, policy),
        VaeFiles([], [checkpoint.parent]),
        StyleDatabase([]),
        scratch,
        hashing=False,
        keep_last_infotext=False,
    )
