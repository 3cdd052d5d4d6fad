"""Folders for extensions; see ``modules.paths_internal``."""

from __future__ import annotations

from typing import Any

from modules import paths_internal
from modules.paths_internal import cwd, modules_path, normalized_filepath, script_path

__all__ = ["cwd", "modules_path", "normalized_filepath", "paths", "script_path", "sd_path"]

sd_path = script_path
possible_sd_paths = [script_path]
path_dirs: list[list[str]] = []
paths: dict[str, str] = {"Stable Diffusion": sd_path}


def __getattr__(name: str) -> Any:
    return getattr(paths_internal, name)
