"""What the endpoints say about extra networks, taken from the workshop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.checkpoints.embeddings import EmbeddingVectors
    from modules.jobs.workshop import Workshop


def network_services(workshop: Workshop) -> dict[str, Any]:
    """The fields of ``ApiServices`` that concern extra networks."""
    folders = workshop.networks
    return {
        "embeddings": lambda: embedding_rows(workshop),
        "refresh_embeddings": folders.embeddings.refresh,
        "hypernetworks": lambda: [
            {"name": name, "path": stamp.path} for name, stamp in folders.hypernetworks.files.items()
        ],
        "loras": lambda: [
            {"name": one.name, "alias": one.alias, "path": one.filename, "metadata": one.metadata}
            for one in folders.loras.files.values()
        ],
        "refresh_loras": folders.loras.refresh,
    }


def embedding_rows(workshop: Workshop) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Embeddings by name: those that the loaded model can use, and those made for others."""
    from modules.checkpoints.embeddings import encoder_widths

    engine = workshop.ready_engine
    model = engine.models.current if engine is not None else None
    catalogue = workshop.networks.embeddings
    catalogue.refresh_if_changed()
    loaded, skipped = catalogue.sorted_by_fit(None if model is None else encoder_widths(model.spec))
    return {
        "loaded": {one.name: _embedding_item(one) for one in loaded},
        "skipped": {one.name: _embedding_item(one) for one in skipped},
    }


def _embedding_item(one: EmbeddingVectors) -> dict[str, Any]:
    return {
        "step": one.step,
        "sd_checkpoint": one.sd_checkpoint,
        "sd_checkpoint_name": one.sd_checkpoint_name,
        "shape": one.shape,
        "vectors": one.vector_count,
    }
