"""Which model is loaded: on demand, one at a time for loading, the newest kept."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from modules.checkpoints.catalogue import CheckpointCatalogue, CheckpointInfo
from modules.checkpoints.hashes import FileStamp
from modules.checkpoints.loading import LoadPlan, prepare
from modules.checkpoints.model import DiffusionModel
from modules.devices.policy import DevicePolicy
from modules.errors import EaselError, NotFound

_log = logging.getLogger(__name__)

VaeChooser = Callable[[CheckpointInfo], "str | None"]


@dataclass(frozen=True)
class _Key:
    """What makes a loaded model the one that is asked for: file, state of the file, VAE."""

    filename: str
    size: int
    mtime_ns: int
    vae_file: str | None


class ModelStore:
    """The loaded models, at most ``limit`` of them; thread-safe.

    A job keeps the model that ``use`` gave it for as long as it runs, whatever is loaded meanwhile. When
    a new model is wanted, its file is checked completely before an old one is let go, and the old one is
    loaded again should reading the new one fail after that. ``choose_vae``: which separate VAE goes with a
    checkpoint; ``tolerant``: see ``open_pickle``.
    """

    def __init__(
        self,
        catalogue: CheckpointCatalogue,
        policy: DevicePolicy,
        *,
        limit: int = 1,
        choose_vae: VaeChooser | None = None,
        tolerant: bool = False,
    ) -> None:
        self.catalogue = catalogue
        self.policy = policy
        self.limit = max(1, limit)
        self._tolerant = tolerant
        self._choose_vae = choose_vae or (lambda info: None)
        self._models: OrderedDict[_Key, DiffusionModel] = OrderedDict()
        self._loading = threading.RLock()
        self._preload: threading.Thread | None = None
        self._last_error: str | None = None
        self._is_loading = False

    @property
    def current(self) -> DiffusionModel | None:
        """The model used last, or None before the first and after ``unload``."""
        models = list(self._models.values())
        return models[-1] if models else None

    @property
    def is_loading(self) -> bool:
        """Whether a model is being loaded at this moment."""
        return self._is_loading

    @property
    def last_error(self) -> str | None:
        """Why the last load failed, as a sentence; None after one that succeeded."""
        return self._last_error

    def use(
        self, identifier: str | None = None, *, vae_file: str | os.PathLike[str] | None = None
    ) -> DiffusionModel:
        """The model meant by ``identifier``, loaded if it is not; None means the current or first one.

        ``vae_file``: use this VAE and not what ``choose_vae`` says. Blocks while another thread loads.
        Raises ``NotFound``, ``ModelFileError`` or ``OutOfMemoryError``; the model in use stays in each case.
        """
        with self._loading:
            for attempt in range(2):
                info = self.resolve(identifier)
                vae = os.fspath(vae_file) if vae_file is not None else self._choose_vae(info)
                key = _Key(info.filename, info.stamp.size, info.stamp.mtime_ns, vae)
                model = self._models.get(key)
                if model is not None:
                    self._models.move_to_end(key)
                    return model
                if attempt == 0 and _has_changed(info):
                    # Seen before it was replaced: its hash would be that of another file.
                    self.catalogue.refresh()
            return self._load(info, key, vae)

    def resolve(self, identifier: str | None) -> CheckpointInfo:
        """The file meant by ``identifier``: see ``use``. Raises ``NotFound`` with what to do about it."""
        if not self.catalogue.infos:
            self.catalogue.refresh()
        infos = self.catalogue.infos
        if not infos:
            folders = " or ".join(self.catalogue.dirs) or "the folder models/Stable-diffusion"
            raise NotFound(
                f"There is no checkpoint. Put a .safetensors file of SD 1.x, SD 2.x or SDXL into {folders}, "
                "or name one with --ckpt, and refresh the list of checkpoints."
            )
        if not identifier:
            current = self.current
            return current.info if current is not None else infos[0]
        found = self.catalogue.find(identifier)
        if found is None:
            self.catalogue.refresh()
            found = self.catalogue.find(identifier)
        if found is None:
            raise NotFound(
                f"There is no checkpoint {identifier!r} among the {len(infos)} that are known. Refresh the "
                "list of checkpoints, or choose one of it."
            )
        return found

    def preload(self, identifier: str | None = None, done: Callable[[], None] | None = None) -> None:
        """Load in the background; a failure is logged and kept in ``last_error``."""

        def work() -> None:
            try:
                self.use(identifier)
            except EaselError as error:
                _log.error("No model is loaded: %s", error)
            finally:
                if done is not None:
                    done()

        self._preload = threading.Thread(target=work, name="model-preload", daemon=True)
        self._preload.start()

    def wait_for_preload(self, timeout: float | None = None) -> bool:
        """Wait until ``preload`` has ended; False when ``timeout`` seconds were not enough."""
        thread = self._preload
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def unload(self) -> None:
        """Let go of all models; running jobs keep theirs to their end."""
        with self._loading:
            self._models.clear()
            self._collect()

    def _load(self, info: CheckpointInfo, key: _Key, vae: str | None) -> DiffusionModel:
        start = time.perf_counter()
        dropped: list[tuple[CheckpointInfo, _Key]] = []
        self._is_loading = True
        try:
            model = self._read(info, vae, dropped)
        except BaseException as error:
            self._last_error = str(error) or type(error).__name__
            # The frames of the failed attempt still hold its tensors, and the old model needs the room.
            _release_frames(error)
            self._collect()
            self._restore(dropped)
            raise
        finally:
            self._is_loading = False
        self._last_error = None
        self._models[key] = model
        kind = f"{model.spec.label}, {model.spec.prediction}-prediction"
        _log.info("Loaded %s (%s) in %.1f s.", info.title, kind, time.perf_counter() - start)
        self.catalogue.hashes.request(info.filename)
        return model

    def _read(
        self, info: CheckpointInfo, vae: str | None, dropped: list[tuple[CheckpointInfo, _Key]]
    ) -> DiffusionModel:
        with prepare(info, self.policy, vae_file=vae, tolerant=self._tolerant) as plan:
            twin = self._twin(plan)
            if twin is not None:
                key, model = twin
                changed = plan.execute_vae(model)
                del self._models[key]
                return changed
            dropped += self._make_room()
            return plan.execute()

    def _twin(self, plan: LoadPlan) -> tuple[_Key, DiffusionModel] | None:
        """A loaded model from the same file in the same state, which differs in its VAE only."""
        state = (plan.info.filename, plan.file.identity.size, plan.file.identity.mtime_ns)
        for key, model in self._models.items():
            if (key.filename, key.size, key.mtime_ns) == state:
                return key, model
        return None

    def _make_room(self) -> list[tuple[CheckpointInfo, _Key]]:
        """Drop the oldest models until one more is within the limit, and say which went."""
        dropped: list[tuple[CheckpointInfo, _Key]] = []
        while len(self._models) >= self.limit:
            key, model = self._models.popitem(last=False)
            dropped.append((model.info, key))
            del model
        if dropped:
            self._collect()
        return dropped

    def _restore(self, dropped: list[tuple[CheckpointInfo, _Key]]) -> None:
        """Bring back what was dropped for a model that then failed to load."""
        for info, key in dropped:
            try:
                with prepare(info, self.policy, vae_file=key.vae_file, tolerant=self._tolerant) as plan:
                    self._models[key] = plan.execute()
            except EaselError as error:
                _log.error("%s could not be loaded again: %s", info.title, error)

    @staticmethod
    def _collect() -> None:
        gc.collect()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _has_changed(info: CheckpointInfo) -> bool:
    try:
        return FileStamp.of(info.filename) != info.stamp
    except OSError:
        return False


def _release_frames(error: BaseException | None) -> None:
    """Empty the local variables of the calls that ``error`` and its causes came through."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
