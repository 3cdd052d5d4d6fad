"""Installs PyTorch and xformers and tests once that they can use the GPU. Standard library only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from modules.launcher.environment import LaunchEnvironment
from modules.launcher.pip import Pip
from modules.launcher.problems import ExitCode, LaunchProblem
from modules.launcher.processes import run_program
from modules.launcher.requirements import installed_version
from modules.launcher.state import LauncherState

if TYPE_CHECKING:  # their imports (ssl, urllib) are for the first start only
    from modules.launcher.machine import Machine
    from modules.launcher.torch_plan import TorchPlan

_TEST = "import torch; import sys; sys.exit(0 if torch.cuda.is_available() else 3)"
_TEST_SECONDS = 180.0


@dataclass
class TorchSetup:
    """PyTorch in the environment of the running Python."""

    flags: argparse.Namespace
    variables: LaunchEnvironment
    environ: Mapping[str, str]
    state: LauncherState
    pip: Pip

    @cached_property
    def machine(self) -> Machine:
        """Looked at only when needed: it starts a process."""
        from modules.launcher.machine import look_at_machine

        return look_at_machine()

    def is_needed(self) -> bool:
        """Whether torch or torchvision is missing, or is to be installed again."""
        if self.flags.reinstall_torch or installed_version("torch") is None:
            return True
        own_choice = self.variables.torch_command
        if own_choice and self.state.get("torch", "command") == own_choice:
            return False  # the user's command may leave out torchvision
        return installed_version("torchvision") is None

    def plan(self) -> TorchPlan:
        """Which build, from where."""
        from modules.launcher.torch_plan import plan_torch

        return plan_torch(
            self.machine,
            torch_command=self.variables.torch_command,
            torch_index_url=self.variables.torch_index_url,
            use_ipex=self.flags.use_ipex,
            environ=self.environ,
        )

    def install(self, plan: TorchPlan) -> None:
        """Run the plan. Raises ``LaunchProblem``."""
        words = list(plan.words)
        if self.flags.reinstall_torch and words[:2] == ["pip", "install"]:
            words[2:2] = ["--force-reinstall"]
        self.pip.module(words, f"PyTorch, {plan.build}")
        if installed_version("torch") is None:
            raise LaunchProblem(
                ExitCode.TORCH,
                "pip reported success, but PyTorch is not installed.",
                remedy=["Correct TORCH_COMMAND, or remove it, and start again."],
            )
        self.state.put("torch", "command", self.variables.torch_command)
        self.state.put("torch", "expects_gpu", plan.expects_gpu)
        self.state.forget("torch", "tested")

    def test_gpu(self) -> None:
        """Test once for every pair of torch and driver that torch can use the GPU that is there.

        Raises ``LaunchProblem`` (code 16). Not on machines without an NVIDIA GPU, and not with
        --skip-torch-cuda-test, --use-ipex or --use-cpu all.
        """
        version = installed_version("torch")
        if (
            version is None
            or self.flags.skip_torch_cuda_test
            or self.flags.use_ipex
            or "all" in self.flags.use_cpu
        ):
            return
        driver = _driver()
        if not driver and not self.state.get("torch", "expects_gpu"):
            return
        if version.endswith("+cpu"):
            print(f"PyTorch {version} is a CPU build beside an NVIDIA GPU; --reinstall-torch replaces it.")
            return
        pair = f"{version} {driver}"
        if self.state.get("torch", "tested") == pair:
            return
        finished = run_program([sys.executable, "-c", _TEST], limit=_TEST_SECONDS)
        if not finished.ok:
            raise LaunchProblem(
                ExitCode.TORCH,
                f"PyTorch {version} cannot use the GPU ({self.machine.describe()}).",
                details=finished.output.splitlines()[-8:],
                remedy=[
                    "Update the NVIDIA driver, or choose another build: set TORCH_INDEX_URL or TORCH_COMMAND "
                    "and start once with --reinstall-torch.",
                    "To compute on the CPU all the same: --skip-torch-cuda-test.",
                ],
            )
        self.state.put("torch", "tested", pair)

    def install_xformers(self) -> bool:
        """With --xformers: install it where it can run, else say in one line what happens instead.

        It is never required: a failed installation does not stop the start. Returns whether pip was called.
        """
        if not (self.flags.xformers or self.flags.reinstall_xformers):
            return False
        if installed_version("xformers") and not self.flags.reinstall_xformers:
            return False
        if problem := self._xformers_problem():
            print(f"xformers: {problem}; PyTorch's own attention is used.")
            return False
        package = self.variables.xformers_package
        force = ["--force-reinstall"] if self.flags.reinstall_xformers else []
        try:
            # Without dependencies: it must not move torch.
            self.pip.install(["--no-deps", *force, package], package)
        except LaunchProblem as failure:
            reason = failure.details[-1].strip() if failure.details else failure.message
            print(f"xformers: {reason}; PyTorch's own attention is used.")
        return True

    def _xformers_problem(self) -> str:
        version = installed_version("torch") or ""
        if sys.platform == "darwin":
            return "it does not run on macOS"
        if version.endswith("+cpu"):
            return f"it needs a CUDA build of PyTorch, and {version} is none"
        if not self.machine.has_nvidia:
            return "it needs an NVIDIA GPU, and none was found"
        return ""


def _driver() -> str:
    from modules.launcher.machine import driver_version

    return driver_version()
