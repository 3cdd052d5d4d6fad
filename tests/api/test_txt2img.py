"""POST /sdapi/v1/txt2img: what goes in, what comes out, and what must not."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from PIL import Image

from modules.errors import InvalidInput, OutOfMemoryError
from tests.api.live import Live, live


def decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def refused(server: Live, **body: Any) -> Any:
    """The detail of the one field that a request is refused for."""
    answer = server.client.post("/sdapi/v1/txt2img", json={"width": 8, "height": 8, **body})
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert len(detail) == 1
    return detail[0]


def test_pictures_parameters_and_info_come_back(server: Live) -> None:
    answer = server.txt2img(prompt="a kite", seed=7, steps=3, batch_size=2, n_iter=2)
    assert list(answer) == ["images", "parameters", "info"]
    assert [decoded(one).getpixel((0, 0)) for one in answer["images"]] == [(7, 3, n) for n in range(4)]
    assert decoded(answer["images"][0]).info["parameters"] == "a kite\nSteps: 3, Seed: 7"
    assert json.loads(answer["info"])["prompt"] == "a kite"
    assert answer["parameters"]["seed"] == 7
    assert answer["parameters"]["sampler_index"] == "Euler"
    assert answer["parameters"]["subseed_strength"] == 0
    assert "unknown" not in answer["parameters"]


def test_empty_body_object_has_the_defaults(server: Live) -> None:
    answer = server.client.post("/sdapi/v1/txt2img", json={})
    assert answer.status_code == 200
    request, _ = server.painter.seen[-1]
    assert (request.steps, request.width, request.cfg_scale, request.sampler_name) == (50, 512, 7.0, "Euler")


def test_fields_are_converted_as_clients_expect(server: Live) -> None:
    server.txt2img(
        steps="3",
        width=8.9,
        height="16",
        cfg_scale="7",
        seed=5.0,
        prompt=42,
        tiling="true",
        eta="0.5",
        unknown=1,
    )
    request, _ = server.painter.seen[-1]
    assert (request.steps, request.width, request.height, request.seed) == (3, 8, 16, 5)
    assert (request.prompt, request.tiling, request.eta) == ("42", True, 0.5)
    assert isinstance(request.cfg_scale, float)


def test_null_is_the_default_of_every_field(server: Live) -> None:
    names = server.txt2img()["parameters"]
    answer = server.client.post("/sdapi/v1/txt2img", json=dict.fromkeys(names) | {"width": 8, "height": 8})
    assert answer.status_code == 200, answer.text
    request, _ = server.painter.seen[-1]
    assert (request.steps, request.styles, request.batch_size) == (50, [], 1)
    assert request.seed >= 0 and request.subseed >= 0, "drawn before the job is queued"


def test_sampler_name_goes_before_sampler_index(server: Live) -> None:
    server.txt2img(sampler_name="DPM++ 2M", sampler_index="Heun")
    assert server.painter.seen[-1][0].sampler_name == "DPM++ 2M"
    server.txt2img(sampler_index="Heun")
    assert server.painter.seen[-1][0].sampler_name == "Heun"


@pytest.mark.parametrize("save", [True, False])
def test_saving_is_decided_by_save_images(server: Live, save: bool) -> None:
    server.txt2img(save_images=save, do_not_save_samples=save)
    request, _ = server.painter.seen[-1]
    assert request.do_not_save_samples is not save and request.do_not_save_grid is not save


def test_images_can_be_left_out(server: Live) -> None:
    answer = server.txt2img(send_images=False)
    assert answer["images"] == [] and json.loads(answer["info"])


def test_settings_of_a_request_stay_in_the_request(server: Live) -> None:
    answer = server.txt2img(override_settings={"CLIP_stop_at_last_layers": 2})
    assert json.loads(answer["info"])["clip_skip"] == 2
    assert json.loads(server.txt2img()["info"])["clip_skip"] == 1
    assert server.painter.seen[-2][1].CLIP_stop_at_last_layers == 2


def test_settings_of_a_request_may_be_kept() -> None:
    with live() as server:
        keep = {
            "override_settings": {"CLIP_stop_at_last_layers": 3},
            "override_settings_restore_afterwards": False,
        }
        server.txt2img(**keep)
        assert json.loads(server.txt2img()["info"])["clip_skip"] == 3


@pytest.mark.parametrize(
    ("format_name", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP")]
)
def test_pictures_come_in_the_format_of_the_settings(server: Live, format_name: str, kind: str) -> None:
    answer = server.txt2img(override_settings={"samples_format": format_name})
    assert decoded(answer["images"][0]).format == kind


def test_infotext_can_be_left_out_of_the_file(server: Live) -> None:
    answer = server.txt2img(override_settings={"enable_pnginfo": False})
    assert decoded(answer["images"][0]).info == {}


def test_unknown_format_is_a_sentence(server: Live) -> None:
    body = {"width": 8, "height": 8, "override_settings": {"samples_format": "psd"}}
    answer = server.client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 422
    assert "psd" in answer.json()["detail"] and "png" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"steps": 0}, "steps", "1 to"),
        ({"steps": 10_000}, "steps", "1 to"),
        ({"width": 0}, "width", "8 to"),
        ({"height": 7}, "height", "8 to"),
        ({"width": 65_537}, "width", "8 to"),
        ({"batch_size": 10**6}, "batch_size", "1 to"),
        ({"n_iter": 10**6}, "n_iter", "1 to"),
        ({"seed": "abc"}, "seed", "abc"),
        ({"seed": 2**70}, "seed", "-1 to"),
        ({"cfg_scale": "nan"}, "cfg_scale", "finite"),
        ({"cfg_scale": "-inf"}, "cfg_scale", "finite"),
        ({"cfg_scale": []}, "cfg_scale", "number"),
        ({"styles": "one"}, "styles", "list"),
        ({"prompt": {}}, "prompt", "string"),
        ({"override_settings": [1]}, "override_settings", "dictionary"),
        ({"override_settings": {"no_such_setting": 1}}, "no_such_setting", "no setting"),
        ({"force_task_id": "x" * 300}, "force_task_id", "300"),
    ],
)
def test_bad_fields_are_named(server: Live, body: dict[str, Any], field: str, said: str) -> None:
    painted = len(server.painter.seen)
    detail = refused(server, **body)
    assert detail["loc"] == ["body", field]
    assert field in detail["msg"] and said in detail["msg"]
    assert len(server.painter.seen) == painted


def test_one_step_works(server: Live) -> None:
    assert len(server.txt2img(steps=1)["images"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"cfg_scale": NaN}',
        b'{"cfg_scale": Infinity}',
        b'{"cfg_scale": -Infinity}',
        b'{"cfg_scale": 1e999}',
        b'{"steps": ' + b"9" * 5000 + b"}",
        b'{"prompt": "open',
        b"{",
        b"",
        b"[1, 2]",
        b'"text"',
        b"\xff\xfe{}",
        b"[" * 100_000,
    ],
)
def test_broken_json_is_refused(server: Live, body: bytes) -> None:
    answer = server.client.post(
        "/sdapi/v1/txt2img", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["msg"]
    assert len(answer.content) < 2000


@pytest.mark.parametrize("prompt", ["\0", "🦊" * 100, "((((" * 2500, "x" * 1_000_000, "\u202e<b>"])
def test_strange_prompts_arrive_as_they_are(server: Live, prompt: str) -> None:
    answer = server.txt2img(prompt=prompt)
    assert json.loads(answer["info"])["prompt"] == prompt
    assert answer["parameters"]["prompt"] == prompt


def test_lone_surrogates_are_replaced(server: Live) -> None:
    body = b'{"prompt": "a\\ud800b \\ud83e\\udd8a", "width": 8, "height": 8, "steps": 1}'
    answer = server.client.post(
        "/sdapi/v1/txt2img", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200
    assert answer.json()["parameters"]["prompt"] == "a\ufffdb 🦊"


@pytest.mark.parametrize(
    "body", [{"script_name": "X/Y/Z plot"}, {"alwayson_scripts": {"ADetailer": {"args": []}}}]
)
def test_scripts_that_are_not_there_are_named(server: Live, body: dict[str, Any]) -> None:
    answer = server.client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 422
    assert "not found" in answer.json()["detail"]
    assert set(answer.json()) == {"error", "detail", "body", "errors"}


def test_settings_that_guard_the_interface_cannot_be_overridden(server: Live) -> None:
    answer = server.client.post(
        "/sdapi/v1/txt2img", json={"override_settings": {"api_forbid_local_requests": False}}
    )
    assert answer.status_code == 403
    assert "api_forbid_local_requests" in answer.json()["detail"]


def test_infotext_fills_what_is_not_given(server: Live) -> None:
    text = (
        "a cat, (detailed:1.1)\nNegative prompt: blurry\nSteps: 7, Sampler: DPM++ 2M, Schedule type: Karras, "
        "CFG scale: 5.5, Seed: 4242, Size: 16x24, Seed resize from: 320x256, Clip skip: 2, RNG: NV"
    )
    answer = server.client.post("/sdapi/v1/txt2img", json={"infotext": text, "steps": 3}).json()
    request, settings = server.painter.seen[-1]
    assert (request.prompt, request.negative_prompt) == ("a cat, (detailed:1.1)", "blurry")
    assert (request.steps, request.seed, request.cfg_scale) == (3, 4242, 5.5)
    assert (request.sampler_name, request.scheduler) == ("DPM++ 2M", "Karras")
    assert (request.width, request.height) == (16, 24)
    assert (request.seed_resize_from_w, request.seed_resize_from_h) == (320, 256)
    assert (request.enable_hr, request.hr_checkpoint_name, request.hr_sampler_name) == (False, None, None)
    assert (settings.CLIP_stop_at_last_layers, settings.randn_source) == (2, "NV")
    assert answer["parameters"]["width"] == 16


def test_infotext_of_a_hires_picture_ticks_hires(server: Live) -> None:
    text = (
        "a cat\nSteps: 2, Sampler: Euler, CFG scale: 5, Seed: 1, Size: 8x8, Denoising strength: 0.5, "
        "Hires upscale: 1.5, Hires steps: 3, Hires upscaler: Latent"
    )
    server.client.post("/sdapi/v1/txt2img", json={"infotext": text})
    request, _ = server.painter.seen[-1]
    assert request.enable_hr and request.denoising_strength == 0.5
    assert (request.hr_scale, request.hr_second_pass_steps, request.hr_upscaler) == (1.5, 3, "Latent")


def test_forged_infotext_reaches_no_other_setting(server: Live) -> None:
    text = (
        "a\nSteps: 2, Sampler: Euler, CFG scale: 1, Seed: 1, Size: 8x8, outdir_samples: /etc, "
        "api_enable_requests: False, Clip skip: no number"
    )
    assert server.client.post("/sdapi/v1/txt2img", json={"infotext": text}).status_code == 200
    _, settings = server.painter.seen[-1]
    present = server.services.options.view()
    assert settings.outdir_samples == present.outdir_samples
    assert settings.api_enable_requests == present.api_enable_requests
    assert settings.CLIP_stop_at_last_layers == 1


def test_explicit_override_goes_before_infotext(server: Live) -> None:
    text = "a\nSteps: 2, Sampler: Euler, CFG scale: 1, Seed: 1, Size: 8x8, Clip skip: 2"
    body = {"infotext": text, "override_settings": {"CLIP_stop_at_last_layers": 4}}
    server.client.post("/sdapi/v1/txt2img", json=body)
    assert server.painter.seen[-1][1].CLIP_stop_at_last_layers == 4


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (ValueError("torn"), 500, "ValueError"),
        (InvalidInput("The prompt cannot be."), 422, "InvalidInput"),
        (OutOfMemoryError("Too large."), 507, "OutOfMemoryError"),
        (MemoryError("gone"), 507, "OutOfMemoryError"),
    ],
)
def test_failing_job_answers_with_the_error_object(
    server: Live, error: BaseException, status: int, name: str
) -> None:
    server.painter.error = error
    answer = server.client.post("/sdapi/v1/txt2img", json={"width": 8, "height": 8})
    assert answer.status_code == status
    content = answer.json()
    assert set(content) == {"error", "detail", "body", "errors"}
    assert content["error"] == name and content["errors"]
    assert server.txt2img()["images"]


def test_sixty_four_clients_get_their_own_pictures(server: Live) -> None:
    """Each asks for its own size, seed, batch and settings, all at once."""

    def ask(number: int) -> None:
        body = {
            "prompt": f"client {number}",
            "seed": number,
            "width": 8 + 8 * (number % 5),
            "height": 8 + 8 * (number % 3),
            "batch_size": 1 + number % 3,
            "steps": 1 + number % 7,
            "override_settings": {"CLIP_stop_at_last_layers": 1 + number % 4},
        }
        with httpx.Client(base_url=server.url, timeout=60, verify=False) as client:
            answer = client.post("/sdapi/v1/txt2img", json=body).json()
        pictures = [decoded(one) for one in answer["images"]]
        assert len(pictures) == body["batch_size"]
        for index, picture in enumerate(pictures):
            assert picture.size == (body["width"], body["height"])
            assert picture.getpixel((0, 0)) == (number, body["steps"], index)
            assert picture.info["parameters"].startswith(f"client {number}\n")
        info = json.loads(answer["info"])
        assert info == {"prompt": f"client {number}", "seed": number, "clip_skip": 1 + number % 4}

    with ThreadPoolExecutor(64) as clients:
        for one in [clients.submit(ask, number) for number in range(64)]:
            one.result()


def test_a_picture_in_place_of_the_first_pass_counts_with_hires_fix_alone(server: Live) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 8), (9, 8, 7, 255)).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    server.txt2img(firstpass_image=text, enable_hr=True, denoising_strength=0.5)
    request, _ = server.painter.seen[-1]
    assert (request.firstpass_image.size, request.firstpass_image.mode) == ((16, 8), "RGB")
    server.txt2img(firstpass_image="no picture")
    assert server.painter.seen[-1][0].firstpass_image is None
    detail = refused(server, firstpass_image="no picture", enable_hr=True, denoising_strength=0.5)
    assert detail["loc"] == ["body", "firstpass_image"]
