"""img2img over a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from modules.errors import NotFound
from modules.options.settings import default_options
from modules.processing.engine import Engine
from modules.processing.folder_batch import FolderBatch, paint_folder
from modules.processing.request import Img2ImgRequest
from modules.processing.result import Processed
from modules.sampling.monitor import NullMonitor

TEXT = "a dog\nNegative prompt: fog\nSteps: 3, Sampler: Heun, CFG scale: 4, Seed: 77, Size: 64x64"


class Counted(NullMonitor):
    """Remembers how many batches were announced and done."""

    announced, done = 0, 0

    def begin_job(self, job_count: int) -> None:
        self.announced += job_count

    def next_job(self) -> None:
        self.done += 1


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index, name in enumerate(("b.png", "a.png")):
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", TEXT)
        Image.new("RGB", (64, 64), (200, 90 * index, 10)).save(folder / name, pnginfo=info)
    return folder


@pytest.fixture
def over(engine: Engine) -> Callable[..., Processed]:
    def run(folder: FolderBatch, monitor: Any = None, **fields: Any) -> Processed:
        values = {
            "prompt": "a cat",
            "seed": 1,
            "steps": 1,
            "width": 64,
            "height": 64,
            "sampler_name": "Euler",
        }
        request = Img2ImgRequest(**{**values, "do_not_save_grid": True, **fields})
        view = default_options().view({"sd_model_checkpoint": "tiny-sd1", "randn_source": "CPU"})
        return paint_folder(request, folder, engine, view, monitor or Counted())

    return run


def test_every_picture_is_painted_and_named_as_its_original(
    over: Callable[..., Processed], inputs: Path, tmp_path: Path
) -> None:
    monitor = Counted()
    result = over(FolderBatch(inputs, output=tmp_path / "out"), monitor, n_iter=2)
    assert len(result.images) == 4 and (monitor.announced, monitor.done) == (4, 4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a-1.png",
        "a.png",
        "b-1.png",
        "b.png",
    ]
    assert Image.open(tmp_path / "out/a.png").info["parameters"] == result.infotexts[0]


def test_a_damaged_file_costs_a_warning(over: Callable[..., Processed], inputs: Path) -> None:
    (inputs / "aa.png").write_bytes(b"no picture")
    (inputs / "notes.md").write_text("no picture either")
    result = over(FolderBatch(inputs), do_not_save_samples=True)
    assert len(result.images) == 2
    assert len(result.warnings) == 1 and result.warnings[0].startswith("aa.png: ")


def test_text_files_and_generation_texts(over: Callable[..., Processed], inputs: Path) -> None:
    (inputs / "a.txt").write_text("in the snow\n")
    wanted = frozenset({"Prompt", "Negative prompt", "Seed", "Steps", "CFG scale"})
    folder = FolderBatch(inputs, use_png_info=True, properties=wanted)
    result = over(folder, do_not_save_samples=True)
    assert result.infotexts[0].startswith(
        "a cat in the snow a dog\nNegative prompt: fog\nSteps: 3, Sampler: Euler"
    )
    assert "CFG scale: 4.0, Seed: 77" in result.infotexts[0]
    assert result.infotexts[1].startswith("a cat a dog\n")
    assert over(FolderBatch(inputs), do_not_save_samples=True).infotexts[1].startswith("a cat\nSteps: 1")


def test_masks_of_the_same_name_or_one_for_all(
    over: Callable[..., Processed], inputs: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 16, 64))
    mask.save(masks / "a.png")
    fields = {"inpaint_full_res": False, "mask_blur": 0, "do_not_save_samples": True}
    result = over(FolderBatch(inputs, masks=masks), **fields)
    assert len(result.images) == 2
    kept = np.asarray(result.images[0])[:, 32:]
    assert (kept == (200, 90, 10)).all()
    mask.save(masks / "c.png")
    result = over(FolderBatch(inputs, masks=masks), **fields)
    assert len(result.images) == 1 and result.warnings == ["b.png: There is no mask of the same name."]


def test_only_some_results_come_back(over: Callable[..., Processed], inputs: Path, tmp_path: Path) -> None:
    result = over(FolderBatch(inputs, output=tmp_path / "out", show=1))
    assert len(result.images) == len(result.infotexts) == 1 and len(result.saved) == 2


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_pictures_is_named(
    over: Callable[..., Processed], tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match=name):
        over(FolderBatch(tmp_path / name))


def test_an_interrupted_job_goes_no_further(over: Callable[..., Processed], inputs: Path) -> None:
    monitor = Counted()
    monitor.stopping_generation = True
    assert over(FolderBatch(inputs), monitor).images == []
