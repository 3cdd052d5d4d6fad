"""A network file → its adapters by layer, and the embeddings that came with it."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from modules.checkpoints.embeddings import EmbeddingVectors, read_vectors
from modules.checkpoints.loading import open_tensors
from modules.checkpoints.network_keys import parse_name
from modules.checkpoints.networks import Layer, Network
from modules.errors import ModelFileError, NonFiniteError
from modules.nets.adapters.base import Adapter
from modules.nets.adapters.table import make_adapter

BUNDLE = "bundle_emb."
STRING_TO_PARAM = "string_to_param"


def load_network(path: str | os.PathLike[str], name: str, *, tolerant: bool = False) -> Network:
    """Read a LoRA or a related network. ``tolerant``: see ``open_pickle``.

    Raises ``ModelFileError`` for a file that is damaged, hostile or no network, and ``NonFiniteError`` when a
    weight is NaN or infinite.
    """
    with open_tensors(path, tolerant=tolerant) as file:
        tensors = {key: file.read(key) for key in file.entries}
        identity = (str(path), file.identity.size, file.identity.mtime_ns)
        file.check_unchanged()
    _require_finite(name, tensors)
    layers, unknown = adapters_of(tensors)
    embeddings = bundled_embeddings(tensors)
    if not layers and not embeddings:
        raise ModelFileError(
            f"{path} holds {len(tensors)} tensors and no LoRA or related network of a known kind. "
            "Move it to the folder of its kind, or delete it."
        )
    return Network(name, identity, layers, embeddings, unknown)


def adapters_of(tensors: Mapping[str, Tensor]) -> tuple[dict[Layer, Adapter], tuple[str, ...]]:
    """The adapters by layer, and the names of tensors that are part of none."""
    grouped: dict[Layer, dict[str, Tensor]] = {}
    unknown: list[str] = []
    for key, tensor in tensors.items():
        if key.startswith(BUNDLE):
            continue
        parsed = parse_name(key)
        if parsed is None:
            unknown.append(key)
        else:
            grouped.setdefault((parsed.place, parsed.module), {})[parsed.role] = tensor
    layers: dict[Layer, Adapter] = {}
    for layer, parts in grouped.items():
        adapter = make_adapter(parts)
        if adapter is None:
            unknown.append("_".join(layer))
        else:
            layers[layer] = adapter
    return layers, tuple(unknown)


def bundled_embeddings(tensors: Mapping[str, Tensor]) -> tuple[EmbeddingVectors, ...]:
    """Embeddings as OneTrainer puts them into a network: ``bundle_emb.NAME.…``. Damaged ones are left out."""
    data: dict[str, dict[str, object]] = {}
    for key, tensor in tensors.items():
        if key.startswith(BUNDLE):
            name, _, role = key.removeprefix(BUNDLE).partition(".")
            if role.startswith(STRING_TO_PARAM):
                data.setdefault(name, {})[STRING_TO_PARAM] = {"*": tensor}
            else:
                data.setdefault(name, {})[role] = tensor
    return tuple(read_vectors(parts, name) for name, parts in data.items())


def _require_finite(name: str, tensors: Mapping[str, Tensor]) -> None:
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(
                f"The network {name} holds NaN or infinity in {key}, so it was left out. "
                "Download it again, or ask its author for a repaired version."
            )
