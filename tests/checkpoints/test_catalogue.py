"""The list of checkpoints: names and titles of the reference, finding, and disks that do not answer."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from modules.checkpoints import scanning
from modules.checkpoints.catalogue import CheckpointCatalogue, CheckpointInfo
from modules.checkpoints.hashes import HashStore, old_hash
from modules.checkpoints.scanning import FolderScanner, ScanResult, ScanRules, natural_key
from modules.errors import ModelFileError


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def catalogue(*folders: Path, hashes: HashStore | None = None, **options: object) -> CheckpointCatalogue:
    return CheckpointCatalogue(folders, hashes or HashStore(None), **options)  # type: ignore[arg-type]


def joined(*parts: str) -> str:
    return str(Path(*parts))


def names(found: CheckpointCatalogue) -> list[str]:
    return [info.name for info in found.infos]


def test_recursive_natural_order_and_excluded_files(tmp_path: Path) -> None:
    for name in (
        "model10.safetensors", "model2.ckpt", "Model1.SAFETENSORS", "a.vae.safetensors", "b.vae.ckpt", "c.pt",
        "readme.txt", "sub/z.ckpt", "sub/deep/y.safetensors", "Alpha/x.ckpt", ".hidden/h.ckpt",
    ):  # fmt: skip
        touch(tmp_path / name)
    expected = ["Model1.SAFETENSORS", "model2.ckpt", "model10.safetensors"]
    folders = [joined("Alpha", "x.ckpt"), joined("sub", "z.ckpt")]
    deep = joined("sub", "deep", "y.safetensors")
    assert names(catalogue(tmp_path)) == [*expected, *folders, deep]
    assert joined(".hidden", "h.ckpt") in names(catalogue(tmp_path, list_hidden=True))


def test_natural_key() -> None:
    texts = ["v10", "V2", "v1.5", "v1", "", "10", "2"]
    assert sorted(texts, key=natural_key) == ["", "2", "10", "v1", "v1.5", "V2", "v10"]
    assert natural_key("v٣") != natural_key("v²")


def test_names_titles_and_identifiers(tmp_path: Path) -> None:
    file = touch(tmp_path / "folder" / "my.model.safetensors", b"0" * 2_000_000)
    hashes = HashStore(None)
    found = catalogue(tmp_path, hashes=hashes)
    (info,) = found.infos
    name = joined("folder", "my.model.safetensors")
    assert (info.name, info.name_for_extra, info.model_name) == (name, "my.model", "folder_my.model")
    assert (info.title, info.short_title, info.sha256, info.shorthash) == (name, "my.model", None, None)
    old = old_hash(file)
    assert set(info.ids) == {old, f"{name} [{old}]", "folder_my.model", name, "my.model", str(file)}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert info.calculate_shorthash() == digest[:10]
    assert (info.sha256, info.shorthash) == (digest, digest[:10])
    assert (info.title, info.short_title) == (f"{name} [{digest[:10]}]", f"my.model [{digest[:10]}]")
    assert {digest, digest[:10], info.title, info.short_title} <= set(info.ids)
    assert all(found.find(identifier) is info for identifier in info.ids)


def test_the_title_follows_the_hash_without_a_new_scan(tmp_path: Path) -> None:
    file = touch(tmp_path / "a.ckpt")
    hashes = HashStore(None)
    found = catalogue(tmp_path, hashes=hashes)
    assert found.find("a.ckpt [") is None
    hashes.sha256(file)
    (info,) = found.infos
    assert info.title.startswith("a.ckpt [")
    assert found.find(info.title) is info
    assert found.find(info.shorthash) is info


def test_find_prefers_exact_then_the_shortest_title(tmp_path: Path) -> None:
    for name in ("photo-v2-final.safetensors", "photo-v2.safetensors", "art/photo-v2-anime.safetensors"):
        touch(tmp_path / name)
    found = catalogue(tmp_path)

    def name(identifier: str | None) -> str | None:
        info = found.find(identifier)
        return info.name if info else None

    assert name("photo-v2") == "photo-v2.safetensors"
    assert name("photo") == "photo-v2.safetensors"
    assert name("anime") == joined("art", "photo-v2-anime.safetensors")
    assert name("photo-v2-final.safetensors [0123456789]") == "photo-v2-final.safetensors"
    assert name("missing") is name("") is name(None) is name(" [abcdefabcd]") is None


def test_a_yaml_beside_the_file_is_its_configuration(tmp_path: Path) -> None:
    touch(tmp_path / "a.safetensors")
    yaml = touch(tmp_path / "a.yaml")
    touch(tmp_path / "b.safetensors")
    first, second = catalogue(tmp_path).infos
    assert (first.config, second.config) == (str(yaml), None)
    assert CheckpointInfo.for_file(tmp_path / "a.safetensors").config == str(yaml)


def test_extra_files_come_first_and_once(tmp_path: Path) -> None:
    inside, outside = touch(tmp_path / "models" / "b.ckpt"), touch(tmp_path / "other" / "x.ckpt")
    touch(tmp_path / "models" / "a.ckpt")
    found = catalogue(tmp_path / "models", extra_files=[outside, inside, tmp_path / "absent.ckpt"])
    assert names(found) == ["x.ckpt", "b.ckpt", "a.ckpt"]


def test_refresh_sees_new_changed_and_removed_files(tmp_path: Path) -> None:
    a, b = touch(tmp_path / "a.ckpt"), touch(tmp_path / "b.ckpt")
    hashes = HashStore(None)
    found = catalogue(tmp_path, hashes=hashes)
    hashes.sha256(a)
    assert found.infos[0].sha256 is not None
    b.unlink()
    touch(tmp_path / "c.ckpt")
    touch(a, b"changed")
    before = found.infos
    found.refresh()
    assert names(found) == ["a.ckpt", "c.ckpt"]
    assert found.infos[0].sha256 is None
    assert [info.name for info in before] == ["a.ckpt", "b.ckpt"]


def test_several_folders_one_of_them_absent(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "a.ckpt")
    touch(tmp_path / "two" / "a.ckpt")
    found = catalogue(tmp_path / "one", tmp_path / "absent", tmp_path / "two")
    assert [info.filename for info in found.infos] == [
        str(tmp_path / "one" / "a.ckpt"),
        str(tmp_path / "two" / "a.ckpt"),
    ]
    assert found.problems == ()


def test_for_file_outside_of_any_folder(tmp_path: Path) -> None:
    file = touch(tmp_path / "deep" / "a.safetensors")
    assert CheckpointInfo.for_file(file).name == "a.safetensors"
    assert CheckpointInfo.for_file(file, tmp_path).name == joined("deep", "a.safetensors")
    assert CheckpointInfo.for_file(file, tmp_path / "other").name == "a.safetensors"
    with pytest.raises(ModelFileError, match="cannot be read"):
        CheckpointInfo.for_file(tmp_path / "absent.safetensors")


def test_metadata_of_a_damaged_file_is_empty(tmp_path: Path) -> None:
    touch(tmp_path / "a.safetensors")
    (info,) = catalogue(tmp_path).infos
    assert info.metadata == {}


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    elsewhere = touch(tmp_path / "elsewhere" / "a.ckpt").parent
    models = tmp_path / "models"
    models.mkdir()
    (models / "linked").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(models)
    (models / "broken.ckpt").symlink_to(tmp_path / "absent")
    found = catalogue(models)
    assert names(found) == [joined("linked", "a.ckpt")]


def hang_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Listing ``folder`` blocks until the event is set, as on a vanished network mount."""
    release = threading.Event()
    real = scanning.scan_folder

    def scan(root: str, rules: ScanRules, result: ScanResult | None = None) -> ScanResult:
        if root == str(folder):
            release.wait(30)
        return real(root, rules, result)

    monkeypatch.setattr(scanning, "scan_folder", scan)
    return release


