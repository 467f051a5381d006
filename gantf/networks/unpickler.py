"""A reader of pickles that runs nothing: a small stack machine with a table of names.

A pickle is a program, and Python's own reader calls whatever that names, sets what it
likes, and takes the memory that lengths in it claim. This one knows the instructions
that tensors and arrays are written with, by their names in Python's `pickletools`; all
others are refused, and so is a name that is not in the table.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MOST_STEPS = 1_000_000  # a tensor takes about 30


class Refused(ValueError):
    """What a file has or asks for; who opened it tells it with its name."""


def asked(what: str) -> Refused:
    """The refusal of what no array of numbers needs."""
    return Refused(
        f"a file of arrays asks for arrays of numbers alone, not for {what}; do not"
        " trust it"
    )


def unpickle(
    file: io.BytesIO, names: Mapping[str, Any], stored: Callable | None = None
) -> Any:
    """What the pickle makes at which the file stands; it then stands behind it.

    Args:
      file: one in memory, where to read more than there is takes no memory.
      names: what stands for a name. Only what can be called here is called.
      stored: what makes a persistent id an object.
    """
    machine = _Machine(names, stored, len(file.getbuffer()))
    for i, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if i == MOST_STEPS:
            raise asked(f"more than {MOST_STEPS:,} steps")
        if opcode.name not in _STEPS:
            raise asked(f"instruction {opcode.name}")
        _STEPS[opcode.name](machine, argument)
    return machine.stack.pop()


class Built:
    """What a pickle makes first, and then fills by an instruction of its own."""

    def build(self, *state: Any) -> None:
        raise NotImplementedError


def checked(value: Any, kind: type) -> Any:
    """The value, which a whole file has of this kind.

    Raises:
      TypeError: another one.
    """
    if not isinstance(value, kind):
        raise TypeError
    return value


class _Machine:
    """What a pickle has made so far: a stack, marks in it, and a memory.

    What is in the memory can be used again without end: `left` bounds the length of all
    that is copied out of it.
    """

    def __init__(self, names: Mapping[str, Any], stored: Callable | None, size: int):
        self.names, self.stored, self.left = names, stored, 4 * size
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError
        return self._from(len(self.stack) - count)

    def pop_marked(self) -> list[Any]:
        return self._from(self.marks.pop())

    def _from(self, start: int) -> list[Any]:
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def extend(self, values: list[Any]) -> None:
        checked(self.stack[-1], list).extend(values)

    def update(self, values: list[Any]) -> None:
        pairs = zip(values[::2], values[1::2], strict=True)
        checked(self.stack[-1], dict).update(table(pairs))

    def remember(self, key: int) -> None:
        self.memory[key] = self.stack[-1]

    def find(self, module: Any, name: Any) -> None:
        full = f"{checked(module, str)}.{checked(name, str)}"
        if full not in self.names:
            raise asked(repr(full[:80]))
        self.push(self.names[full])

    def call(self, function: Any, arguments: Any) -> None:
        # Nothing on the stack can be called but what `names` has put there.
        self.push(function(*self._counted(arguments)))

    def build(self, state: Any) -> None:
        # The state of a dict is PyTorch's "_metadata", of which arrays need nothing.
        if not isinstance(self.stack[-1], dict):
            checked(self.stack[-1], Built).build(*self._counted(state))

    def fetch(self, key: Any) -> None:
        if self.stored is None:
            raise asked("what is stored elsewhere")
        self.push(self.stored(*self._counted(key)))

    def _counted(self, values: Any) -> tuple:
        sized = [value for value in checked(values, tuple) if hasattr(value, "__len__")]
        self.left -= len(values) + sum(map(len, sized))
        if self.left < 0:
            raise asked("the same again and again")
        return values


def table(pairs: Iterable = ()) -> dict[str, Any]:
    """A dict by strings: to hash tuples of tuples of tuples can take for ever."""
    return {checked(key, str): value for key, value in pairs}


def _steps(names: str, step: Callable[[_Machine, Any], None]) -> dict[str, Callable]:
    return dict.fromkeys(names.split(), step)


# instruction -> what it does to the machine, with its argument
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **_steps("PROTO FRAME STOP", lambda m, _: None),
    **_steps("NONE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT", _Machine.push),
    **_steps("SHORT_BINUNICODE BINUNICODE BINUNICODE8", _Machine.push),
    **_steps("SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES", _Machine.push),
    **_steps("BINBYTES8 BYTEARRAY8", _Machine.push),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_marked())),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop(3))),
    "APPEND": lambda m, _: m.extend(m.pop(1)),
    "APPENDS": lambda m, _: m.extend(m.pop_marked()),
    "SETITEM": lambda m, _: m.update(m.pop(2)),
    "SETITEMS": lambda m, _: m.update(m.pop_marked()),
    **_steps("BINPUT LONG_BINPUT", _Machine.remember),
    "MEMOIZE": lambda m, _: m.remember(len(m.memory)),
    **_steps("BINGET LONG_BINGET", lambda m, key: m.push(m.memory[key])),
    "GLOBAL": lambda m, name: m.find(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.find(*m.pop(2)),
    "REDUCE": lambda m, _: m.call(*m.pop(2)),
    "BUILD": lambda m, _: m.build(*m.pop(1)),
    "BINPERSID": lambda m, _: m.fetch(*m.pop(1)),
}
