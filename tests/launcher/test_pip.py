"""pip's failures as screens, with the real pip where it can be had without a network."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from modules.launcher.pip import (
    Pip,
    explain_failure,
    pip_environ,
    require_space,
    require_writable,
)
from modules.launcher.problems import ExitCode, LaunchProblem
from modules.launcher.processes import Finished
from tests.launcher.wheels import make_wheel


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            14,
            "3 GB",
        ),
        ("error: externally-managed-environment", 13, "./webui.sh"),
        ("OSError: [Errno 30] Read-only file system: '/x'", 13, "writable"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", 15, "PIP_CERT"),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(Name or "
            "service not known)'\nERROR: No matching distribution found for x",
            15,
            "INDEX_URL",
        ),
        ("ERROR: ResolutionImpossible: for help", 15, "exclude each other"),
        ("ERROR: No matching distribution found for torch==2.13.0", 15, "64-bit Python"),
        ("/usr/bin/python: No module named pip", 15, "no pip"),
        ("something nobody has seen", 15, "WEBUI_LAUNCH_LIVE_OUTPUT"),
    ],
)
def test_complaints(output: str, code: int, told: str) -> None:
    problem = explain_failure("PyTorch", Finished(("pip",), 1, f"Collecting\n{output}\n"))
    assert problem.code == code
    assert told in problem.screen().replace("\n    ", " ")
    assert output.splitlines()[-1][:60] in problem.screen()


def test_screen_holds_the_last_lines_only() -> None:
    problem = explain_failure("x", Finished(("pip",), 1, "\n".join(f"line {n}" for n in range(500))))
    assert "line 499" in problem.screen()
    assert "line 480" not in problem.screen()
    assert len(problem.screen().splitlines()) <= 30


def test_real_pip_that_finds_nothing(tmp_path: Path) -> None:
    with pytest.raises(LaunchProblem) as caught:
        Pip(environ=offline(tmp_path)).install(["no-such-distribution==1"], "the impossible")
    assert caught.value.code == ExitCode.PIP
    assert "No matching distribution" in caught.value.screen()


def test_real_pip_refuses_to_compile(tmp_path: Path) -> None:
    (tmp_path / "source-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(LaunchProblem):
        Pip(environ=offline(tmp_path)).install(["source"], "a source package")


def test_real_pip_installs_a_wheel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_wheel(tmp_path, "tiny", "1.5")
    target = tmp_path / "target"
    Pip(environ=offline(tmp_path)).install(["--target", str(target), "tiny"], "tiny")
    assert (target / "tiny.py").read_text() == "VERSION = '1.5'\n"
    assert "Installing tiny" in capsys.readouterr().out


def offline(wheels: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": "/dev/null",
    }


def test_words_of_a_call() -> None:
    calls: list[list[str]] = []

    def record(command: list[str], **_: object) -> Finished:
        calls.append(command)
        return Finished(tuple(command), 0, "")

    Pip("https://index", python="py", run=record).install(["a"], "a")
    Pip("https://index", python="py", run=record).module(["pip", "install", "--index-url", "b", "c"], "c")
    Pip(None, python="py", run=record).module(["conda", "install"], "d")
    assert calls == [
        ["py", "-m", "pip", "install", "--only-binary=:all:", "a", "--index-url", "https://index"],
        ["py", "-m", "pip", "install", "--index-url", "b", "c"],
        ["py", "-m", "conda", "install"],
    ]
    assert pip_environ({"A": "b"})["PIP_NO_INPUT"] == "1"


def test_missing_pip_is_brought_in() -> None:
    calls: list[str] = []

    def record(command: list[str], **_: object) -> Finished:
        calls.append(command[2])
        return Finished(tuple(command), 1 if command[2] == "pip" else 0, "No module named pip")

    Pip(run=record).ensure()
    assert calls == ["pip", "ensurepip"]
    with pytest.raises(LaunchProblem, match="pip"):
        Pip(run=lambda command, **_: Finished(tuple(command), 1, "no")).ensure()


def test_space(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(LaunchProblem, match="The packages need") as caught:
        require_space(tmp_path, 1 << 60)
    assert caught.value.code == ExitCode.SPACE
    require_space(tmp_path / "gone", 1 << 60)

    def broken(_: Path) -> int:
        raise OSError(errno.EIO, "odd")

    require_space(tmp_path, 1 << 60, broken)


def test_writable(tmp_path: Path) -> None:
    require_writable(tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchProblem, match="cannot be written") as caught:
        require_writable(tmp_path / "file" / "site-packages")
    assert caught.value.code == ExitCode.FOLDER


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a folder that nobody can write")
def test_unwritable_even_for_root() -> None:
    with pytest.raises(LaunchProblem) as caught:
        require_writable(Path("/proc/self"))
    assert caught.value.code == ExitCode.FOLDER
