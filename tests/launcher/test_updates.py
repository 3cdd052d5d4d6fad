"""Updates of extensions and of the program, against real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.launcher.extensions import ExtensionFolder, list_extensions
from modules.launcher.git import Git, head_commit
from modules.launcher.updates import update_check, update_extensions
from tests.launcher.repositories import git, make_source

QUICK = Git(silence=5, limit=30)


def test_extensions_are_fast_forwarded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_source(tmp_path / "source")
    base = tmp_path / "extensions"
    base.mkdir()
    for name in ("behind", "changed", "current", "gone"):
        git(tmp_path, "clone", "-q", source.url, str(base / name))
    (base / "plain").mkdir()
    for name in ("behind", "changed"):
        git(base / name, "reset", "-q", "--hard", source.commits[0])
    (base / "changed" / "proof.py").write_text("my work\n")
    git(base / "gone", "remote", "set-url", "origin", "file:///no/such/repository.git")
    builtin = ExtensionFolder("builtin", base / "behind", True, True)

    failed = update_extensions([*list_extensions(base, tmp_path / "none"), builtin], QUICK)
    shown = capsys.readouterr().out.splitlines()
    assert failed == ("changed", "gone")
    assert head_commit(base / "behind") == source.commits[1]
    assert (base / "changed" / "proof.py").read_text() == "my work\n"
    assert len(shown) == 3
    assert shown[0] == f"Extension behind: updated to {source.commits[1][:8]}"


def test_update_check(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    clone = tmp_path / "clone"
    assert "not a git checkout" in update_check(tmp_path, QUICK)
    git(tmp_path, "clone", "-q", source.url, str(clone))
    assert "newest version" in update_check(clone, QUICK)
    git(clone, "reset", "-q", "--hard", source.commits[0])
    assert "1 newer commit;" in update_check(clone, QUICK)
    assert head_commit(clone) == source.commits[0]
    git(clone, "checkout", "-q", "--detach")
    assert "follows no branch" in update_check(clone, QUICK)
    git(clone, "remote", "set-url", "origin", "file:///no/such/repository.git")
    assert "cannot be asked" in update_check(clone, QUICK)
