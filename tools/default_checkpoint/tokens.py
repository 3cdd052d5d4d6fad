"""Captions to numbers, without the vocabulary of CLIP at hand.

Captions are made of few words, each of which CLIP knows as one or more tokens: ``words.json`` keeps those
tokens. The networks are trained on a small table with a row for each of them (and one, always zero, for all
other tokens of CLIP); the export puts the rows where CLIP has them.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.default_checkpoint.backgrounds import BACKGROUNDS
from tools.default_checkpoint.captions import caption, plain_caption
from tools.default_checkpoint.objects import OBJECTS
from tools.default_checkpoint.palette import COLOURS
from tools.default_checkpoint.scenes import CHALK, Group, Scene, scene_rng, training_scene

WORDS_FILE = Path(__file__).with_name("words.json")
CLIP_START, CLIP_END = 49406, 49407
CONTEXT = 77
UNKNOWN, START, END = 0, 1, 2
"""Rows of the small table that are no words. ``UNKNOWN`` stays zero."""

_PIECE = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")

Ids = NDArray[np.int64]


@lru_cache(maxsize=1)
def words() -> dict[str, tuple[int, ...]]:
    """Word → its tokens in CLIP's vocabulary."""
    table = json.loads(WORDS_FILE.read_text(encoding="utf-8"))
    return {word: tuple(tokens) for word, tokens in table.items()}


@lru_cache(maxsize=1)
def clip_rows() -> tuple[int, ...]:
    """CLIP's number of every row of the small table; -1 for ``UNKNOWN``."""
    used = sorted({token for tokens in words().values() for token in tokens})
    return (-1, CLIP_START, CLIP_END, *used)


@lru_cache(maxsize=1)
def _row_of() -> dict[int, int]:
    return {clip: row for row, clip in enumerate(clip_rows()) if clip >= 0}


def encode(text: str, context: int = CONTEXT) -> Ids:
    """Rows of the small table, [context]: start, words, then end tokens, as SD1 pads its prompts.

    A word that no caption uses becomes one ``UNKNOWN``.
    """
    rows = [START]
    for word in _PIECE.findall(text.lower()):
        tokens = words().get(word)
        rows += [UNKNOWN] if tokens is None else [_row_of()[token] for token in tokens]
    rows = rows[: context - 1]
    return np.array(rows + [END] * (context - len(rows)), np.int64)


def collect_words() -> list[str]:
    """Every word that captions can use, sorted."""
    found: set[str] = set()
    for number in range(6000):
        rng = scene_rng(7, number)
        found.update(_PIECE.findall(caption(training_scene(rng), rng)))
    for number, name in enumerate(OBJECTS):
        for count in (1, 2, 3):
            rng = scene_rng(8, number)
            for style in ("flat", CHALK):
                colour = tuple(COLOURS)[number % len(COLOURS)]
                found.update(_PIECE.findall(caption(Scene((Group(name, colour, count),), "sky", style), rng)))
    for background in BACKGROUNDS:
        found.update(_PIECE.findall(plain_caption(Scene((Group("circle", "red"),), background, "flat"))))
    return sorted(found - {"chalk"})


def write_words() -> None:
    """Make ``words.json`` anew; needs the vocabulary that Easel installs."""
    from modules.prompts.tokenizer import ClipTokenizer

    tokenizer = ClipTokenizer()
    table = {word: tokenizer.encode(word) for word in collect_words()}
    lines = ",\n".join(f"  {json.dumps(word)}: {json.dumps(tokens)}" for word, tokens in table.items())
    WORDS_FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
