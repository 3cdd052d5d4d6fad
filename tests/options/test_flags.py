"""The command line against the contract, and the rules around it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.options.flag_rows import FLAGS, PENDING
from modules.options.flags import (
    build_parser,
    command_words,
    parse_flags,
    parse_launcher_flags,
    split_words,
    wants_exit,
)
from tests.paths import CONTRACT, DATA, HAVE_CONTRACT

ROWS = json.loads((DATA / "cli_flags.json").read_text())
OURS = {flag.name: flag for flag in FLAGS}


@pytest.fixture
def install(tmp_path: Path) -> Path:
    folder = tmp_path / "install"
    folder.mkdir()
    return folder


def actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: action for action in parser._actions for name in action.option_strings}


def filled(default: object, install: Path) -> object:
    if isinstance(default, list):
        return [filled(value, install) for value in default]
    if not isinstance(default, str):
        return default
    models = install / "models"
    for marker, folder in (("<install_dir>", install), ("<data_dir>", install), ("<models_dir>", models)):
        default = default.replace(marker, str(folder))
    return default


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["flag"])
def test_flag_is_as_the_contract_says(row: dict, install: Path) -> None:
    action = actions(build_parser(install))[row["flag"]]
    assert action.dest == row["dest"]
    assert action.choices == (tuple(row["choices"]) if "choices" in row else None)
    assert action.nargs == row.get("nargs", 0 if row["type"] == "bool" else None)
    expected = filled(row["default"], install)
    if row["flag"] == "--gfpgan-dir":
        expected = "./GFPGAN"  # the contract describes a choice here
    assert action.default == expected
    assert type(action.default) is type(expected)
    if row["type"] == "bool":
        assert action.const is row.get("stores", True)
    assert isinstance(action, argparse._AppendAction) is row.get("repeatable", False)


@pytest.mark.parametrize("row", [row for row in ROWS if row["type"] != "bool"], ids=lambda row: row["flag"])
def test_value_is_of_the_type_of_the_contract(row: dict, install: Path) -> None:
    given, parsed = {
        "str": (row.get("choices", ["Some Text"])[-1],) * 2,
        "int": ("7", 7),
        "path": ("x/y", str(Path("x/y").absolute())),
        "json": ('{"a": 1}', {"a": 1}),
    }[row["type"]]
    if row["flag"] == "--use-cpu":
        parsed = ["some text"]
    if row.get("repeatable"):
        parsed = [*filled(row["default"], install), parsed]
    for words in ([row["flag"], given], [f"{row['flag']}={given}"]):
        assert getattr(parse_flags(words, {}, install), row["dest"]) == parsed


def test_no_flag_is_missing_and_only_own_flags_are_added() -> None:
    contract = {row["flag"] for row in ROWS}
    assert contract == {flag.name for flag in FLAGS if not flag.own}
    assert {"--generate", "--output", "--steps", "--seed"} <= {flag.name for flag in FLAGS if flag.own}


@pytest.mark.skipif(not HAVE_CONTRACT, reason="the contract is not beside the checkout")
def test_copied_rows_are_those_of_the_contract() -> None:
    original = json.loads((CONTRACT / "cli_flags.json").read_text())["flags"]
    assert [(row["flag"], row["default"]) for row in original] == [
        (row["flag"], row["default"]) for row in ROWS
    ]


def test_flags_that_the_contract_calls_inert_are_marked_so() -> None:
    named = {row["flag"] for row in ROWS if row.get("no_op") or row.get("unused_in_code")}
    assert named == {flag.name for flag in FLAGS if flag.inert}


def test_pending_names_exist_and_are_not_inert() -> None:
    dests = {flag.dest: flag for flag in FLAGS}
    assert set(dests) >= PENDING
    assert not [name for name in PENDING if dests[name].inert]


def test_every_flag_has_a_help_text_that_prints(install: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        parse_flags(["--help"], {}, install)
    assert ending.value.code == 0
    shown = capsys.readouterr().out
    assert not [flag.name for flag in FLAGS if flag.name not in shown or not flag.help]


def unique_prefixes() -> list[tuple[str, str]]:
    names = [row["flag"] for row in ROWS if row["flag"].startswith("--")]
    found = []
    for name in names:
        for length in range(3, len(name)):
            prefix = name[:length]
            if prefix not in names and [other for other in names if other.startswith(prefix)] == [name]:
                found.append((prefix, name))
                break
    return found


@pytest.mark.parametrize(("prefix", "name"), unique_prefixes())
def test_shortest_unambiguous_prefix_of_every_contract_flag_is_accepted(
    prefix: str, name: str, install: Path
) -> None:
    parser = build_parser(install)
    value = {"--precision": "full", "--ngrok-options": "{}"}.get(name, "3")
    takes_value = actions(parser)[name].nargs != 0
    parsed = parser.parse_args([prefix, value] if takes_value else [prefix])
    whole = parser.parse_args([name, value] if takes_value else [name])
    assert vars(parsed) == vars(whole)


def test_own_flags_must_be_spelt_out(install: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        parse_flags(["--generate", "a lighthouse", "--steps", "20"], {}, install).generate == "a lighthouse"
    )
    with pytest.raises(SystemExit):
        parse_flags(["--gen", "a lighthouse"], {}, install)
    assert "--generate" in capsys.readouterr().err


def test_derived_attributes(install: Path) -> None:
    local = parse_flags([], {}, install)
    assert (local.webui_is_non_local, local.disable_extension_access) == (False, False)
    for words in (["--listen"], ["--share"], ["--ngrok", "t"], ["--server-name", "h"]):
        flags = parse_flags(words, {}, install)
        assert flags.webui_is_non_local
        assert flags.disable_extension_access
    both = parse_flags(["--listen", "--enable-insecure-extension-access"], {}, install)
    assert (bool(both.webui_is_non_local), both.disable_extension_access) == (True, False)


def test_commandline_args_are_appended_with_quoting(install: Path) -> None:
    environ = {"COMMANDLINE_ARGS": "--port=8895 --theme 'very dark' --ckpt \"a b.safetensors\" --exit"}
    flags = parse_flags(["--port", "1", "--api"], environ, install)
    assert (flags.port, flags.theme, flags.api) == (8895, "very dark", True)
    assert flags.ckpt == str(Path("a b.safetensors").absolute())
    assert wants_exit([], environ)
    assert "--exit" not in command_words(["--exit"], environ)


def test_open_quote_in_commandline_args_is_a_usage_error(
    install: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        parse_flags([], {"COMMANDLINE_ARGS": "--theme 'dark"}, install)
    assert ending.value.code == 2
    assert "COMMANDLINE_ARGS" in capsys.readouterr().err


def test_backslashes_separate_folders_on_windows() -> None:
    assert split_words(r'--ckpt-dir C:\models --theme "dark blue"', windows=True) == [
        "--ckpt-dir", r"C:\models", "--theme", "dark blue",
    ]  # fmt: skip


def test_unknown_flag_is_an_error_with_the_nearest_name(
    install: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        parse_flags(["--medvrma"], {}, install)
    shown = capsys.readouterr().err
    assert ending.value.code == 2
    assert "--medvram?" in shown
    assert len(shown.splitlines()) < 6


def test_unknown_flags_pass_when_errors_are_ignored(install: Path) -> None:
    assert parse_flags(["--nonsense", "--api"], {"IGNORE_CMD_ARGS_ERRORS": ""}, install).api
    assert parse_launcher_flags(["--nonsense", "--skip-install"], {}, install).skip_install


def test_bad_value_is_an_error_that_names_it(install: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (["--port", "many"], "many"),
        (["--precision", "double"], "double"),
        (["--ngrok-options", "[1]"], "JSON object"),
        (["--ngrok-options", "{"], "not JSON"),
    ):
        with pytest.raises(SystemExit):
            parse_flags(words, {}, install)
        assert told in capsys.readouterr().err


def test_folders_fill_the_defaults(install: Path, tmp_path: Path) -> None:
    data, models = tmp_path / "data", tmp_path / "models"
    flags = parse_flags(["--data-dir", str(data)], {}, install)
    assert flags.lora_dir == str(data / "models" / "Lora")
    assert flags.styles_file == [str(data / "styles.csv")]
    assert flags.gradio_allowed_path == [str(data)]
    flags = parse_flags(["--data-dir", str(data)], {"COMMANDLINE_ARGS": f"--models-dir='{models}'"}, install)
    assert (flags.lora_dir, flags.embeddings_dir) == (str(models / "Lora"), str(data / "embeddings"))
    assert flags.ckpt == str(install / "model.ckpt")


def test_repeated_flags_do_not_leak_into_the_next_parse(install: Path) -> None:
    first = parse_flags(["--gradio-allowed-path", "a", "--styles-file", "s*.csv"], {}, install)
    assert first.gradio_allowed_path == [str(install), "a"]
    assert first.styles_file == ["s*.csv"]
    assert parse_flags([], {}, install).gradio_allowed_path == [str(install)]


def test_tls_verification_is_unset_until_disabled(install: Path) -> None:
    assert parse_flags([], {}, install).disable_tls_verify is None
    assert parse_flags(["--disable-tls-verify"], {}, install).disable_tls_verify is False


def test_test_server_adds_its_words_and_ignores_the_environment(install: Path) -> None:
    flags = parse_flags(["--test-server"], {"COMMANDLINE_ARGS": "--listen"}, install)
    assert (flags.api, flags.disable_nan_check, flags.skip_torch_cuda_test) == (True, True, True)
    assert not flags.listen
    assert flags.ckpt == str(Path("test/test_files/empty.pt").absolute())
    kept = parse_flags(["--test-server", "--ckpt", "mine.pt"], {}, install)
    assert kept.ckpt == str(Path("mine.pt").absolute())


def add_extension(base: Path, name: str, preload: str) -> None:
    folder = base / name
    folder.mkdir(parents=True)
    (folder / "preload.py").write_text(preload)


def flag_of(name: str) -> str:
    return f"def preload(parser):\n    parser.add_argument('--{name}', default='unset')\n"


def test_extensions_add_flags_in_order_and_a_broken_one_is_named(
    install: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = (
        "def preload(parser):\n    parser.set_defaults(order=(parser.get_default('order') or '') + {0!r})\n"
    )
    add_extension(install / "extensions", "zebra", order.format("z"))
    add_extension(install / "extensions", "ant", order.format("a") + "    parser.add_argument('--ant-dir')\n")
    add_extension(install / "extensions", "broken", "raise RuntimeError('no luck')")
    add_extension(install / "extensions", "quits", "raise SystemExit(3)")
    add_extension(install / "extensions", "clash", flag_of("port"))
    add_extension(install / "extensions", "off", flag_of("off"))
    add_extension(install / "extensions-builtin", "bee", order.format("b"))
    (install / "config.json").write_text(json.dumps({"disabled_extensions": ["off"]}))

    flags = parse_flags(["--ant-dir", "here", "--port", "5"], {}, install)
    assert (flags.order, flags.ant_dir, flags.port) == ("azb", "here", 5)
    assert not hasattr(flags, "off")
    assert [failure.extension for failure in flags.preload_failures] == ["broken", "clash", "quits"]
    assert "broken: preload.py failed: RuntimeError: no luck" in capsys.readouterr().err


def test_disabled_extensions_are_not_asked(install: Path) -> None:
    add_extension(install / "extensions", "user", flag_of("user"))
    add_extension(install / "extensions-builtin", "builtin", flag_of("builtin"))
    extra = parse_flags(["--disable-extra-extensions"], {}, install)
    assert (hasattr(extra, "user"), hasattr(extra, "builtin")) == (False, True)
    none = parse_flags(["--disable-all-extensions"], {}, install)
    assert (hasattr(none, "user"), hasattr(none, "builtin")) == (False, False)


@pytest.mark.parametrize("parse", [parse_flags, parse_launcher_flags])
def test_help_shows_the_flags_of_extensions(
    parse: Callable[..., argparse.Namespace], install: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_extension(install / "extensions", "user", flag_of("from-extension"))
    with pytest.raises(SystemExit) as ending:
        parse(["-h"], {}, install)
    assert ending.value.code == 0
    assert "--from-extension" in capsys.readouterr().out
