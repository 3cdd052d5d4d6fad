"""Choices of settings that are only known while the program runs: checkpoints, samplers, themes.

A row of the tables names a provider. Whoever owns the list registers it here; until then the list
is empty. This keeps the settings free of everything that they describe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Provider:
    choices: Callable[[], Iterable[Any]]
    refresh: Callable[[], Any] | None


class ChoiceProviders:
    """Named lists of choices."""

    def __init__(self) -> None:
        self._providers: dict[str, _Provider] = {}

    def register(
        self, name: str, choices: Callable[[], Iterable[Any]], refresh: Callable[[], Any] | None = None
    ) -> None:
        """Set the source of the choices ``name``, and what the refresh button beside it does."""
        self._providers[name] = _Provider(choices, refresh)

    def choices(self, name: str) -> list[Any]:
        """The choices at this moment; empty while nobody has registered ``name``."""
        provider = self._providers.get(name)
        return list(provider.choices()) if provider else []

    def refresh(self, name: str) -> None:
        """Look for the choices again, for instance in a folder of models."""
        provider = self._providers.get(name)
        if provider and provider.refresh:
            provider.refresh()
