"""The extensions on disk, whether they are enabled, and what their repositories tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from modules.errors import NotFound
from modules.extensions.metadata import ExtensionMetadata, first_installed
from modules.extensions.ordering import topological_sort
from modules.extensions.repository import (
    ExtensionError,
    bring_to,
    newer_commit,
    read_facts,
    reset_to_remote,
)
from modules.launcher.extensions import ExtensionChoice, ExtensionFolder, list_extensions
from modules.launcher.git import Git


class ScriptFile(NamedTuple):
    """A file of an extension or of the program: the base folder, the file's name, its full path."""

    basedir: str
    filename: str
    path: str


class Extension:
    """One extension. Facts of its repository are read when first asked for by ``read_info_from_repo``.

    ``status`` is a word or sentence about updates. ``requires`` of its metadata are names of others.
    """

    lock: ClassVar[Any] = threading.Lock()
    cached_fields: ClassVar[list[str]] = [
        "remote",
        "commit_date",
        "branch",
        "commit_hash",
        "version",
    ]

    def __init__(
        self,
        name: str,
        path: str | Path,
        enabled: bool = True,
        is_builtin: bool = False,
        metadata: ExtensionMetadata | None = None,
        *,
        git: Git | None = None,
    ) -> None:
        self.name = name
        self.path = str(path)
        self.enabled = enabled
        self.status = ""
        self.can_update = False
        self.is_builtin = is_builtin
        self.commit_hash = ""
        self.commit_date: int | None = None
        self.version = ""
        self.branch: str | None = None
        self.remote: str | None = None
        self.have_info_from_repo = False
        self.metadata = metadata if metadata is not None else ExtensionMetadata(self.path, name.lower())
        self.canonical_name = self.metadata.canonical_name
        self._git = git or Git()

    def to_dict(self) -> dict[str, Any]:
        """The facts of the repository as plain data."""
        return {name: getattr(self, name) for name in self.cached_fields}

    def from_dict(self, d: Mapping[str, Any]) -> None:
        """Take facts of the repository from plain data."""
        for name in self.cached_fields:
            setattr(self, name, d.get(name))

    def read_info_from_repo(self) -> None:
        """Read the facts of the repository once; an extension without one keeps its empty facts."""
        with self.lock:
            if not self.have_info_from_repo and not self.is_builtin:
                self.do_read_info_from_repo()
            self.have_info_from_repo = True

    def do_read_info_from_repo(self) -> None:
        """Read the facts of the repository now."""
        facts = read_facts(Path(self.path), self._git)
        if facts is not None:
            self.commit_hash, self.version = facts.commit, facts.version
            self.branch, self.remote, self.commit_date = facts.branch, facts.remote, facts.commit_date
        self.have_info_from_repo = True

    def list_files(self, subdir: str, extension: str) -> list[ScriptFile]:
        """The files of one folder that end in ``extension``, in the order of their names."""
        folder = Path(self.path) / subdir
        try:
            names = sorted(path.name for path in folder.iterdir() if path.is_file())
        except OSError:
            return []
        return [
            ScriptFile(self.path, name, str(folder / name))
            for name in names
            if Path(name).suffix.lower() == extension.lower()
        ]

    def check_updates(self) -> None:
        """Ask the remote; sets ``status`` and ``can_update``. Raises ``ExtensionError``."""
        self.can_update, self.status = False, "unknown"
        if newer_commit(Path(self.path), self._git) is None:
            self.status = "latest"
        else:
            self.can_update, self.status = True, "new commits"

    def update(self) -> None:
        """To the newest commit of its branch unless files were changed. Raises ``ExtensionError``."""
        bring_to(Path(self.path), self._git)
        self._read_again()

    def checkout(self, commit: str) -> None:
        """Bring it to ``commit``, unless files were changed. Raises ``ExtensionError``."""
        bring_to(Path(self.path), self._git, commit)
        self._read_again()

    def fetch_and_reset_hard(self, commit: str | None = None) -> None:
        """Bring it to ``commit`` or the newest one, dropping every change. Raises ``ExtensionError``."""
        reset_to_remote(Path(self.path), self._git, commit)
        self._read_again()

    def _read_again(self) -> None:
        self.can_update, self.status = False, "latest"
        self.do_read_info_from_repo()


