"""Everything in the folders of extra networks. Made at the start of the program; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.checkpoints.embeddings import EmbeddingCatalogue
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.hypernetwork_files import HypernetworkFiles
from modules.checkpoints.network_files import NetworkCatalogue


@dataclass(frozen=True)
class NetworkFolders:
    """The catalogues. ``tolerant``: see ``open_pickle``."""

    loras: NetworkCatalogue
    embeddings: EmbeddingCatalogue
    hypernetworks: HypernetworkFiles
    tolerant: bool = False

    @classmethod
    def at(
        cls,
        loras: Sequence[str | Path],
        embeddings: str | Path | None,
        hypernetworks: str | Path | None,
        hashes: HashStore,
        *,
        tolerant: bool = False,
        list_hidden: bool = False,
    ) -> NetworkFolders:
        """The folders of the flags --lora-dir, --embeddings-dir and --hypernetwork-dir."""
        return cls(
            NetworkCatalogue(loras, hashes, list_hidden=list_hidden),
            EmbeddingCatalogue(embeddings, hashes, tolerant=tolerant),
            HypernetworkFiles(hypernetworks),
            tolerant,
        )

    @classmethod
    def none(cls) -> NetworkFolders:
        """No folders, and so no networks."""
        return cls.at((), None, None, HashStore(None, enabled=False))

    def refresh(self) -> None:
        """Read all folders again."""
        self.loras.refresh()
        self.embeddings.refresh()
        self.hypernetworks.refresh()
