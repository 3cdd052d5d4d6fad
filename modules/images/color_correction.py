"""Giving a picture the colours of another one.

The histograms of lightness and of both colour axes (CIE L*a*b*) are matched to those of the target, and the
brightness of the result is put back with the luminosity blend mode (W3C Compositing and Blending Level 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


def _luma(colours: np.ndarray) -> np.ndarray:
    """Brightness [H, W, 1] of [H, W, 3]. The order of the sum decides about last digits, thus pixels."""
    red, green, blue = (colours[..., i : i + 1] for i in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


@dataclass(frozen=True)
class ColorTarget:
    """The colours that later pictures are to have: ``lab``, [H, W, 3] of 8 bits."""

    lab: np.ndarray

    @classmethod
    def of(cls, image: Image.Image) -> ColorTarget:
        """The colours of ``image`` (RGB)."""
        import cv2

        return cls(cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2LAB))

    def apply(self, image: Image.Image) -> Image.Image:
        """``image`` with these colours and its own brightness, RGB."""
        import cv2

        pixels = np.asarray(image.convert("RGB"))
        lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
        matched = np.stack([_matched(lab[..., i], self.lab[..., i]) for i in range(3)], axis=-1)
        coloured = cv2.cvtColor(matched, cv2.COLOR_LAB2RGB)
        blended = _with_brightness(coloured / 255.0, pixels / 255.0)
        return Image.fromarray((blended * 255.0).astype(np.uint8))


def _matched(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """8-bit ``source`` with each value replaced by the value of the same rank in ``target``."""
    counts = np.bincount(source.reshape(-1), minlength=256)
    target_counts = np.bincount(target.reshape(-1), minlength=256)
    values = np.nonzero(target_counts)[0]
    ranks = np.cumsum(counts) / source.size
    target_ranks = np.cumsum(target_counts[values]) / target.size
    table = np.interp(ranks, target_ranks, values)
    return table.astype(np.uint8)[source]


def _with_brightness(colours: np.ndarray, brightness_of: np.ndarray) -> np.ndarray:
    """``colours`` moved to the brightness of another picture, towards grey where they leave 0..1."""
    moved = colours + (_luma(brightness_of) - _luma(colours))
    grey = _luma(moved)
    low, high = moved.min(-1, keepdims=True), moved.max(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.where(low < 0, grey + (moved - grey) * grey / (grey - low), moved)
        moved = np.where(high > 1, grey + (moved - grey) * (1 - grey) / (high - grey), moved)
    return np.clip(moved, 0.0, 1.0)
