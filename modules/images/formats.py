"""The formats that pictures are saved in: one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from PIL import Image

from modules.images.exif import LARGEST_JPEG_EXIF, build_exif
from modules.images.metadata import png_text, storable


class EncodingSettings(Protocol):
    """The settings that encoders read; a SettingsView is one."""

    @property
    def jpeg_quality(self) -> Any: ...
    @property
    def webp_lossless(self) -> Any: ...


Options = dict[str, Any]


@dataclass(frozen=True)
class ImageFormat:
    """A file format.

    ``options`` returns the arguments of Pillow's encoder for the settings and the texts to store
    (chunk name to text, the generation text under ``parameters`` or the name the caller chose).
    ``modes`` are the pixel modes it takes; others are converted to the last of them.
    ``max_side`` in pixels, 0 without limit.
    """

    pillow: str
    options: Callable[[EncodingSettings, Mapping[str, Any], str | None], Options]
    modes: tuple[str, ...]
    max_side: int = 0
    max_exif: int = 0

    def fits(self, image: Image.Image) -> bool:
        """Whether the format can hold a picture of this size."""
        return not self.max_side or max(image.size) <= self.max_side

    def holds(self, infotext: str | None) -> bool:
        """Whether the generation text fits into the metadata."""
        return not self.max_exif or infotext is None or len(build_exif(storable(infotext))) <= self.max_exif

    def encode(
        self,
        image: Image.Image,
        file: BinaryIO,
        settings: EncodingSettings,
        texts: Mapping[str, Any],
        infotext: str | None,
    ) -> None:
        """Write the picture with its texts. Raises OSError, also for pictures the encoder refuses."""
        if not self.holds(infotext):
            infotext = None
        # Pillow keeps the options of a running save on the picture, where a second thread would find them.
        prepared = _in_mode(image, self.modes)
        own = image.copy() if prepared is image else prepared
        try:
            own.save(file, format=self.pillow, **self.options(settings, texts, infotext))
        except (ValueError, KeyError) as error:
            raise OSError(f"the {self.pillow} encoder refused the picture: {error}") from error


def _in_mode(image: Image.Image, modes: tuple[str, ...]) -> Image.Image:
    if not modes or image.mode in modes:
        return image
    if image.mode.startswith("I"):
        # 16 bits a channel: 65535 / 255 = 257
        grey = image.convert("I").point(lambda value: value / 257).convert("L")
        return grey if "L" in modes else grey.convert(modes[-1])
    return image.convert(modes[-1])


def _exif(infotext: str | None) -> Options:
    return {} if infotext is None else {"exif": build_exif(storable(infotext))}


def _quality(settings: EncodingSettings) -> int:
    return max(1, min(int(settings.jpeg_quality), 100))


def _png(settings: EncodingSettings, texts: Mapping[str, Any], infotext: str | None) -> Options:
    return {"pnginfo": png_text(texts)} if texts else {}


def _jpeg(settings: EncodingSettings, texts: Mapping[str, Any], infotext: str | None) -> Options:
    return {"quality": _quality(settings), **_exif(infotext)}


def _webp(settings: EncodingSettings, texts: Mapping[str, Any], infotext: str | None) -> Options:
    return {"quality": _quality(settings), "lossless": bool(settings.webp_lossless), **_exif(infotext)}


def _gif(settings: EncodingSettings, texts: Mapping[str, Any], infotext: str | None) -> Options:
    return {} if infotext is None else {"comment": storable(infotext).encode("utf-8")}


def _plain(settings: EncodingSettings, texts: Mapping[str, Any], infotext: str | None) -> Options:
    return {}


_JPEG = ImageFormat("JPEG", _jpeg, ("L", "RGB"), max_side=65_535, max_exif=LARGEST_JPEG_EXIF)

FORMATS: Mapping[str, ImageFormat] = {
    "png": ImageFormat("PNG", _png, ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")),
    "jpg": _JPEG,
    "jpeg": _JPEG,
    "webp": ImageFormat("WEBP", _webp, ("RGBA", "RGB"), max_side=16_383),
    "avif": ImageFormat("AVIF", _jpeg, ("RGBA", "RGB")),
    "gif": ImageFormat("GIF", _gif, ("1", "L", "LA", "P", "RGB", "RGBA"), max_side=65_535),
    "bmp": ImageFormat("BMP", _plain, ("L", "RGB")),
    "tif": ImageFormat("TIFF", _plain, ()),
    "tiff": ImageFormat("TIFF", _plain, ()),
}


def find_format(extension: str) -> tuple[str, ImageFormat] | None:
    """The row for a file extension, with or without a dot in any case; None for an unknown one."""
    name = extension.strip().lstrip(".").lower()
    row = FORMATS.get(name)
    return None if row is None else (name, row)
