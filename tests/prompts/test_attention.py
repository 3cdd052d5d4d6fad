from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompts.attention import EXACT_DEPTH, MAX_DEPTH, parse_attention, split_at_break
from tests.prompts.support import assert_linear, examples, unit_goldens

GRAMMAR = st.text(alphabet="()[]:\\ab .,15-\n\0😀\ud800_", max_size=40)


@pytest.mark.parametrize("example", [e for e in examples("attention") if isinstance(e["output"], list)])
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    assert [list(part) for part in parse_attention(example["input"])] == example["output"]


@pytest.mark.parametrize("golden", unit_goldens("prompt_attention"))
def test_goldens(golden: dict[str, Any]) -> None:
    assert [list(part) for part in parse_attention(golden["prompt"])] == golden["parsed"]


@pytest.mark.parametrize("number", ["1.2.3", ".", "..", "1" * 400])
def test_a_number_that_is_none_stays_text_and_the_bracket_counts(number: str) -> None:
    assert parse_attention(f"(a:{number}) b") == [(f"a:{number}", 1.1), (" b", 1.0)]


def test_emphasis_none_reads_nothing() -> None:
    assert parse_attention("(a:1.2) BREAK [b]", "None") == [("(a:1.2) BREAK [b]", 1.0)]


def test_crossing_brackets_each_apply_to_their_range() -> None:
    assert parse_attention("([a)b]") == [("a", 1.1 * (1 / 1.1)), ("b", 1 / 1.1)]


def test_a_number_without_an_open_bracket_is_text() -> None:
    assert parse_attention("a:1.5) b") == [("a:1.5) b", 1.0)]


@pytest.mark.parametrize("depth", [EXACT_DEPTH - 1, EXACT_DEPTH, EXACT_DEPTH + 1, 40])
def test_deep_weights_agree_with_the_power(depth: int) -> None:
    text = "(" * depth + "a" + ")" * depth + "[" * depth + "b" + "]" * depth
    (a, up), (b, down) = parse_attention(text)
    assert (a, b) == ("a", "b")
    assert up == pytest.approx(1.1**depth, rel=1e-12)
    assert down == pytest.approx(1.1**-depth, rel=1e-12)


@pytest.mark.parametrize("depth", [1000, MAX_DEPTH + 1, 10_000])
def test_weights_beyond_all_numbers_are_taken_literally(depth: int) -> None:
    text = "(" * depth + "a" + ")" * depth
    assert parse_attention(text) == [(text, 1.0)]


def test_break_needs_word_boundaries_and_swallows_blanks() -> None:
    assert split_at_break("a \n BREAK\t BREAK b") == ["a", "", "b"]
    assert split_at_break("aBREAK BREAK_ 1BREAK éBREAK") == ["aBREAK BREAK_ 1BREAK éBREAK"]
    assert split_at_break("a,BREAK,b") == ["a,", ",b"]


@given(GRAMMAR)
@settings(max_examples=300, deadline=None)
def test_any_text_gives_parts_with_finite_weights(text: str) -> None:
    parts = parse_attention(text)
    assert parts
    assert all(abs(weight) < 1e39 for _, weight in parts)
    assert all(first[1] != second[1] for first, second in pairwise(parts))


@given(st.text(alphabet="ab ,😀\0\ud800", max_size=40))
@settings(max_examples=100, deadline=None)
def test_text_without_syntax_is_one_part(text: str) -> None:
    assert parse_attention(text) == [(text, 1.0)]


@given(GRAMMAR)
@settings(max_examples=200, deadline=None)
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    escaped = "".join("\\" + c if c in "\\()[]" else c for c in text.replace("BREAK", ""))
    assert "".join(part for part, _ in parse_attention(escaped)) == text.replace("BREAK", "")


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "(a",
        ")",
        "[",
        "()",
        "(a)",
        "[(a:1.1)",
        ":",
        "a:1.2.3)",
        "\\",
        "\\(",
        " BREAK",
        "([)]",
        "(a:1.0)",
        ": ",
    ],
)
def test_work_grows_with_the_length(unit: str) -> None:
    assert_linear(parse_attention, lambda count: unit * count)


def test_work_grows_with_the_depth() -> None:
    assert_linear(parse_attention, lambda count: "(a[" * count + "x" + "b:1.0)]" * count)


@pytest.mark.parametrize("unit", ["((", "(a:1.1)", " BREAK", "\0😀\ud800"])
def test_a_megabyte(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    parts = parse_attention(text)
    assert parts
