"""What the install.py of an extension may use, under the names it knows from ``import launch``.

Unlike the rest of the launcher these take command lines for a shell, because their callers quote for
one. Failures are ``RuntimeError``. Standard library only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from modules.launcher.git import Git, head_commit
from modules.launcher.pip import pip_environ
from modules.launcher.repositories import Keeper, Repository, Wanted
from modules.launcher.requirements import parse_requirement
from modules.launcher.state import LauncherState


def run(
    command: str,
    desc: str | None = None,
    errdesc: str | None = None,
    custom_env: Mapping[str, str] | None = None,
    live: bool = False,
) -> str:
    """Run ``command`` in a shell and return what it printed; ``desc`` is printed first.

    Raises ``RuntimeError`` with the command, its exit code and its output when it fails.
    """
    if desc is not None:
        print(desc, flush=True)
    finished = subprocess.run(
        command,
        shell=True,
        env=dict(custom_env) if custom_env is not None else None,
        stdout=None if live else subprocess.PIPE,
        stderr=None if live else subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if finished.returncode != 0:
        parts = [
            f"{errdesc or 'A command failed'}.",
            f"Command: {command}",
            f"Exit code: {finished.returncode}",
        ]
        parts += [text.strip() for text in (finished.stdout, finished.stderr) if text and text.strip()]
        raise RuntimeError("\n".join(parts))
    return finished.stdout or ""


def run_pip(
    command: str,
    desc: str | None = None,
    live: bool = False,
    *,
    index_url: str | None = None,
    skip: bool = False,
) -> str | None:
    """``pip`` followed by ``command``; nothing with ``skip``. Raises ``RuntimeError`` when it fails."""
    if skip:
        return None
    index = f" --index-url {index_url}" if index_url else ""
    answer = run(
        f'"{sys.executable}" -m pip {command} --prefer-binary{index}',
        desc=f"Installing {desc}" if desc else None,
        errdesc=f"Could not install {desc}" if desc else "pip failed",
        custom_env=pip_environ(),
        live=live,
    )
    importlib.invalidate_caches()
    return answer


def is_installed(package: str) -> bool:
    """Whether a distribution or a module of this name is there; a version may follow (``name>=1.2``)."""
    importlib.invalidate_caches()
    requirement = parse_requirement(package)
    if requirement is not None and requirement.clauses:
        return requirement.is_met()
    try:
        importlib.metadata.distribution(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        try:
            return importlib.util.find_spec(package) is not None
        except (ImportError, ValueError, AttributeError):
            return False
    return True


def check_run_python(code: str) -> bool:
    """Whether a piece of Python runs without an error."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def git_clone(url: str, folder: str, name: str, commit: str | None = None, git: str = "git") -> None:
    """Clone into ``folder``, at ``commit`` when given. Raises ``RuntimeError``."""
    target = Path(folder)
    if commit is None and head_commit(target):
        return
    row = Repository(target.name, "", url, commit or "HEAD")
    keeper = Keeper(target.parent, Git(git), LauncherState(Path(os.devnull)))
    wanted = Wanted(row, url, commit or "HEAD", True)
    if not keeper.is_ready(wanted) and not keeper.bring(wanted):
        raise RuntimeError(f"Could not clone {name} from {url}.")


def git_pull_recursive(folder: str, git: str = "git") -> None:
    """Bring every clone below ``folder`` up to date; failures are printed."""
    for path in sorted(Path(folder).glob("**/.git")):
        clone = path.parent
        finished = Git(git).run("-C", str(clone), "pull", "--ff-only", "--progress")
        print(f"{clone.name}: {finished.last_line if finished.output else 'up to date'}")
