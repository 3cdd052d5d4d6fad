"""Pickled files: models are read as PyTorch reads them, all else is refused, and nothing ever runs."""

from __future__ import annotations

import collections
import contextlib
import datetime
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.checkpoints.pickle_machine import Stub
from modules.checkpoints.pickles import load_pickle, open_pickle
from modules.errors import ModelFileError
from tests.paths import GOLDENS, HAVE_GOLDENS

both_layouts = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(value: Any, path: Path, zipped: bool = True) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor)
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected.detach())
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert type(found) in (list, tuple)
        for mine, theirs in zip(found, expected, strict=True):
            assert_same(mine, theirs)
    else:
        assert found == expected


DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


@both_layouts
def test_tensors_of_every_kind(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    value = {
        "types": {name: torch.arange(5).to(getattr(torch, name)) for name in DTYPES},
        "transposed": base.t(),
        "strided": base[:, ::2],
        "offset": base[2:],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(3)),
    }
    assert_same(load_pickle(save(value, tmp_path / "x.pt", zipped)), value)


@both_layouts
def test_plain_values_and_containers(tmp_path: Path, zipped: bool) -> None:
    value = {
        "ordered": collections.OrderedDict(a=1, b=[1, 2.5, None, True, "é", b"raw"]),
        "counts": collections.defaultdict(int, {"a": 2}),
        "set": {1, 2},
        "frozen": frozenset({"x"}),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "number": np.float32(0.5),
        "step": np.int64(7),
        "array": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "complex": 1 + 2j,
        "big": 2**100,
        5: {"nested": ({"deep": (1, [2])},)},
    }
    assert_same(load_pickle(save(value, tmp_path / "x.pt", zipped)), value)


@both_layouts
def test_shared_parts_stay_shared_and_circles_are_survived(tmp_path: Path, zipped: bool) -> None:
    tensor = torch.ones(4)
    circle: list[Any] = [tensor]
    circle.append(circle)
    found = load_pickle(save({"a": tensor, "b": tensor, "circle": circle}, tmp_path / "x.pt", zipped))
    assert found["a"] is found["b"] is found["circle"][0]
    assert found["circle"][1] is found["circle"]


def test_a_state_dict_may_carry_attributes(tmp_path: Path) -> None:
    """``state_dict()`` returns a table with an attribute ``_metadata``, which is written as its state."""
    net = torch.nn.Linear(2, 3)
    assert_same(load_pickle(save(net.state_dict(), tmp_path / "x.pt")), dict(net.state_dict()))


def test_old_embeddings_keep_their_vectors_in_a_parameter_dict(tmp_path: Path) -> None:
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.ones(2, 4))})
    found = load_pickle(save({"string_to_param": parameters}, tmp_path / "x.pt"))
    assert_same(found["string_to_param"], {"*": torch.ones(2, 4)})


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")
def test_the_reference_files_equal_what_torch_reads() -> None:
    files = [path for path in (GOLDENS / "models").rglob("*") if path.suffix in (".pt", ".pth")]
    assert len(files) >= 4
    for path in files:
        assert_same(load_pickle(path), torch.load(path, weights_only=False))


@both_layouts
def test_a_checkpoint_is_opened_without_reading_its_tensors(tmp_path: Path, zipped: bool) -> None:
    state = collections.OrderedDict((f"layer.{i}", torch.full((3, 2), float(i))) for i in range(5))
    checkpoint = {"state_dict": state | {"note": "text"}, "epoch": 3, "optimizer": {"x": torch.ones(9)}}
    path = save(checkpoint, tmp_path / "x.ckpt", zipped)
    with open_pickle(path) as file:
        assert file.shapes == dict.fromkeys(state, (3, 2))
        for name, tensor in state.items():
            assert torch.equal(file.read(name), tensor)
            assert torch.equal(file.read(name, torch.float16), tensor.half())


def test_a_checkpoint_without_the_wrapper(tmp_path: Path) -> None:
    with open_pickle(save({"a": torch.ones(2)}, tmp_path / "x.ckpt")) as file:
        assert file.shapes == {"a": (2,)}


