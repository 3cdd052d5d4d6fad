"""An interpreter for pickles that builds plain data and calls nothing.

A pickle is a program for a small stack machine (opcodes: the standard library's ``pickletools``); the usual
danger is its REDUCE, which calls any function by name. Here names are looked up in a table of our own:

    allowed     handled by a function of ``pickle_globals``; tensors become descriptions of where they lie
    harmless    classes of training frameworks and the like become inert ``Stub`` objects: no code behind them
    dangerous   the file is refused and the name is told

Neither the named modules are imported nor their functions called, so nothing in a file is ever executed.
Sizes are bounded by the size of the file: there are no memo slots, lengths or repetitions that cost more.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from modules.errors import ModelFileError


@dataclass(frozen=True)
class Stub:
    """Stands where the pickle has an object of a class that is not allowed; holds nothing."""

    name: str


@dataclass(frozen=True)
class StubClass:
    """Stands for the class itself."""

    name: str


@dataclass(frozen=True)
class Allowed:
    """A name that the table of allowed globals knows; ``build`` makes the value from the arguments."""

    name: str
    build: Callable[..., Any]


class Buildable:
    """A value whose state comes in a second step (BUILD)."""

    def set_state(self, state: Any) -> None:
        raise NotImplementedError


class PickleDamage(ValueError):
    """The pickle is not well-formed."""


_SCALARS = (str, int, float, bool, bytes, type(None))
_MARK = object()

COPIES_PER_BYTE = 16
COPIES_FREE = 1 << 20
"""Elements and bytes that may be copied, for each byte of the pickle and altogether."""

FindGlobal = Callable[[str, str], Any]
PersistentLoad = Callable[[Any], Any]


def run_pickle(stream: BinaryIO, find_global: FindGlobal, persistent_load: PersistentLoad) -> Any:
    """Interpret one pickle from ``stream``, which is left right behind it.

    ``find_global(module, name)`` returns a value, ``Allowed`` or ``StubClass``, or raises ``ModelFileError``;
    ``persistent_load(id)`` returns what a persistent id stands for. Raises ``PickleDamage``.
    """
    return _Machine(find_global, persistent_load).run(stream)


class _Machine:
    def __init__(self, find_global: FindGlobal, persistent_load: PersistentLoad) -> None:
        self._find_global = find_global
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._copied = 0
        self._read = 0

    def run(self, stream: BinaryIO) -> Any:
        try:
            start = stream.tell()
            for opcode, argument, position in pickletools.genops(stream):
                self._read = (position or start) - start
                if opcode.name == "STOP":
                    return self._pop()
                action = _ACTIONS.get(opcode.name)
                if action is None:
                    raise PickleDamage(f"the instruction {opcode.name} is not used by model files")
                action(self, argument)
        except (ModelFileError, PickleDamage):
            raise
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            OverflowError,
            UnicodeError,
            MemoryError,
        ) as error:
            raise PickleDamage(
                f"its pickle is damaged ({str(error)[:200] or type(error).__name__})"
            ) from error
        raise PickleDamage("it ends before its last instruction")

    def _charge(self, value: Any) -> None:
        """Account for a copy. Copies of remembered values could otherwise grow without end."""
        for part in value if isinstance(value, tuple) else (value,):
            self._copied += (
                len(part) if isinstance(part, (str, bytes, list, tuple, dict, set, frozenset)) else 1
            )
        if self._copied > COPIES_PER_BYTE * self._read + COPIES_FREE:
            raise PickleDamage("it copies its values again and again")

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleDamage("an instruction finds no value on the stack")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while self._stack:
            value = self._stack.pop()
            if value is _MARK:
                return items[::-1]
            items.append(value)
        raise PickleDamage("an instruction finds no mark on the stack")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def tuple_of(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self.push(tuple(items[::-1]))

    def tuple_to_mark(self, _: Any) -> None:
        self.push(tuple(self._pop_to_mark()))

    def list_to_mark(self, _: Any) -> None:
        self.push(self._pop_to_mark())

    def dict_to_mark(self, _: Any) -> None:
        self.push(_fill({}, self._pop_to_mark()))

    def frozenset_to_mark(self, _: Any) -> None:
        self.push(frozenset(map(check_key, self._pop_to_mark())))

    def append(self, _: Any) -> None:
        value = self._pop()
        _extend(self._top(), [value])

    def appends(self, _: Any) -> None:
        values = self._pop_to_mark()
        _extend(self._top(), values)

    def set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        _fill(self._top(), [key, value])

    def set_items(self, _: Any) -> None:
        items = self._pop_to_mark()
        _fill(self._top(), items)

    def add_items(self, _: Any) -> None:
        items = self._pop_to_mark()
        target = self._top()
        if isinstance(target, set):
            target.update(map(check_key, items))
        elif not isinstance(target, Stub):
            raise PickleDamage("something is added to a value that is no set")

    def put(self, index: int) -> None:
        self._memo[index] = self._top()

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, index: int) -> None:
        if index not in self._memo:
            raise PickleDamage(f"the memo has no entry {index}")
        self.push(self._memo[index])

    def global_(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.push(self._find_global(module, name))

    def stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleDamage("a global is named by something that is no text")
        self.push(self._find_global(module, name))

    def reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._charge(arguments)
        self.push(_call(function, arguments))

    def new_object_ex(self, _: Any) -> None:
        keywords, arguments, function = self._pop(), self._pop(), self._pop()
        if keywords:
            arguments, function = (), StubClass(_name_of(function))
        self._charge(arguments)
        self.push(_call(function, arguments))

    def build(self, _: Any) -> None:
        """Give an object its state. Attributes of dictionaries and tensors carry nothing that we use."""
        state = self._pop()
        target = self._top()
        if isinstance(target, Buildable):
            self._charge(state)
            target.set_state(state)

    def persistent(self, _: Any) -> None:
        self.push(self._persistent_load(self._pop()))

    def mark(self, _: Any) -> None:
        self.push(_MARK)

    def pop(self, _: Any) -> None:
        if not self._stack:
            raise PickleDamage("an instruction finds no value on the stack")
        self._stack.pop()

    def pop_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def duplicate(self, _: Any) -> None:
        self.push(self._top())


def _call(function: Any, arguments: Any) -> Any:
    if isinstance(function, StubClass):
        return Stub(function.name)
    if not isinstance(function, Allowed) or not isinstance(arguments, tuple):
        raise PickleDamage(f"{_name_of(function)} is called, which is no function of the table")
    return function.build(*arguments)


def _name_of(value: Any) -> str:
    return value.name if isinstance(value, (Allowed, StubClass, Stub)) else type(value).__name__


def check_key(value: Any) -> Any:
    """Keys are scalars or flat tuples of scalars: hashing nested tuples can take forever."""
    flat = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(item, (*_SCALARS, StubClass, Stub)) for item in flat):
        raise PickleDamage("a key of a table is no plain value")
    return value


def _fill(target: Any, items: list[Any]) -> Any:
    if len(items) % 2:
        raise PickleDamage("a table has a key without a value")
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value
    elif not isinstance(target, (Stub, Buildable)):
        raise PickleDamage("an entry is set in a value that is no table")
    return target


def _extend(target: Any, values: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(values)
    elif not isinstance(target, (Stub, Buildable)):
        raise PickleDamage("something is appended to a value that is no list")


Action = Callable[[_Machine, Any], None]


def _ignore(machine: _Machine, argument: Any) -> None:
    """PROTO and FRAME say nothing that matters here."""


def _constant(make: Callable[[], Any]) -> Action:
    return lambda machine, _: machine.push(make())


_ARGUMENT: Action = _Machine.push

_ACTIONS: Mapping[str, Action] = {
    **dict.fromkeys(("PROTO", "FRAME"), _ignore),
    **dict.fromkeys(
        (
            "INT",
            "BININT",
            "BININT1",
            "BININT2",
            "LONG",
            "LONG1",
            "LONG4",
            "FLOAT",
            "BINFLOAT",
            "STRING",
            "BINSTRING",
            "SHORT_BINSTRING",
            "BINBYTES",
            "SHORT_BINBYTES",
            "BINBYTES8",
            "BYTEARRAY8",
            "UNICODE",
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "BINUNICODE8",
        ),
        _ARGUMENT,
    ),
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_LIST": _constant(list),
    "EMPTY_TUPLE": _constant(tuple),
    "EMPTY_DICT": _constant(dict),
    "EMPTY_SET": _constant(set),
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.duplicate,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": _Machine.tuple_to_mark,
    "LIST": _Machine.list_to_mark,
    "DICT": _Machine.dict_to_mark,
    "FROZENSET": _Machine.frozenset_to_mark,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "ADDITEMS": _Machine.add_items,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.reduce),
    "NEWOBJ_EX": _Machine.new_object_ex,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
