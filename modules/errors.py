"""The errors that Easel tells its users, as sentences.

Every message names the value, what was expected and the remedy. Anything that is not an
``EaselError`` is a defect of the program and is reported as such. Standard library only: every
floor may import this file.
"""

from __future__ import annotations

import sys
import textwrap
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any


class EaselError(Exception):
    """Base of all expected errors.

    ``status`` is the HTTP status code that the JSON interface answers with.
    """

    status: int = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class InvalidInput(EaselError):
    """A value of a request is outside its range or of the wrong kind.

    ``field`` is the name of the offending request field, or ``None``.
    """

    status = 422

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFound(EaselError):
    """A named thing (checkpoint, sampler, style, file) does not exist."""

    status = 404


class Forbidden(EaselError):
    """The request is understood and refused, for instance a frozen setting."""

    status = 403


class Busy(EaselError):
    """The program cannot take this now, for instance because a limit of the queue is reached."""

    status = 503


class ModelFileError(EaselError):
    """A model file is damaged, hostile or of an unknown kind. The model in use stays loaded."""

    status = 422


class NonFiniteError(EaselError):
    """A latent or picture holds NaN or infinity, also after the retry at higher precision."""

    status = 500


class OutOfMemoryError(EaselError):
    """A step did not fit into the memory of the device, also with the smaller plan."""

    status = 507


# What follows keeps the names that extensions import.

exception_records: list[dict[str, Any]] = []
"""The newest errors that were reported, for the system report."""

_KEPT_RECORDS = 5
_displayed: set[str] = set()


def format_traceback(tb: TracebackType | None) -> list[list[str]]:
    """File with line, function and line of code of every level."""
    return [
        [f"{row.filename}, line {row.lineno}, {row.name}", row.line or ""] for row in traceback.extract_tb(tb)
    ]


def format_exception(e: BaseException, tb: TracebackType | None) -> dict[str, Any]:
    """An error as plain data."""
    return {"exception": str(e), "traceback": format_traceback(tb)}


def get_exceptions() -> list[dict[str, Any]]:
    """The newest reported errors, the newest first."""
    return list(reversed(exception_records))


def record_exception() -> None:
    """Note the error that is being handled."""
    _, error, tb = sys.exc_info()
    if error is None:
        return
    exception_records.append(format_exception(error, tb))
    del exception_records[:-_KEPT_RECORDS]


def report(message: str, *, exc_info: bool = False) -> None:
    """Print a message to stderr, with the error that is being handled when ``exc_info``."""
    record_exception()
    for line in message.splitlines():
        print("***", line, file=sys.stderr)
    if exc_info:
        print(textwrap.indent(traceback.format_exc(), "    "), file=sys.stderr)
        print("---", file=sys.stderr)


def print_error_explanation(message: str) -> None:
    """Print a message in a frame."""
    lines = message.strip().split("\n")
    bar = "=" * max(len(line) for line in lines)
    print("\n".join([bar, *lines, bar]), file=sys.stderr)


def display(e: BaseException, task: str | None, *, full_traceback: bool = False) -> None:
    """Print where an error came from, with what was being done."""
    record_exception()
    print(f"{task or 'error'}: {type(e).__name__}", file=sys.stderr)
    frames = traceback.TracebackException.from_exception(e)
    if full_traceback:
        frames.stack = traceback.StackSummary(traceback.extract_stack()[:-2] + frames.stack)
    print("".join(frames.format()), file=sys.stderr)


def display_once(e: BaseException, task: str) -> None:
    """The same, once for every ``task``."""
    if task not in _displayed:
        _displayed.add(task)
        display(e, task)


def run(code: Callable[[], Any], task: str) -> None:
    """Call ``code``; an error is displayed and goes no further."""
    try:
        code()
    except Exception as error:
        display(error, task)
