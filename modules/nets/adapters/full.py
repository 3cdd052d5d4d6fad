"""The change of a weight as it is, without any factorisation."""

from __future__ import annotations

from modules.nets.adapters.base import AdapterKind

FULL = AdapterKind("full", ("diff",), lambda parts, _weight, _dyn_dim: parts["diff"], bias="diff_b")
