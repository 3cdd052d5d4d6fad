"""Pinned clones below repositories/, each with a way to live without it.

A new repository is one row of ``REPOSITORIES``. ``<variable>_REPO`` and ``<variable>_COMMIT_HASH``
override a row. A clone is made aside, checked, and only then moved into place: what is interrupted
leaves nothing behind. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.launcher.git import FULL_COMMIT, Git, explain, head_commit, without_password
from modules.launcher.state import LauncherState

_INCOMING = ".incoming-"
_STALE_SECONDS = 3600.0


@dataclass(frozen=True)
class Repository:
    """One clone. ``package`` is what pip installs instead; ``distribution`` its name when installed.

    ``by_default``: Easel uses it. The other rows are repositories of the reference program that some
    extensions look for; they are cloned only when one of their variables is set.
    ``proof`` is a file that a complete clone holds.
    """

    folder: str
    variable: str
    url: str
    commit: str
    by_default: bool = False
    distribution: str | None = None
    package: str | None = None
    proof: str = ""


REPOSITORIES: tuple[Repository, ...] = (
    Repository(
        "k-diffusion",
        "K_DIFFUSION",
        "https://github.com/crowsonkb/k-diffusion.git",
        "ab527a9a6d347f364e3d185ba6d714e22d80cb3c",
        by_default=True,
        distribution="k-diffusion",
        package="k-diffusion==0.1.1.post1",  # its sampling.py and external.py equal those of the commit
        proof="k_diffusion/sampling.py",
    ),
    Repository(
        "stable-diffusion-webui-assets",
        "ASSETS",
        "https://github.com/AUTOMATIC1111/stable-diffusion-webui-assets.git",
        "6f7db241d2f8ba7457bac5ca9753331f0c266917",
    ),
    Repository(
        "stable-diffusion-stability-ai",
        "STABLE_DIFFUSION",
        "https://github.com/Stability-AI/stablediffusion.git",
        "cf1d67a6fd5ea1aa600c4df58e5b47da45f6bdbf",
    ),
    Repository(
        "generative-models",
        "STABLE_DIFFUSION_XL",
        "https://github.com/Stability-AI/generative-models.git",
        "45c443b316737a4ab6e40413d7794a7f5657c19f",
    ),
    Repository(
        "BLIP",
        "BLIP",
        "https://github.com/salesforce/BLIP.git",
        "48211a1594f1321b00f14c9f7a5b4813144b2fb9",
    ),
)


@dataclass(frozen=True)
class Wanted:
    """A row with its overrides applied. ``requested``: the user set one of its variables."""

    row: Repository
    url: str
    commit: str
    requested: bool

    @property
    def order(self) -> str:
        """What is remembered of an attempt; another order is tried again. The address may hold a password."""
        return hashlib.sha256(f"{self.url} {self.commit}".encode()).hexdigest()[:16]


def wanted_repositories(
    overrides: Mapping[str, str], rows: tuple[Repository, ...] = REPOSITORIES
) -> tuple[Wanted, ...]:
    """The rows that are to be there: those used by default, and those the user asked for."""
    found = []
    for row in rows:
        url = overrides.get(f"{row.variable}_REPO")
        commit = overrides.get(f"{row.variable}_COMMIT_HASH")
        if row.by_default or url or commit:
            found.append(Wanted(row, url or row.url, commit or row.commit, bool(url or commit)))
    return tuple(found)


@dataclass(frozen=True)
class Keeper:
    """Keeps the clones below ``base`` as they should be; ``say`` prints one line."""

    base: Path
    git: Git
    state: LauncherState
    say: Callable[[str], None] = print

    def is_ready(self, wanted: Wanted) -> bool:
        """Whether the clone is there at the wanted commit. Starts no process."""
        folder = self.base / wanted.row.folder
        commit = head_commit(folder)
        if commit is None or not (folder / wanted.row.proof).exists():
            return False
        if commit == wanted.commit:
            return True
        return self._remembered(wanted) == {"order": wanted.order, "commit": commit}

    def has_failed(self, wanted: Wanted) -> bool:
        """Whether this very order failed at an earlier start."""
        return self._remembered(wanted) == {"order": wanted.order, "commit": None}

    def bring(self, wanted: Wanted) -> bool:
        """Clone or replace what is there. On failure says so in one line and leaves what was there."""
        self.say(f"Cloning {wanted.row.folder} ...")
        problem, commit = self._bring(wanted)
        if problem:
            self.say(f"{wanted.row.folder}: cannot clone {without_password(wanted.url)}: {problem}")
        self.state.put("repositories", wanted.row.folder, {"order": wanted.order, "commit": commit})
        return not problem

    def _bring(self, wanted: Wanted) -> tuple[str, str | None]:
        if problem := _refuse(wanted):
            return problem, None
        target = self.base / wanted.row.folder
        if self._holds_changes(target):
            return "the folder holds changed files; move it away to have it replaced", None
        try:
            self.base.mkdir(parents=True, exist_ok=True)
            remove_stale(self.base)
            incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.base))
        except OSError as error:
            return f"{self.base} cannot be written: {error.strerror}", None
        try:
            clone = incoming / "clone"
            problem = self._clone(wanted, clone)
            if problem:
                return problem, None
            _swap(clone, target, incoming / "old")
            return "", head_commit(target)
        except OSError as error:
            return str(error), None
        finally:
            remove_tree(incoming)

    def _clone(self, wanted: Wanted, clone: Path) -> str:
        steps = (
            ("clone", "--no-checkout", "--progress", "--", wanted.url, str(clone)),
            ("-C", str(clone), "checkout", "--quiet", "--detach", wanted.commit),
        )
        for step in steps:
            finished = self.git.run(*step)
            if not finished.ok:
                return explain(finished)
        there = head_commit(clone)
        if FULL_COMMIT.match(wanted.commit) and there != wanted.commit:
            return f"asked for commit {wanted.commit}, got {there}"
        if not (clone / wanted.row.proof).exists():
            return f"{wanted.row.proof} is not in it"
        return ""

    def _holds_changes(self, folder: Path) -> bool:
        if head_commit(folder) is None:
            return False  # nothing, or the remains of something: replaced by a successful clone
        status = self.git.run("-C", str(folder), "status", "--porcelain", "--untracked-files=no")
        return status.ok and bool(status.output.strip())

    def _remembered(self, wanted: Wanted) -> Any:
        return self.state.get("repositories", wanted.row.folder)


def _refuse(wanted: Wanted) -> str:
    # Words that git would read as options, or as a helper program to run.
    if wanted.url.startswith("-") or re.match(r"\w+::", wanted.url):
        return "this is not the address of a repository"
    if not re.fullmatch(r"[0-9A-Za-z][\w./-]*", wanted.commit) or ".." in wanted.commit:
        return f"{wanted.commit!r} is neither a commit nor a branch nor a tag"
    return ""


def _swap(clone: Path, target: Path, old: Path) -> None:
    had_old = target.exists()
    if had_old:
        target.rename(old)
    try:
        clone.rename(target)
    except OSError:
        if had_old:
            old.rename(target)
        raise


def remove_stale(base: Path) -> None:
    """Remove what a killed launcher left half-made. A younger one may belong to a running launcher."""
    for path in base.glob(f"{_INCOMING}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                remove_tree(path)


def remove_tree(path: Path) -> None:
    """Remove a folder, also the write-protected files that git makes. What resists stays."""

    def unprotect(function: Callable[[str], Any], name: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            os.chmod(name, stat.S_IRWXU)  # noqa: PTH101 - rmtree hands over a string
            function(name)

    shutil.rmtree(path, onerror=unprotect)
