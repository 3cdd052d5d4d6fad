"""The engine, made when it is first needed: importing PyTorch takes seconds that nobody should wait for."""

from __future__ import annotations

import logging
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.network_folders import NetworkFolders
from modules.checkpoints.vae_files import VaeFiles
from modules.errors import EaselError
from modules.extensions.arguments import script_arguments
from modules.faces.registry import HELPER_FOLDER, RESTORERS, FaceRestorers
from modules.images.sanitize import NameRules
from modules.options.paths import Paths
from modules.postprocessing.cache import UpscaleCache
from modules.postprocessing.chain import check_arguments
from modules.postprocessing.extras import Studio, paint_extras
from modules.postprocessing.steps import Bench
from modules.prompts.styles import StyleDatabase
from modules.sampling.monitor import NullMonitor
from modules.upscaling.families import FAMILIES
from modules.upscaling.registry import Upscalers

if TYPE_CHECKING:
    from PIL.Image import Image

    from modules.devices.policy import DevicePolicy
    from modules.extensions.host import ExtensionHost
    from modules.processing.engine import Engine
    from modules.sampling.monitor import Monitor

_log = logging.getLogger(__name__)

EXTENSIONS_WAIT = 60.0
"""Longest time in seconds that a job waits for extensions that are being loaded."""


