"""restore_faces: who decides, where it happens, what the texts say, and the answer without its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from modules.errors import ModelFileError
from modules.faces.registry import FaceRestorers
from modules.options.settings import default_options
from modules.processing.engine import Engine
from modules.processing.request import Txt2ImgRequest
from modules.processing.txt2img import paint_txt2img
from modules.sampling.monitor import NullMonitor


class Negative(FaceRestorers):
    """A restorer whose work is easy to see."""

    def check(self, name: str) -> Any:
        return None

    def restore(
        self, name: str, image: Image.Image, *, weight: float = 0.5, check: Callable[[], None] = lambda: None
    ) -> Image.Image:
        assert (name, weight) == ("GFPGAN", 0.25)
        return ImageOps.invert(image)


def paint(engine: Engine, restore_faces: bool | None, **sets: Any) -> Any:
    given = {"face_restoration_model": "GFPGAN", "code_former_weight": 0.25, "randn_source": "CPU", **sets}
    settings = default_options().view({"sd_model_checkpoint": "tiny-sd1", **given})
    request = Txt2ImgRequest(
        prompt="a cat",
        seed=1,
        steps=1,
        width=64,
        height=64,
        sampler_name="Euler",
        restore_faces=restore_faces,
    )
    return paint_txt2img(request, engine, settings, NullMonitor())


@pytest.mark.parametrize("restore_faces", [None, True])
def test_faces_are_restored_and_named(engine: Engine, restore_faces: bool | None) -> None:
    engine = replace(engine, faces=Negative())
    plain = paint(engine, False)
    restored = paint(engine, restore_faces, face_restoration=restore_faces is None)
    assert restored.images[0].tobytes() == ImageOps.invert(plain.images[0]).tobytes()
    assert "Face restoration: GFPGAN" in restored.infotexts[0]
    assert "Face restoration" not in plain.infotexts[0]
    assert (restored.info["restore_faces"], restored.info["face_restoration_model"]) == (True, "GFPGAN")
    assert plain.info["face_restoration_model"] is None


def test_the_picture_before_is_saved_on_request(engine: Engine, tmp_path: Path) -> None:
    engine = replace(engine, faces=Negative())
    paint(engine, True, save_images_before_face_restoration=True, outdir_samples=str(tmp_path / "out"))
    names = [path.name for path in (tmp_path / "out").rglob("*.png")]
    assert len(names) == 2
    assert any("before-face-restoration" in name for name in names)


def test_missing_files_are_one_sentence_before_anything_is_painted(engine: Engine) -> None:
    with pytest.raises(ModelFileError, match="GFPGAN needs the file"):
        paint(engine, True)
