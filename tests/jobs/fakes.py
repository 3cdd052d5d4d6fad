"""A painter without a network: counts steps, obeys its monitor, and can be made to wait or to fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from modules.sampling.monitor import Monitor, SamplingInterrupted


class Gate:
    """A painter stands still at ``pass_through`` until the test opens the gate."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def pass_through(self) -> None:
        """Wait to be let through; a minute is the bound of a broken test, not part of any assertion."""
        self.reached.set()
        assert self.opened.wait(60), "the gate was never opened"


@dataclass
class StepPainter:
    """Takes ``steps`` steps for each of ``runs`` runs and returns which steps it took."""

    runs: int = 1
    steps: int = 4
    gates: dict[tuple[int, int], Gate] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)

    def __call__(self, request: Any, settings: Any, monitor: Monitor, /) -> list[tuple[int, int]]:
        self.seen.append((request, settings))
        taken: list[tuple[int, int]] = []
        monitor.begin_job(self.runs)
        for run in range(self.runs):
            monitor.begin_sampling(self.steps)
            try:
                for step in range(self.steps):
                    monitor.check()
                    monitor.step(step)
                    monitor.latent((run, step))
                    if (run, step) in self.gates:
                        self.gates[run, step].pass_through()
                    taken.append((run, step))
            except SamplingInterrupted:
                if monitor.interrupted:
                    return taken
            monitor.next_job()
            if monitor.stopping_generation:
                break
        return taken
