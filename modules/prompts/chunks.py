"""From text to chunks of 75 tokens, each with a start and an end token: what an encoder reads at once.

A prompt longer than one chunk goes on in the next. So that no phrase is torn apart, the words after
the last comma move along when that comma lies near the end of the chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from modules.prompts.attention import BREAK_WEIGHT, BREAK_WORD, parse_attention

if TYPE_CHECKING:  # counting tokens needs no torch
    from torch import Tensor

CHUNK_TOKENS = 75
CHUNK_LENGTH = CHUNK_TOKENS + 2


class Tokenizer(Protocol):
    """What chunking needs of a tokenizer."""

    start_token: int
    end_token: int
    comma_token: int

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without start and end."""


class Embedding(Protocol):
    """Learned vectors that stand for a word (textual inversion, Gal et al. 2022, arXiv:2208.01618)."""

    @property
    def name(self) -> str:
        """The word."""

    @property
    def vector_count(self) -> int:
        """How many tokens it takes."""

    def vectors(self, encoder: str) -> Tensor | None:
        """[vector_count, D] for the encoder ``"clip_l"`` or ``"clip_g"``; ``None`` if made for another."""


class EmbeddingMatcher(Protocol):
    """Finds embeddings by the tokens of their name.

    ``signature`` changes whenever the set of embeddings or their vectors change.
    """

    signature: Hashable

    def match(self, tokens: Sequence[int], position: int) -> tuple[Embedding, int] | None:
        """The embedding whose name begins at ``position``, and how many tokens the name takes."""


class TokenSequenceMatcher:
    """Embeddings looked up by the first token of their name, the longest name first."""

    def __init__(
        self, embeddings: Iterable[Embedding], encode: Callable[[str], list[int]], signature: Hashable = None
    ) -> None:
        self._by_first: dict[int, list[tuple[tuple[int, ...], Embedding]]] = {}
        names = []
        for embedding in embeddings:
            tokens = tuple(encode(embedding.name))
            if tokens:
                self._by_first.setdefault(tokens[0], []).append((tokens, embedding))
                names.append(embedding.name)
        for candidates in self._by_first.values():
            candidates.sort(key=lambda candidate: len(candidate[0]), reverse=True)
        self.signature: Hashable = (tuple(names), signature)

    def match(self, tokens: Sequence[int], position: int) -> tuple[Embedding, int] | None:
        for name, embedding in self._by_first.get(tokens[position], ()):
            if tuple(tokens[position : position + len(name)]) == name:
                return embedding, len(name)
        return None


@dataclass(frozen=True)
class PlacedEmbedding:
    """Vectors ``first`` to ``first + count`` of an embedding, put at ``offset`` of the 77 places."""

    offset: int
    embedding: Embedding
    first: int
    count: int


