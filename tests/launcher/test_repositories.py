"""Clones of real repositories on disk: good, vanished, hanging, half-made, changed."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from modules.launcher.git import Git, current_branch, head_commit, remote_url, without_password
from modules.launcher.repositories import (
    REPOSITORIES,
    Keeper,
    Repository,
    Wanted,
    remove_stale,
    wanted_repositories,
)
from modules.launcher.state import LauncherState
from tests.launcher.repositories import Source, make_source

ROW = Repository("kept", "KEPT", "", "", by_default=True, package="kept==1", proof="proof.py")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return make_source(tmp_path / "source")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def keeper(tmp_path: Path, said: list[str]) -> Keeper:
    state = LauncherState(tmp_path / "state.json")
    return Keeper(tmp_path / "repositories", Git(silence=1.5, limit=20), state, said.append)


def order(url: str, commit: str) -> Wanted:
    return Wanted(ROW, url, commit, False)


def left_behind(keeper: Keeper) -> list[str]:
    return sorted(path.name for path in keeper.base.iterdir()) if keeper.base.exists() else []


def test_clone_at_a_commit_and_nothing_to_do_afterwards(keeper: Keeper, source: Source) -> None:
    wanted = order(source.url, source.commits[0])
    assert not keeper.is_ready(wanted)
    assert keeper.bring(wanted)
    assert (keeper.base / "kept" / "proof.py").read_text() == "version = 1\n"
    assert head_commit(keeper.base / "kept") == source.commits[0]
    assert left_behind(keeper) == ["kept"]
    blind = replace(keeper, git=Git("/no/such/git"))
    assert blind.is_ready(wanted)


def test_another_commit_replaces_the_clone(keeper: Keeper, source: Source) -> None:
    assert keeper.bring(order(source.url, source.commits[0]))
    later = order(source.url, source.commits[1])
    assert not keeper.is_ready(later)
    assert keeper.bring(later)
    assert (keeper.base / "kept" / "proof.py").read_text() == "version = 2\n"
    assert left_behind(keeper) == ["kept"]


@pytest.mark.parametrize("name", ["main", "v1", "short"])
def test_branches_tags_and_short_commits_are_remembered(keeper: Keeper, source: Source, name: str) -> None:
    wanted = order(source.url, source.commits[0][:9] if name == "short" else name)
    assert keeper.bring(wanted)
    assert keeper.is_ready(wanted)
    assert not keeper.is_ready(order(source.url, "other"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file:///no/such/repository.git", "fatal:"),
        ("http://127.0.0.1:1/gone.git", "127.0.0.1"),
        ("--upload-pack=touch /tmp/x", "not the address"),
        ("ext::sh -c touch% /tmp/x", "not the address"),
    ],
)
def test_vanished_repository_is_one_line(keeper: Keeper, said: list[str], url: str, told: str) -> None:
    wanted = order(url, "0" * 40)
    assert not keeper.bring(wanted)
    assert len(said) == 2
    assert told in said[1]
    assert "\n" not in said[1]
    assert left_behind(keeper) == []
    assert keeper.has_failed(wanted)
    assert not keeper.has_failed(order(url, "1" * 40))


@pytest.mark.parametrize("commit", ["0" * 40, "no-such-branch", "--force", "a/../b", "a b"])
def test_commit_that_is_not_there(keeper: Keeper, source: Source, said: list[str], commit: str) -> None:
    assert not keeper.bring(order(source.url, commit))
    assert left_behind(keeper) == []
    assert len(said) == 2


def test_failure_keeps_the_clone_that_was_there(keeper: Keeper, source: Source) -> None:
    assert keeper.bring(order(source.url, source.commits[0]))
    assert not keeper.bring(order("file:///no/such/repository.git", source.commits[1]))
    assert head_commit(keeper.base / "kept") == source.commits[0]
    assert left_behind(keeper) == ["kept"]


def test_repository_without_its_proof_is_refused(keeper: Keeper, tmp_path: Path, said: list[str]) -> None:
    other = make_source(tmp_path / "other", proof="something.txt")
    assert not keeper.bring(order(other.url, other.commits[0]))
    assert "proof.py is not in it" in said[1]
    assert left_behind(keeper) == []


@contextmanager
def silent_server() -> Iterator[int]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def hold() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=hold, daemon=True).start()
        yield listener.getsockname()[1]
        for connection in held:
            connection.close()


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_hanging_server_is_given_up(keeper: Keeper, said: list[str], scheme: str) -> None:
    started = time.monotonic()
    with silent_server() as port:
        assert not keeper.bring(order(f"{scheme}://127.0.0.1:{port}/x.git", "0" * 40))
    assert time.monotonic() - started < 15
    assert "no answer for 1.5 s" in said[1]
    assert left_behind(keeper) == []


def test_missing_git_is_one_line(keeper: Keeper, source: Source, said: list[str]) -> None:
    assert not replace(keeper, git=Git("/no/such/git")).bring(order(source.url, source.commits[0]))
    assert "No such file" in said[1]
    assert left_behind(keeper) == []


def test_remains_of_a_clone_are_replaced(keeper: Keeper, source: Source) -> None:
    remains = keeper.base / "kept" / ".git"
    remains.mkdir(parents=True)
    (remains / "HEAD").write_text("ref: refs/heads/main\n")
    wanted = order(source.url, source.commits[1])
    assert not keeper.is_ready(wanted)
    assert keeper.bring(wanted)
    assert keeper.is_ready(wanted)


def test_clone_that_lost_its_files_is_not_ready(keeper: Keeper, source: Source) -> None:
    wanted = order(source.url, source.commits[1])
    keeper.bring(wanted)
    (keeper.base / "kept" / "proof.py").unlink()
    assert not keeper.is_ready(wanted)


def test_changed_files_are_never_overwritten(keeper: Keeper, source: Source, said: list[str]) -> None:
    keeper.bring(order(source.url, source.commits[0]))
    mine = keeper.base / "kept" / "proof.py"
    mine.write_text("my work\n")
    assert not keeper.bring(order(source.url, source.commits[1]))
    assert mine.read_text() == "my work\n"
    assert "changed files" in said[-1]


def test_unwritable_base_is_one_line(tmp_path: Path, source: Source, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    keeper = Keeper(tmp_path / "file" / "repositories", Git(), LauncherState(tmp_path / "s"), said.append)
    assert not keeper.bring(order(source.url, source.commits[0]))
    assert "cannot be written" in said[1]


def test_only_old_remains_are_swept(tmp_path: Path) -> None:
    for name in (".incoming-old", ".incoming-new", "kept"):
        (tmp_path / name / "clone").mkdir(parents=True)
    os.utime(tmp_path / ".incoming-old", (0, 0))
    remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".incoming-new", "kept"]


def test_a_hook_of_git_cannot_redirect_us(
    keeper: Keeper, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bystander = make_source(tmp_path / "bystander")
    monkeypatch.setenv("GIT_DIR", str(bystander.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(bystander.folder))
    assert keeper.bring(order(source.url, source.commits[0]))
    assert head_commit(bystander.folder) == bystander.commits[1]


def test_table_and_overrides() -> None:
    assert [wanted.row.folder for wanted in wanted_repositories({})] == ["k-diffusion"]
    assert not wanted_repositories({})[0].requested
    overrides = {"K_DIFFUSION_COMMIT_HASH": "abc", "BLIP_REPO": "file:///b", "STABLE_DIFFUSION_XL_REPO": "x"}
    found = {wanted.row.folder: wanted for wanted in wanted_repositories(overrides)}
    assert set(found) == {"k-diffusion", "BLIP", "generative-models"}
    assert (found["k-diffusion"].url, found["k-diffusion"].commit) == (REPOSITORIES[0].url, "abc")
    assert found["BLIP"].url == "file:///b"
    assert all(wanted.requested for wanted in found.values())


def test_table_is_that_of_the_contract() -> None:
    import json

    from tests.paths import DATA

    facts = json.loads((DATA / "environment.json").read_text())["repositories"]
    ours = {f"{row.variable}_REPO": row.url for row in REPOSITORIES}
    ours |= {f"{row.variable}_COMMIT_HASH": row.commit for row in REPOSITORIES}
    assert ours == facts


def test_reading_a_repository_without_git(source: Source, tmp_path: Path) -> None:
    assert head_commit(source.folder) == source.commits[1]
    assert current_branch(source.folder) == "main"
    source.git("pack-refs", "--all")
    assert head_commit(source.folder) == source.commits[1]
    source.git("remote", "add", "origin", "https://user:secret@example.org/x.git")
    assert remote_url(source.folder) == "https://example.org/x.git"
    source.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), source.commits[0])
    assert head_commit(tmp_path / "side") == source.commits[0]
    assert head_commit(tmp_path) is None
    assert remote_url(tmp_path) is None


def test_passwords_are_removed_from_messages() -> None:
    assert without_password("fatal: https://me:pw@host/x and ssh://git@host/y") == (
        "fatal: https://host/x and ssh://host/y"
    )


def test_state_never_holds_the_address(keeper: Keeper) -> None:
    keeper.bring(order("file:///no/such/secret-name", "0" * 40))
    keeper.state.save()
    assert "secret-name" not in keeper.state.path.read_text()


def test_git_is_there_for_these_tests() -> None:
    assert subprocess.run(["git", "--version"], check=True, capture_output=True).stdout
