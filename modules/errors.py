"""The errors that Easel tells its users, as sentences.

Every message names the value, what was expected and the remedy. Anything that is not an
``EaselError`` is a defect of the program and is reported as such. Standard library only: every
floor may import this file.
"""

from __future__ import annotations


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
