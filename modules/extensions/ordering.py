"""Sorting by "before", "after" and "requires"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def topological_sort(dependencies: Mapping[str, Iterable[str]]) -> list[str]:
    """The keys of ``dependencies``, each after those it depends on, else in their given order.

    Unknown names are ignored. A circle is broken at the first key of it: nothing is lost.
    """
    done: list[str] = []
    seen: set[str] = set()
    for root in dependencies:
        stack = [(root, False)]
        while stack:
            name, ready = stack.pop()
            if ready:
                done.append(name)
            elif name not in seen and name in dependencies:
                seen.add(name)
                stack.append((name, True))
                stack.extend((wanted, False) for wanted in reversed(list(dependencies[name])))
    return done
