"""What several tests of the prompts share: reference data, growth of work, small stand-ins."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from tests.paths import CONTRACT, DATA, GOLDENS, HAVE_CONTRACT, HAVE_GOLDENS

PROGRAM = "modules"


def examples(kind: str) -> list[dict[str, Any]]:
    """The worked examples of the contract; a copy lies in the tests."""
    if HAVE_CONTRACT:
        data = json.loads((CONTRACT / "prompt_syntax.json").read_text(encoding="utf-8"))["examples"]
        return data["chunks (one token per word or comma)" if kind == "chunks" else kind]
    return json.loads((DATA / "prompt_examples.json").read_text(encoding="utf-8"))[kind]


def unit_goldens(name: str) -> list[dict[str, Any]]:
    """Function-level results of the reference; empty without the reference data."""
    if not HAVE_GOLDENS:
        return []
    return json.loads((GOLDENS / "units" / f"{name}.json").read_text(encoding="utf-8"))


def copied_goldens(name: str) -> list[dict[str, Any]]:
    """The selection of them that lies in the tests."""
    return json.loads((DATA / "prompt_goldens.json").read_text(encoding="utf-8"))[name]


def lines_executed(action: Callable[[], object]) -> int:
    """How many lines of the program run: a measure of work that no other process disturbs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if PROGRAM not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(previous)
    return count


def assert_linear(action: Callable[[str], object], make: Callable[[int], str], small: int = 200) -> None:
    """Eight times the text may take at most ten times the work."""
    few = lines_executed(lambda: action(make(small)))
    many = lines_executed(lambda: action(make(8 * small)))
    assert few > 0
    assert many <= 10 * few + 1000, f"{few} lines for {small}, {many} for {8 * small}"


class WordTokenizer:
    """One token for each word or comma: lengths are easy to see."""

    start_token = 1
    end_token = 2
    comma_token = 3

    def __init__(self) -> None:
        self.words: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        words = re.findall(r"\w+|,", text)
        return [3 if word == "," else self.words.setdefault(word, len(self.words) + 10) for word in words]


class LearnedWord:
    """An embedding of a few vectors for both encoders."""

    def __init__(self, name: str, vector_count: int, width: int = 64, clip_g: bool = False) -> None:
        self.name = name
        self.vector_count = vector_count
        self._tensors = {"clip_l": torch.full((vector_count, width), 0.25)}
        if clip_g:
            self._tensors["clip_g"] = torch.full((vector_count, width), -0.25)

    def vectors(self, encoder: str) -> Tensor | None:
        return self._tensors.get(encoder)
