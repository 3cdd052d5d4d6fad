"""The reference pictures: which cases there are, which are built, and how close is close enough."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.paths import DATA, GOLDENS, HAVE_GOLDENS

ROOT = GOLDENS if HAVE_GOLDENS else DATA / "goldens"
"""The full set beside the checkout, else the small selection that travels with it."""

PENDING_TAGS = {
    "script": "selectable scripts",
    "soft-inpainting": "soft inpainting as an extension",
}
"""First part of a tag -> the feature that is not built yet; such cases are left out and counted."""

PENDING_CASES: dict[str, str] = {}


@dataclass(frozen=True)
class Case:
    """One request to the reference program and what came back."""

    name: str
    endpoint: str
    checkpoint: str
    request: dict[str, Any]
    images: tuple[str, ...]
    infotexts: tuple[str, ...]
    features: tuple[str, ...]

    @property
    def pending(self) -> str | None:
        """The feature that is missing for this case, or ``None`` when it must pass."""
        if self.name in PENDING_CASES:
            return PENDING_CASES[self.name]
        for tag in self.features:
            if tag.split(":")[0] in PENDING_TAGS:
                return PENDING_TAGS[tag.split(":")[0]]
        if not self.endpoint.endswith(("/txt2img", "/img2img", "/extra-single-image")):
            return self.endpoint
        return None

    @property
    def tolerance(self) -> tuple[float, float]:
        """Largest (maximum, mean) difference in 8-bit units that the goldens' README recommends."""
        if "sampler:DPM adaptive" in self.features:
            return 40, 4
        if any(tag.split(":")[0] == "hires" for tag in self.features):
            return 3, 0.25
        return 2, 0.15

    def problem(self, ours: np.ndarray, theirs: np.ndarray) -> str | None:
        """What is wrong with a picture, or ``None`` when it is within the tolerance."""
        if ours.shape != theirs.shape:
            return f"size {ours.shape} in place of {theirs.shape}"
        difference = np.abs(ours - theirs)
        found = f"difference at most {difference.max()}, mean {difference.mean():.3f}"
        if "color-correction" in self.features:
            # Matching histograms moves single pixels far when one value changes its rank.
            close = difference.mean() <= 0.1 and (difference > 2).mean() <= 0.002
        else:
            limit_max, limit_mean = self.tolerance
            close = difference.max() <= limit_max and difference.mean() <= limit_mean
        return None if close else found

    def expected(self, index: int) -> np.ndarray:
        """Picture number ``index`` of the reference's answer, [H, W, 3] as int16."""
        return pixels(Image.open(ROOT / "cases" / self.images[index]))

    def body(self) -> dict[str, Any]:
        """The request with ``@inputs/x.png`` replaced by the base64 of that file."""
        return _inline(self.request)


def _inline(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("@inputs/"):
        return base64.b64encode((ROOT / value[1:]).read_bytes()).decode()
    if isinstance(value, list):
        return [_inline(item) for item in value]
    if isinstance(value, dict):
        return {key: _inline(item) for key, item in value.items()}
    return value


def pixels(image: Image.Image) -> np.ndarray:
    """``image`` as [H, W, 3], in a type wide enough for differences."""
    return np.asarray(image.convert("RGB"), dtype=np.int16)


def load(path: Path) -> Case:
    """Read one case file."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Case(
        name=data["name"],
        endpoint=data["endpoint"],
        checkpoint=data["checkpoint"],
        request=data["request"],
        images=tuple(data["images"]),
        infotexts=tuple(data["infotexts"]),
        features=tuple(data["features"]),
    )


def all_cases() -> Iterator[Case]:
    """Every case of the set, grouped by checkpoint so that models are loaded once."""
    cases = [load(path) for path in sorted((ROOT / "cases").glob("*.json"))]
    return iter(sorted(cases, key=lambda case: (case.checkpoint, case.name)))
