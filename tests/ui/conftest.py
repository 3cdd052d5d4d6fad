"""Shared servers and browsers of the page tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.ui.fake_services import FakeServices
from tests.ui.page_server import PageServer, serve
from tests.ui.watched import Watched


@pytest.fixture
def services(tmp_path: Path) -> FakeServices:
    return FakeServices(tmp_path)


@pytest.fixture
def server(services: FakeServices) -> Iterator[PageServer]:
    with serve(services) as running:
        yield running


@pytest.fixture
def open_page(context: Any, server: PageServer) -> Iterator[Callable[[], Watched]]:
    opened: list[Watched] = []

    def make() -> Watched:
        watched = Watched(context.new_page(), server)
        opened.append(watched)
        return watched

    yield make
    for watched in opened:
        hosts = {urlsplit(url).netloc for url in watched.requests if url.startswith(("http", "ws"))}
        assert hosts <= {urlsplit(server.url).netloc}
        assert watched.errors == []


@pytest.fixture
def page(open_page: Callable[[], Watched]) -> Watched:
    watched = open_page()
    watched.open()
    return watched
