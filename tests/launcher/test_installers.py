"""install.py files of extensions, in real processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from modules.launcher import installers as installers_module
from modules.launcher.extensions import ExtensionFolder
from modules.launcher.installers import Installers, folder_fingerprint
from modules.launcher.requirements import installed_version
from modules.launcher.state import LauncherState
from tests.paths import ROOT


def extension(base: Path, name: str, code: str = "print('hello')", enabled: bool = True) -> ExtensionFolder:
    folder = base / name
    folder.mkdir(parents=True)
    (folder / "install.py").write_text(code)
    return ExtensionFolder(name, folder, False, enabled)


@pytest.fixture
def runner(tmp_path: Path) -> Installers:
    words = ["--skip-install", "--ckpt", "a b.pt"]
    return Installers(ROOT, LauncherState(tmp_path / "st ate" / "state.json"), words, ["pytest", "absent"])


def test_only_enabled_ones_run_and_a_failure_is_named(
    runner: Installers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        extension(tmp_path, "bad", "import sys; print('oh'); sys.exit('no such compiler')"),
        extension(tmp_path, "good"),
        extension(tmp_path, "off", "raise SystemExit(5)", enabled=False),
        ExtensionFolder("plain", tmp_path, False, True),
    ]
    failures = runner.run_all(folders)
    shown = capsys.readouterr().out
    assert [failure.extension for failure in failures] == ["bad"]
    assert "Extension bad: install.py failed: no such compiler (code 1)" in shown
    assert "hello" in shown
    assert "Extension off" not in shown

    runner.run_all(folders)
    again = capsys.readouterr().out
    assert "Extension bad: running" in again
    assert "Extension good" not in again


def test_it_runs_again_after_a_change(
    runner: Installers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = extension(tmp_path, "one")
    runner.run_all([folder])
    (folder.path / "requirements.txt").write_text("new\n")
    capsys.readouterr()
    runner.run_all([folder])
    assert "running" in capsys.readouterr().out
    runner.run_all([folder])
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(installers_module, "installed_fingerprint", lambda: "another package")
    runner.run_all([folder])
    assert "running" in capsys.readouterr().out


def test_an_installer_that_writes_beside_itself_runs_once(
    runner: Installers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = extension(tmp_path, "one", "open(__file__ + '.done', 'w').close()")
    runner.run_all([folder])
    capsys.readouterr()
    runner.run_all([folder])
    assert capsys.readouterr().out == ""


def test_environment_of_an_installer(runner: Installers, tmp_path: Path) -> None:
    code = (
        "import os, launch, modules.launch_utils as utils\n"
        "assert launch.args.skip_install and launch.args.ckpt.endswith('a b.pt'), launch.args\n"
        "assert launch.is_installed('pytest') and not launch.is_installed('no-such-thing')\n"
        "from launch import run_pip, python, git_tag\n"
        "assert run_pip('install nothing', 'nothing') is None\n"
        "assert git_tag() == 'v1.10.1' == utils.git_tag()\n"
        "print(os.getcwd()); print(os.environ['PIP_CONSTRAINT'])\n"
    )
    folder = extension(tmp_path, "one", code)
    assert runner.run_all([folder]) == ()
    constraints = runner.state.path.with_name("easel-constraints.txt")
    assert constraints.read_text() == f"pytest=={installed_version('pytest')}\n"


def test_no_extension_can_move_our_pins(runner: Installers, tmp_path: Path) -> None:
    code = (
        "import launch, os\n"
        "os.environ['COMMANDLINE_ARGS'] = ''  # without --skip-install\n"
        "try: launch.run_pip('install --no-index --dry-run \"pytest==0.1\"', 'an old pytest')\n"
        "except RuntimeError as error: assert '(constraint)' in str(error), error\n"
        "else: raise AssertionError('pip agreed')\n"
    )
    assert runner.run_all([extension(tmp_path, "mover", code)]) == ()


def test_pythonpath_of_the_user_is_kept(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": "/mine", "PIP_CONSTRAINT": "/my.txt"}
    code = (
        f"import os\nassert os.environ['PYTHONPATH'].split(os.pathsep) == [{str(ROOT)!r}, '/mine']\n"
        "assert os.environ['PIP_CONSTRAINT'].split()[0] == '/my.txt'\n"
    )
    runner = Installers(ROOT, LauncherState(tmp_path / "s.json"), [], ["pytest"], environ=environ)
    assert runner.run_all([extension(tmp_path, "one", code)]) == ()


def test_fingerprint_of_a_folder(tmp_path: Path) -> None:
    folder = extension(tmp_path, "one").path
    first = folder_fingerprint(folder)
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("")
    assert folder_fingerprint(folder) == first
    os.utime(folder / "install.py", (time.time() + 5,) * 2)
    assert folder_fingerprint(folder) != first
    assert folder_fingerprint(tmp_path / "gone")
