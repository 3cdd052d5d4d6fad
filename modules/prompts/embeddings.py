"""Finds the names of embeddings in prompts, for one loaded model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from modules.prompts.chunks import Embedding

if TYPE_CHECKING:
    from modules.checkpoints.embeddings import EmbeddingCatalogue, EmbeddingVectors


class NameIndex:
    """The tokens of the names of all embeddings of a catalogue, kept until the catalogue changes.

    ``encode``: text → tokens. Names are looked up by their first token, the longest first.
    """

    def __init__(self, catalogue: EmbeddingCatalogue, encode: Callable[[str], list[int]]) -> None:
        self.catalogue = catalogue
        self._encode = encode
        self._version: int | None = None
        self._table: Table = {}

    @property
    def table(self) -> Table:
        """First token → (tokens of the name, name)."""
        if self._version != self.catalogue.version:
            self._version = self.catalogue.version
            self._table = index_names(list(self.catalogue.files), self._encode)
        return self._table

    def of(self, names: Sequence[str]) -> Table:
        """The same table of other names."""
        return index_names(names, self._encode)


Table = Mapping[int, Sequence[tuple[tuple[int, ...], str]]]


def index_names(names: Sequence[str], encode: Callable[[str], list[int]]) -> Table:
    """First token → (tokens, name), the longest names first."""
    table: dict[int, list[tuple[tuple[int, ...], str]]] = {}
    for name in names:
        tokens = tuple(encode(name))
        if tokens:
            table.setdefault(tokens[0], []).append((tokens, name))
    for candidates in table.values():
        candidates.sort(key=lambda candidate: len(candidate[0]), reverse=True)
    return table


class ModelEmbeddings:
    """The ``EmbeddingMatcher`` of one model: files are read when their name occurs, misfits are words.

    ``widths``: of the model's encoders. ``bundled``: embeddings that came with active networks, and the names
    of these; ``state`` is equal for equal ones.
    """

    def __init__(
        self,
        index: NameIndex,
        widths: Mapping[str, int],
        bundled: Sequence[tuple[EmbeddingVectors, str]] = (),
        state: Hashable = (),
    ) -> None:
        self._index = index
        self._widths = widths
        self._bundled = {one.name: one for one, _ in bundled}
        self._bundles = {one.name: network for one, network in bundled}
        self._bundled_table = index.of(list(self._bundled))
        self.signature: Hashable = (index.catalogue.version, state)

    def match(self, tokens: Sequence[int], position: int) -> tuple[Embedding, int] | None:
        """The embedding whose name begins at ``position``, and how many tokens the name takes."""
        for table, read in (
            (self._index.table, self._index.catalogue.read),
            (self._bundled_table, self._bundled.get),
        ):
            for name_tokens, name in table.get(tokens[position], ()):
                if tuple(tokens[position : position + len(name_tokens)]) != name_tokens:
                    continue
                found = read(name)
                if found is not None and found.fits(self._widths):
                    return found, len(name_tokens)
        return None

    def bundle_of(self, name: str) -> str | None:
        """The network that the embedding ``name`` came with; None when it is a file of its own."""
        return None if name in self._index.catalogue.files else self._bundles.get(name)
