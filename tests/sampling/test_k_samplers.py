"""Where the samplers of k-diffusion come from, and that nobody else notices."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import threading
from pathlib import Path

import pytest
import torch

from modules.errors import EaselError
from modules.sampling.k_samplers import find_sampling_file, load_samplers, sample_k
from tests.sampling.fakes import NormalModel, plan_for, txt2img


def draw() -> torch.Tensor:
    return torch.full((1, 4, 8, 8), 5.0)


def test_noise_comes_from_the_run_and_torch_stays_torch() -> None:
    module = load_samplers(draw)
    x = torch.zeros(1, 4, 8, 8, dtype=torch.float64)
    noise = module.torch.randn_like(x)
    assert (noise == 5).all()
    assert noise.dtype == x.dtype
    assert module.torch.cat is torch.cat
    assert torch.randn_like is not module.torch.randn_like


def test_no_package_is_entered_or_changed() -> None:
    before = {name: id(module) for name, module in sys.modules.items()}
    load_samplers(draw)
    assert "k_diffusion" not in sys.modules
    assert "torchvision" not in sys.modules or "torchvision" in before
    assert all(sys.modules[name] is not None and id(sys.modules[name]) == old for name, old in before.items())


def test_two_loads_do_not_share_their_noise() -> None:
    first = load_samplers(draw)
    load_samplers(lambda: torch.zeros(1, 4, 8, 8))
    assert (first.torch.randn_like(torch.zeros(1, 4, 8, 8)) == 5).all()


def test_runs_in_parallel_threads_keep_their_seeds() -> None:
    alone = {
        seed: txt2img(plan_for("Euler a", 12, NormalModel(spread=0.5), seeds=(seed,))) for seed in (1, 2)
    }
    found: dict[int, torch.Tensor] = {}

    def run(seed: int) -> None:
        found[seed] = txt2img(plan_for("Euler a", 12, NormalModel(spread=0.5), seeds=(seed,))).latent

    threads = [threading.Thread(target=run, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[seed], alone[seed].latent) for seed in alone)


def installed_file() -> Path:
    spec = importlib.util.find_spec("k_diffusion")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "sampling.py"


def test_a_clone_goes_before_the_installed_package(tmp_path: Path) -> None:
    assert find_sampling_file(tmp_path) == installed_file()
    package = tmp_path / "repositories" / "k-diffusion" / "k_diffusion"
    package.mkdir(parents=True)
    shutil.copy(installed_file(), package)
    (package / "__init__.py").write_text("raise RuntimeError('must not run')")
    assert find_sampling_file(tmp_path) == package / "sampling.py"
    module = load_samplers(draw, tmp_path)
    assert module.__file__ == str(package / "sampling.py")


def test_without_either_both_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EaselError) as caught:
        find_sampling_file(tmp_path)
    assert str(tmp_path / "repositories" / "k-diffusion") in str(caught.value)
    assert "installed package" in str(caught.value)


def test_a_missing_dependency_is_named(tmp_path: Path) -> None:
    package = tmp_path / "repositories" / "k-diffusion" / "k_diffusion"
    package.mkdir(parents=True)
    (package / "sampling.py").write_text("import no_such_package_here\n")
    with pytest.raises(EaselError, match="no_such_package_here"):
        load_samplers(draw, tmp_path)


def test_an_old_clone_without_the_sampler_is_named(tmp_path: Path) -> None:
    package = tmp_path / "repositories" / "k-diffusion" / "k_diffusion"
    package.mkdir(parents=True)
    (package / "sampling.py").write_text("import torch\n")
    with pytest.raises(EaselError, match="sample_euler"):
        sample_k(
            "sample_euler",
            lambda x, sigma: x,
            torch.zeros(1, 4, 8, 8),
            draw=draw,
            progress=lambda state: None,
            options={"sigmas": torch.tensor([2.0, 1.0, 0.0])},
            install_dir=tmp_path,
        )
