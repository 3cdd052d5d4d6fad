"""Hashes: right, remembered, in the background, and indifferent to a broken cache."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from modules.checkpoints.hashes import ADDNET, FileStamp, HashStore, old_hash
from modules.errors import ModelFileError
from tests.paths import GOLDENS, HAVE_GOLDENS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_sha256_is_that_of_the_file_and_is_kept(tmp_path: Path, file: Path) -> None:
    store = HashStore(tmp_path / "cache")
    assert store.peek(file) is None
    assert store.sha256(file) == digest(file) == store.peek(file)
    store.close()
    again = HashStore(tmp_path / "cache")
    assert again.peek(file) == digest(file)
    again.close()


def test_a_changed_file_is_hashed_again(tmp_path: Path, file: Path) -> None:
    store = HashStore(tmp_path / "cache")
    store.sha256(file)
    file.write_bytes(b"other")
    assert store.peek(file) is None
    assert store.sha256(file) == digest(file)
    store.close()


def test_same_size_but_other_time_counts_as_changed(file: Path) -> None:
    store = HashStore(None)
    store.sha256(file)
    os.utime(file, ns=(1, 1))
    assert store.peek(file) is None


def test_the_other_kinds(file: Path) -> None:
    raw = (8).to_bytes(8, "little") + b"{      }" + b"data"
    other = file.with_name("lora.safetensors")
    other.write_bytes(raw)
    store = HashStore(None)
    assert store.addnet(other) == hashlib.sha256(b"data").hexdigest()
    assert store.peek(other) is None
    assert store.peek(other, ADDNET) == hashlib.sha256(b"data").hexdigest()
    assert old_hash(file) == hashlib.sha256(file.read_bytes()[0x100000:0x110000]).hexdigest()[:8]
    assert old_hash(file.with_name("absent")) is None


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")
def test_the_short_hash_in_the_reference_infotext() -> None:
    path = GOLDENS / "models" / "Stable-diffusion" / "tiny-sd1.safetensors"
    assert HashStore(None).sha256(path)[:10] == "b6353d2b51"


def test_requests_are_answered_in_the_background(tmp_path: Path, file: Path) -> None:
    store = HashStore(tmp_path / "cache")
    answered = threading.Event()
    threads: list[str] = []

    def done(value: str) -> None:
        threads.append(threading.current_thread().name)
        assert value == digest(file)
        answered.set()

    before = store.generation
    store.request(file, done=done)
    assert answered.wait(10)
    assert threads == ["hashes"]
    assert store.generation > before
    store.request(file, done=threads.append)
    assert threads[-1] == digest(file)
    store.close()


def test_a_failing_listener_or_a_missing_file_do_not_stop_the_thread(tmp_path: Path, file: Path) -> None:
    store = HashStore(None)
    answered = threading.Event()

    def fails(_: str) -> None:
        raise RuntimeError("listener")

    store.request(tmp_path / "absent")
    store.request(file, done=fails)
    second = tmp_path / "second.ckpt"
    second.write_bytes(b"x")
    store.request(second, done=lambda _: answered.set())
    assert answered.wait(10)
    assert store.peek(file) == digest(file)
    store.close()


def test_no_hashing_serves_what_is_known_only(tmp_path: Path, file: Path) -> None:
    known = HashStore(tmp_path / "cache")
    known.sha256(file)
    known.close()
    other = tmp_path / "other.ckpt"
    other.write_bytes(b"x")
    store = HashStore(tmp_path / "cache", enabled=False)
    store.request(other)
    assert store.peek(file) == digest(file)
    assert store._worker is None
    store.close()


def test_a_damaged_cache_starts_afresh(tmp_path: Path, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "hashes.sqlite3").write_bytes(b"this is no database, but long enough to look at" * 100)
    store = HashStore(cache)
    assert "damaged" in caplog.text
    assert store.sha256(file) == digest(file)
    store.close()
    again = HashStore(cache)
    assert again.peek(file) == digest(file)
    again.close()


def test_a_cache_that_cannot_be_written(tmp_path: Path, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    store = HashStore(tmp_path / "cache")
    assert store.sha256(file) == digest(file)
    assert "not kept on disk" in caplog.text
    store.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who obeys file modes")
def test_a_read_only_cache_is_still_read(tmp_path: Path, file: Path) -> None:
    cache = tmp_path / "cache"
    first = HashStore(cache)
    first.sha256(file)
    first.close()
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    (cache / "hashes.sqlite3").chmod(stat.S_IRUSR)
    try:
        store = HashStore(cache)
        assert store.peek(file) == digest(file)
        store.close()
    finally:
        cache.chmod(stat.S_IRWXU)


def test_an_unreadable_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        HashStore(None).sha256(tmp_path / "absent")


def test_remembered_findings_belong_to_the_state_of_the_file(file: Path) -> None:
    store = HashStore(None)
    store.remember(FileStamp.of(file), "prediction", "v")
    assert store.peek(file, "prediction") == "v"
    file.write_bytes(b"new")
    assert store.peek(file, "prediction") is None


def test_many_threads_may_ask(tmp_path: Path) -> None:
    files = []
    for index in range(20):
        path = tmp_path / f"{index}.ckpt"
        path.write_bytes(bytes([index]) * 1000)
        files.append(path)
    store = HashStore(tmp_path / "cache")
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for path in files:
                assert store.sha256(path) == digest(path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    store.close()
