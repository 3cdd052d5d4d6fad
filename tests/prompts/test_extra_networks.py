from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompts.extra_networks import ExtraNetworkParams, parse_batch, parse_extra_networks
from tests.prompts.support import assert_linear, examples, unit_goldens


def plain(networks: dict[str, list[ExtraNetworkParams]]) -> dict[str, list[dict[str, Any]]]:
    return {kind: [dict(vars(params)) for params in found] for kind, found in networks.items()}


@pytest.mark.parametrize("example", examples("extra_networks"))
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    text, networks = parse_extra_networks(example["input"])
    assert text == example["prompt"]
    assert plain(networks) == example["networks"]


@pytest.mark.parametrize("golden", unit_goldens("extra_networks"))
def test_goldens(golden: dict[str, Any]) -> None:
    text, networks = parse_extra_networks(golden["prompt"])
    assert text == golden["text"]
    found = {
        kind: [{"positional": p.positional, "named": p.named} for p in params]
        for kind, params in networks.items()
    }
    assert found == golden["networks"]


def test_the_first_prompt_of_a_batch_decides() -> None:
    texts, networks = parse_batch(["a <lora:x:1>", "b <lora:y:1><hypernet:z>"])
    assert texts == ["a ", "b "]
    assert plain(networks) == {"lora": [{"items": ["x", "1"], "positional": ["x", "1"], "named": {}}]}
    assert parse_batch([]) == ([], {})


def test_equal_arguments_are_equal() -> None:
    assert ExtraNetworkParams(["a", "te=1"]) == ExtraNetworkParams(["a", "te=1"])
    assert ExtraNetworkParams(["a"]) != ExtraNetworkParams(["b"])


def test_an_opener_inside_a_tag_belongs_to_its_arguments() -> None:
    text, networks = parse_extra_networks("x <lora:<lora:a:1> y")
    assert text == "x  y"
    assert networks["lora"][0].items == ["<lora", "a", "1"]


@given(st.text(alphabet="<>:=ab \0\ud800", max_size=40))
@settings(max_examples=200, deadline=None)
def test_what_is_kept_was_there(text: str) -> None:
    kept, networks = parse_extra_networks(text)
    remaining = iter(text)
    assert all(character in remaining for character in kept)
    assert bool(networks) == (kept != text)


@pytest.mark.parametrize("unit", ["<", "<a:", "<a:>", "<a:b>", ">", "<a", "<:a>"])
def test_work_grows_with_the_length(unit: str) -> None:
    assert_linear(lambda text: parse_extra_networks("<a:" + text), lambda count: unit * count)


@pytest.mark.parametrize("unit", ["<a:", "<", "<aaaaaaaa"])
def test_a_megabyte(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert parse_extra_networks(text) == (text, {})
