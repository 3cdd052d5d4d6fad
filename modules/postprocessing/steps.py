"""What a step of the chain is, and the bench that it works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from modules.faces.registry import FaceRestorers
from modules.postprocessing.cache import UpscaleCache
from modules.postprocessing.picture import PostprocessedImage
from modules.sampling.monitor import Monitor, NullMonitor
from modules.upscaling.registry import Upscalers

Captioner = Callable[[Image.Image], str]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Bench:
    """What steps use besides the picture and their values.

    ``settings``: view of the job. ``captioners``: name of a kind of caption → what writes it.
    ``face_detector``: file of the detector that focal crop uses when it is there.
    """

    settings: Any
    upscalers: Upscalers
    faces: FaceRestorers
    cache: UpscaleCache = field(default_factory=UpscaleCache)
    monitor: Monitor = field(default_factory=NullMonitor)
    captioners: Mapping[str, Captioner] = field(default_factory=dict)
    face_detector: Path | None = None


class Process(Protocol):
    """Changes the picture in place."""

    def __call__(self, pp: PostprocessedImage, values: Values, bench: Bench, /) -> None: ...


def _nothing(_pp: PostprocessedImage, _values: Values, _bench: Bench) -> None:
    return None


@dataclass(frozen=True)
class Step:
    """One step. Smaller ``order`` comes first.

    ``defaults``: every value of the step with its default; a step with ``enable`` in it is off by default.
    ``first_pass`` runs for the first picture before any step; ``check`` raises for values that cannot be.
    """

    name: str
    order: int
    defaults: Values
    process: Process
    first_pass: Process = _nothing
    check: Callable[[Values, Bench], None] = lambda values, bench: None

    @staticmethod
    def of_extension(script: Any) -> Step:
        """The step of an extension's ``ScriptPostprocessing`` object."""
        return Step(
            script.name,
            int(script.order),
            {},
            lambda pp, values, bench: script.process(pp, **values),
            lambda pp, values, bench: script.process_firstpass(pp, **values),
        )
