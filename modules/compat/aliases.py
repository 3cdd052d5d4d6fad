"""Names that extensions import and that have no natural home: one table, legacy name → ours."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import Any

ALIASES: dict[str, str] = {
    "modules.util": "modules.compat.util",
    "modules.shared_cmd_options": "modules.compat.shared_cmd_options",
    "modules.script_loading": "modules.compat.script_loading",
    "modules.styles": "modules.prompts.styles",
    "modules.shared_state": "modules.compat.shared_state",
    "modules.timer": "modules.launcher.timer",
}


class AliasFinder(importlib.machinery.PathFinder):
    """Answers imports of the names of ``ALIASES`` with the modules behind them."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec whose loader hands out our module."""
        wanted = ALIASES.get(fullname)
        return importlib.util.spec_from_loader(fullname, _AliasLoader(wanted)) if wanted else None


class _AliasLoader(importlib.abc.Loader):
    def __init__(self, target: str) -> None:
        self._target = target

    def create_module(self, spec: Any) -> ModuleType:
        module = importlib.import_module(self._target)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own  # it runs already, under its own name


def install_aliases(meta_path: list[Any]) -> None:
    """Add the finder, once, behind the usual ones: real modules come first."""
    if AliasFinder not in meta_path:
        meta_path.append(AliasFinder)
