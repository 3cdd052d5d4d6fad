"""What a user does with extensions, for the faces: install, update, enable, disable, remove.

Everything that changes something asks first whether it may: a program that others can reach refuses.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from modules.errors import Forbidden
from modules.extensions.addresses import require_access
from modules.extensions.catalogue import Catalogue, Extension
from modules.extensions.config_states import ConfigStates
from modules.extensions.installing import Installation, RunInstaller, remove_extension


@dataclass(frozen=True)
class ExtensionManager:
    """Changes take effect with the next start. ``run_installer`` runs the install.py of a new one.

    ``progress`` receives what git prints while it works.
    """

    flags: Namespace
    catalogue: Catalogue
    states: ConfigStates
    run_installer: RunInstaller
    progress: Callable[[str], None] = field(default=lambda _text: None)

    def install(self, url: str, branch: str | None = None, folder: str | None = None) -> Extension:
        """Install from an address. Raises ``Forbidden`` or ``ExtensionError``; nothing is left half-made."""
        require_access(self.flags)
        installation = Installation(
            self.catalogue.user_dir, self.catalogue.git, self.run_installer, self.progress
        )
        made = installation.install(url, branch, folder)
        self.catalogue.refresh()
        return self.catalogue.get(made.name)

    def check_updates(self) -> dict[str, str]:
        """Ask all remotes; a sentence for each that cannot be asked."""
        require_access(self.flags)
        return self.catalogue.check_updates()

    def update(self, names: Collection[str]) -> dict[str, str]:
        """Bring extensions to their newest commits; a sentence for each that could not be."""
        require_access(self.flags)
        return self.catalogue.update(names)

    def set_disabled(self, names: Collection[str]) -> None:
        """Store which extensions are off. Raises ``NotFound`` for a name that is none."""
        require_access(self.flags)
        self.states.set_disabled([self.catalogue.get(name).name for name in names])
        self.catalogue.refresh()

    def restore(self, label: str) -> list[str]:
        """Bring back a saved set; a sentence for each extension that could not be brought back."""
        require_access(self.flags)
        problems = self.states.restore(label)
        self.catalogue.refresh()
        return problems

    def remove(self, name: str) -> None:
        """Delete an extension of the user. Raises ``NotFound``, ``Forbidden`` or ``ExtensionError``."""
        require_access(self.flags)
        extension = self.catalogue.get(name)
        if extension.is_builtin:
            raise Forbidden(f"The extension {extension.name} belongs to the program: disable it instead.")
        remove_extension(Path(extension.path))
        self.catalogue.refresh()
