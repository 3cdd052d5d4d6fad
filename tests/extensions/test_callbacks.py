"""Registering callbacks, their order, and what happens when one fails."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from modules import script_callbacks
from modules.extensions import params
from modules.extensions.callbacks import CALLBACKS, CallbackRegistry
from modules.extensions.host import ExtensionHost
from modules.extensions.ordering import topological_sort
from tests.extensions.folders import host_of, write_extension
from tests.paths import CONTRACT, DATA, HAVE_CONTRACT


def api() -> dict[str, Any]:
    """The part of the contract about callbacks."""
    path = CONTRACT / "extension_api.json" if HAVE_CONTRACT else DATA / "extension_callbacks.json"
    return json.loads(path.read_text())["script_callbacks"]


@pytest.fixture
def host(tmp_path: Path) -> ExtensionHost:
    home = tmp_path / "extensions"
    orders = "[callbacks/late/a.py/ui_tabs]\nAfter = other/b.py/ui_tabs\n"
    early = "[callbacks/third/c.py/ui_tabs/me]\nBefore = other/b.py/ui_tabs\n"
    write_extension(home, "late", {"metadata.ini": orders})
    write_extension(home, "other", {"x.py": ""})
    write_extension(home, "third", {"metadata.ini": early})
    return host_of(home)


def register(host: ExtensionHost, path: str, function: Any, name: str | None = None) -> None:
    file = str(host.catalogue.user_dir / path)
    host.callbacks.register("ui_tabs", function, name=name, filename=file)


def test_every_callback_of_the_contract_is_there_with_its_category() -> None:
    rows = api()["registrations"]
    assert len(rows) == len(CALLBACKS) == 21
    assert {f"on_{kind.name}": kind.category for kind in CALLBACKS} == {
        row["register"]: row["category"] for row in rows
    }
    for row in rows:
        text = str(inspect.signature(getattr(script_callbacks, row["register"])))
        assert text.startswith("(callback") and "*, name" in text, row["register"]


def test_every_params_class_has_the_fields_of_the_contract() -> None:
    for name, wanted in api()["params_classes"].items():
        made = getattr(script_callbacks, name)
        assert made is getattr(params, name)
        assert list(inspect.signature(made).parameters) == wanted["fields"], name


def test_every_other_function_of_the_contract_is_there_with_its_arguments() -> None:
    for name, wanted in api()["other_functions"].items():
        signature = inspect.signature(getattr(script_callbacks, name))
        words = [word.split(":")[0].split("=")[0].strip() for word in wanted[1:-1].split(",")]
        expected = [word.lstrip("*") for word in words if word and word != "*" and "Any]" not in word]
        assert list(signature.parameters) == expected, name


def test_names_tell_the_extension_and_doubles_are_counted(host: ExtensionHost) -> None:
    register(host, "late/a.py", print)
    register(host, "late/a.py", print)
    register(host, "late/a.py", print, "mine")
    host.callbacks.register("ui_tabs", print, filename="/elsewhere/z.py")
    names = {row.name for row in host.callbacks.callback_map["callbacks_ui_tabs"]}
    assert names == {
        "late/a.py/ui_tabs",
        "late/a.py/ui_tabs-1",
        "late/a.py/ui_tabs/mine",
        "base/z.py/ui_tabs",
    }


def test_metadata_and_then_the_user_decide_the_order(host: ExtensionHost) -> None:
    for path, name in (("late/a.py", None), ("other/b.py", None), ("third/c.py", "me"), ("other/d.py", None)):
        register(host, path, lambda path=path: [path], name)
    assert [one[0][-4] for one in host.callbacks.call("ui_tabs")] == ["c", "b", "a", "d"]
    host.callbacks.priorities = lambda category: ["nobody", "other/d.py/ui_tabs"]
    host.callbacks.forget_order()
    assert [one[0][-4] for one in host.callbacks.call("ui_tabs")] == ["d", "c", "b", "a"]
    plain = host.callbacks.ordered("ui_tabs", enable_user_sort=False)
    assert [row.name[0] for row in plain] == ["t", "o", "l", "o"]


def test_a_failing_callback_is_named_and_the_others_are_called(host: ExtensionHost) -> None:
    def fail() -> None:
        raise ValueError("no good")

    def leave() -> None:
        raise SystemExit(3)

    register(host, "late/a.py", fail)
    register(host, "other/b.py", leave)
    register(host, "third/c.py", lambda: "fine")
    assert host.callbacks.call("ui_tabs") == ["fine"]
    first = next(one for one in host.ledger.failures if one.extension == "late")
    assert "The extension late failed in ui_tabs (a.py)" in str(first) and "ValueError: no good" in str(first)
    assert "raise ValueError" in first.details
    assert {one.extension for one in host.ledger.failures} == {"late", "other"}
    assert set(host.ledger.profile()) == {"late", "other", "third"}
    assert host.ledger.calls["third", "ui_tabs (c.py)"] == 1


def test_unloading_and_before_ui_go_backwards(host: ExtensionHost) -> None:
    said: list[int] = []
    for category in ("before_ui", "script_unloaded", "model_loaded"):
        for number in (1, 2):
            host.callbacks.register(category, lambda *_, number=number: said.append(number), filename="x.py")
    host.callbacks.call("before_ui")
    host.callbacks.call("script_unloaded")
    host.callbacks.call("model_loaded", None)
    assert said == [2, 1, 2, 1, 1, 2]


def test_registrations_are_removed_by_function_file_and_folder(host: ExtensionHost) -> None:
    registry: CallbackRegistry = host.callbacks
    register(host, "late/a.py", print)
    register(host, "other/b.py", len)
    register(host, "third/c.py", max)
    registry.remove_function(print)
    registry.remove_of_file(str(host.catalogue.user_dir / "other" / "b.py"))
    assert [row.callback for row in registry.ordered("ui_tabs")] == [max]
    registry.remove_of_folder(host.catalogue.user_dir / "third")
    assert not registry.any("ui_tabs") and registry.categories() == []


def test_public_functions_know_the_file_that_calls_them() -> None:
    before = len(script_callbacks.callback_map["callbacks_ui_tabs"])
    script_callbacks.on_ui_tabs(lambda: [("blocks", "Title", "id")], name="seen")
    try:
        row = script_callbacks.callback_map["callbacks_ui_tabs"][-1]
        assert row.script == __file__ and row.name == "base/test_callbacks.py/ui_tabs/seen"
        assert ("blocks", "Title", "id") in script_callbacks.ui_tabs_callback()
    finally:
        script_callbacks.remove_current_script_callbacks()
    assert len(script_callbacks.callback_map["callbacks_ui_tabs"]) == before


def test_late_settings_are_registered_once(host: ExtensionHost) -> None:
    said: list[str] = []
    host.callbacks.register("ui_settings", lambda: said.append("early"), filename="x.py")
    host.register_settings()
    host.callbacks.register("ui_settings", lambda: said.append("late"), filename="x.py")
    host.register_settings()
    assert said == ["early", "late"]


def test_sorting_keeps_the_given_order_and_survives_circles() -> None:
    assert topological_sort({"c": [], "a": ["b"], "b": []}) == ["c", "b", "a"]
    assert sorted(topological_sort({"a": ["b"], "b": ["a"], "c": ["gone"]})) == ["a", "b", "c"]
