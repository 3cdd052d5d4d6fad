"""The Extras chain: order, steps, texts, copies, files, bad pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from modules.errors import InvalidInput, ModelFileError, NotFound
from modules.faces.registry import FaceRestorers
from modules.options.settings import default_options
from modules.postprocessing.chain import info_text, ordered, run_chain
from modules.postprocessing.extras import ExtrasRequest, ExtrasResult, Studio, paint_extras
from modules.postprocessing.picture import PostprocessedImage
from modules.postprocessing.steps import Bench, Step
from modules.postprocessing.table import STEPS
from modules.sampling.monitor import NullMonitor, SamplingInterrupted
from modules.upscaling.registry import Upscaler, Upscalers


def bench(sets: dict[str, Any] | None = None, **parts: Any) -> Bench:
    given = {"upscalers": Upscalers(), "faces": FaceRestorers(), **parts}
    return Bench(default_options().view(sets or {}), **given)


def picture(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8))


def upscale(**values: Any) -> dict[str, dict[str, Any]]:
    return {"Upscale": {"upscaler_1_name": "Lanczos", "upscale_by": 2.0, **values}}


def run(
    arguments: dict[str, Any], image: Image.Image | None = None, **parts: Any
) -> list[PostprocessedImage]:
    return run_chain(image or picture(), STEPS, arguments, bench(**parts))


def test_order_of_the_settings_comes_first() -> None:
    view = default_options().view(
        {
            "postprocessing_operation_order": ["Caption", "GFPGAN"],
            "postprocessing_disable_in_extras": ["CodeFormer"],
        }
    )
    names = [step.name for step in ordered(STEPS, view)]
    assert names[:3] == ["Caption", "GFPGAN", "Upscale"]
    assert "CodeFormer" not in names


@pytest.mark.parametrize(
    ("values", "size", "text"),
    [
        ({}, (128, 96), "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos"),
        (
            {"max_side_length": 80},
            (80, 56),
            "Postprocess upscale by: 2.0, Max side length: 80, Postprocess upscaler: Lanczos",
        ),
        (
            {"upscale_mode": 1, "upscale_to_width": 100, "upscale_to_height": 100},
            (100, 100),
            "Postprocess upscale to: 100x100, Postprocess crop to: 100x100, Postprocess upscaler: Lanczos",
        ),
        (
            {"upscale_mode": 1, "upscale_to_width": 96, "upscale_to_height": 96, "upscale_crop": False},
            (128, 96),
            "Postprocess upscale to: 96x96, Postprocess upscaler: Lanczos",
        ),
        ({"upscaler_1_name": "None"}, (64, 48), ""),
        ({"upscale_enabled": False}, (64, 48), ""),
    ],
)
def test_upscale(values: dict[str, Any], size: tuple[int, int], text: str) -> None:
    (done,) = run(upscale(**values))
    assert (done.image.size, info_text(done.info)) == (size, text)


def test_a_cropped_picture_has_no_black_edges() -> None:
    white = Image.new("RGB", (70, 70), "white")
    values = {"upscale_mode": 1, "upscale_to_width": 101, "upscale_to_height": 99}
    (done,) = run(upscale(**values), white)
    assert np.asarray(done.image).min() == 255


def test_two_upscalers_are_mixed() -> None:
    (one,), (two,) = run(upscale()), run(upscale(upscaler_1_name="Nearest"))
    (mixed,) = run(upscale(upscaler_2_name="Nearest", upscaler_2_visibility=0.25))
    assert mixed.image.tobytes() == Image.blend(one.image, two.image, 0.25).tobytes()
    assert mixed.info["Postprocess upscaler 2"] == "Nearest"


def test_an_upscaled_picture_is_kept_for_the_next_time() -> None:
    calls = []

    def slow(image: Image.Image, scale: float) -> Image.Image:
        calls.append(scale)
        return image.resize((int(image.width * scale), int(image.height * scale)))

    parts = bench(upscalers=Upscalers(extra=lambda: [Upscaler("Slow", enlarge=slow)]))
    for seed in (0, 0, 1):
        run_chain(picture(seed=seed), STEPS, upscale(upscaler_1_name="Slow"), parts)
    assert len(calls) == 2


def test_split_and_flip_and_the_copies_in_between() -> None:
    arguments = {
        **upscale(upscaler_1_name="None", upscale_mode=1, upscale_to_width=32, upscale_to_height=32),
        "Split oversized images": {"enable": True, "overlap_ratio": 0.0},
        "Create flipped copies": {"enable": True, "option": ["Horizontal", "Both"]},
    }
    done = run(arguments, picture(96, 32))
    assert len(done) == 9
    assert {one.image.size for one in done} == {(32, 32)}
    firsts = done[:3]
    joined = np.concatenate([np.asarray(one.image) for one in firsts], axis=1)
    assert (joined == np.asarray(picture(96, 32))).all()
    assert done[3].image.tobytes() == ImageOps.mirror(firsts[0].image).tobytes()


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_nearly_fitting_pictures_are_not_split(threshold: float) -> None:
    arguments = {
        **upscale(upscaler_1_name="None", upscale_mode=1, upscale_to_width=64, upscale_to_height=64),
        "Split oversized images": {"enable": True, "split_threshold": threshold},
    }
    assert len(run(arguments, picture(64, 100))) == 1


@pytest.mark.parametrize(
    ("objective", "size"), [("Maximize area", (768, 512)), ("Minimize error", (640, 384))]
)
def test_autosized_crop(objective: str, size: tuple[int, int]) -> None:
    arguments = {"Auto-sized crop": {"enable": True, "objective": objective}}
    (done,) = run(arguments, picture(330, 200))
    assert done.image.size == size


def test_focal_crop_keeps_what_stands_out() -> None:
    image = Image.new("RGB", (300, 100), "grey")
    image.paste(picture(60, 60), (230, 20))
    arguments = {
        **upscale(upscaler_1_name="None", upscale_mode=1, upscale_to_width=100, upscale_to_height=100),
        "Auto focal point crop": {"enable": True, "debug": True},
        "Create flipped copies": {"enable": True},
    }
    done, debug, flipped = run(arguments, image)
    assert done.image.size == (100, 100)
    assert np.asarray(done.image).std() > np.asarray(image).std() * 1.5
    assert debug.image.size == (300, 100)
    assert debug.get_suffix() == "-focal-crop-debug"
    assert flipped.image.tobytes() == ImageOps.mirror(done.image).tobytes()


def test_face_steps_write_their_entries() -> None:
    class Fake(FaceRestorers):
        def restore(
            self,
            name: str,
            image: Image.Image,
            *,
            weight: float = 0.5,
            check: Callable[[], None] = lambda: None,
        ) -> Image.Image:
            return ImageOps.invert(image)

    arguments = {
        "GFPGAN": {"enable": True, "gfpgan_visibility": 0.5},
        "CodeFormer": {"enable": True, "codeformer_visibility": 1, "codeformer_weight": 0.25},
    }
    (done,) = run(arguments, faces=Fake())
    text = "GFPGAN visibility: 0.5, CodeFormer visibility: 1.0, CodeFormer weight: 0.25"
    assert info_text(done.info) == text
    source = picture()
    wanted = ImageOps.invert(Image.blend(source, ImageOps.invert(source), 0.5))
    assert done.image.tobytes() == wanted.tobytes()


def test_a_step_of_an_extension() -> None:
    class Script:
        name, order = "Stamp", 1500

        def process_firstpass(self, pp: Any, **args: Any) -> None:
            pp.shared.stamp = args["text"]

        def process(self, pp: Any, **args: Any) -> None:
            pp.info["Stamp"] = args["text"]
            pp.extra_images.append(pp.create_copy(pp.image, nametags=["stamp"]))

    steps = [*STEPS, Step.of_extension(Script())]
    arguments = {"Stamp": {"text": "a, b"}}
    done = run_chain(picture(), steps, arguments, bench())
    assert [one.get_suffix() for one in done] == ["", "-stamp"]
    assert info_text(done[0].info) == 'Stamp: "a, b"'


def extras(
    request: ExtrasRequest, folder: Path, sets: dict[str, Any] | None = None, **parts: Any
) -> ExtrasResult:
    return paint_extras(request, Studio(folder), bench(sets, **parts))


def test_bad_arguments_are_refused_before_any_work(tmp_path: Path) -> None:
    for arguments, error in (
        (upscale(upscaler_1_name="Magic"), NotFound),
        (upscale(upscale_by=0), InvalidInput),
        ({"GFPGAN": {"enable": True, "gfpgan_visibility": 1}}, ModelFileError),
        ({"Caption": {"enable": True}}, InvalidInput),
    ):
        with pytest.raises(error):
            extras(ExtrasRequest(((picture(), None),), arguments), tmp_path)


def test_pictures_are_saved_with_their_texts(tmp_path: Path) -> None:
    source = picture()
    source.info["parameters"] = "a cat\nSteps: 1"
    done = extras(ExtrasRequest(((source, "cat.jpg"),), upscale(), save=True), tmp_path)
    (saved,) = done.saved
    assert saved.path.is_relative_to(tmp_path / "outputs" / "extras-images")
    with Image.open(saved.path) as image:
        assert image.info["parameters"] == "a cat\nSteps: 1"
        assert image.info["postprocessing"] == done.infotexts[0]
        assert image.info["extras"] == done.infotexts[0]
    assert done.html_info == f"<p>{done.infotexts[0]}</p>"


@pytest.mark.parametrize(
    ("action", "expected"),
    [("Ignore", "new"), ("Keep", "old"), ("Prepend", "old new"), ("Append", "new old")],
)
def test_captions_beside_pictures(tmp_path: Path, action: str, expected: str) -> None:
    sets = {
        "postprocessing_existing_caption_action": action,
        "use_original_name_batch": True,
        "save_to_dirs": False,
    }
    (tmp_path / "cat.txt").write_text("old", encoding="utf-8")
    request = ExtrasRequest(
        ((picture(), "cat.jpg"),), {"Caption": {"enable": True}}, save=True, output_dir=tmp_path
    )
    extras(request, tmp_path, sets, captioners={"Deepbooru": lambda image: "new"})
    assert (tmp_path / "cat.png").is_file()
    assert (tmp_path / "cat.txt").read_text(encoding="utf-8") == expected


def test_a_folder_with_all_kinds_of_files(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    picture().save(source / "a.png")
    picture().convert("CMYK").save(source / "b.jpg")
    Image.fromarray(np.full((20, 20), 40_000, dtype=np.uint16)).save(source / "c.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(40, 20).save(source / "d.jpg", exif=exif)
    (source / "e.svg").write_text("<svg/>", encoding="utf-8")
    (source / "f.png").write_bytes((source / "a.png").read_bytes()[:200])
    request = ExtrasRequest(arguments=upscale(), save=True, input_dir=source, output_dir=target)
    done = extras(request, tmp_path)
    assert [image.size for image in done.pictures] == [(128, 96), (128, 96), (40, 40), (40, 80)]
    grey = np.asarray(done.pictures[2])
    assert abs(int(grey.mean()) - 155) <= 1
    assert len(done.saved) == 4
    assert len(done.warnings) == 2
    hidden = extras(ExtrasRequest(arguments=upscale(), input_dir=source, show_results=False), tmp_path)
    assert (hidden.pictures, len(hidden.infotexts)) == ([], 4)


def test_a_bomb_is_refused_by_its_size(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(InvalidInput, match=r"bomb\.png"):
        extras(ExtrasRequest(arguments=upscale(), input_dir=tmp_path), tmp_path)
    with pytest.raises(NotFound, match="cannot be read"):
        extras(ExtrasRequest(arguments=upscale(), input_dir=tmp_path / "none"), tmp_path)


def test_interrupt_gives_what_is_finished_and_skip_leaves_one_out(tmp_path: Path) -> None:
    class Stopper(NullMonitor):
        def __init__(self, verb: str, at: int) -> None:
            super().__init__()
            self.verb, self.left = verb, at

        def next_job(self) -> None:
            self.skipped = False
            self.left -= 1
            if self.left == 0:
                setattr(self, self.verb, True)

    request = ExtrasRequest(tuple((picture(seed=n), None) for n in range(4)), upscale())
    for verb, count in (("interrupted", 2), ("stopping_generation", 2), ("skipped", 3)):
        assert len(extras(request, tmp_path, monitor=Stopper(verb, 2)).pictures) == count
    early = NullMonitor()
    early.interrupted = True
    with pytest.raises(SamplingInterrupted):
        extras(request, tmp_path, monitor=early)
