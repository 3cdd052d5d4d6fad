from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from modules.errors import Forbidden
from modules.options import store
from modules.options.settings import OptionInfo, Options, default_options
from modules.options.store import SettingsFileError


@pytest.fixture(params=["plain", "with blank", "画像 🎨"])
def config(request: Any, tmp_path: Path) -> Path:
    folder = tmp_path / request.param
    folder.mkdir()
    return folder / "config.json"


def load(path: Path) -> Options:
    opts = default_options()
    opts.load(path)
    return opts


def test_what_is_saved_is_loaded(config: Path) -> None:
    opts = default_options()
    opts.set("samples_format", "webp")
    opts.set("outdir_samples", "画像 🎨")
    opts.save(config)
    text = config.read_text(encoding="utf-8")
    assert text.startswith('{\n    "samples_save": true')
    assert "画像 🎨" in text
    assert load(config).data == opts.data
    assert not list(config.parent.glob("*.tmp"))


def test_a_missing_file_means_defaults(tmp_path: Path) -> None:
    opts = load(tmp_path / "none.json")
    assert opts.jpeg_quality == 80
    assert opts.load_messages == []


def test_keys_missing_from_the_file_read_as_defaults_and_are_not_added(config: Path) -> None:
    config.write_text('{"tiling": true}')
    opts = load(config)
    assert (opts.tiling, opts.jpeg_quality, opts.data) == (True, 80, {"tiling": True})


def test_unknown_keys_are_preserved(config: Path) -> None:
    config.write_text('{"other_extension": {"deep": [1, null]}, "tiling": true}')
    opts = load(config)
    opts.set("tiling", False)
    opts.save(config)
    assert json.loads(config.read_text()) == {"other_extension": {"deep": [1, None]}, "tiling": False}


def test_a_value_read_before_its_extension_registered_is_kept(config: Path) -> None:
    config.write_text('{"late": 7}')
    opts = load(config)
    opts.add_option("late", OptionInfo(1, "Late"))
    assert opts.late == 7


@pytest.mark.parametrize(
    ("stored", "key", "value"),
    [
        ({"sd_vae_as_default": True}, "sd_vae_overrides_per_model_preferences", False),
        (
            {"sd_vae_as_default": True, "sd_vae_overrides_per_model_preferences": True},
            "sd_vae_overrides_per_model_preferences",
            True,
        ),
        ({"quicksettings": "sd_vae, tiling ,x"}, "quicksettings_list", ["sd_vae", "tiling", "x"]),
        ({"quicksettings": "a", "quicksettings_list": ["b"]}, "quicksettings_list", ["b"]),
        ({"ui_reorder": "seed, cfg"}, "ui_reorder_list", ["seed", "cfg"]),
        ({"ui_reorder": ""}, "ui_reorder_list", []),
        ({"sd_vae": "auto"}, "sd_vae", "Automatic"),
    ],
)
def test_migrations(config: Path, stored: dict[str, Any], key: str, value: Any) -> None:
    config.write_text(json.dumps(stored))
    assert getattr(load(config), key) == value


def test_wrong_types_are_reported_defaulted_and_written_back(config: Path) -> None:
    stored = {"jpeg_quality": "high", "hidden_tabs": "Train", "tiling": "true", "s_noise": None, "x": 1}
    config.write_text(json.dumps(stored))
    opts = load(config)
    assert (opts.jpeg_quality, opts.hidden_tabs, opts.tiling, opts.s_noise) == (80, [], True, 1.0)
    assert len(opts.load_messages) == 2
    assert "'high'" in opts.load_messages[0]
    opts.set("hidden_tabs", ["Extras"])
    opts.save(config)
    written = json.loads(config.read_text())
    assert (written["jpeg_quality"], written["hidden_tabs"]) == ("high", ["Extras"])


def test_wrong_types_of_extension_settings_only_warn(config: Path) -> None:
    config.write_text('{"theirs": "text"}')
    opts = default_options()
    opts.add_option("theirs", OptionInfo(3, "Theirs"))
    opts.load(config)
    assert opts.theirs == "text"
    assert len(opts.load_messages) == 1


@pytest.mark.parametrize(
    "damage", [b"", b'{"tiling": tr', b"[1, 2]", b"\xff\xfe\x00garbage", b"[" * 100_000, b"null"]
)
def test_a_damaged_file_is_restored_from_the_backup(config: Path, damage: bytes) -> None:
    opts = default_options()
    opts.set("tiling", True)
    opts.save(config)
    opts.set("jpeg_quality", 33)
    opts.save(config)
    config.write_bytes(damage)
    again = load(config)
    assert again.tiling is True
    assert "restored" in again.load_messages[0]
    assert (config.parent / "tmp" / "config.json").read_bytes() == damage
    assert json.loads(config.read_text(encoding="utf-8"))["tiling"] is True


