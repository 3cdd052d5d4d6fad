"""Replies: JSON that always encodes, and errors in the shape that clients of the reference know."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from modules.errors import EaselError, InvalidInput

_log = logging.getLogger(__name__)

SHOWN_LENGTH = 60
"""Characters of an offending value that a message repeats."""


class Reply(JSONResponse):
    """JSON that can not fail to encode.

    File names may hold bytes that are no UTF-8 and settings may hold infinity; neither exists in
    JSON, so the first become question marks and the second null.
    """

    def render(self, content: Any) -> bytes:
        """``content`` as UTF-8."""
        try:
            text = json.dumps(
                content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_json
            )
        except ValueError:
            text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"), default=_as_json)
        return text.encode("utf-8", "replace")


def _as_json(value: Any) -> Any:
    """What JSON does not know: mappings and sequences of other types as such, the rest as text."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, set, frozenset)):
        return list(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def error_object(error: BaseException) -> dict[str, str]:
    """The error object of the contract: ``error``, ``detail``, ``body``, ``errors``."""
    text = str(error)
    detail = text if isinstance(error, EaselError) else ""
    return {"error": type(error).__name__, "detail": detail, "body": "", "errors": text}


def error_reply(error: BaseException) -> Reply:
    """The reply to a request that failed with ``error``.

    Invalid fields get the list that clients know from validation; other expected errors the error
    object with their own status; anything else is a defect, is logged and gets 500.
    """
    if isinstance(error, InvalidInput) and error.field is not None:
        return validation_reply([(("body", error.field), error.message, "value_error")])
    if isinstance(error, EaselError):
        return Reply(error_object(error), status_code=error.status, headers=getattr(error, "headers", None))
    _log.error("A request failed because of a defect.", exc_info=error)
    return Reply(error_object(error), status_code=500)


def validation_reply(problems: Sequence[tuple[Sequence[Any], str, str]]) -> Reply:
    """422 with one entry (place, sentence, type) for each field that is wrong."""
    detail = [{"loc": list(place), "msg": message, "type": kind} for place, message, kind in problems]
    return Reply({"detail": detail}, status_code=422)


async def on_easel_error(_request: Request, error: Exception) -> Reply:
    """Handler for expected errors on any route of the application."""
    return error_reply(error)


async def on_validation_error(_request: Request, error: Exception) -> Reply:
    """Handler for bodies and queries of the wrong form. The offending value is cut, never echoed whole."""
    assert isinstance(error, RequestValidationError)
    return validation_reply(
        [(one["loc"], _sentence(one), str(one["type"])) for one in error.errors()[:SHOWN_LENGTH]]
    )


def _sentence(problem: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"][1:])
    message = str(problem["msg"])
    if problem["type"] == "json_invalid":
        reason = problem.get("ctx", {}).get("error", message)
        return f"The body is not JSON: {reason}."
    if problem["type"] == "missing":
        return f"{field or 'The body'} is missing; it is required."
    shown = repr(problem.get("input"))
    if len(shown) > SHOWN_LENGTH:
        shown = shown[:SHOWN_LENGTH] + "…"
    return f"{field or 'The body'} is {shown}. {message}."
