"""Pickles from outside, read without running anything in them.

A pickle is a program: it may call whatever it names. Here it may name numpy's arrays, scalars and dtypes and a dict,
and even those calls do not reach numpy: each becomes a stand-in of ours, which is turned into an array only from a
checked type, shape and bytes. Anything else that a pickle names is refused by its name.

Python's own reader of pickles is used, not the one in C: that one's table of remembered objects is as long as the
largest index a file asks for, so a few bytes could fill the memory. What is slower for it is one step per number of a
plain list; an array is a few steps whatever its size.
"""

import io
import pickle
import re
import reprlib
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

_PLAIN = re.compile(r"[<>|=]?([biufcSUO])(\d*)")
"""Kinds of dtype that may be built: bool, integers, floats, complex, bytes, text, and objects (as a list)."""
_NUMPY = ("numpy.core", "numpy._core")
_PYTHONS_OWN: Any = pickle._Unpickler
"""The reader in Python; Any, for its parts are in no type stub."""


class RefusedPickleError(ValueError):
    """The pickle names something it may not, or is broken."""


def loads(data: bytes) -> Any:
    """The plain containers, numbers, text and arrays that a pickle holds.

    Raises:
        RefusedPickleError: It names anything else, by that name; or it is broken.
    """
    try:
        return _settled(_Reader(io.BytesIO(data)).load(), {})
    except RefusedPickleError:
        raise
    except Exception as error:  # a broken pickle raises whatever its last opcode likes
        raise RefusedPickleError(f"a broken pickle ({type(error).__name__}: {str(error)[:200]})") from error


def shown(value: Any) -> str:
    """A value from a file for a message: short, also where it is huge or the same list a billion times."""
    if value is None or isinstance(value, bool | float | str | bytes):
        return reprlib.repr(value)
    if isinstance(value, int | np.number):
        return repr(value) if abs(value) < 2**64 else f"a huge {type(value).__name__}"
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


class _Dtype:
    """Stands for a ``numpy.dtype``; its state may set the byte order, nothing else."""

    def __init__(self, kind: Any = None, *_: Any) -> None:
        if not isinstance(kind, str) or not (match := _PLAIN.fullmatch(kind)):
            raise RefusedPickleError(f"it holds a numpy dtype {shown(kind)}")
        self.kind, self.size, self.order = match[1], match[2], "<" if kind[0] == "<" else ">" if kind[0] == ">" else "="

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise RefusedPickleError("it holds a numpy dtype with a state of its own")
        if any(part is not None for part in state[2:5]):
            raise RefusedPickleError("it holds a structured numpy dtype")
        self.order = state[1]

    def settled(self) -> np.dtype:
        return np.dtype((self.order if self.kind in "iufcU" else "") + self.kind + self.size)


class _Array:
    """Stands for an array until its type, shape and bytes are known."""

    parts: tuple | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.parts = (data, dtype, shape, "F" if fortran else "C")

    def settled(self, memo: dict[int, Any]) -> np.ndarray:
        if self.parts is None:
            raise RefusedPickleError("it holds an array without content")
        data, dtype, shape, order = self.parts
        if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
            raise RefusedPickleError("it holds an array of no known type")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise RefusedPickleError("it holds an array of a shape that is none")
        if dtype.kind == "O":
            if not isinstance(data, list):
                raise RefusedPickleError("it holds an array of objects made of bytes")
            if (array := memo.get(~id(data))) is None:  # arrays may share their list; ids are never negative
                memo[~id(data)] = array = np.empty(len(data), dtype=object)
                for i, item in enumerate(data):
                    array[i] = _settled(item, memo)
            return array.reshape(shape, order=order)
        if not isinstance(data, bytes | bytearray):
            raise RefusedPickleError("it holds an array that is not made of bytes")
        return np.frombuffer(data, dtype.settled()).reshape(shape, order=order)


class _Reader(_PYTHONS_OWN):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_PYTHONS_OWN.dispatch)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _store(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _store(self.stack[-1], items)

    def load_dict(self) -> None:
        items = self.pop_mark()  # sets self.append anew
        self.append(_store({}, items))

    def load_bytearray8(self) -> None:
        """Python's own makes room for as many bytes as the file says before it looks whether they are there."""
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(min(size, sys.maxsize))))

    def load_set(self) -> None:
        raise RefusedPickleError("it holds a set")

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch |= dict.fromkeys((op[0] for op in (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET)), load_set)

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What a pickle may name. Made anew each time: a pickle can set attributes of what it is given."""
        numpy = next((module[len(m) :] for m in _NUMPY if module.startswith(m)), None)
        if (module, name) == ("numpy", "dtype"):
            return type("dtype", (_Dtype,), {})
        if (module, name) == ("numpy", "ndarray"):
            return type("ndarray", (), {})
        if (numpy, name) == (".multiarray", "_reconstruct"):
            return lambda *_: _Array()
        if (numpy, name) == (".multiarray", "scalar"):
            return lambda *parts: _scalar(*parts)
        if (numpy, name) == (".numeric", "_frombuffer"):
            return lambda *parts: _from_buffer(*parts)
        if (module, name) == ("_codecs", "encode"):
            return lambda *parts: _latin(*parts)
        if name == "bytes" and module in ("builtins", "__builtin__"):
            return lambda: b""  # how old protocols write empty bytes; with an argument it would be an error
        if (module, name) == ("collections", "OrderedDict"):
            return lambda items=(): _store({}, [part for key, value in items for part in (key, value)])
        raise RefusedPickleError(f"it names {module}.{name}; only numpy arrays and plain containers are read")


def _store(target: Any, items: list) -> dict:
    """Put keys and values, in turn, into a dict. The hash of a key of nested tuples would overrun the stack of C."""
    if type(target) is not dict:
        raise RefusedPickleError(f"it sets an item of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < 2**63):
            raise RefusedPickleError(f"it holds a dict with {shown(key)} for a key; only text and numbers are read")
        target[key] = value
    return target


def _scalar(dtype: Any, data: Any = b"") -> _Array:
    array = _Array()
    array.parts = (data, dtype, (), "C")
    return array


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    array = _Array()
    array.parts = (data, dtype, shape, order)
    return array


def _latin(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedPickleError("it names _codecs.encode for more than bytes")
    return text.encode("latin1")


def _settled(value: Any, memo: dict[int, Any]) -> Any:
    """The value with stand-ins replaced, each shared part once."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, dict):
        memo[id(value)] = out = {}
        out |= {_settled(k, memo): _settled(v, memo) for k, v in value.items()}
    elif isinstance(value, list):
        if set(map(type, value)) <= {float, int}:  # long rows of numbers: nothing to replace
            memo[id(value)] = value
            return value
        memo[id(value)] = out = []
        out += [_settled(v, memo) for v in value]
    elif isinstance(value, tuple):
        memo[id(value)] = out = tuple(_settled(v, memo) for v in value)
    elif isinstance(value, _Array):
        array = value.settled(memo)
        memo[id(value)] = out = array if array.ndim or array.dtype == object else array[()]
    else:
        raise RefusedPickleError(f"it holds a {type(value).__name__}")
    return out
