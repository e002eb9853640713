"""Every control period in a file: a line of JSON that says what is in it, then rows of numbers.

A row is written whole or, at the very end, cut off, so that the file is readable however the runtime ended. Rows are
written by a thread of their own: neither a pipe that nobody empties nor a slow disk makes the robot wait.
"""

import json
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError, say
from robopolicy_runtime.machine import Tick

_MAGIC = "robopolicy-log"
_VERSION = 1
LIMITS = ("torque", "rate", "position")
_WAITING = 500  # rows, ten seconds of 50 Hz
_CLOSE_S = 1.0  # how long what waits may take at the end
_SINGLE = ("time", "late", "missed", "state", "limited", "trusted", "reading_time", "sequence")
_SINGLE_OF_SHOW = ("policy", "faded")


def columns(contract: Contract, show: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, int]:
    """Names of what a row holds, and how many numbers each is.

    ``time`` and ``reading_time`` [s, monotonic], ``late`` [s], ``missed`` periods so far, ``state`` (see
    ``machine.State``), ``limited`` (bits of ``torque``, ``rate``, ``position``), ``trusted`` (0 or 1), ``sequence`` of
    the sample, ``gyro`` [rad/s], ``gravity``, ``joint_pos`` [rad], ``joint_vel`` [rad/s], ``command``, ``action``,
    ``target`` [rad].

    Of a show also the fields of its ``Scene``: ``policy``, ``faded``, ``weights``, ``told``, ``offset`` [rad]. There
    ``command`` has the channels of the contract, which is the first policy's, and is NaN for those that the policy that
    drives does not have. If it has free joints also ``free_pos``, measured, and ``free_target``, sent [rad].
    """
    joints, channels = len(contract.joint_names), len(contract.command.names)
    per_joint = dict.fromkeys(("joint_pos", "joint_vel"), joints)
    sent = {"command": channels, "action": joints, "target": joints}
    scene = {} if show is None else {"weights": len(show["clips"]), "told": len(show["names"]), "offset": joints}
    free = {} if show is None or not show.get("free") else dict.fromkeys(("free_pos", "free_target"), len(show["free"]))
    singles = _SINGLE if show is None else (*_SINGLE, *_SINGLE_OF_SHOW)
    return dict.fromkeys(singles, 1) | {"gyro": 3, "gravity": 3} | per_joint | sent | scene | free


