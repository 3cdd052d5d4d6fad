"""Where things lie, against the layout of the contract."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from modules.options.flags import parse_flags
from modules.options.paths import Paths
from tests.paths import CONTRACT, HAVE_CONTRACT


def paths_of(tmp_path: Path, *words: str, **environ: str) -> Paths:
    install = tmp_path / "install"
    flags = parse_flags(["--data-dir", str(tmp_path / "data"), *words], environ, install, preload=False)
    return Paths.from_flags(flags, install, environ)


def test_defaults(tmp_path: Path) -> None:
    paths = paths_of(tmp_path)
    data, install = tmp_path / "data", tmp_path / "install"
    assert paths.checkpoint_dirs == (data / "models" / "Stable-diffusion",)
    assert paths.config_file == data / "config.json"
    assert paths.cache_dir == data / "cache"
    assert paths.outputs_dir == data / "outputs"
    assert paths.restart_file == install / "tmp" / "restart"
    assert paths.repositories_dir == install / "repositories"
    assert paths.vae_file is None


def test_flags_and_environment_move_things(tmp_path: Path) -> None:
    more, cache = tmp_path / "more", tmp_path / "cache2"
    paths = paths_of(
        tmp_path, "--ckpt-dir", str(more), "--vae-dir", str(more), "--vae-path", str(more / "v.pt"),
        "--models-dir", str(tmp_path / "m"), SD_WEBUI_CACHE_DIR=str(cache),
    )  # fmt: skip
    assert paths.checkpoint_dirs == (more, tmp_path / "m" / "Stable-diffusion")
    assert paths.vae_dirs == (more, tmp_path / "m" / "VAE")
    assert paths.vae_file == more / "v.pt"
    assert paths.lora_dir == tmp_path / "m" / "Lora"
    assert paths.cache_dir == cache


def test_a_folder_is_not_searched_twice(tmp_path: Path) -> None:
    usual = tmp_path / "data" / "models" / "Stable-diffusion"
    assert paths_of(tmp_path, "--ckpt-dir", str(usual)).checkpoint_dirs == (usual,)


@pytest.mark.skipif(not HAVE_CONTRACT, reason="the contract is not beside the checkout")
def test_every_folder_of_the_layout_has_a_name(tmp_path: Path) -> None:
    paths = paths_of(tmp_path)
    bases = {"install": paths.install_dir, "data": paths.data_dir, "models": paths.models_dir}
    ours = {
        tmp_path / "data" / "styles.csv",
        paths.data_dir / "outputs",
        paths.data_dir / "models" / "BSRGAN",
    }
    for field in fields(paths):
        value = getattr(paths, field.name)
        ours.update(v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, Path))
    entries = json.loads((CONTRACT / "layout.json").read_text())["entries"]
    wanted = [entry for entry in entries if entry["base"] in bases and entry["kind"] == "dir"]
    missing = [
        entry["path"]
        for entry in wanted
        if "<" not in entry["path"]
        and not entry["path"].startswith(("outputs/", "tmp/", "modules/"))
        and (bases[entry["base"]] / entry["path"]) not in ours
    ]
    assert missing == ["deepbooru/"]  # a legacy place holder that nothing reads
