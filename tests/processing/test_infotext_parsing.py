from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modules.options.settings import default_options
from modules.processing.infotext_compat import (
    TextVersion,
    append_additional_networks,
    old_first_pass_size,
    parse_version,
)
from modules.processing.infotext_lexer import find_pairs, split_infotext
from modules.processing.infotext_parsing import PasteSettings, parse_infotext, uses_emphasis
from modules.prompts.styles import PromptStyle, StyleDatabase
from tests.paths import DATA, GOLDENS, HAVE_GOLDENS

EXAMPLES = json.loads((DATA / "infotext_examples.json").read_text(encoding="utf-8"))
LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 7, Size: 512x640"
# The grammar as the reference states it; quadratic on long lines, so only for short ones here.
GRAMMAR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def example_styles() -> StyleDatabase:
    styles = StyleDatabase([])
    for style in (
        PromptStyle("cine", "{prompt}, cinematic", "ugly"),
        PromptStyle("tail", "film grain", ""),
    ):
        styles.styles[style.name] = style
    return styles


@pytest.mark.parametrize("case", EXAMPLES["examples_parse"], ids=lambda case: case["case"])
def test_examples_of_the_contract(case: dict[str, Any]) -> None:
    expected = {**EXAMPLES["parse_defaults"], **case["changed_or_added"]}
    for key in case.get("absent_defaults", []):
        del expected[key]
    options = PasteSettings(**case.get("settings", {}))
    assert parse_infotext(case["input"], options, example_styles()) == expected


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the goldens are not beside the checkout")
def test_all_goldens_with_keys_in_order() -> None:
    styles = StyleDatabase([GOLDENS / "models" / "styles.csv"])
    view = default_options().view()
    cases = json.loads((GOLDENS / "units" / "infotext_parse.json").read_text(encoding="utf-8"))
    for case in cases:
        result = parse_infotext(case["infotext"], view, styles)
        assert result == case["params"]
        assert list(result) == list(case["params"])
    assert len(cases) > 400


def as_regex(line: str) -> tuple[tuple[str, str], ...]:
    return tuple(GRAMMAR.findall(line))


@settings(max_examples=500)
@given(st.text(alphabet='ab1_ -/:,"\\\té(', max_size=40))
@example('ab: "x, y", cd: "u"v, ef: "", gh:')
@example('ab: "unclosed, cd: 5')
@example("- a: 1, -ab: 2, a b c:3,:,a:,")
@example('ab:  \t "q" , cd: \\"e"')
@example("ab: x, y: z, cd/e-f: 1x1")
def test_pairs_are_those_of_the_grammar(line: str) -> None:
    assert find_pairs(line) == as_regex(line)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "a b" * 300_000 + "\n" + "word " * 200_000,
        "x\n" * 500_000,
        "ab: " * 250_000,
        'ab: "' * 200_000,
        'ab: "' + '\\"' * 500_000,
        'ab: "\\", ' * 100_000,
        "a:" * 500_000,
        "(" * 10_000 + "p\n" + LINE,
        "[" * 500_000 + "\n" + LINE,
        "Negative prompt:" * 60_000 + "\n" + LINE,
        "\nNegative prompt: x" * 50_000,
        "k" + "\ud800\0🎨" * 250_000 + ": 1, " + LINE,
        LINE + ", Hires prompt: " + json.dumps("é\n" * 200_000),
        LINE + ", Size: " + "9" * 500_000 + "x" + "9" * 500_000,
        LINE + ", Version: " + "1." * 300_000,
        LINE + ", Version: v1-" + "2" * 500_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_megabyte_from_a_stranger_is_read(text: str) -> None:
    # A reader of quadratic time would not come back from here within hours.
    result = parse_infotext(text, styles=example_styles())
    read = sum(len(value) for value in result.values() if isinstance(value, str))
    assert 0 < read < len(text) + 1000


@pytest.mark.parametrize("text", ["", "\n\n", "Negative prompt:", "\ud800\0", ": , : ,", "a: 1, b: 2"])
def test_texts_without_parameters_give_defaults(text: str) -> None:
    result = parse_infotext(text)
    assert {key: result[key] for key in EXAMPLES["parse_defaults"]} == EXAMPLES["parse_defaults"]


def test_prompts_keep_inner_empty_lines_and_lose_outer_ones() -> None:
    raw = split_infotext(f"\n\n one \n\n two\nNegative prompt:\n\n three \n\nNegative prompt: four\n{LINE}\n")
    assert raw.prompt == "one\n\ntwo"
    assert raw.negative_prompt == "three\n\nfour"
    assert len(raw.pairs) == 5