class LogWriter:
    """Writes a log and never waits for it; if that fails it says so once and the robot goes on without.

    Args:
        path: The file; it must not exist, so that no earlier log is lost.
        contract: The policy's; of a show the first one's.
        show: Names of a show's ``policies`` and ``clips``, its ``names`` that can be moved, and which joints are
            ``free``, if there are some; None without a show.

    Attributes:
        trouble: Why nothing is written any more, or not all of it; or None.
        missing: Control periods that are not in the file, because it was not taken in fast enough.

    Raises:
        ContractError: The file cannot be made.
    """

    def __init__(self, path: str | Path, contract: Contract, show: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._columns, self._show = columns(contract, show), show
        # Where the contract's channels are among the names of the show.
        self._channels = None if show is None else [show["names"].index(name) for name in contract.command.names]
        self.trouble: str | None = None
        self.missing = 0
        self._path, self._ended, self._closed = path, False, False
        self._rows: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        header = {"format": _MAGIC, "version": _VERSION, "columns": self._columns, "contract": asdict(contract)}
        header |= {} if show is None else {"show": dict(show)}
        special = Path(path).exists() and not Path(path).is_file()  # a pipe or a device
        try:
            self._file: Any = open(path, "wb" if special else "xb", buffering=0)  # noqa: SIM115
        except FileExistsError:
            raise ContractError(f"{path}: there is a log already; name another file") from None
        except OSError as error:
            raise ContractError(f"{path}: the log cannot be written: {error.strerror}") from None
        self._write(json.dumps(header).encode() + b"\n")

    def add(self, time_s: float, late_s: float, missed: int, tick: Tick) -> None:
        """Note one control period, to be written."""
        if self._ended:
            return
        r, nan = tick.reading, np.nan
        own, joints = self._columns["target"], np.full_like(tick.target, nan)
        pos, vel = (r.joint_pos, r.joint_vel) if r is not None else (joints, joints)
        bits = sum(1 << i for i, name in enumerate(LIMITS) if name in tick.limited_by)
        scene, command = tick.scene, tick.command
        if scene is not None and self._channels is not None:
            command = scene.told[self._channels]
        row = [
            [time_s, late_s, missed, int(tick.state), bits, tick.trusted],
            [r.time_s, r.sequence] if r is not None else [nan, nan],
            [scene.policy, scene.faded] if scene is not None else [],
            r.gyro if r is not None else np.full(3, nan),
            r.gravity if r is not None else np.full(3, nan),
            pos[:own],
            vel[:own],
            command,
            tick.action,
            tick.target[:own],
            *((scene.weights, scene.told, scene.offset) if scene is not None else ()),
            *((pos[own:], tick.target[own:]) if "free_pos" in self._columns else ()),
        ]
        if self._thread is None:  # only now: it is to be scheduled as the control loop is, which waits for its locks
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        try:
            self._rows.put_nowait(np.concatenate([np.asarray(part, "<f8") for part in row]).tobytes())
        except queue.Full:
            self.missing += 1
            self.trouble = self.trouble or "the log is not taken in fast enough: control periods are left out"

    def close(self) -> None:
        """Write what waits, for a second or two at most, and close the file. Safe to call twice."""
        if self._closed:
            return
        self._closed, stuck = True, False
        if self._thread is not None and self._thread.is_alive():
            with suppress(queue.Full):
                self._rows.put(None, timeout=_CLOSE_S)
            self._thread.join(_CLOSE_S)
            stuck = self._thread.is_alive()
        if stuck:
            self.missing += self._rows.qsize()
        else:  # nobody waits in the file any more
            self._file.close()
        if self.missing:
            say(f"{self._path}: {self.missing} control periods are not in the log")

    def _run(self) -> None:
        while not self._ended and (row := self._rows.get()) is not None:
            self._write(row)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self.trouble, self._ended = f"the log ends here: {error.strerror}", True


def read_log(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A log's rows by column, shape (T,) or (T, n), and the contract it was made under, as plain values.

    A row that was cut off at the end is left out.

    Raises:
        ContractError: It is no log, or one of another version.
    """
    header, data = _read(path)
    widths = header["columns"]
    width = sum(widths.values())
    count = len(data) // (8 * width)
    rows = np.frombuffer(data, "<f8", count * width).reshape(count, width)
    found, start = {}, 0
    for name, size in widths.items():
        single = name in (*_SINGLE, *_SINGLE_OF_SHOW)
        found[name] = rows[:, start] if single else rows[:, start : start + size]
        start += size
    return found, header["contract"]


def read_show(path: str | Path) -> dict[str, list[str]] | None:
    """Of a show's log, what the numbers of its columns stand for: ``policies`` (``policy``), ``clips`` (``weights``),
    ``names`` (``told``), and, if there are some, ``free`` (``free_pos``). None if no show was played.

    Raises:
        ContractError: See ``read_log``.
    """
    return _read(path)[0].get("show")


def _read(path: str | Path) -> tuple[dict[str, Any], bytes]:
    """A log's first line, and its rows."""
    try:
        with open(path, "rb") as file:
            first, data = file.readline(), file.read()
        header = json.loads(first)
        if header["format"] != _MAGIC:
            raise ValueError
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ContractError(f"{path}: not a log of this runtime") from None
    if header["version"] != _VERSION:
        raise ContractError(f"{path}: a log of version {header['version']}; this runtime reads {_VERSION}")
    return header, data
