"""Which PyTorch a machine gets, with real index servers on this machine and with silent ones."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from modules.launcher import torch_plan
from modules.launcher.machine import Gpu, Machine, driver_version, look_at_machine
from modules.launcher.problems import LaunchProblem
from modules.launcher.torch_plan import INDEX, PACKAGES, TORCH_VERSION, TorchPlan, ask_index, plan_torch

NEW_GPU = Gpu("Some GPU", driver=(580, 65), compute=(9, 0), memory=143771)


def machine(*gpus: Gpu, system: str = "Linux", other: str = "") -> Machine:
    return Machine(system, "x86_64", "3.11.7", gpus, other)


def answers(_index: str, _version: str, _environ: Mapping[str, str]) -> str:
    return ""


def silent(_index: str, _version: str, _environ: Mapping[str, str]) -> str:
    return "does not answer"


def index_of(plan: TorchPlan) -> str | None:
    words = list(plan.words)
    return words[words.index("--extra-index-url") + 1] if "--extra-index-url" in words else None


@pytest.mark.parametrize(
    ("found", "index"),
    [
        (machine(), "cpu"),
        (machine(NEW_GPU), "cu130"),
        (machine(Gpu("Old driver", (535, 1), (8, 6))), "cu126"),
        (machine(Gpu("Old GPU", (580, 1), (6, 1))), "cu126"),
        (machine(Gpu("Unknown")), "cu130"),
        (machine(Gpu("Ancient driver", (470, 1), (8, 6))), "cpu"),
        (machine(system="Windows"), None),
        (machine(NEW_GPU, system="Windows"), "cu130"),
        (machine(system="Darwin", other="Apple GPU"), None),
        (machine(other="AMD GPU"), "cpu"),
    ],
)
def test_build_for_a_machine(found: Machine, index: str | None) -> None:
    plan = plan_torch(found, ask=answers)
    assert plan.words[:2] == ("pip", "install")
    assert set(PACKAGES) <= set(plan.words)
    assert index_of(plan) == (f"{INDEX}/{index}" if index else None)
    assert plan.expects_gpu == ("cu1" in (index or ""))


def test_silent_index_is_left_out_and_named() -> None:
    for found in (machine(), machine(NEW_GPU)):
        plan = plan_torch(found, ask=silent)
        assert index_of(plan) is None
        assert "does not answer" in plan.reason


def test_older_cuda_build_when_the_newer_index_lacks_the_version() -> None:
    plan = plan_torch(machine(NEW_GPU), ask=lambda index, *_: "" if "cu126" in index else "lacks it")
    assert index_of(plan) == f"{INDEX}/cu126"


def test_overrides() -> None:
    own = plan_torch(machine(NEW_GPU), torch_command="pip install 'torch>=2' --pre", ask=silent)
    assert own.words == ("pip", "install", "torch>=2", "--pre")
    given = plan_torch(machine(), torch_index_url="https://example.org/whl", ask=answers)
    assert index_of(given) == "https://example.org/whl"
    gone = plan_torch(machine(), torch_index_url="https://example.org/whl", ask=silent)
    assert index_of(gone) is None
    assert "TORCH_INDEX_URL" in gone.reason
    assert index_of(plan_torch(machine(), use_ipex=True, ask=answers)) == f"{INDEX}/xpu"
    with pytest.raises(LaunchProblem, match="TORCH_COMMAND"):
        plan_torch(machine(), torch_command="pip install 'torch")


@contextmanager
def index_server(status: int, body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = status if self.path == "/whl/cpu/torch/" else 404
            self.send_response(found)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/whl/cpu"
        server.shutdown()


def test_asking_an_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch_plan, "ASK_SECONDS", 0.5)
    page = f'<a href="x">torch-{TORCH_VERSION}%2Bcpu-cp311.whl</a>'.encode()
    with index_server(200, page) as index:
        assert ask_index(index, TORCH_VERSION, {}) == ""
        assert ask_index(index + "/", "9.9.9", {}) == "does not hold torch 9.9.9"
    with index_server(503, b"") as index:
        assert ask_index(index, TORCH_VERSION, {}) == "answers 503"
    assert "cannot be reached" in ask_index(index, TORCH_VERSION, {})
    assert "cannot be reached" in ask_index("nonsense", TORCH_VERSION, {})
    assert ask_index(tmp_path.as_uri(), "", {}) == ""
    assert ask_index((tmp_path / "gone").as_uri(), "", {}) == "does not exist"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        problem = ask_index(f"http://127.0.0.1:{listener.getsockname()[1]}/whl", TORCH_VERSION, {})
        assert time.monotonic() - started < 5
    assert "does not answer" in problem or "timed out" in problem


def fake_nvidia_smi(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)


def test_gpus_that_nvidia_smi_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    fake_nvidia_smi(
        tmp_path / "bin", "echo 'NVIDIA H200, 580.65.06, 9.0, 143771'; echo 'Tesla P4, [N/A], [N/A], x'"
    )
    found = look_at_machine(tmp_path)
    assert found.gpus == (Gpu("NVIDIA H200", (580, 65, 6), (9, 0), 143771), Gpu("Tesla P4"))
    assert "NVIDIA H200, 140 GiB, driver 580.65.6" in found.describe()
    fake_nvidia_smi(tmp_path / "bin", "echo 'NVIDIA-SMI has failed'; exit 9")
    assert look_at_machine(tmp_path).gpus == ()


def test_gpus_that_the_driver_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    driver = tmp_path / "proc" / "driver" / "nvidia"
    (driver / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (driver / "gpus" / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA L4\nIRQ: 5\n")
    (driver / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.124.06  Wed Feb\n")
    assert driver_version(tmp_path) == ""  # a container: the host's driver without a device
    assert look_at_machine(tmp_path).gpus == ()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert driver_version(tmp_path) == "570.124.06"
    assert look_at_machine(tmp_path).gpus == (Gpu("NVIDIA L4", (570, 124, 6)),)


def test_gpu_of_another_maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    card = tmp_path / "sys" / "class" / "drm" / "card0" / "device"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x1002\n")
    assert look_at_machine(tmp_path).describe() == "AMD GPU"
    assert "TORCH_COMMAND" in plan_torch(look_at_machine(tmp_path), ask=answers).reason
