"""Names and signatures that extensions import, held against the contract."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modules import call_queue, errors, extra_networks, shared
from modules.compat.aliases import ALIASES, AliasFinder, install_aliases
from modules.compat.util import listfiles, natural_sort_key, truncate_path, walk_files
from tests.paths import CONTRACT, HAVE_CONTRACT

needs_contract = pytest.mark.skipif(not HAVE_CONTRACT, reason="the contract lies beside the checkout")

MISSING: dict[str, set[str]] = {
    "modules.script_callbacks": set(),
    "modules.scripts": set(),
    "modules.extensions": set(),
    "modules.extra_networks": {"register_default_extra_networks", "re_extra_net"},
    "modules.errors": {"check_versions", "already_displayed"},
    "modules.script_loading": {"preload_extensions"},
    "modules.shared": {"reload_gradio_theme", "reload_hypernetworks"},
    "modules.call_queue": {"wrap_gradio_gpu_call", "wrap_gradio_call", "wrap_gradio_call_no_job"},
    "modules.paths_internal": {"parser_pre", "roboto_ttf_file"},
    "modules.paths": {"mute_sdxl_imports"},
    "modules.util": {"open_folder", "MassFileLister", "MassFileListerCachedDir"},
}
"""Modules that are there, and names of the contract that they lack. Take a name out when it is built."""


@pytest.fixture(autouse=True)
def finder() -> Iterator[None]:
    before = list(sys.meta_path)
    install_aliases(sys.meta_path)
    yield
    sys.meta_path[:] = before


def contract() -> dict[str, Any]:
    return json.loads((CONTRACT / "extension_api.json").read_text())["modules"]


def names_of(table: dict[str, Any]) -> set[str]:
    parts = ("functions", "classes", "variables", "names_bound_to_other_attributes")
    return {name for part in parts for name in table.get(part, {}) if not name.startswith("_")}


LATE = {"sd_default_config", *("data_path", "models_path", "sd_configs_path", "extensions_dir")}
LATE |= {"extensions_builtin_dir", "config_states_dir", "default_output_dir", "cmd_opts_pre"}
"""Names that exist once the program is put together."""


@needs_contract
@pytest.mark.parametrize("module", MISSING)
def test_every_name_of_a_module_is_there_but_those_known_to_be_missing(module: str) -> None:
    ours = importlib.import_module(module)
    missing = {name for name in names_of(contract()[module]) if name not in LATE and not hasattr(ours, name)}
    assert missing == MISSING[module]


@needs_contract
@pytest.mark.parametrize("module", MISSING)
def test_functions_take_the_arguments_of_the_contract(module: str) -> None:
    ours, wrong = importlib.import_module(module), []
    for name, text in contract()[module].get("functions", {}).items():
        if name in MISSING[module]:
            continue
        inside = re.sub(r"\[[^\]]*\]", "", text[1 : text.rindex(")")])
        expected = [re.split("[:=]", word)[0].strip(" *") for word in re.split(r",(?![^(]*\))", inside)]
        given = list(inspect.signature(getattr(ours, name)).parameters)
        if [word for word in expected if word] != given:
            wrong.append((name, text, given))
    assert not wrong


@needs_contract
def test_classes_of_scripts_have_every_method_and_attribute() -> None:
    table = contract()["modules.scripts"]["classes"]
    scripts = importlib.import_module("modules.scripts")
    for name, parts in table.items():
        for method in parts.get("methods", {}):
            assert hasattr(getattr(scripts, name), method), (name, method)
    runner = scripts.ScriptRunner()
    for attribute in table["ScriptRunner"]["instance_attributes"]:
        assert hasattr(runner, attribute), attribute


@needs_contract
def test_the_job_object_has_every_field_with_its_default() -> None:
    tables = json.loads((CONTRACT / "extension_api.json").read_text())["processing"]
    from modules import processing

    for name in (
        "StableDiffusionProcessing",
        *(f"StableDiffusionProcessing{t}" for t in ("Txt2Img", "Img2Img")),
    ):
        p = getattr(processing, name)()
        filled = {"styles", "extra_generation_params", "override_settings", "comments"}
        for row in tables[name]["fields"]:
            assert hasattr(p, row["name"]), (name, row["name"])
            if row["name"] not in filled and row["name"] in type(p).__dataclass_fields__:
                inherited = type(p) is not processing.StableDiffusionProcessing
                if not (inherited and name == "StableDiffusionProcessing"):
                    assert getattr(p, row["name"]) == row["default"], (name, row["name"])
    fields = set(tables["Processed"]["fields"])
    p = processing.StableDiffusionProcessingTxt2Img(prompt="x", seed=1, subseed=2)
    made = processing.Processed(p, [], seed=1, info="text")
    assert {name for name in fields if not hasattr(made, name)} == set()
    assert set(json.loads(made.js())) == set(tables["Processed"]["js_keys"])


def test_old_names_are_our_modules() -> None:
    for old, new in ALIASES.items():
        sys.modules.pop(old, None)
        module = importlib.import_module(old)
        assert module is importlib.import_module(new) and module.__spec__.name == new
    assert AliasFinder.find_spec("modules.no_such_name") is None
    with pytest.raises(ImportError):
        importlib.import_module("modules_forge")


def test_shared_is_filled_and_finds_the_model_when_it_is_read() -> None:
    before = {name: getattr(shared, name) for name in ("opts", "cmd_opts", "sd_model", "device")}
    try:
        shared.fill({"opts": "settings"}, lambda: "the model", lambda: "the device")
        assert (shared.opts, shared.sd_model, shared.device) == ("settings", "the model", "the device")
        with pytest.raises(AttributeError):
            shared.no_such_name  # noqa: B018
    finally:
        shared.fill({"opts": before["opts"]}, lambda: None, lambda: None)


class OneThread:
    """A worker that runs what it is given, one after the other."""

    alive = True

    def __init__(self) -> None:
        self.thread = threading.Thread(target=lambda: None)
        self.turn = threading.Lock()

    def call(self, function: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            with self.turn:
                future.set_result(function())

        threading.Thread(target=run, daemon=True).start()
        return future


def test_the_queue_lock_keeps_the_painter_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = OneThread()
    monkeypatch.setattr(shared, "job_queue", worker)
    monkeypatch.setattr(shared, "job_worker", worker)
    with call_queue.queue_lock, call_queue.queue_lock:
        assert worker.turn.locked()
    assert worker.turn.acquire(timeout=10)
    worker.turn.release()
    assert call_queue.wrap_queued_call(worker.turn.locked)()
    monkeypatch.setattr(shared, "job_worker", SimpleNamespace(alive=False, thread=None))
    assert call_queue.wrap_queued_call(lambda: "no worker")() == "no worker"


def test_extra_networks_of_extensions_get_their_tags() -> None:
    said: list[Any] = []

    class Mine(extra_networks.ExtraNetwork):
        def activate(self, p: Any, params_list: list[Any]) -> None:
            said.append([one.positional for one in params_list])

        def deactivate(self, p: Any) -> None:
            raise RuntimeError("told, and no more")

    extra_networks.register_extra_network(Mine("mine"))
    extra_networks.register_extra_network_alias(extra_networks.extra_network_registry["mine"], "other")
    try:
        _, tags = extra_networks.parse_prompt("a <mine:x:1> <other:y> <unknown:z>")
        extra_networks.activate(None, tags)
        extra_networks.activate(None, {})
        extra_networks.deactivate(None, {})
        assert said == [[["x", "1"], ["y"]], []]
    finally:
        extra_networks.initialize()


def test_helpers_for_files(tmp_path: Path) -> None:
    for name in ("b10.txt", "b2.txt", ".hidden", "c.PNG"):
        (tmp_path / name).write_text("")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "d.png").write_text("")
    assert [Path(one).name for one in listfiles(str(tmp_path))] == ["b2.txt", "b10.txt", "c.PNG"]
    assert [Path(one).name for one in walk_files(str(tmp_path), [".png"])] == ["c.PNG", "d.png"]
    assert truncate_path(str(tmp_path / "x"), str(tmp_path)) == "x" and truncate_path("/a/b", "/c") == "/a/b"
    assert natural_sort_key("a10") > natural_sort_key("a2")


def test_reported_errors_are_kept_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    errors.exception_records.clear()
    try:
        raise KeyError("seven")
    except KeyError as error:
        errors.report("It failed.", exc_info=True)
        errors.display(error, "counting")
    errors.run(lambda: 1 / 0, "dividing")
    said = capsys.readouterr().err
    assert "*** It failed." in said and "counting: KeyError" in said and "dividing: ZeroDivisionError" in said
    assert [one["exception"] for one in errors.get_exceptions()] == ["division by zero", "'seven'", "'seven'"]
    errors.exception_records.clear()
