from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompts.chunks import (
    CHUNK_LENGTH,
    CHUNK_TOKENS,
    ChunkedText,
    TokenSequenceMatcher,
    chunk_prompt,
    count_tokens,
    empty_chunk,
)
from modules.prompts.counter import count_prompt
from modules.prompts.extra_networks import parse_extra_networks
from modules.prompts.old_emphasis import bracket_factor, chunk_old_emphasis
from modules.prompts.tokenizer import ClipTokenizer
from tests.prompts.support import (
    LearnedWord,
    WordTokenizer,
    assert_linear,
    copied_goldens,
    examples,
    unit_goldens,
)

CLIP = ClipTokenizer()


def spell_out(description: str) -> str:
    """ "60 words, comma, 20 words" as a prompt."""
    text = description.removesuffix(" with emphasis None")
    if text.startswith("("):
        return "(" + " ".join(["w"] * 10) + ":1.2)"
    words = []
    for piece in text.replace("empty", "0 words").split():
        if piece.isdecimal():
            words += ["w"] * int(piece)
        elif piece.startswith("comma"):
            words.append(",")
        elif piece == "BREAK":
            words.append(piece)
        elif piece == "then":
            return " ".join([*words, "learned"])
    return " ".join(words)


def lengths(chunked: ChunkedText) -> list[int]:
    """Tokens before the first end token; those of embeddings count."""
    return [chunk.tokens.index(2) - 1 for chunk in chunked.chunks]


@pytest.mark.parametrize("example", examples("chunks"), ids=lambda e: e["prompt"])
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    tokenizer = WordTokenizer()
    matcher = TokenSequenceMatcher([LearnedWord("learned", 4)], tokenizer.encode)
    settings_of = example.get("settings", {})
    text = spell_out(example["prompt"])
    chunked = chunk_prompt(text, tokenizer, matcher=matcher, **settings_of)
    assert lengths(chunked) == example["prompt_tokens_per_chunk"]
    assert [len(chunk.tokens) for chunk in chunked.chunks] == example["chunk_length_with_ends"]
    assert (chunked.token_count, chunked.capacity) == (example["token_count"], example["displayed_limit"])


@pytest.mark.parametrize(
    "golden",
    unit_goldens("tokenize_sd1") or copied_goldens("chunks"),
    ids=lambda g: f"{g['prompt'][:30]}-{g['comma_padding_backtrack']}",
)
def test_goldens(golden: dict[str, Any]) -> None:
    matcher = TokenSequenceMatcher([LearnedWord("tinyemb", 3), LearnedWord("tinyemb2", 1)], CLIP.encode)
    text, _ = parse_extra_networks(golden["prompt"])
    backtrack = golden["comma_padding_backtrack"]
    chunked = chunk_prompt(text, CLIP, comma_padding_backtrack=backtrack, matcher=matcher)
    for chunk, expected in zip(chunked.chunks, golden["chunks"], strict=True):
        written = len(expected["tokens"])  # the copies in the tests leave out the padding
        assert list(chunk.tokens[:written]) == expected["tokens"]
        assert list(chunk.weights[:written]) == expected["multipliers"]
        assert set(chunk.tokens[written:]) <= {CLIP.end_token}
        assert set(chunk.weights[written:]) <= {1.0}
    assert (chunked.token_count, chunked.capacity) == (golden["token_count"], golden["target_count"])


def test_words_behind_the_comma_take_their_weights_and_embeddings_along() -> None:
    tokenizer = WordTokenizer()
    word = LearnedWord("learned", 4)
    matcher = TokenSequenceMatcher([word], tokenizer.encode)
    text = "w " * 64 + ", (a learned b c d e f g:1.5)"
    first, second = chunk_prompt(text, tokenizer, matcher=matcher).chunks
    assert first.tokens.index(2) - 1 == 65
    assert not first.embeddings
    assert second.tokens[2:6] == (0, 0, 0, 0)
    assert second.weights[1:12] == (1.5,) * 11
    assert [(item.offset, item.first, item.count) for item in second.embeddings] == [(2, 0, 4)]


def test_the_longest_name_of_an_embedding_wins() -> None:
    tokenizer = WordTokenizer()
    short, long = LearnedWord("big", 1), LearnedWord("big cat", 2)
    matcher = TokenSequenceMatcher([short, long], tokenizer.encode)
    chunk = chunk_prompt("a big cat big dog", tokenizer, matcher=matcher).chunks[0]
    assert [(item.offset, item.embedding) for item in chunk.embeddings] == [(2, long), (4, short)]


