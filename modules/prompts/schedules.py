"""Prompt editing and alternation: which text is painted at which step.

    [before:after:when]   before until the step ``when``, then after
    [after:when]          nothing, then after          [before::when]   before, then nothing
    [a|b|c]               one option a step, in turn

``when`` with a decimal point is a fraction of the steps, otherwise a number of steps.
A prompt that cannot be read this way is used literally for all steps.

The prompt is read twice, each time once from left to right: first the brackets are paired, then
the tree of choices is built. Neither pass recurses, so depth costs nothing.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

_SPECIAL = re.compile(r"[\[\]():|\\]")
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")


@dataclass(frozen=True)
class StepClock:
    """How the ``when`` of a prompt becomes a step of the pass that is being prepared.

    In the hires pass the fractions 1 to 2 and the counts above the steps of the first pass are
    meant; earlier switches have already happened.
    """

    steps: int
    fraction_offset: float
    count_offset: int
    old: bool

    @classmethod
    def of(cls, steps: int, hires_steps: int | None, old: bool) -> StepClock:
        if hires_steps is None or old:
            return cls(steps, 0.0, 0, old)
        return cls(hires_steps, 1.0, steps, old)

    def step(self, when: str) -> int:
        """The last step on which the text before the switch is used, at most ``steps``."""
        value = float(when)
        if self.old:
            value = value * self.steps if value < 1 else value
        elif "." in when:
            value = (value - self.fraction_offset) * self.steps
        else:
            value -= self.count_offset
        return int(min(max(value, 0.0), self.steps)) if not math.isnan(value) else self.steps


class Choice:
    """A place in a prompt whose text depends on the step."""

    __slots__ = ()

    def choose(self, step: int) -> Nodes:
        raise NotImplementedError


Nodes = list["str | Choice"]


@dataclass(slots=True)
class Switch(Choice):
    """``before`` up to and including the step ``last``, then ``after``."""

    last: int
    before: Nodes = field(default_factory=list)
    after: Nodes = field(default_factory=list)

    def choose(self, step: int) -> Nodes:
        return self.before if step <= self.last else self.after


@dataclass(slots=True)
class Alternation(Choice):
    """One option a step, the first on step 1."""

    options: list[Nodes]

    def choose(self, step: int) -> Nodes:
        return self.options[(step - 1) % len(self.options)]


def prompt_schedule(
    text: str, steps: int, hires_steps: int | None = None, old_scheduling: bool = False
) -> list[tuple[int, str]]:
    """The texts of a prompt over the steps of one pass.

    Args:
        text: one prompt.
        steps: steps of the first pass.
        hires_steps: steps of the hires pass when the schedule is for that one.
        old_scheduling: numbers below 1 are fractions, both passes share one schedule.

    Returns:
        ``[(last step, text), ...]`` with ascending steps, counted from 1; the last entry ends
        with the last step of the pass.
    """
    clock = StepClock.of(steps, hires_steps, old_scheduling)
    brackets = _pair_brackets(text) if "[" in text else None
    if not brackets:
        return [(clock.steps, text)]
    tree = _Tree(text, brackets, clock)
    return tree.schedule()


# --- first pass: which brackets belong together, and what they are -------------------------------


@dataclass(slots=True)
class _Bracket:
    """An open bracket while its inside is read; afterwards a choice between texts."""

    character: str
    start: int
    colons: list[int] = field(default_factory=list)
    pipes: list[int] = field(default_factory=list)
    nested_in_last_field: bool = False
    end: int = -1
    when: str = ""

    def add_separator(self, character: str, position: int) -> None:
        (self.colons if character == ":" else self.pipes).append(position)
        self.nested_in_last_field = False

    def complete(self, text: str, end: int) -> bool:
        """Whether the inside follows the grammar. Sets ``when`` for a switch."""
        self.end = end
        if self.character == "(":
            return len(self.colons) <= 1
        if self.pipes or not self.colons:
            return not self.colons
        number = None
        if len(self.colons) <= 2 and not self.nested_in_last_field:
            number = _NUMBER.fullmatch(text, self.colons[-1] + 1, end)
        self.when = number.group(1) if number else ""
        return number is not None

    @property
    def is_choice(self) -> bool:
        return bool(self.when or self.pipes)


def _pair_brackets(text: str) -> dict[int, _Bracket] | None:
    """The choices of a prompt by the position of their opener; ``None`` if it does not parse.

    A bracket without partner makes every bracket around it a plain character: the grammar allows
    such characters only at the outermost level. A ``|`` is not allowed there, nor is a backslash
    with nothing to escape.
    """
    choices: dict[int, _Bracket] = {}
    stack: list[_Bracket] = []
    pipes_in_stack = 0
    for position, character in _special_characters(text):
        if character == "\\":
            return None
        if character in "([":
            stack.append(_Bracket(character, position))
        elif character in ":|":
            if character == "|":
                if not stack or stack[-1].character == "(":
                    return None
                pipes_in_stack += 1
            if stack:
                stack[-1].add_separator(character, position)
        elif stack:
            bracket = stack.pop()
            fits = bracket.character == ("(" if character == ")" else "[")
            if fits and bracket.complete(text, position):
                pipes_in_stack -= len(bracket.pipes)
                if bracket.is_choice:
                    choices[bracket.start] = bracket
                if stack:
                    stack[-1].nested_in_last_field = True
            elif pipes_in_stack:
                return None
            else:
                stack.clear()
    return None if pipes_in_stack else choices


def _special_characters(text: str) -> Iterator[tuple[int, str]]:
    """Positions of brackets and separators. A backslash is yielded only if it escapes nothing."""
    escaped = -1
    for match in _SPECIAL.finditer(text):
        position = match.start()
        if position == escaped:
            continue
        if match.group() == "\\" and position + 1 < len(text) and text[position + 1] != "\n":
            escaped = position + 1
            continue
        yield position, match.group()


# --- second pass: the tree of choices, and the text of a step ------------------------------------


@dataclass(slots=True)
class _Border:
    """A place where a field of a choice begins (``field``) or where the choice ends (``None``)."""

    at: int
    resume: int  # the text goes on here
    field: Nodes | None
    opens: Choice | None = None


class _Tree:
    """A prompt as nested choices."""

    def __init__(self, text: str, choices: dict[int, _Bracket], clock: StepClock) -> None:
        self._clock = clock
        self._ends: set[int] = {clock.steps}
        self._cycles: set[int] = set()
        self._root = self._build(text, choices)

    def _build(self, text: str, choices: dict[int, _Bracket]) -> Nodes:
        root: Nodes = []
        target = root
        enclosing: list[Nodes] = []
        position = 0
        for border in self._borders(choices):
            if border.at > position:
                target.append(text[position : border.at])
            position = border.resume
            if border.opens is not None:
                target.append(border.opens)
                enclosing.append(target)
            target = enclosing.pop() if border.field is None else border.field
        if position < len(text):
            target.append(text[position:])
        return root

    def _borders(self, choices: dict[int, _Bracket]) -> list[_Border]:
        borders: list[_Border] = []
        for bracket in choices.values():
            choice: Choice
            if bracket.pipes:
                fields: list[Nodes] = [[] for _ in range(len(bracket.pipes) + 1)]
                choice = self._alternation(fields)
                separators, end = bracket.pipes, bracket.end
            else:
                switch = self._switch(bracket.when)
                choice = switch
                fields = [switch.before, switch.after] if len(bracket.colons) == 2 else [switch.after]
                separators, end = bracket.colons[:-1], bracket.colons[-1]
            borders.append(_Border(bracket.start, bracket.start + 1, fields[0], choice))
            borders += [_Border(at, at + 1, nodes) for at, nodes in zip(separators, fields[1:], strict=True)]
            borders.append(_Border(end, bracket.end + 1, None))
        return sorted(borders, key=lambda border: border.at)

    def _alternation(self, options: list[Nodes]) -> Alternation:
        self._cycles.add(len(options))
        return Alternation(options)

    def _switch(self, when: str) -> Switch:
        last = self._clock.step(when)
        if last >= 1:
            self._ends.add(last)
        return Switch(last)

    def schedule(self) -> list[tuple[int, str]]:
        switches = sorted(self._ends)
        ends = range(1, self._clock.steps + 1) if self._cycles else switches
        seen: dict[tuple[int, ...], str] = {}
        result = []
        for step in ends or switches:
            # Steps that make the same choices share one string: 150 steps of a long prompt stay small.
            key = (bisect_left(switches, step), *((step - 1) % cycle for cycle in self._cycles))
            if key not in seen:
                seen[key] = _render(self._root, step)
            result.append((step, seen[key]))
        return result


def _render(root: Nodes, step: int) -> str:
    out: list[str] = []
    stack = [iter(root)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, str):
                out.append(item)
            else:
                stack.append(iter(item.choose(step)))
                break
        else:
            stack.pop()
    return "".join(out)
