"""The changes of weight and bias of a normalisation layer."""

from __future__ import annotations

from modules.nets.adapters.base import AdapterKind

NORM = AdapterKind("norm", ("w_norm",), lambda parts, _weight, _dyn_dim: parts["w_norm"], bias="b_norm")
