"""Shared servers and browsers of the page tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.fake_services import FakeServices
from tests.ui.page_server import PageServer, serve


@pytest.fixture
def services(tmp_path: Path) -> FakeServices:
    return FakeServices(tmp_path)


@pytest.fixture
def server(services: FakeServices) -> Iterator[PageServer]:
    with serve(services) as running:
        yield running
