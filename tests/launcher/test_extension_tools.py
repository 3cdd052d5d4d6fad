"""What ``import launch`` gives to extensions, used as they use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modules import launch_utils
from modules.launcher import extension_tools
from tests.launcher.repositories import git, make_source
from tests.paths import ROOT

NAMES = [
    *("args", "python", "git", "index_url", "dir_repos", "commit_hash", "git_tag", "run", "is_installed"),
    *("repo_dir", "run_pip", "check_run_python", "git_clone", "git_pull_recursive", "list_extensions"),
    *("run_extension_installer", "prepare_environment", "configure_for_tests", "start"),
]


def test_every_name_of_the_contract_is_there_without_starting_anything(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import launch\n"
        f"missing = [name for name in {NAMES!r} if not hasattr(launch, name)]\n"
        "assert not missing, missing\n"
        "assert 'torch' not in sys.modules and launch.args.port is None\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_run_returns_output_and_explains_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert extension_tools.run("echo one && echo two", desc="counting") == "one\ntwo\n"
    assert capsys.readouterr().out == "counting\n"
    with pytest.raises(RuntimeError) as caught:
        extension_tools.run("echo out; echo err >&2; exit 7", errdesc="It broke")
    assert str(caught.value).splitlines() == [
        "It broke.", "Command: echo out; echo err >&2; exit 7", "Exit code: 7", "out", "err",
    ]  # fmt: skip
    assert extension_tools.run("echo $WORD", custom_env={"WORD": "w"}) == "w\n"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("pytest", True),
        ("PyYAML", True),
        ("yaml", True),
        ("importlib.metadata", True),
        ("pytest>=1", True),
        ("pytest==0.0.1", False),
        ("no-such-thing", False),
        ("no.such.thing", False),
        ("", False),
    ],
)
def test_is_installed(name: str, there: bool) -> None:
    assert extension_tools.is_installed(name) is there


def test_run_pip_reports_failure_and_can_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(RuntimeError, match="Could not install the impossible"):
        extension_tools.run_pip("install no-such-distribution", "the impossible")
    assert extension_tools.run_pip("install no-such-distribution", skip=True) is None


def test_check_run_python() -> None:
    assert extension_tools.check_run_python("import sys")
    assert not extension_tools.check_run_python("1/0")


def test_clone_and_pull(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_source(tmp_path / "source")
    target = tmp_path / "clones" / "one"
    launch_utils.git_clone(source.url, str(target), "One", source.commits[0])
    assert (target / "proof.py").read_text() == "version = 1\n"
    with pytest.raises(RuntimeError, match="Could not clone Two"):
        launch_utils.git_clone("file:///no/such/place", str(tmp_path / "clones" / "two"), "Two")

    follower = tmp_path / "clones" / "three"
    launch_utils.git_clone(source.url, str(follower), "Three")
    git(follower, "checkout", "-q", "main")
    launch_utils.git_clone(source.url, str(follower), "Three")  # already there: left alone
    (source.folder / "proof.py").write_text("version = 3\n")
    git(source.folder, "commit", "-qam", "Version 3")
    launch_utils.git_pull_recursive(str(tmp_path / "clones"))
    assert (follower / "proof.py").read_text() == "version = 3\n"
    assert launch_utils.run_git(str(follower), "Three", "rev-parse --abbrev-ref HEAD").strip() == "main"


def test_facade_answers_from_the_checkout(tmp_path: Path) -> None:
    assert launch_utils.repo_dir("k") == str(ROOT / "repositories" / "k")
    assert len(launch_utils.commit_hash()) in (6, 40)
    (tmp_path / "r.txt").write_text("pytest\n")
    assert launch_utils.requirements_met(str(tmp_path / "r.txt"))
    (tmp_path / "r.txt").write_text("pytest==0.0.1\n")
    assert not launch_utils.requirements_met(str(tmp_path / "r.txt"))
    with pytest.raises(AttributeError):
        _ = launch_utils.nothing_of_this_name
