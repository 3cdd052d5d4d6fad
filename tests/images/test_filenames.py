from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modules.images.filenames import TOKENS, NameFields, expand
from modules.images.sanitize import NameRules, safe_folders, safe_stem, sanitize_filename_part
from tests.paths import DATA

FACTS = json.loads((DATA / "filename_patterns.json").read_text(encoding="utf-8"))
NOON = datetime(2026, 11, 21, 12, 30, 45, tzinfo=timezone.utc)


def clock(zone: tzinfo | None) -> datetime:
    return NOON.astimezone(zone) if zone else NOON


JOB = NameFields(
    seed=5,
    prompt="a big, red kite # x",
    negative_prompt="bad",
    all_seeds=[5],
    steps=20,
    cfg=7.0,
    sampler="DPM++ 2M",
    scheduler="Automatic",
    default_scheduler="Karras",
    model_hash="0123456789",
    model_name="photo v2",
    styles=[],
    denoising=0.75,
    clip_skip=2,
    job_timestamp="20261121123000",
    image=Image.new("RGB", (8, 16)),
    clock=clock,
)
BATCH = replace(
    JOB, seed=8, all_seeds=[5, 6, 7, 8, 9, 10], batch_size=2, n_iter=3, batch_index=1, iteration=1
)
HASH = hashlib.sha256(bytes(8 * 16 * 3)).hexdigest()


@pytest.mark.parametrize("example", FACTS["examples"], ids=lambda example: example["pattern"])
def test_examples_of_the_contract(example: dict[str, str]) -> None:
    assert expand(example["pattern"], JOB) == example["result"]


def test_exactly_the_tokens_of_the_contract_exist() -> None:
    assert {f"[{name}]" for name in TOKENS} == {row["token"] for row in FACTS["tokens"]}


@pytest.mark.parametrize(
    ("pattern", "fields", "expected"),
    [
        ("[seed]", JOB, "5"),
        ("x[seed]", NameFields(), "x"),
        ("[seed_first]", JOB, "5"),
        ("[seed_first]", BATCH, "5"),
        ("[seed_last]", BATCH, "10"),
        ("[seed_first]-[seed_last]", JOB, "5"),
        ("[steps]", JOB, "20"),
        ("[cfg]", JOB, "7.0"),
        ("[width]x[height]", JOB, "8x16"),
        ("[width]", NameFields(), "[width]"),
        ("[styles]", replace(JOB, styles=["Film", "None", "a/b"]), "Film, a_b"),
        ("[sampler]", replace(JOB, sampler="DPM++ 2M"), "DPM++ 2M"),
        ("[sampler_scheduler]", replace(JOB, scheduler="SGM Uniform"), "DPM++ 2M Sgm uniform"),
        ("[scheduler]", replace(JOB, default_scheduler=None), "Automatic"),
        ("[model_hash]", JOB, "0123456789"),
        ("[model_name]", replace(JOB, model_name="../up/model"), ".._up_model"),
        ("[date]", JOB, "2026-11-21"),
        ("[datetime]", JOB, "20261121123045"),
        ("[datetime<%Y/%m>]", JOB, "2026_11"),
        ("[datetime<%H%M><Asia/Tokyo>]", JOB, "2130"),
        ("[datetime<%H%M><No/Such>]", JOB, "1230"),
        ("[datetime<><Asia/Tokyo>]", JOB, "20261121213045"),
        ("[job_timestamp]", JOB, "20261121123000"),
        ("[prompt_hash]", JOB, hashlib.sha256(b"a big, red kite # x").hexdigest()[:8]),
        ("[prompt_hash<70>]", JOB, hashlib.sha256(b"a big, red kite # x").hexdigest()),
        ("[prompt_hash<0>]", JOB, "07b97084"),
        ("[prompt_hash<-3>]", JOB, "07b97084"),
        ("[negative_prompt_hash]", JOB, hashlib.sha256(b"bad").hexdigest()[:8]),
        ("[full_prompt_hash<5>]", JOB, hashlib.sha256(b"a big, red kite # x bad").hexdigest()[:5]),
        ("[prompt]", JOB, "a_big,_red_kite___x"),
        ("[prompt_no_styles]", replace(JOB, style_prompts=["# x", ""]), "a big, red kite"),
        ("[prompt_no_styles]", replace(JOB, style_prompts=["a {prompt} x"]), "big, red kite _"),
        ("[prompt_spaces]", JOB, "a big, red kite _ x"),
        ("[prompt_words]", replace(JOB, max_prompt_words=3), "a big red"),
        ("[prompt_words]", replace(JOB, prompt=" ,,# "), "empty"),
        ("[prompt_words]", replace(JOB, prompt=None), "empty"),
        ("a[batch_number]b", JOB, "b"),
        ("a[batch_number]b", BATCH, "a2b"),
        ("a[batch_number]b", replace(BATCH, for_zip=True), "b"),
        ("[batch_size]", BATCH, "2"),
        ("a[generation_number]b", JOB, "b"),
        ("a[generation_number]b", BATCH, "a4b"),
        ("a[generation_number]b", replace(BATCH, for_zip=True), "b"),
        ("[hasprompt<KITE|none>]", JOB, "kite"),
        ("[hasprompt<boat>]", JOB, ""),
        ("[hasprompt]", JOB, "[hasprompt]"),
        ("[clip_skip]", JOB, "2"),
        ("x[denoising]z", replace(JOB, denoising=0), "z"),
        ("x[denoising]z", replace(JOB, denoising=None), "z"),
        ("[user]", replace(JOB, user="ann/../x"), "ann_.._x"),
        ("[user]", JOB, "[user]"),
        ("[vae_filename]", JOB, "NoneType"),
        ("[vae_filename]", replace(JOB, vae_filename="my vae"), "my vae"),
        ("a[none]b", JOB, "ab"),
        ("[image_hash]", JOB, HASH),
        ("[image_hash<6>]", JOB, HASH[:6]),
        ("[basename]", JOB, "img"),
        ("[basename]", replace(JOB, basename="grid"), "grid"),
        ("[DATE]_[[model_name]]_[seed]-[seed_last]", BATCH, "2026-11-21_[photo v2]_8-10"),
        ("[foo<1>] [seed", JOB, "[foo<1>] [seed"),
        ("x[[seed_last]]", JOB, "]"),
        ("", JOB, ""),
    ],
)
def test_tokens(pattern: str, fields: NameFields, expected: str) -> None:
    assert expand(pattern, fields) == expected