# --- objects that are not data ------------------------------------------------------------------------


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """A class of a training framework that is importable here only while the file is written."""
    module = types.ModuleType("some_framework")

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.best = torch.ones(3)
            self.where = {"a": 1}

    ModelCheckpoint.__module__ = module.__name__
    ModelCheckpoint.__qualname__ = "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield ModelCheckpoint
    sys.modules.pop(module.__name__, None)


@both_layouts
def test_objects_of_frameworks_become_inert(tmp_path: Path, framework: type, zipped: bool) -> None:
    value = {
        "state_dict": {"w": torch.ones(2)},
        "callbacks": {framework: {"best": framework()}},
        "started": datetime.datetime(2024, 1, 1),
        "device": torch.device("cpu"),
    }
    path = save(value, tmp_path / "x.ckpt", zipped)
    del sys.modules["some_framework"]
    found = load_pickle(path)
    assert torch.equal(found["state_dict"]["w"], torch.ones(2))
    (inner,) = found["callbacks"].values()
    assert inner == {"best": Stub("some_framework.ModelCheckpoint")}
    assert isinstance(found["started"], Stub)
    assert "some_framework" not in sys.modules
    with open_pickle(path) as file:
        assert list(file.entries) == ["w"]


def test_an_object_among_the_tensors_is_refused(tmp_path: Path, framework: type) -> None:
    path = save({"state_dict": {"w": torch.ones(2), "extra": framework()}}, tmp_path / "x.ckpt")
    for read in (load_pickle, open_pickle):
        with pytest.raises(
            ModelFileError, match=r"under 'extra', is an object of some_framework\.ModelCheckpoint"
        ):
            read(path)


def test_a_whole_object_in_place_of_a_table_is_refused(tmp_path: Path) -> None:
    path = save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(ModelFileError, match=r"object of torch\.nn\.modules\.linear\.Linear"):
        open_pickle(path)


# --- attacks ------------------------------------------------------------------------------------------


