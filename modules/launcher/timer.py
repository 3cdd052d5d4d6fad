"""A stop-watch with named laps, for the start-up profile. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timer:
    """Adds up the seconds between calls of ``record``.

    ``records`` maps a name to seconds; names of nested parts are joined with a slash. ``total`` is the
    sum of the outer ones. With ``print_log`` every lap is printed as it ends.
    """

    def __init__(self, print_log: bool = False) -> None:
        self.print_log = print_log
        self.reset()

    def reset(self) -> None:
        """Start from zero."""
        self.start = time.time()
        self.total = 0.0
        self.records: dict[str, float] = {}
        self.base_category = ""
        self.subcategory_level = 0

    def elapsed(self) -> float:
        """Seconds since the last call of this, or since the start."""
        now = time.time()
        seconds, self.start = now - self.start, now
        return seconds

    def add_time_to_record(self, category: str, amount: float) -> None:
        """Add ``amount`` seconds to one name."""
        self.records[category] = self.records.get(category, 0.0) + amount

    def record(self, category: str, extra_time: float = 0.0, disable_log: bool = False) -> None:
        """The lap that ends now was spent on ``category``; ``extra_time`` seconds are added to it."""
        seconds = self.elapsed() + extra_time
        self.add_time_to_record(self.base_category + category, seconds)
        self.total += seconds
        if self.print_log and not disable_log:
            print(f"{'  ' * self.subcategory_level}{category}: {seconds:.3f} s")

    @contextmanager
    def subcategory(self, name: str) -> Iterator[Timer]:
        """Laps recorded inside belong to ``name``, which gets their sum when the block ends."""
        self.elapsed()
        outer, total = self.base_category, self.total
        self.base_category = f"{outer}{name}/"
        self.subcategory_level += 1
        if self.print_log:
            print(f"{'  ' * (self.subcategory_level - 1)}{name}:")
        try:
            yield self
        finally:
            self.base_category, self.subcategory_level = outer, self.subcategory_level - 1
            inner = self.total - total
            self.total = total
            self.record(name, inner, disable_log=True)

    def summary(self) -> str:
        """One line: the total, and the outer parts that took a tenth of a second or more, longest first."""
        parts = {
            name: seconds for name, seconds in self.records.items() if "/" not in name and seconds >= 0.1
        }
        listed = ", ".join(f"{name} {parts[name]:.1f} s" for name in sorted(parts, key=lambda n: -parts[n]))
        return f"{self.total:.1f} s" + (f" ({listed})" if listed else "")

    def dump(self) -> dict[str, float | dict[str, float]]:
        """``total`` and ``records``, as the JSON interface reports the start-up profile."""
        return {"total": self.total, "records": dict(self.records)}
