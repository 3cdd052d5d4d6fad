"""Which names a model file may use, and what stands for them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from modules.checkpoints.header import MAX_DIMENSIONS
from modules.checkpoints.pickle_machine import (
    Allowed,
    Buildable,
    PickleDamage,
    Stub,
    StubClass,
    check_key,
)
from modules.checkpoints.tensor_file import TensorEntry
from modules.errors import ModelFileError


@dataclass(frozen=True)
class StorageKind:
    """The class of a storage; ``dtype`` is None for one that counts bytes."""

    dtype: torch.dtype | None


@dataclass(frozen=True)
class Storage:
    """A stretch of the file: ``nbytes`` at ``offset``. In old files ``offset`` is known at the end only."""

    key: str
    kind: StorageKind
    nbytes: int
    offset: int = 0


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a storage; becomes a ``TensorEntry`` when the place of the storage is known."""

    storage: Storage
    entry: TensorEntry

    def placed(self, offset: int) -> TensorEntry:
        return replace(self.entry, offset=self.entry.offset + offset)


class NumpyArray(Buildable):
    """An array under construction: (version, shape, dtype, is_fortran, bytes)."""

    def __init__(self) -> None:
        self.value: np.ndarray[Any, Any] | None = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleDamage("an array has a state of an unknown form")
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, NumpyType) or not isinstance(raw, bytes) or not _is_sizes(shape):
            raise PickleDamage("an array holds something else than numbers")
        flat = np.frombuffer(raw, dtype.value())
        self.value = flat.reshape(shape, order="F" if fortran is True else "C").copy()


