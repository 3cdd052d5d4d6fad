"""The way of one start: flags, environment, then webui.py in the same process.

Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.launcher.environment import LaunchEnvironment
from modules.launcher.git import Git
from modules.launcher.logs import configure_logging
from modules.launcher.pip import Pip
from modules.launcher.prepare import Preparation, Report
from modules.launcher.problems import ExitCode, LaunchProblem
from modules.launcher.requirements import installed_version
from modules.launcher.restart import take_marker
from modules.launcher.state import LauncherState
from modules.launcher.tested_versions import version_warnings
from modules.launcher.timer import Timer
from modules.launcher.versions import program_version

PROGRAM = "webui.py"
SUPPORTED = ((3, 10), (3, 13))


def run(install_dir: Path, flags: argparse.Namespace, words: Sequence[str], leave: bool = False) -> int:
    """Prepare the environment and run the program; returns its exit code.

    ``words`` are all command-line words, those of COMMANDLINE_ARGS included. ``leave`` stops before
    the program starts (``--exit``). Raises ``LaunchProblem``.
    """
    timer = Timer(print_log=flags.log_startup)
    speak_any_language()
    take_marker(install_dir, os.environ)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    configure_logging(flags.loglevel, os.environ)
    if flags.dump_sysinfo:
        return dump_sysinfo(install_dir, flags)
    if not flags.skip_prepare_environment:
        report = prepare_environment(install_dir, flags, words)
        print(_headline(install_dir, report), flush=True)
    timer.record("prepare environment")
    if leave:
        return int(ExitCode.OK)
    require_torch()
    if not flags.skip_version_check:
        print("".join(f"{line}\n" for line in version_warnings()), end="", flush=True)
    return run_program_file(install_dir / PROGRAM, timer)


def prepare_environment(install_dir: Path, flags: argparse.Namespace, words: Sequence[str]) -> Report:
    """Bring the environment into order. Raises ``LaunchProblem``."""
    variables = LaunchEnvironment.read(os.environ)
    return Preparation(
        install_dir=install_dir,
        flags=flags,
        variables=variables,
        environ=os.environ,
        words=words,
        state=LauncherState.load(install_dir),
        pip=Pip(variables.index_url, variables.live_output),
        git=Git(variables.git),
    ).run()


def run_program_file(path: Path, timer: Timer) -> int:
    """Run ``webui.py`` as the main program; it finds the running stop-watch under ``launch_timer``."""
    if not path.is_file():
        raise LaunchProblem(
            ExitCode.CHECKOUT,
            f"{path} does not exist.",
            remedy=["Take a complete copy of Easel: this one lacks its program."],
        )
    sys.argv[0] = str(path)
    try:
        runpy.run_path(str(path), init_globals={"launch_timer": timer}, run_name="__main__")
    except SystemExit as ending:
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return int(ExitCode.OK)


def require_torch() -> None:
    """Raise ``LaunchProblem`` (code 16) when PyTorch is not installed. Does not import it."""
    if installed_version("torch") is None:
        raise LaunchProblem(
            ExitCode.TORCH,
            f"PyTorch is not installed in the environment of {sys.executable}.",
            remedy=[
                "Start with ./webui.sh (webui.bat on Windows) without --skip-install and "
                "--skip-prepare-environment: it installs what is missing."
            ],
        )


def dump_sysinfo(install_dir: Path, flags: argparse.Namespace) -> int:
    """Write the description of the system into the working directory and say where."""
    from modules.launcher.sysinfo import write_report

    try:
        path = write_report(install_dir, flags, os.environ)
    except OSError as error:
        raise LaunchProblem(
            ExitCode.FOLDER,
            f"The description of the system cannot be written into {Path.cwd()}: {error.strerror or error}.",
            remedy=["Start from a folder that this user may write."],
        ) from error
    print(f"Description of the system: {path}")
    return int(ExitCode.OK)


def speak_any_language() -> None:
    """Print any path under any locale: what the terminal cannot show becomes an escape."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]


def _headline(install_dir: Path, report: Report) -> str:
    torch = installed_version("torch") or "not installed"
    first = f"Easel {program_version(install_dir)}, Python {platform.python_version()}, PyTorch {torch}."
    if report.installed:
        return f"{first} The environment is ready."
    return f"{first} Everything is installed (looked up in {report.check_seconds:.2f} s)."
