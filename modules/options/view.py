"""A frozen copy of all settings: what a job takes along."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from modules.errors import Forbidden, InvalidInput
from modules.options.option_info import OptionInfo
from modules.options.values import cast, conform, same_type


class SettingsView(Mapping[str, Any]):
    """All settings at one moment, readable as attributes (``view.randn_source``) or items.

    Nothing that happens to the live settings afterwards changes a view, so two jobs with different
    settings cannot disturb each other.
    """

    __slots__ = ("_labels", "_locked", "_values")

    def __init__(
        self,
        values: Mapping[str, Any],
        labels: Mapping[str, OptionInfo] | None = None,
        locked: Mapping[str, str] | None = None,
    ) -> None:
        """``locked`` maps keys that may not be overridden to the sentence that says why."""
        object.__setattr__(self, "_values", {key: copy.copy(value) for key, value in values.items()})
        object.__setattr__(self, "_labels", dict(labels or {}))
        object.__setattr__(self, "_locked", dict(locked or {}))

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__") or key in SettingsView.__slots__:
            raise AttributeError(key)
        try:
            return self._values[key]
        except KeyError:
            raise AttributeError(f"There is no setting named {key!r}.") from None

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"A view of the settings is frozen; use with_overrides({key}=...) instead.")

    def __delattr__(self, key: str) -> None:
        raise AttributeError("A view of the settings is frozen.")

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"SettingsView({len(self)} settings)"

    def __reduce__(self) -> tuple[Any, ...]:
        # The descriptions hold callables of the page; a copy in another process needs the values only.
        return (SettingsView, (dict(self._values),))

    def with_overrides(self, overrides: Mapping[str, Any] | None = None, /, **more: Any) -> SettingsView:
        """A view in which some settings have other values.

        Raises InvalidInput for a key that is no setting or a value of the wrong kind, Forbidden for
        a key that is frozen or locked by a flag. Overrides come with requests, so settings that are
        not for the HTTP interface keep their values.
        """
        values = dict(self._values)
        for key, value in {**(overrides or {}), **more}.items():
            new = self._checked(key, value)
            info = self._labels.get(key)
            if info is not None and info.restrict_api:
                continue
            if key in self._locked and new != values.get(key):
                raise Forbidden(self._locked[key])
            values[key] = new
        return SettingsView(values, self._labels, self._locked)

    def _checked(self, key: str, value: Any) -> Any:
        info = self._labels.get(key)
        if info is None and self._labels:
            raise InvalidInput(
                f"There is no setting named {key!r:.100}. "
                "The names of all settings are listed at /sdapi/v1/options.",
                field=str(key),
            )
        return value if info is None else convert(key, info, self._values.get(key), value)


def convert(key: str, info: OptionInfo, current: Any, value: Any) -> Any:
    """``value`` in the type of the setting, or InvalidInput naming key, value and expectation."""
    if info.do_not_save:
        raise InvalidInput(f"{key!r} is an explanation on the page of settings, not a setting.", field=key)
    expected = f"a value like {info.default!r}"
    try:
        return conform(info.default, value) if info.checked else _loose(info, current, value)
    except (ValueError, TypeError, OverflowError) as error:
        expected = str(error) if info.checked else expected
    try:
        # Text in the spelling of infotext, where every word but False is true.
        return cast(info.default, current, _text_only(value))
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput(
            f"The setting {key!r} ({info.label}) cannot be {value!r:.100}: expected {expected}.", field=key
        ) from None


def _loose(info: OptionInfo, current: Any, value: Any) -> Any:
    return value if same_type(info.default, value) else cast(info.default, current, value)


def _text_only(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
