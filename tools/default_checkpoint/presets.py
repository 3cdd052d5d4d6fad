"""How long and with what each stage is trained: one row for the GPU, one for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tools.default_checkpoint.networks import FULL, TINY, Measures


@dataclass(frozen=True)
class Bucket:
    """Pictures of one size, and which share of the training they are."""

    width: int
    height: int
    share: float


@dataclass(frozen=True)
class StagePreset:
    """``batch``: area of the pictures of a step, in pictures of 256 × 256; at least one picture is taken."""

    steps: int
    batch: float
    learning_rate: float
    save_every: int = 500


BUCKETS = (
    Bucket(256, 256, 0.60),
    Bucket(320, 192, 0.07),
    Bucket(192, 320, 0.07),
    Bucket(128, 128, 0.06),
    Bucket(192, 192, 0.06),
    Bucket(384, 256, 0.04),
    Bucket(256, 384, 0.04),
    Bucket(384, 384, 0.03),
    Bucket(512, 512, 0.03),
)


@dataclass(frozen=True)
class Preset:
    """``pictures``: how many the autoencoder is trained on; ``latents``: the same for the UNet."""

    name: str
    measures: Measures
    buckets: tuple[Bucket, ...]
    pictures: int
    latents: int
    stages: Mapping[str, StagePreset]
    captions_per_picture: int = 3
    average: float = 0.9995


GPU = Preset(
    name="gpu",
    measures=FULL,
    buckets=BUCKETS,
    pictures=24_000,
    latents=160_000,
    stages=MappingProxyType(
        {
            "autoencoder": StagePreset(9_000, 32, 6e-4),
            "diffusion": StagePreset(16_000, 256, 8e-4),
            "taesd": StagePreset(3_000, 32, 1e-3),
            "lora": StagePreset(1_200, 64, 2e-3),
            "embedding": StagePreset(600, 64, 1e-2),
        }
    ),
)

# The full networks on small pictures, as far as two cores come in minutes: shows whether the losses fall.
TRIAL = replace(
    GPU,
    name="trial",
    buckets=(Bucket(64, 64, 1.0),),
    pictures=512,
    latents=512,
    stages=MappingProxyType(
        {
            "autoencoder": StagePreset(150, 0.5, 1e-3, 25),
            "diffusion": StagePreset(240, 1, 8e-4, 40),
            "taesd": StagePreset(60, 0.5, 1e-3, 20),
            "lora": StagePreset(20, 0.5, 2e-3, 10),
            "embedding": StagePreset(10, 0.5, 1e-2, 10),
        }
    ),
    average=0.98,
)

SMOKE = Preset(
    name="smoke",
    measures=TINY,
    buckets=(Bucket(64, 64, 0.7), Bucket(96, 64, 0.3)),
    pictures=24,
    latents=24,
    stages=MappingProxyType(
        {
            "autoencoder": StagePreset(12, 0.25, 2e-3, 4),
            "diffusion": StagePreset(24, 0.25, 2e-3, 4),
            "taesd": StagePreset(6, 0.25, 2e-3, 4),
            "lora": StagePreset(4, 0.25, 2e-3, 4),
            "embedding": StagePreset(4, 0.25, 1e-2, 4),
        }
    ),
    average=0.9,
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in (GPU, TRIAL, SMOKE)})
STAGES: tuple[str, ...] = ("autoencoder", "latents", "diffusion", "taesd", "lora", "embedding")
