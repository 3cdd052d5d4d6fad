"""The settings of the program: what exists, what is set, what may be changed."""

from __future__ import annotations

import json
import logging
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modules.errors import EaselError, Forbidden, InvalidInput
from modules.options import store
from modules.options.choices import ChoiceProviders
from modules.options.locks import Locks
from modules.options.option_info import OptionHTML, OptionInfo, options_section
from modules.options.registry import default_labels, page_headings, page_order
from modules.options.tables import CATEGORIES
from modules.options.tables.row import Category
from modules.options.values import cast, conform, same_type
from modules.options.view import SettingsView, convert

__all__ = ["OptionHTML", "OptionInfo", "Options", "SettingsView", "default_options", "options_section"]

_log = logging.getLogger(__name__)


class Options:
    """Registry and values of all settings.

    ``opts.key`` reads a setting, ``opts.key = value`` writes it (Forbidden when it is locked),
    ``opts.set`` writes it politely and calls what depends on it. ``data_labels`` maps keys to
    OptionInfo, ``data`` maps keys to values and may hold keys that nothing here knows: they belong
    to extensions that are off at the moment and are kept. Writing is safe from several threads.
    """

    typemap: Mapping[type, type] = {int: float}

    def __init__(
        self,
        data_labels: Mapping[str, OptionInfo],
        restricted_opts: set[str] | frozenset[str] = frozenset(),
        *,
        locks: Locks | None = None,
        providers: ChoiceProviders | None = None,
        categories: tuple[Category, ...] = CATEGORIES,
    ) -> None:
        fields = {
            "data_labels": dict(data_labels),
            "data": {},
            "restricted_opts": set(restricted_opts),
            "choice_providers": providers or ChoiceProviders(),
            "option_categories": {category.id: category.label for category in categories},
            "load_messages": [],
            "_locks": locks or Locks(),
            "_lock": threading.RLock(),
            "_unusable": {},
            "_unreadable": None,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self.choice_providers.register("setting_keys", lambda: list(self.data_labels))
        self.data.update({key: _own(info.default) for key, info in self._stored_labels()})

    def _stored_labels(self) -> list[tuple[str, OptionInfo]]:
        return [(key, info) for key, info in list(self.data_labels.items()) if not info.do_not_save]

    # Reading

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        fields = self.__dict__
        if "data" in fields and key in fields["data"]:
            return fields["data"][key]
        if "data_labels" in fields and key in fields["data_labels"]:
            return _own(fields["data_labels"][key].default)
        raise AttributeError(f"There is no setting named {key!r}.")

    def get_default(self, key: str) -> Any:
        """The default of a setting, None for an unknown key."""
        info = self.data_labels.get(key)
        return None if info is None else _own(info.default)

    def view(self, overrides: Mapping[str, Any] | None = None) -> SettingsView:
        """A frozen snapshot, optionally with other values for some keys (see SettingsView)."""
        with self._lock:
            values = {key: info.default for key, info in self._stored_labels()} | self.data
            locked = {key: why for key in self.data_labels if (why := self._why_locked(key)) is not None}
            snapshot = SettingsView(values, self.data_labels, locked)
        return snapshot.with_overrides(overrides) if overrides else snapshot

    def same_type(self, x: Any, y: Any) -> bool:
        """Whether two values have one type; int and float count as one, None goes with everything."""
        return same_type(x, y)

    def cast_value(self, key: str, value: Any) -> Any:
        """Convert ``value``, mostly text from infotext, to the type of the setting.

        Raises InvalidInput when that is impossible.
        """
        info = self._info(key)
        try:
            return cast(info.default, self.data.get(key), value)
        except (ValueError, TypeError, OverflowError):
            raise InvalidInput(
                f"The setting {key!r} ({info.label}) cannot be {value!r:.100}: "
                f"expected a value like {info.default!r}.",
                field=key,
            ) from None

    # Writing

    def __setattr__(self, key: str, value: Any) -> None:
        if key in self.__dict__ or (key not in self.data_labels and key not in self.data):
            object.__setattr__(self, key, value)
            return
        with self._lock:
            why = self._why_locked(key)
            if why is not None:
                raise Forbidden(why)
            info = self.data_labels.get(key)
            if info is not None and info.do_not_save:
                return
            self.data[key] = self._typed(key, value)
            self._unusable.pop(key, None)

    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool:
        """Write a setting and call its onchange. Returns whether it was changed.

        False: the value is the same, or the setting is display-only, locked by
        ``--hide-ui-dir-config``, or not for the HTTP interface while ``is_api`` is true; also when
        onchange failed with an unexpected error, after the old value was restored.
        Raises InvalidInput (unknown key, wrong kind of value), Forbidden (frozen by a flag), and
        the EaselError of an onchange, for instance of loading a model, after restoring.
        """
        info = self._info(key)
        if info.do_not_save or (is_api and info.restrict_api):
            return False
        with self._lock:
            old = getattr(self, key)
            new = self._typed(key, value)
            if new == old:
                return False
            if self._locks.is_hidden(key, info, self.restricted_opts):
                return False
            setattr(self, key, new)
        # Outside the lock: loading a model may take a minute, and other threads go on reading.
        return self._changed(key, old, new) if run_callbacks else True

    def _typed(self, key: str, value: Any) -> Any:
        """``value`` in the type of our own settings; values of extensions' settings are their affair."""
        info = self.data_labels.get(key)
        return convert(key, info, self.data.get(key), value) if info is not None and info.checked else value

    def _changed(self, key: str, old: Any, new: Any) -> bool:
        callback = self.data_labels[key].onchange
        if callback is None:
            return True
        try:
            callback()
        except Exception as error:
            with self._lock:
                if self.data.get(key) == new:
                    self.data[key] = old
            if isinstance(error, EaselError):
                raise
            _log.exception("Changing the setting %r to %r failed; the old value is back.", key, new)
            return False
        return True

    def onchange(self, key: str, func: Callable[[], Any], call: bool = True) -> None:
        """Call ``func`` after each change of the setting, and once now if ``call`` is true."""
        self._info(key).onchange = func
        if call:
            func()

    def add_option(self, key: str, info: OptionInfo) -> None:
        """Register a setting of an extension. A value read from the file before is kept."""
        with self._lock:
            self.data_labels[key] = info
            if not info.do_not_save:
                self.data.setdefault(key, _own(info.default))

    def _info(self, key: str) -> OptionInfo:
        info = self.data_labels.get(key)
        if info is None:
            raise InvalidInput(f"There is no setting named {key!r:.100}.", field=str(key))
        return info

    def why_locked(self, key: str) -> str | None:
        """The sentence that says which flag protects a setting, None when it can be changed."""
        return self._why_locked(key)

    def _why_locked(self, key: str) -> str | None:
        return self._locks.why(key, self.data_labels.get(key), self.restricted_opts)

    # File

    def load(self, filename: str | Path, damaged_dir: str | Path | None = None) -> None:
        """Replace all values by those of the file; what the file lacks reads as its default.

        A damaged file is replaced by its backup and kept in ``damaged_dir`` (``tmp`` beside it).
        What had to be repaired stands in ``load_messages`` and in the log; this never stops the start.
        """
        path = Path(filename)
        try:
            stored = store.read_settings(path, Path(damaged_dir) if damaged_dir else path.parent / "tmp")
            unreadable = None
        except store.SettingsFileError as error:
            stored = store.StoredSettings({}, [str(error)])
            unreadable = path
        data, unusable, complaints = self._accept(_migrate(stored.data))
        with self._lock:
            object.__setattr__(self, "_unreadable", unreadable)
            object.__setattr__(self, "_unusable", unusable)
            object.__setattr__(self, "load_messages", stored.messages + complaints)
            object.__setattr__(self, "data", data)
        for message in self.load_messages:
            _log.warning("%s", message)

    def _accept(self, stored: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        """Split what the file holds into usable values, unusable ones, and sentences about the latter."""
        data, unusable, complaints = dict(stored), {}, []
        for key, value in stored.items():
            info = self.data_labels.get(key)
            if info is None or info.do_not_save:
                continue
            if not info.checked:
                if not same_type(info.default, value):
                    complaints.append(_type_warning(key, info, value, "It is used as it is."))
                continue
            try:
                data[key] = conform(info.default, value)
            except ValueError:
                unusable[key] = data.pop(key)
                complaints.append(_type_warning(key, info, value, "The default is used."))
        return data, unusable, complaints

    def save(self, filename: str | Path) -> None:
        """Write all values to the file, atomically, keeping the previous file as ``.bak``.

        Raises Forbidden under ``--freeze-settings`` and SettingsFileError when writing is impossible.
        """
        path = Path(filename)
        self._locks.require_saving()
        with self._lock:
            if self._unreadable == path:
                raise store.SettingsFileError(
                    f"The settings are not saved: {path} could not be read at the start and would be "
                    "overwritten. Correct its permissions and restart."
                )
            # Values of a wrong type go back as they came, so that a mistake by hand can be corrected by hand.
            store.save_settings(path, self._unusable | self.data)

    # Pages and interfaces

    def reorder(self) -> None:
        """Bring the settings into the order of the pages (after extensions registered theirs)."""
        with self._lock:
            object.__setattr__(self, "data_labels", page_order(self.data_labels, self.option_categories))

    def register_category(self, category_id: str, label: str) -> str:
        """Add a heading for the pages of settings; an existing one keeps its label."""
        self.option_categories.setdefault(category_id, label)
        return category_id

    def dumpjson(self) -> str:
        """The JSON text that the browser gets: values, comments and the headings of the pages."""
        with self._lock:
            labels = page_order(self.data_labels, self.option_categories)
            values: dict[str, Any] = {key: self.data.get(key, info.default) for key, info in labels.items()}
        values["_comments_before"] = {k: i.comment_before for k, i in labels.items() if i.comment_before}
        values["_comments_after"] = {k: i.comment_after for k, i in labels.items() if i.comment_after}
        values["_categories"] = page_headings(labels, self.option_categories)
        return json.dumps(values)

    def api_values(self) -> dict[str, Any]:
        """The answer of ``GET /sdapi/v1/options``.

        Numbers whose default is not zero come as floats, as clients of the reference know it.
        """
        with self._lock:
            return {
                key: _as_reply(info.default, self.data.get(key, info.default))
                for key, info in self.data_labels.items()
            }


def _own(default: Any) -> Any:
    return list(default) if isinstance(default, list) else default


def _as_reply(default: Any, value: Any) -> Any:
    numbers = (int, float)
    if type(default) in numbers and default and type(value) in numbers:
        return float(value)
    return value


def _type_warning(key: str, info: OptionInfo, value: Any, consequence: str) -> str:
    return (
        f"The file of settings holds {value!r:.100} for {key!r} ({info.label}), "
        f"expected a value like {info.default!r}. {consequence}"
    )


def _migrate(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Translate keys of older versions. The old keys stay, so that an older program finds them."""
    data = dict(stored)
    if "sd_vae_as_default" in data and "sd_vae_overrides_per_model_preferences" not in data:
        data["sd_vae_overrides_per_model_preferences"] = not data["sd_vae_as_default"]
    for old, new in (("quicksettings", "quicksettings_list"), ("ui_reorder", "ui_reorder_list")):
        text = data.get(old)
        if isinstance(text, str) and data.get(new) is None and (text or old == "quicksettings"):
            data[new] = [part.strip() for part in text.split(",")]
    if data.get("sd_vae") == "auto":
        data["sd_vae"] = "Automatic"
    return data


def default_options(flags: Namespace | None = None, *, data_dir: str | Path | None = None) -> Options:
    """All settings of the program with their defaults.

    ``flags`` are the parsed command-line flags; ``data_dir`` overrides theirs.
    """
    flags = flags or Namespace()
    root = data_dir if data_dir is not None else getattr(flags, "data_dir", None)
    providers = ChoiceProviders()
    hide_dirs = bool(getattr(flags, "hide_ui_dir_config", False))
    labels, restricted = default_labels(providers, Path(root) if root else None, hide_dirs)
    if getattr(flags, "enable_console_prompts", False):
        labels["enable_console_prompts"].default = True
    return Options(labels, restricted, locks=Locks.from_flags(flags), providers=providers)
