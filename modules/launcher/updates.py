"""Brings extensions up to date, and tells whether there is a newer Easel. Only when asked to.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modules.launcher.extensions import ExtensionFolder
from modules.launcher.git import Git, explain, head_commit


def update_extensions(folders: Sequence[ExtensionFolder], git: Git) -> tuple[str, ...]:
    """Fast-forward every user extension that is a clone; returns the names of those that failed.

    Own changes in an extension are never touched: git refuses, and the line says so.
    """
    failed = []
    for folder in folders:
        if folder.builtin or head_commit(folder.path) is None:
            continue
        before = head_commit(folder.path)
        finished = git.run("-C", str(folder.path), "pull", "--ff-only", "--recurse-submodules", "--progress")
        if not finished.ok:
            failed.append(folder.name)
            print(f"Extension {folder.name}: cannot be updated: {explain(finished)}")
        elif head_commit(folder.path) != before:
            print(f"Extension {folder.name}: updated to {(head_commit(folder.path) or '')[:8]}")
    return tuple(failed)


def update_check(install_dir: Path, git: Git) -> str:
    """One sentence: how many commits this checkout is behind the branch it follows."""
    if head_commit(install_dir) is None:
        return "Update check: this copy is not a git checkout, so its age cannot be told."
    fetched = git.run("-C", str(install_dir), "fetch", "--progress")
    if not fetched.ok:
        return f"Update check: the repository cannot be asked: {explain(fetched)}"
    behind = git.run("-C", str(install_dir), "rev-list", "--count", "HEAD..@{upstream}")
    if not behind.ok or not behind.output.strip().isdigit():
        return "Update check: this checkout follows no branch of a remote repository."
    count = int(behind.output)
    if count == 0:
        return "Update check: this is the newest version."
    return f"Update check: {count} newer commit{'s' if count > 1 else ''}; take them with: git pull"
