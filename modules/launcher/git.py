"""Git without surprises: bounded, never asking a question, and reading commits without a process.

Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.launcher.processes import Finished, run_program

NOT_KNOWN = "<none>"
FULL_COMMIT = re.compile(r"[0-9a-f]{40}\Z")

# Set by hooks and wrappers of git; they would send our commands to another repository.
_FOREIGN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
)
_NEVER_ASK = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GCM_INTERACTIVE": "never",
}


@dataclass(frozen=True)
class Git:
    """The git executable and how long to wait for it, in seconds.

    ``silence`` bounds the time without any output (git reports its progress while it works), ``limit``
    the whole command.
    """

    executable: str = "git"
    silence: float = 20.0
    limit: float = 600.0
    environ: Mapping[str, str] | None = None

    def run(
        self, *words: str, cwd: Path | None = None, echo: Callable[[str], None] | None = None
    ) -> Finished:
        """Run one git command; a failure is in the result, never raised. ``echo`` gets its text."""
        return run_program(
            [self.executable, *words],
            cwd=cwd,
            environ=_git_environ(os.environ if self.environ is None else self.environ),
            limit=self.limit,
            silence=self.silence,
            echo=echo,
        )


def explain(finished: Finished) -> str:
    """Why a git command failed, in one line without passwords: git's first complaint, else its last word."""
    lines = [line.strip() for line in finished.output.replace("\r", "\n").splitlines()]
    complaint = next((line for line in lines if line.startswith(("fatal:", "error:"))), finished.last_line)
    return without_password(finished.gave_up or complaint)


def _git_environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in _FOREIGN}
    kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=15")
    return kept | _NEVER_ASK


def head_commit(folder: Path) -> str | None:
    """The commit checked out in ``folder``, read from its files; ``None`` when it is no repository."""
    repository = _git_folder(folder)
    if repository is None:
        return None
    head = _read(repository / "HEAD")
    if not head.startswith("ref: "):
        return head if FULL_COMMIT.match(head) else None
    reference = head[5:]
    common = repository / (_read(repository / "commondir") or ".")  # a linked work tree
    for base in (repository, common):
        commit = _read(base / reference)
        if FULL_COMMIT.match(commit):
            return commit
    for line in _read(common / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference and FULL_COMMIT.match(commit):
            return commit
    return None


def current_branch(folder: Path) -> str | None:
    """The name of the branch checked out in ``folder``, or ``None``."""
    repository = _git_folder(folder)
    head = _read(repository / "HEAD") if repository else ""
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else None


def remote_url(folder: Path) -> str | None:
    """The address of the remote called origin, without a password, or ``None``."""
    repository = _git_folder(folder)
    section = ""
    for line in _read(repository / "config").splitlines() if repository else ():
        text = line.strip()
        if text.startswith("["):
            section = text
        elif section == '[remote "origin"]' and text.partition("=")[0].strip() == "url":
            return without_password(text.partition("=")[2].strip())
    return None


def without_password(text: str) -> str:
    """``text`` with user name and password removed from every address in it."""
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1", text)


def _git_folder(folder: Path) -> Path | None:
    inner = folder / ".git"
    if inner.is_dir():
        return inner
    pointer = _read(inner)
    return (folder / pointer[8:]).resolve() if pointer.startswith("gitdir: ") else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
