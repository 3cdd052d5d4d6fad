"""The 21 callbacks: who registered, in which order they are called, and calling them contained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.extensions.catalogue import Catalogue
from modules.extensions.ledger import Ledger
from modules.extensions.ordering import topological_sort

BASE = "base"
"""Name of what belongs to no extension in the names of callbacks."""


@dataclass(frozen=True)
class CallbackKind:
    """One callback: ``on_<name>`` registers it; ``backwards`` ones are called last registered first."""

    name: str
    category: str
    backwards: bool = False


CALLBACKS: tuple[CallbackKind, ...] = (
    CallbackKind("app_started", "app_started"),
    CallbackKind("before_reload", "on_reload"),
    CallbackKind("model_loaded", "model_loaded"),
    CallbackKind("ui_tabs", "ui_tabs"),
    CallbackKind("ui_train_tabs", "ui_train_tabs"),
    CallbackKind("ui_settings", "ui_settings"),
    CallbackKind("before_image_saved", "before_image_saved"),
    CallbackKind("image_saved", "image_saved"),
    CallbackKind("extra_noise", "extra_noise"),
    CallbackKind("cfg_denoiser", "cfg_denoiser"),
    CallbackKind("cfg_denoised", "cfg_denoised"),
    CallbackKind("cfg_after_cfg", "cfg_after_cfg"),
    CallbackKind("before_component", "before_component"),
    CallbackKind("after_component", "after_component"),
    CallbackKind("image_grid", "image_grid"),
    CallbackKind("infotext_pasted", "infotext_pasted"),
    CallbackKind("script_unloaded", "script_unloaded", backwards=True),
    CallbackKind("before_ui", "before_ui", backwards=True),
    CallbackKind("list_optimizers", "list_optimizers"),
    CallbackKind("list_unets", "list_unets"),
    CallbackKind("before_token_counter", "before_token_counter"),
)

_BACKWARDS = frozenset(kind.category for kind in CALLBACKS if kind.backwards)


@dataclass(eq=False)
class ScriptCallback:
    """A registered function. ``script``: the file that registered it; ``name``: ext/file/category[/name]."""

    script: str
    callback: Any
    name: str = "unnamed"


def _no_priorities(_category: str) -> Sequence[str]:
    return ()


@dataclass
class CallbackRegistry:
    """All registered functions. ``priorities(category)`` names those that the user wants first.

    ``callback_map`` maps ``callbacks_<category>`` to the functions in the order of their registration.
    """

    catalogue: Catalogue
    ledger: Ledger
    priorities: Callable[[str], Sequence[str]] = _no_priorities
    callback_map: dict[str, list[ScriptCallback]] = field(default_factory=dict)
    ordered_by_category: dict[str, list[ScriptCallback]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in CALLBACKS:
            self.callback_map.setdefault(f"callbacks_{kind.category}", [])

    # Registering

    def register(
        self, category: str, function: Any, *, name: str | None = None, filename: str | None = None
    ) -> None:
        """Add ``function`` for the extension that ``filename``, or else the caller, belongs to."""
        callbacks = self.callback_map[f"callbacks_{category}"]
        self.add(callbacks, function, name=name, category=category, filename=filename or calling_file())
        self.ordered_by_category.pop(category, None)

    def add(
        self,
        callbacks: list[ScriptCallback],
        function: Any,
        *,
        name: str | None,
        category: str,
        filename: str,
    ) -> None:
        """Append ``function`` to a list under a name that is unique in it."""
        wanted = f"{self.owner(filename)}/{Path(filename).name}/{category}{f'/{name}' if name else ''}"
        taken = {callback.name for callback in callbacks}
        unique, number = wanted, 0
        while unique in taken:
            number += 1
            unique = f"{wanted}-{number}"
        callbacks.append(ScriptCallback(filename, function, unique))

    def owner(self, filename: str) -> str:
        """Canonical name of the extension that a file belongs to, or ``base``."""
        extension = self.catalogue.find(filename)
        return extension.canonical_name if extension else BASE

    def remove_function(self, function: Any) -> None:
        """Forget every registration of ``function``."""
        self._keep(lambda callback: callback.callback is not function and callback.callback != function)

    def remove_of_file(self, filename: str) -> None:
        """Forget what a file registered."""
        self._keep(lambda callback: callback.script != filename)

    def remove_of_folder(self, folder: Path) -> None:
        """Forget what the files below a folder registered."""
        self._keep(lambda callback: folder not in Path(callback.script).parents)

    def clear(self) -> None:
        """Forget everything."""
        self._keep(lambda _callback: False)

    def _keep(self, wanted: Callable[[ScriptCallback], bool]) -> None:
        for callbacks in self.callback_map.values():
            callbacks[:] = [callback for callback in callbacks if wanted(callback)]
        self.ordered_by_category.clear()

    # Order

    def ordered(
        self,
        category: str,
        callbacks: Iterable[ScriptCallback] | None = None,
        *,
        enable_user_sort: bool = True,
    ) -> list[ScriptCallback]:
        """The functions of a category as they are called."""
        if callbacks is not None or not enable_user_sort:
            chosen = self.callback_map.get(f"callbacks_{category}", []) if callbacks is None else callbacks
            return self.sort(category, chosen, enable_user_sort=enable_user_sort)
        if category not in self.ordered_by_category:
            self.ordered_by_category[category] = self.sort(
                category, self.callback_map[f"callbacks_{category}"]
            )
        return list(self.ordered_by_category[category])

    def forget_order(self) -> None:
        """Sort again at the next call, after a setting was changed."""
        self.ordered_by_category.clear()

    def sort(
        self, category: str, callbacks: Iterable[ScriptCallback], *, enable_user_sort: bool = True
    ) -> list[ScriptCallback]:
        """By the instructions of metadata.ini files, then those that the user prefers first."""
        by_name = {callback.name: callback for callback in callbacks}
        needs: dict[str, list[str]] = {name: [] for name in by_name}
        for extension in self.catalogue.extensions:
            for order in extension.metadata.list_callback_order_instructions() if extension.enabled else ():
                if order.name not in by_name:
                    continue
                needs[order.name] += [other for other in order.after if other in needs]
                for other in order.before:
                    if other in needs:
                        needs[other].append(order.name)
        names = topological_sort(needs)
        if enable_user_sort:
            first = [name for name in self.priorities(category) if name in by_name]
            names = first + [name for name in names if name not in first]
        return [by_name[name] for name in names]

    # Calling

    def call(self, category: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call every function of a category; results of those that did not fail, in order."""
        callbacks = self.ordered(category)
        if category in _BACKWARDS:
            callbacks.reverse()
        failed = object()
        results = [
            self.ledger.contain(
                self.owner(callback.script),
                f"{category} ({Path(callback.script).name})",
                callback.callback,
                *args,
                default=failed,
                **kwargs,
            )
            for callback in callbacks
        ]
        return [result for result in results if result is not failed]

    def any(self, *categories: str) -> bool:
        """Whether anybody registered for one of these."""
        return any(self.callback_map[f"callbacks_{category}"] for category in categories)

    def categories(self) -> list[str]:
        """Categories that have at least one function; each gets a setting that orders it."""
        return [key.partition("_")[2] for key, callbacks in self.callback_map.items() if callbacks]


def calling_file() -> str:
    """The file from which a function of the public modules was called."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.endswith(("script_callbacks.py", "callbacks.py")) or "modules" not in Path(name).parts:
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return "unknown file"
