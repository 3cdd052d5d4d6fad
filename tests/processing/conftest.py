"""An engine over the small reference checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.store import ModelStore
from modules.checkpoints.vae_files import VaeFiles
from modules.devices.policy import DevicePolicy
from modules.options.settings import default_options
from modules.processing.engine import Engine
from modules.processing.request import Txt2ImgRequest
from modules.processing.result import Processed
from modules.processing.txt2img import paint_txt2img
from modules.prompts.styles import StyleDatabase
from modules.sampling.monitor import NullMonitor
from tests.golden.cases import ROOT


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    hashes = HashStore(tmp_path_factory.mktemp("hashes"))
    catalogue = CheckpointCatalogue([ROOT / "models" / "Stable-diffusion"], hashes)
    catalogue.refresh()
    return ModelStore(catalogue, DevicePolicy(torch.device("cpu")))


@pytest.fixture
def engine(models: ModelStore, tmp_path: Path) -> Engine:
    folder = ROOT / "models"
    vaes = VaeFiles([folder / "VAE"], [folder / "Stable-diffusion"])
    return Engine(models, vaes, StyleDatabase([folder / "styles.csv"]), tmp_path)


@pytest.fixture
def paint(engine: Engine) -> Callable[..., Processed]:
    """Paints a small picture; keywords are fields of the request, ``sets`` settings of the job."""

    def run(monitor: Any = None, sets: dict[str, Any] | None = None, **fields: Any) -> Processed:
        values = {
            "prompt": "a cat",
            "seed": 1,
            "steps": 2,
            "width": 64,
            "height": 64,
            "sampler_name": "Euler",
        }
        settings = default_options().view(
            {"sd_model_checkpoint": "tiny-sd1", "randn_source": "CPU", **(sets or {})}
        )
        return paint_txt2img(
            Txt2ImgRequest(**{**values, **fields}), engine, settings, monitor or NullMonitor()
        )

    return run