def test_a_damaged_file_without_backup_is_moved_away(config: Path, tmp_path: Path) -> None:
    for number in range(3):
        config.write_text(f"damage {number}")
        opts = default_options()
        opts.load(config, damaged_dir=tmp_path / "kept")
        assert opts.jpeg_quality == 80
        assert str(tmp_path / "kept") in opts.load_messages[0]
    kept = sorted(path.read_text() for path in (tmp_path / "kept").iterdir())
    assert kept == ["damage 0", "damage 1", "damage 2"]
    assert not config.exists()


def test_the_backup_is_never_replaced_by_a_damaged_file(config: Path) -> None:
    opts = default_options()
    opts.save(config)
    opts.set("tiling", True)
    opts.save(config)
    good = store.backup_of(config).read_bytes()
    config.write_text("{damaged")
    opts.set("jpeg_quality", 12)
    opts.save(config)
    assert store.backup_of(config).read_bytes() == good


class NoSpace:
    def __call__(self, *args: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_disk_full_leaves_the_old_file_and_the_new_values(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opts = default_options()
    opts.save(config)
    before = config.read_bytes()
    opts.set("tiling", True)
    monkeypatch.setattr(store.os, "fsync", NoSpace())
    with pytest.raises(SettingsFileError, match=r"No space left.*stay in force"):
        opts.save(config)
    monkeypatch.undo()
    assert config.read_bytes() == before
    assert opts.tiling is True
    assert [path.name for path in config.parent.iterdir()] == ["config.json"]
    opts.save(config)
    assert load(config).tiling is True


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_refusals_of_the_file_system_become_one_sentence(
    config: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*args: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(store.os, "open", refuse)
    with pytest.raises(SettingsFileError, match=os.strerror(code)) as caught:
        default_options().save(config)
    assert str(config) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permission bits of Unix")
def test_read_only_folder() -> None:
    nobody = 65_534
    folder = Path(tempfile.mkdtemp())
    config = folder / "config.json"
    default_options().save(config)
    root = os.geteuid() == 0
    try:
        if root:  # root may write everywhere, so the test goes on as somebody else
            os.chown(folder, nobody, nobody)
            os.seteuid(nobody)
        folder.chmod(0o500)
        opts = default_options()
        opts.load(config)
        opts.set("tiling", True)
        with pytest.raises(SettingsFileError, match=r"could not be written.*Permission denied"):
            opts.save(config)
        assert opts.tiling is True
        config_text = config.read_text(encoding="utf-8")
        assert json.loads(config_text)["tiling"] is False
    finally:
        folder.chmod(0o700)
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_a_folder_in_place_of_the_file(config: Path) -> None:
    config.mkdir()
    opts = default_options()
    opts.load(config)
    assert opts.jpeg_quality == 80
    assert "cannot be read" in opts.load_messages[0]
    with pytest.raises(SettingsFileError, match="could not be read at the start"):
        opts.save(config)
    assert config.is_dir()


def test_a_file_that_cannot_be_replaced_is_rewritten(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opts = default_options()
    opts.save(config)
    opts.set("tiling", True)

    def busy(*args: Any) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    opts.save(config)
    monkeypatch.undo()
    assert load(config).tiling is True
    assert not list(config.parent.glob(".*tmp"))


@pytest.mark.skipif(os.name == "nt", reason="links and permission bits of Unix")
def test_links_and_permissions_are_kept(config: Path) -> None:
    real = config.parent / "real.json"
    real.write_text("{}")
    real.chmod(0o640)
    config.symlink_to(real)
    opts = load(config)
    opts.set("tiling", True)
    opts.save(config)
    assert config.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert json.loads(real.read_text())["tiling"] is True


def test_lone_surrogates_survive(config: Path) -> None:
    opts = default_options()
    opts.set("outdir_samples", "bad\udce9name")
    opts.save(config)
    assert load(config).outdir_samples == "bad\udce9name"


def test_values_that_json_cannot_hold(config: Path) -> None:
    opts = default_options()
    opts.add_option("path", OptionInfo(None))
    opts.path = Path("a")
    opts.save(config)
    opts.path = object()
    with pytest.raises(SettingsFileError, match="JSON"):
        opts.save(config)
    assert json.loads(config.read_text(encoding="utf-8"))["path"] == "a"


def test_frozen_settings_are_not_saved(config: Path) -> None:
    with pytest.raises(Forbidden):
        default_options(Namespace(freeze_settings=True)).save(config)
    assert not config.exists()


def test_saving_from_many_threads_never_leaves_a_damaged_file(config: Path) -> None:
    opts = default_options()
    opts.save(config)
    failures: list[BaseException] = []
    done = threading.Event()

    def write(start: int) -> None:
        try:
            for number in range(10):
                opts.set("jpeg_quality", 1 + (start + number) % 100)
                opts.save(config)
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        while not done.is_set():
            json.loads(config.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 30, 60)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert failures == []
    assert load(config).jpeg_quality == opts.jpeg_quality
