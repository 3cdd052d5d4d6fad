"""What a sampler tells its caller, and how the caller stops it.

Samplers know nothing of queues, pages or progress bars. They talk to a ``Monitor``: a small
protocol with one real implementation (``modules.jobs.state.State``) and ``NullMonitor`` for tests
and for callers that do not care.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class SamplingInterrupted(Exception):
    """Raised by ``Monitor.check`` to leave a sampler between two model calls."""


class Monitor(Protocol):
    """Receiver of progress and source of the three stop verbs.

    ``interrupted``: end the whole job now; ``skipped``: end this batch now, go on with the next;
    ``stopping_generation``: finish this batch, then end the job.
    """

    interrupted: bool
    skipped: bool
    stopping_generation: bool
    textinfo: str | None

    def begin_job(self, job_count: int) -> None:
        """A job of ``job_count`` sampling runs starts."""

    def next_job(self) -> None:
        """One sampling run is finished; the following one starts."""

    def begin_sampling(self, steps: int) -> None:
        """A sampling run of ``steps`` steps starts."""

    def step(self, step: int) -> None:
        """Step number ``step`` (from 0) of the run is reached."""

    def latent(self, denoised: Tensor) -> None:
        """The present estimate of the clean latent, [B, C, h, w]; must return at once."""

    def check(self) -> None:
        """Raise ``SamplingInterrupted`` when interrupted or skipped. Called before each model call."""


class NullMonitor:
    """Takes every report, never stops."""

    def __init__(self) -> None:
        self.interrupted = False
        self.skipped = False
        self.stopping_generation = False
        self.textinfo: str | None = None

    def begin_job(self, job_count: int) -> None:
        """Ignore the report."""

    def next_job(self) -> None:
        """Ignore the report."""

    def begin_sampling(self, steps: int) -> None:
        """Ignore the report."""

    def step(self, step: int) -> None:
        """Ignore the report."""

    def latent(self, denoised: Tensor) -> None:
        """Ignore the report."""

    def check(self) -> None:
        """Never stop, unless a flag was set by hand."""
        if self.interrupted or self.skipped:
            raise SamplingInterrupted
