"""The colours of the pictures, and their distances as an eye sees them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]
Floats = NDArray[np.float32]

COLOURS: Mapping[str, RGB] = MappingProxyType(
    {
        "red": (219, 48, 49),
        "orange": (246, 134, 32),
        "yellow": (250, 211, 62),
        "green": (56, 158, 78),
        "turquoise": (46, 190, 182),
        "blue": (44, 102, 216),
        "purple": (130, 66, 178),
        "pink": (246, 140, 184),
        "brown": (126, 80, 50),
        "white": (250, 250, 246),
        "gray": (142, 146, 152),
        "black": (34, 34, 40),
    }
)

EXTRA_COLOURS: Mapping[str, RGB] = MappingProxyType({"lime": (172, 224, 58)})
"""Never in the training of the checkpoint: the example embedding learns it."""

INK: RGB = (38, 34, 44)
SNOW: RGB = (250, 250, 252)
WOOD: RGB = (112, 74, 48)
STEM: RGB = (74, 142, 66)
BUTTER: RGB = (252, 222, 96)
PAPER: RGB = (250, 247, 240)

# sRGB to XYZ (IEC 61966-2-1), divided by the white point D65.
_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
) / np.array([[0.95047], [1.0], [1.08883]], np.float32)


def rgb_of(name: str) -> RGB:
    """The colour called ``name``; raises ``KeyError`` for an unknown one."""
    return COLOURS[name] if name in COLOURS else EXTRA_COLOURS[name]


def to_lab(rgb: NDArray[np.generic]) -> Floats:
    """sRGB 0..255 [..., 3] to CIE L*a*b* [..., 3] (L 0..100), where distances are as seen."""
    unit = np.asarray(rgb, np.float32) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
    return lab.astype(np.float32)


def distance(first: RGB, second: RGB) -> float:
    """Distance in L*a*b*; about 2 is just visible, black to white is 100."""
    return float(np.linalg.norm(to_lab(np.array(first)) - to_lab(np.array(second))))


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """``first`` with ``share`` (0..1) of ``second``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
