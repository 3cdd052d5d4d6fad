"""From a request to pictures: txt2img, img2img, hires fix, refiner, masks, infotext.

For extensions this package also holds the objects of a job: ``StableDiffusionProcessingTxt2Img``,
``Processed``, ``process_images`` and others, imported when asked for: this file imports no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import Any

opt_C = 4
opt_f = 8

_PUBLIC = {
    "StableDiffusionProcessing": "facade",
    "StableDiffusionProcessingTxt2Img": "facade",
    "StableDiffusionProcessingImg2Img": "facade",
    "get_fixed_seed": "facade",
    "fix_seed": "facade",
    "Processed": "legacy_result",
    "process_images": "scripted",
    "process_images_inner": "scripted",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value  # from now on an attribute that extensions may replace
    return value