@dataclass(frozen=True)
class Chunk:
    """77 tokens with their weights. Places taken by an embedding hold token 0."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]
    embeddings: tuple[PlacedEmbedding, ...] = ()

    @property
    def is_weighted(self) -> bool:
        return any(weight != 1.0 for weight in self.weights)


@dataclass(frozen=True)
class ChunkedText:
    """The chunks of a text, at least one.

    ``token_count`` counts closed chunks as 75 and the last one by its own tokens.
    """

    chunks: tuple[Chunk, ...]
    token_count: int

    @property
    def capacity(self) -> int:
        """Tokens that fit before another chunk would be needed, as the counter of the page shows."""
        return max(-(-self.token_count // CHUNK_TOKENS), 1) * CHUNK_TOKENS


def chunk_prompt(
    text: str,
    tokenizer: Tokenizer,
    *,
    emphasis: str = "Original",
    comma_padding_backtrack: int = 20,
    matcher: EmbeddingMatcher | None = None,
) -> ChunkedText:
    """Cut one text into chunks.

    Args:
        text: one text of a schedule.
        emphasis: name of an emphasis mode; ``"None"`` keeps brackets and BREAK as words.
        comma_padding_backtrack: how many tokens back a comma may lie to be cut at; 0: never.
        matcher: finds the names of embeddings among the tokens.
    """
    builder = _Builder(tokenizer, comma_padding_backtrack)
    for part, weight in parse_attention(text, emphasis):
        if part == BREAK_WORD and weight == BREAK_WEIGHT:
            builder.close_chunk()
            continue
        tokens = tokenizer.encode(part)
        position = 0
        while position < len(tokens):
            builder.make_room(tokens[position])
            found = matcher.match(tokens, position) if matcher else None
            if found is None:
                builder.add(tokens[position], weight)
                position += 1
            else:
                builder.add_embedding(found[0], weight)
                position += found[1]
    return builder.finish()


def count_tokens(
    text: str,
    tokenizer: Tokenizer,
    *,
    emphasis: str = "Original",
    comma_padding_backtrack: int = 20,
    matcher: EmbeddingMatcher | None = None,
) -> tuple[int, int]:
    """``(used, capacity)`` of one text for the counter of the page, such as ``(96, 150)``."""
    chunked = chunk_prompt(
        text,
        tokenizer,
        emphasis=emphasis,
        comma_padding_backtrack=comma_padding_backtrack,
        matcher=matcher,
    )
    return chunked.token_count, chunked.capacity


def empty_chunk(tokenizer: Tokenizer) -> Chunk:
    """A chunk without words, to which the texts of a batch are filled up."""
    return _Builder(tokenizer, 0).finish().chunks[0]


@dataclass
class _Builder:
    """The chunk that is being filled, and those that are closed."""

    tokenizer: Tokenizer
    backtrack: int
    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    placed: list[PlacedEmbedding] = field(default_factory=list)
    closed: list[Chunk] = field(default_factory=list)
    after_comma: int | None = None  # where the words after the last comma begin

    def make_room(self, token: int) -> None:
        """Called before each token: note a comma, or open a chunk when this one is full."""
        full = len(self.tokens) == CHUNK_TOKENS
        if token == self.tokenizer.comma_token:
            self.after_comma = len(self.tokens) + 1
        elif full and self.after_comma is not None and len(self.tokens) - self.after_comma < self.backtrack:
            self._carry_over(self.after_comma)
            return
        if full:
            self.close_chunk()

    def add(self, token: int, weight: float) -> None:
        self.tokens.append(token)
        self.weights.append(weight)

    def add_embedding(self, embedding: Embedding, weight: float) -> None:
        """Place the vectors in one chunk, or over several if they are more than 75."""
        first = 0
        while first < embedding.vector_count:
            count = min(embedding.vector_count - first, CHUNK_TOKENS)
            if len(self.tokens) + count > CHUNK_TOKENS:
                self.close_chunk()
            self.placed.append(PlacedEmbedding(len(self.tokens) + 1, embedding, first, count))
            self.tokens += [0] * count
            self.weights += [weight] * count
            first += count

    def close_chunk(self) -> None:
        self.closed.append(close(self.tokens, self.weights, self.placed, self.tokenizer))
        self.tokens, self.weights, self.placed = [], [], []
        self.after_comma = None

    def finish(self) -> ChunkedText:
        last = len(self.tokens)
        closed_before = len(self.closed)
        if self.tokens or not self.closed:
            self.close_chunk()
        return ChunkedText(tuple(self.closed), closed_before * CHUNK_TOKENS + last)

    def _carry_over(self, cut: int) -> None:
        """Close the chunk at ``cut`` and begin the next one with what stands behind."""
        tokens, weights = self.tokens[cut:], self.weights[cut:]
        placed = [_moved(item, -cut) for item in self.placed if item.offset > cut]
        self.tokens, self.weights = self.tokens[:cut], self.weights[:cut]
        self.placed = [item for item in self.placed if item.offset <= cut]
        self.close_chunk()
        self.tokens, self.weights, self.placed = tokens, weights, placed


def close(
    tokens: Sequence[int], weights: Sequence[float], placed: Sequence[PlacedEmbedding], tokenizer: Tokenizer
) -> Chunk:
    """At most 75 tokens between a start token and as many end tokens as make 77."""
    padding = CHUNK_TOKENS - len(tokens)
    return Chunk(
        (tokenizer.start_token, *tokens, *[tokenizer.end_token] * (padding + 1)),
        (1.0, *weights, *[1.0] * (padding + 1)),
        tuple(placed),
    )


def _moved(item: PlacedEmbedding, distance: int) -> PlacedEmbedding:
    return PlacedEmbedding(item.offset + distance, item.embedding, item.first, item.count)
