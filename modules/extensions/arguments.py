"""From the script fields of a request to the flat list of arguments that scripts are called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.errors import EaselError, InvalidInput
from modules.extensions.runner import ScriptRunner
from modules.extensions.script import Script
from modules.extensions.script_ui import default_args


class ScriptNotFound(EaselError):
    """A script that a request names is not installed."""

    status = 422


def script_arguments(
    runner: ScriptRunner,
    script_name: str | None = None,
    script_args: Sequence[Any] = (),
    alwayson_scripts: Mapping[str, Any] | None = None,
) -> list[Any]:
    """The defaults of all inputs, with the values of the request in their places.

    ``script_name`` chooses a script, ``script_args`` are its arguments; ``alwayson_scripts`` maps titles to
    ``{"args": [...]}``. Names may be in any case. Raises ``ScriptNotFound`` or ``InvalidInput``.
    """
    values = default_args(runner)
    if script_name and script_name.lower() != "none":
        index, script = _find(runner.selectable_scripts, script_name)
        values[0] = index + 1
        _put(values, script, script_args, "script_args")
    for name, given in (alwayson_scripts or {}).items():
        _, script = _find(runner.alwayson_scripts, name)
        arguments = given.get("args") if isinstance(given, Mapping) else None
        if arguments is None:
            continue
        _put(values, script, arguments, f"alwayson_scripts.{name}.args")
    return values


def _find(scripts: Sequence[Script], name: str) -> tuple[int, Script]:
    for index, script in enumerate(scripts):
        if (script.name or script.title().lower()) == name.lower():
            return index, script
    raise ScriptNotFound(f"Script {name!r:.100} not found; /sdapi/v1/scripts lists those that are there.")


def _put(values: list[Any], script: Script, arguments: Any, field: str) -> None:
    if not isinstance(arguments, Sequence) or isinstance(arguments, str):
        raise InvalidInput(f"{field} is {arguments!r:.50}; expected a list of arguments.", field)
    start, stop = script.args_from or 0, script.args_to or 0
    if len(arguments) > stop - start:
        raise InvalidInput(
            f"{field} has {len(arguments)} entries; the script {script.name} takes {stop - start}.", field
        )
    values[start : start + len(arguments)] = arguments
