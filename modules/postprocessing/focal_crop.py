"""The step "Auto focal point crop": cut to the wanted size around what the picture is about.

Three kinds of points vote: faces (when the detector's file is there), corners, and the region of highest
entropy. The crop is centred on their weighted mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from modules.postprocessing.picture import PostprocessedImage
from modules.postprocessing.steps import Bench, Values

DEFAULTS: Values = {
    "enable": False,
    "face_weight": 0.9,
    "entropy_weight": 0.15,
    "edges_weight": 0.5,
    "debug": False,
}

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

Point = tuple[float, float]

MAX_CORNERS = 100
ENTROPY_CELLS = 8
"""Cells of the grid that is searched for entropy, along the shorter side of the crop."""


def focal_crop(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Scale the picture to cover the wanted size and cut it out around the focal point."""
    width, height = pp.shared.target_width, pp.shared.target_height
    if not values["enable"] or not width or not height:
        return
    image = _covering(pp.image.convert("RGB"), width, height)
    votes = _votes(image, values, bench.face_detector, min(width, height))
    focus = _mean(votes) or (image.width / 2, image.height / 2)
    left = round(min(max(focus[0] - width / 2, 0), image.width - width))
    top = round(min(max(focus[1] - height / 2, 0), image.height - height))
    box = (left, top, left + width, top + height)
    pp.image = image.crop(box)
    if values["debug"]:
        marked = _marked(image, box, votes, focus)
        pp.extra_images.append(pp.create_copy(marked, nametags=["focal-crop-debug"], disable_processing=True))


def _covering(image: Image.Image, width: int, height: int) -> Image.Image:
    """``image`` scaled so that it covers the size exactly in one direction."""
    scale = max(width / image.width, height / image.height)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _votes(image: Image.Image, values: Values, detector: Path | None, side: int) -> list[tuple[Point, float]]:
    """Points with their weights; kinds of weight 0 are not looked for."""
    import numpy as np

    pixels = np.asarray(image)
    grey = np.asarray(image.convert("L"))
    found: list[tuple[Point | None, float]] = []
    if values["face_weight"] > 0 and detector is not None and detector.is_file():
        found.append((face_point(pixels, detector), float(values["face_weight"])))
    if values["edges_weight"] > 0:
        found.append((corner_point(grey), float(values["edges_weight"])))
    if values["entropy_weight"] > 0:
        found.append((entropy_point(grey, side), float(values["entropy_weight"])))
    return [(point, weight) for point, weight in found if point is not None]


def _mean(votes: list[tuple[Point, float]]) -> Point | None:
    total = sum(weight for _, weight in votes)
    if not total:
        return None
    return (
        sum(point[0] * weight for point, weight in votes) / total,
        sum(point[1] * weight for point, weight in votes) / total,
    )


def corner_point(grey: Bytes) -> Point | None:
    """Mean place of the strongest corners (Shi and Tomasi 1994); None without any."""
    import cv2

    corners = cv2.goodFeaturesToTrack(
        grey, maxCorners=MAX_CORNERS, qualityLevel=0.04, minDistance=min(grey.shape) * 0.06
    )
    if corners is None:
        return None
    x, y = corners.reshape(-1, 2).mean(axis=0)
    return float(x), float(y)


def entropy_point(grey: Bytes, side: int) -> Point:
    """Middle of the square of ``side`` pixels whose grey values carry most information (Shannon 1948)."""
    import numpy as np

    height, width = grey.shape
    step = max(1, side // ENTROPY_CELLS)
    best, where = -1.0, (width / 2, height / 2)
    for top in range(0, height - side + 1, step):
        for left in range(0, width - side + 1, step):
            counts = np.bincount(grey[top : top + side, left : left + side].ravel(), minlength=256)
            shares = counts[counts > 0] / counts.sum()
            entropy = float(-(shares * np.log2(shares)).sum())
            if entropy > best + 1e-9:
                best, where = entropy, (left + side / 2, top + side / 2)
    return where


def face_point(pixels: Bytes, detector: Path) -> Point | None:
    """Mean place of the faces, larger ones counting more; None without any."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    yunet = cv2.FaceDetectorYN.create(str(detector), "", (width, height), 0.8, 0.3, 5000)
    _, faces = yunet.detect(np.ascontiguousarray(pixels[:, :, ::-1]))
    if faces is None or not len(faces):
        return None
    areas = faces[:, 2] * faces[:, 3]
    middles = faces[:, :2] + faces[:, 2:4] / 2
    x, y = (middles * areas[:, None]).sum(axis=0) / areas.sum()
    return float(x), float(y)


def _marked(
    image: Image.Image, box: tuple[int, int, int, int], votes: list[tuple[Point, float]], focus: Point
) -> Image.Image:
    """A copy that shows the crop, the votes and the focal point."""
    copy = image.copy()
    draw = ImageDraw.Draw(copy)
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline="lime")
    for (x, y), weight in votes:
        radius = 4 + 8 * weight
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline="blue")
    draw.ellipse((focus[0] - 4, focus[1] - 4, focus[0] + 4, focus[1] + 4), fill="red")
    return copy