def test_a_vanished_mount_keeps_its_entries_and_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "good" / "a.ckpt")
    bad = touch(tmp_path / "bad" / "b.ckpt").parent
    found = catalogue(tmp_path / "good", bad, timeout=0.2)
    assert names(found) == ["a.ckpt", "b.ckpt"]
    release = hang_on(bad, monkeypatch)
    touch(tmp_path / "good" / "new.ckpt")
    start = time.monotonic()
    found.refresh()
    found.refresh()  # while the first attempt still hangs
    assert time.monotonic() - start < 5
    assert names(found) == ["a.ckpt", "new.ckpt", "b.ckpt"]
    assert "does not answer" in found.problems[0]
    assert (
        sum(thread.name.startswith("Thread") and thread.is_alive() for thread in threading.enumerate()) < 20
    )
    release.set()


def test_a_hung_folder_is_not_asked_twice_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = touch(tmp_path / "bad" / "b.ckpt").parent
    release = hang_on(bad, monkeypatch)
    scanner = FolderScanner(timeout=0.1)
    before = threading.active_count()
    for _ in range(5):
        assert scanner.scan([bad])[str(bad)].problems
    assert threading.active_count() <= before + 1
    release.set()
    deadline = time.monotonic() + 10
    while scanner.scan([bad])[str(bad)].problems and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [Path(file.path).name for file in scanner.scan([bad])[str(bad)].files] == ["b.ckpt"]


def test_a_catalogue_may_be_used_by_many_threads(tmp_path: Path) -> None:
    for index in range(50):
        touch(tmp_path / f"{index}.ckpt")
    found = catalogue(tmp_path)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                found.refresh()
                assert found.find("49") is not None
                assert len(found.infos) == 50
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