class NumpyType(Buildable):
    """A number type under construction; its state tells the byte order."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "<"

    def set_state(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1].replace("=", "<")

    def value(self) -> np.dtype[Any]:
        return np.dtype(self.order.replace("|", "") + self.code)


class ParameterTable(Buildable):
    """A torch ParameterDict or ParameterList: old embeddings keep their vectors in one."""

    def __init__(self) -> None:
        self.parameters: dict[Any, Any] = {}

    def set_state(self, state: Any) -> None:
        found = state.get("_parameters") if isinstance(state, dict) else None
        if isinstance(found, dict):
            self.parameters = found


def _is_sizes(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in value
    )


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None) -> StoredTensor:
    if not isinstance(storage, Storage) or dtype is None:
        raise PickleDamage("a tensor has no storage")
    if not _is_sizes((offset,)) or not _is_sizes(size) or not _is_sizes(stride) or len(size) != len(stride):
        raise PickleDamage("a tensor has an impossible shape")
    entry = TensorEntry(dtype, size, offset * dtype.itemsize, stride)
    if entry.offset + entry.nbytes > storage.nbytes:
        raise PickleDamage("a tensor reaches beyond its storage")
    if len(size) > MAX_DIMENSIONS or math.prod(size) > entry.elements:
        raise PickleDamage("a tensor repeats its elements to become larger than its storage")
    return StoredTensor(storage, replace(entry, stride=None if _is_dense(size, stride) else stride))


def _is_dense(size: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    step = 1
    for length, distance in zip(reversed(size), reversed(stride), strict=True):
        if length != 1 and distance != step:
            return False
        step *= length
    return True


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    return _tensor(
        storage, offset, size, stride, storage.kind.dtype if isinstance(storage, Storage) else None
    )


def _rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> StoredTensor:
    return _tensor(storage, offset, size, stride, dtype if isinstance(dtype, torch.dtype) else None)


def _rebuild_from_type(function: Any, _type: Any, arguments: Any, *_: Any) -> Any:
    if not isinstance(function, Allowed) or not isinstance(arguments, tuple):
        raise PickleDamage("a tensor is rebuilt by an unknown function")
    return function.build(*arguments)


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _ordered_dict(pairs: Any = (), *_: Any) -> dict[Any, Any]:
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, (list, tuple)) or not all(len(pair) == 2 for pair in pairs):
        raise PickleDamage("a table is made of something that is no list of pairs")
    return {check_key(key): value for key, value in pairs}


def _sequence(make: Callable[[Any], Any]) -> Callable[..., Any]:
    def build(items: Any = (), *_: Any) -> Any:
        if not isinstance(items, (list, tuple, set, frozenset)):
            raise PickleDamage("a list is made of something that is no list")
        return make(items)

    return build


def _encode(text: Any, encoding: Any = "latin1", *_: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleDamage("bytes are given in an unknown encoding")
    return text.encode("latin1")


def _numpy_dtype(code: Any, *_: Any) -> NumpyType:
    if not isinstance(code, str) or code[:1] not in ("b", "i", "u", "f", "c") or not code[1:].isdigit():
        raise PickleDamage("an array holds something else than numbers")
    np.dtype(code)
    return NumpyType(code)


def _numpy_scalar(dtype: Any, raw: Any, *_: Any) -> Any:
    if not isinstance(dtype, NumpyType) or not isinstance(raw, bytes) or len(raw) > 64:
        raise PickleDamage("a number has an unknown form")
    return np.frombuffer(raw, dtype.value(), count=1)[0].item()


def _complex(real: Any = 0.0, imaginary: Any = 0.0, *_: Any) -> complex:
    return complex(float(real), float(imaginary))


def _bytearray(raw: Any = b"", *_: Any) -> bytes:
    if not isinstance(raw, bytes):
        raise PickleDamage("bytes are made of something else")
    return raw


def _reconstructor(cls: Any, *_: Any) -> Stub:
    return Stub(cls.name if isinstance(cls, (StubClass, Allowed)) else "object")


_STORAGES: Mapping[str, torch.dtype | None] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": None,
}

_DTYPES: tuple[str, ...] = (
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    "int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "complex128",
)  # fmt: skip

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUILTINS = ("builtins", "__builtin__")

_FUNCTIONS: tuple[tuple[tuple[str, ...], str, Callable[..., Any]], ...] = (
    (("collections",), "OrderedDict", _ordered_dict),
    (("collections",), "defaultdict", lambda *_: {}),
    (("torch._utils",), "_rebuild_tensor", _rebuild_tensor),
    (("torch._utils",), "_rebuild_tensor_v2", _rebuild_tensor),
    (("torch._utils",), "_rebuild_tensor_v3", _rebuild_tensor_v3),
    (("torch._tensor",), "_rebuild_from_type_v2", _rebuild_from_type),
    (("torch._utils",), "_rebuild_parameter", _first),
    (("torch._utils",), "_rebuild_parameter_with_state", _first),
    (("torch.nn.parameter",), "Parameter", _first),
    (("torch",), "Size", _sequence(tuple)),
    (("torch.nn.modules.container",), "ParameterDict", lambda *_: ParameterTable()),
    (("torch.nn.modules.container",), "ParameterList", lambda *_: ParameterTable()),
    (_NUMPY, "scalar", _numpy_scalar),
    (_NUMPY, "_reconstruct", lambda *_: NumpyArray()),
    (("numpy",), "dtype", _numpy_dtype),
    (("_codecs",), "encode", _encode),
    (_BUILTINS, "set", _sequence(lambda items: set(map(check_key, items)))),
    (_BUILTINS, "frozenset", _sequence(lambda items: frozenset(map(check_key, items)))),
    (_BUILTINS, "list", _sequence(list)),
    (_BUILTINS, "tuple", _sequence(tuple)),
    (_BUILTINS, "dict", _ordered_dict),
    (_BUILTINS, "bytearray", _bytearray),
    (_BUILTINS, "complex", _complex),
    (("copyreg", "copy_reg"), "_reconstructor", _reconstructor),
)

ALLOWED: Mapping[tuple[str, str], Any] = {
    **{
        (module, name): Allowed(f"{module}.{name}", build)
        for modules, name, build in _FUNCTIONS
        for module in modules
    },
    **{
        (module, name): StorageKind(dtype)
        for name, dtype in _STORAGES.items()
        for module in ("torch", "torch.cuda", "torch.storage")
    },
    **{("torch", name): getattr(torch, name) for name in _DTYPES},
}

# Of these only classes without effects are ever found in model files; a stub stands for them.
_HARMLESS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "builtins",
        ("int", "float", "bool", "str", "bytes", "object", "slice", "range", "type", "NoneType", "Ellipsis"),
    ),
    ("__builtin__", ("int", "long", "float", "bool", "str", "unicode", "object", "slice", "range", "type")),
    ("numpy", ("ndarray", "float64", "float32", "int64", "int32", "bool_", "str_")),
    ("torch", ("device", "Tensor", "Generator")),
)
_HARMLESS_STANDARD = frozenset(
    (
        *("collections", "datetime", "pathlib", "pathlib._local", "argparse", "typing"),
        *("enum", "decimal", "fractions", "uuid"),
    )
)
_HARMLESS_PARTS = ("torch.nn.", "torch.optim.", "numpy.random.")

_DANGEROUS_PACKAGES = frozenset(
    (
        *("torch", "numpy", "builtins", "__builtin__", "__main__", "copy_reg", "cPickle", "commands"),
        *("nt", "posix", "ctypes", "win32api", "psutil", "modules", "pip", "setuptools", "pkg_resources"),
        *("joblib", "dill", "cloudpickle", "pandas", "yaml", "jinja2", "IPython"),
        *("requests", "httpx", "urllib2", "urllib3", "aiohttp"),
    )
)


def find_global(module: str, name: str, tolerant: bool = False) -> Any:
    """What stands for ``module.name``. Raises ``ModelFileError`` naming a dangerous one.

    ``tolerant``: a stub stands for a dangerous one too, and still nothing is run.
    """
    found = ALLOWED.get((module, name))
    if found is not None:
        return found
    full = f"{module}.{name}"[:200]
    if tolerant or _is_harmless(module, name):
        return StubClass(full)
    raise ModelFileError(
        f"It asks for {full}, which no model needs and which can run programs or damage files. It was "
        "refused, and nothing of it was run. Do not use this file; look for a .safetensors version."
    )


def _is_harmless(module: str, name: str) -> bool:
    if any(module == known and name in names for known, names in _HARMLESS):
        return True
    if module.startswith(_HARMLESS_PARTS):
        return "." not in name
    package = module.partition(".")[0]
    if "." in name or package in _DANGEROUS_PACKAGES:
        return False
    return module in _HARMLESS_STANDARD or package not in sys.stdlib_module_names
