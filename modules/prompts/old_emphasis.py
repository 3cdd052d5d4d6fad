"""The first emphasis of the field, kept for old seeds: brackets are tokens that change a running weight.

There are no numbers, no escapes and no BREAK; what does not fit into one chunk of 75 tokens is cut.
"""

from __future__ import annotations

from functools import reduce

from modules.prompts.attention import ROUND_FACTOR
from modules.prompts.chunks import (
    CHUNK_TOKENS,
    ChunkedText,
    EmbeddingMatcher,
    PlacedEmbedding,
    close,
)
from modules.prompts.tokenizer import ClipTokenizer


def chunk_old_emphasis(
    text: str,
    tokenizer: ClipTokenizer,
    *,
    emphasis: str = "Original",
    matcher: EmbeddingMatcher | None = None,
) -> ChunkedText:
    """One chunk whose weights follow the brackets among the tokens.

    A token whose brackets cancel out, such as ``()``, stays a word; any other token with brackets
    only changes the weight, and what else it holds (``),``) is lost.
    """
    tokens: list[int] = []
    weights: list[float] = []
    placed: list[PlacedEmbedding] = []
    source = tokenizer.encode(text)
    names = tokenizer.vocabulary.pairs.tokens
    weight = 1.0
    position = 0
    while position < len(source):
        change = bracket_factor(names[source[position]]) if emphasis != "None" else 1.0
        found = matcher.match(source, position) if matcher else None
        if change != 1.0:
            weight *= change
            position += 1
        elif found is None:
            tokens.append(source[position])
            weights.append(weight)
            position += 1
        else:
            embedding, length = found
            room = max(min(embedding.vector_count, CHUNK_TOKENS - len(tokens)), 0)
            if room:
                placed.append(PlacedEmbedding(len(tokens) + 1, embedding, 0, room))
            tokens += [0] * embedding.vector_count
            weights += [weight] * embedding.vector_count
            position += length
    chunk = close(tokens[:CHUNK_TOKENS], weights[:CHUNK_TOKENS], placed, tokenizer)
    return ChunkedText((chunk,), len(tokens))


def bracket_factor(token: str) -> float:
    """What the brackets in one token do to the weight; 1.0 for a token without brackets."""

    def step(factor: float, character: str) -> float:
        if character in "(]":
            return factor * ROUND_FACTOR
        if character in ")[":
            return factor / ROUND_FACTOR
        return factor

    return reduce(step, token, 1.0)
