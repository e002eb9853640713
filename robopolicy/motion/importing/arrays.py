"""Arrays out of files from outside: ``.npz``, ``.npy`` and pickles, without running anything that they hold."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from robopolicy.errors import UserError
from robopolicy.motion.importing.unpickle import RefusedPickleError, loads, shown


def npz_fields(path: Path) -> set[str]:
    """Names of the fields of an ``.npz``; none if it is no such file, or a damaged one."""
    if not zipfile.is_zipfile(path):
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except Exception:  # a damaged directory raises whatever zipfile's parser likes
        return set()


def read_npz(path: Path) -> dict[str, Any]:
    """Every field of an ``.npz``.

    Raises:
        UserError: A field cannot be read, or holds pickled objects other than numbers, text and containers.
    """
    fields = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                try:
                    fields[name.removesuffix(".npy")] = _npy(archive.read(name))
                except Exception as error:  # a damaged member raises whatever zlib, zipfile or numpy likes
                    field = name.removesuffix(".npy")
                    raise UserError(f"{path}: field {field!r} is refused: {error}") from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: not a readable .npz ({error})") from error
    return fields


def read_npy(path: Path) -> Any:
    """What an ``.npy`` holds: an array, or the one object in it.

    Raises:
        UserError: It cannot be read, or holds pickled objects other than numbers, text and containers.
    """
    try:
        value = _npy(path.read_bytes())
    except Exception as error:  # a damaged header raises whatever numpy's parser likes
        raise UserError(f"{path}: refused: {error}") from error
    return value.item() if value.dtype == object and value.ndim == 0 else value


def read_pickle(path: Path) -> Any:
    """What a pickle holds.

    Raises:
        UserError: It cannot be read, or holds anything but numbers, text, arrays and containers.
    """
    try:
        return loads(path.read_bytes())
    except (RefusedPickleError, OSError) as error:
        raise UserError(f"{path}: refused: {error}") from error


def starts_with(path: Path, *magic: bytes) -> bool:
    """Whether the file begins with one of these bytes."""
    with path.open("rb") as file:
        start = file.read(max(map(len, magic)))
    return any(start.startswith(m) for m in magic)


def numbers(path: Path, data: dict[str, Any], field: str, width: int | None = None) -> np.ndarray:
    """A field as frames of numbers. Shape (K, width), or (K, any) where ``width`` is None.

    Raises:
        UserError: It is absent, not of numbers, of another width, or has NaN or infinity.
    """
    if field not in data:
        raise UserError(f"{path}: field {field!r} is missing; it has: {', '.join(map(str, data)) or 'none'}")
    value = data[field]
    rows = value if isinstance(value, np.ndarray) else list(value) if isinstance(value, list | tuple) else None
    if rows is None or (not isinstance(rows, np.ndarray) and not all(_is_row(row) for row in rows)):
        raise UserError(f"{path}: field {field!r} does not hold frames of numbers")
    try:
        array = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, MemoryError):
        raise UserError(f"{path}: field {field!r} does not hold frames of numbers, all of one length") from None
    if array.ndim != 2 or (width is not None and array.shape[1] != width):
        wanted = "any" if width is None else width
        raise UserError(f"{path}: field {field!r} has shape {array.shape}; it must be (frames, {wanted})")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise UserError(f"{path}: field {field!r} has NaN or infinity in {len(bad)} frames, first in frame {bad[0]}")
    return array


def number(path: Path, data: dict[str, Any], field: str) -> float:
    """A field that is one positive number, as a scalar or an array of one.

    Raises:
        UserError: It is absent or anything else.
    """
    if field not in data:
        raise UserError(f"{path}: field {field!r} is missing; it has: {', '.join(map(str, data)) or 'none'}")
    value = data[field]
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    value = np.asarray(value if isinstance(value, np.ndarray | np.generic | int | float) else None)
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all() or not value.item() > 0:
        raise UserError(f"{path}: field {field!r} is {shown(data[field])}; it must be one positive number")
    return float(value.item())


def names(path: Path, data: dict[str, Any], field: str) -> tuple[str, ...]:
    """A field that is a list of names.

    Raises:
        UserError: It is absent, or holds anything but text.
    """
    if field not in data:
        raise UserError(f"{path}: field {field!r} is missing; it has: {', '.join(map(str, data)) or 'none'}")
    value = data[field]
    found = value.tolist() if isinstance(value, np.ndarray) else list(value) if isinstance(value, list | tuple) else []
    if not found or not all(isinstance(name, str) for name in found):
        raise UserError(f"{path}: field {field!r} is not a list of names")
    return tuple(found)


def _is_row(row: Any) -> bool:
    if isinstance(row, np.ndarray):
        return row.ndim == 1 and row.dtype.kind in "biuf"
    return isinstance(row, list | tuple) and all(isinstance(x, int | float | np.number) for x in row)


def _npy(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        return npy.read_array(io.BytesIO(data), allow_pickle=False)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > len(data):
        raise ValueError(f"shape {str(shape)[:80]} is more than the file holds")
    if not dtype.hasobject:
        return npy.read_array(io.BytesIO(data), allow_pickle=False)
    array = loads(file.read())
    if not isinstance(array, np.ndarray) or {dtype.kind, array.dtype.kind} != {"O"} or array.shape != shape:
        raise RefusedPickleError("an array of objects that is none")
    return array
