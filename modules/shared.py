"""What extensions read of the running program. ``fill`` puts it here; the program itself reads none of it.

``opts`` are the live settings, ``cmd_opts`` the flags, ``state`` the job in work, ``sd_model`` the
checkpoint, loaded when it is read. Names are ``None`` before the program is put together.
"""

from __future__ import annotations

import os
import sys
import types
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any

from modules.compat.util import html, html_path, ldm_print, listfiles, natural_sort_key, walk_files
from modules.options.settings import OptionHTML, OptionInfo, Options, options_section
from modules.paths_internal import default_sd_model_file, script_path, sd_model_file

__all__ = [
    "OptionHTML",
    "OptionInfo",
    "Options",
    "default_sd_model_file",
    "html",
    "html_path",
    "ldm_print",
    "listfiles",
    "natural_sort_key",
    "options_section",
    "script_path",
    "sd_model_file",
    "walk_files",
]

cmd_opts: Namespace | None = None
parser: ArgumentParser | None = None
opts: Options | None = None
options_templates: dict[str, OptionInfo] = {}
restricted_opts: set[str] = set()
state: Any = None
prompt_styles: Any = None
styles_filename: Any = None
config_filename: str = ""
hide_dirs: dict[str, bool] = {"visible": True}

device: Any = None
weight_load_location: str | None = None
xformers_available: bool = False
batch_cond_uncond: bool = True
parallel_processing_allowed: bool = True
hf_endpoint: str = os.environ.get("HF_ENDPOINT", "https://huggingface.co")

hypernetworks: dict[str, str] = {}
loaded_hypernetworks: list[Any] = []
face_restorers: list[Any] = []
sd_upscalers: list[Any] = []
interrogator: Any = None
clip_model: Any = None
mem_mon: Any = None
job_queue: Any = None
job_worker: Any = None

demo: Any = None
settings_components: dict[str, Any] = {}
tab_names: list[str] = []
gradio_theme: Any = None
progress_print_out = sys.stdout

latent_upscale_default_mode = "Latent"
latent_upscale_modes: dict[str, dict[str, Any]] = {
    "Latent": {"mode": "bilinear", "antialias": False},
    "Latent (antialiased)": {"mode": "bilinear", "antialias": True},
    "Latent (bicubic)": {"mode": "bicubic", "antialias": False},
    "Latent (bicubic antialiased)": {"mode": "bicubic", "antialias": True},
    "Latent (nearest)": {"mode": "nearest", "antialias": False},
    "Latent (nearest-exact)": {"mode": "nearest-exact", "antialias": False},
}


class TotalTQDM:
    """A count of all steps of a job. Progress is shown by ``state`` here; this counts on request."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0

    def reset(self) -> None:
        """Count from zero."""
        self.done = 0

    def update(self) -> None:
        """One step is done."""
        self.done += 1

    def updateTotal(self, new_total: int) -> None:
        """There are ``new_total`` steps."""
        self.total = new_total

    def clear(self) -> None:
        """The job is over."""
        self.total = self.done = 0


total_tqdm = TotalTQDM()


def fill(names: Mapping[str, Any], model: Callable[[], Any], devices: Callable[[], Any]) -> None:
    """Put the parts of the program here. ``model`` and ``devices`` are asked when their names are read."""
    globals().update(names)
    _late.update(sd_model=model, device=devices)
    globals().pop("device", None)


_late: dict[str, Callable[[], Any]] = {}


class _Shared(types.ModuleType):
    """The module, with ``sd_model`` and ``device`` found when they are read."""

    def __getattr__(self, name: str) -> Any:
        if name in ("sd_model", "device"):
            return _late[name]() if name in _late else None
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Shared


def list_checkpoint_tiles(use_short: bool = False) -> list[str]:
    """The checkpoints as the settings offer them."""
    return list(opts.choice_providers.choices("checkpoints")) if opts is not None else []


def refresh_checkpoints() -> None:
    """Look for new checkpoints."""
    if opts is not None:
        opts.choice_providers.refresh("checkpoints")


def list_samplers() -> Any:
    """The samplers."""
    from modules.sampling.samplers import SAMPLERS

    return SAMPLERS
