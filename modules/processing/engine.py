"""The workshop in which pictures are painted: the loaded models and the few things that outlive a job."""

from __future__ import annotations

import threading
import weakref
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.model import DiffusionModel
from modules.checkpoints.network_folders import NetworkFolders
from modules.checkpoints.store import ModelStore
from modules.checkpoints.vae_files import VaeFiles
from modules.devices.attention import choose_backend
from modules.faces.registry import FaceRestorers
from modules.images.sanitize import DEFAULT_RULES, NameRules
from modules.processing.networks import NetworkShelf
from modules.processing.validation import Limits
from modules.prompts.conditioning import PromptConditioner
from modules.prompts.styles import StyleDatabase
from modules.upscaling.registry import Upscalers

if TYPE_CHECKING:
    from modules.options.view import SettingsView


class Conditioners:
    """One reader of prompts per loaded model; it goes when its model goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_model: weakref.WeakKeyDictionary[DiffusionModel, PromptConditioner] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, model: DiffusionModel) -> PromptConditioner:
        """The reader of ``model`` with all that it remembers."""
        with self._lock:
            conditioner = self._by_model.get(model)
            if conditioner is None:
                conditioner = self._by_model[model] = PromptConditioner(model)
            return conditioner


@dataclass(frozen=True)
class Engine:
    """What painting needs besides the request and its settings.

    ``data_dir``: folder that relative output folders and ``params.txt`` lie in. ``flags``: the command-line
    flags, for the attention backend. ``hashing``: whether
    infotexts name model hashes. ``keep_last_infotext``: write ``params.txt`` after each job.
    """

    models: ModelStore
    vaes: VaeFiles
    styles: StyleDatabase
    data_dir: Path
    flags: Namespace = field(default_factory=Namespace)
    limits: Limits = field(default_factory=Limits)
    name_rules: NameRules = DEFAULT_RULES
    hashing: bool = True
    keep_last_infotext: bool = True
    conditioners: Conditioners = field(default_factory=Conditioners)
    upscalers: Upscalers = field(default_factory=Upscalers)
    networks: NetworkShelf = field(default_factory=lambda: NetworkShelf(NetworkFolders.none()))
    faces: FaceRestorers = field(default_factory=FaceRestorers)

    def model(self, settings: SettingsView) -> DiffusionModel:
        """The checkpoint and VAE that the settings name, loaded when they are not.

        Raises ``NotFound`` or ``ModelFileError``; the model in use stays.
        """
        return self.model_of(self.models.resolve(settings.sd_model_checkpoint), settings)

    def model_of(self, info: CheckpointInfo, settings: SettingsView) -> DiffusionModel:
        """The checkpoint ``info`` with the VAE that the settings choose for it, loaded when it is not.

        A job that uses several (refiner, second pass) holds each from its first use to its end, also when
        the store keeps fewer.
        """
        overrides = settings.sd_vae_overrides_per_model_preferences
        vae = self.vaes.choose(info, settings.sd_vae, overrides)
        model = self.models.use(info.filename, vae_file=vae)
        backend = choose_backend(settings.cross_attention_optimization, self.flags, model.device)
        model.set_attention(backend, settings.upcast_attn)
        return model

    def short_title(self, info: CheckpointInfo) -> str:
        """Name of a checkpoint in infotexts, with its hash; waits for the hash of a new file."""
        return (
            f"{info.name_for_extra} [{info.calculate_shorthash()}]" if self.hashing else info.name_for_extra
        )

    def folder(self, setting: str) -> Path:
        """The output folder that a setting names; relative ones lie in the data folder."""
        return self.data_dir / Path(setting).expanduser()
