"""Stages ``autoencoder`` and ``latents``: learn to compress pictures, then compress those the UNet sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from modules.nets.autoencoder import AutoencoderKL
from tools.default_checkpoint.networks import SCALE_FACTOR, Average, make_autoencoder
from tools.default_checkpoint.pool import Series, render_all, render_series
from tools.default_checkpoint.presets import Bucket
from tools.default_checkpoint.stage import Session, load_state, save_atomic, set_rate

_KL_WEIGHT = 3e-5
_EDGE_WEIGHT = 1.0
_STATISTICS = 512  # pictures that the scale of the latents is measured on

PICTURE_SEED, LATENT_SEED = 100, 200
"""Series of pictures; each training seed has its own."""


def series_seed(session: Session, base: int, bucket: Bucket) -> int:
    """Number of the series of a bucket's pictures."""
    return session.seed * 1_000_000 + base * 1000 + bucket.width + 7 * bucket.height


def to_signed(pixels: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in -1..1."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


class Pictures:
    """The pictures of a preset in the memory of the device, and random batches of them."""

    def __init__(self, session: Session, count: int) -> None:
        self.session = session
        self.buckets = session.preset.buckets
        self.shares = torch.tensor([bucket.share for bucket in self.buckets])
        self.pixels = []
        for bucket in self.buckets:
            series = Series(series_seed(session, PICTURE_SEED, bucket), bucket, 1)
            own = max(8, round(count * bucket.share))
            rendered = render_all(series, own, session.workers)
            self.pixels.append(torch.from_numpy(rendered.pixels).to(session.device))

    def batch(self, size: float, generator: torch.Generator) -> Tensor:
        """float32 [B, 3, H, W] in -1..1; ``size`` is for 256 × 256."""
        chosen = choose_bucket(self.shares, generator)
        pool = self.pixels[chosen]
        count = scaled_batch(size, self.buckets[chosen])
        rows = torch.randint(len(pool), (count,), generator=generator, device=generator.device)
        return to_signed(pool[rows])


def choose_bucket(shares: Tensor, generator: torch.Generator) -> int:
    """A random bucket, each as often as its share says."""
    draw = torch.rand((), generator=generator, device=generator.device).item()
    passed = torch.cumsum(shares / shares.sum(), 0) <= draw
    return min(int(passed.sum()), len(shares) - 1)


def scaled_batch(size: float, bucket: Bucket) -> int:
    """How many pictures of ``bucket`` have the area of ``size`` pictures of 256 × 256."""
    return max(1, round(size * 256 * 256 / (bucket.width * bucket.height)))


def picture_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Absolute difference of the pixels and of their steps to the right and below: edges count double."""
    loss = F.l1_loss(made, wanted) + 0.5 * F.mse_loss(made, wanted)
    for axis in (-1, -2):
        loss = loss + _EDGE_WEIGHT * F.l1_loss(made.diff(dim=axis), wanted.diff(dim=axis))
    return loss


class AutoencoderTrainee:
    """Reconstruction with a light pull of the latents to a normal distribution (Kingma & Welling 2014)."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plan = session.preset.stages["autoencoder"]
        torch.manual_seed(session.seed)
        self.vae = session.place(make_autoencoder(session.preset.measures))
        self.optimiser = torch.optim.AdamW(self.vae.parameters(), 1.0, (0.9, 0.99), weight_decay=1e-4)
        self.average = Average([self.vae], session.preset.average)
        self.pictures = Pictures(session, session.preset.pictures)

    def step(self, step: int) -> Mapping[str, Tensor]:
        generator = self.session.generator("autoencoder", step)
        pixels = self.pictures.batch(self.plan.batch, generator)
        set_rate(self.optimiser, self.plan, step)
        with self.session.autocast():
            mean, logvar = self.vae.encode(pixels)
            noise = torch.randn(mean.shape, generator=generator, device=mean.device)
            made = self.vae.decode(mean + (0.5 * logvar).exp() * noise).float()
        pull = 0.5 * (mean.float() ** 2 + logvar.float().exp() - 1 - logvar.float()).mean()
        loss = picture_loss(made, pixels)
        self.optimiser.zero_grad(set_to_none=True)
        (loss + _KL_WEIGHT * pull).backward()
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(step)
        return {"loss": loss, "pull": pull, "difference": (made.detach() - pixels).abs().mean() * 127.5}

    def state(self) -> dict[str, Any]:
        return {
            "vae": self.vae.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.values,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.vae.load_state_dict(state["vae"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load(state["average"])


@torch.no_grad()
def stretch_latents(vae: AutoencoderKL, mean: Tensor, deviation: Tensor) -> None:
    """Build into the 1×1 convolutions that scaled latents have mean 0 and deviation 1 in each channel.

    ``mean``, ``deviation``: [z], measured before. With s = 1 / (deviation · 0.18215) the new latent is
    (z - mean) · s, and the decoder begins by undoing it.
    """
    stretch = 1 / (deviation * SCALE_FACTOR)
    inward, outward = vae.quant_conv, vae.post_quant_conv
    count = len(mean)
    inward.weight[:count] *= stretch[:, None, None, None]
    inward.bias[:count] = (inward.bias[:count] - mean) * stretch
    inward.bias[count:] += 2 * stretch.log()
    outward.bias += outward.weight[:, :, 0, 0] @ mean
    outward.weight /= stretch[None, :, None, None]


@dataclass(frozen=True)
class LatentPool:
    """Scaled latents float16 [n, 4, h, w] of one bucket and their captions int16 [n, captions, 77]."""

    bucket: Bucket
    latents: Tensor
    ids: Tensor


def finished_vae(session: Session) -> AutoencoderKL:
    """The averaged autoencoder with stretched latents, frozen."""
    vae = session.place(make_autoencoder(session.preset.measures))
    saved = torch.load(session.folder / "vae.pt", map_location=session.device, weights_only=True)
    vae.load_state_dict(saved["vae"])
    return vae.requires_grad_(False)


@torch.no_grad()
def encode_scaled(vae: AutoencoderKL, pixels: Tensor, session: Session) -> Tensor:
    """Pixels uint8 [B, H, W, 3] to scaled latents float32 [B, 4, H/8, W/8] (means)."""
    with session.autocast():
        return vae.encode(to_signed(pixels.to(session.device)))[0].float() * SCALE_FACTOR


@torch.no_grad()
def _finish(session: Session) -> AutoencoderKL:
    """Take the averaged weights, measure the latents, stretch them, save ``vae.pt``."""
    path = session.folder / "vae.pt"
    if path.is_file():
        return finished_vae(session)
    vae = session.place(make_autoencoder(session.preset.measures))
    vae.load_state_dict(load_state(session, "autoencoder")["average"][0])
    bucket = session.preset.buckets[0]
    count = min(_STATISTICS, session.preset.latents)
    series = Series(series_seed(session, LATENT_SEED, bucket), bucket, 1)
    found = [
        vae.encode(to_signed(torch.from_numpy(part.pixels).to(session.device)))[0]
        for part in render_series(series, count, session.workers)
    ]
    means = torch.cat(found)
    stretch_latents(vae, means.mean((0, 2, 3)), means.std((0, 2, 3)))
    save_atomic({"vae": vae.state_dict()}, path)
    return vae.requires_grad_(False)


def make_latents(session: Session) -> bool:
    """The stage ``latents``: one file for each bucket. False when the time was up before the last one."""
    vae = _finish(session)
    for bucket in session.preset.buckets:
        path = latent_path(session, bucket)
        if path.is_file():
            continue
        if session.out_of_time:
            return False
        count = max(8, round(session.preset.latents * bucket.share))
        pool = encode_series(
            Series(series_seed(session, LATENT_SEED, bucket), bucket, session.preset.captions_per_picture),
            count,
            vae,
            session,
        )
        save_atomic({"latents": pool.latents.cpu(), "ids": pool.ids.cpu()}, path)
        session.say(
            f"latents: {count} of {bucket.width}x{bucket.height}, deviation {pool.latents.float().std():.3f}"
        )
    return True


def latent_path(session: Session, bucket: Bucket) -> Path:
    """File of one bucket's latents."""
    return session.folder / f"latents-{bucket.width}x{bucket.height}.pt"


def encode_series(series: Series, count: int, vae: AutoencoderKL, session: Session) -> LatentPool:
    """Render and encode the first ``count`` pictures of a series."""
    latents, ids = [], []
    for part in render_series(series, count, session.workers):
        latents.append(encode_scaled(vae, torch.from_numpy(part.pixels), session).half())
        ids.append(torch.from_numpy(part.ids).to(torch.int16))
    return LatentPool(series.bucket, torch.cat(latents), torch.cat(ids).to(session.device))


def load_latents(session: Session) -> list[LatentPool]:
    """All that ``make_latents`` made. Raises ``FileNotFoundError`` when it did not."""
    pools = []
    for bucket in session.preset.buckets:
        path = latent_path(session, bucket)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: run the stage 'latents' first.")
        saved = torch.load(path, map_location=session.device, weights_only=True)
        pools.append(LatentPool(bucket, saved["latents"], saved["ids"]))
    return pools
