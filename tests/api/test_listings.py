"""Listings, settings, flags and picture texts."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from modules.api.services import ApiServices
from tests.api.live import Live, live

SAMPLERS = ({"name": "Euler", "aliases": ["k_euler"], "options": {"uses_ensd": True, "scheduler": "karras"}},)
SCHEDULERS = (
    {"name": "karras", "label": "Karras", "aliases": None, "default_rho": 7.0, "need_inner_model": False},
)
STYLES = ({"name": "film", "prompt": "grainy", "negative_prompt": None},)


@pytest.fixture(scope="module")
def tables() -> Any:
    def fill(services: ApiServices) -> ApiServices:
        return replace(
            services,
            samplers=lambda: SAMPLERS,
            schedulers=lambda: SCHEDULERS,
            styles=lambda: STYLES,
            vaes=lambda: ({"model_name": "v", "filename": "/v"},),
            startup_profile=lambda: {"total": 1.5, "records": {"launcher": 0.5}},
        )

    with live(fill) as running:
        yield running


def get(server: Live, path: str) -> Any:
    answer = server.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_tables_come_as_they_are(tables: Live) -> None:
    assert get(tables, "/sdapi/v1/schedulers") == list(SCHEDULERS)
    assert get(tables, "/sdapi/v1/prompt-styles") == list(STYLES)
    assert get(tables, "/sdapi/v1/sd-vae") == [{"model_name": "v", "filename": "/v"}]
    assert get(tables, "/internal/profile-startup") == {"total": 1.5, "records": {"launcher": 0.5}}


def test_options_of_samplers_are_text(tables: Live) -> None:
    (row,) = get(tables, "/sdapi/v1/samplers")
    assert row["options"] == {"uses_ensd": "True", "scheduler": "karras"}


def test_empty_listings(server: Live) -> None:
    assert get(server, "/sdapi/v1/embeddings") == {"loaded": {}, "skipped": {}}
    assert get(server, "/sdapi/v1/scripts") == {"txt2img": [], "img2img": []}
    assert get(server, "/sdapi/v1/script-info") == []


def test_checkpoints_also_with_names_that_are_no_text(server: Live) -> None:
    first, second = get(server, "/sdapi/v1/sd-models")
    assert first["title"] == "a.safetensors [0123456789]" and first["hash"] == "0123456789"
    assert first["config"] is None
    assert second["hash"] is None and second["config"] == "/models/b.yaml"
    assert second["filename"] == "/models/b?.safetensors"


def test_refreshing_looks_again(server: Live) -> None:
    before = server.services.checkpoints.refreshed  # type: ignore[attr-defined]
    answer = server.client.post("/sdapi/v1/refresh-checkpoints")
    assert answer.status_code == 200 and answer.json() is None
    assert server.services.checkpoints.refreshed == before + 1  # type: ignore[attr-defined]


def test_memory(server: Live) -> None:
    assert set(get(server, "/sdapi/v1/memory")) == {"ram", "cuda"}


class TestOptions:
    """Each test has a server of its own, since it changes settings."""

    @pytest.fixture
    def saved(self) -> list[int]:
        return []

    @pytest.fixture
    def own(self, saved: list[int]) -> Any:
        with live(lambda services: replace(services, save_settings=lambda: saved.append(1))) as running:
            yield running

    def test_what_is_written_is_read_and_stored(self, own: Live, saved: list[int]) -> None:
        answer = own.client.post("/sdapi/v1/options", json={"jpeg_quality": 71, "samples_format": "jpg"})
        assert answer.status_code == 200 and answer.json() is None
        assert get(own, "/sdapi/v1/options")["jpeg_quality"] == 71
        assert saved == [1]

    def test_all_that_is_read_can_be_written_back(self, own: Live, saved: list[int]) -> None:
        values = get(own, "/sdapi/v1/options")
        assert len(values) >= 324
        answer = own.client.post("/sdapi/v1/options", json=values)
        assert answer.status_code == 200, answer.text
        assert get(own, "/sdapi/v1/options") == values
        assert saved == []

    @pytest.mark.parametrize(
        ("body", "status", "said"),
        [
            ({"jpeg_quality": 5, "no_such_setting": 1}, 422, "no_such_setting"),
            (
                {"jpeg_quality": 5, "samples_save": "perhaps so", "CLIP_stop_at_last_layers": []},
                422,
                "CLIP_stop",
            ),
            ({"jpeg_quality": 5, "sd_model_checkpoint": "nowhere"}, 404, "nowhere"),
        ],
    )
    def test_nothing_is_changed_when_one_value_is_unfit(
        self, own: Live, saved: list[int], body: dict[str, Any], status: int, said: str
    ) -> None:
        answer = own.client.post("/sdapi/v1/options", json=body)
        assert answer.status_code == status
        assert said in answer.text
        assert get(own, "/sdapi/v1/options")["jpeg_quality"] == 80
        assert saved == []

    def test_settings_that_guard_the_interface_are_passed_over(self, own: Live) -> None:
        before = get(own, "/sdapi/v1/options")["api_enable_requests"]
        answer = own.client.post("/sdapi/v1/options", json={"api_enable_requests": not before})
        assert answer.status_code == 200
        assert get(own, "/sdapi/v1/options")["api_enable_requests"] == before

    @pytest.mark.parametrize("name", ["a", "a.safetensors [0123456789]"])
    def test_known_checkpoint_is_taken(self, own: Live, name: str) -> None:
        assert own.client.post("/sdapi/v1/options", json={"sd_model_checkpoint": name}).status_code == 200
        assert get(own, "/sdapi/v1/options")["sd_model_checkpoint"] == name

    def test_change_while_a_picture_is_painted_reaches_the_next_one(self, own: Live) -> None:
        own.txt2img(prompt="before")
        own.client.post("/sdapi/v1/options", json={"CLIP_stop_at_last_layers": 2})
        own.txt2img(prompt="after")
        assert [settings.CLIP_stop_at_last_layers for _, settings in own.painter.seen] == [1, 2]


def test_frozen_settings_are_refused() -> None:
    with live(freeze_settings=True) as frozen:
        answer = frozen.client.post("/sdapi/v1/options", json={"jpeg_quality": 5})
        assert answer.status_code == 403
        assert "--freeze-settings" in answer.json()["detail"]


def test_flags_are_shown_without_secrets() -> None:
    with live(ngrok="token", gradio_auth="me:secret", port=7) as server:
        shown = get(server, "/sdapi/v1/cmd-flags")
        assert shown["ngrok"] == shown["gradio_auth"] == "(hidden)"
        assert shown["port"] == 7 and shown["api_auth"] is None
        assert "secret" not in str(shown) and "token" not in str(shown)


def test_hints_name_settings(server: Live) -> None:
    hints = get(server, "/internal/quicksettings-hint")
    assert {"name": "samples_format", "label": "File format for images"} in hints


def png(text: str | None, size: tuple[int, int] = (8, 8), **items: str) -> str:
    chunks = PngImagePlugin.PngInfo()
    for key, value in ({"parameters": text} if text else {}).items() | items.items():
        chunks.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG", pnginfo=chunks)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_text_of_a_picture(server: Live, prefix: str) -> None:
    text = "a cat 🐈\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 7, Size: 512x640"
    answer = server.client.post("/sdapi/v1/png-info", json={"image": prefix + png(text, Software="x")})
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert content["info"] == text
    assert content["items"] == {"Software": "x"}
    assert content["parameters"]["Seed"] == "7" and content["parameters"]["Size-2"] == "640"


def test_picture_without_text(server: Live) -> None:
    content = server.client.post("/sdapi/v1/png-info", json={"image": png(None)}).json()
    assert content["info"] == "" and content["items"] == {}
    assert content["parameters"]["Clip skip"] == "1"


def bomb() -> str:
    """A PNG whose header promises 100,000 × 100,000 pixels."""
    data = bytearray(base64.b64decode(png(None)))
    import struct
    import zlib

    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return base64.b64encode(bytes(data)).decode()


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ("", 422),
        ("%%%", 422),
        ("data:image/png;base64", 422),
        ("data:image/png,abc", 422),
        (base64.b64encode(b"no picture").decode(), 422),
        (base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n").decode(), 422),
        (base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode(), 422),
        (bomb(), 422),
        ("http://127.0.0.1/picture.png", 403),
        ("HTTPS://example.com/picture.png", 403),
    ],
)
def test_what_is_no_picture_is_refused(server: Live, image: str, status: int) -> None:
    answer = server.client.post("/sdapi/v1/png-info", json={"image": image})
    assert answer.status_code == status, answer.text
    assert "image" in answer.text and len(answer.content) < 1000


def test_body_without_picture_names_the_field(server: Live) -> None:
    answer = server.client.post("/sdapi/v1/png-info", json={})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"] == "image is missing; it is required."
