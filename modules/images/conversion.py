"""What decoders give → the three kinds of pictures that the program works with."""

from __future__ import annotations

from PIL import Image


def eight_bit(image: Image.Image) -> Image.Image:
    """``image`` in mode "L", "RGB" or "RGBA"; transparency of a palette becomes alpha."""
    mode = image.mode
    if mode in ("L", "RGB", "RGBA"):
        return image
    if mode == "1":
        return image.convert("L")
    if mode == "F" or mode.startswith("I"):
        return _scaled_grey(image)
    if mode in ("LA", "La", "PA", "RGBa") or (mode == "P" and "transparency" in image.info):
        return image.convert("RGBA")
    return image.convert("RGB")


def _scaled_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits: 16-bit values by their upper half, others by their own range."""
    import numpy as np

    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    top = 65535.0 if image.mode.startswith("I") else 1.0
    if values.max(initial=0.0) > top:
        top = values.max()
    return Image.fromarray((values.clip(0, top) * (255 / top) + 0.5).astype(np.uint8))