class Attack:
    """Runs ``function(*arguments)`` in any ordinary unpickler."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@both_layouts
@pytest.mark.parametrize("place", ["value", "state", "key"])
def test_a_command_is_refused_named_and_not_run(tmp_path: Path, zipped: bool, place: str) -> None:
    proof = tmp_path / "proof"
    attack = Attack(os.system, f"touch {proof}")
    value: dict[Any, Any] = {"state_dict": {"w": torch.ones(2)}}
    if place == "value":
        value["x"] = attack
    elif place == "state":
        value["state_dict"]["x"] = attack
    else:
        value[attack] = 1
    path = save(value, tmp_path / "x.ckpt", zipped)
    for read in (load_pickle, open_pickle):
        with pytest.raises(ModelFileError, match=rf"{os.name}\.system.*refused") as caught:
            read(path)
        assert str(path) in str(caught.value)
    assert not proof.exists()


def test_tolerance_means_a_stub_and_not_a_call(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    attack = Attack(os.system, f"touch {proof}")
    path = save({"state_dict": {"w": torch.ones(2)}, "x": [attack]}, tmp_path / "x.ckpt")
    assert load_pickle(path, tolerant=True)["x"] == [Stub(f"{os.name}.system")]
    with open_pickle(path, tolerant=True) as file:
        assert list(file.entries) == ["w"]
    assert not proof.exists()


def raw_zip(path: Path, program: bytes, members: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for name, content in (members or {}).items():
            archive.writestr(name, content)
    return path


GADGETS = (
    "os system",
    "posix system",
    "nt system",
    "subprocess Popen",
    "builtins eval",
    "builtins exec",
    "builtins getattr",
    "builtins __import__",
    "__builtin__ apply",
    "importlib import_module",
    "runpy run_path",
    "operator attrgetter",
    "functools partial",
    "pickle loads",
    "marshal loads",
    "torch load",
    "torch.hub load",
    "torch.storage _load_from_bytes",
    "torch.jit load",
    "torch._utils _get_async_or_non_blocking",
    "torch.utils.collect_env run",
    "numpy load",
    "numpy.testing._private.utils runstring",
    "collections.abc.os system",
    "collections OrderedDict.fromkeys",
    "pip main",
    "webbrowser open",
    "ctypes CDLL",
    "modules.shared cmd_opts",
    "__main__ Anything",
    "shutil rmtree",
    "pathlib Path.unlink",
    "logging.config fileConfig",
)


@pytest.mark.parametrize("name", GADGETS)
def test_dangerous_globals_are_named(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.partition(" ")
    texts = (b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, attribute))
    for program in (
        f"\x80\x02c{module}\n{attribute}\n.".encode("latin1"),
        b"\x80\x04" + b"".join(texts) + b"\x93.",
    ):
        with pytest.raises(ModelFileError) as caught:
            load_pickle(raw_zip(tmp_path / "x.pt", program))
        assert f"{module}.{attribute}" in str(caught.value)
        assert "nothing of it was run" in str(caught.value)


@pytest.mark.parametrize(
    ("program", "word"),
    [
        (b"", "is not a usable model file"),
        (b"\x80\x02}", "is not a usable model file"),
        (b"\x80\x02.", "no value"),
        (b"\x80\x02e.", "no mark"),
        (b"\x80\x02(K\x01K\x02R.", "called|no value"),
        (b"\x80\x02K\x01)R.", "int is called"),
        (b"\x80\x02h\x07.", "no entry 7"),
        (b"\x80\x02Pabc\n.", "PERSID"),
        (b"\x80\x02(i__main__\nX\n.", "INST"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "expected|bytes"),
        (b"\x80\x02X\xff\xff\xff\x7fab.", "expected"),
        (b"\x80\x02}]K\x01s.", "key"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "something else than a storage"),
        (b"\x80\x02K\x01.", "object of int in place of a table"),
        (b"PK\x03\x04" + bytes(30), "archive itself"),
    ],
)
def test_broken_programs(tmp_path: Path, program: bytes, word: str) -> None:
    with pytest.raises(ModelFileError, match=word):
        load_pickle(raw_zip(tmp_path / "x.pt", program))


def test_a_huge_memo_slot_costs_nothing(tmp_path: Path) -> None:
    program = b"\x80\x02}r" + struct.pack("<I", 2**31) + b"."
    assert load_pickle(raw_zip(tmp_path / "x.pt", program)) == {}


def test_copies_of_copies_are_stopped(tmp_path: Path) -> None:
    """Each OrderedDict(big) is a copy that costs a handful of bytes in the pickle."""
    big = pickle.dumps(dict.fromkeys(range(3000)), protocol=2)[2:-1]
    program = b"\x80\x02" + big + b"q\xff0" + b"](" + b"ccollections\nOrderedDict\nh\xff\x85R" * 3000 + b"e."
    with pytest.raises(ModelFileError, match="again and again"):
        load_pickle(raw_zip(tmp_path / "x.pt", program))


def test_a_key_that_takes_forever_to_hash_is_refused(tmp_path: Path) -> None:
    doubled = b")" + b"q\x000h\x00h\x00\x86" * 60
    with pytest.raises(ModelFileError, match="key"):
        load_pickle(raw_zip(tmp_path / "x.pt", b"\x80\x02}" + doubled + b"K\x01s."))


def test_nested_pairs_are_walked_once(tmp_path: Path) -> None:
    doubled = b")" + b"q\x000h\x00h\x00\x86" * 60
    found = load_pickle(raw_zip(tmp_path / "x.pt", b"\x80\x02}K\x01" + doubled + b"s."))
    assert found[1][0] is found[1][1]


def test_deep_nesting_is_a_sentence(tmp_path: Path) -> None:
    program = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    with pytest.raises(ModelFileError, match="not a usable model file"):
        load_pickle(raw_zip(tmp_path / "x.pt", program))


def tensor_program(count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A table {"w": tensor} over the storage "0" of float32."""
    out = io.BytesIO()

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if isinstance(value, Storage) else None

    class Tensor:
        def __reduce__(self) -> Any:
            arguments = (Storage(), offset, size, stride, False, collections.OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    Pickler(out, protocol=2).dump({"w": Tensor()})
    return out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((4, 0, (5,), (1,)), "beyond its storage"),
        ((4, 3, (2,), (1,)), "beyond its storage"),
        ((4, 0, (2, 2), (4, 1)), "beyond its storage"),
        ((4, 0, (10**12,), (0,)), "repeats its elements"),
        ((4, 0, (3, 3), (1, 1)), "beyond|repeats"),
        ((4, -1, (2,), (1,)), "impossible shape"),
        ((4, 0, (2,), (-1,)), "impossible shape"),
        ((4, 0, (2, 2), (1,)), "impossible shape"),
        ((10**15, 0, (2,), (1,)), "claims"),
    ],
)
def test_impossible_tensors(tmp_path: Path, arguments: Any, word: str) -> None:
    path = raw_zip(tmp_path / "x.pt", tensor_program(*arguments), {"archive/data/0": bytes(16)})
    with pytest.raises(ModelFileError, match=word):
        load_pickle(path)


