"""Pickles of arrays, read by an allow-list: what is not on it is refused, and nothing that a pickle names is called.

A pickle is a program for a machine with a stack. This machine knows the instructions that build containers, texts,
numbers and NumPy's arrays, and of all names only those that an array's pickle needs; for them it has stand-ins, which
note what they are given. So neither NumPy's code nor any other runs on what a stranger has written. Sources: Python's
pickletools, and `__reduce__` and `__setstate__` of NumPy's arrays and dtypes.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

from atonce.text import words_of

_MOST_INSTRUCTIONS = 1_000_000
"""A VGG-16 has hundreds."""
_LONGEST_LINE = 4096
_MOST_DIMENSIONS = 32


class PickleError(ValueError):
    """A pickle that cannot be read.

    Attributes:
        unsafe: it asks for something that is not on the allow-list; otherwise it is damaged.
    """

    def __init__(self, message: str, *, unsafe: bool = False) -> None:
        super().__init__(message)
        self.unsafe = unsafe


@dataclass
class PickledType:
    """A dtype as it was pickled.

    Attributes:
        name: such as "f4".
        order: "<", ">", "|" or "=".
    """

    name: str
    order: str = "="


@dataclass
class PickledArray:
    """An array as it was pickled: nothing has been checked or allocated for it.

    Attributes:
        shape: sizes, 0 or more each.
        dtype: such as "<f4".
        fortran_order: the first axis varies fastest.
        data: its bytes, or a list of objects where the dtype is "|O".
    """

    shape: tuple[int, ...] = ()
    dtype: str = ""
    fortran_order: bool = False
    data: Any = b""


def read_pickled(data: memoryview) -> object:
    """Read a pickle of containers, texts, numbers and arrays.

    Returns:
        What it holds, with a PickledArray for each array.

    Raises:
        PickleError: damaged, or with anything else in it.
    """
    machine = _Machine(len(data))
    try:
        opcodes = pickletools.genops(cast("IO[bytes]", _ViewReader(data)))
        for count, (opcode, argument, _) in enumerate(opcodes):
            if opcode.name == "STOP":
                return machine.stack.pop()
            if count == _MOST_INSTRUCTIONS:
                raise PickleError(f"more than {_MOST_INSTRUCTIONS} instructions")
            machine.do(opcode.name, argument)
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError) as error:
        raise PickleError(words_of(error, 100)) from None
    raise PickleError("it has no end")


class _ViewReader:
    """A file over bytes in memory; whoever asks for more than there is gets what there is."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._position = data, 0

    def read(self, count: int) -> bytes:
        part = bytes(self._data[self._position : self._position + count])
        self._position += len(part)
        return part

    def readline(self) -> bytes:
        line = bytes(self._data[self._position : self._position + _LONGEST_LINE])
        return self.read(line.find(b"\n") + 1)


class _Mark:
    """The mark that the instruction MARK leaves on the stack."""


# Stand-ins for what the pickle of an array calls.


def _reconstruct(kind: object, shape: object, dtype: object) -> PickledArray:
    return PickledArray()


def _dtype(name: object, *flags: object) -> PickledType:
    if not isinstance(name, (str, bytes)):
        raise ValueError("a dtype without a name")
    return PickledType(name if isinstance(name, str) else name.decode("ascii"))


_NDARRAY, _ENCODE = "numpy ndarray", "_codecs encode"
_ALLOWED: dict[str, object] = {
    "numpy.core.multiarray _reconstruct": _reconstruct,
    "numpy._core.multiarray _reconstruct": _reconstruct,
    _NDARRAY: _NDARRAY,
    "numpy dtype": _dtype,
    "_codecs encode": _ENCODE,  # how Python 3 writes bytes for Python 2
}
_CALLABLE: tuple[Callable[..., object], ...] = (_reconstruct, _dtype)

_VALUES = {
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""Instructions that push their argument."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Machine:
    """The stack and the memory of the pickle machine.

    Args:
        size: the bytes of the pickle; no more than these are ever made of its texts.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        stack = self.stack
        if name in _VALUES:
            stack.append(_CONSTANTS.get(name, argument))
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memory[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memory[len(self.memory)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memory[argument])
        elif name == "MARK":
            stack.append(_Mark())
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name in ("TUPLE", "LIST"):
            items = self._since_mark()
            stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "DICT":
            stack.append(_pairs(self._since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self._since_mark() if name == "APPENDS" else [stack.pop()]
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _expect(stack[-1], dict).update(_pairs(items))
        elif name == "GLOBAL":
            stack.append(_allowed(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_allowed(f"{module} {attribute}"))
        elif name == "REDUCE":
            arguments, function = _expect(stack.pop(), tuple), stack.pop()
            if function is _ENCODE:
                stack.append(self._latin1(*arguments))
            elif function in _CALLABLE:
                stack.append(function(*arguments))
            else:
                raise PickleError("it calls something else", unsafe=True)
        elif name == "BUILD":
            *state, data = _expect(stack.pop(), tuple)
            # Python 2 had texts where Python 3 has bytes.
            _set_state(stack[-1], (*state, self._latin1(data) if isinstance(data, str) else data))
        else:
            raise PickleError(f"the instruction {name}", unsafe=True)

    def _latin1(self, text: str, encoding: str = "latin1") -> bytes:
        """Turn a text into the bytes that it stands for."""
        self.left -= len(text)
        if encoding != "latin1" or self.left < 0:
            raise ValueError("more bytes than texts")
        return text.encode("latin1")

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := self.stack.pop(), _Mark):
            items.append(item)
        return items[::-1]


def _allowed(name: str) -> object:
    """Look a name up in the allow-list: "numpy dtype"."""
    if name not in _ALLOWED:
        raise PickleError(f"it names {name.replace(' ', '.')[:60]}", unsafe=True)
    return _ALLOWED[name]


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if not all(isinstance(key, (str, bytes, int)) for key in items[::2]):
        raise ValueError("a dict whose keys are no names")
    return dict(zip(items[::2], items[1::2], strict=True))


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} in the place of a {kind.__name__}")
    return value


def _set_state(target: object, state: tuple[Any, ...]) -> None:
    """Note the state of an array, (version, shape, dtype, in Fortran's order, data), or of a dtype, (3, order, ...)."""
    if isinstance(target, PickledType):
        target.order = {b"<": "<", b">": ">"}.get(state[1], state[1])
        if target.order not in ("<", ">", "|", "="):
            raise ValueError("a dtype without an order")
        return
    if not isinstance(target, PickledArray) or len(state) != 5 or not isinstance(state[2], PickledType):
        raise ValueError("the state of something else than an array")
    _, shape, dtype, fortran, data = state
    if type(shape) is not tuple or len(shape) > _MOST_DIMENSIONS:
        raise ValueError("an array without a shape")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise ValueError("an array without a shape")
    if not isinstance(data, (bytes, bytearray, list)):
        raise ValueError("an array without data")
    order = "|" if dtype.name.startswith("O") else dtype.order
    name = "O" if dtype.name.startswith("O") else dtype.name
    target.shape, target.dtype, target.fortran_order, target.data = shape, order + name, bool(fortran), data
