"""Pictures of a folder, read with a look at their size before any pixel is decoded."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

MAX_PIXELS = 200_000_000
READABLE = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")


def open_file(path: Path) -> Image.Image:
    """The picture in ``path``, decoded and upright.

    Raises ``OSError`` for what is no picture or damaged, ``ValueError`` for one beyond the limit of pixels.
    """
    Image.init()
    formats = [name for name in READABLE if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(path, formats=formats)
        except Image.DecompressionBombError:
            raise ValueError(f"it has more than {MAX_PIXELS} pixels, which is the limit") from None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it has {image.width} × {image.height} pixels; the limit is {MAX_PIXELS}")
        image.load()
        return upright(image)


def upright(image: Image.Image) -> Image.Image:
    """A decoded picture, turned as its EXIF says, in RGB or RGBA; its texts stay with it.

    16-bit grey keeps its brightness: 65535 becomes 255.
    """
    info = dict(image.info)
    turned = ImageOps.exif_transpose(image) or image
    if turned.mode.startswith("I"):
        turned = turned.convert("I").point(lambda value: value / 257).convert("L")
    if turned.mode not in ("RGB", "RGBA"):
        transparent = turned.mode in ("LA", "PA", "La") or "transparency" in turned.info
        turned = turned.convert("RGBA" if transparent else "RGB")
    turned.info = info
    return turned
