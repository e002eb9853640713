"""Bare CSV tables of a Unitree G1's motion, as LAFAN1 retargeted by Unitree and as Kimodo writes them.

No header; a row has 36 columns: base position 3 [m], base quaternion 4, the 29 joints in the order of Unitree's SDK
[rad]. LAFAN1 on G1 has quaternions **xyzw**, Kimodo **wxyz**; nothing else tells them apart, so the order is inferred:
in the right one the robot is upright, and the foot it stands on does not move. Both are of 30 frames per second.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import Feet
from robopolicy.motion.recording import (
    AS_WRITTEN,
    LYING,
    ORDERS,
    UPRIGHT,
    Options,
    Recording,
    note,
    to_clip,
    unit,
    upright,
)

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "CSV without a header, 36 columns for a Unitree G1 (LAFAN1 on G1: xyzw; Kimodo: wxyz)"
FPS = 30.0
LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
JOINTS = (
    *(f"{side}_{part}" for side in ("left", "right") for part in LEG),
    *(f"waist_{part}" for part in ("yaw", "roll", "pitch")),
    *(f"{side}_{part}" for side in ("left", "right") for part in ARM),
)
COLUMNS = 7 + len(JOINTS)
LOOKED_AT = 900
"""Frames from which the order of quaternions is inferred."""
CLEARER = 2.0
"""In the right order the foot that stands moves less than in the other one, by this factor ..."""
STANDS = 0.3
"""... and slower than this [m/s]."""


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    with path.open("rb") as file:
        line = file.readline(20_000)
    try:
        columns = len([float(cell) for cell in line.decode("ascii").split(",")])
    except ValueError:
        return "its first line is not numbers between commas"
    return "" if columns == COLUMNS else f"rows have {columns} columns, not {COLUMNS}"


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on a robot with the G1's 29 joints.

    Raises:
        UserError: The content is broken, the robot has other joints, or the order of quaternions cannot be told.
    """
    table = _table(path)
    if options.fps is None:
        note(path, f"a CSV has no rate: {FPS:.0f} frames per second, as LAFAN1 on G1 and Kimodo have")
    order = options.quat or _order(path, table, model)
    recording = Recording(
        layout="g1_csv",
        fps=options.fps or FPS,
        joints=JOINTS,
        position=table[:, :3],
        quat=table[:, 3:7][:, ORDERS[order]],
        angles=table[:, 7:],
    )
    return to_clip(path, recording, model, options)


def _table(path: Path) -> np.ndarray:
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        raise UserError(f"{path}: not a table of {COLUMNS} numbers in each row: {str(error).splitlines()[0]}") from None
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise UserError(f"{path}: has NaN or infinity in {len(bad)} rows, first in row {bad[0] + 1}")
    return table


def _order(path: Path, table: np.ndarray, model: "RobotModel") -> str:
    """The order of the quaternions, by what the robot does in each of them."""
    up = {order: upright(table[:, 3:7][:, columns]) for order, columns in ORDERS.items()}
    for order, other in (("wxyz", "xyzw"), ("xyzw", "wxyz")):
        if up[order] > UPRIGHT and up[other] < LYING:
            note(
                path,
                f"quaternions are {order}: so the robot is upright (its z axis points up by {up[order]:.2f} on "
                f"average; as {other} by {up[other]:.2f})",
            )
            return order
    if sorted(model.joint_names) != sorted(f"{name}_joint" for name in JOINTS):
        return "wxyz"  # not a G1: to_clip says so
    slip = {order: _slip(path, table, order, model) for order in ORDERS}
    order, other = sorted(slip, key=lambda o: slip[o])
    if slip[order] < STANDS and slip[other] > CLEARER * slip[order] + 0.05:
        note(
            path,
            f"quaternions are {order}: so the foot that stands moves at {slip[order]:.2f} m/s (as {other} at "
            f"{slip[other]:.2f} m/s; upright in both)",
        )
        return order
    raise UserError(f"{path}: the order of its quaternions cannot be told; say --quat wxyz or --quat xyzw")


def _slip(path: Path, table: np.ndarray, order: str, model: "RobotModel") -> float:
    """Median speed over ground of the lower foot [m/s]."""
    table = table[:LOOKED_AT]
    quat = unit(path, table[:, 3:7][:, ORDERS[order]])
    ours = [JOINTS.index(name.removesuffix("_joint")) for name in model.joint_names]
    heights, places = Feet(model).trajectories(np.concatenate([table[:, :3], quat, table[:, 7:][:, ours]], axis=1))
    speed = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * FPS
    return float(np.median(np.take_along_axis(speed, heights[:-1].argmin(axis=1)[:, None], axis=1)))
