"""Endpoints of the contract that are not built yet: one table, one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter

from modules.api.replies import Reply, error_object
from modules.errors import EaselError


class NotBuilt(EaselError):
    """The feature comes with a later version."""

    status = 501


@dataclass(frozen=True)
class LaterRow:
    """An endpoint and what it waits for."""

    method: str
    path: str
    feature: str


LATER: tuple[LaterRow, ...] = (
    LaterRow("POST", "/sdapi/v1/create/embedding", "training"),
    LaterRow("POST", "/sdapi/v1/create/hypernetwork", "training"),
    LaterRow("POST", "/sdapi/v1/train/embedding", "training"),
    LaterRow("POST", "/sdapi/v1/train/hypernetwork", "training"),
    LaterRow("GET", "/sd_extra_networks/thumb", "the pages of networks"),
    LaterRow("GET", "/sd_extra_networks/cover-images", "the pages of networks"),
    LaterRow("GET", "/sd_extra_networks/metadata", "the pages of networks"),
    LaterRow("GET", "/sd_extra_networks/get-single-card", "the pages of networks"),
)


def add_later(router: APIRouter, prefix: str) -> None:
    """Answer the endpoints of ``LATER`` below ``prefix`` with 501 and the name of the missing feature."""
    for row in LATER:
        if row.path.startswith(prefix):
            router.add_api_route(
                row.path, _answer(row), methods=[row.method], status_code=501, summary="Not built yet"
            )


def _answer(row: LaterRow) -> Callable[[], Awaitable[Reply]]:
    async def later() -> Reply:
        error = NotBuilt(f"{row.path} waits for {row.feature}, which comes with a later version of Easel.")
        return Reply(error_object(error), status_code=error.status)

    return later
