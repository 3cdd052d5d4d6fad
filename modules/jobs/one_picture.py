"""``--generate``: one job from the command line, without a server."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from modules.errors import EaselError
from modules.jobs.program import Program
from modules.processing.request import Txt2ImgRequest

FIELDS = {
    "negative": "negative_prompt",
    "steps": "steps",
    "seed": "seed",
    "width": "width",
    "height": "height",
    "cfg_scale": "cfg_scale",
    "sampler": "sampler_name",
    "scheduler": "scheduler",
}
"""Flag → field of the request."""

DEFAULT_STEPS = 20
EXIT_FAILED = 1


class TerminalMonitor:
    """Shows the steps of the run on one line of the terminal; Ctrl-C is left to Python."""

    def __init__(self) -> None:
        self.interrupted = False
        self.skipped = False
        self.stopping_generation = False
        self.textinfo: str | None = None
        self._steps = 0

    def begin_job(self, job_count: int) -> None:
        """Nothing to show yet."""

    def next_job(self) -> None:
        """End the line of the run."""
        print(file=sys.stderr, flush=True)

    def begin_sampling(self, steps: int) -> None:
        """Remember the length of the run."""
        self._steps = steps

    def step(self, step: int) -> None:
        """Rewrite the line."""
        if sys.stderr.isatty():
            print(f"\rStep {step + 1} of {self._steps}", end="", file=sys.stderr, flush=True)

    def latent(self, denoised: Any) -> None:
        """No preview on a terminal."""

    def check(self) -> None:
        """Nobody stops this but Ctrl-C."""


def request_from_flags(flags: Namespace) -> Txt2ImgRequest:
    """The request that the picture flags describe."""
    request = Txt2ImgRequest(prompt=flags.generate, steps=DEFAULT_STEPS)
    for flag, field in FIELDS.items():
        value = getattr(flags, flag)
        if value is not None:
            setattr(request, field, value)
    request.do_not_save_grid = True
    request.do_not_save_samples = flags.output is not None
    return request


def generate(program: Program) -> int:
    """Paint what the flags ask for, print the path of the file, and return the exit code."""
    flags = program.flags
    try:
        overrides = {"sd_model_checkpoint": flags.checkpoint} if flags.checkpoint else {}
        settings = program.options.view(overrides)
        result = program.workshop.txt2img(request_from_flags(flags), settings, TerminalMonitor())
        paths = [_save(result, Path(flags.output), settings)] if flags.output else result.saved
    except EaselError as error:
        print(f"No picture was painted: {error}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        program.hashes.close()
    for warning in result.warnings:
        print(warning, file=sys.stderr)
    for path in paths:
        print(path)
    return 0 if paths else EXIT_FAILED


def _save(result: Any, path: Path, settings: Any) -> Path:
    from modules.images.saving import save_image_as

    picture = result.images[result.index_of_first_image]
    return save_image_as(picture, path, settings, infotext=result.infotexts[result.index_of_first_image])
