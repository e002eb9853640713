"""What a robot's joints were told and what they did: from a runtime's log, or from a table of numbers."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.log import read_log

from robopolicy.errors import UserError
from robopolicy.robot import RobotModel

MOST_TILT = 0.05  # rad, of the base about its mean
MOST_TURNING = 0.3  # rad/s, root mean square: a stand may shake
_DENSEST = 0.004  # s; readings closer than this say the same twice


@dataclass(frozen=True)
class JointLog:
    """Targets and readings of a robot whose base stands still; J joints in contract order, K orders, T readings.

    Attributes:
        path: Where it came from.
        order_time: When each target was sent [s], rising. Shape (K,).
        target: In force until the next one [rad]; NaN where nothing drove. Shape (K, J).
        time: When each reading was taken [s], rising. Shape (T,).
        position: [rad], NaN where not known. Shape (T, J).
        velocity: [rad/s], NaN where not known. Shape (T, J).
        kp, kd: The gains that were ordered [N m/rad, N m s/rad]. Shape (J,).
        gravity: Its direction in the base's frame, unit vector. Shape (3,).
        notes: What a person should know about it.
    """

    path: Path
    order_time: np.ndarray
    target: np.ndarray
    time: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    kp: np.ndarray
    kd: np.ndarray
    gravity: np.ndarray
    notes: tuple[str, ...] = ()


def robot_of(path: Path) -> str | None:
    """Name of the robot that a runtime's log is of; None for a table.

    Raises:
        UserError: It cannot be read.
    """
    return None if path.suffix in (".csv", ".npz") else _runtime_log(path)[1]["robot"]


def load_joint_log(path: Path, robot: RobotModel) -> JointLog:
    """Read a log: the runtime's, or a table that ends in ``.csv`` or ``.npz``.

    An ``.npz`` has ``joint_names``, ``time (T,)``, ``target``, ``position`` and perhaps ``velocity`` ``(T, J)``, and
    perhaps ``gravity (3,)`` or ``(T, 3)``, its direction in the base's frame. A ``.csv`` has the columns ``time``,
    ``target.JOINT``, ``position.JOINT`` and perhaps ``velocity.JOINT``; an empty cell is a number that is not known.
    The target of a row is sent after the row's reading.

    Raises:
        UserError: It cannot be read, is of another robot, or its base moves.
    """
    if not path.is_file():
        raise UserError(f"no log {path}")
    if path.suffix == ".npz":
        return _table(path, _read_npz(path), robot)
    if path.suffix == ".csv":
        return _table(path, _read_csv(path), robot)
    return _from_runtime(path, robot)


def _runtime_log(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        return read_log(path)
    except ContractError as error:
        raise UserError(str(error)) from None


def _from_runtime(path: Path, robot: RobotModel) -> JointLog:
    rows, contract = _runtime_log(path)
    order = _order(path, tuple(contract["joint_names"]), robot)
    sent = np.isfinite(rows["time"])
    # A sample that is seen again is no second reading; one that was not trusted is none.
    fresh = np.isfinite(rows["reading_time"]) & (np.diff(rows["sequence"], prepend=-1) != 0)
    good = fresh & (rows["trusted"] > 0)
    if not good.any():
        raise UserError(f"{path}: no reading that was trusted")
    gravity = _still(path, rows["gravity"][good], rows["gyro"][good])
    base = np.empty(3)
    mujoco.mju_rotVecQuat(base, gravity, np.array(contract["imu"]["quaternion"]))
    return _make(
        path,
        rows["time"][sent],
        rows["target"][sent][:, order],
        rows["reading_time"][good],
        rows["joint_pos"][good][:, order],
        rows["joint_vel"][good][:, order],
        np.array(contract["kp"])[order],
        np.array(contract["kd"])[order],
        base,
    )


def _table(path: Path, table: dict[str, np.ndarray], robot: RobotModel) -> JointLog:
    for name in ("joint_names", "time", "target", "position"):
        if name not in table:
            raise UserError(f"{path}: {name!r} is missing; it has: {', '.join(sorted(table)) or 'nothing'}")
    order = _order(path, tuple(str(name) for name in table["joint_names"]), robot)
    time = np.asarray(table["time"], float)
    shape = (len(time), len(order))
    target, position = np.asarray(table["target"], float), np.asarray(table["position"], float)
    velocity = np.asarray(table.get("velocity", np.full(shape, np.nan)), float)
    for name, values in (("target", target), ("position", position), ("velocity", velocity)):
        if values.shape != shape:
            raise UserError(f"{path}: {name} has shape {values.shape}; time and joint_names ask for {shape}")
    notes = ()
    if "gravity" in table:
        gyro = np.asarray(table.get("gyro", np.zeros((1, 3))), float)
        gravity = _still(path, np.atleast_2d(np.asarray(table["gravity"], float)), np.atleast_2d(gyro))
    else:
        gravity = np.array([0.0, 0.0, -1.0])
        notes = ("the log says nothing about gravity: the base is taken to be level and at rest",)
    position, velocity, target = position[:, order], velocity[:, order], target[:, order]
    return _make(path, time, target, time, position, velocity, robot.kp, robot.kd, gravity, notes)


def _make(path: Path, order_time, target, time, position, velocity, kp, kd, gravity, notes=()) -> JointLog:
    for name, stamps in (("time", order_time), ("reading time", time)):
        if len(stamps) < 2 or not np.isfinite(stamps).all() or not (np.diff(stamps) > 0).all():
            raise UserError(f"{path}: the {name} does not rise from row to row")
    if not np.isfinite(target).all(1).any():
        raise UserError(f"{path}: nothing was driven: no target is a number")
    stride = max(1, int(_DENSEST / np.median(np.diff(time)) + 1e-6))
    unknown = ~np.isfinite(velocity).any(0)
    if unknown.any():
        of = "" if unknown.all() else f" of {unknown.sum()} joints"
        notes = (*notes, f"the log has no velocities{of}: they are taken from the positions")
        velocity = np.where(unknown, np.gradient(position, time, axis=0), velocity)
    keep = slice(None, None, stride)
    return JointLog(
        path,
        order_time,
        target,
        time[keep],
        position[keep],
        velocity[keep],
        kp,
        kd,
        gravity / np.linalg.norm(gravity),
        notes,
    )


def _order(path: Path, names: tuple[str, ...], robot: RobotModel) -> list[int]:
    """Where each joint of the robot is in the log."""
    if sorted(names) != sorted(robot.joint_names):
        raise UserError(
            f"{path} is no log of robot {robot.robot.name!r}: it has the joints {', '.join(names)}; "
            f"the robot's are {', '.join(robot.joint_names)}"
        )
    return [names.index(name) for name in robot.joint_names]


def _still(path: Path, gravity: np.ndarray, gyro: np.ndarray) -> np.ndarray:
    """Mean direction of gravity, of a base that stands still."""
    gravity = gravity[np.isfinite(gravity).all(1)]
    if not len(gravity):
        raise UserError(f"{path}: gravity is never a number")
    mean = gravity.mean(0) / np.linalg.norm(gravity.mean(0))
    tilt = float(np.quantile(np.arccos(np.clip(gravity @ mean / np.linalg.norm(gravity, axis=1), -1, 1)), 0.95))
    turning = float(np.sqrt(np.nanmean((gyro**2).sum(1))))
    if tilt > MOST_TILT or turning > MOST_TURNING:
        raise UserError(
            f"{path}: the base moves (it leans by {tilt:.2f} rad and turns at {turning:.2f} rad/s; at most {MOST_TILT} "
            f"and {MOST_TURNING}): what the ground does to it is not in the log. Hang the robot up or clamp its base, "
            "and excite its joints: robopolicy-runtime excite"
        )
    return mean


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, newline="") as file:
            head, *rows = [row for row in csv.reader(file) if row]
        numbers = np.array([[float(cell) if cell.strip() else np.nan for cell in row] for row in rows])
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if numbers.ndim != 2 or numbers.shape[1] != len(head):
        raise UserError(f"{path}: {len(head)} columns are named, and rows have another number of them")
    column = {name.strip(): numbers[:, i] for i, name in enumerate(head)}
    joints = [name.removeprefix("target.") for name in column if name.startswith("target.")]
    table = {"joint_names": np.array(joints)} | ({"time": column["time"]} if "time" in column else {})
    for kind in ("target", "position", "velocity"):
        found = [column[f"{kind}.{joint}"] for joint in joints if f"{kind}.{joint}" in column]
        if found and len(found) != len(joints):
            raise UserError(f"{path}: {kind} is there for {len(found)} of the {len(joints)} joints that have a target")
        if found:
            table[kind] = np.stack(found, axis=1)
    return table
