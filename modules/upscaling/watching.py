"""How an upscaler reports its progress and learns that it shall stop."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """The part of a job's monitor that an upscaler uses."""

    def begin_sampling(self, steps: int) -> None:
        """A pass over ``steps`` tiles starts."""

    def step(self, step: int) -> None:
        """Tile number ``step`` (from 0) is reached."""

    def check(self) -> None:
        """Raise when the job is to stop. Called before each tile."""


class NoWatcher:
    """Takes every report, never stops."""

    def begin_sampling(self, steps: int) -> None:
        """Ignore the report."""

    def step(self, step: int) -> None:
        """Ignore the report."""

    def check(self) -> None:
        """Go on."""
