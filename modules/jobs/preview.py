"""Live preview: the sampler drops a latent and goes on; whoever looks has it decoded elsewhere.

Nothing is decoded while nobody looks. A decoder that is slow, hangs or raises costs previews, never
a picture: it runs on a thread of its own and its result is dropped when the job has moved on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

PreviewDecoder = Callable[[Any, Any], "Image | None"]
"""(latent [B, C, h, w], settings of the job) → picture, or ``None`` when there is nothing to show."""

_log = logging.getLogger(__name__)


class LivePreview:
    """The newest latent of a job and the picture last made from one."""

    def __init__(self, decoder: PreviewDecoder | None = None) -> None:
        self._decoder = decoder
        self._changed = threading.Condition()
        self._accept: Callable[[Image, int], None] = lambda _image, _step: None
        self._settings: Any = None
        self._generation = 0
        self._clear()

    def _clear(self) -> None:
        self._latent: Any = None
        self._step = 0
        self._decoded_step = 0
        self._run = 0
        self._run_ended = False
        self._decoding = False
        self._failed = False

    def begin(self, settings: Any, accept: Callable[[Image, int], None]) -> None:
        """A job starts: ``accept(image, step)`` gets each preview of it."""
        with self._changed:
            self._generation += 1
            self._settings = settings
            self._accept = accept
            self._clear()

    def end(self) -> None:
        """The job is over: let go of its latent, ignore what is still being decoded."""
        with self._changed:
            self._generation += 1
            self._settings = None
            self._clear()
            self._changed.notify_all()

    def offer(self, latent: Any, step: int) -> None:
        """Keep ``latent`` as the newest. Returns at once; called by the sampler at every step."""
        with self._changed:
            self._latent = latent
            self._step = step

    def run_ended(self) -> None:
        """A sampling run is over: its last latent is due, and steps count from 0 again."""
        with self._changed:
            self._run_ended = self._latent is not None
            self._run += 1
            self._step = 0
            self._decoded_step = 0

    @property
    def latent(self) -> Any:
        """The newest latent that is not decoded yet, or ``None``."""
        return self._latent

    def refresh(self, wait: float = 0.0) -> None:
        """Have the newest latent decoded if it is due; wait at most ``wait`` seconds for it.

        Who comes while one is being decoded does not wait: a slow decoder must not hold up all who look.
        """
        with self._changed:
            if self._decoder is None or self._decoding or not self._is_due():
                return
            self._decoding = True
            latent, self._latent, self._run_ended = self._latent, None, False
            arguments = (latent, self._settings, self._step, (self._generation, self._run))
            threading.Thread(target=self._decode, args=arguments, name="easel-preview", daemon=True).start()
            self._changed.wait_for(lambda: not self._decoding, wait)

    def _is_due(self) -> bool:
        enabled = getattr(self._settings, "live_previews_enable", True)
        if self._latent is None or self._failed or not enabled:
            return False
        if self._run_ended:
            return True
        period = getattr(self._settings, "show_progress_every_n_steps", 1)
        return period != -1 and self._step - self._decoded_step >= period

    def _decode(self, latent: Any, settings: Any, step: int, moment: tuple[int, int]) -> None:
        image, failed = None, True
        try:
            assert self._decoder is not None
            image = self._decoder(latent, settings)
            failed = False
        except Exception:
            _log.warning("Live preview is off for this job, its decoder failed.", exc_info=True)
        finally:
            self._deliver(image, failed, step, moment)

    def _deliver(self, image: Image | None, failed: bool, step: int, moment: tuple[int, int]) -> None:
        generation, run = moment
        with self._changed:
            if generation != self._generation:
                return
            self._decoding = False
            self._failed = failed
            if run == self._run:
                self._decoded_step = step
            if image is not None:
                self._accept(image, step)
            self._changed.notify_all()
