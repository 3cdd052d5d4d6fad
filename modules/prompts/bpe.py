"""Byte pair encoding with the merges of CLIP (Sennrich et al. 2016, arXiv:1508.07909).

A word is taken apart into bytes, each shown as one printable character; the last one carries the
mark of the word's end. Then, again and again, the pair of neighbours that stands first in the list
of merges is joined wherever it occurs.
"""

from __future__ import annotations

import gzip
import heapq
import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.errors import ModelFileError

VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
VOCABULARY_PACKAGE = "open_clip"
VOCABULARY_SIZE = 49408
WORD_END = "</w>"
START_TEXT = "<|startoftext|>"
END_TEXT = "<|endoftext|>"
# The two special tokens and, for each byte, a token inside and one at the end of a word.
MERGES = VOCABULARY_SIZE - 2 - 2 * 256


def find_vocabulary() -> Path:
    """The list of merges that lies in the installed package ``open_clip``, which is not imported.

    Raises:
        ModelFileError: the package or the file is missing.
    """
    spec = importlib.util.find_spec(VOCABULARY_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / VOCABULARY_FILE
        if path.is_file():
            return path
    raise ModelFileError(
        f"The vocabulary of the text encoder, {VOCABULARY_FILE}, was not found. It comes with the package "
        "open-clip-torch: install the packages of the requirements file again."
    )


@dataclass(frozen=True)
class BytePairs:
    """Vocabulary and merges.

    ``tokens`` are the texts of all tokens by number, ``ids`` the reverse, ``ranks`` the places of
    the pairs in the list of merges, ``byte_characters`` the printable characters of the 256 bytes.
    """

    tokens: tuple[str, ...]
    ids: dict[str, int]
    ranks: dict[tuple[str, str], int]
    byte_characters: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> BytePairs:
        """Read a list of merges: a gzip of one pair a line below one line of header.

        Raises:
            ModelFileError: the file cannot be read or has too few lines.
        """
        try:
            lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise ModelFileError(
                f"The vocabulary {path} could not be read: {error}. Reinstall open-clip-torch."
            ) from error
        pairs = [tuple(line.split()) for line in lines]
        if len(pairs) != MERGES or any(len(pair) != 2 for pair in pairs):
            raise ModelFileError(f"The vocabulary {path} is damaged. Reinstall open-clip-torch.")
        order = byte_order()
        characters = [character for _, character in order]
        tokens = characters + [character + WORD_END for character in characters]
        tokens += ["".join(pair) for pair in pairs]
        tokens += [START_TEXT, END_TEXT]
        by_byte = dict(order)
        return cls(
            tokens=tuple(tokens),
            ids={token: number for number, token in enumerate(tokens)},
            ranks={(pair[0], pair[1]): rank for rank, pair in enumerate(pairs)},
            byte_characters=tuple(by_byte[byte] for byte in range(256)),
        )

    def encode_word(self, word: str) -> list[int]:
        """The tokens of one word (no blanks inside)."""
        # A lone surrogate has no UTF-8 form; it becomes a question mark.
        symbols = [self.byte_characters[byte] for byte in word.encode("utf-8", errors="replace")]
        symbols[-1] += WORD_END
        return [self.ids[symbol] for symbol in merge_pairs(symbols, self.ranks)]


def byte_order() -> list[tuple[int, str]]:
    """The bytes in the order of their token numbers, each with the character that stands for it.

    Printable bytes of Latin-1 stand for themselves and come first; the others follow as the
    characters from U+0100 on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    known = set(printable)
    others = [byte for byte in range(256) if byte not in known]
    return [(byte, chr(byte)) for byte in printable] + [
        (byte, chr(256 + index)) for index, byte in enumerate(others)
    ]


def merge_pairs(symbols: Sequence[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Join pairs, the best ranked first and each one everywhere from left to right.

    The pairs wait in a heap by rank and place, the symbols in a linked list: a word of n bytes
    takes of the order of n log n steps, also one of a megabyte.
    """
    parts: list[str | None] = list(symbols)
    following = list(range(1, len(parts) + 1))
    preceding = list(range(-1, len(parts) - 1))
    heap: list[tuple[int, int, str, str]] = []

    def offer(left: int, target: list[tuple[int, int, str, str]]) -> None:
        right = following[left] if left >= 0 else len(parts)
        if right < len(parts):
            first, second = parts[left], parts[right]
            rank = ranks.get((first, second)) if first is not None and second is not None else None
            if rank is not None and first is not None and second is not None:
                target.append((rank, left, first, second))

    for index in range(len(parts) - 1):
        offer(index, heap)
    heapq.heapify(heap)
    while heap:
        best = heap[0][0]
        created: list[tuple[int, int, str, str]] = []
        # Pairs that arise while one rank is being joined wait until that rank is done.
        while heap and heap[0][0] == best:
            _, left, first, second = heapq.heappop(heap)
            right = following[left]
            if parts[left] != first or right >= len(parts) or parts[right] != second:
                continue
            parts[left], parts[right] = first + second, None
            following[left] = following[right]
            if following[right] < len(parts):
                preceding[following[right]] = left
            offer(preceding[left], created)
            offer(left, created)
        for entry in created:
            heapq.heappush(heap, entry)
    return [part for part in parts if part is not None]


class Vocabulary:
    """Byte pairs that are read on first use, once, by whichever thread comes first.

    Args:
        path: list of merges. Default: the file in the installed package ``open_clip``.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pairs: BytePairs | None = None

    @property
    def pairs(self) -> BytePairs:
        """
        Raises:
            ModelFileError: the vocabulary is missing or damaged.
        """
        if self._pairs is None:
            with self._lock:
                if self._pairs is None:
                    self._pairs = BytePairs.load(self._path or find_vocabulary())
        return self._pairs
