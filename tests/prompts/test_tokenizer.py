from __future__ import annotations

import gzip
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.errors import ModelFileError
from modules.prompts import bpe
from modules.prompts.attention import parse_attention
from modules.prompts.bpe import Vocabulary, byte_order, find_vocabulary, merge_pairs
from modules.prompts.extra_networks import parse_extra_networks
from modules.prompts.tokenizer import CACHED_WORDS, ClipTokenizer, clean, split_words
from tests.paths import ROOT
from tests.prompts.support import assert_linear, copied_goldens, unit_goldens

VOCABULARY = Vocabulary()
TOKENIZER = ClipTokenizer(VOCABULARY)


def naive_merges(symbols: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """The definition of byte pair encoding, word for word, in quadratic time."""
    while True:
        known = [pair for pair in pairwise(symbols) if pair in ranks]
        if not known:
            return symbols
        best = min(known, key=lambda pair: ranks[pair])
        joined: list[str] = []
        position = 0
        while position < len(symbols):
            if tuple(symbols[position : position + 2]) == best:
                joined.append("".join(best))
                position += 2
            else:
                joined.append(symbols[position])
                position += 1
        symbols = joined


@pytest.mark.parametrize(
    "golden", unit_goldens("tokenize_sd1") or copied_goldens("chunks"), ids=lambda g: g["prompt"][:30]
)
def test_goldens(golden: dict[str, Any]) -> None:
    if "tinyemb" in golden["prompt"]:
        pytest.skip("embeddings are found while chunking")
    text, _ = parse_extra_networks(golden["prompt"])
    parts = [part for part, weight in parse_attention(text) if weight != -1]
    tokens = [token for part in parts for token in TOKENIZER.encode(part)]
    assert tokens == [token for chunk in golden["chunks"] for token in chunk["tokens"] if token < 49406]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop!'s we're", ["don", "'t", "stop", "!'", "s", "we", "'re"]),
        ("a1b22 c", ["a", "1", "b", "2", "2", "c"]),
        ("日本2²ⅷ é!", ["日本", "2", "²", "ⅷ", "é", "!"]),
        ("'sun 'è'll", ["'s", "un", "'", "è", "'ll"]),
        ("é'!'s", ["é", "'!'", "s"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert list(split_words(text)) == words


def test_text_is_repaired_collapsed_and_lowered() -> None:
    assert clean("  A \n\t CAT ") == "a cat"
    assert clean("“Ünïcödé”\0 \ud800") == '"ünïcödé" \ufffd'
    assert clean("<b> &amp;amp;") == "<b> &amp;amp;", "HTML stays"
    assert clean("<b> &amp;amp;", unescape_html=True) == "<b> &"


def test_special_tokens_are_known_by_their_text() -> None:
    assert TOKENIZER.encode("<|startoftext|>a<|endoftext|>") == [49406, 320, 49407]


def test_the_comma_is_the_token_that_chunking_looks_for() -> None:
    assert TOKENIZER.encode(",") == [ClipTokenizer.comma_token]


def test_decoding() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("A red CAT, 日本語 😀 !")) == "a red cat , 日本語 😀 !"
    assert TOKENIZER.decode([320, -1, 10**9, 2368]) == "a cat"


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_encoded_without_loss(text: str) -> None:
    tokens = TOKENIZER.encode(text)
    assert all(0 <= token < 49408 for token in tokens)
    if "<|" not in text:
        assert TOKENIZER.decode(tokens).replace(" ", "") == clean(text).replace(" ", "")


@given(st.text(alphabet="ab\0\x1b[&;😀\ud800\udc00'", max_size=30))
@settings(max_examples=100, deadline=None)
def test_hostile_text(text: str) -> None:
    assert TOKENIZER.encode(text) == TOKENIZER.encode(text)


@given(
    st.text(alphabet="abc", min_size=1, max_size=12),
    st.lists(st.text(alphabet="abc", min_size=2, max_size=4)),
)
@settings(max_examples=300, deadline=None)
def test_merging_agrees_with_its_definition(word: str, merges: list[str]) -> None:
    ranks: dict[tuple[str, str], int] = {}
    for merge in merges:
        ranks.setdefault((merge[: len(merge) // 2], merge[len(merge) // 2 :]), len(ranks))
    assert merge_pairs(word, ranks) == naive_merges(list(word), ranks)


@given(st.text(alphabet="theandingor", min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_merging_agrees_for_the_real_vocabulary(word: str) -> None:
    symbols = [*word[:-1], word[-1] + "</w>"]
    ranks = VOCABULARY.pairs.ranks
    assert merge_pairs(symbols, ranks) == naive_merges(list(symbols), ranks)


def test_bytes_have_different_printable_characters() -> None:
    order = byte_order()
    assert sorted(byte for byte, _ in order) == list(range(256))
    assert len({character for _, character in order}) == 256
    assert all(character.isprintable() and not character.isspace() for _, character in order)


def test_work_grows_with_the_length_of_one_word() -> None:
    VOCABULARY.pairs  # noqa: B018
    assert_linear(TOKENIZER.encode, lambda count: "ab" * count)
    assert_linear(TOKENIZER.encode, lambda count: "é😀" * count)


def test_a_megabyte() -> None:
    assert len(TOKENIZER.encode("a cat, " * 140_000)) == 420_000
    assert TOKENIZER.encode("\0" * 1_000_000) == []


def test_the_word_cache_is_bounded() -> None:
    tokenizer = ClipTokenizer(VOCABULARY)
    tokenizer._words = {str(number): (number,) for number in range(CACHED_WORDS)}
    tokenizer.encode("cat")
    assert tokenizer._words == {"cat": (2368,)}
    tokenizer.encode("x" * 1000)
    assert len(tokenizer._words) == 1


def test_a_missing_vocabulary_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "VOCABULARY_PACKAGE", "a_package_that_is_not_installed")
    with pytest.raises(ModelFileError, match="open-clip-torch"):
        ClipTokenizer().encode("a cat")


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"header\na b\n"), gzip.compress(b"\xff" * 9)])
def test_a_damaged_vocabulary_is_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocabulary.gz"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"vocabulary\.gz"):
        ClipTokenizer(Vocabulary(path)).encode("a cat")


def test_neither_torch_nor_open_clip_is_imported() -> None:
    code = (
        "import sys; from modules.prompts.tokenizer import ClipTokenizer; ClipTokenizer().encode('a cat');"
        "print([m for m in ('torch', 'open_clip', 'transformers', 'ftfy', 'regex') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_vocabulary_lies_in_the_installed_package() -> None:
    assert find_vocabulary().parent.name == "open_clip"
