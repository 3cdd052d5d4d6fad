"""Stages ``lora`` and ``embedding``: the two small files that show how the checkpoint is extended.

The LoRA (Hu et al. 2021) turns every picture into a chalk drawing; the embedding (textual inversion, Gal et
al. 2022) is a word for the colour lime, which the checkpoint has never seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from modules.nets.unet import UNetModel
from tools.default_checkpoint.networks import encode_text
from tools.default_checkpoint.pool import LEARNED_COLOUR, Series
from tools.default_checkpoint.presets import Bucket
from tools.default_checkpoint.scenes import CHALK
from tools.default_checkpoint.stage import Session, set_rate
from tools.default_checkpoint.tokens import UNKNOWN
from tools.default_checkpoint.train_autoencoder import encode_series, finished_vae, series_seed
from tools.default_checkpoint.train_diffusion import LatentBatches, NoiseTask, finished_networks

RANK = 4
_PICTURES = 3_000
_EXAMPLE_SEED = 300
_ADAPTED = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out")


class _Example:
    """What both stages share: the frozen networks and latents of pictures of one kind."""

    def __init__(self, session: Session, stage: str, kind: str) -> None:
        self.session, self.stage = session, stage
        self.plan = session.preset.stages[stage]
        self.unet, self.text = finished_networks(session)
        bucket = max(session.preset.buckets, key=lambda row: row.share)
        own = Bucket(bucket.width, bucket.height, 1.0)
        series = Series(series_seed(session, _EXAMPLE_SEED, own), own, 2, kind)
        count = min(_PICTURES, session.preset.latents)
        pool = encode_series(series, count, finished_vae(session), session)
        self.batches = LatentBatches([pool], session.device)
        self.task = NoiseTask(session.device)
        torch.manual_seed(session.seed + 3)


def adapted_layers(unet: UNetModel) -> dict[str, Tensor]:
    """Weights that the LoRA changes, by the path of their layer."""
    return {
        name.removesuffix(".weight"): parameter
        for name, parameter in unet.named_parameters()
        if name.endswith(tuple(f"{part}.weight" for part in _ADAPTED))
    }


class LoraTrainee(_Example):
    """Low-rank changes of all attention projections of the UNet."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "lora", CHALK)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for path, weight in adapted_layers(self.unet).items():
            rows, columns = weight.shape[:2]
            key = path.replace(".", "/")  # a ParameterDict takes no dots
            self.down[key] = nn.Parameter(torch.randn(RANK, columns) / columns**0.5)
            self.up[key] = nn.Parameter(torch.zeros(rows, RANK))
        self.factors = nn.ModuleList([self.down, self.up]).to(session.device)
        self.optimiser = torch.optim.AdamW(self.factors.parameters(), 1.0, (0.9, 0.99), weight_decay=1e-3)

    def step(self, step: int) -> Mapping[str, Tensor]:
        generator = self.session.generator("lora", step)
        latents, ids = self.batches.batch(self.plan.batch, generator)
        noisy, steps, noise = self.task.draw(latents, generator)
        set_rate(self.optimiser, self.plan, step)
        changed = {
            f"{path}.weight": weight + self._change(path).view_as(weight)
            for path, weight in adapted_layers(self.unet).items()
        }
        with self.session.autocast():
            context = encode_text(self.text, ids)
            guess = functional_call(self.unet, changed, (noisy, steps, context))
        losses = self.task.losses(guess, noise, steps)
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        self.optimiser.step()
        return losses

    def _change(self, path: str) -> Tensor:
        key = path.replace(".", "/")
        return self.up[key] @ self.down[key]

    def state(self) -> dict[str, Any]:
        return {"factors": self.factors.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.factors.load_state_dict(state["factors"])
        self.optimiser.load_state_dict(state["optimiser"])


class EmbeddingTrainee(_Example):
    """One vector in the place of the word that captions do not know."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "embedding", LEARNED_COLOUR)
        table = self.text.token_embedding.weight
        self.vector = nn.Parameter(table[1:].mean(0).detach().clone())
        self.optimiser = torch.optim.AdamW([self.vector], 1.0, (0.9, 0.99), weight_decay=0.0)

    def step(self, step: int) -> Mapping[str, Tensor]:
        generator = self.session.generator("embedding", step)
        latents, ids = self.batches.batch(self.plan.batch, generator)
        noisy, steps, noise = self.task.draw(latents, generator)
        set_rate(self.optimiser, self.plan, step)
        with self.session.autocast():
            words = self.text.token_embedding(ids)
            words = torch.where((ids == UNKNOWN)[..., None], self.vector, words)
            context = self.text.final_layer_norm(self.text(inputs_embeds=words)[-1])
            guess = self.unet(noisy, steps, context)
        losses = self.task.losses(guess, noise, steps)
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        self.optimiser.step()
        return losses

    def state(self) -> dict[str, Any]:
        return {"vector": self.vector.detach(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.vector.copy_(state["vector"])
        self.optimiser.load_state_dict(state["optimiser"])
