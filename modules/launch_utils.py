"""The names that the install.py files of extensions import from here, or as ``launch``.

A façade: the work is done in ``modules.launcher``. Nothing of Easel itself imports this.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.launcher import extension_tools, program, versions
from modules.launcher.extension_tools import check_run_python, is_installed, run
from modules.launcher.extensions import ExtensionFolder, read_extension_choice
from modules.launcher.extensions import list_extensions as _list_extensions
from modules.launcher.git import Git
from modules.launcher.installers import Installers
from modules.launcher.requirements import read_requirements
from modules.launcher.state import LauncherState
from modules.launcher.sysinfo import write_report
from modules.launcher.timer import Timer
from modules.launcher.updates import update_check

__all__ = ["check_run_python", "is_installed", "run"]

script_path = str(Path(__file__).resolve().parent.parent)
python = sys.executable
git = os.environ.get("GIT") or "git"
index_url = os.environ.get("INDEX_URL") or ""
dir_repos = "repositories"
default_command_live = os.environ.get("WEBUI_LAUNCH_LIVE_OUTPUT") == "1"
re_requirement = re.compile(r"\s*([\w.-]+)\s*(?:==\s*([\w.+-]+))?\s*")


def __getattr__(name: str) -> Any:
    if name == "args":
        return _flags()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def commit_hash() -> str:
    """The commit of the checkout, or ``<none>``."""
    return versions.commit_hash(Path(script_path))


def git_tag() -> str:
    """The version of the interface: extensions decide by it what the host can do."""
    return versions.INTERFACE_VERSION


def run_pip(command: str, desc: str | None = None, live: bool = default_command_live) -> str | None:
    """``pip`` with ``command``, unless --skip-install was given. Raises ``RuntimeError``."""
    return extension_tools.run_pip(
        command, desc, live, index_url=index_url or None, skip=_flags().skip_install
    )


def repo_dir(name: str) -> str:
    """The folder of a clone below repositories/."""
    return str(Path(script_path) / dir_repos / name)


def git_clone(url: str, dir: str, name: str, commithash: str | None = None) -> None:
    """Clone into ``dir``. Raises ``RuntimeError``."""
    extension_tools.git_clone(url, dir, name, commithash, git)


def git_pull_recursive(dir: str) -> None:
    """Bring every clone below ``dir`` up to date."""
    extension_tools.git_pull_recursive(dir, git)


def run_git(  # noqa: PLR0917 - the reference's signature
    dir: str,
    name: str,
    command: str,
    desc: str | None = None,
    errdesc: str | None = None,
    custom_env: Mapping[str, str] | None = None,
    live: bool = default_command_live,
    autofix: bool = True,
) -> str:
    """git with ``command`` in ``dir``. Raises ``RuntimeError``."""
    return run(f'"{git}" -C "{dir}" {command}', desc, errdesc or f"git failed in {name}", custom_env, live)


def requirements_met(requirements_file: str) -> bool:
    """Whether every requirement of a file is installed."""
    return not read_requirements(Path(requirements_file)).missing


def version_check(commit: str) -> None:
    """Print whether there is a newer version."""
    print(update_check(Path(script_path), Git(git)))


def check_python_version() -> None:
    """Print a line when this Python is not one of the supported ones."""
    low, high = program.SUPPORTED
    if not low <= sys.version_info[:2] <= high:
        print(f"Python {platform.python_version()} is not supported: 3.{low[1]} to 3.{high[1]} are.")


def list_extensions(settings_file: str) -> list[str]:
    """The names of the enabled user extensions."""
    return [folder.name for folder in _folders(settings_file) if folder.enabled and not folder.builtin]


def run_extension_installer(extension_dir: str) -> None:
    """Run the install.py of one extension folder."""
    path = Path(extension_dir)
    _installers().run_all([ExtensionFolder(path.name, path, False, True)])


def run_extensions_installers(settings_file: str) -> None:
    """Run the install.py of every enabled extension."""
    _installers().run_all(_folders(settings_file))


def prepare_environment() -> None:
    """Bring the environment into order."""
    program.prepare_environment(Path(script_path), _flags(), _words())


def configure_for_tests() -> None:
    """Nothing is left to do: --test-server itself chooses the flags."""


def start() -> None:
    """Run webui.py in this process."""
    program.run_program_file(Path(script_path) / program.PROGRAM, Timer())


def dump_sysinfo() -> str:
    """Write the description of the system and return the file's path."""
    return str(write_report(Path(script_path), _flags(), os.environ))


def _flags() -> argparse.Namespace:
    from modules.options.flags import parse_launcher_flags

    return parse_launcher_flags(sys.argv[1:], os.environ, Path(script_path))


def _words() -> list[str]:
    from modules.options.flags import command_words

    return command_words(sys.argv[1:], os.environ)


def _folders(settings_file: str) -> tuple[ExtensionFolder, ...]:
    flags = _flags()
    choice = read_extension_choice(
        Path(settings_file), flags.disable_all_extensions, flags.disable_extra_extensions
    )
    return _list_extensions(
        Path(flags.data_dir) / "extensions", Path(script_path) / "extensions-builtin", choice
    )


def _installers() -> Installers:
    return Installers(Path(script_path), LauncherState.load(Path(script_path)), _words())
