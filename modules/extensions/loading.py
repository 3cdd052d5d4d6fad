"""Finds the script files of the program and of its extensions, and runs them one after the other.

While a file runs, its base folder is first on ``sys.path``, ``basedir()`` names that folder, and ``scripts``
is a package over the ``scripts`` folders of everybody, its own first: extensions import their own files as
``scripts.<name>``. ``extensions.<folder>`` can be imported as well.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from modules.extensions.callbacks import BASE
from modules.extensions.catalogue import Catalogue, Extension, ScriptFile
from modules.extensions.ledger import Ledger
from modules.extensions.metadata import first_installed
from modules.extensions.ordering import topological_sort

PACKAGE = "scripts"


@dataclass
class ScriptWithDependencies:
    """A script file and the canonical names (``extension/file``) that it depends on."""

    script_canonical_name: str
    file: ScriptFile
    requires: list[str]
    load_before: list[str]
    load_after: list[str]


@dataclass(frozen=True)
class ScriptClassData:
    """A class found in a script file."""

    script_class: type
    path: str
    basedir: str
    module: ModuleType


@dataclass
class ScriptLoader:
    """Runs script files. ``install_dir`` is the base of the program's own scripts and of ``basedir()``."""

    catalogue: Catalogue
    ledger: Ledger
    install_dir: Path = field(default_factory=Path.cwd)
    current_basedir: str = ""
    modules: dict[str, ModuleType] = field(default_factory=dict)

    def basedir(self) -> str:
        """Base folder of the file that is being run; the program's folder at other times."""
        return self.current_basedir or str(self.install_dir)

    # Which files, in which order

    def list_scripts(self, folder: str, suffix: str, *, include_extensions: bool = True) -> list[ScriptFile]:
        """Files of one kind: the program's, then those of the active extensions, by their wishes.

        A file that requires something that is not there is left out and told.
        """
        found: dict[str, ScriptWithDependencies] = {}
        own = self.install_dir / folder
        for path in sorted(own.iterdir()) if own.is_dir() else ():
            if path.suffix.lower() == suffix.lower() and path.is_file():
                file = ScriptFile(str(self.install_dir), path.name, str(path))
                found[path.name.lower()] = ScriptWithDependencies(path.name.lower(), file, [], [], [])
        for extension in self.catalogue.active() if include_extensions else ():
            for file in extension.list_files(folder, suffix):
                row = _wishes(extension, folder, file)
                found[row.script_canonical_name] = row
        return [found[name].file for name in self._in_order(found)]

    def _in_order(self, found: dict[str, ScriptWithDependencies]) -> list[str]:
        groups: dict[str, list[str]] = {}
        for name in found:
            groups.setdefault(name.partition("/")[0], []).append(name)
        known = set(found) | set(groups)
        needs: dict[str, list[str]] = {name: [] for name in found}

        def members(word: str) -> list[str]:
            name = first_installed(word, known)
            return [] if name is None else ([name] if name in found else groups[name])

        for name, row in list(found.items()):
            missing = [word for word in row.requires if not members(word)]
            if missing:
                wanted = ImportError(f"it requires {missing[0]}, which is not installed or not enabled")
                self.ledger.fail(name.partition("/")[0], f"load {row.file.filename}", wanted)
                del needs[name]
                continue
            for word in (*row.requires, *row.load_after):
                needs[name] += [other for other in members(word) if other != name]
            for word in row.load_before:
                for other in members(word):
                    if other in needs and other != name:
                        needs[other].append(name)
        return topological_sort(needs)

    def files_named(self, filename: str) -> list[str]:
        """Paths of the files of that name in the program and in every active extension."""
        bases = [self.install_dir, *(Path(row.path) for row in self.catalogue.active())]
        return [str(base / filename) for base in bases if (base / filename).is_file()]

    # Running them

    def load(self, file: ScriptFile) -> ModuleType | None:
        """Run one file; ``None`` when it failed: the extension is then disabled for this run."""
        extension = self.catalogue.find(file.path)
        name = extension.canonical_name if extension else BASE
        if name in self.catalogue.off:
            return None
        hook = f"load {file.filename}"
        before = len(self.ledger.failures)
        with self._in_place_of(file), self.ledger.watched(name, hook):
            module = self.ledger.contain(name, hook, load_module, file.path)
        if module is None and extension is not None:
            reason = (
                str(self.ledger.failures[-1]) if len(self.ledger.failures) > before else "it failed to load"
            )
            self.catalogue.disable_for_this_run(name, reason)
        if module is not None:
            self.modules[file.path] = module
        return module

    @contextmanager
    def _in_place_of(self, file: ScriptFile) -> Iterator[None]:
        path_before, basedir_before = list(sys.path), self.current_basedir
        self._open_packages(file.basedir)
        sys.path.insert(0, file.basedir)
        self.current_basedir = file.basedir
        try:
            yield
        finally:
            self.current_basedir = basedir_before
            # What the file itself added stays, behind everything else, as extensions expect.
            added = [entry for entry in sys.path if entry not in path_before and entry != file.basedir]
            sys.path[:] = path_before + added

    def _open_packages(self, first: str) -> None:
        # A regular package called scripts in one extension would hide the files of all others.
        package = sys.modules.get(PACKAGE)
        if package is None or getattr(package, "__file__", None) is not None:
            package = sys.modules[PACKAGE] = ModuleType(PACKAGE, "The script files of all extensions.")
        bases = [first, *(row.path for row in self.catalogue.active()), str(self.install_dir)]
        package.__path__ = list(dict.fromkeys(str(Path(base) / PACKAGE) for base in bases))
        root = str(self.catalogue.user_dir.parent.absolute())
        if root not in sys.path:
            sys.path.append(root)

    def classes_of(
        self, module: ModuleType, file: ScriptFile, bases: tuple[type, ...]
    ) -> list[ScriptClassData]:
        """The classes of a module that derive from ``bases`` and are not of the program itself."""
        found = []
        for value in list(vars(module).values()):
            if not inspect.isclass(value) or not issubclass(value, bases):
                continue
            if value.__module__.startswith("modules."):
                continue
            found.append(ScriptClassData(value, file.path, file.basedir, module))
        return found


def load_module(path: str | Path) -> ModuleType:
    """Run a Python file as a module named after the file, ``.py`` included."""
    file = Path(path)
    spec = importlib.util.spec_from_file_location(file.name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.name] = module  # classes of the file are looked up here by pickle, pydantic and Gradio
    spec.loader.exec_module(module)
    return module


def _wishes(extension: Extension, folder: str, file: ScriptFile) -> ScriptWithDependencies:
    metadata, section = extension.metadata, f"{folder}/{file.filename}"

    def words(field_name: str) -> list[str]:
        return metadata.get_script_requirements(field_name, folder, section)

    return ScriptWithDependencies(
        f"{extension.canonical_name}/{file.filename.lower()}",
        file,
        [*metadata.requires, *words("Requires")],
        words("Before"),
        words("After"),
    )


def clean_up(modules: dict[str, Any]) -> None:
    """Forget the modules of script files, so that they run again at the next load."""
    for path, module in modules.items():
        if sys.modules.get(Path(path).name) is module:
            del sys.modules[Path(path).name]
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    modules.clear()
