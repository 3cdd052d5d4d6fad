"""launch.py itself: the refusal must reach Pythons that cannot read anything newer."""

from __future__ import annotations

import ast
import shutil
import subprocess

import pytest

import launch
from modules.launcher.problems import ExitCode
from tests.paths import ROOT


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 0), (3, 9, 1), (3, 14, 0), (4, 0, 0)])
def test_other_pythons_are_refused(version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMMANDLINE_ARGS", raising=False)
    shown = launch.refuse_python(version, [])
    assert f"Python {version[0]}.{version[1]} is not supported" in shown
    assert len(shown.splitlines()) < 20
    assert launch.refuse_python(version, ["--skip-python-version-check"]) == ""
    monkeypatch.setenv("COMMANDLINE_ARGS", "--api --skip-python-version-check")
    assert launch.refuse_python(version, []) == ""


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 11, 7), (3, 12, 1), (3, 13, 0)])
def test_supported_pythons_are_not(version: tuple[int, int, int]) -> None:
    assert launch.refuse_python(version, []) == ""


def test_code_is_that_of_the_table() -> None:
    assert launch.WRONG_PYTHON == ExitCode.PYTHON


def test_old_pythons_can_read_it() -> None:
    tree = ast.parse((ROOT / "launch.py").read_text(), feature_version=(3, 4))
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr)
    assert not [node for node in ast.walk(tree) if isinstance(node, modern)]
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.returns is not None]


@pytest.mark.parametrize("name", ["python2.7", "python3.6", "python3.8", "python3.9", "python3.14"])
def test_with_an_old_python_that_is_installed(name: str) -> None:
    python = shutil.which(name)
    if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode != 0:
        pytest.skip(f"{name} is not installed here")
    finished = subprocess.run([python, str(ROOT / "launch.py")], capture_output=True, text=True)
    assert finished.returncode == ExitCode.PYTHON
    assert "is not supported" in finished.stderr
    assert "Traceback" not in finished.stderr
