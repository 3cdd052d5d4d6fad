"""The one list of upscalers: built-in ones, model files, models to fetch, and those that extensions bring.

Listing needs no PyTorch; it is imported when the first network runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PIL import Image

from modules.checkpoints import downloads
from modules.errors import InvalidInput, ModelFileError, NotFound
from modules.upscaling.families import FAMILIES, Download, Family
from modules.upscaling.sizes import MAX_PIXELS, scale_to, target_size
from modules.upscaling.watching import NoWatcher, Watcher

if TYPE_CHECKING:
    from modules.devices.policy import DevicePolicy
    from modules.upscaling.networks import NetworkUpscaler

Enlarge = Callable[[Image.Image, float], Image.Image]
"""(picture, scale) → larger picture; the registry brings it to the exact size."""

Fetch = Callable[[Download, Path, Watcher], None]
"""(download, file, watcher): put what the address has into the file, whole or not at all."""


@dataclass(frozen=True)
class Upscaler:
    """One entry of the list.

    ``path``: the model file, present or where it will be; ``download``: where it comes from when it is not
    there; ``enlarge``: for upscalers without a model file.
    """

    name: str
    scale: float = 4
    kind: str = ""
    family: Family | None = None
    path: Path | None = None
    download: Download | None = None
    model_name: str | None = None
    enlarge: Enlarge | None = field(default=None, compare=False)

    @property
    def location(self) -> str | None:
        """The file when it is there, else the address that it comes from."""
        if self.download is not None and not (self.path is not None and self.path.is_file()):
            return self.download.url
        return str(self.path) if self.path is not None else None


def on_cpu() -> DevicePolicy:
    """Float32 on the CPU."""
    import torch

    from modules.devices.policy import DevicePolicy

    return DevicePolicy(torch.device("cpu"))


def fetch_model(download: Download, path: Path, watcher: Watcher) -> None:
    """Fetch a model file, reporting percents; raises ``DownloadFailed``, and what ``watcher`` raises."""

    def watch(done: int, total: int | None) -> None:
        watcher.check()
        if total:
            watcher.step(100 * done // total)

    watcher.begin_sampling(100)
    downloads.download(download.url, path, download.sha256, watch)


def _resize_by(resampling: Image.Resampling) -> Enlarge:
    def enlarge(image: Image.Image, scale: float) -> Image.Image:
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        return image.resize(size, resampling)

    return enlarge


def _unchanged(image: Image.Image, _scale: float) -> Image.Image:
    return image


BUILT_IN: tuple[Upscaler, ...] = (
    Upscaler("None", enlarge=_unchanged),
    Upscaler("Lanczos", enlarge=_resize_by(Image.Resampling.LANCZOS)),
    Upscaler("Nearest", enlarge=_resize_by(Image.Resampling.NEAREST)),
)


class Upscalers:
    """All upscalers of the program.

    ``folders``: name of a path in ``modules.options.paths`` → folder. ``policy`` and ``prepare`` are called
    before the first network is loaded: which device and precision to use, and what foreign packages need.
    ``extra``: gives the upscalers of extensions. ``fetch``: gets a model file.
    """

    def __init__(
        self,
        folders: Mapping[str, Path] = MappingProxyType({}),
        policy: Callable[[], DevicePolicy] = on_cpu,
        *,
        prepare: Callable[[], None] = lambda: None,
        extra: Callable[[], Iterable[Upscaler]] = lambda: (),
        fetch: Fetch = fetch_model,
    ) -> None:
        self._folders = dict(folders)
        self._policy = policy
        self._prepare = prepare
        self._extra = extra
        self._fetch = fetch
        self._lock = threading.Lock()
        self._networks: NetworkUpscaler | None = None

    def available(self, settings: Any = None) -> list[Upscaler]:
        """Everything that can be chosen: None, Lanczos and Nearest first, the rest by name.

        ``settings``: a view that says which downloads to show; None shows all. The folders are read again.
        """
        found = [upscaler for family in FAMILIES for upscaler in self._of_family(family, settings)]
        found += self._extra()
        unique = {upscaler.name: upscaler for upscaler in reversed(found)}
        return [*BUILT_IN, *sorted(unique.values(), key=lambda upscaler: upscaler.name.lower())]

    def names(self, settings: Any = None) -> list[str]:
        """The names of ``available``."""
        return [upscaler.name for upscaler in self.available(settings)]

    def find(self, name: str) -> Upscaler:
        """The upscaler of that name, whether the settings show it or not. Raises ``NotFound``."""
        for upscaler in self.available():
            if upscaler.name == name:
                return upscaler
        raise NotFound(
            f"There is no upscaler named {name!r:.100}; /sdapi/v1/upscalers lists those that are there. "
            "Model files belong into the folder ESRGAN of the models."
        )

    def upscale(
        self, name: str, image: Image.Image, scale: float, settings: Any, watcher: Watcher | None = None
    ) -> Image.Image:
        """``image`` made larger ``scale`` times, to a size rounded down to multiples of 8.

        ``settings``: a view with the tile settings. Raises ``NotFound`` for an unknown name, ``InvalidInput``
        for a result beyond the limit, ``ModelFileError`` for an unusable file, and what ``watcher`` raises.
        """
        upscaler = self.find(name)
        width, height = target_size(image.width, image.height, scale)
        if width * height > MAX_PIXELS:
            raise InvalidInput(
                f"The upscaled picture would have {width} × {height} pixels; expected at most "
                f"{MAX_PIXELS // 1_000_000} million. Choose a smaller factor."
            )
        watcher = watcher or NoWatcher()
        return scale_to(
            image, scale, lambda picture: self._enlarge(upscaler, picture, scale, settings, watcher)
        )

    def unload(self) -> None:
        """Give the memory of the loaded network back."""
        if self._networks is not None:
            self._networks.unload()

    def _enlarge(
        self, upscaler: Upscaler, image: Image.Image, scale: float, settings: Any, watcher: Watcher
    ) -> Image.Image:
        watcher.check()
        if upscaler.enlarge is not None:
            return upscaler.enlarge(image, scale)
        family = upscaler.family
        assert family is not None
        return self._network_upscaler().enlarge(
            image,
            self._file_of(upscaler, watcher),
            tile=int(settings[family.tile]),
            overlap=int(settings[family.overlap]),
            averaged=family.averaged,
            watcher=watcher,
        )

    def _network_upscaler(self) -> NetworkUpscaler:
        from modules.upscaling.networks import NetworkUpscaler

        with self._lock:
            if self._networks is None:
                self._networks = NetworkUpscaler(self._policy, self._prepare)
            return self._networks

    def _file_of(self, upscaler: Upscaler, watcher: Watcher) -> Path:
        """The model file, fetched when it is not there."""
        assert upscaler.path is not None
        if upscaler.path.is_file():
            return upscaler.path
        if upscaler.download is None:
            raise ModelFileError(
                f"The model file {upscaler.path} of the upscaler {upscaler.name} is not there any more."
            )
        self._fetch(upscaler.download, upscaler.path, watcher)
        return upscaler.path

    def _of_family(self, family: Family, settings: Any) -> Iterable[Upscaler]:
        folder = self._folders.get(family.folder)
        if folder is None:
            return
        files = _model_files(folder, family.endings)
        named = {download.file_name: download for download in family.downloads}
        enabled = settings[family.enabled] if settings is not None and family.enabled else None
        for download in family.downloads:
            shown = enabled is None or download.name in enabled
            if shown and not (family.placeholder and files and download.file_name not in files):
                yield Upscaler(
                    download.name,
                    download.scale,
                    kind=family.name,
                    family=family,
                    path=files.get(download.file_name, folder / download.file_name),
                    download=download,
                    model_name=download.model_name,
                )
        for name, path in files.items():
            if name not in named:
                yield Upscaler(
                    path.stem,
                    kind=family.name,
                    family=family,
                    path=path,
                    model_name=path.stem,
                )


def _model_files(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """Name → file of the model files directly in ``folder`` and its folders; hidden ones are left out."""
    try:
        found = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file()
        )
    except OSError:
        return {}
    hidden = (path for path in found if any(part.startswith(".") for part in path.relative_to(folder).parts))
    return {path.name: path for path in found if path not in set(hidden)}
