"""Screens and exit codes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from modules.launcher.problems import ExitCode, LaunchProblem, guarded, shorten
from tests.paths import ROOT


def test_screen_fits_the_terminal_and_tells_everything() -> None:
    problem = LaunchProblem(
        ExitCode.PIP,
        "pip could not install " + "something " * 30,
        details=[f"line {number} " + "x" * 300 for number in range(200)],
        remedy=["Do this. " * 30, "Do that."],
    )
    lines = problem.screen().splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100
    assert "line 199" in problem.screen()
    assert "line 1 " not in problem.screen()
    assert "Do that." in problem.screen()
    assert "Exit code 15" in problem.screen()


def test_guarded_turns_problems_into_codes() -> None:
    def fail() -> None:
        raise LaunchProblem(ExitCode.PORT, "Port 1 is taken.")

    def interrupt() -> None:
        raise KeyboardInterrupt

    told = io.StringIO()
    assert guarded(fail, told) == 17
    assert "Port 1 is taken." in told.getvalue()
    assert guarded(interrupt, told) == 130
    assert guarded(lambda: None, told) == 0
    assert guarded(lambda: 4, told) == 4
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0, told)


def test_shorten_marks_the_cut() -> None:
    assert shorten("x" * 200, 10) == "x" * 7 + "..."
    assert shorten("a\tb  ", 10) == "a    b"


def test_every_code_is_documented() -> None:
    text = (ROOT / "docs" / "launcher.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}


def test_start_scripts_use_the_same_codes() -> None:
    script = Path(ROOT / "webui.sh").read_text()
    for name in ("PYTHON", "PLATFORM", "CHECKOUT"):
        assert f"EXIT_{name}={int(ExitCode[name])}" in script
