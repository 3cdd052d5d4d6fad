"""Extra networks of extensions: register an ``ExtraNetwork`` with ``register_extra_network``.

Its ``activate`` is called with the tags of each batch, with an empty list when there are none, and
``deactivate`` when the job is over.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modules.extensions.current import HOST
from modules.extensions.networks import ExtraNetwork
from modules.prompts.extra_networks import ExtraNetworkParams, Networks, parse_batch, parse_extra_networks

__all__ = ["ExtraNetwork", "ExtraNetworkParams"]

extra_network_registry = HOST.networks.registry
extra_network_aliases = HOST.networks.aliases


def initialize() -> None:
    """Forget all kinds."""
    extra_network_registry.clear()
    extra_network_aliases.clear()


def register_extra_network(extra_network: ExtraNetwork) -> None:
    """Add a kind."""
    extra_network_registry[extra_network.name] = extra_network


def register_extra_network_alias(extra_network: ExtraNetwork, alias: str) -> None:
    """Another name for a kind, used unless a kind of that name is registered."""
    extra_network_aliases[alias] = extra_network


def lookup_extra_networks(extra_network_data: Networks) -> dict[ExtraNetwork, list[ExtraNetworkParams]]:
    """Tags by registered kind; tags of unknown kinds are left out."""
    return HOST.networks.lookup(extra_network_data)


def activate(p: Any, extra_network_data: Networks) -> None:
    """Let every registered kind take effect on ``p``."""
    HOST.networks.activate(p, extra_network_data)


def deactivate(p: Any, extra_network_data: Networks) -> None:
    """End the effect of every registered kind."""
    HOST.networks.deactivate(p)


def parse_prompt(prompt: str) -> tuple[str, Networks]:
    """The prompt without tags, and the tags by kind."""
    return parse_extra_networks(prompt)


def parse_prompts(prompts: list[str]) -> tuple[list[str], Networks]:
    """The prompts without tags, and the tags of the first."""
    return parse_batch(prompts)


def get_user_metadata(filename: str | None, lister: Any = None) -> dict[str, Any]:
    """The content of the JSON file beside a network, or an empty dict."""
    if filename is None:
        return {}
    try:
        metadata = json.loads(Path(filename).with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
