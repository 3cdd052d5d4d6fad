"""Asks the preload.py files of extensions for their command-line flags. Standard library only."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.launcher.extensions import ExtensionFolder


@dataclass(frozen=True)
class PreloadFailure:
    """An extension whose preload.py raised, and why. Its flags are missing; the program goes on."""

    extension: str
    reason: str


def preload_extensions(
    parser: argparse.ArgumentParser, folders: Sequence[ExtensionFolder]
) -> tuple[PreloadFailure, ...]:
    """Call ``preload(parser)`` of every folder that has a preload.py, in order."""
    failures = []
    for folder in folders:
        path = folder.path / "preload.py"
        if not path.is_file():
            continue
        try:
            _call_preload(parser, folder.name, path)
        except (Exception, SystemExit) as error:
            failures.append(PreloadFailure(folder.name, f"{type(error).__name__}: {error}"))
    return tuple(failures)


def _call_preload(parser: argparse.ArgumentParser, extension: str, path: Path) -> None:
    name = f"easel_preload.{extension}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses defined in the file look themselves up
    spec.loader.exec_module(module)
    if hasattr(module, "preload"):
        module.preload(parser)
