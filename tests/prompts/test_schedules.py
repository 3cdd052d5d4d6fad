from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompts.schedules import prompt_schedule
from tests.prompts.support import assert_linear, copied_goldens, examples, unit_goldens


def schedule(text: str, *args: Any) -> list[list[object]]:
    return [list(entry) for entry in prompt_schedule(text, *args)]


@pytest.mark.parametrize("example", examples("schedule"))
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    hires, old = example.get("hires_steps"), example.get("old_scheduling", False)
    assert schedule(example["input"], example["steps"], hires, old) == example["output"]


@pytest.mark.parametrize("golden", unit_goldens("prompt_schedules") or copied_goldens("schedules"))
def test_goldens(golden: dict[str, Any]) -> None:
    prompt, steps = golden["prompt"], golden["steps"]
    assert schedule(prompt, steps) == golden["schedule"]
    assert schedule(prompt, steps, None, True) == golden["schedule_old"]
    assert schedule(prompt, steps, golden["hires_steps"]) == golden["schedule_hires"]


@pytest.mark.parametrize(
    "literal",
    [
        "a|b [c:d:5]",  # a bar outside of brackets
        "(a|b) [c:d:5]",
        "[a|b [c:d:5]",
        "[c:d:5] \\",  # nothing to escape
        "[c:d:5] \\\n",
        "[a|b:5]",
    ],
)
def test_a_prompt_that_does_not_parse_is_used_literally(literal: str) -> None:
    assert prompt_schedule(literal, 10) == [(10, literal)]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("( [c:d:5]", "( c", "( d"),
        ("] [c:d:5] [", "] c [", "] d ["),
        ("[a:b [c:d:5]", "[a:b c", "[a:b d"),
        ("[a (b:c:3] [c:d:5]", "[a (b:c:3] c", "[a (b:c:3] d"),
        ("[x:[c:d:5]:y:z]", "[x:c:y:z]", "[x:d:y:z]"),
        ("[(x:1.1:2):y:3][c:d:5]", "[(x:1.1:2):y:3]c", "[(x:1.1:2):y:3]d"),
        ("[\\]c:d\\[:5]", "\\]c", "d\\["),
        ("[c:d: +5 ]", "c", "d"),
        ("[c:d:5e0]", "c", "d"),
    ],
)
def test_brackets_without_partner_leave_the_others_alone(text: str, first: str, last: str) -> None:
    texts = [entry for _, entry in prompt_schedule(text, 10)]
    assert (texts[0], texts[-1]) == (first, last)


def test_numbers_out_of_range_end_at_the_last_step() -> None:
    assert prompt_schedule("[a:b:1e999]", 10) == [(10, "a")]
    assert prompt_schedule("[a:b:-1e999]", 10) == [(10, "b")]
    assert prompt_schedule(f"[a:b:{'9' * 5000}]", 10) == [(10, "a")]


def test_steps_with_equal_choices_share_one_text() -> None:
    texts = [text for _, text in prompt_schedule("[a|b] " + "x" * 10_000, 150)]
    assert len(texts) == 150
    assert len({id(text) for text in texts}) == 2


def test_ten_thousand_levels() -> None:
    depth = 10_000
    text = "[a:" * depth + "x" + ":3]" * depth
    assert prompt_schedule(text, 10) == [(3, "a"), (10, "x")]
    both = "[" * depth + "x" + "|y]" * depth
    assert {entry for _, entry in prompt_schedule(both, 4)} == {"x", "y"}


@given(st.text(alphabet="[]():|\\ab 0.5\n\0😀\ud800", max_size=30), st.integers(1, 6))
@settings(max_examples=400, deadline=None)
def test_any_text_gives_a_schedule_that_ends_with_the_last_step(text: str, steps: int) -> None:
    entries = prompt_schedule(text, steps)
    ends = [end for end, _ in entries]
    assert ends == sorted(set(ends))
    assert ends[-1] == steps
    if not set("[]():|\\") & set(text):
        assert entries == [(steps, text)]


@given(st.lists(st.sampled_from(["a", " b", "(c:1.2)", "[d]", "\\["]), max_size=5), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_editing_gives_what_was_put_in(pieces: list[str], when: int) -> None:
    before = "".join(pieces)
    assert prompt_schedule(f"x[{before}:y:{when}]z", 10) == [(when, f"x{before}z"), (10, "xyz")]


@pytest.mark.parametrize(
    "unit", ["[", "]", "[a:", "[a:b:3]", "[a|b]", "[a|", "(", "[a", ":", "[:", "[a:b:", "\\[", "[()", "[a:5)"]
)
def test_work_grows_with_the_length(unit: str) -> None:
    assert_linear(lambda text: prompt_schedule(text, 3), lambda count: unit * count)


def test_work_grows_with_the_depth() -> None:
    assert_linear(lambda t: prompt_schedule(t, 3), lambda n: "[a:" * n + "x" + ":3]" * n)
    assert_linear(lambda t: prompt_schedule(t, 3), lambda n: "[" * n + "x" + "|y]" * n)


@pytest.mark.parametrize("unit", ["[a:", pytest.param("[a|b]", marks=pytest.mark.slow)])
def test_a_megabyte(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert prompt_schedule(text, 4)[-1][0] == 4
