"""The command line: parser, words of the environment, and what is derived from them.

``parse_flags`` is what the program uses. The launcher uses ``parse_launcher_flags``, which knows
the same flags but lets everything unknown pass, because extensions have not been asked for theirs.
Standard library only.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from modules.launcher.extensions import list_extensions, read_extension_choice
from modules.options.flag_rows import FLAGS, PENDING, Flag
from modules.options.preloading import PreloadFailure, preload_extensions

__all__ = [
    "FLAGS",
    "PENDING",
    "FlagParser",
    "build_parser",
    "command_words",
    "parse_flags",
    "parse_launcher_flags",
    "wants_exit",
]

_TEST_SERVER_WORDS: tuple[tuple[str, ...], ...] = (
    ("--api",),
    ("--ckpt", "test/test_files/empty.pt"),
    ("--skip-torch-cuda-test",),
    ("--disable-nan-check",),
)


class FlagParser(argparse.ArgumentParser):
    """An argument parser whose errors fit one screen, and whose own flags take no abbreviations."""

    own_dests: frozenset[str] = frozenset()

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        # Called for abbreviations only. Every tuple starts with the action, in all supported Pythons.
        found: list[Any] = super()._get_option_tuples(option_string)
        return [entry for entry in found if entry[0].dest not in self.own_dests]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and which flag was perhaps meant; exit with code 2."""
        lines = [f"{self.prog}: {message}"]
        if message.startswith("unrecognized arguments:"):
            names = [name for name in self._option_string_actions if name.startswith("--")]
            for word in message.split(":", 1)[1].split():
                close = (
                    difflib.get_close_matches(word.partition("=")[0], names, 1) if word[:2] == "--" else []
                )
                lines += [f"  {word}: did you mean {close[0]}?" for _ in close[:1]]
        lines.append("  All flags: ./webui.sh --help")
        self.exit(2, "\n".join(lines) + "\n")


def build_parser(
    install_dir: Path, data_dir: Path | None = None, models_dir: Path | None = None
) -> FlagParser:
    """The parser with every flag of ``FLAGS``; the folders fill the placeholders of the defaults."""
    data = data_dir or install_dir
    folders = {
        "<install_dir>": install_dir,
        "<data_dir>": data,
        "<models_dir>": models_dir or data / "models",
    }
    parser = FlagParser(prog="webui", description="Easel, a web UI for diffusion models.")
    parser.own_dests = frozenset(flag.dest for flag in FLAGS if flag.own)
    groups: dict[str, Any] = {}
    for flag in FLAGS:
        group = groups.get(flag.group) or groups.setdefault(flag.group, parser.add_argument_group(flag.group))
        group.add_argument(flag.name, **_argument(flag, folders))
    return parser


