"""A model whose answer is known: its training data is a normal distribution."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from modules.checkpoints.conditioning import Conditioning
from modules.checkpoints.schedule import alphas_cumprod
from modules.sampling.monitor import NullMonitor
from modules.sampling.noise import ImageNoise
from modules.sampling.planning import SamplingPlan
from modules.sampling.run import SamplingResult, sample_img2img, sample_txt2img
from modules.sampling.samplers import find_sampler

SD1_ALPHAS = alphas_cumprod(0.00085, 0.012, 1000)
TARGET = 0.7


class NormalModel:
    """The exact network for data of mean ``TARGET`` and standard deviation ``spread`` in every element.

    The mean of a row's ``crossattn`` shifts the data, so guidance has something to tell apart. With a
    spread of 0 every sampler must end at the target; with more, the result shows which noise it had.
    """

    def __init__(self, prediction: str = "eps", spread: float = 0.0) -> None:
        self.spread = spread
        self.spec = SimpleNamespace(prediction=prediction, is_sdxl=False)
        self.alphas_cumprod = SD1_ALPHAS
        self.rows: list[int] = []
        self.tokens: list[int] = []
        self.timesteps: list[float] = []

    def predict(self, x: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
        assert len(x) == len(timesteps) == len(cond)
        self.rows.append(len(x))
        self.tokens.append(cond.crossattn.shape[1])
        self.timesteps.append(float(timesteps[0]))
        t = timesteps.double().clamp(0, 999)
        table = SD1_ALPHAS.double().log()
        low, high = table[t.floor().long()], table[t.ceil().long()]
        alpha = (low + (high - low) * t.frac()).exp().reshape(-1, 1, 1, 1)
        target = TARGET + cond.crossattn.double().mean(dim=(1, 2)).reshape(-1, 1, 1, 1)
        variance = alpha * self.spread**2 + 1 - alpha
        noise = (1 - alpha).sqrt() * (x - alpha.sqrt() * target) / variance
        if self.spec.prediction == "v":
            clean = (x - (1 - alpha).sqrt() * noise) / alpha.sqrt()
            noise = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        return noise.to(x.dtype)

    def flow_end(self, x: Tensor, sigma: float) -> Tensor:
        """Where the probability flow takes ``x`` of noise level ``sigma`` (Karras et al. 2022, eq. 1)."""
        return TARGET + (x - TARGET) * self.spread / (self.spread**2 + sigma**2) ** 0.5


def text(*values: float, tokens: int = 77) -> Conditioning:
    """One row a value, of ``tokens`` tokens that all hold the value."""
    return Conditioning(torch.tensor(values).reshape(-1, 1, 1).expand(-1, tokens, 4).contiguous())


@dataclass
class Constant:
    """The same conditioning at every step, for both kinds of schedule; remembers the steps asked for."""

    value: Any
    steps: list[int] = field(default_factory=list)

    def at(self, step: int) -> Any:
        self.steps.append(step)
        return self.value


def composed(rows: Conditioning, parts: list[list[tuple[int, float]]] | None = None) -> Constant:
    """Prompts of a batch; without ``parts`` one row an image."""
    return Constant(SimpleNamespace(rows=rows, parts=parts or [[(i, 1.0)] for i in range(len(rows))]))


class RecordingMonitor(NullMonitor):
    """Counts everything, and stops the run before model call number ``stop_at``."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.checks = 0
        self.begun: list[int] = []
        self.reached: list[int] = []
        self.latents: list[Tensor] = []

    def begin_sampling(self, steps: int) -> None:
        self.begun.append(steps)

    def step(self, step: int) -> None:
        self.reached.append(step)

    def latent(self, denoised: Tensor) -> None:
        self.latents.append(denoised)
        if self.stop_at is not None and len(self.latents) >= self.stop_at:
            self.interrupted = True

    def check(self) -> None:
        self.checks += 1
        super().check()


def plan_for(sampler: str, steps: int, model: NormalModel | None = None, **changes: Any) -> SamplingPlan:
    """A plan over the model above with one image of seed 1."""
    values: dict[str, Any] = {"cfg_scale": 7.0, "seeds": (1,), **changes}
    return SamplingPlan(model or NormalModel(), find_sampler(sampler), steps, **values)


def noise_for(plan: SamplingPlan, **changes: Any) -> ImageNoise:
    """Noise of an 8 × 8 latent for the seeds of ``plan``."""
    return ImageNoise((4, 8, 8), plan.seeds, **{"source": "CPU", **changes})


def txt2img(plan: SamplingPlan, monitor: NullMonitor | None = None, **noise: Any) -> SamplingResult:
    """Run ``plan`` with a neutral prompt for every image."""
    rows = text(*[0.0] * len(plan.seeds))
    return sample_txt2img(
        plan, noise_for(plan, **noise), composed(rows), Constant(rows), monitor or NullMonitor()
    )


def img2img(plan: SamplingPlan, init: Tensor, strength: float, **options: Any) -> SamplingResult:
    """Run ``plan`` from ``init`` with a neutral prompt for every image."""
    rows = text(*[0.0] * len(plan.seeds))
    monitor = options.pop("monitor", None) or NullMonitor()
    return sample_img2img(
        plan,
        init,
        noise_for(plan),
        composed(rows),
        Constant(rows),
        monitor=monitor,
        denoising_strength=strength,
        **options,
    )
