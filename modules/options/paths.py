"""Every folder and file of the program and of the user, derived once from the flags.

Standard library only. Nothing here touches the disk: a folder may not exist yet.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INSTALL_DIR = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Paths:
    """Where things lie. ``*_dirs`` are searched in order; missing ones are skipped by their readers.

    Settings may move the output folders; ``outputs_dir`` and ``saved_dir`` are the bases of their defaults.
    """

    install_dir: Path
    data_dir: Path
    models_dir: Path
    checkpoint_file: Path
    checkpoint_dirs: tuple[Path, ...]
    vae_file: Path | None
    vae_dirs: tuple[Path, ...]
    vae_approx_dir: Path
    taesd_dir: Path
    embeddings_dir: Path
    hypernetwork_dir: Path
    lora_dir: Path
    lycoris_dir: Path
    codeformer_dir: Path
    gfpgan_dir: Path
    esrgan_dir: Path
    realesrgan_dir: Path
    dat_dir: Path
    hat_dir: Path
    swinir_dir: Path
    scunet_dir: Path
    ldsr_dir: Path
    clip_dir: Path
    clip_interrogation_dir: Path | None
    blip_dir: Path
    deepbooru_dir: Path
    midas_dir: Path
    opencv_dir: Path
    karlo_dir: Path
    extensions_dir: Path
    extensions_builtin_dir: Path
    scripts_dir: Path
    configs_dir: Path
    html_dir: Path
    javascript_dir: Path
    localizations_dir: Path
    templates_dir: Path
    repositories_dir: Path
    config_states_dir: Path
    tmp_dir: Path
    restart_file: Path
    config_file: Path
    ui_config_file: Path
    styles_files: tuple[str, ...]
    params_file: Path
    user_css: Path
    cache_dir: Path
    legacy_cache_file: Path
    outputs_dir: Path
    saved_dir: Path

    @staticmethod
    def from_flags(
        flags: argparse.Namespace,
        install_dir: Path = INSTALL_DIR,
        environ: Mapping[str, str] | None = None,
    ) -> Paths:
        """The paths of parsed flags; ``environ`` gives SD_WEBUI_CACHE_DIR and SD_WEBUI_CACHE_FILE."""
        data = Path(flags.data_dir)
        models = Path(flags.models_dir) if flags.models_dir else data / "models"
        return Paths(
            install_dir=install_dir,
            data_dir=data,
            models_dir=models,
            **_model_paths(flags, models),
            **_program_paths(flags, install_dir),
            **_user_paths(flags, data, environ or {}),
        )


def _model_paths(flags: argparse.Namespace, models: Path) -> dict[str, Any]:
    return {
        "checkpoint_file": Path(flags.ckpt),
        "checkpoint_dirs": _extra_first(flags.ckpt_dir, models / "Stable-diffusion"),
        "vae_file": Path(flags.vae_path) if flags.vae_path else None,
        "vae_dirs": _extra_first(flags.vae_dir, models / "VAE"),
        "vae_approx_dir": models / "VAE-approx",
        "taesd_dir": models / "VAE-taesd",
        "embeddings_dir": Path(flags.embeddings_dir),
        "hypernetwork_dir": Path(flags.hypernetwork_dir),
        "lora_dir": Path(flags.lora_dir),
        "lycoris_dir": Path(flags.lyco_dir_backcompat),
        "codeformer_dir": Path(flags.codeformer_models_path),
        "gfpgan_dir": Path(flags.gfpgan_models_path),
        "esrgan_dir": Path(flags.esrgan_models_path),
        "realesrgan_dir": Path(flags.realesrgan_models_path),
        "dat_dir": Path(flags.dat_models_path),
        "hat_dir": models / "HAT",
        "swinir_dir": Path(flags.swinir_models_path),
        "scunet_dir": Path(flags.scunet_models_path),
        "ldsr_dir": Path(flags.ldsr_models_path),
        "clip_dir": models / "CLIP",
        "clip_interrogation_dir": Path(flags.clip_models_path) if flags.clip_models_path else None,
        "blip_dir": models / "BLIP",
        "deepbooru_dir": models / "torch_deepdanbooru",
        "midas_dir": models / "midas",
        "opencv_dir": models / "opencv",
        "karlo_dir": models / "karlo",
    }


def _program_paths(flags: argparse.Namespace, install_dir: Path) -> dict[str, Any]:
    # These stay with the program even when the user's data lies elsewhere.
    tmp = install_dir / "tmp"
    return {
        "extensions_builtin_dir": install_dir / "extensions-builtin",
        "scripts_dir": install_dir / "scripts",
        "configs_dir": install_dir / "configs",
        "html_dir": install_dir / "html",
        "javascript_dir": install_dir / "javascript",
        "localizations_dir": Path(flags.localizations_dir),
        "templates_dir": Path(flags.textual_inversion_templates_dir),
        "repositories_dir": install_dir / "repositories",
        "config_states_dir": install_dir / "config_states",
        "tmp_dir": tmp,
        "restart_file": tmp / "restart",
    }


def _user_paths(flags: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "extensions_dir": data / "extensions",
        "config_file": Path(flags.ui_settings_file),
        "ui_config_file": Path(flags.ui_config_file),
        "styles_files": tuple(flags.styles_file),
        "params_file": data / "params.txt",
        "user_css": data / "user.css",
        "cache_dir": Path(environ.get("SD_WEBUI_CACHE_DIR") or data / "cache"),
        "legacy_cache_file": Path(environ.get("SD_WEBUI_CACHE_FILE") or data / "cache.json"),
        "outputs_dir": data / "outputs",
        "saved_dir": data / "log" / "images",
    }


def _extra_first(extra: str | None, usual: Path) -> tuple[Path, ...]:
    return (Path(extra), usual) if extra and Path(extra) != usual else (usual,)
