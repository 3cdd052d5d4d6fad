from __future__ import annotations

import io
import json
import struct
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from modules.images.exif import build_exif, decode_comment, read_exif_comment
from modules.images.formats import FORMATS, find_format
from modules.images.metadata import png_text, read_info, storable
from modules.images.text_html import plaintext_to_html
from modules.options.settings import default_options
from tests.paths import GOLDENS, HAVE_GOLDENS

SETTINGS = default_options().view()
TEXTS = [
    "a cat\nSteps: 8, Sampler: Euler, Seed: 1",
    "Katze mit Hütchen, naïve\nSteps: 1",
    "画像 🎨 and plain letters\nNegative prompt: ugly\nSteps: 8",
    '<script>alert(1)</script> & "quotes"',
    "x" * 20_000,
]


def written(extension: str, text: str, image: Image.Image | None = None) -> Image.Image:
    file = io.BytesIO()
    image = image or Image.new("RGB", (16, 8), "red")
    FORMATS[extension].encode(image, file, SETTINGS, {"parameters": text}, text)
    file.seek(0)
    return Image.open(file)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "avif", "gif"])
def test_every_format_gives_its_text_back(extension: str, text: str) -> None:
    infotext, items = read_info(written(extension, text))
    assert infotext == text
    assert not {"exif", "parameters"} & set(items)


def test_png_chunks_are_readable_by_any_client() -> None:
    file = io.BytesIO()
    text = "a cat\nSteps: 8"
    FORMATS["png"].encode(Image.new("RGB", (4, 4)), file, SETTINGS, {"parameters": text}, text)
    data = file.getvalue()
    start = data.index(b"tEXt") - 4
    length = struct.unpack(">I", data[start : start + 4])[0]
    assert data[start + 8 : start + 8 + length] == b"parameters\0" + text.encode("latin-1")


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the goldens are not beside the checkout")
def test_texts_of_the_goldens_survive_byte_for_byte() -> None:
    cases = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted((GOLDENS / "cases").glob("*.json"))
    ]
    compared = 0
    for case in cases:
        for name, infotext in zip(case["images"], case["infotexts"], strict=False):
            with Image.open(GOLDENS / "cases" / name) as image:
                found, _ = read_info(image)
                if found is None:
                    continue
                assert found == infotext
                mine = written("png", found, image.copy())
                assert {**image.info} == {**mine.info}
                compared += 1
    assert compared > 300


def test_surrogates_and_nul_are_replaced_where_a_file_cannot_hold_them() -> None:
    assert storable("a\0b\ud800c") == "a\ufffdb\ufffdc"
    for extension in ("png", "jpg", "webp", "avif", "gif"):
        assert read_info(written(extension, "a\0b\ud800c"))[0] == "a\ufffdb\ufffdc"


def test_foreign_chunks_are_kept_or_skipped_but_never_break_the_file() -> None:
    file = io.BytesIO()
    texts = {"Software": "x", "parameters": "p", "": "empty", "k" * 90: "long", "ключ": "cyrillic", "n": 5}
    Image.new("L", (2, 2)).save(file, "png", pnginfo=png_text(texts))
    assert Image.open(io.BytesIO(file.getvalue())).info == {"Software": "x", "parameters": "p", "n": "5"}


def test_exif_wins_over_the_parameters_chunk() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "from the chunk")
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "png", pnginfo=info, exif=build_exif("from exif"))
    assert read_info(Image.open(file))[0] == "from exif"


def test_keys_about_the_encoding_are_left_out() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "jpeg", dpi=(72, 72), progressive=True)
    infotext, items = read_info(Image.open(file))
    assert infotext is None
    assert items == {}


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (b"UNICODE\0" + "é画".encode("utf-16-be"), "é画"),
        (b"UNICODE\0" + "plain é".encode("utf-16-le"), "plain é"),
        (b"UNICODE\0" + "plain".encode("utf-16"), "plain"),
        (b"ASCII\0\0\0plain", "plain"),
        (b"JIS\0\0\0\0\0" + "画".encode("shift_jis"), "画"),
        (b"\0" * 8 + "é".encode(), "é"),
        (b"no code at all", "no code at all"),
        (b"UNICODE\0", None),
        (b"", None),
        (b"UNICODE\0odd", "潤\ufffd"),
        (17, None),
        ("already text", "already text"),
    ],
)
def test_encodings_of_the_exif_comment(comment: Any, text: str | None) -> None:
    assert decode_comment(comment) == text


def test_exif_built_here_is_well_formed() -> None:
    block = build_exif("hello")
    exif = Image.Exif()
    exif.load(block)
    assert exif.get_ifd(0x8769)[0x9286] == b"UNICODE\0" + "hello".encode("utf-16-be")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")
@pytest.mark.parametrize("cut", range(0, 62, 3))
def test_damaged_exif_is_skipped(cut: int) -> None:
    block = build_exif("hello")
    for damaged in (block[:cut], block[:cut] + b"\xff" * (len(block) - cut), b"\0" * cut):
        result = read_exif_comment(damaged)
        assert result is None or isinstance(result, str)


def novelai(comment: str) -> Image.Image:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "NovelAI")
    info.add_text("Description", "a tower")
    info.add_text("Comment", comment)
    file = io.BytesIO()
    Image.new("RGB", (8, 16)).save(file, "png", pnginfo=info)
    return Image.open(file)


def test_novelai_metadata_is_converted() -> None:
    comment = {"uc": "bad", "steps": 28, "sampler": "k_DPMPP_2M", "scale": 11.0, "seed": 5}
    infotext, _ = read_info(novelai(json.dumps(comment)), {"k_dpmpp_2m": "DPM++ 2M"})
    assert infotext == (
        "a tower\nNegative prompt: bad\n"
        "Steps: 28, Sampler: DPM++ 2M, CFG scale: 11.0, Seed: 5, Size: 8x16, Clip skip: 2, ENSD: 31337"
    )
    infotext, _ = read_info(novelai(json.dumps({**comment, "sampler": "unknown"})))
    assert "Sampler: Euler a" in str(infotext)


@pytest.mark.parametrize("comment", ["not json", "[]", "{}", "null", "[" * 50_000])
def test_damaged_novelai_metadata_gives_no_text(comment: str) -> None:
    assert read_info(novelai(comment))[0] is None


def test_formats_are_found_by_extension() -> None:
    assert find_format(".PNG") == ("png", FORMATS["png"])
    assert find_format(" jpeg ") == ("jpeg", FORMATS["jpg"])
    assert find_format("exe") is None


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "avif", "gif", "bmp", "tif"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F"])
def test_every_format_takes_every_pixel_mode(extension: str, mode: str) -> None:
    image = written(extension, "text", Image.new(mode, (16, 8)))
    image.load()
    assert image.size == (16, 8)


def test_sixteen_bits_become_eight_by_scaling() -> None:
    image = written("jpg", "t", Image.new("I;16", (16, 16), 32896))
    assert image.mode == "L"
    assert image.getpixel((8, 8)) == 128


def test_html_in_a_text_is_shown_as_text() -> None:
    html = plaintext_to_html("<img src=x onerror=\"alert(1)\">\n& 'more'", classname='a" onload="x')
    assert "<img" not in html
    assert html.count("<") == 3  # p, br, /p
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;<br>\n&amp; &#x27;more&#x27;" in html
    assert 'class="a&quot; onload=&quot;x"' in html
