"""Calls pip and turns its failures into one screen with a remedy. Standard library only."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.launcher.problems import ExitCode, LaunchProblem, shorten
from modules.launcher.processes import Finished, run_program


@dataclass(frozen=True)
class Complaint:
    """A pattern in pip's output, and what it means for the user."""

    pattern: str
    code: ExitCode
    remedy: str


# The first that matches decides.
COMPLAINTS: tuple[Complaint, ...] = (
    Complaint(
        r"No space left on device|Errno 28|not enough space",
        ExitCode.SPACE,
        "Free some space on this disk (a CPU installation takes 3 GB, one with CUDA 10 GB) and start again. "
        "Another disk for temporary files: set TMPDIR.",
    ),
    Complaint(
        r"externally-managed-environment",
        ExitCode.FOLDER,
        "This Python belongs to the system. Start with ./webui.sh, which makes an environment of its own.",
    ),
    Complaint(
        r"Permission denied|Read-only file system|Errno 13|Errno 30",
        ExitCode.FOLDER,
        "Make the environment's folder writable for this user, or delete it: ./webui.sh makes it again.",
    ),
    Complaint(
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        ExitCode.PIP,
        "Something between here and the package index replaces certificates. Give its certificate to pip: "
        "set PIP_CERT to the file.",
    ),
    Complaint(
        r"NewConnectionError|Name or service not known|Temporary failure in name resolution"
        r"|Max retries exceeded|ConnectTimeout|ReadTimeout|ProxyError|Connection refused|Could not fetch URL",
        ExitCode.PIP,
        "The package index cannot be reached. Check the network and the proxy (HTTPS_PROXY), or name a "
        "mirror: set INDEX_URL.",
    ),
    Complaint(
        r"ResolutionImpossible|conflicting dependencies",
        ExitCode.PIP,
        "Two requirements exclude each other; an extension or a REQS_FILE of your own may have added one.",
    ),
    Complaint(
        r"No matching distribution found|Could not find a version",
        ExitCode.PIP,
        "There is no ready-made package for this Python or system. Use a 64-bit Python 3.11 or 3.12.",
    ),
    Complaint(
        r"No module named pip",
        ExitCode.PIP,
        "This Python has no pip. Delete the environment's folder (venv) and start again.",
    ),
)


class Progress:
    """Shows the last thing pip said in one changing line of a terminal, and nothing elsewhere."""

    def __init__(self, live: bool = False) -> None:
        self.live = live
        self.tty = sys.stdout.isatty()
        self._shown = False

    def __call__(self, text: str) -> None:
        if self.live:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if self.tty and lines:
            width = max(20, shutil.get_terminal_size().columns - 1)
            sys.stdout.write("\r\033[K" + shorten("  " + lines[-1], width))
            sys.stdout.flush()
            self._shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()
            self._shown = False


@dataclass(frozen=True)
class Pip:
    """pip of one Python. ``index_url`` is added to every installation; ``live`` streams its output."""

    index_url: str | None = None
    live: bool = False
    python: str = sys.executable
    environ: Mapping[str, str] | None = None
    run: Callable[..., Finished] = run_program

    def module(self, words: Sequence[str], what: str) -> None:
        """``python -m words``; ``words`` start with ``pip``. Raises ``LaunchProblem`` when it fails."""
        command = [self.python, "-m", *words]
        if self.index_url and list(words[:2]) == ["pip", "install"] and "--index-url" not in words:
            command += ["--index-url", self.index_url]
        progress = Progress(self.live)
        print(f"Installing {what} ...", flush=True)
        finished = self.run(command, environ=pip_environ(self.environ), echo=progress)
        progress.clear()
        importlib.invalidate_caches()
        if not finished.ok:
            raise explain_failure(what, finished)

    def install(self, words: Sequence[str], what: str) -> None:
        """``pip install`` from wheels alone: nothing is compiled on the user's machine."""
        self.module(["pip", "install", "--only-binary=:all:", *words], what)

    def ensure(self) -> None:
        """Bring pip itself into an environment made without it."""
        if self.run([self.python, "-m", "pip", "--version"], limit=60).ok:
            return
        finished = self.run([self.python, "-m", "ensurepip", "--default-pip"], limit=120)
        if not finished.ok:
            raise explain_failure("pip", finished)


def pip_environ(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of pip: no questions, no talk about its own version."""
    return {
        **(os.environ if environ is None else environ),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONUTF8": "1",
    }


def explain_failure(what: str, finished: Finished) -> LaunchProblem:
    """The screen for a failed pip: its last lines and the remedy."""
    complaint = next((c for c in COMPLAINTS if re.search(c.pattern, finished.output)), None)
    lines = [line for line in finished.output.replace("\r", "\n").splitlines() if line.strip()]
    remedy = [complaint.remedy] if complaint else []
    return LaunchProblem(
        complaint.code if complaint else ExitCode.PIP,
        f"pip could not install {what}.",
        details=lines[-10:],
        remedy=[
            *remedy,
            "Start again: what was installed already stays.",
            "To see all that pip says: set WEBUI_LAUNCH_LIVE_OUTPUT=1.",
        ],
    )


def site_folder() -> Path:
    """Where pip puts packages."""
    return Path(sysconfig.get_path("purelib"))


def require_writable(folder: Path) -> None:
    """Raise ``LaunchProblem`` (code 13) unless a file can be made in ``folder``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise LaunchProblem(
            ExitCode.FOLDER,
            f"Packages must be installed, but {folder} cannot be written: {error.strerror or error}.",
            remedy=[
                "Make it writable for this user, or choose another place for the environment: "
                "set venv_dir in webui-user.sh (VENV_DIR in webui-user.bat).",
                "Where everything is installed already, the folder may be read-only.",
            ],
        ) from error


def require_space(folder: Path, needed: int, free: Callable[[Path], int] | None = None) -> None:
    """Raise ``LaunchProblem`` (code 14) when the disk of ``folder`` has less than ``needed`` bytes left."""
    try:
        left = free(folder) if free else shutil.disk_usage(folder).free
    except OSError:
        return  # an odd file system: pip will tell
    if left < needed:
        raise LaunchProblem(
            ExitCode.SPACE,
            f"The packages need {needed / 2**30:.1f} GB; the disk of {folder} has {left / 2**30:.1f} left.",
            remedy=[
                "Free some space and start again.",
                "Or put the environment on another disk: set venv_dir in webui-user.sh "
                "(VENV_DIR in webui-user.bat).",
            ],
        )
