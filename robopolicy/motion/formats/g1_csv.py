"""Bare CSV tables of a Unitree G1's motion, as LAFAN1 retargeted by Unitree and as Kimodo writes them.

No header; a row has 36 columns: base position 3 [m], base quaternion 4, the 29 joints in the order of Unitree's SDK
[rad]. LAFAN1 on G1 has quaternions **xyzw**, Kimodo **wxyz**; nothing else tells them apart, so the order is inferred
from what the robot does (:mod:`robopolicy.motion.importing.quat_order`). Both are of 30 frames per second.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.recording import AS_WRITTEN, Options, Recording, note, to_clip

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
    recording = Recording(
        layout="g1_csv",
        fps=options.fps or FPS,
        joints=JOINTS,
        position=table[:, :3],
        quat=table[:, 3:7],
        angles=table[:, 7:],
        order="",
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