def test_every_token_has_a_row_above() -> None:
    marks = next(mark for mark in test_tokens.pytestmark if mark.name == "parametrize")
    patterns = " ".join(row[0].lower() for row in marks.args[1])
    assert [name for name in TOKENS if f"[{name}" not in patterns] == []


@given(st.text(), st.text(max_size=60))
def test_no_value_of_a_token_brings_a_separator(text: str, pattern: str) -> None:
    fields = replace(
        JOB, prompt=text, negative_prompt=text, model_name=text, user=text, styles=[text], sampler=text,
        scheduler=text, vae_filename=text, basename=text, model_hash=text, job_timestamp=text,
        default_scheduler=None, style_prompts=[pattern],
    )  # fmt: skip
    everything = "|".join(f"[{name}]" for name in TOKENS)
    for value in expand(everything, fields).split("|"):
        assert not set(value) & set('/\\:*?"<>\0\n')
    expand(pattern, fields)  # any pattern gives some text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a#b<c>d:e"f/g\\h|i?j*k', "a_b_c_d_e_f_g_h_i_j_k"),
        ("line\nbreak\rand\ttab", "line_break_and_tab"),
        ("  lead and trail . .", "lead_and_trail"),
        ("nul\0and\ud800", "nul_and_"),
        ("x" * 200, "x" * 128),
        ("", ""),
    ],
)
def test_sanitised_parts(text: str, expected: str) -> None:
    spaces = sanitize_filename_part(text, replace_spaces=False)
    assert (spaces or "").replace(" ", "_") == expected.replace(" ", "_")
    if " " not in text:
        assert sanitize_filename_part(text) == expected


def test_rules_of_the_flags() -> None:
    assert sanitize_filename_part("a:b/c*", rules=NameRules(unix=True)) == "a:b_c*"
    assert sanitize_filename_part("x" * 200, rules=NameRules(max_length=10)) == "x" * 10
    assert sanitize_filename_part(None) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("2026-11-21", ("2026-11-21",)),
        ("a/b\\c", ("a", "b", "c")),
        ("../../etc/passwd", ("etc", "passwd")),
        ("/root/./..", ("root",)),
        ("C:\\x", ("C:", "x") if safe_stem("C:") == "C:" else ("C_", "x")),
        (" . / .. /x", ("x",)),
        ("con/NUL.txt/com1 .x", ("_con", "_NUL.txt", "_com1 .x")),
        ("", ()),
    ],
)
def test_folders_never_lead_out(path: str, expected: tuple[str, ...]) -> None:
    assert safe_folders(path) == expected


@given(st.text(max_size=400))
def test_stems_fit_every_file_system(text: str) -> None:
    stem = safe_stem(text, "png")
    assert len((stem + "-1234.png").encode("utf-8")) <= 255
    assert not set(stem) & set("/\0")
    assert stem not in (".", "..")


def test_names_in_a_locale_without_their_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "iso-8859-1")
    assert safe_stem("é-画像-🎨") == "é-__-_"