class Workshop:
    """Makes the ``Engine`` once, on the thread that asks first, and paints with it."""

    def __init__(
        self,
        flags: Namespace,
        paths: Paths,
        catalogue: CheckpointCatalogue,
        vaes: VaeFiles,
        styles: StyleDatabase,
        *,
        prepare_vision: Callable[[], None] = lambda: None,
    ) -> None:
        """``prepare_vision`` is called before the first package is imported that needs torchvision."""
        self.flags = flags
        self.paths = paths
        self.catalogue = catalogue
        self.vaes = vaes
        self.styles = styles
        self.upscalers = Upscalers(
            {family.folder: getattr(paths, family.folder) for family in FAMILIES},
            self.policy,
            prepare=prepare_vision,
        )
        self.faces = FaceRestorers(
            {name: getattr(paths, name) for name in (HELPER_FOLDER, *(row.folder for row in RESTORERS))},
            self.policy,
            prepare=prepare_vision,
        )
        self.studio = Studio(
            paths.data_dir, NameRules(flags.filenames_max_length, flags.unix_filenames_sanitization)
        )
        self._upscaled = UpscaleCache()
        self.networks = NetworkFolders.at(
            (paths.lora_dir, paths.lycoris_dir),
            paths.embeddings_dir,
            paths.hypernetwork_dir,
            catalogue.hashes,
            tolerant=flags.disable_safe_unpickle,
        )
        self.host: ExtensionHost | None = None
        self.problem: str | None = None
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine; the first call imports PyTorch. Raises ``InvalidInput`` for device flags at odds."""
        with self._lock:
            if self._engine is None:
                self._engine = self._make()
            return self._engine

    @property
    def ready_engine(self) -> Engine | None:
        """The engine if it has been made."""
        return self._engine

    def policy(self) -> DevicePolicy:
        """Device and precision that the flags ask for. Raises ``InvalidInput`` for flags at odds."""
        from modules.devices.policy import DevicePolicy

        return DevicePolicy.from_flags(self.flags)

    def _make(self) -> Engine:
        from modules.checkpoints.store import ModelStore
        from modules.processing.engine import Engine
        from modules.processing.networks import NetworkShelf

        flags = self.flags
        return Engine(
            models=ModelStore(self.catalogue, self.policy()),
            vaes=self.vaes,
            styles=self.styles,
            upscalers=self.upscalers,
            networks=NetworkShelf(self.networks),
            faces=self.faces,
            data_dir=self.paths.data_dir,
            flags=flags,
            name_rules=NameRules(flags.filenames_max_length, flags.unix_filenames_sanitization),
            hashing=not flags.no_hashing,
            keep_last_infotext=not flags.no_prompt_history,
        )

    def txt2img(self, request: Any, settings: Any, monitor: Monitor) -> Any:
        """Painter of the jobs of kind ``txt2img``."""
        from modules.processing.txt2img import paint_txt2img

        painted = self._with_scripts(request, settings, monitor, img2img=False)
        return painted or paint_txt2img(request, self.engine, settings, monitor)

    def img2img(self, request: Any, settings: Any, monitor: Monitor) -> Any:
        """Painter of the jobs of kind ``img2img``."""
        from modules.processing.img2img import paint_img2img

        painted = self._with_scripts(request, settings, monitor, img2img=True)
        return painted or paint_img2img(request, self.engine, settings, monitor)

    def _with_scripts(self, request: Any, settings: Any, monitor: Monitor, *, img2img: bool) -> Any:
        """The result of a job in which extensions take part, ``None`` when none does."""
        host = self.host
        if host is None:
            return None
        if not host.ready.wait(EXTENSIONS_WAIT):
            _log.warning("Extensions are still being loaded; the job goes on without them.")
            return None
        runner = host.img2img if img2img else host.txt2img
        if not host.takes_part(runner) and not request.script_name and not request.alwayson_scripts:
            return None
        from modules.processing.script_hooks import Stage
        from modules.processing.scripted import paint_with_scripts

        arguments = script_arguments(
            runner, request.script_name, request.script_args, request.alwayson_scripts
        )
        return paint_with_scripts(request, Stage(self.engine, settings, monitor, host), runner, arguments)

    def extras(self, request: Any, settings: Any, monitor: Monitor) -> Any:
        """Painter of the jobs of kind ``extras``."""
        return paint_extras(request, self.studio, self.bench(settings, monitor))

    def check_extras(self, arguments: Mapping[str, Mapping[str, Any]], settings: Any) -> None:
        """Raise what a job of kind ``extras`` with such arguments would raise after its wait."""
        check_arguments(self.studio.steps, arguments, self.bench(settings, NullMonitor()))

    def bench(self, settings: Any, monitor: Monitor) -> Bench:
        """What the steps of the Extras chain work with."""
        detector = self.paths.opencv_dir / "face_detection_yunet_2023mar.onnx"
        return Bench(settings, self.upscalers, self.faces, self._upscaled, monitor, face_detector=detector)

    def load_model(self, settings: Any) -> None:
        """Load what the settings name. Raises the error that a user is to see."""
        self.engine.model(settings)

    def preload(self, settings: Any) -> None:
        """Load what the settings name, in the background; a failure is kept in ``problem``."""

        def work() -> None:
            try:
                self.load_model(settings)
            except EaselError as error:
                self.problem = str(error)
                print(f"No model is loaded: {error}", flush=True)

        threading.Thread(target=work, name="model-preload", daemon=True).start()

    def unload(self) -> None:
        """Give the memory of the models back; the next job loads again."""
        if self._engine is not None:
            self._engine.models.unload()
        self.upscalers.unload()
        self.faces.unload()

    def preview(self, latent: Any, settings: Any) -> Image | None:
        """Picture of a latent under way, by the method of the settings; all of a batch as one grid."""
        from PIL import Image

        from modules.images.grids import image_grid
        from modules.sampling.preview import latent_to_rgb

        model = self._engine.models.current if self._engine is not None else None
        if model is None:
            return None
        if not settings.show_progress_grid:
            latent = latent[:1]
        pixels = latent_to_rgb(latent, settings.show_progress_type, model).pixels
        pictures = [Image.fromarray(one.numpy()) for one in pixels]
        return pictures[0] if len(pictures) == 1 else image_grid(pictures).convert("RGB")

    def sampler_names(self) -> list[str]:
        """Names of all samplers, in their order."""
        from modules.sampling.samplers import SAMPLERS

        return [row.name for row in SAMPLERS]

    def attention_titles(self) -> list[str]:
        """Titles of the attention backends that this machine has."""
        from modules.devices.attention import backend_titles
        from modules.devices.policy import pick_device

        return backend_titles(self.flags, pick_device(self.flags))

    def memory(self) -> dict[str, Any]:
        """Memory of machine and accelerator, as ``/sdapi/v1/memory`` reports it."""
        from modules.devices.memory import memory_report

        return memory_report()

    def reclaim(self) -> None:
        """Give memory back to the device after a failed job."""
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
