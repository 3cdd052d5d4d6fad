"""Several prompts in one picture: ``a cat :1.2 AND a dog :0.8``.

Each part is denoised on its own and counts with its weight (Liu et al. 2022, arXiv:2206.01714):
``uncond + sum(weight * cfg * (cond - uncond))``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEPARATOR = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?|[0-9]*\.[0-9]+)")
# Every part costs a pass of the UNet at each step. A prompt with more is a slip of the pen.
MAX_PARTS = 256
_NUMBER_CHARACTERS = "0123456789.+-"


@dataclass(frozen=True)
class Composition:
    """The parts of all prompts of a batch; equal texts stand there once.

    ``texts`` are the distinct texts, ``parts[i]`` the pairs (index into texts, weight) of prompt i.
    """

    texts: tuple[str, ...]
    parts: tuple[tuple[tuple[int, float], ...], ...]


def split_and(text: str) -> list[tuple[str, float]]:
    """Split a prompt at the word AND.

    Returns:
        ``[(text, weight), ...]``, at least one pair. Blanks at the end of a part are dropped.
        A part without ``:number`` at its end has weight 1. With more than ``MAX_PARTS`` parts the
        prompt is taken literally.
    """
    parts = _SEPARATOR.split(text)
    if len(parts) > MAX_PARTS:
        return [(text, 1.0)]
    return [_split_weight(part) for part in parts]


def compose(prompts: list[str]) -> Composition:
    """Split every prompt of a batch and share the texts that occur several times."""
    index: dict[str, int] = {}
    parts = tuple(
        tuple((index.setdefault(text, len(index)), weight) for text, weight in split_and(prompt))
        for prompt in prompts
    )
    return Composition(tuple(index), parts)


def _split_weight(part: str) -> tuple[str, float]:
    text = part.rstrip()
    start = len(text.rstrip(_NUMBER_CHARACTERS))
    before = text[:start].rstrip()
    if before.endswith(":") and _NUMBER.fullmatch(text, start):
        return before[:-1].rstrip(), float(text[start:])
    return text, 1.0
