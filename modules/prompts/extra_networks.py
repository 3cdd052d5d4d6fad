"""Tags that switch on extra networks: ``<lora:name:0.8>``, ``<hypernet:name:0.5>``.

The tags are taken out of the prompt. What they mean is decided where the networks live: here a
tag is a kind and a list of arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_OPENING = re.compile(r"<(\w+):")


@dataclass
class ExtraNetworkParams:
    """The arguments of one tag.

    ``items`` are all arguments as written. ``key=value`` with exactly one equals sign is found in
    ``named``, everything else in ``positional``; the first of these is the name of the network.
    """

    items: list[str] = field(default_factory=list)
    positional: list[str] = field(default_factory=list, init=False)
    named: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for item in self.items:
            key, _, value = item.partition("=")
            if item.count("=") == 1:
                self.named[key] = value
            else:
                self.positional.append(item)


Networks = dict[str, list[ExtraNetworkParams]]


def parse_extra_networks(text: str) -> tuple[str, Networks]:
    """Take the tags out of a prompt.

    Returns:
        The prompt without tags, and the arguments of the tags by kind (``"lora"``) in the order
        in which they stand. Unknown kinds are taken out as well.
    """
    kept: list[str] = []
    networks: Networks = {}
    position = 0
    for start, end, kind, arguments in _tags(text):
        kept.append(text[position:start])
        position = end
        networks.setdefault(kind, []).append(ExtraNetworkParams(arguments.split(":")))
    kept.append(text[position:])
    return "".join(kept), networks


def parse_batch(prompts: Iterable[str]) -> tuple[list[str], Networks]:
    """Take the tags out of every prompt of a batch; the first prompt alone decides what is active."""
    parsed = [parse_extra_networks(prompt) for prompt in prompts]
    return [text for text, _ in parsed], parsed[0][1] if parsed else {}


def _tags(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Each tag as (start, end, kind, arguments)."""
    position = 0
    closer = -1
    while (opening := _OPENING.search(text, position)) is not None:
        # Remembering the next closer keeps a prompt full of unclosed openers linear.
        if closer < opening.end():
            closer = text.find(">", opening.end())
        if closer < 0:
            return
        if closer > opening.end():
            yield opening.start(), closer + 1, opening.group(1), text[opening.end() : closer]
            position = closer + 1
        else:
            position = opening.start() + 1
