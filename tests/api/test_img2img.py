"""POST /sdapi/v1/img2img: pictures are decoded at the door, and what is no picture stays outside."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from modules.api.fields import IMG2IMG
from modules.images.conversion import eight_bit
from modules.processing.request import Img2ImgRequest
from tests.api.live import Live, live


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return base64.b64encode(buffer.getvalue()).decode()


RED = Image.new("RGB", (16, 8), (200, 10, 20))
PICTURE = encoded(RED)


def ask(server: Live, **body: Any) -> httpx.Response:
    whole = {"width": 8, "height": 8, "steps": 2, "init_images": [PICTURE], **body}
    return server.client.post("/sdapi/v1/img2img", json=whole)


def painted(server: Live, **body: Any) -> Img2ImgRequest:
    """The request that reaches the painter."""
    answer = ask(server, **body)
    assert answer.status_code == 200, answer.text
    return server.painter.seen[-1][0]


def refused(server: Live, **body: Any) -> Any:
    """The detail of the one field that a request is refused for; nothing is painted."""
    before = len(server.painter.seen)
    answer = ask(server, **body)
    assert answer.status_code == 422, answer.text
    assert len(server.painter.seen) == before
    (detail,) = answer.json()["detail"]
    return detail


def test_fields_reach_the_painter(server: Live) -> None:
    request = painted(
        server,
        mask=encoded(Image.new("L", (16, 8), 255)),
        mask_blur="7",
        inpainting_fill=2,
        inpaint_full_res=False,
        denoising_strength=0.25,
        initial_noise_multiplier=0.5,
    )
    assert isinstance(request, Img2ImgRequest)
    assert request.init_images[0].tobytes() == RED.tobytes()
    assert request.mask is not None and request.mask.mode == "L"
    assert (request.blur, request.inpainting_fill, request.inpaint_full_res) == ((7, 7), 2, False)
    assert (request.denoising_strength, request.initial_noise_multiplier) == (0.25, 0.5)


def test_defaults_are_those_of_the_painter(server: Live) -> None:
    request, fresh = painted(server), Img2ImgRequest()
    taken = {"width", "height", "steps", "init_images", "sampler_name", "initial_noise_multiplier"}
    taken |= {"do_not_save_samples", "do_not_save_grid", "seed", "subseed"}
    for field in fields(Img2ImgRequest):
        if field.name not in taken:
            assert getattr(request, field.name) == getattr(fresh, field.name), field.name
    assert request.initial_noise_multiplier == 1.0


def test_null_is_the_default_of_every_field(server: Live) -> None:
    request = painted(
        server, **{row.name: None for row in IMG2IMG if row.name not in ("init_images", "width", "height")}
    )
    assert (request.denoising_strength, request.mask_blur_x, request.inpaint_full_res) == (0.75, 4, True)


def test_every_field_of_the_painter_can_be_sent() -> None:
    assert {field.name for field in fields(Img2ImgRequest)} - {"user"} <= {row.name for row in IMG2IMG}


def test_reply_repeats_pictures_only_when_asked(server: Live) -> None:
    mask = encoded(Image.new("L", (16, 8), 255))
    answer = ask(server, mask=mask, seed=5).json()
    assert list(answer) == ["images", "parameters", "info"]
    assert answer["parameters"]["init_images"] is None and answer["parameters"]["mask"] is None
    assert answer["parameters"]["seed"] == 5
    answer = ask(server, mask=mask, include_init_images=True).json()
    assert answer["parameters"]["init_images"] == [PICTURE] and answer["parameters"]["mask"] == mask


def test_data_urls_are_taken(server: Live) -> None:
    request = painted(server, init_images=[f"data:image/png;base64,{PICTURE}"])
    assert request.init_images[0].size == (16, 8)


def test_task_id_names_the_kind(server: Live) -> None:
    ask(server)
    assert any(one.startswith("task(img2img-") for one in server.services.queue.finished)


class TestNoiseMultiplier:
    """As in the reference, the setting is read before the overrides of the request."""

    def test_overrides_do_not_reach_it(self, server: Live) -> None:
        request = painted(server, override_settings={"initial_noise_multiplier": 1.1})
        assert request.initial_noise_multiplier == 1.0

    def test_a_generation_text_does(self, server: Live) -> None:
        text = "a cat\nSteps: 3, Sampler: Euler, Seed: 9, Noise multiplier: 0.8"
        request = painted(server, infotext=text)
        assert (request.initial_noise_multiplier, request.seed) == (0.8, 9)


def test_generation_text_fills_what_the_reference_fills(server: Live) -> None:
    text = "a cat\nSteps: 30, Sampler: Heun, CFG scale: 3, Seed: 9, Size: 64x64, Denoising strength: 0.1"
    body = {"width": 8, "height": 8, "init_images": [PICTURE], "infotext": text}
    assert server.client.post("/sdapi/v1/img2img", json=body).status_code == 200
    request = server.painter.seen[-1][0]
    assert (request.steps, request.seed, request.sampler_name) == (30, 9, "Heun")
    assert (request.cfg_scale, request.width, request.denoising_strength, request.prompt) == (
        7.0,
        8,
        0.75,
        "",
    )


def test_missing_picture_is_not_found(server: Live) -> None:
    answer = server.client.post("/sdapi/v1/img2img", json={"width": 8, "height": 8})
    assert answer.status_code == 404
    assert "Init image not found" in answer.json()["detail"]


def bomb() -> str:
    """The head of a PNG of 100,000 × 100,000 pixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = b""
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunks).decode()


