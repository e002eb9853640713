"""Hostile pickles: nothing in them runs, and the refusal names what they asked for."""

import builtins
import collections
import contextlib
import json
import operator
import os
import pickle
import re
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import layout_files as files
import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.motion import formats
from robopolicy.motion.importing.arrays import read_npy, read_npz, read_pickle
from robopolicy.motion.importing.unpickle import RefusedPickleError, loads


class Call:
    """Pickles as a call of any function: what an attacker writes."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


class Crowbar:
    """Its mere reconstruction leaves a mark: stands for any class that a pickle may ask for."""

    marks: list[str] = []  # noqa: RUF012

    def __setstate__(self, state: Any) -> None:
        self.marks.append(state)


def attacks(mark: Path) -> dict[str, tuple[Any, str]]:
    """Things that would leave the file ``mark`` behind if they ran, and what the refusal must name."""
    command, code = f"touch {mark}", f"open({str(mark)!r}, 'w')"
    crowbar = Crowbar()
    crowbar.__dict__["x"] = 1
    return {
        "system": (Call(os.system, command), f"{os.system.__module__}.system"),
        "eval": (Call(builtins.eval, code), "builtins.eval"),
        "exec": (Call(builtins.exec, code), "builtins.exec"),
        "open": (Call(builtins.open, str(mark), "w"), "io.open"),
        "attrgetter": (Call(operator.attrgetter, "system"), "operator.attrgetter"),
        "popen": (Call(subprocess.Popen, ["touch", str(mark)]), "subprocess.Popen"),
        "numpy's file writer": (Call(np.memmap, str(mark), "u1", "w+", 0, (8,)), "numpy.memmap"),
        "numpy's own loader": (Call(np.load, str(mark)), "numpy.load"),
        "a class": (crowbar, "Crowbar"),
        "inside an array of objects": (np.array([1, Call(os.system, command)], dtype=object), "system"),
        "inside a dict that is fine": ({"fps": 30, "root_pos": [Call(os.system, command)]}, "system"),
        "as a key": ({Call(os.system, command): 1}, "system"),
        "a defaultdict": (collections.defaultdict(list), "collections.defaultdict"),
        "a dtype of objects with bytes": (Call(np.dtype, Call(os.system, command)), "system"),
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", attacks(Path("x")))
def test_nothing_runs_and_the_refusal_names_it(tmp_path: Path, name: str, protocol: int):
    mark = tmp_path / "mark"
    value, named = attacks(mark)[name]
    data = pickle.dumps(value, protocol=protocol)
    Crowbar.marks.clear()
    with pytest.raises(RefusedPickleError) as caught:
        loads(data)
    wanted = "copy_reg._reconstructor" if (name, protocol) == ("a class", 0) else named.rpartition(".")[2]
    assert re.search(rf"it names \S*{re.escape(wanted)};", str(caught.value))
    assert not mark.exists()
    assert not Crowbar.marks


def test_the_attacks_are_real(tmp_path: Path):
    """The same bytes, read with pickle itself, do leave their mark."""
    mark = tmp_path / "mark"
    for name in ("system", "eval", "inside an array of objects"):
        pickle.loads(pickle.dumps(attacks(mark)[name][0]))
        assert mark.exists()
        mark.unlink()


@pytest.mark.parametrize("layout", ["gmr", "mimickit", "amp_rsl_rl"])
@pytest.mark.parametrize("name", ["system", "eval", "inside an array of objects", "numpy's file writer"])
def test_no_layout_runs_what_a_file_asks_for(tmp_path: Path, g1, layout: str, name: str):
    mark, path = tmp_path / "mark", tmp_path / "hostile"
    value, named = attacks(mark)[name]
    field = {"gmr": "dof_pos", "mimickit": "frames", "amp_rsl_rl": "joint_positions"}[layout]
    getattr(files, layout)(path, files.make_motion(), **{field: value})
    with pytest.raises(UserError, match=f"hostile: .*{named.rpartition('.')[2]}; only numpy arrays and plain"):
        formats.read(path, g1)
    with pytest.raises(UserError, match="hostile"):
        formats.read(path, g1, layout=layout)
    assert not mark.exists()


def test_an_npz_with_objects_runs_nothing(tmp_path: Path):
    mark = tmp_path / "mark"
    with (tmp_path / "x.npz").open("wb") as file:
        np.savez(file, dof_names=np.array([Call(os.system, f"touch {mark}")], dtype=object), fps=30)
    with pytest.raises(UserError, match=r"x.npz: field 'dof_names' is refused: it names \w+.system"):
        read_npz(tmp_path / "x.npz")
    assert not mark.exists()


def test_an_npz_of_names_as_objects_is_read(tmp_path: Path):
    with (tmp_path / "x.npz").open("wb") as file:
        np.savez(file, names=np.array(["a", "b"], dtype=object), fps=30)
    assert read_npz(tmp_path / "x.npz")["names"].tolist() == ["a", "b"]


# ---- numpy's own tricks


def setstate(dtype: str, state: tuple, shape: tuple, data: Any) -> bytes:
    """A pickle of an array whose dtype has a state of the attacker's."""
    kind = Call(np.dtype, dtype, False, True, state=state)
    rebuild = np.zeros(1).__reduce__()[0]
    return pickle.dumps(Call(rebuild, np.ndarray, (0,), b"b", state=(1, shape, kind, False, data)))


