"""The table of adapter kinds."""

from __future__ import annotations

from modules.nets.adapters.base import Adapter, AdapterKind, Parts
from modules.nets.adapters.full import FULL
from modules.nets.adapters.glora import GLORA
from modules.nets.adapters.ia3 import IA3
from modules.nets.adapters.loha import LOHA
from modules.nets.adapters.lokr import LOKR_KINDS
from modules.nets.adapters.lora import LORA
from modules.nets.adapters.norm import NORM
from modules.nets.adapters.oft import OFT_KINDS

ADAPTER_KINDS: tuple[AdapterKind, ...] = (LORA, LOHA, IA3, *LOKR_KINDS, FULL, NORM, GLORA, *OFT_KINDS)
"""Tried in this order; the first whose required roles are all there is meant."""


def make_adapter(parts: Parts) -> Adapter | None:
    """The adapter that these tensors of one layer describe; None when they are of no known kind."""
    for kind in ADAPTER_KINDS:
        if all(role in parts for role in kind.requires):
            return Adapter(kind, parts)
    return None
