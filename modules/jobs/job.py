"""A job and its ids: everything that a worker needs to paint, and nothing that it must look up."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from modules.errors import EaselError
from modules.sampling.monitor import Monitor

CALL = "call"
"""Kind of a job whose request is a function without arguments, run in turn with the pictures."""

_ID_LETTERS = string.ascii_uppercase + string.digits


class JobState(str, Enum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class JobCancelled(EaselError):
    """The job ended on request before it had anything to show."""

    status = 409


class TaskIdInUse(EaselError):
    """The id that a client chose belongs to a job that is still waiting or running."""

    status = 409


class Painter(Protocol):
    """Turns one request into a result; ``modules.processing`` has the real ones, tests have fakes."""

    def __call__(self, request: Any, settings: Any, monitor: Monitor, /) -> Any:
        """The result of ``request`` under ``settings`` (a frozen view), reporting to ``monitor``."""


@dataclass(frozen=True)
class Job:
    """What is to be done. The settings are a snapshot, so a later change never reaches this job.

    ``overrides`` are the settings that the request asked for by itself; ``settings`` has them already.
    ``client`` is who shares the workers with others in turn, ``priority`` goes before that (higher first),
    ``held`` jobs wait until they are let go. ``attached``: someone waits on an open connection and is told
    when the server stops in good order, so the job is not kept for the next start. ``spool``: keep the
    encoded pictures on disk for a client that comes back for them. ``notes`` are plain JSON data that the
    face wants back with the result.
    """

    id: str
    kind: str
    request: Any
    settings: Any = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    client: str = ""
    priority: int = 0
    held: bool = False
    attached: bool = False
    spool: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobRecord:
    """What is known of a job, as of the moment of asking. Times are seconds since the epoch."""

    id: str
    kind: str
    state: JobState
    created: float
    started: float | None = None
    finished: float | None = None
    result: Any = None
    error: BaseException | None = None
    client: str = ""
    priority: int = 0
    held: bool = False
    attempts: int = 0
    """How often a worker began it; more than one when the program ended in between."""


def create_task_id(kind: str) -> str:
    """A fresh id in the reference's form: ``task(<kind>-<7 random capitals or digits>)``."""
    return f"task({kind}-{''.join(secrets.choice(_ID_LETTERS) for _ in range(7))})"
