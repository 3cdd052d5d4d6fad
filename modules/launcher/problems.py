"""What can go wrong before the program runs: one screen and one documented exit code each.

docs/launcher.md holds the table of codes for users. Standard library only.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TextIO

from modules.errors import EaselError

_WIDTH = 100
_MAX_DETAILS = 12


class ExitCode(IntEnum):
    """The exit codes of webui.sh, webui.bat, launch.py and webui.py."""

    OK = 0
    FAILURE = 1  # a defect, with a traceback
    USAGE = 2  # a flag is unknown or has a wrong value
    PYTHON = 10
    PLATFORM = 11
    VENV = 12
    FOLDER = 13
    SPACE = 14
    PIP = 15
    TORCH = 16
    PORT = 17
    CHECKOUT = 18
    INTERRUPTED = 130


class LaunchProblem(EaselError):
    """The program cannot start. ``headline`` is one sentence; ``remedy`` tells what to do, a line each."""

    def __init__(
        self, code: ExitCode, headline: str, *, details: Sequence[str] = (), remedy: Sequence[str] = ()
    ) -> None:
        super().__init__(headline)
        self.code = code
        self.details = tuple(details)
        self.remedy = tuple(remedy)

    def screen(self) -> str:
        """The text for the terminal: at most 30 lines of at most 100 characters."""
        lines = ["", *textwrap.wrap(f"Easel cannot start: {self.message}", _WIDTH)]
        if self.details:
            lines += ["", *("  | " + shorten(line, _WIDTH - 4) for line in self.details[-_MAX_DETAILS:])]
        if self.remedy:
            lines += ["", "What to do:"]
            for step in self.remedy:
                lines += textwrap.wrap(step, _WIDTH, initial_indent="  - ", subsequent_indent="    ")
        lines += ["", f"Exit code {int(self.code)}; docs/launcher.md explains it.", ""]
        return "\n".join(lines)


def shorten(line: str, width: int = _WIDTH) -> str:
    """``line`` cut to ``width`` characters, the cut marked with dots."""
    clean = line.rstrip().replace("\t", "    ")
    return clean if len(clean) <= width else clean[: width - 3] + "..."


def guarded(main: Callable[[], int | None], stream: TextIO | None = None) -> int:
    """Run ``main`` and return its exit code; a ``LaunchProblem`` becomes its screen and code."""
    try:
        return int(main() or 0)
    except LaunchProblem as problem:
        print(problem.screen(), file=stream or sys.stderr, flush=True)
        return int(problem.code)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=stream or sys.stderr, flush=True)
        return int(ExitCode.INTERRUPTED)
