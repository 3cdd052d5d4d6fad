"""``State`` for extensions that import it from here."""

from __future__ import annotations

from modules.jobs.state import State

__all__ = ["State"]