POINTER = b"\x41" * 8
F8 = (3, "<", None, None, None, -1, -1, 0)
"""The state of an honest dtype of float64."""
TRICKS = {
    "objects made of bytes": (setstate("O8", (3, "|", None, None, None, -1, -1, 63), (1,), POINTER), "objects made of"),
    "a structure of objects": (
        setstate("V8", (3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 0), (1,), POINTER),
        "dtype 'V8'",
    ),
    "objects under another kind": (
        setstate("f8", (3, "<", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 0), (1,), POINTER),
        "structured",
    ),
    "more than its bytes": (setstate("f8", F8, (1000,), POINTER), "broken"),
    "an absurd size": (setstate("f8", F8, (2**62,), POINTER), "broken"),
    "a negative size": (setstate("f8", F8, (-1,), POINTER), "shape"),
    "text instead of bytes": (
        setstate("f8", F8, (1,), "abcdefgh"),
        "not made of bytes",
    ),
    "a wide element": (
        setstate("f8", (3, "<", (np.dtype("f8"), (9,)), None, None, -1, -1, 0), (1,), POINTER),
        "structured",
    ),
}


@pytest.mark.parametrize("name", TRICKS)
def test_numpys_own_tricks_are_refused(name: str):
    data, message = TRICKS[name]
    with pytest.raises(RefusedPickleError, match=message):
        loads(data)


