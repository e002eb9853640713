"""An inertial unit that the user brings, read in a thread of its own."""

import contextlib
import importlib
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from robopolicy_runtime.driver import DriverError

FIRST_SAMPLE_S = 1.0


class Imu(Protocol):
    """An inertial unit, as a robot's own Python code offers it."""

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """A new sample; may wait for it.

        Returns:
            Angular velocity, IMU frame [rad/s], shape (3,); direction of gravity, unit vector, IMU frame, shape (3,):
            (0, 0, -1) where the IMU's z points up.

        Raises:
            Exception: There is no new sample. An old one must not come twice.
        """
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


@dataclass(frozen=True)
class ImuSample:
    """What the IMU said; arrays as ``Imu.read`` gives them, ``time_s`` on the monotonic clock [s]."""

    time_s: float
    gyro: np.ndarray
    gravity: np.ndarray


def load_imu(entry: str, folder: Path) -> Imu:
    """Call ``module:function``, which makes the IMU; the module is installed, or lies in ``folder``.

    Raises:
        DriverError: There is no such module or function, it failed, or what it made is no IMU.
    """
    module, _, function = entry.partition(":")
    if not module or not function:
        raise DriverError(f"imu {entry!r} is not of the form module:function")
    sys.path.append(str(folder))
    try:
        make = getattr(importlib.import_module(module), function, None)
        if make is None:
            raise DriverError(f"imu {entry!r}: module {module!r} has no {function!r}")
        imu = make()
    except DriverError:
        raise
    except Exception as error:
        raise DriverError(f"imu {entry!r} (looked for beside {folder}, too): {_text(error)}") from error
    finally:
        sys.path.remove(str(folder))
    missing = [name for name in ("read", "close") if not callable(getattr(imu, name, None))]
    if missing:
        raise DriverError(f"imu {entry!r} made a {type(imu).__name__}, which has no {' and no '.join(missing)}()")
    return imu


class ImuThread:
    """Keeps the newest sample of an IMU.

    The IMU's code is not ours: where it hangs, only this thread does.

    Attributes:
        failure: Why there was no sample the last time; empty if there was one.
    """

    def __init__(self, imu: Imu, rate_hz: float):
        self.failure = ""
        self._imu = imu
        self._period = 1 / rate_hz
        self._newest: ImuSample | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imu", daemon=True)

    def start(self) -> None:
        """Start reading, and wait for the first sample.

        Raises:
            DriverError: There was none.
        """
        self._thread.start()
        end = time.monotonic() + FIRST_SAMPLE_S
        while self._newest is None:
            if time.monotonic() > end:
                raise DriverError(f"imu: no sample within {FIRST_SAMPLE_S:g} s: {self.failure or 'read() waits'}")
            time.sleep(0.001)

    def newest(self) -> ImuSample:
        """The newest sample, without waiting; call it after ``start``."""
        assert self._newest is not None
        return self._newest

    def close(self) -> None:
        """Stop reading and close the IMU. Its errors are passed over."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        # What it says now helps nobody: the robot has been let go of.
        with contextlib.suppress(Exception):
            self._imu.close()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                self._newest = _check(*self._imu.read())
                self.failure = ""
            except Exception as error:
                self.failure = _text(error)
            due = max(due + self._period, time.monotonic())
            self._stop.wait(due - time.monotonic())


def _check(gyro: np.ndarray, gravity: np.ndarray) -> ImuSample:
    # Copies: the IMU may hand out the same arrays each time.
    sample = ImuSample(time.monotonic(), np.array(gyro, float), np.array(gravity, float))
    for name, value in (("gyro", sample.gyro), ("gravity", sample.gravity)):
        if value.shape != (3,) or not np.isfinite(value).all():
            raise ValueError(f"{name} is {value}, not three finite numbers")
    if abs(np.linalg.norm(sample.gravity) - 1) > 0.05:
        raise ValueError(f"gravity is {sample.gravity}, not a unit vector")
    return sample


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
