"""Makes the virtual environment: ``python -m modules.launcher.venv FOLDER``, called by the start scripts.

Standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from functools import partial
from pathlib import Path

from modules.launcher.pip import require_space
from modules.launcher.problems import ExitCode, LaunchProblem, guarded
from modules.launcher.processes import run_program

_SPACE = 50 << 20
_LIMIT_SECONDS = 600.0


def venv_python(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_environment(folder: Path) -> None:
    """Make an environment in ``folder`` with this Python, or make it anew when it does not run any more.

    A folder that holds anything else is refused. What a failed attempt made is removed again.
    Raises ``LaunchProblem`` (codes 12, 13, 14).
    """
    broken = (folder / "pyvenv.cfg").is_file()
    if broken:
        print(f"The environment {folder} does not run any more (was its Python removed?): making it anew.")
    elif folder.exists() and any(folder.iterdir()):
        raise LaunchProblem(
            ExitCode.VENV,
            f"{folder} exists and is not a virtual environment.",
            remedy=["Move it away, or choose another folder: set venv_dir in webui-user.sh."],
        )
    _require_parts()
    _require_parent(folder)
    print(f"Making the environment {folder} with Python {platform.python_version()} ...", flush=True)
    words = [sys.executable, "-m", "venv", *(["--clear"] if broken else []), str(folder)]
    finished = run_program(words, limit=_LIMIT_SECONDS)
    if not finished.ok:
        shutil.rmtree(folder, ignore_errors=True)
        raise LaunchProblem(
            ExitCode.VENV,
            f"The environment {folder} cannot be made.",
            details=finished.output.splitlines()[-8:] or [finished.last_line],
            remedy=[_package_remedy(), "Or use another Python: set python_cmd in webui-user.sh."],
        )


def _require_parts() -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise LaunchProblem(
            ExitCode.VENV,
            f"Python {platform.python_version()} ({sys.executable}) lacks {' and '.join(missing)}, "
            "which are needed to make an environment.",
            remedy=[_package_remedy(), "Or use another Python: set python_cmd in webui-user.sh."],
        )


def _require_parent(folder: Path) -> None:
    parent = next(path for path in [folder, *folder.parents] if path.exists())
    require_space(parent, _SPACE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".easel-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise LaunchProblem(
            ExitCode.FOLDER,
            f"The environment {folder} cannot be made: {error.strerror or error}.",
            remedy=[
                f"Make {parent} writable for this user, or choose another folder: "
                "set venv_dir in webui-user.sh."
            ],
        ) from error


def _package_remedy() -> str:
    version = ".".join(platform.python_version_tuple()[:2])
    return (
        f"On Debian and Ubuntu: apt-get install python{version}-venv. "
        f"On Fedora: dnf install python{version}. On Arch: pacman -S python."
    )


def main(arguments: list[str]) -> int:
    """Exit code for the start script."""
    if len(arguments) != 1:
        print("usage: python -m modules.launcher.venv FOLDER", file=sys.stderr)
        return int(ExitCode.USAGE)
    return guarded(partial(make_environment, Path(arguments[0]).absolute()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
