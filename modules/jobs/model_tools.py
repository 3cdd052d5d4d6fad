"""Merging and inspecting as the faces ask for it: by names of models, into the folder of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.vae_files import VaeFiles
from modules.errors import InvalidInput, NotFound
from modules.jobs.state import State
from modules.options.paths import Paths


@dataclass(frozen=True)
class ModelTools:
    """Tools for model files. All of them import PyTorch when they are first used."""

    paths: Paths
    catalogue: CheckpointCatalogue
    vaes: VaeFiles
    hashes: HashStore
    state: State

    def inspect(self, model: str, *, weights: bool = False, hashing: bool = False) -> dict[str, Any]:
        """The report on a checkpoint (by title, name or hash) or on another file of the model folders.

        Raises ``NotFound`` and ``ModelFileError``.
        """
        from modules.checkpoints.inspector import inspect_file

        return inspect_file(
            self.file_of(model), weights=weights, hashing=hashing, hashes=self.hashes
        ).as_dict()

    def file_of(self, model: str) -> Path:
        """The file that a name means; only files inside the model folders are found. Raises ``NotFound``."""
        info = self.catalogue.find(model) if model.strip() else None
        if info is not None:
            return Path(info.filename)
        for folder in self._folders():
            path = _inside(folder, model)
            if path is not None:
                return path
        raise NotFound(
            f"There is no model named {model!r:.200} in the model folders. "
            "Give the title of a checkpoint, or the path of a file below one of these folders."
        )

    def merge(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Merge as the fields of ``/easel/v1/merge`` say; to be called by the worker, in turn with the jobs.

        Raises ``InvalidInput``, ``NotFound``, ``ModelFileError`` and ``OutOfMemoryError``.
        """
        from modules.checkpoints.merging import merge

        request = self.merge_request(values)
        state = self.state

        def watch(done: int, total: int) -> None:
            state.check()
            if done == 0:
                state.begin_job(1)
                state.begin_sampling(total)
            state.step(done)

        result = merge(request, hashes=self.hashes, watch=watch)
        self.catalogue.refresh()
        info = self.catalogue.find(str(result.path))
        return {
            "path": str(result.path),
            "title": info.title if info is not None else result.path.name,
            "tensors": result.tensors,
            "bytes": result.nbytes,
            "config": str(result.config) if result.config is not None else None,
            "nonfinite": list(result.nonfinite),
        }

    def merge_request(self, values: Mapping[str, Any]) -> Any:
        """The checked request for fields of the endpoint. Raises ``InvalidInput`` and ``NotFound``."""
        from modules.checkpoints.merge_recipe import FORMATS, MergeRequest, usual_name

        method = _method(values["method"])
        models = tuple(self._checkpoint(name) for name in values["models"])
        if len(models) < method.models:
            raise InvalidInput(f"{method.value} needs {method.models} models; {len(models)} given.", "models")
        if values["format"] not in FORMATS:
            raise InvalidInput(
                f"format is {values['format']!r:.60}; expected {' or '.join(FORMATS)}.", "format"
            )
        names = tuple(path.stem for path in models)
        name = values["name"] or usual_name(method, names, values["multiplier"])
        request = MergeRequest(
            models[: method.models],
            self._target(f"{name}.{values['format']}"),
            method,
            values["multiplier"],
            _blocks(values["blocks"]),
            half=values["half"],
            vae=self.vaes.path(values["vae"]) if values["vae"] not in (None, "", "None") else None,
            discard=values["discard"],
            config_source=values["config_source"],
            keep_metadata=values["keep_metadata"],
            add_recipe=values["add_recipe"],
        )
        request.check()
        return request

    def _checkpoint(self, name: Any) -> Path:
        info = self.catalogue.find(name) if isinstance(name, str) and name.strip() else None
        if info is None:
            raise NotFound(f"There is no checkpoint named {name!r:.200}; /sdapi/v1/sd-models lists them.")
        return Path(info.filename)

    def _target(self, name: str) -> Path:
        """The file to write, directly in the first folder of checkpoints."""
        from modules.images.sanitize import DEFAULT_RULES, safe_stem

        folder = self.paths.checkpoint_dirs[0]
        stem, dot, ending = name.rpartition(".")
        return folder / f"{safe_stem(stem, ending, DEFAULT_RULES)}{dot}{ending}"

    def _folders(self) -> tuple[Path, ...]:
        paths = self.paths
        return (
            paths.models_dir,
            *paths.checkpoint_dirs,
            *paths.vae_dirs,
            paths.embeddings_dir,
            paths.lora_dir,
            paths.hypernetwork_dir,
            paths.esrgan_dir,
        )


def _inside(folder: Path, name: str) -> Path | None:
    """The file ``name`` below ``folder``; None when it is not there or leads out of the folder."""
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _method(name: str) -> Any:
    from modules.checkpoints.merge_recipe import Method

    for method in Method:
        if method.value == name:
            return method
    known = ", ".join(method.value for method in Method)
    raise InvalidInput(f"method is {name!r:.60}; expected one of {known}.", "method")


def _blocks(blocks: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    found = []
    for pattern, weight in blocks.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise InvalidInput(f"The multiplier of {pattern!r:.60} is no number.", "blocks")
        found.append((pattern, float(weight)))
    return tuple(found)
