"""From an address to an extension on disk, or to one sentence and nothing left behind."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from modules.extensions.addresses import check_branch, check_folder, check_url, folder_of, same_repository
from modules.extensions.repository import ExtensionError, failure
from modules.launcher.extensions import ExtensionFolder
from modules.launcher.git import Git, remote_url, without_password

RunInstaller = Callable[[ExtensionFolder], str]
"""Runs the install.py of a folder; returns why it failed, or an empty text."""


def _no_installer(_folder: ExtensionFolder) -> str:
    return ""


def _silent(_text: str) -> None:
    return None


@dataclass(frozen=True)
class Installation:
    """Installs into ``extensions_dir``. ``progress`` receives what git prints while it works."""

    extensions_dir: Path
    git: Git = field(default_factory=Git)
    run_installer: RunInstaller = _no_installer
    progress: Callable[[str], None] = _silent

    def install(self, url: str, branch: str | None = None, folder: str | None = None) -> ExtensionFolder:
        """Clone without submodules beside the target, move, run install.py. Raises ``ExtensionError``.

        A failure at any point leaves the extensions folder as it was.
        """
        address, wanted = check_url(url), check_branch(branch)
        name = check_folder(folder) if folder and folder.strip() else folder_of(address)
        self._refuse_known(address, name)
        try:
            self.extensions_dir.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".installing-", dir=self.extensions_dir))
        except OSError as error:
            raise ExtensionError(
                f"The folder {self.extensions_dir} cannot be written: {error.strerror}."
            ) from error
        try:
            self._clone(address, wanted, scratch / name)
            return self._place(scratch / name, self.extensions_dir / name)
        finally:
            remove_tree(scratch)

    def _refuse_known(self, address: str, name: str) -> None:
        if (self.extensions_dir / name).exists():
            raise ExtensionError(
                f"There is an extension in the folder {name} already: remove it, or give another folder."
            )
        for path in self.extensions_dir.iterdir() if self.extensions_dir.is_dir() else ():
            if path.is_dir() and same_repository(remote_url(path), address):
                raise ExtensionError(f"{without_password(address)} is installed already, as {path.name}.")

    def _clone(self, address: str, branch: str | None, target: Path) -> None:
        words = ["clone", "--no-recurse-submodules", "--progress", *(["--branch", branch] if branch else [])]
        finished = self.git.run(
            "-c", "protocol.ext.allow=never", *words, "--", address, str(target),
            echo=self.progress,
        )  # fmt: skip
        if not finished.ok:
            where = f"{without_password(address)}{f' at {branch}' if branch else ''}"
            raise failure(f"{where} cannot be installed", finished, self.git)

    def _place(self, source: Path, target: Path) -> ExtensionFolder:
        try:
            source.rename(target)
        except OSError as error:
            raise ExtensionError(f"The extension cannot be put at {target}: {error.strerror}.") from error
        extension = ExtensionFolder(target.name, target, False, True)
        try:
            problem = self.run_installer(extension)
        except BaseException:
            remove_tree(target)
            raise
        if problem:
            remove_tree(target)
            raise ExtensionError(
                f"The extension {target.name} is not installed, its install.py failed: {problem}"
            )
        return extension


def remove_extension(path: Path) -> None:
    """Delete the folder of an extension: it vanishes at once, its files a moment later.

    Raises ``ExtensionError`` when that is impossible; the extension then stays whole.
    """
    doomed = path.with_name(f".removing-{path.name}")
    try:
        remove_tree(doomed)
        path.rename(doomed)
    except OSError as error:
        raise ExtensionError(
            f"The extension {path.name} cannot be removed: {error.strerror or error}."
        ) from error
    remove_tree(doomed)


def remove_tree(path: Path) -> None:
    """Delete a folder with read-only files (git's objects); what cannot be deleted stays."""

    def make_writable(function: Callable[[str], object], name: str, _info: object) -> None:
        Path(name).chmod(stat.S_IWRITE | stat.S_IREAD)
        function(name)

    try:
        shutil.rmtree(path, onerror=make_writable)
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
