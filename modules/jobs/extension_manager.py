"""The manager of extensions of a running program."""

from __future__ import annotations

import sys
from pathlib import Path

from modules.extensions.catalogue import Catalogue
from modules.extensions.config_states import ConfigStates
from modules.extensions.manager import ExtensionManager
from modules.jobs.program import Program
from modules.launcher.extensions import ExtensionFolder, read_extension_choice
from modules.launcher.installers import Installers
from modules.launcher.requirements import read_requirements
from modules.launcher.state import LauncherState


def extension_manager(program: Program) -> ExtensionManager:
    """Installs into the data folder of ``program`` and stores in its settings which extensions are off."""
    flags, paths, host = program.flags, program.paths, program.workshop.host
    catalogue = Catalogue(
        paths.extensions_dir,
        paths.extensions_builtin_dir,
        lambda: read_extension_choice(
            paths.config_file, flags.disable_all_extensions, flags.disable_extra_extensions
        ),
    )
    catalogue.refresh()
    if host is not None:
        catalogue.off = host.catalogue.off

    def set_disabled(names: list[str]) -> None:
        program.options.set("disabled_extensions", names)
        program.save_settings()

    states = ConfigStates(paths.config_states_dir, paths.install_dir, catalogue, set_disabled)
    return ExtensionManager(
        flags, catalogue, states, lambda folder: _run_installer(paths.install_dir, folder)
    )


def _run_installer(install_dir: Path, folder: ExtensionFolder) -> str:
    """Run the install.py of a new extension; why it failed, or an empty text."""
    state = LauncherState.load(install_dir)
    rows = read_requirements(install_dir / "requirements_versions.txt").requirements
    pins = ["torch", "torchvision", *(row.name for row in rows)]  # no extension moves these
    failures = Installers(install_dir, state, sys.argv[1:], pins).run_all([folder])
    state.save()
    return failures[0].reason if failures else ""
