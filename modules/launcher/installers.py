"""Runs the install.py of extensions: when they or the installed packages changed, not at every start.

Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.launcher.extensions import ExtensionFolder
from modules.launcher.git import head_commit
from modules.launcher.problems import shorten
from modules.launcher.processes import Finished, run_program
from modules.launcher.requirements import installed_version
from modules.launcher.state import LauncherState, installed_fingerprint, write_atomically


@dataclass(frozen=True)
class InstallerFailure:
    """An extension whose install.py failed, and its last word."""

    extension: str
    reason: str


@dataclass(frozen=True)
class Installers:
    """Runs install.py files in processes of their own, one after the other.

    ``words`` are the command-line words of this start: an install.py that imports ``launch`` sees them
    as ``launch.args``. ``pins`` are distributions that no extension may move to another version.
    """

    install_dir: Path
    state: LauncherState
    words: Sequence[str]
    pins: Sequence[str] = ()
    live: bool = False
    environ: Mapping[str, str] | None = None
    run: Callable[..., Finished] = run_program

    def run_all(self, folders: Sequence[ExtensionFolder]) -> tuple[InstallerFailure, ...]:
        """Run what has to be run. A failure is printed in one line, and the others go on."""
        packages = installed_fingerprint()
        due = [folder for folder in folders if folder.enabled and self._is_due(folder, packages)]
        if not due:
            return ()
        environ = self._environ()
        failures = []
        for folder in due:
            print(f"Extension {folder.name}: running install.py ...", flush=True)
            if failure := self._run_one(folder, environ):
                print(f"Extension {folder.name}: install.py failed: {failure.reason}", flush=True)
                failures.append(failure)
        self._remember(folders, {failure.extension for failure in failures})
        return tuple(failures)

    def _is_due(self, folder: ExtensionFolder, packages: str) -> bool:
        if not (folder.path / "install.py").is_file():
            return False
        return (
            self.state.get("installers", str(folder.path)) != f"{packages} {folder_fingerprint(folder.path)}"
        )

    def _run_one(self, folder: ExtensionFolder, environ: Mapping[str, str]) -> InstallerFailure | None:
        finished = self.run(
            [sys.executable, str(folder.path / "install.py")],
            cwd=self.install_dir,
            environ=environ,
            echo=_print_piece if self.live else None,
        )
        said = finished.output.strip()
        if said and not self.live:
            print("\n".join("  " + shorten(line) for line in said.splitlines()[-8:]), flush=True)
        if finished.ok:
            return None
        return InstallerFailure(folder.name, f"{shorten(finished.last_line)} (code {finished.code})")

    def _remember(self, folders: Sequence[ExtensionFolder], failed: set[str]) -> None:
        # All at once and last: each installer may have changed the packages that the others were run with.
        packages = installed_fingerprint()
        for folder in folders:
            if folder.name in failed:
                self.state.forget("installers", str(folder.path))
            elif folder.enabled and (folder.path / "install.py").is_file():
                self.state.put(
                    "installers", str(folder.path), f"{packages} {folder_fingerprint(folder.path)}"
                )

    def _environ(self) -> dict[str, str]:
        base = dict(os.environ if self.environ is None else self.environ)
        base["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.install_dir), base.get("PYTHONPATH")]))
        base["COMMANDLINE_ARGS"] = shlex.join(self.words)
        base["PYTHONUTF8"] = "1"
        if constraints := self._write_constraints():
            base["PIP_CONSTRAINT"] = " ".join(filter(None, [base.get("PIP_CONSTRAINT"), constraints]))
        return base

    def _write_constraints(self) -> str:
        # pip reads PIP_CONSTRAINT as words: a path with a space has to be given as an address.
        versions = {name: installed_version(name) for name in self.pins}
        text = "".join(f"{name}=={version}\n" for name, version in versions.items() if version)
        path = self.state.path.with_name("easel-constraints.txt")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        except OSError:
            return ""
        return path.absolute().as_uri() if " " in str(path) else str(path)


def folder_fingerprint(folder: Path) -> str:
    """A short text that changes with the commit of an extension or with a file at its top."""
    digest = hashlib.sha256((head_commit(folder) or "").encode())
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        files = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        digest.update(
            f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()[:16]


def _print_piece(text: str) -> None:
    print(text, end="", flush=True)
