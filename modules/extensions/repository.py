"""What git tells about the folder of an extension, and bringing it to another commit.

Every failure is an ``ExtensionError`` with one sentence that says what failed, which proxy is in use and
how to go on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.errors import EaselError
from modules.launcher.git import FULL_COMMIT, Git, current_branch, explain, head_commit, remote_url
from modules.launcher.git import without_password as hidden
from modules.launcher.processes import Finished

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")


class ExtensionError(EaselError):
    """Something about an extension could not be done. One sentence; nothing is left half-made."""

    status = 422


@dataclass(frozen=True)
class RepositoryFacts:
    """``commit_date`` is a unix time in seconds, 0 when it is not known. ``version``: tag or short commit."""

    commit: str
    branch: str | None
    remote: str | None
    commit_date: int
    version: str


def read_facts(folder: Path, git: Git) -> RepositoryFacts | None:
    """Facts of the clone in ``folder``; ``None`` when it is no clone."""
    commit = head_commit(folder)
    if commit is None:
        return None
    shown = git.run("-C", str(folder), "log", "-1", "--format=%ct")
    date = shown.output.strip()
    described = git.run("-C", str(folder), "describe", "--tags", "--exact-match", commit)
    tag = described.output.strip() if described.ok else ""
    return RepositoryFacts(
        commit,
        current_branch(folder),
        remote_url(folder),
        int(date) if shown.ok and date.isdigit() else 0,
        tag or commit[:8],
    )


def newer_commit(folder: Path, git: Git) -> str | None:
    """The commit that the remote branch is at, or ``None`` when the clone is there already.

    Asks the remote without changing the clone. Raises ``ExtensionError``.
    """
    branch = current_branch(folder)
    wanted = f"refs/heads/{branch}" if branch else "HEAD"
    asked = git.run("-C", str(folder), "ls-remote", "origin", wanted)
    if not asked.ok:
        raise failure(f"The remote of the extension {folder.name} cannot be asked for updates", asked, git)
    commit = asked.output.strip().splitlines()[-1].split()[0] if asked.output.strip() else ""
    if not FULL_COMMIT.match(commit):
        raise ExtensionError(
            f"The remote of the extension {folder.name} has no branch {branch!r} any more: "
            "install it anew, or switch its branch."
        )
    return None if commit == head_commit(folder) else commit


def require_unchanged(folder: Path, git: Git) -> None:
    """Raises ``ExtensionError`` when tracked files of the clone were edited."""
    status = git.run("-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    changed = [line for line in status.output.splitlines() if line.strip()]
    if status.ok and changed:
        raise ExtensionError(
            f"The extension {folder.name} has {len(changed)} changed file(s), first {changed[0][3:]}: "
            "commit or undo the changes, then try again."
        )


def bring_to(folder: Path, git: Git, commit: str | None = None) -> str:
    """Bring the clone to ``commit``, or to the head of its remote branch; returns the commit.

    Changed files are refused; local commits are left behind only when ``commit`` says so. Raises
    ``ExtensionError``; the clone then stays where it was.
    """
    require_unchanged(folder, git)
    fetched = git.run("-C", str(folder), "fetch", "--no-recurse-submodules", "--tags", "--progress", "origin")
    if not fetched.ok and not (commit and _has(folder, commit, git)):
        raise failure(f"The extension {folder.name} cannot be updated", fetched, git)
    if commit is not None:
        done = git.run("-C", str(folder), *_NO_HOOKS, "reset", "--hard", "--quiet", commit)
    else:
        branch = current_branch(folder)
        target = f"origin/{branch}" if branch else "origin/HEAD"
        done = git.run("-C", str(folder), *_NO_HOOKS, "merge", "--ff-only", "--quiet", target)
    if not done.ok:
        raise failure(f"The extension {folder.name} cannot be brought to {commit or 'its newest'}", done, git)
    return head_commit(folder) or ""


def reset_to_remote(folder: Path, git: Git, commit: str | None = None) -> None:
    """Fetch, then drop every change and local commit. Raises ``ExtensionError``."""
    fetched = git.run("-C", str(folder), "fetch", "--no-recurse-submodules", "--progress", "origin")
    if not fetched.ok:
        raise failure(f"The extension {folder.name} cannot be updated", fetched, git)
    branch = current_branch(folder)
    target = commit or (f"origin/{branch}" if branch else "origin/HEAD")
    done = git.run("-C", str(folder), *_NO_HOOKS, "reset", "--hard", "--quiet", target)
    if not done.ok:
        raise failure(f"The extension {folder.name} cannot be reset to {target}", done, git)


def _has(folder: Path, commit: str, git: Git) -> bool:
    return git.run("-C", str(folder), "cat-file", "-e", f"{commit}^{{commit}}").ok


def failure(what: str, finished: Finished, git: Git) -> ExtensionError:
    """The error of a failed git command: what, why, proxy, remedy."""
    if finished.code == -1 and not finished.gave_up:
        return ExtensionError(
            f"{what}: git cannot be run ({finished.output.strip()}). Install git, or name it in GIT."
        )
    return ExtensionError(f"{what}: {explain(finished).rstrip('.')}. {proxy_sentence(git)}")


def proxy_sentence(git: Git) -> str:
    """Which proxy the program and git use, and what to do."""
    found = proxy_in_use(os.environ if git.environ is None else git.environ)
    configured = git.run("config", "--get", "http.proxy")
    if found is None and configured.ok and configured.output.strip():
        found = ("http.proxy of git", configured.output.strip())
    if found is None:
        return "No proxy is in use: check the address and the connection, or set https_proxy, and try again."
    return (
        f"The proxy in use is {hidden(found[1])} (from {found[0]}): check it and the address, and try again."
    )


def proxy_in_use(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """(name of the variable, its value) of the proxy that is set, or ``None``."""
    return next(((name, environ[name]) for name in PROXY_VARIABLES if environ.get(name)), None)
