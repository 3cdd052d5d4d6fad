"""The samplers of k-diffusion, run with the random numbers of the job.

``k_diffusion/sampling.py`` is executed anew for every run, under a name of ours that is entered nowhere.
So its ``torch.randn_like`` can be the noise of this run's images while other runs, and everybody else's
k_diffusion, stay as they are.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from modules.errors import EaselError, NonFiniteError

INSTALL_DIR = Path(__file__).resolve().parents[2]
_NAME = "modules.sampling.kdiffusion.sampling"

Model = Callable[..., Tensor]
Draw = Callable[[], Tensor]
Progress = Callable[[dict[str, Any]], None]


class _TorchWithNoise:
    """PyTorch as the samplers see it: everything as it is, but normal noise comes from the run."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def randn_like(self, x: Tensor) -> Tensor:
        """The next draw of the run, as ``x``."""
        return self._draw().to(x)


def find_sampling_file(install_dir: Path = INSTALL_DIR) -> Path:
    """``k_diffusion/sampling.py`` of the clone below ``repositories/``, else of the installed package.

    Raises ``EaselError`` when there is neither.
    """
    clone = install_dir / "repositories" / "k-diffusion" / "k_diffusion" / "sampling.py"
    if clone.is_file():
        return clone
    package = importlib.util.find_spec("k_diffusion")
    for folder in (package.submodule_search_locations or ()) if package else ():
        installed = Path(folder) / "sampling.py"
        if installed.is_file():
            return installed
    raise EaselError(
        f"The samplers of k-diffusion were found neither in the clone {clone.parents[1]} "
        f"nor as an installed package k-diffusion ({sys.prefix}). "
        "Start once with access to the network, so that the launcher fetches one of the two, "
        "or install the package k-diffusion without its dependencies."
    )


def load_samplers(draw: Draw, install_dir: Path = INSTALL_DIR) -> ModuleType:
    """The sampling functions of k-diffusion, whose ``torch.randn_like`` calls ``draw``."""
    path = find_sampling_file(install_dir)
    spec = importlib.util.spec_from_file_location(_NAME, path)
    if spec is None or spec.loader is None:
        raise EaselError(
            f"{path} cannot be loaded as Python. Remove the folder and start again to refetch it."
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise EaselError(
            f"The samplers in {path} need the package {error.name!r}, which cannot be imported: {error}. "
            "Install it into the environment of Easel."
        ) from error
    module.__dict__["torch"] = _TorchWithNoise(draw)
    return module


def sample_k(
    function: str,
    model: Model,
    x: Tensor,
    *,
    draw: Draw,
    progress: Progress,
    options: dict[str, Any],
    install_dir: Path = INSTALL_DIR,
) -> Tensor:
    """Run the k-diffusion sampler ``function`` from ``x`` [B, C, h, w] with its own ``options``.

    ``options`` holds ``sigmas`` or the range, and whatever else the function takes.
    """
    sigmas = options.get("sigmas")
    if sigmas is not None and len(sigmas) == 2 and sigmas[1] == 0:
        return _only_step(model, x, sigmas[0], progress)
    if function == "sample_dpm_adaptive":
        model = _finite_or_raise(model)
    sampler = getattr(load_samplers(draw, install_dir), function, None)
    if sampler is None:
        raise EaselError(
            f"The installed k-diffusion has no {function}. Remove repositories/k-diffusion and start again "
            "to get the pinned version, or choose another sampler."
        )
    with torch.no_grad():
        return sampler(model, x, callback=progress, disable=True, **options)


@torch.no_grad()
def _only_step(model: Model, x: Tensor, sigma: Tensor, progress: Progress) -> Tensor:
    """One step down to 0, where every sampler's answer is the estimate itself.

    The multistep SDE samplers of k-diffusion fail there: they use a step size that no step has set.
    """
    denoised = model(x, sigma * x.new_ones(len(x)))
    progress({"x": x, "i": 0, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
    return denoised


def _finite_or_raise(model: Model) -> Model:
    """Stop the adaptive sampler at a non-finite estimate, of which its step control would try for ever."""

    def checked(x: Tensor, sigma: Tensor) -> Tensor:
        denoised = model(x, sigma)
        if not torch.isfinite(denoised).all():
            raise NonFiniteError(
                f"The network returned a value that is not finite at noise level {float(sigma[0]):.4g}."
            )
        return denoised

    return checked
