"""Pickles from outside, read without running anything in them.

A pickle is a program: it may call whatever it names. Here it may name numpy's arrays, scalars and dtypes and a dict,
and even those calls do not reach numpy: each becomes a stand-in of ours, which is turned into an array only from a
checked type, shape and bytes. Anything else that a pickle names is refused by its name.
"""

import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

_PLAIN = re.compile(r"[<>|=]?([biufcSUO])(\d*)")
"""Kinds of dtype that may be built: bool, integers, floats, complex, bytes, text, and objects (as a list)."""
_NUMPY = ("numpy.core", "numpy._core")


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
        raise RefusedPickleError(f"a broken pickle ({type(error).__name__}: {error})") from error


class _Dtype:
    """Stands for a ``numpy.dtype``; its state may set the byte order, nothing else."""

    def __init__(self, kind: Any = None, *_: Any) -> None:
        if not isinstance(kind, str) or not (match := _PLAIN.fullmatch(kind)):
            raise RefusedPickleError(f"it holds a numpy dtype {kind!r}")
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
            raise RefusedPickleError(f"it holds an array of shape {shape!r}")
        if dtype.kind == "O":
            if not isinstance(data, list):
                raise RefusedPickleError("it holds an array of objects made of bytes")
            array = np.empty(len(data), dtype=object)
            for i, item in enumerate(data):
                array[i] = _settled(item, memo)
            return array.reshape(shape, order=order)
        if not isinstance(data, bytes | bytearray):
            raise RefusedPickleError("it holds an array that is not made of bytes")
        return np.frombuffer(bytes(data), dtype.settled()).reshape(shape, order=order)


class _Reader(pickle.Unpickler):
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
            return _scalar
        if (numpy, name) == (".numeric", "_frombuffer"):
            return _from_buffer
        if (module, name) == ("_codecs", "encode"):
            return _latin
        if name == "bytes" and module in ("builtins", "__builtin__"):
            return lambda: b""  # how old protocols write empty bytes; with an argument it would be an error
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        raise RefusedPickleError(f"it names {module}.{name}; only numpy arrays and plain containers are read")


def _scalar(dtype: Any, data: Any = b"") -> _Array:
    array = _Array()
    array.parts = (data, dtype, (), "C")
    return array


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    array = _Array()
    array.parts = (bytes(data) if isinstance(data, bytearray | pickle.PickleBuffer) else data, dtype, shape, order)
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
