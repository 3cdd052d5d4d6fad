"""Stage ``diffusion``: the UNet and the text tower together learn to find the noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from modules.nets.clip_text import CLIPTextModel
from modules.nets.unet import UNetModel
from tools.default_checkpoint.networks import Average, encode_text, make_text, make_unet, signal_shares
from tools.default_checkpoint.stage import Session, load_state, set_rate
from tools.default_checkpoint.tokens import encode
from tools.default_checkpoint.train_autoencoder import LatentPool, choose_bucket, load_latents, scaled_batch

_DROPPED = 0.10  # share of captions that are emptied, for classifier-free guidance (Ho & Salimans 2022)
_MAX_SNR = 5.0  # min-SNR weighting (Hang et al. 2023)


class LatentBatches:
    """Random batches of latents and captions of one size each."""

    def __init__(self, pools: list[LatentPool], device: torch.device) -> None:
        self.pools = pools
        self.shares = torch.tensor([pool.bucket.share for pool in pools])
        self.empty = torch.from_numpy(encode("")).to(device)

    def batch(self, size: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents float32 [B, 4, h, w] and ids int64 [B, 77]; a tenth of the captions is empty."""
        pool = self.pools[choose_bucket(self.shares, generator)]
        count, device = scaled_batch(size, pool.bucket), generator.device
        rows = torch.randint(len(pool.latents), (count,), generator=generator, device=device)
        which = torch.randint(pool.ids.shape[1], (count,), generator=generator, device=device)
        ids = pool.ids[rows, which].long()
        dropped = torch.rand(count, generator=generator, device=device) < _DROPPED
        return pool.latents[rows].float(), torch.where(dropped[:, None], self.empty, ids)


class NoiseTask:
    """Noisy latents at random steps, and the weighted error of a guess of the noise."""

    def __init__(self, device: torch.device) -> None:
        self.shares = signal_shares(device)

    def draw(self, latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents, steps [B] and the noise in them."""
        device = latents.device
        steps = torch.randint(len(self.shares), (len(latents),), generator=generator, device=device)
        noise = torch.randn(latents.shape, generator=generator, device=device)
        share = self.shares[steps].view(-1, 1, 1, 1)
        return share.sqrt() * latents + (1 - share).sqrt() * noise, steps, noise

    def losses(self, guess: Tensor, noise: Tensor, steps: Tensor) -> dict[str, Tensor]:
        """``loss``: weighted by min(SNR, 5) / SNR; ``plain``: without weights."""
        errors = ((guess.float() - noise) ** 2).mean((1, 2, 3))
        snr = self.shares[steps] / (1 - self.shares[steps])
        return {"loss": (errors * snr.clamp(max=_MAX_SNR) / snr).mean(), "plain": errors.detach().mean()}


class DiffusionTrainee:
    """Noise prediction (Ho et al. 2020) on the schedule of SD1."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plan = session.preset.stages["diffusion"]
        torch.manual_seed(session.seed + 1)
        measures = session.preset.measures
        self.unet = session.place(make_unet(measures))
        self.text = session.place(make_text(measures))
        self.run_unet: Any = torch.compile(self.unet) if session.compile else self.unet
        self.parameters = [*self.unet.parameters(), *self.text.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, 1.0, (0.9, 0.99), weight_decay=1e-3)
        self.average = Average([self.unet, self.text], session.preset.average)
        self.batches = LatentBatches(load_latents(session), session.device)
        self.task = NoiseTask(session.device)

    def step(self, step: int) -> Mapping[str, Tensor]:
        generator = self.session.generator("diffusion", step)
        latents, ids = self.batches.batch(self.plan.batch, generator)
        noisy, steps, noise = self.task.draw(latents, generator)
        set_rate(self.optimiser, self.plan, step)
        with self.session.autocast():
            guess = self.run_unet(noisy, steps, encode_text(self.text, ids))
        losses = self.task.losses(guess, noise, steps)
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.average.update(step)
        return losses

    def state(self) -> dict[str, Any]:
        return {
            "unet": self.unet.state_dict(),
            "text": self.text.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.values,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load(state["average"])


def finished_networks(session: Session) -> tuple[UNetModel, CLIPTextModel]:
    """The averaged UNet and text tower, frozen."""
    averages = load_state(session, "diffusion")["average"]
    unet, text = make_unet(session.preset.measures), make_text(session.preset.measures)
    unet.load_state_dict(averages[0])
    text.load_state_dict(averages[1])
    return session.place(unet).requires_grad_(False), session.place(text).requires_grad_(False)
