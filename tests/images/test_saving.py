from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.images import saving
from modules.images.filenames import NameFields
from modules.images.metadata import read_info
from modules.images.saving import ImageNotSaved, next_sequence_number, save_image, save_image_as
from modules.options.settings import SettingsView, default_options

VIEW = default_options().view()
TEXT = "a cat\nSteps: 8, Sampler: Euler, Seed: 1234"
PICTURE = Image.new("RGB", (24, 16), "orange")
FIELDS = NameFields(
    seed=1234,
    prompt="a cat / on a mat",
    all_seeds=[1234],
    clock=lambda zone: datetime(2026, 11, 21, tzinfo=zone or timezone.utc),
)


def save(
    directory: Path, settings: SettingsView = VIEW, basename: str = "", **more: Any
) -> saving.SavedImage:
    options = {"fields": FIELDS, "infotext": TEXT, **more}
    return save_image(PICTURE, directory, basename, settings, **options)


def names(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def test_default_names_are_those_of_the_reference(tmp_path: Path) -> None:
    for _ in range(2):
        save(tmp_path / "outputs" / "txt2img-images")
    save(tmp_path, basename="grid", grid=True, short_filename=True)
    assert names(tmp_path) == [
        "2026-11-21/grid-0000.png",
        "outputs/txt2img-images/2026-11-21/00000-1234.png",
        "outputs/txt2img-images/2026-11-21/00001-1234.png",
    ]


@pytest.mark.parametrize(
    ("overrides", "more", "expected"),
    [
        ({"save_to_dirs": False}, {}, "00000-1234-a cat _ on a mat.png"),
        ({"directories_filename_pattern": ""}, {}, "a cat on a mat/00000-1234.png"),
        ({"directories_filename_pattern": "[date]/[seed]"}, {}, "2026-11-21/1234/00000-1234.png"),
        ({"directories_filename_pattern": "/../../[none]"}, {}, "00000-1234.png"),
        ({"samples_filename_pattern": "[seed]/../x[prompt]"}, {"save_to_dirs": False},
         "1234/00000-xa_cat___on_a_mat.png"),
        ({"save_images_add_number": False}, {}, "2026-11-21/1234.png"),
        ({"save_images_add_number": False, "samples_filename_pattern": "[none]"}, {}, "2026-11-21/00000.png"),
        ({"save_to_dirs": False}, {"fields": NameFields()}, "00000.png"),
        ({"samples_format": "webp"}, {"suffix": "-mask"}, "2026-11-21/00000-1234-mask.webp"),
        ({"grid_format": "jpg"}, {"grid": True, "basename": "grid"}, "2026-11-21/grid-0000-1234.jpg"),
        ({"grid_save_to_dirs": False}, {"grid": True}, "00000-1234.png"),
        ({}, {"save_to_dirs": False, "extension": "avif"}, "00000-1234.avif"),
        ({}, {"save_to_dirs": False, "forced_filename": "../my:name"}, ".._my:name.png"),
        ({"samples_format": "../exe"}, {"save_to_dirs": False}, "00000-1234.png"),
        ({"directories_filename_pattern": "con"}, {}, "_con/00000-1234.png"),
    ],
)  # fmt: skip
def test_names_by_settings(tmp_path: Path, overrides: Any, more: Any, expected: str) -> None:
    if os.name == "nt":
        expected = expected.replace(":", "_")
    path = save(tmp_path, VIEW.with_overrides(overrides), **more).path
    assert names(tmp_path) == [expected]
    assert path == tmp_path / expected
    with Image.open(path) as image:
        assert image.size == PICTURE.size


def test_long_names_fit_the_file_system(tmp_path: Path) -> None:
    settings = VIEW.with_overrides(save_to_dirs=False)
    path = save(tmp_path, settings, fields=replace(FIELDS, prompt="画像" * 300)).path
    assert path.exists()
    assert 200 < len(path.name.encode("utf-8")) <= 255


@pytest.mark.parametrize("folder", ["with blank", "画像 🎨", "a.b"])
def test_folders_of_any_name(tmp_path: Path, folder: str) -> None:
    assert save(tmp_path / folder).path.exists()


@pytest.mark.parametrize(
    ("existing", "basename", "expected"),
    [
        ([], "", 0),
        (["00000-1.png", "00007.png", "abc.png"], "", 8),
        (["00012-x.txt", "3.jpg"], "", 13),
        (["grid-0004.png", "00009.png", "grid-x.png"], "grid", 5),
        (["grid-0004.png"], "", 0),
        (["20261121123000-1.png"], "", 20261121123001),
        (["99999999999999999999.png", "00001.png", "١٢.png", "1_0.png"], "", 2),
    ],
)
def test_numbers_go_on_from_the_highest(
    tmp_path: Path, existing: list[str], basename: str, expected: int
) -> None:
    for name in existing:
        (tmp_path / name).touch()
    assert next_sequence_number(tmp_path, basename) == expected
    assert next_sequence_number(tmp_path / "missing", basename) == 0


def test_existing_files_by_the_replace_setting(tmp_path: Path) -> None:
    settings = VIEW.with_overrides(save_images_add_number=False, save_to_dirs=False)
    first = save(tmp_path, settings, infotext="first").path
    assert save(tmp_path, settings, infotext="second").path == first
    assert read_info(Image.open(first))[0] == "second"
    careful = settings.with_overrides(save_images_replace_action="Add number suffix")
    assert [save(tmp_path, careful).path.stem for _ in range(2)] == [f"{first.stem}-1", f"{first.stem}-2"]
    assert read_info(Image.open(first))[0] == "second"


def test_many_threads_get_many_numbers(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        try:
            start.wait()
            for _ in range(5):
                save(tmp_path, VIEW.with_overrides(save_to_dirs=False), fields=NameFields(seed=seed))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    numbers = sorted(int(name[:5]) for name in names(tmp_path))
    assert numbers == list(range(30))


def test_another_process_that_takes_the_name_first_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = VIEW.with_overrides(save_to_dirs=False, samples_filename_pattern="[seed]")
    link = os.link

    def rival(source: Any, target: Any) -> None:
        if not Path(target).exists() and "00000" in str(target):
            Path(target).write_text("the rival's picture")
        link(source, target)

    monkeypatch.setattr(saving.os, "link", rival)
    path = save(tmp_path, settings).path
    assert path.name != "00000-1234.png"
    assert (tmp_path / "00000-1234.png").read_text() == "the rival's picture"


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(source: Any, target: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(saving.os, "link", unsupported)
    paths = [save(tmp_path).path for _ in range(2)]
    assert [path.name for path in paths] == ["00000-1234.png", "00001-1234.png"]
    assert read_info(Image.open(paths[1]))[0] == TEXT


@pytest.mark.skipif(os.name == "nt", reason="permission bits of Unix")
def test_pictures_have_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    assert save(tmp_path).path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "avif"])
def test_infotext_only_when_it_is_wanted(tmp_path: Path, extension: str) -> None:
    with_text = save(tmp_path, extension=extension).path
    without = save(tmp_path, VIEW.with_overrides(enable_pnginfo=False), extension=extension).path
    assert read_info(Image.open(with_text))[0] == TEXT
    assert read_info(Image.open(without)) == (None, {})


def test_existing_chunks_are_kept_beside_the_new_one(tmp_path: Path) -> None:
    path = save(tmp_path, infotext="new", existing_info={"parameters": TEXT, "x": 1}, section="extras").path
    assert Image.open(path).info == {"parameters": TEXT, "x": "1", "extras": "new"}


def test_text_file_beside_the_picture(tmp_path: Path) -> None:
    saved = save(tmp_path, VIEW.with_overrides(save_txt=True), infotext="a\ud800 画\nSteps: 1")
    assert saved.txt_path == saved.path.with_suffix(".txt")
    assert saved.txt_path.read_text(encoding="utf-8") == "a\ufffd 画\nSteps: 1\n"
    assert save(tmp_path).txt_path is None
    assert save(tmp_path, VIEW.with_overrides(save_txt=True), infotext=None).txt_path is None


def test_a_text_that_a_jpg_cannot_hold_goes_into_a_file(tmp_path: Path) -> None:
    text = "x" * 40_000
    saved = save(tmp_path, extension="jpg", infotext=text)
    assert read_info(Image.open(saved.path))[0] is None
    assert saved.txt_path is not None
    assert saved.txt_path.read_text() == text + "\n"


def test_quality_and_lossless_settings(tmp_path: Path) -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")

    def size(extension: str, **overrides: Any) -> int:
        settings = VIEW.with_overrides(overrides)
        return save_image(noise, tmp_path, "", settings, extension=extension).path.stat().st_size

    for extension in ("jpg", "webp", "avif"):
        assert size(extension, jpeg_quality=10) < size(extension, jpeg_quality=95)
    lossless = VIEW.with_overrides(webp_lossless=True)
    path = save_image(noise, tmp_path, "", lossless, extension="webp").path
    assert Image.open(path).convert("RGB").tobytes() == noise.tobytes()


@pytest.mark.parametrize(("extension", "size"), [("webp", (16_384, 1)), ("jpg", (1, 65_536))])
def test_pictures_too_large_for_a_format_become_png(
    tmp_path: Path, extension: str, size: tuple[int, int]
) -> None:
    settings = VIEW.with_overrides(export_for_4chan=False)
    path = save_image(Image.new("RGB", size), tmp_path, "", settings, extension=extension).path
    assert path.suffix == ".png"
    assert Image.open(path).size == size


@pytest.mark.parametrize(
    ("size", "copy_size"),
    [((200, 50), (100, 25)), ((30, 120), (25, 100)), ((101, 1), (100, 1)), ((100, 9), None)],
)
def test_smaller_copy_of_a_large_picture(tmp_path: Path, size: tuple[int, int], copy_size: Any) -> None:
    settings = VIEW.with_overrides(target_side_length=100)
    saved = save_image(Image.new("RGBA", size), tmp_path, "", settings, infotext=TEXT)
    assert (saved.copy_path is None) == (copy_size is None)
    if saved.copy_path is not None:
        assert saved.copy_path == saved.path.with_suffix(".jpg")
        with Image.open(saved.copy_path) as copy:
            assert copy.size == copy_size
            assert read_info(copy)[0] == TEXT


def test_smaller_copy_of_a_large_file(tmp_path: Path) -> None:
    noise = Image.effect_noise((64, 64), 80)
    settings = VIEW.with_overrides(img_downscale_threshold=0.001)
    saved = save_image(noise, tmp_path, "", settings)
    assert saved.copy_path is not None
    assert Image.open(saved.copy_path).size == (64, 64)
    assert save_image(noise, tmp_path, "", VIEW).copy_path is None


def test_the_copy_never_replaces_the_picture(tmp_path: Path) -> None:
    settings = VIEW.with_overrides(target_side_length=10, save_images_add_number=False, save_to_dirs=False)
    saved = save(tmp_path, settings, extension="jpg", forced_filename="big")
    assert saved.path.name == "big.jpg"
    assert saved.copy_path is not None
    assert saved.copy_path.name == "big-1.jpg"
    assert Image.open(saved.path).size == (24, 16)


def test_a_hook_may_change_name_text_and_picture(tmp_path: Path) -> None:
    seen: list[Path] = []

    def hook(pending: saving.PendingSave) -> saving.PendingSave:
        seen.append(pending.path)
        path = tmp_path / "deep" / "chosen.png"
        texts = {**pending.texts, "added": "1"}
        return replace(pending, path=path, texts=texts, image=Image.new("L", (3, 3)))

    saved = save(tmp_path, before_save=hook)
    assert seen[0].name == "00000-1234.png"
    assert saved.path == tmp_path / "deep" / "chosen.png"
    with Image.open(saved.path) as image:
        assert (image.size, image.info) == ((3, 3), {"parameters": TEXT, "added": "1"})


def refusal(code: int) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("where", ["open", "write"])
def test_a_refusal_keeps_the_picture_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    with monkeypatch.context() as patch:
        if where == "open":
            patch.setattr(saving.os, "open", refusal(code))
        else:
            patch.setattr(Image.Image, "save", refusal(code))
        with pytest.raises(ImageNotSaved) as caught:
            save(tmp_path)
    assert caught.value.image is PICTURE
    sentence = str(caught.value)
    assert re.search(r"could not be saved in .*2026-11-21 \(.+\)\. [A-Z].*; the picture is kept\.$", sentence)
    assert os.strerror(code) in sentence
    assert names(tmp_path) == []
    assert save_image(caught.value.image, tmp_path, "", VIEW).path.exists()  # the next one works


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("not a folder")
    with pytest.raises(ImageNotSaved, match="outputs"):
        save(tmp_path / "outputs")


def test_a_folder_that_no_system_can_name(tmp_path: Path) -> None:
    with pytest.raises(ImageNotSaved, match="null"):
        save(tmp_path / "a\0b")


def test_trouble_with_the_companions_does_not_cost_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_text", refusal(errno.ENOSPC))
    saved = save(tmp_path, VIEW.with_overrides(save_txt=True))
    assert saved.path.exists()
    assert saved.txt_path is None


def test_save_as_replaces_exactly_that_file(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "out.webp"
    for text in ("one", "two"):
        assert save_image_as(PICTURE, target, VIEW, infotext=text) == target
    assert names(tmp_path) == ["new folder/out.webp"]
    assert read_info(Image.open(target))[0] == "two"
    with pytest.raises(ImageNotSaved):
        save_image_as(PICTURE, target / "below.png", VIEW)
