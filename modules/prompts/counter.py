"""The token counter beside the prompt field."""

from __future__ import annotations

from modules.prompts.chunks import EmbeddingMatcher, Tokenizer, count_tokens
from modules.prompts.composition import split_and
from modules.prompts.extra_networks import parse_extra_networks
from modules.prompts.schedules import prompt_schedule


def count_prompt(
    prompt: str,
    tokenizer: Tokenizer,
    *,
    steps: int = 20,
    positive: bool = True,
    emphasis: str = "Original",
    comma_padding_backtrack: int = 20,
    matcher: EmbeddingMatcher | None = None,
) -> tuple[int, int]:
    """``(used, capacity)`` of the longest text that a prompt turns into over its steps and parts.

    Styles and comments are dealt with before; tags of extra networks are left out here.
    ``positive``: the word AND is read.
    """
    text, _ = parse_extra_networks(prompt)
    parts = [part for part, _ in split_and(text)] if positive else [text]
    texts = {text for part in parts for _, text in prompt_schedule(part, max(steps, 1))}
    counts = [
        count_tokens(
            text,
            tokenizer,
            emphasis=emphasis,
            comma_padding_backtrack=comma_padding_backtrack,
            matcher=matcher,
        )
        for text in texts
    ]
    return max(counts)
