"""Emphasis: round brackets raise the weight of words, square brackets lower it.

    (word)      times 1.1            [word]      divided by 1.1
    (word:1.4)  times 1.4            \\( \\) \\[ \\] \\\\   the character itself
    BREAK       closes the current chunk of 75 tokens

Weights of enclosing pairs multiply, the innermost first. An opener without a partner applies to
the rest of the prompt, a closer without one is an ordinary character.

The parser reads the prompt once. It keeps the open pairs of each kind on a stack, so that its
time grows with the length of the prompt and not with the depth of the brackets.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

ROUND_FACTOR = 1.1
SQUARE_FACTOR = 1 / 1.1
BREAK_WORD = "BREAK"
BREAK_WEIGHT = -1.0

# Up to this many enclosing pairs the factors are multiplied in the order in which the pairs close,
# which reproduces the reference to the last bit. Deeper, running products keep the time linear.
EXACT_DEPTH = 16
# 1.1 to this power is far outside of float32: nobody means that many open brackets.
MAX_DEPTH = 2000
FLOAT32_MAX = 3.4028234e38

_PIECE = re.compile(r"\\[\\()\[\]]?|[()\[\]:]|[^\\()\[\]:]+")
_NUMBER_AND_CLOSER = re.compile(r":\s*([+-]?[.\d]+)\s*\)")


@dataclass(slots=True)
class _Pair:
    """One opening bracket: its factor and its rank in the order of application, once known."""

    factor: float
    rank: int = -1


@dataclass
class _Scan:
    """The prompt as a flat list of events: words, openers and closers."""

    words: list[tuple[str, float]] = field(default_factory=list)
    # events[i] happens before words[at]: a pair for an opener, the bracket character for a closer
    events: list[tuple[int, str, _Pair | None]] = field(default_factory=list)
    open_pairs: dict[str, list[_Pair]] = field(default_factory=lambda: {"(": [], "[": []})
    closed: int = 0

    def add_text(self, text: str) -> None:
        """Ordinary text. The word BREAK inside it becomes a part of its own."""
        for index, piece in enumerate(split_at_break(text)):
            if index:
                self.words.append((BREAK_WORD, BREAK_WEIGHT))
            self.words.append((piece, 1.0))

    def add_literal(self, text: str) -> None:
        self.words.append((text, 1.0))

    def open(self, bracket: str) -> None:
        pair = _Pair(ROUND_FACTOR if bracket == "(" else SQUARE_FACTOR)
        self.open_pairs[bracket].append(pair)
        self.events.append((len(self.words), bracket, pair))

    def close(self, bracket: str, factor: float | None = None) -> bool:
        """Close the innermost pair of that kind; ``False`` when there is none."""
        if not self.open_pairs[bracket]:
            return False
        pair = self.open_pairs[bracket].pop()
        if factor is not None:
            pair.factor = factor
        self._rank(pair)
        self.events.append((len(self.words), bracket, None))
        return True

    def finish(self) -> None:
        """Openers without a partner apply to the end, the outermost first."""
        for bracket in "([":
            for pair in self.open_pairs[bracket]:
                self._rank(pair)

    def _rank(self, pair: _Pair) -> None:
        pair.rank = self.closed
        self.closed += 1


class _Weights:
    """The factors in force while the words are read a second time."""

    def __init__(self) -> None:
        self._pairs: dict[str, list[_Pair]] = {"(": [], "[": []}
        self._products: dict[str, list[float]] = {"(": [1.0], "[": [1.0]}
        self._current: float | None = 1.0

    def apply(self, bracket: str, pair: _Pair | None) -> None:
        self._current = None
        if pair is None:
            self._pairs[bracket].pop()
            self._products[bracket].pop()
        else:
            self._pairs[bracket].append(pair)
            self._products[bracket].append(self._products[bracket][-1] * pair.factor)

    @property
    def value(self) -> float:
        if self._current is None:
            self._current = self._compute()
        return self._current

    def _compute(self) -> float:
        rounds, squares = self._pairs["("], self._pairs["["]
        if len(rounds) + len(squares) > EXACT_DEPTH:
            return self._products["("][-1] * self._products["["][-1]
        weight = 1.0
        for pair in sorted(rounds + squares, key=lambda item: item.rank):
            weight *= pair.factor
        return weight


def parse_attention(text: str, emphasis: str = "Original") -> list[tuple[str, float]]:
    """Split a prompt into parts of equal weight.

    Args:
        text: one prompt, after editing and AND have been resolved.
        emphasis: name of an emphasis mode. ``"None"`` reads nothing: brackets stay characters.

    Returns:
        ``[(text, weight), ...]``, never empty. A BREAK is the part ``("BREAK", -1.0)``.
        A number such as ``1.2.3`` is no weight: the text stays and the bracket counts 1.1.
        A prompt whose weights leave the range of a float32 (several hundred nested brackets), or
        with more than ``MAX_DEPTH`` brackets open at once, is taken literally.
    """
    if emphasis == "None":
        return [(text, 1.0)]
    scan = _scan(text)
    parts = _merge(_weigh(scan)) if scan is not None else None
    if parts is None or any(not abs(weight) <= FLOAT32_MAX for _, weight in parts):
        return [(text, 1.0)]
    return parts or [("", 1.0)]


def _scan(text: str) -> _Scan | None:
    scan = _Scan()
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        assert match is not None, "every character belongs to one of the three kinds of pieces"
        piece, position = match.group(), match.end()
        if piece[0] == "\\":
            scan.add_literal(piece[1:])
        elif piece in ("(", "["):
            scan.open(piece)
            if len(scan.open_pairs[piece]) > MAX_DEPTH:
                return None
        elif piece == ":":
            weight = _weight_at(text, match.start()) if scan.open_pairs["("] else None
            if weight is None:
                scan.add_literal(piece)
            else:
                scan.close("(", weight[0])
                position = weight[1]
        elif piece in (")", "]"):
            if not scan.close("(" if piece == ")" else "["):
                scan.add_literal(piece)
        else:
            scan.add_text(piece)
    scan.finish()
    return scan


def _weight_at(text: str, colon: int) -> tuple[float, int] | None:
    """The number of ``:number)`` at this colon and the position after it, if it is one."""
    match = _NUMBER_AND_CLOSER.match(text, colon)
    if match is None:
        return None
    try:
        value = float(match.group(1))
    except ValueError:
        return None
    return (value, match.end()) if math.isfinite(value) else None


def _weigh(scan: _Scan) -> list[tuple[str, float]]:
    weights = _Weights()
    parts: list[tuple[str, float]] = []
    events = iter(scan.events)
    event = next(events, None)
    for index, (text, base) in enumerate(scan.words):
        while event is not None and event[0] <= index:
            weights.apply(event[1], event[2])
            event = next(events, None)
        parts.append((text, base * weights.value))
    return parts


def _merge(parts: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Join neighbours of equal weight."""
    merged: list[tuple[str, float]] = []
    run: list[str] = []
    for index, (text, weight) in enumerate(parts):
        run.append(text)
        if index + 1 == len(parts) or parts[index + 1][1] != weight:
            merged.append(("".join(run), weight))
            run = []
    return merged


def split_at_break(text: str) -> list[str]:
    """Split at each BREAK that stands as a word, without the blanks around it."""
    pieces: list[str] = []
    start = 0
    found = text.find(BREAK_WORD)
    while found >= 0:
        end = found + len(BREAK_WORD)
        if not _is_word(text[found - 1 : found]) and not _is_word(text[end : end + 1]):
            pieces.append(text[start:found].rstrip())
            start = end
            while start < len(text) and text[start].isspace():
                start += 1
            end = start
        found = text.find(BREAK_WORD, end)
    pieces.append(text[start:])
    return pieces


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
