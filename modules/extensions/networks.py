"""Extra networks of extensions: kinds of tags ``<kind:name:1>`` and what they do to a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.extensions.callbacks import CallbackRegistry


class ExtraNetwork:
    """One kind of extra network."""

    def __init__(self, name: str) -> None:
        self.name = name

    def activate(self, p: Any, params_list: list[Any]) -> None:
        """Take effect on the job ``p``; replaces what an earlier call did. No tags: no effect."""
        raise NotImplementedError

    def deactivate(self, p: Any) -> None:
        """Undo everything."""
        raise NotImplementedError


@dataclass
class NetworkKinds:
    """The registered kinds by name, and other names for them."""

    callbacks: CallbackRegistry
    registry: dict[str, ExtraNetwork] = field(default_factory=dict)
    aliases: dict[str, ExtraNetwork] = field(default_factory=dict)

    def lookup(self, tags: Mapping[str, list[Any]]) -> dict[ExtraNetwork, list[Any]]:
        """Tags by registered kind; tags of unknown kinds are left out."""
        found: dict[ExtraNetwork, list[Any]] = {}
        for name, params in tags.items():
            network = self.registry.get(name) or self.aliases.get(name)
            if network is not None:
                found.setdefault(network, []).extend(params)
        return found

    def activate(self, p: Any, tags: Mapping[str, list[Any]]) -> None:
        """Let every kind take effect on ``p``. An error in one is told, the others go on."""
        found = self.lookup(tags)
        for network in list(self.registry.values()):
            self._call("activate", network, p, found.get(network, []))

    def deactivate(self, p: Any) -> None:
        """End the effect of every kind."""
        for network in list(self.registry.values()):
            self._call("deactivate", network, p)

    def _call(self, verb: str, network: ExtraNetwork, *args: Any) -> None:
        method = getattr(network, verb)
        owner = self.callbacks.owner(getattr(type(network), verb).__code__.co_filename)
        self.callbacks.ledger.contain(owner, f"{verb} {network.name}", method, *args)
