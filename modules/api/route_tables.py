"""Endpoints as rows of tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from modules.api import fields
from modules.api.fields import FieldRow, build_model

ErrorReply = build_model("ErrorObject", fields.ERROR_REPLY)


@dataclass(frozen=True)
class Route:
    """One endpoint. ``reply``: fields of the reply; ``many``: the reply is a list of such objects."""

    method: str
    path: str
    endpoint: Callable[..., Any]
    name: str = ""
    reply: tuple[FieldRow, ...] = ()
    many: bool = False
    status: int = 200

    @property
    def reply_model(self) -> Any:
        """The model for the documentation, or ``None`` for a reply without fields."""
        if not self.reply:
            return None
        model = build_model(self.name, self.reply)
        return list[model] if self.many else model  # type: ignore[valid-type]


def add_routes(router: APIRouter, prefix: str, routes: tuple[Route, ...]) -> None:
    """Add the endpoints of ``routes`` below ``prefix``."""
    for route in routes:
        errors: dict[int | str, dict[str, Any]] = {
            "default": {"model": ErrorReply, "description": "What was wrong, as a sentence."}
        }
        router.add_api_route(
            f"{prefix}/{route.path}",
            route.endpoint,
            methods=[route.method],
            response_model=route.reply_model,
            responses=errors,
            status_code=route.status,
        )