def test_a_pickle_cannot_change_the_reader():
    """BUILD with slots sets attributes of whatever the pickle names, such as the array's stand-in."""
    spoil = pickle.PROTO + b"\x04" + b"cnumpy\ndtype\n" + b"N}\x8c\x0c__setstate__cnumpy\nndarray\ns\x86b."
    with pytest.raises(RefusedPickleError):
        loads(spoil)
    spoil = b"\x80\x04c_codecs\nencode\nN}\x8c\x0c__defaults__)s\x86b."
    with pytest.raises(RefusedPickleError):
        loads(spoil)
    np.testing.assert_array_equal(loads(pickle.dumps(np.arange(3))), [0, 1, 2])
    assert loads(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a\x85R.") == b"a"  # its default is still there


def test_the_same_part_a_billion_times_costs_nothing():
    nested: Any = [1.5, "x"]
    for _ in range(60):
        nested = [nested, nested]
    assert len(loads(pickle.dumps(nested))) == 2


TOWER = b"(" + b")" + b"\x85" * 2_000_000 + b"K\x01"
"""A mark, the empty tuple inside two million tuples, and a 1: as a key, its hash overruns the stack of C."""


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + TOWER + b"d.",
        b"\x80\x02}" + TOWER + b"u.",
        b"\x80\x02}" + TOWER[1:] + b"s.",
        b"\x80\x04\x8f" + TOWER + b"\x90.",
        b"\x80\x04" + TOWER + b"\x91.",
        b"\x80\x02ccollections\nOrderedDict\n(](" + TOWER[1:] + b"\x86etR.",
    ],
    ids=["DICT", "SETITEMS", "SETITEM", "ADDITEMS", "FROZENSET", "OrderedDict"],
)
def test_a_key_that_cannot_be_hashed_is_refused_and_kills_nothing(data: bytes, tmp_path: Path):
    (tmp_path / "x.pkl").write_bytes(data)
    code = (
        "import pathlib, sys; from robopolicy.motion.importing.unpickle import RefusedPickleError, loads\n"
        "try: loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "except RefusedPickleError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.pkl"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert re.match("it holds a (dict with a tuple for a key|set)", done.stdout)


@pytest.mark.parametrize(
    "data",
    [b"\x80\x02Nr" + (10**7).to_bytes(4, "little") + b".", b"\x80\x05\x96" + (10**8).to_bytes(8, "little") + b"."],
    ids=["LONG_BINPUT", "BYTEARRAY8"],
)
def test_a_few_bytes_take_little_memory(data: bytes):
    tracemalloc.start()
    try:
        with contextlib.suppress(RefusedPickleError):
            loads(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_arrays_of_the_same_objects_share_them():
    kind, content = Call(np.dtype, "O8", state=(3, "|", None, None, None, -1, -1, 63)), [0.5] * 1000
    rebuild = np.zeros(1).__reduce__()[0]
    calls = [Call(rebuild, np.ndarray, (0,), b"b", state=(1, (1000,), kind, False, content)) for _ in range(2)]
    one, other = loads(pickle.dumps(calls))
    assert one.tolist() == content
    assert np.shares_memory(one, other)


@pytest.mark.parametrize("field", ["fps", "loop_mode"])
def test_a_message_about_a_hostile_value_is_short(tmp_path: Path, g1, field: str):
    nested: Any = [1.5, "x"]
    for _ in range(18):
        nested = [nested, nested]
    path = files.mimickit(tmp_path / "x", files.make_motion(), **{field: nested})
    with pytest.raises(UserError, match=f"{field}.* is a list; it must be") as caught:
        formats.read(path, g1, layout="mimickit")
    assert len(str(caught.value)) < 300


def test_a_list_that_holds_itself():
    ring: list = [None]
    ring[0] = ring
    found = loads(pickle.dumps(ring))
    assert found[0] is found


@pytest.mark.parametrize("data", [b"", b"\x80\x04", b"\x80\x04K", b"garbage", b"\x80\x7f."])
def test_broken_pickles(data: bytes, tmp_path: Path):
    with pytest.raises(RefusedPickleError, match="broken pickle"):
        loads(data)
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(UserError, match="x.pkl: refused: a broken pickle"):
        read_pickle(tmp_path / "x.pkl")


def test_sets_are_no_plain_containers():
    with pytest.raises(RefusedPickleError, match="set"):
        loads(pickle.dumps({"fps": {30}}))


def test_every_cut_of_a_pickle_is_refused_or_read():
    whole = pickle.dumps({"fps": 30.0, "a": np.arange(4.0), "b": [1, "x"]})
    for end in range(len(whole)):
        with pytest.raises(RefusedPickleError):
            loads(whole[:end])


# ---- what is read


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_text_arrays_and_containers_are_read(protocol: int):
    value = {
        "f8": np.arange(6.0).reshape(2, 3),
        "big": np.arange(4, dtype=">f4"),
        "columns first": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "text": np.array(["a", "bcd"]),
        "objects": np.array(["a", None, np.zeros(2)], dtype=object),
        "empty": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False]),
        "scalar": np.float64(0.5),
        "whole": np.int32(7),
        "plain": (1, -2.5, "x", b"y", None, True, [1, [2]], {"k": ()}),
        "ordered": collections.OrderedDict(a=1),
    }
    found = loads(pickle.dumps(value, protocol=protocol))
    assert list(found) == list(value)
    for key, wanted in value.items():
        if key == "objects":
            assert found[key][:2].tolist() == ["a", None]
            np.testing.assert_array_equal(found[key][2], [0, 0])
        elif isinstance(wanted, np.ndarray | np.generic):
            np.testing.assert_array_equal(found[key], wanted)
            assert found[key].shape == wanted.shape
            assert found[key].dtype == wanted.dtype
        else:
            assert found[key] == wanted