def test_an_embedding_longer_than_a_chunk_goes_on_in_the_next() -> None:
    tokenizer = WordTokenizer()
    matcher = TokenSequenceMatcher([LearnedWord("huge", 100), LearnedWord("", 3)], tokenizer.encode)
    chunked = chunk_prompt("w huge w", tokenizer, matcher=matcher)
    assert [(i.offset, i.first, i.count) for c in chunked.chunks for i in c.embeddings] == [
        (1, 0, 75),
        (1, 75, 25),
    ]
    assert lengths(chunked) == [1, 75, 26]


def test_emphasis_none_keeps_break_as_a_word() -> None:
    assert len(chunk_prompt("a BREAK b", WordTokenizer(), emphasis="None").chunks) == 1


def test_an_empty_chunk_is_padding() -> None:
    assert empty_chunk(CLIP).tokens == (49406, *[49407] * 76)


def test_count_for_the_page() -> None:
    assert count_tokens("", CLIP) == (0, 75)
    assert count_tokens("a " * 76, CLIP) == (76, 150)
    assert count_prompt("a [big:red big:0.5] cat AND dog <lora:x:1>", CLIP) == (4, 75)
    assert count_prompt("a AND b c", CLIP, positive=False) == (4, 75)


@given(st.lists(st.sampled_from(["w", ",", "BREAK", "(w:1.3)", "learned", "w w w w w w w w w"]), max_size=60))
@settings(max_examples=200, deadline=None)
def test_every_token_lands_in_one_chunk(words: list[str]) -> None:
    tokenizer = WordTokenizer()
    matcher = TokenSequenceMatcher([LearnedWord("learned", 4)], tokenizer.encode)
    chunked = chunk_prompt(" ".join(words), tokenizer, matcher=matcher)
    assert all(len(chunk.tokens) == len(chunk.weights) == CHUNK_LENGTH for chunk in chunked.chunks)
    kept = [token for chunk in chunked.chunks for token in chunk.tokens if token > 2]
    expected = [
        t
        for word in words
        if word not in ("BREAK", "learned")
        for t in tokenizer.encode(word.strip("():1.3"))
    ]
    assert len(kept) == len(expected)
    placed = [item for chunk in chunked.chunks for item in chunk.embeddings]
    assert len(placed) == words.count("learned")
    for chunk in chunked.chunks:
        for item in chunk.embeddings:
            assert chunk.tokens[item.offset : item.offset + item.count] == (0,) * item.count
    assert len(chunked.chunks) * CHUNK_TOKENS >= chunked.token_count


@pytest.mark.parametrize("unit", ["w ", "w, ", "BREAK ", ", ", "(w:1.1)"])
def test_work_grows_with_the_length(unit: str) -> None:
    assert_linear(lambda text: chunk_prompt(text, WordTokenizer()), lambda count: unit * count)


def test_old_emphasis_reads_brackets_among_the_tokens() -> None:
    chunk = chunk_old_emphasis("a (cat) [x]", CLIP).chunks[0]
    assert chunk.tokens[1:4] == (320, 2368, 343)
    assert chunk.weights[1:4] == pytest.approx((1.0, 1.1, 1 / 1.1))
    assert chunk_old_emphasis("(cat)", CLIP, emphasis="None").token_count == 3
    assert chunk_old_emphasis("a (cat:1.4)", CLIP).token_count == len(CLIP.encode("a cat:1.4"))


def test_old_emphasis_cuts_at_one_chunk() -> None:
    matcher = TokenSequenceMatcher([LearnedWord("tinyemb", 3)], CLIP.encode)
    chunked = chunk_old_emphasis("cat " * 74 + "tinyemb tinyemb", CLIP, matcher=matcher)
    assert len(chunked.chunks) == 1
    assert chunked.token_count == 80
    assert [(i.offset, i.count) for i in chunked.chunks[0].embeddings] == [(75, 1)]


def test_brackets_that_cancel_out_leave_a_word() -> None:
    assert bracket_factor("()</w>") == 1.0
    assert bracket_factor("cat</w>") == 1.0
    assert bracket_factor("((") == 1.1 * 1.1
    assert bracket_factor("])</w>") == 1.1 / 1.1