SVG = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>').decode()
CUT = base64.b64encode(base64.b64decode(encoded(Image.effect_noise((64, 64), 90)))[:-900]).decode()


@pytest.mark.parametrize("text", ["", "garbage!", "AAAA", "data:image/png;base64", SVG, bomb(), CUT])
@pytest.mark.parametrize("field", ["init_images", "mask"])
def test_what_is_no_picture_is_refused(server: Live, field: str, text: str) -> None:
    if field == "mask" and not text:
        assert painted(server, mask="").mask is None
        return
    detail = refused(server, **{field: [text] if field == "init_images" else text})
    assert detail["loc"] == ["body", field] and field in detail["msg"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"init_images": []}, "init_images"),
        ({"init_images": [7]}, "init_images"),
        ({"init_images": [PICTURE] * 3, "batch_size": 2}, "init_images"),
        ({"init_images": "text"}, "init_images"),
        ({"resize_mode": 9}, "resize_mode"),
        ({"denoising_strength": 2}, "denoising_strength"),
        ({"inpainting_fill": "abc"}, "inpainting_fill"),
        ({"width": 7}, "width"),
    ],
)
def test_bad_fields_are_named(server: Live, body: dict[str, Any], field: str) -> None:
    assert refused(server, **body)["loc"][1] == field


@pytest.fixture(scope="module")
def narrow() -> Iterator[Live]:
    with live(lambda services: replace(services, max_pixels=200)) as running:
        yield running


def test_pictures_share_the_limit_of_pixels(narrow: Live) -> None:
    assert ask(narrow).status_code == 200
    assert "pixels" in refused(narrow, init_images=[PICTURE, PICTURE], batch_size=2)["msg"]


class TestConversion:
    """What decoders give becomes 8 bits of grey, colour, or colour with transparency."""

    def test_orientation(self, server: Live) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        image = Image.new("RGB", (16, 8), "white")
        image.paste("black", (0, 0, 8, 8))
        request = painted(server, init_images=[encoded(image, "JPEG", exif=exif, quality=100)])
        turned = request.init_images[0]
        assert turned.size == (8, 16)
        assert np.asarray(turned)[:8].mean() < 20 and np.asarray(turned)[8:].mean() > 230

    def test_palette_with_transparency(self, server: Live) -> None:
        image = Image.new("P", (4, 4), 0)
        image.putpalette([255, 0, 0, 0, 255, 0])
        image.putpixel((0, 0), 1)
        request = painted(server, init_images=[encoded(image, transparency=0)])
        assert request.init_images[0].mode == "RGBA"
        assert request.init_images[0].getpixel((0, 0)) == (0, 255, 0, 255)
        assert request.init_images[0].getpixel((1, 1))[3] == 0

    def test_cmyk(self, server: Live) -> None:
        image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
        colour = painted(server, init_images=[encoded(image, "TIFF")]).init_images[0].getpixel((0, 0))
        assert colour == (255, 0, 0)

    def test_sixteen_bits(self, server: Live) -> None:
        values = np.array([[0, 0x7FFF, 0xFFFF]], dtype=np.uint16)
        image = painted(server, init_images=[encoded(Image.fromarray(values))]).init_images[0]
        assert image.mode == "L" and [image.getpixel((x, 0)) for x in range(3)] == [0, 127, 255]

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"])
    def test_every_mode(self, mode: str) -> None:
        assert eight_bit(Image.new(mode, (1, 1))).mode in ("L", "RGB", "RGBA")

    def test_floats(self) -> None:
        values = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
        image = eight_bit(Image.fromarray(values))
        assert [image.getpixel((x, 0)) for x in range(4)] == [0, 128, 255, 0]


def test_info_is_json(server: Live) -> None:
    assert json.loads(ask(server).json()["info"])
