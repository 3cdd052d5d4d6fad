"""How a request comes in: guarded before its body is read, strict JSON, errors as sentences."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.to_thread
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from modules.api.replies import error_reply

THREAD_SIZE = 256 * 1024
"""Bytes from which on a body is parsed in a thread, so that it holds up nobody else."""

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_REPLACE_SURROGATES = dict.fromkeys(range(55296, 57344), "�")


def parse_json(body: bytes) -> Any:
    """JSON by the letter: UTF-8, no NaN or infinity, numbers of usual size.

    Lone surrogates, which are legal as escapes but encode to nothing, become U+FFFD. Raises
    ``json.JSONDecodeError`` for everything else.
    """
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite_float)
        return _without_surrogates(value) if _SURROGATE_ESCAPE.search(body) else value
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None
    except ValueError as error:
        raise json.JSONDecodeError(str(error), "", 0) from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is larger than any number that can be stored")
    return number


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_REPLACE_SURROGATES)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


class StrictRequest(Request):
    """A request whose JSON is read by ``parse_json``."""

    async def json(self) -> Any:
        """The parsed body."""
        body = await self.body()
        if len(body) < THREAD_SIZE:
            return parse_json(body)
        return await anyio.to_thread.run_sync(parse_json, body)


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def route_class(check: Callable[[Request], None]) -> type[APIRoute]:
    """A kind of route that calls ``check`` before the body is read, and turns errors into replies."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            inner = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    check(request)
                    strict = StrictRequest(request.scope, request.receive)
                    await strict.body()
                    return await inner(strict)
                except (RequestValidationError, HTTPException):
                    raise
                except Exception as error:
                    return error_reply(error)

            return handle

    return GuardedRoute
