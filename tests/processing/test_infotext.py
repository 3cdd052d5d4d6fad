from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.options.settings import default_options
from modules.processing.infotext import InfotextFields, create_infotext, quote, unquote
from modules.processing.infotext_lexer import find_pairs
from modules.processing.infotext_parsing import parse_infotext
from modules.processing.version import COMPATIBLE_VERSION
from tests.paths import DATA, GOLDENS, HAVE_GOLDENS

EXAMPLES = json.loads((DATA / "infotext_examples.json").read_text(encoding="utf-8"))
VIEW = default_options().view()
KITE = InfotextFields("a red kite", 20, "Euler a", "Automatic", 7, 7, 512, 640)


def fields_of_example(given_input: dict[str, Any], settings: Any) -> InfotextFields:
    """The fields as a painter would fill them for the example's request."""
    taken_elsewhere = {"sampler_name", "scheduler", "restore_faces", "extra", "sets"}
    simple = {name: value for name, value in given_input.items() if name not in taken_elsewhere}
    extras = dict(given_input.get("extra", {}))
    if extras.get("F") == "function returning i<index>":
        extras["F"] = lambda index, **_: f"i{index}"
    return InfotextFields(
        sampler=given_input["sampler_name"],
        scheduler=given_input["scheduler"],
        model_hash="0123456789",
        model_name="photo_v2",
        face_restoration="CodeFormer" if given_input.get("restore_faces") else None,
        clip_skip=settings.CLIP_stop_at_last_layers,
        token_merging_ratio=settings.token_merging_ratio,
        uses_ensd=given_input["sampler_name"] == "Euler a",
        extras=extras,
        **simple,
    )


@pytest.mark.parametrize("example", EXAMPLES["examples_create"], ids=lambda example: example["case"])
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    settings = VIEW.with_overrides(example["input"].get("sets", {}))
    assert create_infotext(fields_of_example(example["input"], settings), settings) == example["output"]


@pytest.mark.parametrize("example", EXAMPLES["examples_quote"], ids=lambda example: str(example["input"]))
def test_quoting(example: dict[str, Any]) -> None:
    assert quote(example["input"]) == example["quoted"]
    if isinstance(example["input"], str):
        assert unquote(example["quoted"]) == example["input"]


@given(st.text())
def test_quoted_text_comes_back(text: str) -> None:
    written = quote(text)
    if written != text:
        assert unquote(written) == text
        assert "\n" not in written


@pytest.mark.parametrize("text", ['"', '""', '"a', '"\\x"', '"a"b"', "plain"])
def test_text_that_is_no_json_string_stays(text: str) -> None:
    assert unquote(text) in (text, "")


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, (3, 4)])
def test_values_of_other_types_are_written_so_that_they_can_be_read(value: Any) -> None:
    text = create_infotext(InfotextFields(**{**vars(KITE), "extras": {"Odd": [value]}}), VIEW)
    assert parse_infotext(text)["Odd"] == str(value)
    assert parse_infotext(text)["Version"] == COMPATIBLE_VERSION


def test_the_whole_base_block_in_order() -> None:
    settings = VIEW.with_overrides(
        {"randn_source": "NV", "eta_noise_seed_delta": 31337, "add_user_name_to_info": True}
    )
    fields = InfotextFields(
        "p", 1, "Euler", "Karras", 7.0, 5, 8, 16,
        image_cfg_scale=1.5, face_restoration="GFPGAN", model_hash="mh", model_name="m",
        fp8="Enable", cache_fp16_weight=True, vae_hash="vh", vae_name="v.pt", subseed=9,
        subseed_strength=0.5, seed_resize_from_w=1, seed_resize_from_h=2, denoising_strength=0.0,
        conditional_mask_weight=0.5, clip_skip=2, uses_ensd=True, token_merging_ratio=0.1,
        token_merging_ratio_hr=0.2, init_image_hash="ih", tiling=True, user="ann",
    )  # fmt: skip
    assert create_infotext(fields, settings).split("\n")[1] == (
        "Steps: 1, Sampler: Euler, Schedule type: Karras, CFG scale: 7.0, Image CFG scale: 1.5, Seed: 5, "
        "Face restoration: GFPGAN, Size: 8x16, Model hash: mh, Model: m, FP8 weight: Enable, "
        "Cache FP16 weight for LoRA: True, VAE hash: vh, VAE: v.pt, Variation seed: 9, "
        "Variation seed strength: 0.5, Seed resize from: 1x2, Denoising strength: 0.0, "
        "Conditional mask weight: 0.5, Clip skip: 2, ENSD: 31337, Token merging ratio: 0.1, "
        "Token merging ratio hr: 0.2, Init image hash: ih, RNG: NV, Tiling: True, Version: v1.10.1, User: ann"
    )


def test_lists_are_indexed_and_functions_called_with_the_context() -> None:
    calls: list[dict[str, Any]] = []

    def entry(**keywords: Any) -> str:
        calls.append(keywords)
        return f"{keywords['p']}-{keywords['index']}"

    fields = InfotextFields(**{**vars(KITE), "extras": {"L": ["a", "b"], "F": entry, "N": [None, 1]}})
    text = create_infotext(fields, VIEW, index=1, context={"p": "job", "all_seeds": [7, 8]})
    assert "L: b, F: job-1, N: 1, Version" in text
    assert calls[0]["prompt_text"] == "a red kite"
    assert calls[0]["all_seeds"] == [7, 8]
    assert "N" not in create_infotext(fields, VIEW, context={"p": "job"}).replace("NV", "")


def test_a_broken_entry_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError("extension defect")

    fields = InfotextFields(**{**vars(KITE), "extras": {"Short": ["only one"], "Bad": broken, "Good": 1}})
    text = create_infotext(fields, VIEW, index=3)
    assert text.endswith("Size: 512x640, Good: 1, Version: v1.10.1")
    assert "'Short'" in caplog.text
    assert "'Bad'" in caplog.text


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the goldens are not beside the checkout")
def test_texts_of_plain_goldens_are_reproduced() -> None:
    compared = 0
    for path in sorted((GOLDENS / "cases").glob("basic*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        compared += _compare(path, case)
    assert compared >= 5


def _compare(path: Path, case: dict[str, Any]) -> int:
    info = case["info"]
    settings = VIEW.with_overrides({"randn_source": "CPU", **case["request"].get("override_settings", {})})
    scheduler = case["request"].get("scheduler") or "Automatic"
    for index, expected in enumerate(case["infotexts"]):
        fields = InfotextFields(
            prompt=info["all_prompts"][index],
            negative_prompt=info["all_negative_prompts"][index],
            steps=info["steps"],
            sampler=info["sampler_name"],
            scheduler=scheduler,
            cfg_scale=info["cfg_scale"],
            seed=info["all_seeds"][index],
            width=info["width"],
            height=info["height"],
            model_hash=info["sd_model_hash"],
            model_name=info["sd_model_name"],
            clip_skip=info["clip_skip"],
            extras=info["extra_generation_params"],
        )
        assert create_infotext(fields, settings) == expected, path.name
    return len(case["infotexts"])


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][a-z]{2,8}( [a-z]{2,6})?", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=20),
        min_size=3,
    )
)
def test_every_written_line_is_read_back(extras: dict[str, str]) -> None:
    fields = InfotextFields(**{**vars(KITE), "extras": extras})
    line = create_infotext(fields, VIEW).split("\n")[-1]
    pairs = dict(find_pairs(line))
    for key, value in extras.items():
        # Written as the key alone, or a text that itself looks quoted: the format cannot tell these.
        if key != value and not value.startswith('"'):
            assert unquote(pairs[key]) == value
