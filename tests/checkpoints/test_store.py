"""The store: one model at a time, the old one kept when the new one fails, and threads."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from pathlib import Path

import pytest
import torch

from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.loading import LoadPlan
from modules.checkpoints.store import ModelStore
from modules.devices.policy import DevicePolicy
from modules.errors import ModelFileError, NotFound, OutOfMemoryError
from tests.checkpoints.files import tiny_tensors, write_safetensors, write_tiny_sd1

CPU = DevicePolicy(torch.device("cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    models.mkdir()
    for seed, name in enumerate(("a", "b", "c")):
        write_tiny_sd1(models / f"{name}.safetensors", seed)
    return models


def make_store(folder: Path, limit: int = 1) -> ModelStore:
    return ModelStore(CheckpointCatalogue([folder], HashStore(None, enabled=False)), CPU, limit=limit)


@pytest.fixture
def store(folder: Path) -> ModelStore:
    return make_store(folder)


def test_the_first_is_taken_and_kept(store: ModelStore) -> None:
    assert store.current is None
    model = store.use()
    assert model.info.name == "a.safetensors"
    assert store.use() is model is store.current
    assert store.use("a") is model
    assert store.use("a.safetensors") is model


def test_another_replaces_it_and_the_old_one_is_freed(store: ModelStore) -> None:
    gone = weakref.ref(store.use("a"))
    model = store.use("b")
    gc.collect()
    assert gone() is None
    assert store.current is model
    assert store.use() is model


def test_a_running_job_keeps_its_model(store: ModelStore) -> None:
    mine = store.use("a")
    store.use("b")
    assert mine.unet.out[2].weight.isfinite().all()  # type: ignore[index]


def test_the_limit(folder: Path) -> None:
    store = make_store(folder, limit=2)
    a, b = store.use("a"), store.use("b")
    assert store.use("a") is a
    store.use("c")
    assert store.use("a") is a
    assert store.use("b") is not b


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no checkpoint\. Put a \.safetensors file .* into .*models"):
        make_store(tmp_path / "models").use()


def test_files_that_arrive_later_are_found(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    with pytest.raises(NotFound):
        store.use()
    write_tiny_sd1(tmp_path / "late.safetensors")
    assert store.use().info.name == "late.safetensors"
    write_tiny_sd1(tmp_path / "later.safetensors")
    assert store.use("later.safetensors").info.name == "later.safetensors"


def test_an_unknown_name(store: ModelStore) -> None:
    with pytest.raises(NotFound, match="'missing' among the 3"):
        store.use("missing")


def test_a_damaged_file_leaves_the_model_in_place(folder: Path, store: ModelStore) -> None:
    model = store.use("a")
    path = folder / "b.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelFileError, match="10 of its"):
        store.use("b")
    assert store.current is model
    assert store.use() is model
    assert "10 of its" in (store.last_error or "")
    assert store.use("c").info.name == "c.safetensors"
    assert store.last_error is None


@pytest.mark.parametrize("error", [OutOfMemoryError("full"), ModelFileError("shorter"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_brings_the_old_model_back(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    gone = weakref.ref(store.use("a"))
    real = LoadPlan.execute
    seen: list[bool] = []

    def execute(plan: LoadPlan) -> object:
        if plan.info.name.startswith("b"):
            gc.collect()
            seen.append(gone() is None)
            raise error
        return real(plan)

    monkeypatch.setattr(LoadPlan, "execute", execute)
    with pytest.raises(type(error)):
        store.use("b")
    assert seen == [True], "two models were in memory at once"
    assert store.current is not None
    assert store.current.info.name == "a.safetensors"
    assert not store.is_loading


def test_a_failed_load_leaves_nothing_in_memory(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.use("a")
    kept: list[weakref.ref[object]] = []
    real = LoadPlan._fill

    def fill(plan: LoadPlan) -> object:
        model = real(plan)
        if plan.info.name.startswith("b"):
            kept.append(weakref.ref(model))
            raise MemoryError
        return model

    monkeypatch.setattr(LoadPlan, "_fill", fill)
    with pytest.raises(OutOfMemoryError, match="does not fit") as caught:
        store.use("b")
    gc.collect()
    assert kept[0]() is None
    assert caught.value is not None


def test_a_file_replaced_on_disk_is_loaded_after_a_refresh(folder: Path, store: ModelStore) -> None:
    model = store.use("a")
    write_tiny_sd1(folder / "a.safetensors", seed=9)
    assert store.use("a") is model
    store.catalogue.refresh()
    fresh = store.use("a")
    assert fresh is not model
    expected = tiny_tensors(9)["model.diffusion_model.out.2.weight"].float()
    assert torch.equal(fresh.unet.out[2].weight, expected)  # type: ignore[index]


def test_a_file_replaced_before_its_first_use_gets_its_own_identity(folder: Path, store: ModelStore) -> None:
    before = store.catalogue.infos[0].stamp
    write_tiny_sd1(folder / "a.safetensors", seed=9, dtype=torch.float32)
    model = store.use("a")
    assert model.info.stamp != before
    assert model.info.stamp.size == (folder / "a.safetensors").stat().st_size


def test_a_removed_file_does_not_take_the_loaded_model_away(folder: Path, store: ModelStore) -> None:
    model = store.use("a")
    (folder / "a.safetensors").unlink()
    assert store.use("a") is model


def test_another_vae_costs_the_vae_only(folder: Path, store: ModelStore, tmp_path: Path) -> None:
    model = store.use("a")
    other = {
        name.removeprefix("first_stage_model."): value
        for name, value in tiny_tensors(7).items()
        if name.startswith("first_stage_model.")
    }
    vae = write_safetensors(tmp_path / "x.vae.safetensors", other)
    changed = store.use("a", vae_file=vae)
    assert changed is store.current
    assert changed.unet is model.unet
    assert torch.equal(changed.vae.decoder.conv_in.weight, other["decoder.conv_in.weight"].float())
    assert not torch.equal(model.vae.decoder.conv_in.weight, changed.vae.decoder.conv_in.weight)
    back = store.use("a")
    assert torch.equal(back.vae.decoder.conv_in.weight, model.vae.decoder.conv_in.weight)
    bad = write_safetensors(tmp_path / "bad.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(ModelFileError, match="holds no VAE"):
        store.use("a", vae_file=bad)
    assert store.current is back


def test_preloading_happens_in_the_background(store: ModelStore) -> None:
    done = threading.Event()
    store.preload("b", done.set)
    assert store.wait_for_preload(30)
    assert done.is_set()
    assert store.current is not None
    assert store.current.info.name == "b.safetensors"


def test_a_failing_preload_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(tmp_path)
    store.preload()
    assert store.wait_for_preload(30)
    assert "There is no checkpoint" in caplog.text
    with pytest.raises(NotFound):
        store.use()


def test_unloading(store: ModelStore) -> None:
    gone = weakref.ref(store.use("a"))
    store.unload()
    gc.collect()
    assert gone() is None
    assert store.current is None
    assert store.use("a") is not None


def test_many_threads_get_whole_models(folder: Path) -> None:
    store = make_store(folder, limit=2)
    failures: list[BaseException] = []
    expected = {
        name: tiny_tensors(seed)["model.diffusion_model.out.2.weight"].float()
        for seed, name in enumerate(("a", "b", "c"))
    }

    def work(names: str) -> None:
        try:
            for name in names:
                model = store.use(name)
                assert torch.equal(model.unet.out[2].weight, expected[name])  # type: ignore[index]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(names,)) for names in ("abc", "cab", "bca", "aaa")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_fifty_switches_do_not_grow(folder: Path, store: ModelStore) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    pages: list[int] = []
    for index in range(50):
        store.use("ab"[index % 2])
        pages.append(resident())
    assert max(pages[3:]) <= pages[2] * 1.02
