"""Folders of the program and of the user as texts, for extensions.

They are those of ``shared.cmd_opts``; the program itself uses ``modules.options.paths``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.options.paths import INSTALL_DIR

if TYPE_CHECKING:
    from modules.options.paths import Paths

commandline_args = os.environ.get("COMMANDLINE_ARGS", "")
cwd = str(Path.cwd())
script_path = str(INSTALL_DIR)
modules_path = str(INSTALL_DIR / "modules")
sd_model_file = default_sd_model_file = str(INSTALL_DIR / "model.ckpt")

_FOLDERS = {
    "data_path": "data_dir",
    "models_path": "models_dir",
    "sd_configs_path": "configs_dir",
    "extensions_dir": "extensions_dir",
    "extensions_builtin_dir": "extensions_builtin_dir",
    "config_states_dir": "config_states_dir",
    "default_output_dir": "outputs_dir",
}


def folder_names(paths: Paths) -> dict[str, str]:
    """The names of this module that depend on the flags."""
    values = {name: str(getattr(paths, field)) for name, field in _FOLDERS.items()}
    return {**values, "sd_default_config": str(paths.configs_dir / "v1-inference.yaml")}


def __getattr__(name: str) -> Any:
    from modules import shared

    if name == "cmd_opts_pre":
        return shared.cmd_opts
    if name in _FOLDERS or name == "sd_default_config":
        return getattr(shared, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def normalized_filepath(filepath: str) -> str:
    """The absolute path without ``..`` and with the separators of the system; links stay."""
    return os.path.abspath(filepath)  # noqa: PTH100
