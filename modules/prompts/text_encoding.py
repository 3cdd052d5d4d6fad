"""Texts to tensors: chunk, encode, weigh, join."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from modules.checkpoints.conditioning import Conditioning
from modules.checkpoints.spec import ModelSpec
from modules.devices.policy import DevicePolicy
from modules.errors import ModelFileError
from modules.prompts.chunks import Chunk, EmbeddingMatcher, empty_chunk
from modules.prompts.emphasis import find_emphasis
from modules.prompts.size_vector import embed_numbers, size_numbers
from modules.prompts.text_options import TextOptions
from modules.prompts.towers import TextTower, make_towers


class ModelWithText(Protocol):
    """What encoding needs of a ``DiffusionModel``."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def text_encoders(self) -> tuple[object, ...]: ...

    @property
    def policy(self) -> DevicePolicy: ...


@dataclass(frozen=True)
class EncodedTexts:
    """Texts that were encoded together.

    ``rows`` holds one row per different text; ``index[i]`` is the row of text i.
    """

    rows: Conditioning
    index: tuple[int, ...]

    def expanded(self) -> Conditioning:
        """One row per text."""
        return self.rows if self.index == tuple(range(len(self.rows))) else self.rows[self.index]


@dataclass(frozen=True)
class TextSystem:
    """The text side of a loaded model: its encoders and what the UNet expects of them."""

    towers: tuple[TextTower, ...]
    size_fields: int
    zero_when_empty: bool

    @classmethod
    def of(cls, model: ModelWithText) -> TextSystem:
        """
        Raises:
            ModelFileError: the checkpoint holds no text encoder.
        """
        if not model.text_encoders:
            raise ModelFileError(
                "The checkpoint holds no text encoder, so it cannot read prompts. Load a complete checkpoint."
            )
        spec = model.spec
        towers = make_towers(model.text_encoders, spec.text_encoders, model.policy)
        return cls(towers, spec.size_fields, spec.size_fields > 0)

    def encode(
        self,
        texts: Sequence[str],
        options: TextOptions,
        *,
        negative: bool = False,
        matcher: EmbeddingMatcher | None = None,
    ) -> EncodedTexts:
        """Encode texts together.

        Together means: all get the length of the longest, filled up with empty chunks, and the
        emphasis "Original" keeps the mean over all of them.

        Args:
            texts: at least one text.
            negative: the texts are a negative prompt. For SDXL an empty one becomes zeros.
            matcher: finds embeddings by name.

        Raises:
            InvalidInput: there is no such emphasis mode.
        """
        find_emphasis(options.emphasis)
        counts = Counter(texts)
        distinct = list(counts)
        row = {text: number for number, text in enumerate(distinct)}
        chunked = [[tower.chunk(text, options, matcher).chunks for text in distinct] for tower in self.towers]
        length = max(len(chunks) for per_tower in chunked for chunks in per_tower)
        occurrences = torch.tensor([counts[text] for text in distinct], dtype=torch.float32)
        states: list[Tensor] = []
        pooled: list[Tensor] = []
        for tower, per_text in zip(self.towers, chunked, strict=True):
            state, text_vector = _encode_tower(tower, per_text, length, options, occurrences)
            states.append(state)
            if text_vector is not None:
                pooled.append(text_vector)
        crossattn = torch.cat(states, dim=2)
        if negative and self.zero_when_empty and distinct == [""]:
            crossattn, pooled = torch.zeros_like(crossattn), [torch.zeros_like(part) for part in pooled]
        vector = self._vector(pooled, options, negative)
        rows = Conditioning(crossattn, vector)
        if options.upcast:
            rows = rows.to(dtype=torch.float32)
        return EncodedTexts(rows, tuple(row[text] for text in texts))

    def _vector(self, pooled: list[Tensor], options: TextOptions, negative: bool) -> Tensor | None:
        if not pooled or not self.size_fields:
            return None
        text = torch.cat(pooled, dim=1)
        sizes = embed_numbers(size_numbers(self.size_fields, options, negative)).to(text)
        return torch.cat([text, sizes.expand(len(text), -1)], dim=1)


def encode_texts(
    model: ModelWithText,
    texts: Sequence[str],
    options: TextOptions,
    *,
    negative: bool = False,
    matcher: EmbeddingMatcher | None = None,
) -> Conditioning:
    """Encode texts together, one row each: crossattn [len(texts), 77 * chunks, D] and, for SDXL, vector."""
    return TextSystem.of(model).encode(texts, options, negative=negative, matcher=matcher).expanded()


def _encode_tower(
    tower: TextTower,
    per_text: Sequence[tuple[Chunk, ...]],
    length: int,
    options: TextOptions,
    counts: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """States [texts, 77 * length, D] and the pooled output of the first chunks."""
    empty = empty_chunk(tower.tokenizer)
    filled = [[*chunks, *[empty] * (length - len(chunks))] for chunks in per_text]
    distinct: dict[object, int] = {}
    chunks: list[Chunk] = []
    for chunk in (chunk for row in filled for chunk in row):
        if distinct.setdefault(_content(chunk), len(chunks)) == len(chunks):
            chunks.append(chunk)
    states, pooled = tower.encode(chunks, options)
    parts = []
    for place in range(length):
        column = [row[place] for row in filled]
        part = states[[distinct[_content(chunk)] for chunk in column]]
        if any(chunk.is_weighted for chunk in column):
            weights = torch.tensor([chunk.weights for chunk in column], device=part.device)
            part = find_emphasis(options.emphasis).apply(part, weights, counts.to(part.device))
        parts.append(part)
    first = [distinct[_content(row[0])] for row in filled]
    return torch.cat(parts, dim=1), None if pooled is None else pooled[first]


def _content(chunk: Chunk) -> object:
    """What the encoder sees of a chunk: chunks that differ only in their weights are read once."""
    placed = tuple((item.offset, id(item.embedding), item.first, item.count) for item in chunk.embeddings)
    return chunk.tokens, placed
