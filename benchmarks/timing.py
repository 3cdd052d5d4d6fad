"""Interleaved timing: every contender once a round, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of each round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    def ratio_to(self, other: Timing) -> float:
        """Median over the rounds of this time divided by the other's of the same round."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def interleave(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> tuple[Timing, ...]:
    """Time every contender ``rounds`` times, in turn; the order is reversed every other round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-warm_up, rounds):
        names = list(contenders)
        for name in names if number % 2 == 0 else reversed(names):
            took = _seconds(contenders[name])
            if number >= 0:
                seconds[name].append(took)
    return tuple(Timing(name, tuple(values)) for name, values in seconds.items())


def _seconds(work: Callable[[], object]) -> float:
    _finish()
    start = time.perf_counter()
    work()
    _finish()
    return time.perf_counter() - start


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine() -> str:
    """One line about what the numbers were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    python = sys.version.split()[0]
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {python}"


def print_table(title: str, timings: tuple[Timing, ...], reference: Timing) -> None:
    """Median and best seconds of each contender and its ratio to ``reference``."""
    print(f"{title}\n  {'':<24}{'median s':>10}{'best s':>10}{'ratio':>8}")
    for timing in timings:
        ratio = timing.ratio_to(reference)
        print(f"  {timing.name:<24}{timing.median:>10.4f}{timing.best:>10.4f}{ratio:>8.3f}")
    sys.stdout.flush()
