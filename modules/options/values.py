"""Types of setting values: what counts as the same type, what is converted, what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

_LARGEST = 2.0**63


def same_type(x: Any, y: Any) -> bool:
    """Whether two values have one type. int and float count as one; None goes with everything."""
    if x is None or y is None:
        return True
    return _kind(x) is _kind(y)


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def cast(default: Any, current: Any, value: Any) -> Any:
    """Convert ``value``, mostly text, to the type of ``default``; if that is None, of ``current``.

    For booleans only the text ``False`` is false, every other non-empty value is true. Returns
    None when neither ``default`` nor ``current`` tells a type. Raises ValueError or TypeError when
    the value cannot be converted, or is not a finite number.
    """
    if value is None:
        return None
    example = current if default is None else default
    if example is None:
        return None
    if isinstance(example, bool):
        return value != "False" and bool(value)
    if isinstance(example, list):
        return _cast_list(value)
    if isinstance(example, int):
        return _whole(_finite(value))
    if isinstance(example, float):
        return float(_finite(value))
    return type(example)(value)


def _cast_list(value: Any) -> list[Any]:
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else [value]
    return list(value)


def conform(default: Any, value: Any) -> Any:
    """Bring the value of one of our own settings to the type of its default, without guessing.

    Whole floats become int where the default is one (the HTTP interface hands integers out as
    floats, and clients send them back). None stands for the default. Raises ValueError, with the
    expectation as its text, for everything that a reader of the setting could stumble over.
    """
    if value is None:
        return list(default) if isinstance(default, list) else default
    if isinstance(default, bool):
        return _as_bool(value)
    if isinstance(default, (int, float)):
        return _as_number(default, value)
    if isinstance(default, list):
        return _as_names(value)
    return _as_text(value)


def _as_bool(value: Any) -> bool:
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError("true or false")


def _as_number(default: float, value: Any) -> float:
    if not isinstance(value, (int, float, str)):
        raise ValueError("a number")
    try:
        number = _finite(value)
    except (ValueError, OverflowError):
        raise ValueError("a finite number") from None
    return _whole(number) if isinstance(default, int) and number == int(number) else number


def _as_names(value: Any) -> list[str]:
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return list(value)
    raise ValueError("a list of texts")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError("a text")


def _finite(value: Any) -> float:
    """The number in ``value``, kept as int where it is one."""
    if isinstance(value, int):
        number: float = int(value)
    else:
        try:
            number = int(value) if isinstance(value, str) else float(value)
        except ValueError:
            number = float(value)
    if not abs(number) < _LARGEST or math.isnan(number):
        raise ValueError(f"{value!r:.40} is not a finite number of usual size")
    return number


def _whole(number: float) -> int:
    return int(number)
