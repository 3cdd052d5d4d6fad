from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompts.comments import strip_comments
from tests.prompts.support import assert_linear, examples


@pytest.mark.parametrize("example", examples("comments"))
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    assert strip_comments(example["input"]) == example["output"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("a\n", "a\n"),
        ("#a\n#b", "\n\n"),
        ("#", "\n"),
        ("a\n#", "a\n"),
        ("a\n#b\n#c\n#d\ne", "a\n\ne"),
        ("a\\#b", "a\\\n"),
    ],
)
def test_lines_of_nothing_but_comment(text: str, expected: str) -> None:
    assert strip_comments(text) == expected


@given(st.text(alphabet="ab#\n \0\ud800", max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_mark_and_no_new_line_stays(text: str) -> None:
    result = strip_comments(text)
    assert "#" not in result
    assert result.count("\n") <= text.count("\n") + 1
    if "#" not in text:
        assert result == text
    words = [line.split("#")[0] for line in text.split("\n")]
    assert result.replace("\n", "") == "".join(words)


@pytest.mark.parametrize("unit", ["#", "#\n", "a#b\n", "\n"])
def test_work_grows_with_the_length(unit: str) -> None:
    assert_linear(strip_comments, lambda count: "#\n" + unit * count)
