"""The loop that all stages share: resumable, limited in time, logged, with a curve of its loss."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from tools.default_checkpoint.curve import draw_curve
from tools.default_checkpoint.presets import Preset, StagePreset

Network = TypeVar("Network", bound=nn.Module)


@dataclass
class Session:
    """One invocation: where it writes, what it computes on, and when it must stop.

    ``deadline``: value of ``time.monotonic`` after which no step begins; None: no limit.
    """

    folder: Path
    preset: Preset
    device: torch.device
    seed: int = 1
    workers: int = 0
    deadline: float | None = None
    compile: bool = False
    say: Callable[[str], None] = field(default=print)

    @property
    def out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def generator(self, stage: str, step: int) -> torch.Generator:
        """Randomness of one step on the device: depends on nothing that went before."""
        number = sum(ord(letter) * 31**place for place, letter in enumerate(stage)) % 1_000_003
        value = (self.seed * 1_000_003 + number) * 10_000_019 + step
        return torch.Generator(self.device).manual_seed(value % (2**63))

    def place(self, module: Network) -> Network:
        """Bring a network to the device; on a GPU convolutions are faster with the channels last."""
        if self.device.type == "cuda":
            return module.to(self.device, memory_format=torch.channels_last)
        return module.to(self.device)

    def autocast(self) -> torch.autocast:
        """bfloat16 on a GPU, nothing elsewhere."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


class Trainee(Protocol):
    """What a stage trains."""

    def step(self, step: int) -> Mapping[str, torch.Tensor]:
        """Do one step and return losses that are worth a line in the log; ``loss`` is drawn."""

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on: weights, optimiser, averages."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""


def set_rate(optimiser: torch.optim.Optimizer, plan: StagePreset, step: int) -> None:
    """A short linear start, then a cosine down to a hundredth (Loshchilov & Hutter 2017)."""
    start = min(1.0, (step + 1) / max(1, min(500, plan.steps // 20)))
    rate = plan.learning_rate * start * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / plan.steps)))
    for group in optimiser.param_groups:
        group["lr"] = rate


def run_stage(session: Session, name: str, trainee: Trainee) -> bool:
    """Train until the stage's steps are done (True) or the time is up (False). Saves before it returns."""
    plan = session.preset.stages[name]
    path = session.folder / f"{name}.state.pt"
    log = session.folder / f"{name}.jsonl"
    step = _resume(path, log, trainee, session)
    begin, first, losses = time.monotonic(), step, []
    while step < plan.steps and not session.out_of_time:
        losses.append({key: value.detach() for key, value in trainee.step(step).items()})
        step += 1
        if step % plan.save_every == 0 or step == plan.steps:
            _note(log, step, losses, (time.monotonic() - begin) / (step - first), session)
            losses = []
            save_atomic({"step": step, "trainee": trainee.state()}, path)
    if losses:
        _note(log, step, losses, (time.monotonic() - begin) / (step - first), session)
        save_atomic({"step": step, "trainee": trainee.state()}, path)
    draw_curve(log, session.folder / f"{name}.png", name)
    return step >= plan.steps


def is_done(session: Session, name: str) -> bool:
    """Whether a stage has done all its steps."""
    path = session.folder / f"{name}.state.pt"
    if not path.is_file():
        return False
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return bool(saved["step"] >= session.preset.stages[name].steps)


def load_state(session: Session, name: str) -> dict[str, Any]:
    """What ``name`` saved of its trainee. Raises ``FileNotFoundError`` when it never ran."""
    path = session.folder / f"{name}.state.pt"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run the stage {name!r} first.")
    saved: dict[str, Any] = torch.load(path, map_location=session.device, weights_only=True)["trainee"]
    return saved


def _resume(path: Path, log: Path, trainee: Trainee, session: Session) -> int:
    if not path.is_file():
        return 0
    saved = torch.load(path, map_location=session.device, weights_only=True)
    trainee.load(saved["trainee"])
    step = int(saved["step"])
    if log.is_file():  # lines that a killed run wrote after its last save would stand there twice
        kept = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
        log.write_text("".join(f"{line}\n" for line in kept))
    return step


def _note(
    log: Path, step: int, losses: list[dict[str, torch.Tensor]], seconds: float, session: Session
) -> None:
    means = {key: float(torch.stack([row[key] for row in losses]).float().mean()) for key in losses[0]}
    if not all(math.isfinite(value) for value in means.values()):
        raise FloatingPointError(f"The losses before step {step} are not finite: {means}.")
    line = {
        "step": step,
        **{key: round(value, 6) for key, value in means.items()},
        "seconds": round(seconds, 4),
    }
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    session.say(f"{log.stem}: {line}")


def save_atomic(content: dict[str, Any], path: Path) -> None:
    """Write beside the file, then rename: a stop in between leaves the old state whole."""
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    temporary.replace(path)