def test_the_test_program_is_read_when_it_is_right(tmp_path: Path) -> None:
    members = {"archive/data/0": torch.arange(4.0).numpy().tobytes()}
    path = raw_zip(tmp_path / "x.pt", tensor_program(4, 1, (3,), (1,)), members)
    assert torch.equal(load_pickle(path)["w"], torch.tensor([1.0, 2.0, 3.0]))


def test_a_missing_storage(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="lacks the storage 0"):
        load_pickle(raw_zip(tmp_path / "x.pt", tensor_program(4, 0, (4,), (1,))))


def test_compressed_storages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_program(1 << 24, 0, (1 << 24,), (1,)))
        archive.writestr("archive/data/0", bytes(4 << 24))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelFileError, match="compressed"):
        load_pickle(path)


def test_many_tensors_over_one_storage_may_not_outgrow_the_file(tmp_path: Path) -> None:
    base = torch.zeros(1000)
    path = save({str(index): base[: 1000 - index] for index in range(50)}, tmp_path / "x.ckpt")
    for read in (load_pickle, open_pickle):
        with pytest.raises(ModelFileError, match="larger than the file"):
            read(path)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["archive/data.pkl", "archive/constants.pkl", "archive/code/x.py"], "TorchScript"),
        (["archive/other.pkl"], "TorchScript"),
        (["deep/archive/data.pkl"], "TorchScript"),
        (["archive/readme.txt"], "TorchScript"),
    ],
)
def test_archives_of_another_kind(tmp_path: Path, names: list[str], word: str) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, pickle.dumps({}, 2))
    with pytest.raises(ModelFileError, match=word):
        load_pickle(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data.pkl", pickle.dumps({"other": 1}, 2))
    with pytest.raises(ModelFileError, match="twice"):
        load_pickle(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "neither"),
        (b"hello world, this is text", "neither"),
        (b"<html>not found</html>", "web page"),
        (struct.pack("<Q", 50) + b'{"a":1}', "rename it to .safetensors"),
        (pickle.dumps({"a": 1}, 2), "does not begin like a file that PyTorch wrote"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=word):
        load_pickle(path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_pickle(tmp_path / "absent.pt")


@both_layouts
def test_every_truncation_is_a_sentence(tmp_path: Path, zipped: bool) -> None:
    path = save({"a": torch.arange(10.0), "b": [torch.ones(3), "text"]}, tmp_path / "whole.pt", zipped)
    raw = path.read_bytes()
    for cut in range(0, len(raw) - 1, 7):
        path.write_bytes(raw[:cut])
        with pytest.raises(ModelFileError):
            load_pickle(path)


@both_layouts
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_crash_nor_run(tmp_path: Path, zipped: bool, data: st.DataObject) -> None:
    path = tmp_path / "x.pt"
    save({"a": torch.arange(10.0), "b": np.arange(3), "c": collections.OrderedDict(d=1)}, path, zipped)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with contextlib.suppress(ModelFileError):
        load_pickle(path)
