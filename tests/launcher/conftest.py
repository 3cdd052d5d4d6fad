"""Copies that were started once, shared by the tests of whole starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launcher.copies import Copy, make_copy


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy in a folder with spaces and other letters, started once."""
    work = tmp_path_factory.mktemp("start")
    copy = make_copy(work / "My Easel 画架 🎨", work)
    first = copy.start("--exit")
    assert first.returncode == 0, first.stdout + first.stderr
    (work / "first.txt").write_text(first.stdout + first.stderr)
    return copy


@pytest.fixture
def fresh(tmp_path: Path) -> Copy:
    return make_copy(tmp_path / "easel", tmp_path)
