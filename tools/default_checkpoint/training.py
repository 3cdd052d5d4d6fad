"""All stages, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tools.default_checkpoint.presets import STAGES
from tools.default_checkpoint.stage import Session, Trainee, is_done, run_stage
from tools.default_checkpoint.train_autoencoder import AutoencoderTrainee, make_latents
from tools.default_checkpoint.train_diffusion import DiffusionTrainee
from tools.default_checkpoint.train_examples import EmbeddingTrainee, LoraTrainee
from tools.default_checkpoint.train_taesd import TaesdTrainee

_TRAINEES: Mapping[str, Callable[[Session], Trainee]] = MappingProxyType(
    {
        "autoencoder": AutoencoderTrainee,
        "diffusion": DiffusionTrainee,
        "taesd": TaesdTrainee,
        "lora": LoraTrainee,
        "embedding": EmbeddingTrainee,
    }
)


def train(session: Session, stages: tuple[str, ...] = STAGES) -> bool:
    """Run ``stages`` from where they stand; False when the time was up before the last step."""
    session.folder.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        if session.out_of_time:
            return False
        if not _run(session, stage):
            session.say(f"{stage}: the time is up; the same command goes on from here")
            return False
    return True


def _run(session: Session, stage: str) -> bool:
    if stage == "latents":
        return make_latents(session)
    if is_done(session, stage):
        return True
    return run_stage(session, stage, _TRAINEES[stage](session))
