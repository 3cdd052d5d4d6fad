from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompts.composition import MAX_PARTS, compose, split_and
from tests.prompts.support import examples, unit_goldens


@pytest.mark.parametrize("example", examples("composition"))
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    composition = compose([example["input"]])
    assert list(composition.texts) == example["texts"]
    assert [[list(pair) for pair in prompt] for prompt in composition.parts] == example["per_prompt"]


@pytest.mark.parametrize("golden", unit_goldens("prompt_and"))
def test_goldens(golden: dict[str, Any]) -> None:
    composition = compose([golden["prompt"]])
    assert list(composition.texts) == golden["subprompts"]
    assert [list(pair) for pair in composition.parts[0]] == golden["indexes_weights"]


def test_equal_texts_of_a_batch_are_shared() -> None:
    composition = compose(["a", "b AND a:2", "a"])
    assert composition.texts == ("a", "b", " a")
    assert composition.parts == (((0, 1.0),), ((1, 1.0), (2, 2.0)), ((0, 1.0),))


@pytest.mark.parametrize("text", ["a:1.2.3", "a:-", "a:.", "a: 1 2", "a:1-2", "a:+-1"])
def test_what_is_no_number_stays_text(text: str) -> None:
    assert split_and(text) == [(text, 1.0)]


def test_a_prompt_of_endless_parts_is_taken_literally() -> None:
    text = "a AND " * MAX_PARTS + "a"
    assert split_and(text) == [(text, 1.0)]
    assert len(split_and("a AND " * (MAX_PARTS - 1) + "a")) == MAX_PARTS


@given(st.text(alphabet="AND :1.5-+\n\0😀\ud800a", max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_parts(text: str) -> None:
    parts = split_and(text)
    assert parts
    assert all(part == part.rstrip() and part in text for part, _ in parts)


def test_a_megabyte() -> None:
    assert len(split_and("1" * 1_000_000)) == 1
    assert split_and(":" + " " * 1_000_000 + "5") == [("", 5.0)]
