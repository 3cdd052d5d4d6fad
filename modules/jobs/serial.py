"""Requests as text: what lets a job outlive the program. Every value comes back exactly as it was."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import Image

from modules.processing import request as requests
from modules.processing.request import GenerationRequest
from modules.processing.seeds import fixed_seed

_PICTURE, _TUPLE, _PAIRS = "$picture", "$tuple", "$pairs"
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
"""Modes of Pillow that a PNG holds without loss."""


class NotStorable(Exception):
    """A value has no form as text, so its job lives in memory only."""


def request_types() -> dict[str, type[GenerationRequest]]:
    """Name → class of every kind of request."""
    found = [one for one in vars(requests).values() if isinstance(one, type)]
    return {one.__name__: one for one in found if issubclass(one, GenerationRequest)}


def dump_request(request: Any) -> str:
    """``request`` as JSON text. Raises ``NotStorable``."""
    name = type(request).__name__
    if request_types().get(name) is not type(request):
        raise NotStorable(f"{name} is no known kind of request")
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    return json.dumps({"type": name, "values": _plain(values)}, ensure_ascii=False)


def load_request(text: str) -> GenerationRequest:
    """The request of a text of ``dump_request``. Raises ``ValueError`` for anything else.

    Fields that a later version wrote and this one does not know are left out.
    """
    data = json.loads(text)
    kind = request_types().get(data["type"]) if isinstance(data, dict) and "type" in data else None
    if kind is None:
        raise ValueError("the text holds no known kind of request")
    values = _lively(data["values"])
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})


def dump_plain(value: Any) -> str:
    """Any plain value, pictures included, as JSON text. Raises ``NotStorable``."""
    return json.dumps(_plain(value), ensure_ascii=False)


def load_plain(text: str) -> Any:
    """The value of a text of ``dump_plain``."""
    return _lively(json.loads(text))


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Settings as text, with a digest by which equal ones are stored once."""

    digest: str
    text: str


def dump_settings(settings: Mapping[str, Any]) -> Snapshot:
    """The values of ``settings``. Raises ``NotStorable``."""
    try:
        text = json.dumps(dict(settings), sort_keys=True)
    except TypeError as error:
        raise NotStorable(f"the settings hold what JSON does not: {error}") from None
    return Snapshot(hashlib.sha256(text.encode()).hexdigest(), text)


def with_fixed_seeds(request: Any) -> Any:
    """A request whose random seeds are drawn, so that starting it twice paints the same twice."""
    if not isinstance(request, GenerationRequest):
        return request
    seed, subseed = fixed_seed(request.seed), fixed_seed(request.subseed)
    if (seed, subseed) == (request.seed, request.subseed):
        return request
    return dataclasses.replace(request, seed=seed, subseed=subseed)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(item) for item in value]}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _plain(item) for key, item in value.items()}
        return {_PAIRS: [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, Image.Image):
        return {_PICTURE: _png(value)}
    raise NotStorable(f"a value of type {type(value).__name__} cannot be written")


def _lively(value: Any) -> Any:
    if isinstance(value, list):
        return [_lively(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _PICTURE in value:
        picture = Image.open(io.BytesIO(base64.b64decode(value[_PICTURE])), formats=["PNG"])
        picture.load()
        return picture
    if _TUPLE in value:
        return tuple(_lively(item) for item in value[_TUPLE])
    if _PAIRS in value:
        return {_lively(key): _lively(item) for key, item in value[_PAIRS]}
    return {key: _lively(item) for key, item in value.items()}


def _png(image: Image.Image) -> str:
    if image.mode not in _MODES:
        raise NotStorable(f"a picture of mode {image.mode} cannot be written without loss")
    buffer = io.BytesIO()
    try:
        image.save(buffer, "PNG", compress_level=1)
    except (OSError, ValueError, TypeError) as error:
        raise NotStorable(f"a picture cannot be written: {error}") from None
    return base64.b64encode(buffer.getvalue()).decode("ascii")
