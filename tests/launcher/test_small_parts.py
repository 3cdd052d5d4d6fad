"""The stop-watch, the memory between starts, the restart marker, logging, extension folders."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modules.launcher import tested_versions
from modules.launcher import timer as timer_module
from modules.launcher.environment import LaunchEnvironment
from modules.launcher.extensions import ExtensionChoice, list_extensions, read_extension_choice
from modules.launcher.logs import configure_logging
from modules.launcher.problems import ExitCode, LaunchProblem
from modules.launcher.restart import is_restartable, request_restart, take_marker
from modules.launcher.state import LauncherState, state_path, write_atomically
from modules.launcher.timer import Timer
from modules.launcher.torch_plan import TORCH_VERSION
from modules.launcher.versions import INTERFACE_VERSION, commit_hash, program_version
from tests.launcher.repositories import make_source
from tests.paths import ROOT


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(timer_module.time, "time", lambda: now[0])
    return now


def test_timer_adds_laps_and_nested_laps(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    timer = Timer(print_log=True)
    clock[0] += 1
    timer.record("import torch")
    with timer.subcategory("load scripts"):
        clock[0] += 2
        timer.record("one.py")
        clock[0] += 0.05
        timer.record("two.py")
    clock[0] += 1
    timer.record("import torch", extra_time=0.5)
    assert timer.dump() == {
        "total": pytest.approx(4.55),
        "records": {
            "import torch": pytest.approx(2.5),
            "load scripts": pytest.approx(2.05),
            "load scripts/one.py": pytest.approx(2),
            "load scripts/two.py": pytest.approx(0.05),
        },
    }
    timer.add_time_to_record("load scripts", 0.05)
    assert timer.summary().endswith(" s (import torch 2.5 s, load scripts 2.1 s)")
    assert "  one.py: 2.000 s" in capsys.readouterr().out
    timer.reset()
    assert timer.summary() == "0.0 s"


def test_timer_keeps_counting_after_an_error(clock: list[float]) -> None:
    timer = Timer()
    with pytest.raises(ZeroDivisionError), timer.subcategory("part"):
        clock[0] += 1
        _ = 1 // 0
    assert timer.records == {"part": pytest.approx(1)}
    assert timer.base_category == ""


def test_state_survives_and_is_written_only_after_changes(tmp_path: Path) -> None:
    state = LauncherState(tmp_path / "deep" / "state.json")
    state.put("a", "b", [1])
    state.save()
    again = LauncherState(state.path, json.loads(state.path.read_text()))
    assert again.get("a", "b") == [1]
    state.path.unlink()
    again.put("a", "b", [1])
    again.save()
    assert not state.path.exists()
    again.forget("a", "b")
    again.save()
    assert json.loads(state.path.read_text()) == {"a": {}}
    assert [path.name for path in state.path.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\0"])
def test_damaged_state_is_empty(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    path = state_path(tmp_path)
    path.parent.mkdir()
    path.write_text(text)
    assert LauncherState.load(tmp_path).get("a", "b") is None


def test_unwritable_state_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    state = LauncherState(tmp_path / "file" / "state.json")
    state.put("a", "b", 1)
    state.save()
    assert "cannot remember" in capsys.readouterr().out


def test_state_lies_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    (tmp_path / "venv").mkdir()
    assert state_path(tmp_path).parent == tmp_path / "venv"
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert state_path(tmp_path).parent == tmp_path / "tmp"


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_atomically(path, "old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_restart_marker(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    assert not is_restartable(environ)
    assert is_restartable({"SD_WEBUI_RESTART": "tmp/restart"})
    assert not take_marker(tmp_path, environ)
    request_restart(tmp_path)
    assert (tmp_path / "tmp" / "restart").exists()
    assert take_marker(tmp_path, environ)
    assert environ == {"SD_WEBUI_RESTARTING": "1"}
    assert not (tmp_path / "tmp" / "restart").exists()


@contextmanager
def untouched_logging() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:], root.level = handlers, level


def test_logging_only_when_asked() -> None:
    with untouched_logging() as root:
        assert configure_logging(None, {}) is None
        assert not root.handlers
        assert configure_logging(None, {"SD_WEBUI_LOG_LEVEL": "warning"}) == "WARNING"
        assert configure_logging("debug", {"SD_WEBUI_LOG_LEVEL": "warning"}) == "DEBUG"
        assert root.level == logging.DEBUG
        assert len(root.handlers) == 1
        with pytest.raises(LaunchProblem, match="'loud' is not a log level"):
            configure_logging("loud", {})


def test_rich_logging_where_rich_is_installed() -> None:
    rich = pytest.importorskip("rich.logging")
    with untouched_logging() as root:
        configure_logging("INFO", {"SD_WEBUI_RICH_LOG": "1"})
        assert isinstance(root.handlers[0], rich.RichHandler)


def test_environment_counts_empty_as_unset() -> None:
    unset = LaunchEnvironment.read({"TORCH_COMMAND": "", "GIT": "", "K_DIFFUSION_REPO": "", "REQS_FILE": ""})
    assert unset == LaunchEnvironment.read({})
    assert (unset.torch_command, unset.git, unset.reqs_file) == (None, "git", "requirements_versions.txt")
    assert unset.xformers_package == "xformers==0.0.35"
    assert not unset.live_output
    given = LaunchEnvironment.read({"BLIP_REPO": "x", "WEBUI_LAUNCH_LIVE_OUTPUT": "1", "INDEX_URL": "i"})
    assert (given.overrides, given.live_output, given.index_url) == ({"BLIP_REPO": "x"}, True, "i")


def make_folders(base: Path, *names: str) -> Path:
    for name in names:
        (base / name).mkdir(parents=True)
    return base


def test_extension_folders_in_order(tmp_path: Path) -> None:
    user = make_folders(tmp_path / "user", "b", "a", ".git", "__pycache__")
    (user / "file.txt").write_text("")
    builtin = make_folders(tmp_path / "builtin", "Lora")
    found = list_extensions(user, builtin, ExtensionChoice(frozenset({"a"})))
    assert [(f.name, f.builtin, f.enabled) for f in found] == [
        ("a", False, False), ("b", False, True), ("Lora", True, True),
    ]  # fmt: skip
    assert list_extensions(tmp_path / "gone", tmp_path / "gone") == ()


@pytest.mark.parametrize(
    ("settings", "flags", "user", "builtin"),
    [
        ({}, (False, False), True, True),
        ({"disable_all_extensions": "none"}, (False, False), True, True),
        ({"disable_all_extensions": "extra"}, (False, False), False, True),
        ({"disable_all_extensions": "all"}, (False, False), False, False),
        ({"disable_all_extensions": "all"}, (False, True), False, False),
        ({}, (False, True), False, True),
        ({}, (True, False), False, False),
        ({"disabled_extensions": ["x"]}, (False, False), False, False),
        ({"disabled_extensions": "x", "disable_all_extensions": 7}, (False, False), True, True),
        ({"disabled_extensions": [1, None]}, (False, False), True, True),
    ],
)
def test_choice(
    tmp_path: Path, settings: dict[str, object], flags: tuple[bool, bool], user: bool, builtin: bool
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    choice = read_extension_choice(file, *flags)
    assert (choice.allows("x", False), choice.allows("x", True)) == (user, builtin)


def test_damaged_settings_disable_nothing_and_are_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    assert read_extension_choice(file).problem == ""
    for text in ("{", "[]"):
        file.write_text(text)
        choice = read_extension_choice(file)
        assert choice.allows("x", False)
        assert "config.json" in choice.problem


def test_versions(tmp_path: Path) -> None:
    assert program_version(ROOT)[0].isdigit()
    assert program_version(tmp_path) == "unknown"
    assert INTERFACE_VERSION == "v1.10.1"
    assert commit_hash(tmp_path) == "<none>"
    source = make_source(tmp_path / "repository")
    assert commit_hash(source.folder) == source.commits[1]


def test_old_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.1.2+cu121", "gradio": "6.31.0", "xformers": "0.0.23.post1"}
    monkeypatch.setattr(tested_versions, "installed_version", installed.get)
    lines = tested_versions.version_warnings()
    assert [line.split()[0] for line in lines] == ["torch", "xformers"]
    assert "--reinstall-torch" in lines[0]
    installed.update(torch="2.14.0", xformers="0.0.35.dev1")
    assert tested_versions.version_warnings() == []


def test_tested_versions_are_those_that_are_installed() -> None:
    tested = dict(tested_versions.TESTED)
    assert tested["torch"] == TORCH_VERSION
    assert f"gradio=={tested['gradio']} " in (ROOT / "requirements_versions.txt").read_text()
    assert LaunchEnvironment.read({}).xformers_package == f"xformers=={tested['xformers']}"


def test_start_scripts_for_windows_hold_together() -> None:
    for name in ("webui.bat", "webui-user.bat"):
        raw = (ROOT / name).read_bytes()
        assert raw.count(b"\n") == raw.count(b"\r\n") > 0
    text = (ROOT / "webui.bat").read_text()
    labels = set(re.findall(r"^:(\w+)$", text, re.MULTILINE))
    assert set(re.findall(r"goto :(\w+)", text)) == labels
    codes = {int(code) for code in re.findall(r"exit /b (\d+)", text)}
    assert codes == {int(ExitCode.PYTHON), int(ExitCode.CHECKOUT)}
    for variable in (
        "PYTHON",
        "VENV_DIR",
        "SKIP_VENV",
        "PIP_INSTALLER_LOCATION",
        "ACCELERATE",
        "SD_WEBUI_RESTART",
    ):
        assert variable in text
    user = (ROOT / "webui-user.bat").read_text().splitlines()
    assert all(line.startswith(("@echo", "rem", "call")) or not line for line in user)
