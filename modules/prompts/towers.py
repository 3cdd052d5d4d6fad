"""A text encoder together with its tokenizer and the layer that the UNet was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from modules.checkpoints.spec import TextEncoderSpec
from modules.devices.policy import DevicePolicy
from modules.errors import InvalidInput
from modules.prompts.bpe import Vocabulary
from modules.prompts.chunks import Chunk, ChunkedText, EmbeddingMatcher, chunk_prompt
from modules.prompts.old_emphasis import chunk_old_emphasis
from modules.prompts.text_options import TextOptions
from modules.prompts.tokenizer import ClipTokenizer

CHUNKS_PER_CALL = 16
OPEN_CLIP = "open_clip"


class TextEncoder(Protocol):
    """What is needed of ``CLIPTextModel`` and ``OpenCLIPTextModel``."""

    @property
    def token_embedding(self) -> nn.Embedding: ...

    @property
    def final_layer_norm(self) -> nn.LayerNorm: ...

    def __call__(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, layers: int | None = None
    ) -> list[Tensor]:
        """Hidden states [B, 77, D]: the embeddings, then each layer's output."""


class PoolingEncoder(TextEncoder, Protocol):
    """An encoder that also gives one vector for a text."""

    def pooled(self, last: Tensor, input_ids: Tensor) -> Tensor:
        """[B, E] from the last hidden state [B, 77, D] and the tokens [B, 77]."""


@dataclass(frozen=True)
class TextTower:
    """One encoder. ``label``: "clip_l" or "clip_g", the name under which embeddings keep vectors for it."""

    encoder: TextEncoder
    spec: TextEncoderSpec
    tokenizer: ClipTokenizer
    policy: DevicePolicy
    label: str

    def chunk(self, text: str, options: TextOptions, matcher: EmbeddingMatcher | None) -> ChunkedText:
        """Cut a text for this encoder."""
        if options.use_old_emphasis:
            return chunk_old_emphasis(text, self.tokenizer, emphasis=options.emphasis, matcher=matcher)
        return chunk_prompt(
            text,
            self.tokenizer,
            emphasis=options.emphasis,
            comma_padding_backtrack=options.comma_padding_backtrack,
            matcher=matcher,
        )

    def encode(self, chunks: Sequence[Chunk], options: TextOptions) -> tuple[Tensor, Tensor | None]:
        """Read chunks, weights aside.

        Returns:
            States [N, 77, D] of the layer that ``options`` ask for, and the pooled texts [N, E] if
            the UNet wants them.
        """
        states: list[Tensor] = []
        pooled: list[Tensor] = []
        with torch.no_grad(), self.policy.autocast_context(self.policy.text_dtype):
            for start in range(0, len(chunks), CHUNKS_PER_CALL):
                state, vector = self._encode(chunks[start : start + CHUNKS_PER_CALL], options)
                states.append(state)
                if vector is not None:
                    pooled.append(vector)
        return torch.cat(states), torch.cat(pooled) if pooled else None

    def _encode(self, chunks: Sequence[Chunk], options: TextOptions) -> tuple[Tensor, Tensor | None]:
        layer = self._layer(options)
        # Layers above the chosen one matter only for the pooled text.
        needed = None if self.spec.pooled else layer
        ids = self._input_ids(chunks)
        if any(chunk.embeddings for chunk in chunks):
            states = self.encoder(inputs_embeds=self._input_vectors(ids, chunks), layers=needed)
        else:
            states = self.encoder(input_ids=ids, layers=needed)
        chosen = states[layer]
        if self.spec.final_norm:
            chosen = self.encoder.final_layer_norm(chosen)
        if not self.spec.pooled:
            return chosen, None
        return chosen, cast(PoolingEncoder, self.encoder).pooled(states[-1], ids)

    def _layer(self, options: TextOptions) -> int:
        """Index of the hidden state. Clip skip is for SD1, and by a setting for SDXL's first encoder."""
        skips = self.spec.final_norm and options.clip_skip > 1
        if self.spec.kind == OPEN_CLIP or not (
            skips or (options.sdxl_clip_l_skip and not self.spec.final_norm)
        ):
            return self.spec.layer
        return max(self.spec.layers + 1 - max(options.clip_skip, 1), 0)

    def _input_ids(self, chunks: Sequence[Chunk]) -> Tensor:
        rows = [self._padded(chunk.tokens) for chunk in chunks]
        return torch.tensor(rows, dtype=torch.int64, device=self.encoder.token_embedding.weight.device)

    def _padded(self, tokens: tuple[int, ...]) -> list[int]:
        """SD1 was trained with end tokens behind the text, OpenCLIP with zeros behind the first of them."""
        row = list(tokens)
        if self.spec.kind == OPEN_CLIP:
            behind = row.index(self.tokenizer.end_token) + 1
            row[behind:] = [0] * (len(row) - behind)
        return row

    def _input_vectors(self, ids: Tensor, chunks: Sequence[Chunk]) -> Tensor:
        table = self.encoder.token_embedding
        vectors = table(ids)
        for row, chunk in enumerate(chunks):
            for item in chunk.embeddings:
                learned = item.embedding.vectors(self.label)
                if learned is None or learned.shape[-1] != vectors.shape[-1]:
                    raise InvalidInput(
                        f'The embedding "{item.embedding.name}" was made for another model family than the '
                        "loaded one. Leave its name out of the prompt, or load a model that it fits.",
                        "prompt",
                    )
                vectors[row, item.offset : item.offset + item.count] = learned[
                    item.first : item.first + item.count
                ].to(vectors)
        return vectors


def make_towers(
    encoders: Sequence[object],
    specs: Sequence[TextEncoderSpec],
    policy: DevicePolicy,
    vocabulary: Vocabulary | None = None,
) -> tuple[TextTower, ...]:
    """One tower for each encoder of a model; they share one vocabulary."""
    shared = vocabulary or Vocabulary()
    towers = []
    for encoder, spec in zip(encoders, specs, strict=True):
        is_open_clip = spec.kind == OPEN_CLIP
        tokenizer = ClipTokenizer(shared, unescape_html=is_open_clip)
        label = "clip_g" if is_open_clip else "clip_l"
        towers.append(TextTower(cast(TextEncoder, encoder), spec, tokenizer, policy, label))
    return tuple(towers)
