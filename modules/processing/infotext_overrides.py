"""From entries of a picture's text to settings for one job.

Only settings that declare an infotext name can be reached, and never one that is protected from
clients or holds a path: a forged text cannot redirect files or open the network.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modules.errors import InvalidInput

_log = logging.getLogger(__name__)


class SettingsRegistry(Protocol):
    """The part of Options that is needed here."""

    @property
    def data_labels(self) -> Mapping[str, Any]: ...
    @property
    def restricted_opts(self) -> Iterable[str]: ...
    def cast_value(self, key: str, value: Any) -> Any: ...


@dataclass(frozen=True)
class Override:
    """``setting`` gets ``value`` because the text says ``infotext_name``."""

    infotext_name: str
    setting: str
    value: Any


def allowed_settings(registry: SettingsRegistry) -> list[tuple[str, str]]:
    """(infotext name, setting) of all settings that a text may change, in the order of registration."""
    restricted = set(registry.restricted_opts)
    return [
        (info.infotext, key)
        for key, info in registry.data_labels.items()
        if info.infotext and key not in restricted and not info.restrict_api and not info.do_not_save
    ]


def overrides_from_params(
    params: Mapping[str, Any],
    registry: SettingsRegistry,
    current: Mapping[str, Any],
    skip_fields: Iterable[str] = (),
) -> list[Override]:
    """The settings in which a parsed text differs from the ``current`` ones.

    ``skip_fields`` are entries that go to an input of the page instead. The checkpoint stays as it
    is while the setting ``disable_weights_auto_swap`` is on.
    """
    skipped = set(skip_fields)
    result = []
    for name, key in allowed_settings(registry):
        text = params.get(name)
        if text is None or name in skipped:
            continue
        if key == "sd_model_checkpoint" and current.get("disable_weights_auto_swap", True):
            continue
        value = _cast(registry, key, text)
        if value is not None and value != current.get(key):
            result.append(Override(name, key, value))
    return result


def overrides_from_texts(texts: Iterable[str], registry: SettingsRegistry) -> dict[str, Any]:
    """Override settings from lines ``Name: value``, as the override dropdown of the page holds them."""
    pairs = (text.partition(":") for text in texts)
    params = {name.strip(): value.strip() for name, colon, value in pairs if colon}
    result = {}
    for name, key in allowed_settings(registry):
        value = _cast(registry, key, params[name]) if name in params else None
        if value is not None:
            result[key] = value
    return result


def _cast(registry: SettingsRegistry, key: str, text: Any) -> Any:
    try:
        return registry.cast_value(key, text)
    except InvalidInput as error:
        _log.warning("An entry of a picture's text was not taken over: %s", error)
        return None


def paste_value(current: Any, text: Any) -> Any:
    """``text`` in the type of an input's current value; ``current`` itself when that fails.

    The word False is false, whole numbers may be written as floats.
    """
    try:
        if isinstance(current, bool):
            return text != "False" and bool(text)
        if isinstance(current, int):
            return int(float(text))
        return text if current is None else type(current)(text)
    except (TypeError, ValueError, OverflowError):
        return current
