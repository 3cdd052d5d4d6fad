"""From a picture to a face in standard position, and back.

The standard position is that of the FFHQ data set (Karras et al. 2019), on which the restorers were trained:
five landmarks (eyes, tip of the nose, corners of the mouth) at known places of a square of 512 pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

FACE_SIDE = 512
STANDARD_LANDMARKS: Floats = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""x, y of left eye, right eye, nose, left and right corner of the mouth, as the picture shows them."""

BACKGROUND = (135, 133, 132)
"""Colour around a face at the edge of the picture: the mean of the training pictures."""

SKIN_CLASSES = frozenset(range(1, 16)) - {14}
"""Classes of the parsing network that are pasted; the others are background, neck, cloth and the like."""

_BORDER = 10
_BLUR = (101, 101)


def face_matrix(landmarks: Floats) -> Floats:
    """The 2 × 3 matrix that moves a picture's ``landmarks`` [5, 2] to the standard places."""
    import cv2

    matrix = cv2.estimateAffinePartial2D(landmarks, STANDARD_LANDMARKS, method=cv2.LMEDS)[0]
    return np.asarray(matrix, dtype=np.float64)


def cut_face(pixels: Bytes, matrix: Floats) -> Bytes:
    """The face in standard position, [512, 512, 3]."""
    import cv2

    face: Any = cv2.warpAffine(
        pixels, matrix, (FACE_SIDE, FACE_SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=BACKGROUND
    )
    return np.asarray(face, dtype=np.uint8)


def soft_mask(classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """From the class of every pixel of a face, [512, 512], to how much of it is pasted, 0 to 1."""
    import cv2

    mask: Any = np.isin(classes, list(SKIN_CLASSES)).astype(np.float32)
    for _ in range(2):
        mask = cv2.GaussianBlur(mask, _BLUR, 11)
    mask[:_BORDER] = mask[-_BORDER:] = 0
    mask[:, :_BORDER] = mask[:, -_BORDER:] = 0
    return np.asarray(mask, dtype=np.float32)


def paste_face(pixels: Bytes, face: Bytes, mask: NDArray[np.float32], matrix: Floats) -> Bytes:
    """``pixels`` with ``face`` (standard position) put back where it was, as far as ``mask`` shows it."""
    import cv2

    size = (pixels.shape[1], pixels.shape[0])
    back = cv2.invertAffineTransform(matrix)
    placed: Any = cv2.warpAffine(face, back, size).astype(np.float32)
    weight: Any = cv2.warpAffine(mask, back, size, flags=cv2.INTER_AREA)[:, :, None]
    mixed = placed * weight + pixels.astype(np.float32) * (1 - weight)
    return np.asarray(mixed.round().clip(0, 255), dtype=np.uint8)
