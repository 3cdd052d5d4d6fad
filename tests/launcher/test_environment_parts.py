"""Making environments, installing PyTorch, testing the GPU: the parts that whole starts do not reach."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.launcher import torch_setup, venv
from modules.launcher.environment import LaunchEnvironment
from modules.launcher.machine import Gpu, Machine
from modules.launcher.pip import Pip
from modules.launcher.prepare import summary
from modules.launcher.problems import ExitCode, LaunchProblem
from modules.launcher.processes import Finished
from modules.launcher.state import LauncherState
from modules.launcher.torch_plan import TorchPlan, plan_torch
from modules.launcher.torch_setup import TorchSetup
from modules.launcher.venv import make_environment, venv_python
from modules.options.flags import parse_launcher_flags
from tests.paths import ROOT

H200 = Gpu("NVIDIA H200", (580, 65), (9, 0), 143771)


def test_environment_without_ensurepip_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else found(name)
    )
    with pytest.raises(LaunchProblem, match="lacks ensurepip") as caught:
        make_environment(tmp_path / "venv")
    assert caught.value.code == ExitCode.VENV
    assert f"python{sys.version_info[0]}.{sys.version_info[1]}-venv" in caught.value.screen()
    assert not (tmp_path / "venv").exists()


def test_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(LaunchProblem, match="not a virtual environment"):
        make_environment(tmp_path)
    assert (tmp_path / "precious.txt").exists()


def test_failed_environment_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        venv, "run_program", lambda words, **_: Finished(tuple(words), 1, "Error: no luck with ensurepip\n")
    )
    with pytest.raises(LaunchProblem) as caught:
        make_environment(tmp_path / "venv")
    assert "no luck with ensurepip" in caught.value.screen()
    assert not (tmp_path / "venv").exists()


def test_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert venv.main([str(tmp_path / "file" / "venv")]) == ExitCode.FOLDER
    assert "venv_dir" in capsys.readouterr().err
    assert venv.main([]) == ExitCode.USAGE
    assert venv_python(Path("x")).parts[0] == "x"


class Recorder:
    """Stands in for pip: notes down the words and answers as told."""

    def __init__(self, output: str = "", code: int = 0) -> None:
        self.calls: list[list[str]] = []
        self.output, self.code = output, code

    def __call__(self, command: list[str], **_: Any) -> Finished:
        self.calls.append(command[2:])
        return Finished(tuple(command), self.code, self.output)


def setup(
    tmp_path: Path,
    machine: Machine,
    recorder: Recorder,
    *words: str,
    **environ: str,
) -> TorchSetup:
    flags: argparse.Namespace = parse_launcher_flags(list(words), {}, tmp_path)
    made = TorchSetup(
        flags,
        LaunchEnvironment.read(environ),
        environ,
        LauncherState(tmp_path / "state.json"),
        Pip(run=recorder),
    )
    made.__dict__["machine"] = machine
    return made


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    known: dict[str, str] = {}
    monkeypatch.setattr(torch_setup, "installed_version", known.get)
    return known


CUDA = Machine("Linux", "x86_64", "3.11.7", (H200,))
PLAIN = Machine("Linux", "x86_64", "3.11.7")


def test_when_torch_is_needed(tmp_path: Path, versions: dict[str, str]) -> None:
    assert setup(tmp_path, PLAIN, Recorder()).is_needed()
    versions["torch"] = "2.13.0+cpu"
    assert setup(tmp_path, PLAIN, Recorder()).is_needed()
    own = setup(tmp_path, PLAIN, Recorder(), TORCH_COMMAND="pip install torch")
    assert own.is_needed()
    own.install(TorchPlan(("pip", "install", "torch"), "own", "own"))
    assert not own.is_needed()  # it left out torchvision on purpose
    versions["torchvision"] = "0.28.0"
    assert not setup(tmp_path, PLAIN, Recorder()).is_needed()
    assert setup(tmp_path, PLAIN, Recorder(), "--reinstall-torch").is_needed()


def test_installation_that_brings_no_torch(tmp_path: Path, versions: dict[str, str]) -> None:
    with pytest.raises(LaunchProblem, match="PyTorch is not installed") as caught:
        setup(tmp_path, PLAIN, Recorder()).install(TorchPlan(("pip", "install", "x"), "x", "x"))
    assert caught.value.code == ExitCode.TORCH


def test_gpu_is_tested_once(
    tmp_path: Path, versions: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions["torch"] = "2.13.0+cu130"
    monkeypatch.setattr(torch_setup, "_driver", lambda: "580.65.06")
    monkeypatch.setattr(torch_setup, "_TEST", "import sys; print('no kernel image'); sys.exit(3)")
    made = setup(tmp_path, CUDA, Recorder())
    with pytest.raises(LaunchProblem) as caught:
        made.test_gpu()
    assert caught.value.code == ExitCode.TORCH
    for part in ("NVIDIA H200", "no kernel image", "--skip-torch-cuda-test"):
        assert part in caught.value.screen()
    for words in (["--skip-torch-cuda-test"], ["--use-ipex"], ["--use-cpu", "all"]):
        setup(tmp_path, CUDA, Recorder(), *words).test_gpu()
    monkeypatch.setattr(torch_setup, "_TEST", "pass")
    made.test_gpu()
    monkeypatch.setattr(torch_setup, "_TEST", "1/0")
    made.test_gpu()
    monkeypatch.setattr(torch_setup, "_driver", lambda: "590.1")
    with pytest.raises(LaunchProblem):
        made.test_gpu()


def test_cpu_build_beside_a_gpu_is_a_line(
    tmp_path: Path,
    versions: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    versions["torch"] = "2.13.0+cpu"
    monkeypatch.setattr(torch_setup, "_driver", lambda: "580.65.06")
    setup(tmp_path, CUDA, Recorder()).test_gpu()
    assert "--reinstall-torch" in capsys.readouterr().out
    monkeypatch.setattr(torch_setup, "_driver", lambda: "")
    setup(tmp_path, PLAIN, Recorder()).test_gpu()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("torch", "told"),
    [
        ("2.13.0+cpu", "it needs a CUDA build of PyTorch, and 2.13.0+cpu is none"),
        ("2.13.0", "it needs an NVIDIA GPU, and none was found"),
    ],
)
def test_xformers_that_cannot_run(
    tmp_path: Path, versions: dict[str, str], torch: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    versions["torch"] = torch
    recorder = Recorder()
    assert not setup(tmp_path, PLAIN, recorder, "--xformers").install_xformers()
    assert capsys.readouterr().out == f"xformers: {told}; PyTorch's own attention is used.\n"
    assert not recorder.calls
    assert not setup(tmp_path, PLAIN, recorder).install_xformers()
    assert capsys.readouterr().out == ""


def test_xformers_where_it_can_run(
    tmp_path: Path, versions: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    versions["torch"] = "2.13.0+cu130"
    recorder = Recorder()
    assert setup(tmp_path, CUDA, recorder, "--xformers").install_xformers()
    assert recorder.calls == [["pip", "install", "--only-binary=:all:", "--no-deps", "xformers==0.0.35"]]
    failing = Recorder("ERROR: No matching distribution found for x", 1)
    assert setup(tmp_path, CUDA, failing, "--xformers", XFORMERS_PACKAGE="x").install_xformers()
    assert "No matching distribution found for x; PyTorch's own attention is used." in capsys.readouterr().out
    versions["xformers"] = "0.0.35"
    assert not setup(tmp_path, CUDA, failing, "--xformers").install_xformers()
    assert setup(tmp_path, CUDA, recorder, "--reinstall-xformers").install_xformers()
    assert "--force-reinstall" in recorder.calls[-1]


def test_summary_is_one_screen(tmp_path: Path, versions: dict[str, str]) -> None:
    made = setup(tmp_path, CUDA, Recorder())
    plan = plan_torch(CUDA, ask=lambda *_: "cannot be reached (" + "x " * 100 + ")")
    lines = summary(made, plan, 24).splitlines()
    assert len(lines) < 15
    assert max(map(len, lines)) <= 98
    for part in ("NVIDIA H200", "24 to install", "GB free", sys.executable):
        assert part in "\n".join(lines)


def test_launcher_and_flags_need_the_standard_library_only() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import pkgutil, importlib, modules.launcher, launch\n"
        "for found in pkgutil.iter_modules(modules.launcher.__path__):\n"
        "    importlib.import_module('modules.launcher.' + found.name)\n"
        "import modules.options.flags, modules.options.paths, modules.launch_utils\n"
        "foreign = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(name for name in foreign if name[0] != '_'))\n"
    )
    finished = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert finished.stdout == "['launch', 'modules']\n", finished.stderr
