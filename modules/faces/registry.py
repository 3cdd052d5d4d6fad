"""The face restorers: which there are, which files they need, and the way to them.

Listing needs no PyTorch; it is imported when the first face is restored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PIL import Image

from modules.errors import ModelFileError, NotFound

if TYPE_CHECKING:
    from modules.devices.policy import DevicePolicy
    from modules.faces.restoring import FaceWorker


@dataclass(frozen=True)
class Restorer:
    """``folder``: name of a path in ``modules.options.paths``; ``prefix``: how the file's name begins.

    ``takes_weight``: whether the network can be told how true to stay to the picture.
    """

    name: str
    folder: str
    prefix: str
    url: str
    takes_weight: bool = False


@dataclass(frozen=True)
class HelperFile:
    """A file that every restorer needs, in the folder of GFPGAN."""

    name: str
    url: str


RESTORERS: tuple[Restorer, ...] = (
    Restorer(
        "CodeFormer",
        "codeformer_dir",
        "codeformer",
        "https://github.com/sczhou/CodeFormer/releases/download/v0.1.0/codeformer.pth",
        takes_weight=True,
    ),
    Restorer(
        "GFPGAN",
        "gfpgan_dir",
        "gfpgan",
        "https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth",
    ),
)

HELPER_FOLDER = "gfpgan_dir"
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
DETECTOR = HelperFile("detection_Resnet50_Final.pth", f"{_FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth")
PARSER = HelperFile("parsing_parsenet.pth", f"{_FACEXLIB}/v0.2.2/parsing_parsenet.pth")

_ENDINGS = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class FaceFiles:
    """The files of one restorer."""

    network: Path
    detector: Path
    parser: Path


class FaceRestorers:
    """All face restorers of the program.

    ``folders``: name of a path in ``modules.options.paths`` → folder. ``policy`` and ``prepare`` are called
    before the first network is loaded, as for upscalers.
    """

    def __init__(
        self,
        folders: Mapping[str, Path] = MappingProxyType({}),
        policy: Callable[[], DevicePolicy] | None = None,
        *,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._folders = dict(folders)
        self._policy = policy
        self._prepare = prepare
        self._lock = threading.Lock()
        self._worker: FaceWorker | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all restorers, whether their files are there or not."""
        return tuple(row.name for row in RESTORERS)

    def folder(self, name: str) -> Path | None:
        """The folder of a restorer's file."""
        return self._folders.get(self._find(name).folder)

    def check(self, name: str) -> FaceFiles:
        """The files of a restorer. Raises ``ModelFileError`` naming the first one missing, ``NotFound``."""
        row = self._find(name)
        network = self._network_file(row)
        if network is None:
            raise self._missing(name, f"{row.prefix}*.pth", row.folder, row.url)
        helpers = [self._folders[HELPER_FOLDER] / file.name for file in (DETECTOR, PARSER)]
        for file, path in zip((DETECTOR, PARSER), helpers, strict=True):
            if not path.is_file():
                raise self._missing(name, file.name, HELPER_FOLDER, file.url)
        return FaceFiles(network, *helpers)

    def restore(
        self,
        name: str,
        image: Image.Image,
        *,
        weight: float = 0.5,
        check: Callable[[], None] = lambda: None,
    ) -> Image.Image:
        """``image`` in RGB with its faces restored; the picture itself when no face is found.

        ``weight``: 0 changes a face most, 1 least; networks that cannot do so ignore it. ``check`` is called
        before each face and may raise. Raises ``ModelFileError`` for missing and damaged files.
        """
        from modules.faces.restoring import FaceWorker

        files = self.check(name)
        with self._lock:
            if self._worker is None:
                self._worker = FaceWorker(self._policy, self._prepare)
            return self._worker.restore(
                image, files, weight if self._find(name).takes_weight else None, check
            )

    def restore_by_settings(
        self, image: Image.Image, settings: Any, check: Callable[[], None] = lambda: None
    ) -> Image.Image:
        """``image`` with faces restored by the model and weight of the settings (``restore_faces``)."""
        restored = self.restore(
            settings.face_restoration_model, image, weight=float(settings.code_former_weight), check=check
        )
        if settings.face_restoration_unload:
            self.unload()
        return restored

    def unload(self) -> None:
        """Give the memory of the networks back."""
        with self._lock:
            self._worker = None

    def _find(self, name: str) -> Restorer:
        for row in RESTORERS:
            if row.name == name:
                return row
        raise NotFound(
            f"There is no face restorer named {name!r:.60}; expected one of {', '.join(self.names)}."
        )

    def _network_file(self, row: Restorer) -> Path | None:
        """The newest version, by name, in the restorer's folder."""
        folder = self._folders.get(row.folder)
        if folder is None or not folder.is_dir():
            return None
        found = [
            path
            for path in folder.iterdir()
            if path.name.lower().startswith(row.prefix) and path.suffix.lower() in _ENDINGS
        ]
        return max(found, key=lambda path: path.name.lower(), default=None)

    def _missing(self, name: str, file: str, folder: str, url: str) -> ModelFileError:
        place = self._folders.get(folder, "the models' folder")
        return ModelFileError(
            f"{name} needs the file {file}, which is not in {place}; download it from {url} and put it there."
        )
