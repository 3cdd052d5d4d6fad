"""The lowest layer of reading a picture's text: lines and pairs, in time linear in its length.

The grammar of a pair, as a regular expression, is

    \\s* (\\w[\\w \\-/]+) : \\s* ("(?:\\\\.|[^\\\\"])+" | [^,]*) (?: , | $)

Searching with it takes quadratic time on long lines without colons, and the text comes from files
of strangers. So keys are found here by walking over runs of key characters once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KEY_RUN = re.compile(r"[\w \-/]+")
_WORD = re.compile(r"\w")
_BLANKS = re.compile(r"\s*")
_QUOTED = re.compile(r'"(?:\\.|[^\\"])+"')

NEGATIVE_PREFIX = "Negative prompt:"
_FEWEST_PAIRS = 3


@dataclass(frozen=True)
class RawInfotext:
    """Prompts as text, and the pairs of the parameter line as they are written (quotes included)."""

    prompt: str
    negative_prompt: str
    pairs: tuple[tuple[str, str], ...]


def split_infotext(text: str) -> RawInfotext:
    """Separate prompt, negative prompt and parameter line.

    The last line is the parameter line only if it holds at least three pairs; otherwise it belongs
    to the prompt. A line that starts with ``Negative prompt:`` begins the negative prompt.
    """
    *lines, last = text.strip().split("\n")
    pairs = find_pairs(last)
    if len(pairs) < _FEWEST_PAIRS:
        lines.append(last)
        pairs = ()
    prompt: list[str] = []
    negative: list[str] = []
    current = prompt
    for raw in lines:
        line = raw.strip()
        if line.startswith(NEGATIVE_PREFIX):
            current = negative
            line = line[len(NEGATIVE_PREFIX) :].strip()
        if line or current:  # empty lines before the first word are dropped
            current.append(line)
    return RawInfotext("\n".join(prompt), "\n".join(negative), pairs)


def find_pairs(line: str) -> tuple[tuple[str, str], ...]:
    """All pairs of a parameter line, from left to right; what is no pair is skipped."""
    pairs: list[tuple[str, str]] = []
    position = 0
    while run := _KEY_RUN.search(line, position):
        position = run.end()
        start = _WORD.search(line, run.start(), run.end())
        if start is None or run.end() - start.start() < 2 or line[run.end() : run.end() + 1] != ":":
            continue
        value, position = _value(line, run.end() + 1)
        pairs.append((line[start.start() : run.end()], value))
    return tuple(pairs)


def _value(line: str, position: int) -> tuple[str, int]:
    """The value that starts after a colon, and the position behind its comma."""
    blanks = _BLANKS.match(line, position)
    start = blanks.end() if blanks else position
    quoted = _QUOTED.match(line, start)
    if quoted and line[quoted.end() : quoted.end() + 1] in ("", ","):
        return quoted.group(), quoted.end() + 1
    end = line.find(",", start)
    end = len(line) if end < 0 else end
    return line[start:end], end + 1
