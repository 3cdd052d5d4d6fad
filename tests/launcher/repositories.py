"""Small real git repositories for tests."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A repository on disk with two commits on the branch main; the tag v1 names the first."""

    folder: Path
    commits: tuple[str, str]

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def git(self, *words: str) -> str:
        """Run git in it and return what it prints."""
        return git(self.folder, *words)


def git(folder: Path, *words: str) -> str:
    """Run git in ``folder``, as a committer of its own."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def make_source(folder: Path, proof: str = "proof.py") -> Source:
    """A new repository whose file ``proof`` tells its version."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    commits = []
    for version in (1, 2):
        path = folder / proof
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"version = {version}\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", f"Version {version}")
        commits.append(git(folder, "rev-parse", "HEAD"))
    git(folder, "tag", "v1", commits[0])
    return Source(folder, (commits[0], commits[1]))
