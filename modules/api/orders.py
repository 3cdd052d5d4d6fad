"""The kinds of jobs that clients can order, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from modules.api.auth import user_of
from modules.api.clients import address_of
from modules.api.img2img import IMG2IMG_FORM, Img2ImgBody
from modules.api.services import ApiServices
from modules.api.txt2img import TXT2IMG_FORM, Form, Order, Txt2ImgBody, take_order
from modules.errors import InvalidInput


@dataclass(frozen=True)
class OrderKind:
    """A kind of job: the model of its request, and how a request of this kind is read."""

    body: Any
    form: Form

    @property
    def name(self) -> str:
        """The word that clients write."""
        return self.form.kind


ORDER_KINDS: tuple[OrderKind, ...] = (
    OrderKind(Txt2ImgBody, TXT2IMG_FORM),
    OrderKind(Img2ImgBody, IMG2IMG_FORM),
)


def take_any_order(kind: str, request: Mapping[str, Any], services: ApiServices) -> Order:
    """Make a job of a request that came as a plain object. Raises as the endpoint of its kind does."""
    row = next((one for one in ORDER_KINDS if one.name == kind), None)
    if row is None:
        known = ", ".join(one.name for one in ORDER_KINDS)
        raise InvalidInput(f"kind is {kind!r:.60}; expected one of {known}.", "kind")
    try:
        body = row.body.model_validate(request)
    except ValidationError as error:
        problems = [{**one, "loc": ("body", "request", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(problems) from None
    return take_order(body, services, row.form)


def client_of(request: Request) -> str:
    """Who shares the workers in turn with others: the user, else the address."""
    return user_of(request) or address_of(request.scope)


def attached(order: Order, request: Request) -> Order:
    """The order of a client that waits on its connection for the pictures."""
    return replace(order, job=replace(order.job, client=client_of(request), attached=True))