@dataclass
class Catalogue:
    """The extensions in the order in which they load: built-in ones first, then the user's, by name.

    ``refresh`` reads the folders. ``problems`` are sentences about doubles, missing requirements and
    unreadable metadata. ``off`` holds names that are disabled for this run, with the reason.
    """

    user_dir: Path
    builtin_dir: Path
    choose: Callable[[], ExtensionChoice] = ExtensionChoice
    git: Git = field(default_factory=Git)
    extensions: list[Extension] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    off: dict[str, str] = field(default_factory=dict)
    by_path: dict[str, Extension] = field(default_factory=dict)
    by_name: dict[str, Extension] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read the folders again. Facts already read of extensions that are still there are read anew."""
        choice = self.choose()
        self.problems = [choice.problem] if choice.problem else []
        folders = list_extensions(self.user_dir, self.builtin_dir, choice)
        by_name: dict[str, Extension] = {}
        for folder in sorted(folders, key=lambda row: not row.builtin):
            extension = self._make(folder)
            double = by_name.get(extension.canonical_name)
            if double is not None:
                self.problems.append(
                    f"The extension {folder.path} is not used: {double.path} has the same name."
                )
                continue
            by_name[extension.canonical_name] = extension
        self.extensions[:] = by_name.values()
        for table, key in ((self.by_path, "path"), (self.by_name, "canonical_name")):
            table.clear()
            table.update((getattr(row, key), row) for row in self.extensions)
        self._check_requirements()

    def _make(self, folder: ExtensionFolder) -> Extension:
        metadata = ExtensionMetadata(folder.path, folder.name.lower())
        if metadata.problem:
            self.problems.append(metadata.problem)
        return Extension(folder.name, folder.path, folder.enabled, folder.builtin, metadata, git=self.git)

    def _check_requirements(self) -> None:
        active = {extension.canonical_name for extension in self.extensions if extension.enabled}
        known = {extension.canonical_name for extension in self.extensions}
        for extension in self.extensions:
            if not extension.enabled:
                continue
            for word in extension.metadata.requires:
                if first_installed(word, active) is None:
                    state = "is not enabled" if first_installed(word, known) else "is not installed"
                    self.problems.append(
                        f"The extension {extension.name} requires {word.replace('|', ' or ')}, which {state}."
                    )

    def active(self) -> list[Extension]:
        """The enabled extensions, those that others require before them."""
        enabled = [row for row in self.extensions if row.enabled and row.canonical_name not in self.off]
        names = {row.canonical_name: row for row in enabled}
        return [names[name] for name in topological_sort(_requirements(names))]

    def find(self, filename: str | Path) -> Extension | None:
        """The extension whose folder holds this file."""
        path = Path(filename).absolute()
        folders = {Path(row.path).absolute(): row for row in self.extensions}
        return next((folders[base] for base in (path, *path.parents) if base in folders), None)

    def get(self, name: str) -> Extension:
        """The extension of that name. Raises ``NotFound``."""
        for extension in self.extensions:
            if name in (extension.name, extension.canonical_name):
                return extension
        raise NotFound(
            f"There is no extension named {name!r:.100}; the Extensions page lists those installed."
        )

    def disable_for_this_run(self, canonical_name: str, reason: str) -> None:
        """Leave an extension out until the program starts again; nothing is written."""
        self.off.setdefault(canonical_name, reason)

    def check_updates(self, names: Collection[str] | None = None) -> dict[str, str]:
        """Ask the remotes of the user's extensions; a sentence for each that cannot be asked."""
        failed = {}
        for extension in self.extensions:
            if extension.is_builtin or (names is not None and extension.name not in names):
                continue
            extension.read_info_from_repo()
            if extension.remote is None:
                continue
            try:
                extension.check_updates()
            except ExtensionError as error:
                failed[extension.name] = extension.status = str(error)
        return failed

    def update(self, names: Collection[str]) -> dict[str, str]:
        """Bring these extensions to their newest commits; a sentence for each that could not be."""
        failed = {}
        for name in names:
            extension = self.get(name)
            try:
                extension.update()
            except ExtensionError as error:
                failed[extension.name] = extension.status = str(error)
        return failed


def _requirements(names: Mapping[str, Extension]) -> dict[str, list[str]]:
    return {
        name: [found for word in row.metadata.requires if (found := first_installed(word, names))]
        for name, row in names.items()
    }
