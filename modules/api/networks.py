"""Endpoints that list extra networks, and look for new ones."""

from __future__ import annotations

from modules.api.replies import Reply
from modules.api.services import ApiServices


class NetworkListings:
    """Embeddings, hypernetworks and LoRAs. Plain functions: they read files, so they run in threads."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    def embeddings(self) -> Reply:
        """The embeddings that fit the loaded model (all when none is loaded), and the others."""
        return Reply(self._services.embeddings())

    def refresh_embeddings(self) -> Reply:
        """Look for new embeddings."""
        self._services.refresh_embeddings()
        return Reply(None)

    def hypernetworks(self) -> Reply:
        """The hypernetworks."""
        return Reply(self._services.hypernetworks())

    def loras(self) -> Reply:
        """The networks of the folder Lora, with the metadata of their trainers."""
        return Reply(self._services.loras())

    def refresh_loras(self) -> Reply:
        """Look for new networks."""
        self._services.refresh_loras()
        return Reply(None)
