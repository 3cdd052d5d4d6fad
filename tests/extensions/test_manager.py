"""What a user does with extensions, and that a program open to the network refuses all of it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from modules.errors import Forbidden, NotFound
from modules.extensions.catalogue import Catalogue
from modules.extensions.config_states import ConfigStates
from modules.extensions.manager import ExtensionManager
from modules.launcher.extensions import ExtensionChoice
from tests.launcher.repositories import make_source


def manager_of(tmp_path: Path, *, is_open: bool = False) -> ExtensionManager:
    disabled: list[str] = []

    def store(names: list[str]) -> None:
        disabled[:] = names

    catalogue = Catalogue(
        tmp_path / "extensions", tmp_path / "builtin", lambda: ExtensionChoice(frozenset(disabled))
    )
    catalogue.refresh()
    states = ConfigStates(tmp_path / "states", tmp_path, catalogue, store)
    flags = Namespace(disable_extension_access=is_open)
    return ExtensionManager(flags, catalogue, states, lambda _folder: "")


def test_an_extension_comes_is_switched_saved_restored_and_goes(tmp_path: Path) -> None:
    source = make_source(tmp_path / "sources" / "painter")
    manager = manager_of(tmp_path)
    assert manager.install(source.url).canonical_name == "painter"
    manager.states.save("all on")
    manager.set_disabled(["painter"])
    assert manager.catalogue.active() == []
    (label,) = manager.states.saved()
    assert manager.restore(label) == [] and len(manager.catalogue.active()) == 1
    assert manager.check_updates() == {} and manager.update(["painter"]) == {}
    with pytest.raises(NotFound):
        manager.set_disabled(["nobody"])
    manager.remove("painter")
    assert manager.catalogue.extensions == [] and list((tmp_path / "extensions").iterdir()) == []


def test_what_belongs_to_the_program_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "builtin" / "lora").mkdir(parents=True)
    with pytest.raises(Forbidden, match="disable it instead"):
        manager_of(tmp_path).remove("lora")
    assert (tmp_path / "builtin" / "lora").is_dir()


def test_a_program_open_to_the_network_changes_nothing(tmp_path: Path) -> None:
    source = make_source(tmp_path / "sources" / "painter")
    manager = manager_of(tmp_path, is_open=True)
    for change in (
        lambda: manager.install(source.url),
        manager.check_updates,
        lambda: manager.update([]),
        lambda: manager.set_disabled([]),
        lambda: manager.restore("x"),
        lambda: manager.remove("x"),
    ):
        with pytest.raises(Forbidden, match="--enable-insecure-extension-access"):
            change()
    assert not (tmp_path / "extensions").exists()
