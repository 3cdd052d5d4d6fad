"""Brings the environment into order: PyTorch, requirements, repositories, xformers, extensions.

When everything is there, nothing is started: no pip, no git, no network. Standard library only.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modules.launcher.environment import LaunchEnvironment
from modules.launcher.extensions import list_extensions, read_extension_choice
from modules.launcher.git import Git
from modules.launcher.installers import InstallerFailure, Installers
from modules.launcher.pip import Pip, require_space, require_writable, site_folder
from modules.launcher.problems import ExitCode, LaunchProblem
from modules.launcher.repositories import Keeper, Wanted, wanted_repositories
from modules.launcher.requirements import (
    RequirementFile,
    installed_version,
    parse_requirement,
    read_requirements,
)
from modules.launcher.state import LauncherState
from modules.launcher.torch_setup import TorchSetup
from modules.launcher.updates import update_check, update_extensions

if TYPE_CHECKING:  # its imports (ssl, urllib) are for the first start only
    from modules.launcher.torch_plan import TorchPlan

NO_DEPENDENCIES_FILE = "requirements_nodeps.txt"
_PACKAGE_SPACE = 100 << 20  # what one requirement takes with its dependencies, on average

FileAndWords = tuple[RequirementFile, tuple[str, ...]]


@dataclass(frozen=True)
class Report:
    """What ``prepare`` did: whether pip was called, seconds the check took, extensions that failed."""

    installed: bool
    check_seconds: float
    failures: tuple[InstallerFailure, ...] = ()


@dataclass(frozen=True)
class Preparation:
    """One pass over the environment of the running Python."""

    install_dir: Path
    flags: argparse.Namespace
    variables: LaunchEnvironment
    environ: Mapping[str, str]
    words: Sequence[str]
    state: LauncherState
    pip: Pip
    git: Git

    def run(self) -> Report:
        """Do what is needed. Raises ``LaunchProblem`` when the program could not run afterwards."""
        started = time.perf_counter()
        torch = TorchSetup(self.flags, self.variables, self.environ, self.state, self.pip)
        files = self._requirement_files()
        keeper = Keeper(self.install_dir / "repositories", self.git, self.state)
        may_install = not self.flags.skip_install
        wants_torch = may_install and torch.is_needed()
        due = [file for file, _ in files if self._is_due(file)] if may_install else []
        seconds = time.perf_counter() - started
        try:
            if wants_torch or due:
                self._install(torch, wants_torch, files)
            fetched = self._prepare_repositories(keeper)
            extras = may_install and (self._install_named() | torch.install_xformers())
            torch.test_gpu()
            failures = self._prepare_extensions(files)
            if self.flags.update_check:
                print(update_check(self.install_dir, self.git))
        finally:
            self.state.save()
        return Report(bool(wants_torch or due or fetched or extras), seconds, failures)

    def _requirement_files(self) -> list[FileAndWords]:
        """Every requirement file with the words that pip needs beside it."""
        files: list[FileAndWords] = [(read_requirement_file(self.install_dir, self.variables.reqs_file), ())]
        bare = self.install_dir / NO_DEPENDENCIES_FILE
        if bare.is_file():
            files.append((read_requirements(bare), ("--no-deps",)))
        npu = find_requirement_file(self.install_dir, self.variables.reqs_file_for_npu)
        if npu and "torch_npu" in (self.variables.torch_command or ""):
            files.append((read_requirements(npu), ()))
        return files

    def _is_due(self, file: RequirementFile) -> bool:
        if file.missing:
            return True
        return bool(file.uncheckable) and self.state.get("requirements", str(file.path)) != file.digest

    def _install(self, torch: TorchSetup, wants_torch: bool, files: Sequence[FileAndWords]) -> None:
        due = [(file, words) for file, words in files if self._is_due(file)]
        missing = sum(len(file.missing) or len(file.uncheckable) for file, _ in due)
        plan = torch.plan() if wants_torch else None
        print(summary(torch, plan, missing), flush=True)
        require_writable(site_folder())
        require_space(site_folder(), (plan.space if plan else 0) + missing * _PACKAGE_SPACE)
        self.pip.ensure()
        if plan:
            torch.install(plan)
        for file, words in due:
            self.pip.install([*words, "-r", str(file.path)], f"the requirements of {file.path.name}")
            self._confirm(file)

    def _confirm(self, file: RequirementFile) -> None:
        self.state.put("requirements", str(file.path), file.digest)
        if left := file.missing:
            raise LaunchProblem(
                ExitCode.PIP,
                f"pip reported success, but {', '.join(entry.line for entry in left[:5])} is not installed.",
                remedy=["Delete the environment's folder (venv) and start again."],
            )

    def _prepare_repositories(self, keeper: Keeper) -> bool:
        """Returns whether anything was installed in the place of a clone."""
        fetched = False
        for wanted in wanted_repositories(self.variables.overrides):
            if keeper.is_ready(wanted):
                continue
            row = wanted.row
            package_there = bool(row.distribution and installed_version(row.distribution))
            if package_there and not wanted.requested:
                continue
            if self._bring(keeper, wanted) or row.package is None:
                continue
            if not package_there:
                fetched |= self._install_instead(wanted)
        return fetched

    def _bring(self, keeper: Keeper, wanted: Wanted) -> bool:
        if keeper.has_failed(wanted) and not self.flags.update_check:
            print(f"{wanted.row.folder}: not cloned, as before; --update-check tries again.")
            return False
        return keeper.bring(wanted)

    def _install_instead(self, wanted: Wanted) -> bool:
        row = wanted.row
        assert row.package is not None
        if self.flags.skip_install:
            print(f"{row.folder}: neither cloned nor installed (--skip-install); sampling will not work.")
            return False
        print(f"{row.folder}: taking the package {row.package} instead.")
        require_writable(site_folder())
        self.pip.ensure()
        self.pip.install(["--no-deps", row.package], row.package)
        return True

    def _install_named(self) -> bool:
        """CLIP_PACKAGE and OPENCLIP_PACKAGE: packages that the user wants in place of ours."""
        done = False
        for name, package in (
            ("clip", self.variables.clip_package),
            ("open_clip", self.variables.openclip_package),
        ):
            if package is None or self.state.get("packages", name) == package:
                continue
            requirement = parse_requirement(package)
            if requirement is None or not (requirement.checkable and requirement.is_met()):
                self.pip.module(["pip", "install", "--prefer-binary", package], package)
                done = True
            self.state.put("packages", name, package)
        return done

    def _prepare_extensions(self, files: Sequence[FileAndWords]) -> tuple[InstallerFailure, ...]:
        choice = read_extension_choice(
            Path(self.flags.ui_settings_file),
            self.flags.disable_all_extensions,
            self.flags.disable_extra_extensions,
        )
        if choice.problem:
            print(choice.problem)
        user_dir = Path(self.flags.data_dir) / "extensions"
        folders = list_extensions(user_dir, self.install_dir / "extensions-builtin", choice)
        if self.flags.update_all_extensions:
            update_extensions(folders, self.git)
        if self.flags.skip_install:
            return ()
        pins = ["torch", "torchvision", *(entry.name for file, _ in files for entry in file.requirements)]
        runner = Installers(
            self.install_dir, self.state, self.words, pins, self.variables.live_output, self.environ
        )
        return runner.run_all(folders)


def summary(torch: TorchSetup, plan: TorchPlan | None, missing: int) -> str:
    """One screen: what this machine has, which build of PyTorch it gets and why."""
    machine = torch.machine
    folder = next(path for path in (site_folder(), *site_folder().parents) if path.exists())
    rows = (
        ("System", f"{machine.system} {machine.architecture}"),
        ("Python", f"{machine.python}, {sys.executable}"),
        ("GPU", machine.describe()),
        ("PyTorch", f"{plan.build}; {plan.reason}" if plan else f"{installed_version('torch')} is installed"),
        ("Packages", f"{missing} to install" if missing else "all there"),
        ("Disk", f"{shutil.disk_usage(folder).free / 2**30:.0f} GB free"),
    )
    lines = ["The environment is being prepared."]
    for name, text in rows:
        lines += textwrap.wrap(text, 98, initial_indent=f"  {name:9} ", subsequent_indent=" " * 12)
    return "\n".join(lines)


def find_requirement_file(install_dir: Path, name: str) -> Path | None:
    """A requirement file as given, else inside the program's folder, else ``None``."""
    for path in (Path(name), install_dir / name):
        if path.is_file():
            return path.absolute()
    return None


def read_requirement_file(install_dir: Path, name: str) -> RequirementFile:
    """Read it. Raises ``LaunchProblem`` (code 18) when there is none."""
    path = find_requirement_file(install_dir, name)
    if path is None:
        raise LaunchProblem(
            ExitCode.CHECKOUT,
            f"The requirement file {name} does not exist.",
            remedy=["Take a complete copy of Easel, or correct REQS_FILE."],
        )
    return read_requirements(path)
