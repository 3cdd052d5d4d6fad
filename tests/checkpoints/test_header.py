"""The safetensors header: what is accepted, and that every damage ends in a sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from modules.checkpoints.header import SafetensorsHeader, read_header
from modules.errors import ModelFileError
from tests.paths import GOLDENS, HAVE_GOLDENS

F16 = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}


def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2, 3, dtype=torch.float16), "b": torch.ones(5), "c": torch.tensor(1)}
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, {"title": "ä"})
    header = read_header(path)
    assert header.shapes == {"a": (2, 3), "b": (5,), "c": ()}
    assert {name: info.dtype for name, info in header.tensors.items()} == {"a": "F16", "b": "F32", "c": "I64"}
    assert header.metadata == {"title": "ä"}
    raw = path.read_bytes()
    info = header.tensors["b"]
    assert (
        raw[header.data_offset + info.begin : header.data_offset + info.end]
        == torch.ones(5).numpy().tobytes()
    )


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")
def test_reads_every_reference_file() -> None:
    files = sorted((GOLDENS / "models").rglob("*.safetensors"))
    assert len(files) > 10
    for file in files:
        assert read_header(file).tensors


def test_padding_and_empty_tensors_are_allowed(tmp_path: Path) -> None:
    entries = {"a": F16, "empty": {"dtype": "F32", "shape": [0, 4], "data_offsets": [12, 12]}}
    path = write(tmp_path / "x.safetensors", json.dumps(entries).encode() + b"    ", bytes(12))
    assert read_header(path).shapes["empty"] == (0, 4)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (2**63, "claims 9223372036854775808"),
        (2**64 - 1, "claims"),
        (100_000_001, "limit"),
        (0, "too few"),
    ],
)
def test_impossible_header_lengths(tmp_path: Path, length: int, expected: str) -> None:
    assert expected in refusal(write(tmp_path / "x.safetensors", {"a": F16}, bytes(12), length))


def test_truncated_data_names_the_missing_bytes(tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "x.safetensors", {"a": F16}, bytes(5)))
    assert "truncated: 7 of its 12 data bytes are missing" in message
    assert "Download it again" in message


def test_truncated_header_names_the_missing_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", {"a": F16}, bytes(12))
    path.write_bytes(path.read_bytes()[:20])
    assert "bytes of its header are missing" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"abc"])
def test_files_without_a_length(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert f"it has {len(content)} bytes" in refusal(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "absent.safetensors")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"PK\x03\x04" + bytes(60), "rename it to .ckpt"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html></html>" + bytes(60), "web page"),
        (b"GGUF" + bytes(60), "GGUF"),
    ],
)
def test_impostors_are_named(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert expected in refusal(path)


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": F16 | changes}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b'{"a": 1, "a": 2}', "names 'a' twice"),
        (
            b'{"a": {"dtype": "F16", "dtype": "F32", "shape": [], "data_offsets": [0, 2]}}',
            "names 'dtype' twice",
        ),
        (b"[]", "does not begin with"),
        (b"{nonsense}", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b"{" + b'"a":{' * 100_000 + b"}", "not valid JSON"),
        (b'{"\xff": 1}', "not valid JSON"),
        ({"a": 5}, "not made of dtype"),
        ({"a": {"dtype": "F16", "shape": []}}, "not made of dtype"),
        (entry(dtype="F12"), "unknown dtype 'F12'"),
        (entry(dtype=["F16"]), "unknown dtype"),
        (entry(shape=[-2, -3]), "impossible shape"),
        (entry(shape=[2.0, 3]), "impossible shape"),
        (entry(shape=[True, 6]), "impossible shape"),
        (entry(shape=6), "impossible shape"),
        (entry(shape=[1] * 65), "impossible shape"),
        (entry(data_offsets=[0, "12"]), "impossible offsets"),
        (entry(data_offsets=[-12, 0]), "impossible offsets"),
        (entry(data_offsets=[12, 0]), "before it begins"),
        (entry(shape=[2, 4]), "needs 16 bytes and has 12"),
        (entry(shape=[2**62, 2**62, 2**62]), "needs"),
        ({"a": F16, "b": F16}, "overlap"),
        ({"a": F16, "b": {"dtype": "U8", "shape": [4], "data_offsets": [10, 14]}}, "overlap"),
        ({"b": {"dtype": "U8", "shape": [1], "data_offsets": [11, 12]}}, "11 bytes before the tensor 'b'"),
        ({"__metadata__": {"a": 1}, "a": F16}, "__metadata__"),
        ({"__metadata__": [], "a": F16}, "__metadata__"),
        ({"b": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}, "8 bytes at its end"),
    ],
)
def test_damaged_headers(tmp_path: Path, header: Any, expected: str) -> None:
    assert expected in refusal(write(tmp_path / "x.safetensors", header, bytes(12)))


def test_huge_numbers_do_not_flood_the_message(tmp_path: Path) -> None:
    header = entry(data_offsets=[0, 10**4000], shape=[10**3999, 5])
    assert len(refusal(write(tmp_path / "x.safetensors", header, bytes(12)))) < 600


VALID = (
    json.dumps(
        {"__metadata__": {"k": "v"}, "a": F16, "b": {"dtype": "F32", "shape": [2], "data_offsets": [12, 20]}}
    )
).encode()


def accepted_or_refused(path: Path) -> None:
    """Whatever the bytes: either a header whose numbers hold, or a sentence. Never another exception."""
    try:
        header = read_header(path)
    except ModelFileError:
        return
    check_consistent(header, path.stat().st_size)


def check_consistent(header: SafetensorsHeader, size: int) -> None:
    end = 0
    for info in sorted(header.tensors.values(), key=lambda info: (info.begin, info.end)):
        assert end == info.begin <= info.end
        end = info.end
    assert header.data_offset + end == size


several = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@several
@given(
    edits=st.lists(st.tuples(st.integers(0, len(VALID) + 27), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_damaged_bytes_never_crash(tmp_path: Path, edits: list[tuple[int, int]]) -> None:
    raw = bytearray(struct.pack("<Q", len(VALID)) + VALID + bytes(20))
    for position, value in edits:
        raw[position] = value
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    accepted_or_refused(path)


@several
@given(cut=st.integers(0, len(VALID) + 27))
def test_every_truncation_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((struct.pack("<Q", len(VALID)) + VALID + bytes(20))[:cut])
    refusal(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F16", "F32", "U8", "F8_E4M3", "X"]) | json_values,
        "shape": st.lists(st.integers(-1, 2**70), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-1, 2**64), min_size=2, max_size=2) | json_values,
    }
)


@several
@given(
    header=st.dictionaries(st.text(max_size=8), entries | json_values, max_size=4), tail=st.integers(0, 40)
)
def test_arbitrary_headers_never_crash(tmp_path: Path, header: dict[str, Any], tail: int) -> None:
    accepted_or_refused(write(tmp_path / "x.safetensors", header, bytes(tail)))