def test_entries_without_a_value_count_as_missing() -> None:
    result = parse_infotext(f"p\n{LINE}, Clip skip: , RNG:")
    assert (result["Clip skip"], result["RNG"]) == ("1", "GPU")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"a: b, \\u00e9\\n"', "a: b, é\n"),
        ('"broken \\q"', '"broken \\q"'),
        ('"a" tail', '"a" tail'),
        ("plain ", "plain "),
        ("12x", "12x"),
    ],
)
def test_values(written: str, read: str) -> None:
    assert parse_infotext(f"p\n{LINE}, Some note: {written}, End: 1")["Some note"] == read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v1.6.0", TextVersion((1, 6, 0))),
        ("1.7.0-225-gabcdef0", TextVersion((1, 7, 0), 225)),
        ("v1.6.0-RC", TextVersion((1, 6, 0), 0, True)),
        ("v1.6.0-RC-12-gabc", TextVersion((1, 6, 0), 0, True)),
        ("1.6", TextVersion((1, 6))),
        ("easel", None),
        ("", None),
        (None, None),
        ("f0.0.17v1.8.0rc-latest-276-g29be1da7", None),
        ("v1.10.1-amd-37-gdeadbee", None),
    ],
)
def test_versions_are_understood_or_ignored(text: Any, expected: TextVersion | None) -> None:
    assert parse_version(text) == expected


def test_order_of_versions() -> None:
    texts = ["v1.5.2", "v1.6.0-RC", "v1.6.0", "v1.6.0-3", "v1.6.1", "v1.7.0-225", "v1.8.0", "v1.10.1"]
    versions = [parse_version(text) for text in texts]
    assert versions == sorted(versions, key=lambda version: version._rank())  # type: ignore[union-attr]
    assert all(a < b for a, b in pairwise(versions))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("version", "flags"),
    [
        ("v1.5.2", {"Old prompt editing timelines", "Pad conds v0", "Downcast alphas_cumprod",
                    "Refiner switch by sampling steps"}),
        ("v1.6.0", {"Downcast alphas_cumprod", "Refiner switch by sampling steps"}),
        ("v1.7.0-224-gaa", {"Downcast alphas_cumprod", "Refiner switch by sampling steps"}),
        ("v1.7.0-225-gaa", {"Refiner switch by sampling steps"}),
        ("v1.8.0", set()),
        ("v1.10.1", set()),
        ("unknown", set()),
    ],
)  # fmt: skip
def test_behaviour_of_old_versions(version: str, flags: set[str]) -> None:
    text = f"[a:b:0.5]\n{LINE}, Sampler: PLMS, Refiner: x, Version: {version}"
    assert {key for key, value in parse_infotext(text).items() if value is True} == flags


@pytest.mark.parametrize(
    ("extra", "sizes"),
    [
        ("First pass size: 512x512", (512, 512, 512, 640)),
        ("First pass size: 0x0", (*old_first_pass_size(512, 640), 512, 640)),
        ("Hires resize: 1024x2048", ("512", "640", "1024", "2048")),
        ("First pass size: 0x0, Size: 0x0", (64, 64, 0, 0)),
        ("First pass size: 99999999999x1", ("512", "640", 0, 0)),
    ],
)
def test_sizes_of_old_two_pass_pictures(extra: str, sizes: tuple[Any, ...]) -> None:
    result = parse_infotext(f"p\n{LINE}, {extra}")
    assert tuple(result[key] for key in ("Size-1", "Size-2", "Hires resize-1", "Hires resize-2")) == sizes


def test_size_sliders_with_their_old_meaning() -> None:
    old = PasteSettings(use_old_hires_fix_width_height=True)
    result = parse_infotext(f"p\n{LINE}, Hires resize: 1024x2048", old)
    assert (result["Size-1"], result["Size-2"]) == (1024, 2048)
    assert parse_infotext(f"p\n{LINE}, Hires resize: 1024x0", old)["Size-1"] == "512"


@pytest.mark.parametrize(
    ("hires", "version", "expected"),
    [
        ('"other, film grain"', "v1.10.1", ("kite", "other", ["tail"])),
        ('"kite, film grain"', "v1.10.1", ("kite", "", ["tail"])),
        ('"no style here"', "v1.10.1", ("kite, film grain", "no style here", None)),
        ('"no style here"', "v1.8.0-139-gaa", ("kite", "no style here", ["tail"])),
        ('"other, film grain"', "unknown", ("kite", "other", ["tail"])),
    ],
)
def test_styles_must_be_in_the_hires_prompts_too(hires: str, version: str, expected: tuple[Any, ...]) -> None:
    text = f"kite, film grain\n{LINE}, Hires prompt: {hires}, Version: {version}"
    result = parse_infotext(text, styles=example_styles())
    assert (result["Prompt"], result["Hires prompt"], result.get("Styles array")) == expected


@pytest.mark.parametrize(
    ("prompt", "uses"),
    [("a cat", False), ("(cat)", True), ("[cat]", True), ("(cat:1.0)", False), (r"\(cat\)", False),
     ("a BREAK b", False), ("(a:1) BREAK (b:1)", False), ("", False)],
)  # fmt: skip
def test_emphasis_is_seen(prompt: str, uses: bool) -> None:
    assert uses_emphasis(prompt) is uses


def test_entries_of_additional_networks_become_tags() -> None:
    params: dict[str, Any] = {
        "Prompt": "kite",
        "AddNet Module 1": "LoRA", "AddNet Model 1": "style(0123456789ab)", "AddNet Weight A 1": "0.5",
        "AddNet Module 2": "LoRA", "AddNet Model 2": "None",
        "AddNet Module 3": "LoRA", "AddNet Model 3": "plain",
    }  # fmt: skip
    append_additional_networks(params)
    assert params["Prompt"] == "kite\n<lora:style:0.5>\n<lora:plain:1.0>"