def command_words(argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """``argv`` followed by the words of COMMANDLINE_ARGS; the words of a test server when asked for.

    ``--exit`` is left out: it is an order to the launcher (``wants_exit``), not a flag.
    """
    return [word for word in _all_words(argv, environ) if word != "--exit"]


def wants_exit(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether the launcher is to stop before the program starts."""
    return "--exit" in _all_words(argv, environ)


def _all_words(argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    words = list(argv)
    if "--test-server" not in words:
        return words + split_words(environ.get("COMMANDLINE_ARGS", ""))
    for extra in _TEST_SERVER_WORDS:
        words += [] if extra[0] in words else extra
    return words


def parse_flags(
    argv: Sequence[str], environ: Mapping[str, str], install_dir: Path, *, preload: bool = True
) -> argparse.Namespace:
    """The flags of the program: ``argv`` (without the program's name), COMMANDLINE_ARGS, preload.py files.

    Two attributes are derived: ``webui_is_non_local`` and ``disable_extension_access``. ``preload_failures``
    lists the extensions whose preload.py failed. Unknown flags end the program with code 2, unless
    IGNORE_CMD_ARGS_ERRORS is set.
    """
    words = command_words(argv, environ)
    early = _parse_early(words, install_dir)
    parser = build_parser(install_dir, Path(early.data_dir), _path_or_none(early.models_dir))
    failures = _preload(parser, words, install_dir) if preload else ()
    if environ.get("IGNORE_CMD_ARGS_ERRORS") is not None:
        flags, _ = parser.parse_known_args(words)
    else:
        flags = parser.parse_args(words)
    return _derive(flags, failures)


def parse_launcher_flags(
    argv: Sequence[str], environ: Mapping[str, str], install_dir: Path
) -> argparse.Namespace:
    """As ``parse_flags``, but without extensions, and unknown flags pass. ``--help`` asks extensions too."""
    words = command_words(argv, environ)
    if "--help" in words or "-h" in words:
        return parse_flags(argv, environ, install_dir)
    early = _parse_early(words, install_dir)
    parser = build_parser(install_dir, Path(early.data_dir), _path_or_none(early.models_dir))
    return _derive(parser.parse_known_args(words)[0], ())


def _parse_early(words: Sequence[str], install_dir: Path) -> argparse.Namespace:
    # Other defaults derive from these two. An abbreviation that is ambiguous among all flags is
    # taken for one of them here and refused by the full parser afterwards.
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data-dir", type=_absolute, default=str(install_dir))
    parser.add_argument("--models-dir", type=_absolute, default=None)
    return parser.parse_known_args(list(words))[0]


def _preload(parser: FlagParser, words: Sequence[str], install_dir: Path) -> tuple[PreloadFailure, ...]:
    flags = parser.parse_known_args([word for word in words if word not in ("-h", "--help")])[0]
    choice = read_extension_choice(
        Path(flags.ui_settings_file), flags.disable_all_extensions, flags.disable_extra_extensions
    )
    folders = list_extensions(Path(flags.data_dir) / "extensions", install_dir / "extensions-builtin", choice)
    failures = preload_extensions(parser, [folder for folder in folders if folder.enabled])
    for failure in failures:
        print(f"Extension {failure.extension}: preload.py failed: {failure.reason}", file=sys.stderr)
    return failures


def _derive(flags: argparse.Namespace, failures: tuple[PreloadFailure, ...]) -> argparse.Namespace:
    flags.webui_is_non_local = any((flags.share, flags.listen, flags.ngrok, flags.server_name))
    flags.disable_extension_access = flags.webui_is_non_local and not flags.enable_insecure_extension_access
    flags.styles_file = flags.styles_file or [str(Path(flags.data_dir) / "styles.csv")]
    flags.preload_failures = failures
    return flags


def _argument(flag: Flag, folders: Mapping[str, Path]) -> dict[str, Any]:
    # The keywords of add_argument for one row.
    default = _fill(flag.default, folders)
    text = flag.help.replace("%", "%%")
    if flag.kind in ("switch", "unset"):
        return {
            "action": "store_true" if flag.kind == "switch" else "store_false",
            "default": default,
            "help": text,
        }
    words: dict[str, Any] = {"default": default, "help": text, "metavar": flag.metavar}
    if flag.kind == "repeat":
        return words | {"action": "append", "type": str}
    return words | {"type": _TYPES[flag.kind], "choices": flag.choices, "nargs": flag.nargs}


def _fill(default: Any, folders: Mapping[str, Path]) -> Any:
    if isinstance(default, tuple):
        return [_fill(value, folders) for value in default]
    if not isinstance(default, str) or not default.startswith("<"):
        return dict(default) if isinstance(default, dict) else default
    marker, _, rest = default.partition("/")
    return str(folders[marker] / rest) if rest else str(folders[marker])


def _absolute(text: str) -> str:
    return str(Path(os.path.expanduser(text)).absolute())  # noqa: PTH111 - expanduser of Path fails without HOME


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is not a JSON object such as \'{{"region": "eu"}}\'')
    return value


_TYPES: Mapping[str, Any] = {
    "text": str,
    "word": str.lower,
    "path": _absolute,
    "int": int,
    "float": float,
    "json": _json_object,
}


def split_words(text: str, windows: bool = os.name == "nt") -> list[str]:
    """Words of a command line with shell quoting; on Windows a backslash stays what it is."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if windows:
        lexer.escape = ""  # a backslash separates folders there
    try:
        return list(lexer)
    except ValueError as error:
        print(f"webui: COMMANDLINE_ARGS cannot be split into words ({error}): {text}", file=sys.stderr)
        raise SystemExit(2) from error


def _path_or_none(text: str | None) -> Path | None:
    return Path(text) if text else None
