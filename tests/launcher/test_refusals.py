"""Starts that must be refused: each is one screen with its documented code, never a traceback."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.launcher.copies import Copy, copy_program, program, run, screen

pytestmark = pytest.mark.skipif(os.name == "nt", reason="webui.sh needs bash")


@pytest.mark.install
def test_failing_pip_is_one_screen(fresh: Copy) -> None:
    (fresh.folder / "requirements_versions.txt").write_text("tiny==9.9\n")
    shown = screen(fresh.start("--exit"), 15)
    assert "No matching distribution found for tiny==9.9" in shown
    (fresh.folder / "requirements_versions.txt").write_text("tiny==1.0\n")
    assert fresh.start("--exit").returncode == 0


@pytest.mark.install
def test_no_torch_is_one_screen(fresh: Copy) -> None:
    assert fresh.start("--skip-install", "--exit").returncode == 0
    assert "--skip-install" in screen(fresh.start("--skip-install"), 16)
    assert "PyTorch is not installed" in screen(fresh.start("--skip-prepare-environment"), 16)
    fresh.start("--exit")
    assert program(fresh.start("--skip-prepare-environment"))["argv"] == ["--skip-prepare-environment"]


def test_missing_requirement_file_is_one_screen(ready: Copy) -> None:
    assert "REQS_FILE" in screen(ready.start("--exit", REQS_FILE="gone.txt"), 18)


def test_bad_flag_is_short(ready: Copy) -> None:
    finished = ready.start("--port", "many")
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) <= 4


def test_wrong_python_is_one_screen(ready: Copy, tmp_path: Path) -> None:
    nothing = run(
        ["/bin/bash", str(ready.folder / "webui.sh")],
        {"PATH": str(make_tools(tmp_path / "tools")), "venv_dir": str(tmp_path / "venv")},
    )
    shown = screen(nothing, 10)
    assert "apt-get install" in shown
    assert not (tmp_path / "venv").exists()


def make_tools(folder: Path) -> Path:
    """What webui.sh needs of a system, without any Python."""
    folder.mkdir()
    for name in ("bash", "dirname", "uname", "getconf", "id", "readlink", "sed", "head", "rm"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return folder


def old_python(folder: Path) -> Path:
    """A Python that says it is 3.9."""
    folder.mkdir(exist_ok=True)
    path = folder / "python3.9"
    code = (
        "import sys, runpy; sys.version_info = (3, 9, 18, 'final', 0)\n"
        "words = sys.argv[1:]\n"
        "words = [word for word in words if word not in ('-u', '-IS')]\n"
        "if words[0] == '-c': sys.argv = words[1:]; exec(words[1])\n"
        "else: sys.argv = words; runpy.run_path(words[0], run_name='__main__')\n"
    )
    (folder / "old.py").write_text(code)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/old.py" "$@"\n')
    path.chmod(0o755)
    return path


def test_old_python_is_refused_by_name(ready: Copy, tmp_path: Path) -> None:
    python = old_python(tmp_path / "old")
    finished = ready.start(python_cmd=str(python), venv_dir=str(tmp_path / "venv"))
    assert "Python 3.9 is not supported" in screen(finished, 10)
    assert not (tmp_path / "venv").exists()


def test_python_that_does_not_run_is_replaced(ready: Copy, tmp_path: Path) -> None:
    finished = ready.start(
        "--skip-prepare-environment", python_cmd="/no/such/python", venv_dir="-", PYTHONPATH=str(ready.site)
    )
    assert "does not run" in finished.stderr
    assert program(finished)


def test_32_bit_system_is_refused(ready: Copy, tmp_path: Path) -> None:
    tool = tmp_path / "getconf"
    tool.write_text("#!/bin/sh\necho 32\n")
    tool.chmod(0o755)
    assert "32-bit" in screen(ready.start(PATH=f"{tmp_path}:{ready.environ['PATH']}"), 11)


def test_script_alone(ready: Copy, tmp_path: Path) -> None:
    shutil.copy(ready.folder / "webui.sh", tmp_path)
    command = ["bash", str(tmp_path / "webui.sh")]
    screen(run(command, ready.environ), 18)
    place = {"install_dir": str(ready.folder.parent), "clone_dir": ready.folder.name}
    assert Path(program(run(command, ready.environ | place))["cwd"]) == ready.folder


def test_incomplete_copy(tmp_path: Path, ready: Copy) -> None:
    copy_program(tmp_path / "copy")
    (tmp_path / "copy" / "webui.py").unlink()
    finished = run(
        ["bash", str(tmp_path / "copy" / "webui.sh"), "--skip-prepare-environment"],
        ready.environ | {"VIRTUAL_ENV": str(ready.folder / "venv")},
    )
    assert "webui.py does not exist" in screen(finished, 18)
