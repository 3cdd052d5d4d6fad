"""Keeps every component of the page in the DOM, on Gradio 6.31. The one place that knows how.

Gradio's browser part does not mount what lies in a tab that is not selected or in a closed accordion.
It recognises those by the type of the node, while it finds the part to draw by the class id first.
So thin subclasses of Tabs, Tab and Accordion announce a type of their own and the class id of the native
part: they look and behave as ever, and are never lazy. What the lazy pass used to fill in on the way
(the list of tabs, their order and ids) comes from Python instead.

Beside that, two files of Gradio are served with one expression replaced each. That is for speed alone:
without it every event walks the whole page several times for each input. When the expression is not found
exactly once, because Gradio is another version, the file is served as it is.
"""

from __future__ import annotations

import importlib
import logging
from abc import ABCMeta
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTED_GRADIO = "6.31.0"
"""The version whose browser part was read and measured."""

_log = logging.getLogger(__name__)
_MARK = "easel_mounted"


def keep_mounted(gradio: Any) -> None:
    """Put the subclasses into ``gradio`` in place of Tabs, Tab, TabItem and Accordion.

    Call it before the page and extensions are built; a second call does nothing.
    """
    if getattr(gradio.Tabs, _MARK, False):
        return
    tabs, tab, accordion = (
        _tabs_class(gradio.Tabs),
        _tab_class(gradio.Tab),
        _accordion_class(gradio.Accordion),
    )
    tab.get_expected_parent = lambda self: tabs
    places = [gradio, *map(importlib.import_module, ("gradio.layouts", "gradio.layouts.tabs"))]
    for place in places:
        place.Tabs, place.Tab, place.TabItem = tabs, tab, tab
    for place in (*places[:2], importlib.import_module("gradio.layouts.accordion")):
        place.Accordion = accordion


def _subclass(native: Any, node_type: str, class_id: str, get_config: Callable[..., dict[str, Any]]) -> Any:
    """A subclass under the name of ``native``.

    Made past Gradio's metaclass, which would write a stub file beside this one.
    """
    members = {
        "__module__": native.__module__,
        "__doc__": native.__doc__,
        _MARK: True,
        "get_block_name": lambda self: node_type,
        "get_component_class_id": classmethod(lambda cls: class_id),
        "get_config": get_config,
    }
    return ABCMeta.__new__(type(native), native.__name__, (native,), members)


def _tabs_class(native: Any) -> Any:
    def get_config(self: Any, cls: Any = None) -> dict[str, Any]:
        config = native.get_config(self, native)
        config["initial_tabs"] = [_tab_entry(child) for child in _tabs_in(self)]
        # The other behaviour keeps a hidden clone of the strip, which scripts would click in vain.
        config["overflow_behavior"] = "wrap"
        return config

    return _subclass(native, "mountedtabs", "tabs", get_config)


def _tab_class(native: Any) -> Any:
    def get_config(self: Any, cls: Any = None) -> dict[str, Any]:
        config = native.get_config(self, native)
        siblings = _tabs_in(self.parent) if self.parent is not None else [self]
        config.update(id=_tab_id(self), component_id=self._id, order=siblings.index(self))
        return config

    return _subclass(native, "mountedtab", "tabitem", get_config)


def _accordion_class(native: Any) -> Any:
    def get_config(self: Any, cls: Any = None) -> dict[str, Any]:
        return native.get_config(self, native)

    return _subclass(native, "mountedaccordion", "accordion", get_config)


def _tabs_in(parent: Any) -> list[Any]:
    return [child for child in parent.children if child.get_block_name() == "mountedtab"]


def _tab_id(tab: Any) -> Any:
    return tab._id if tab.id is None else tab.id


def _tab_entry(tab: Any) -> dict[str, Any]:
    """What the strip has to know about one tab."""
    return {
        "label": tab.label,
        "id": _tab_id(tab),
        "alignment": tab.alignment,
        "elem_id": tab.elem_id,
        "visible": tab.visible,
        "interactive": tab.interactive,
        "scale": tab.scale,
        "component_id": tab._id,
    }


@dataclass(frozen=True)
class Replacement:
    """One expression in one of Gradio's files, and what stands there instead."""

    pattern: str
    old: str
    new: str


REPLACEMENTS = (
    # Finding a component by its id: remember the way to it, follow it, and search only when it is wrong.
    Replacement(
        "core-*.js",
        "function Z(e,t){if(e.id===t)return e;if(e.children)for(let n of e.children)"
        "{let e=Z(n,t);if(e)return e}return null}",
        "var easelWays=new Map;"
        "function Z(e,t){let n=easelWays.get(t);if(n){let r=e;for(let e of n)if(r=r.children?.[e],!r)break;"
        "if(r&&r.id===t)return r}n=[];let r=easelSearch(e,t,n);return r&&easelWays.set(t,n.reverse()),r}"
        "function easelSearch(e,t,n){if(e.id===t)return e;let r=e.children;if(r)for(let e=0;e<r.length;e++)"
        "{let i=easelSearch(r[e],t,n);if(i)return n.push(e),i}return null}",
    ),
    # An ordinary event must not put all its inputs on the list that each later event works through.
    Replacement(
        "statustracker-*.js",
        "h.includes(e)&&s?`input`",
        "h.includes(e)&&s&&(s!==`closed`||this.current[e])?`input`",
    ),
)


def quicker_assets(gradio: Any) -> Mapping[str, bytes]:
    """The two files with their replacement, by name; one that does not fit is left out and said so."""
    folder = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"
    found = {}
    for row in REPLACEMENTS:
        for path in folder.glob(row.pattern):
            text = path.read_text(encoding="utf-8")
            if text.count(row.old) == 1:
                found[path.name] = text.replace(row.old, row.new).encode()
                break
        else:
            _log.warning(
                "Gradio %s has no %s as it was in %s: the page works, with slower events.",
                gradio.__version__, row.pattern, TESTED_GRADIO,
            )  # fmt: skip
    return found
