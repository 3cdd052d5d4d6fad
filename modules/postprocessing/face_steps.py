"""The steps "GFPGAN" and "CodeFormer"."""

from __future__ import annotations

from PIL import Image

from modules.postprocessing.picture import PostprocessedImage
from modules.postprocessing.steps import Bench, Values

GFPGAN_DEFAULTS: Values = {"enable": False, "gfpgan_visibility": 1.0}
CODEFORMER_DEFAULTS: Values = {"enable": False, "codeformer_visibility": 1.0, "codeformer_weight": 0.0}


def check_gfpgan(values: Values, bench: Bench) -> None:
    """Raise when the model is wanted and its files are missing."""
    if values["enable"] and values["gfpgan_visibility"] > 0:
        bench.faces.check("GFPGAN")


def check_codeformer(values: Values, bench: Bench) -> None:
    """Raise when the model is wanted and its files are missing."""
    if values["enable"] and values["codeformer_visibility"] > 0:
        bench.faces.check("CodeFormer")


def gfpgan(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Restore faces with GFPGAN."""
    visibility = float(values["gfpgan_visibility"])
    if values["enable"] and visibility > 0:
        pp.image = _restored(pp.image, "GFPGAN", visibility, 0.5, bench)
        pp.info["GFPGAN visibility"] = round(visibility, 3)


def codeformer(pp: PostprocessedImage, values: Values, bench: Bench) -> None:
    """Restore faces with CodeFormer; weight 0 changes the face most, 1 least."""
    visibility, weight = float(values["codeformer_visibility"]), float(values["codeformer_weight"])
    if values["enable"] and visibility > 0:
        pp.image = _restored(pp.image, "CodeFormer", visibility, weight, bench)
        pp.info["CodeFormer visibility"] = round(visibility, 3)
        pp.info["CodeFormer weight"] = round(weight, 3)


def _restored(image: Image.Image, name: str, visibility: float, weight: float, bench: Bench) -> Image.Image:
    source = image.convert("RGB")
    restored = bench.faces.restore(name, source, weight=weight, check=bench.monitor.check)
    return Image.blend(source, restored, visibility) if visibility < 1 else restored
