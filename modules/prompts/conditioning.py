"""Prompts to what the denoiser is conditioned on at each step."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from modules.checkpoints.conditioning import Conditioning
from modules.prompts.cache import LruCache
from modules.prompts.chunks import EmbeddingMatcher
from modules.prompts.composition import compose
from modules.prompts.schedules import prompt_schedule
from modules.prompts.text_encoding import EncodedTexts, ModelWithText, TextSystem
from modules.prompts.text_options import TextOptions

CACHE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Pass:
    """Which pass of the picture the prompts are read for.

    ``steps``: steps of the first pass as the denoiser counts them. ``hires_steps``: those of the
    hires pass when the schedule is for that one. ``old_scheduling``: the setting of that name.
    """

    steps: int
    hires_steps: int | None = None
    old_scheduling: bool = False


@dataclass(frozen=True)
class ScheduledPrompt:
    """The texts of one prompt over the steps, encoded. ``ends`` are their last steps, ascending."""

    ends: tuple[int, ...]
    encoded: EncodedTexts

    def entry(self, step: int) -> int:
        """Which text is in force when the denoiser is called for the ``step``-th time, from 0.

        A text stays up to and including its last step, so that [a:b:4] calls the denoiser five times
        with a. Past the last step (samplers that call more often than planned) the reference begins
        again with the first text, and pictures should be the same.
        """
        return next((number for number, end in enumerate(self.ends) if step <= end), 0)

    def row(self, entry: int) -> Conditioning:
        number = self.encoded.index[entry]
        return self.encoded.rows[number : number + 1]


class _Stack:
    """Several scheduled prompts as rows of one tensor, remade only when a text changes."""

    def __init__(self, prompts: Sequence[ScheduledPrompt]) -> None:
        self._prompts = tuple(prompts)
        self._last: tuple[tuple[int, ...], Conditioning] | None = None

    def at(self, step: int) -> Conditioning:
        entries = tuple(prompt.entry(step) for prompt in self._prompts)
        last = self._last
        if last is None or last[0] != entries:
            pairs = zip(self._prompts, entries, strict=True)
            last = (entries, stack_rows([prompt.row(entry) for prompt, entry in pairs]))
            self._last = last
        return last[1]


class UncondSchedule:
    """Negative prompts of a batch over the steps."""

    def __init__(self, prompts: Sequence[ScheduledPrompt]) -> None:
        self._stack = _Stack(prompts)

    def at(self, step: int) -> Conditioning:
        """One row per picture, for the ``step``-th call of the denoiser, counted from 0."""
        return self._stack.at(step)


@dataclass(frozen=True)
class ComposedConditioning:
    """Sub-prompts of a batch.

    ``rows``: one row per sub-prompt, picture after picture. ``parts[i]``: the pairs (row, weight)
    of picture i.
    """

    rows: Conditioning
    parts: list[list[tuple[int, float]]]


class CondSchedule:
    """Prompts of a batch over the steps. ``parts[i]`` are (scheduled text, weight) of picture i."""

    def __init__(self, parts: Sequence[Sequence[tuple[ScheduledPrompt, float]]]) -> None:
        self._stack = _Stack([prompt for picture in parts for prompt, _ in picture])
        self.parts: list[list[tuple[int, float]]] = []
        row = 0
        for picture in parts:
            self.parts.append([(row + number, weight) for number, (_, weight) in enumerate(picture)])
            row += len(picture)

    def at(self, step: int) -> ComposedConditioning:
        """The rows for the ``step``-th call of the denoiser, counted from 0."""
        return ComposedConditioning(self._stack.at(step), self.parts)


class PromptConditioner:
    """Reads prompts for one loaded model, and remembers the tensors of texts it has read.

    Keep it as long as the model and no longer: it holds the encoders, but not the model.

    Args:
        model: supplies the text encoders.
        matcher: finds embeddings; may be replaced at any time through the attribute.
            So may ``network_state``, which stands for what networks have made of the encoders: tensors that
            were read in another state are not used.
        cache_bytes: most memory for remembered tensors.
    """

    def __init__(
        self, model: ModelWithText, matcher: EmbeddingMatcher | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.system = TextSystem.of(model)
        self.matcher = matcher
        self.network_state: Hashable = None
        self.cache: LruCache[EncodedTexts] = LruCache(cache_bytes, _bytes_of)

    def uncond(self, prompts: Sequence[str], which: Pass, options: TextOptions) -> UncondSchedule:
        """Negative prompts, one per picture. AND is not read there."""
        return UncondSchedule([self._scheduled(prompt, which, options, negative=True) for prompt in prompts])

    def cond(
        self, prompts: Sequence[str], which: Pass, options: TextOptions, *, read_and: bool = True
    ) -> CondSchedule:
        """Prompts, one per picture; extra network tags are already removed.

        ``read_and``: ``False`` takes the word AND literally (edit models).
        """
        if not read_and:
            return CondSchedule([[(self._scheduled(prompt, which, options), 1.0)] for prompt in prompts])
        composition = compose(list(prompts))
        scheduled = [self._scheduled(text, which, options) for text in composition.texts]
        return CondSchedule(
            [[(scheduled[text], weight) for text, weight in picture] for picture in composition.parts]
        )

    def empty_chunk(self, options: TextOptions) -> Tensor:
        """The encoding of an empty text, [1, 77, D]: what ``pad_cond_uncond`` fills up with."""
        return self._encode(("",), options, negative=False).rows.crossattn

    def _scheduled(
        self, prompt: str, which: Pass, options: TextOptions, negative: bool = False
    ) -> ScheduledPrompt:
        schedule = prompt_schedule(prompt, which.steps, which.hires_steps, which.old_scheduling)
        encoded = self._encode(tuple(text for _, text in schedule), options, negative)
        return ScheduledPrompt(tuple(end for end, _ in schedule), encoded)

    def _encode(self, texts: tuple[str, ...], options: TextOptions, negative: bool) -> EncodedTexts:
        matcher = self.matcher
        key = self._key(texts, options, negative, matcher.signature if matcher else None)
        return self.cache.get(
            key, lambda: self.system.encode(texts, options, negative=negative, matcher=matcher)
        )

    def _key(
        self, texts: tuple[str, ...], options: TextOptions, negative: bool, embeddings: Hashable
    ) -> Hashable:
        if not self.system.size_fields:
            # Only SDXL reads the size and tells prompt from negative prompt.
            options, negative = replace(options, width=0, height=0), False
        return texts, options, negative, embeddings, self.network_state


def stack_rows(rows: Sequence[Conditioning]) -> Conditioning:
    """Join rows of different length; the shorter ones repeat their last token vector."""
    longest = max(row.crossattn.shape[1] for row in rows)
    return Conditioning.cat([replace(row, crossattn=lengthen(row.crossattn, longest)) for row in rows])


def lengthen(crossattn: Tensor, length: int) -> Tensor:
    """[B, T, D] to [B, length, D] by repeating the last vector."""
    missing = length - crossattn.shape[1]
    if missing <= 0:
        return crossattn
    return torch.cat([crossattn, crossattn[:, -1:].expand(-1, missing, -1)], dim=1)


def _bytes_of(encoded: EncodedTexts) -> int:
    tensors = (encoded.rows.crossattn, encoded.rows.vector)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)
