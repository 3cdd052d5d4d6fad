"""The order in which waiting jobs are served: by priority, then in turn between clients.

Clients share the workers by start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing",
1996): each job carries a tag on a virtual clock that advances by one for each job of its client, so a
client with a thousand jobs waits behind the first job of a client that comes later.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

CLIENTS_REMEMBERED = 1000
"""Clients whose last turn is remembered; of more, those without a waiting job are forgotten."""


@dataclass(order=True)
class Place:
    """Where a job stands. Places compare in the order of service."""

    _first: int = field(init=False, repr=False)
    tag: float
    sub: float
    id: str = field(compare=False)
    client: str = field(compare=False)
    priority: int = field(compare=False)
    held: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        self._first = -self.priority


class Line:
    """Waiting jobs. ``held`` ones keep their place and are passed over."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._by_id: dict[str, Place] = {}
        self._last: dict[str, float] = {}
        self._now = 0.0
        self._count = 0.0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._by_id

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._places))

    def waiting_of(self, client: str) -> int:
        """Number of waiting jobs of ``client``."""
        return sum(1 for place in self._places if place.client == client)

    def place(self, job_id: str) -> Place:
        """The place of a waiting job."""
        return self._by_id[job_id]

    def add(self, job_id: str, client: str = "", priority: int = 0, *, held: bool = False) -> Place:
        """A place behind the client's other jobs of this priority, in turn with other clients."""
        tag = max(self._now, self._last.get(client, 0.0))
        self._remember(client, tag + 1)
        self._count += 1
        place = Place(tag, self._count, job_id, client, priority, held)
        self._insert(place)
        return place

    def restore(self, place: Place) -> None:
        """Take a place that an earlier run of the program gave."""
        self._remember(place.client, max(self._last.get(place.client, 0.0), place.tag + 1))
        self._count = max(self._count, place.sub)
        self._insert(place)
        # The clock goes on where it stood, so that who comes now is not ahead of all.
        self._now = min(one.tag for one in self._places)

    def remove(self, job_id: str) -> Place | None:
        """Take a job out of the line, whatever for."""
        place = self._by_id.pop(job_id, None)
        if place is not None:
            del self._places[bisect_left(self._places, place)]
        return place

    def serve(self, job_id: str) -> Place:
        """Take a job out to be worked on; the virtual clock goes on to its tag."""
        place = self._by_id[job_id]
        self.remove(job_id)
        self._now = max(self._now, place.tag)
        return place

    def set_priority(self, job_id: str, priority: int) -> Place:
        """Let a job wait among those of another priority. Higher ones are served first."""
        place = self._by_id[job_id]
        return self._put(place, priority, place.tag, place.sub)

    def move(self, job_id: str, position: int) -> list[Place]:
        """Give a job the place number ``position`` (0 is next). Returns the places that changed.

        Beside jobs of another priority it takes over as much of theirs as the new place needs.
        """
        place = self._by_id[job_id]
        others = [one for one in self._places if one is not place]
        position = max(0, min(position, len(others)))
        before = others[position - 1] if position else None
        after = others[position] if position < len(others) else None
        moved = self._between(place, before, after)
        if _lies_between(moved, before, after):
            return [moved]
        # Halving has used up the numbers between two neighbours: number all places afresh.
        for number, one in enumerate(self._places):
            one.sub = float(number)
        self._count = float(len(self._places))
        self._between(place, before, after)
        return list(self._places)

    def _between(self, place: Place, before: Place | None, after: Place | None) -> Place:
        priority = place.priority
        if before is not None:
            priority = min(priority, before.priority)
        if after is not None:
            priority = max(priority, after.priority)
        left = before if before is not None and before.priority == priority else None
        right = after if after is not None and after.priority == priority else None
        if left is not None and right is not None and left.tag == right.tag:
            return self._put(place, priority, left.tag, (left.sub + right.sub) / 2)
        if left is not None:
            return self._put(place, priority, left.tag, left.sub + 1)
        if right is not None:
            return self._put(place, priority, right.tag, right.sub - 1)
        return self._put(place, priority, place.tag, place.sub)

    def _put(self, place: Place, priority: int, tag: float, sub: float) -> Place:
        self.remove(place.id)
        moved = Place(tag, sub, place.id, place.client, priority, place.held)
        self._insert(moved)
        return moved

    def _insert(self, place: Place) -> None:
        insort(self._places, place)
        self._by_id[place.id] = place

    def _remember(self, client: str, tag: float) -> None:
        self._last[client] = tag
        if len(self._last) > CLIENTS_REMEMBERED:
            waiting = {place.client for place in self._places} | {client}
            self._last = {name: last for name, last in self._last.items() if name in waiting}


def _lies_between(place: Place, before: Place | None, after: Place | None) -> bool:
    return (before is None or before < place) and (after is None or place < after)
