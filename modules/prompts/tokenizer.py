"""The tokenizer of CLIP: text to token numbers, offline.

The text is repaired (ftfy: wrongly decoded UTF-8, curly quotes, control characters), blanks are
collapsed, letters lowered. Then it falls into words: English contractions, runs of letters, single
digits, runs of anything else. Each word is encoded by byte pairs.

The list of merges is read on first use, in about a tenth of a second; neither ``open_clip`` nor
``transformers`` is imported.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from modules.prompts.bpe import END_TEXT, START_TEXT, WORD_END, Vocabulary

START_TOKEN = 49406
END_TOKEN = 49407
COMMA_TOKEN = 267
CACHED_WORDS = 50_000
CACHED_WORD_LENGTH = 64

_SPECIAL = re.compile(f"({re.escape(START_TEXT)}|{re.escape(END_TEXT)})")
_NEEDS_NO_REPAIR = re.compile(r"[ -%'-~\t\n]*")  # printable ASCII without "&"
_ASCII_WORD = re.compile(r"'(?:re|ve|ll|[stmd])|[a-z]+|[0-9]|[^\sa-z0-9]+")
_CONTRACTIONS = ("re", "ve", "ll", "s", "t", "m", "d")


class ClipTokenizer:
    """Byte pair tokenizer with the 49,408 tokens of CLIP. Safe to use from several threads.

    Args:
        vocabulary: the byte pairs, to share them between tokenizers.
        unescape_html: also turn ``&amp;`` into ``&`` and so on, as the tokenizer does that SD2 and
            the second encoder of SDXL were trained with.
    """

    start_token = START_TOKEN
    end_token = END_TOKEN
    comma_token = COMMA_TOKEN

    def __init__(self, vocabulary: Vocabulary | None = None, unescape_html: bool = False) -> None:
        self.vocabulary = vocabulary or Vocabulary()
        self._unescape_html = unescape_html
        self._words: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without start and end token, as many as there are.

        Raises:
            ModelFileError: the vocabulary is missing or damaged.
        """
        tokens: list[int] = []
        for index, piece in enumerate(_SPECIAL.split(text)):
            if index % 2:
                tokens.append(START_TOKEN if piece == START_TEXT else END_TOKEN)
            else:
                for word in split_words(clean(piece, self._unescape_html)):
                    tokens += self._encode_word(word)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, with one blank between words. Numbers outside the vocabulary are left out."""
        pairs = self.vocabulary.pairs
        text = "".join(pairs.tokens[token] for token in tokens if 0 <= token < len(pairs.tokens))
        bytes_of = {character: byte for byte, character in enumerate(pairs.byte_characters)}
        words = (bytes(bytes_of[c] for c in word if c in bytes_of) for word in text.split(WORD_END))
        return " ".join(word.decode("utf-8", errors="replace") for word in words).strip()

    def _encode_word(self, word: str) -> tuple[int, ...]:
        known = self._words.get(word)
        if known is None:
            known = tuple(self.vocabulary.pairs.encode_word(word))
            if len(word) <= CACHED_WORD_LENGTH:
                if len(self._words) >= CACHED_WORDS:
                    self._words.clear()
                self._words[word] = known
        return known


def clean(text: str, unescape_html: bool = False) -> str:
    """Repair a text, collapse its blanks, lower its letters."""
    if not _NEEDS_NO_REPAIR.fullmatch(text):
        import ftfy  # slow to import, and most English prompts do without

        text = ftfy.fix_text(text)
        if unescape_html:
            text = html.unescape(html.unescape(text))
    return " ".join(text.split()).lower()


def split_words(text: str) -> Iterator[str]:
    """The words of a cleaned text, each to be encoded on its own."""
    if text.isascii():
        yield from _ASCII_WORD.findall(text)
        return
    for kind, run in groupby(_contractions_first(text), key=lambda item: item[0]):
        if kind in {"word", "N"}:
            for _, piece in run:
                yield piece
        elif kind != "blank":
            yield "".join(piece for _, piece in run)


def _contractions_first(text: str) -> Iterator[tuple[str, str]]:
    """The characters of a text by kind: L letter, N number, O other; a contraction is one piece.

    An apostrophe begins a contraction only where a word can begin: in ``!'s`` it belongs to the
    run of other characters before it.
    """
    position = 0
    previous = "blank"
    while position < len(text):
        character = text[position]
        if character == "'" and previous != "O":
            ending = next((e for e in _CONTRACTIONS if text.startswith(e, position + 1)), None)
            if ending is not None:
                yield "word", character + ending
                position += 1 + len(ending)
                previous = "word"
                continue
        previous = _kind(character)
        yield previous, character
        position += 1


def _kind(character: str) -> str:
    if character.isalpha():
        return "L"
    if character.isspace():
        return "blank"
    return "N" if unicodedata.category(character)[0] == "N" else "O"
