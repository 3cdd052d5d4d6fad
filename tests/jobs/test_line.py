"""Fair turns, priorities, and moves that come out where they were asked for."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from modules.jobs.line import Line, Place


def order(line: Line) -> list[str]:
    return [place.id for place in line]


def test_one_client_is_served_in_its_order() -> None:
    line = Line()
    for number in range(5):
        line.add(str(number), "a")
    assert order(line) == ["0", "1", "2", "3", "4"]


def test_who_comes_later_does_not_wait_for_all_of_another() -> None:
    line = Line()
    for number in range(1000):
        line.add(f"a{number}", "a")
    for number in range(3):
        line.serve(f"a{number}")
    line.add("b0", "b")
    line.add("b1", "b")
    assert order(line)[:4] == ["b0", "a3", "b1", "a4"]


def test_a_client_that_was_idle_gains_nothing_by_it() -> None:
    line = Line()
    for number in range(10):
        line.add(f"a{number}", "a")
        line.serve(f"a{number}")
    for number in range(3):
        line.add(f"a{10 + number}", "a")
        line.add(f"b{number}", "b")
    assert order(line) == ["b0", "a10", "b1", "a11", "b2", "a12"]


def test_higher_priority_goes_first() -> None:
    line = Line()
    line.add("low", "a", -1)
    line.add("usual", "a")
    line.add("high", "a", 5)
    assert order(line) == ["high", "usual", "low"]
    line.set_priority("low", 9)
    assert order(line) == ["low", "high", "usual"]


def test_moving_takes_over_the_priority_that_the_place_needs() -> None:
    line = Line()
    line.add("high", "a", 5)
    line.add("usual", "a")
    line.move("usual", 0)
    assert order(line) == ["usual", "high"]
    assert line.place("usual").priority == 5


@given(
    priorities=st.lists(st.integers(-2, 2), min_size=1, max_size=8),
    moves=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_a_moved_job_stands_where_it_was_put(priorities: list[int], moves: list[tuple[int, int]]) -> None:
    line = Line()
    for number, priority in enumerate(priorities):
        line.add(str(number), f"client {number % 2}", priority)
    expected = order(line)
    for which, position in moves:
        job = expected[which % len(expected)]
        expected.remove(job)
        expected.insert(min(position, len(expected)), job)
        line.move(job, position)
        assert order(line) == expected


def test_a_gap_can_be_halved_for_ever() -> None:
    line = Line()
    for number in range(4):
        line.add(str(number))
    expected = order(line)
    for _ in range(200):
        line.move(expected[-1], 1)
        expected.insert(1, expected.pop())
        assert order(line) == expected


def test_restored_places_keep_their_order_and_the_clock() -> None:
    old = Line()
    numbers = list(range(20))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        old.add(f"a{number}", "a", number % 3)
    for name in order(old)[:5]:
        old.serve(name)
    new = Line()
    for place in old:
        new.restore(Place(place.tag, place.sub, place.id, place.client, place.priority, place.held))
    assert order(new) == order(old)
    new.add("b", "b", 2)
    assert order(new).index("b") <= 1


def test_clients_without_jobs_are_forgotten_in_time() -> None:
    line = Line()
    for number in range(3000):
        line.add(str(number), f"client {number}")
        line.serve(str(number))
    assert len(line._last) <= 1001
