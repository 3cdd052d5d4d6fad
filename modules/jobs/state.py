"""The state of the job in work: what a sampler reports, what a page shows, how a user stops it.

``State`` is the real ``Monitor`` of ``modules.sampling.monitor`` and carries, under their old names,
the fields and methods that extensions read and call on ``shared.state``.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from modules.jobs.commands import ServerCommands
from modules.jobs.events import STEP, Events
from modules.jobs.preview import LivePreview, PreviewDecoder
from modules.sampling.monitor import SamplingInterrupted

if TYPE_CHECKING:
    from PIL.Image import Image

UNKNOWN_JOB_COUNT = -1
"""``job_count`` from the beginning of a job until someone knows how many sampling runs it has."""


class State:
    """Progress and stop flags of one worker. One thread works, any number look or press stop.

    ``begin`` and ``end`` frame a job: no flag, preview or count of one job is seen in the next.
    """

    def __init__(self, decoder: PreviewDecoder | None = None, events: Events | None = None) -> None:
        self._events = events or Events()
        self.steps_taken = 0
        self.server_start: float | None = time.time()
        self.time_start: float | None = None
        self.job_timestamp = "0"
        self.preview = LivePreview(decoder)
        self.commands = ServerCommands()
        self._lock = threading.Lock()
        self._reset("", 0)

    def _reset(self, job: str, job_count: int) -> None:
        self.skipped = False
        self.interrupted = False
        self.stopping_generation = False
        self.job = job
        self.job_no = 0
        self.job_count = job_count
        self.processing_has_refined_job_count = False
        self.sampling_step = 0
        self.sampling_steps = 0
        self.current_image: Image | None = None
        self.current_image_sampling_step = 0
        self.id_live_preview = 0
        self.textinfo: str | None = None

    # The frame of a job, called by the worker.

    def begin(self, job: str = "(unknown)", *, settings: Any = None) -> None:
        """A job starts. ``settings``: its frozen view; says whether and how often previews are made."""
        with self._lock:
            self._reset(job, UNKNOWN_JOB_COUNT)
            self.time_start = time.time()
            self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
        self.preview.begin(settings, self._accept_preview)

    def end(self) -> None:
        """The job is over."""
        self.preview.end()
        with self._lock:
            self._reset("", 0)

    # The monitor, called by the sampler and its callers.

    def begin_job(self, job_count: int) -> None:
        """Set the number of sampling runs, unless a script that makes several jobs of one has done so."""
        if self.job_count == UNKNOWN_JOB_COUNT:
            self.job_count = job_count

    def next_job(self) -> None:
        """One sampling run is over: a skip is used up, the next run counts from step 0."""
        self.preview.run_ended()
        with self._lock:
            self.job_no += 1
            self.skipped = False
            self.sampling_step = 0
            self.current_image_sampling_step = 0

    def begin_sampling(self, steps: int) -> None:
        """A sampling run of ``steps`` steps starts."""
        self.sampling_steps = steps
        self.sampling_step = 0

    def step(self, step: int) -> None:
        """Step number ``step`` (from 0) is reached."""
        self.sampling_step = step
        self.steps_taken += 1
        if self._events.readers:
            self._events.publish(
                self.job, STEP, step=step, steps=self.sampling_steps, run=self.job_no, runs=self.job_count
            )

    def latent(self, denoised: Any) -> None:
        """Keep the estimate of the clean latent, [B, C, h, w], for whoever asks for a preview."""
        self.preview.offer(denoised, self.sampling_step)

    def check(self) -> None:
        """Leave the sampler when the job is interrupted or the batch skipped."""
        if self.interrupted or self.skipped:
            raise SamplingInterrupted

    # The stop verbs, called from any thread.

    def interrupt(self, job: str | None = None) -> bool:
        """End the running job now. With a job id: only if that job is the running one. True if it was."""
        return self._raise_flag("interrupted", job)

    def skip(self, job: str | None = None) -> bool:
        """End the running batch now and go on with the next one."""
        return self._raise_flag("skipped", job)

    def stop_generating(self, job: str | None = None) -> bool:
        """Let the running batch end, then end the job."""
        return self._raise_flag("stopping_generation", job)

    def _raise_flag(self, flag: str, job: str | None) -> bool:
        with self._lock:
            if not self.job or (job is not None and job != self.job):
                return False
            setattr(self, flag, True)
            return True

    # What faces show.

    def dict(self) -> dict[str, Any]:
        """The fields that ``/sdapi/v1/progress`` shows as ``state``."""
        return {
            "skipped": self.skipped,
            "interrupted": self.interrupted,
            "stopping_generation": self.stopping_generation,
            "job": self.job,
            "job_count": self.job_count,
            "job_timestamp": self.job_timestamp,
            "job_no": self.job_no,
            "sampling_step": self.sampling_step,
            "sampling_steps": self.sampling_steps,
        }

    def assign_current_image(self, image: Image) -> None:
        """Show ``image`` as the preview and let pages know by a new ``id_live_preview``."""
        self.current_image = image
        self.id_live_preview += 1

    def set_current_image(self) -> None:
        """Have a preview made if one is due; it appears in ``current_image`` a moment later."""
        self.preview.refresh()

    def do_set_current_image(self) -> None:
        """The same, waiting up to two seconds for it. Not for the sampler's thread."""
        self.preview.refresh(wait=2.0)

    @property
    def current_latent(self) -> Any:
        """The newest latent that has no preview yet, or ``None``."""
        return self.preview.latent

    @current_latent.setter
    def current_latent(self, latent: Any) -> None:
        self.preview.offer(latent, self.sampling_step)

    def _accept_preview(self, image: Image, step: int) -> None:
        self.current_image_sampling_step = step
        self.assign_current_image(image)

    # The server as a whole, under the names that extensions call.

    def nextjob(self) -> None:
        """Old name of ``next_job``."""
        self.next_job()

    @property
    def server_command(self) -> str | None:
        """``"stop"``, ``"restart"`` or ``"kill"`` while one waits to be obeyed."""
        return self.commands.command

    @server_command.setter
    def server_command(self, value: str | None) -> None:
        self.commands.command = value

    @property
    def need_restart(self) -> bool:
        """Whether a restart is asked for."""
        return self.commands.command == "restart"

    @need_restart.setter
    def need_restart(self, value: bool) -> None:
        self.commands.command = "restart" if value else None

    def request_restart(self) -> None:
        """End the running job and restart the server."""
        self.interrupt()
        self.commands.command = "restart"

    def wait_for_server_command(self, timeout: float | None = None) -> str | None:
        """Wait for a command to the server and take it."""
        return self.commands.wait(timeout)
