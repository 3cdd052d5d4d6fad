"""One server for the tests that do not change it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.live import Live, live


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    """A server with default flags, shared by the tests of one file."""
    with live() as running:
        yield running