def test_names_of_both_numpys():
    """NumPy 1 pickles as numpy.core, NumPy 2 as numpy._core; either reads the other's."""
    data = pickle.dumps(np.arange(3.0), protocol=2)
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != data or b"numpy.core" in data
    np.testing.assert_array_equal(loads(old), [0, 1, 2])


# ---- files


def test_files_that_are_cut_off(tmp_path: Path):
    with (tmp_path / "x.npy").open("wb") as file:
        np.save(file, np.array({"a": 1}, dtype=object), allow_pickle=True)
    whole = (tmp_path / "x.npy").read_bytes()
    for end in (7, 20, len(whole) - 3):
        (tmp_path / "x.npy").write_bytes(whole[:end])
        with pytest.raises(UserError, match="x.npy: refused"):
            read_npy(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00garbage")
    with pytest.raises(UserError, match="x.npz: field 'a' is refused"):
        read_npz(tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:30])
    with pytest.raises(UserError, match="y.npz: not a readable .npz"):
        read_npz(tmp_path / "y.npz")


def npz(path: Path) -> bytes:
    with path.open("wb") as file:
        np.savez_compressed(file, fps=30.0, joint_pos=np.random.default_rng(0).normal(size=(9, 3)))
    return path.read_bytes()


def test_an_npz_with_a_damaged_directory_is_of_no_layout(tmp_path: Path):
    path = tmp_path / "x.npz"
    path.write_bytes(npz(path).replace(b"PK\x01\x02", b"PK\x01\x07"))
    assert zipfile.is_zipfile(path)
    with pytest.raises(UserError, match=r"not robopolicy: not an \.npz"):
        formats.recognise(path)
    with pytest.raises(UserError, match=r"x.npz: not a readable \.npz"):
        read_npz(path)


def test_an_npz_with_a_damaged_field(tmp_path: Path):
    path = tmp_path / "x.npz"
    whole = bytearray(npz(path))
    start = whole.index(b"joint_pos.npy") + len("joint_pos.npy") + 20  # behind zip64's sizes
    whole[start : start + 30] = b"\xff" * 30
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"x.npz: field 'joint_pos' is refused: Error -3"):
        read_npz(path)


def test_an_array_of_more_than_the_file_holds(tmp_path: Path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 7), }" % 10**14
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 56
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"x.npy: refused: shape \(100000000000000, 7\) is more than the file holds"):
        read_npy(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(UserError, match=r"field 'a' is refused: shape"):
        read_npz(tmp_path / "x.npz")


def test_json_that_is_nested_without_end_is_of_no_layout(tmp_path: Path):
    (tmp_path / "x.json").write_text('{"Frames": ' + "[" * 200_000)
    with pytest.raises(UserError, match=r"not amp_hardware: not JSON \(nested too deeply\).*not deepmimic: not JSON"):
        formats.recognise(tmp_path / "x.json")


def test_json_with_numbers_beyond_floats(tmp_path: Path, go2):
    frame = [0.0] * 61
    for data in ({"Frames": [[10**400, *frame[1:]]] * 5, "FrameDuration": 0.02}, {"Frames": [frame] * 5}):
        text = json.dumps({"FrameDuration": 10**400, **data})
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(UserError, match=r"x.json: Frame"):
            formats.read(tmp_path / "x.json", go2)
