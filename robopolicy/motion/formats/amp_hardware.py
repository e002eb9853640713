"""The JSON text files of AMP_for_hardware (Escontrela et al., 2022): a real dog's motion, retargeted to the
Unitree A1.

A frame has 61 columns: base position 3 [m], base quaternion **xyzw**, joint angles 12 [rad], foot positions
    12 in the
base frame [m], base linear velocity 3 in the **base frame** [m/s], base angular velocity 3 [rad/s], joint
velocities 12 [rad/s], foot velocities 12 [m/s]. Joints run FR, FL, RR, RL (the order of PyBullet), hip,
thigh, calf in each leg.

What is done to them, on a robot that is not an A1 (say a Go2, with thigh and calf of .213 m for the A1's .2
m):

* joint angles are kept and matched by name; base position, heading and speed are kept, nothing is scaled;
* the base is shifted in height, one shift per clip, so that its feet in contact stand on the ground;
* feet in contact are then held in place, by inverse kinematics (see :mod:`robopolicy.motion.plant`);
* velocities are recomputed from the positions. The file's own velocity columns only check the rate: they tell
  when ``FrameDuration`` is wrong;
* ``LoopMode: Wrap`` is believed only where the last frame leads to the first: if the step across the seam is
    more than
  three median steps, the clip is read as an open one. ``FrameDuration`` is the step between frames, so a loop
  of K frames lasts K steps.
"""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, estimate_cycle, misfit, velocities
from robopolicy.motion.importing.arrays import starts_with
from robopolicy.motion.importing.quat_order import ORDERS
from robopolicy.motion.importing.recording import AS_WRITTEN, Options, closes, unit
from robopolicy.motion.plant import plant_feet
from robopolicy.motion.pose import quat_conj, quat_rotate

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "JSON text with FrameDuration, LoopMode and Frames of 61 columns (AMP_for_hardware)"
COLUMNS = 61
JOINTS = tuple(f"{leg}_{part}" for leg in ("FR", "FL", "RR", "RL") for part in ("hip", "thigh", "calf"))
POSITION, QUATERNION, ANGLES = slice(0, 3), slice(3, 7), slice(7, 19)
LINEAR, SPEEDS = slice(31, 34), slice(37, 49)
RATE_TOLERANCE = 0.15
"""How far the velocity columns may be from the positions' own rate of change, as a share."""
MOST_SECONDS = 1e6
"""No frame lasts as long [s]."""


class FrameRateWarning(UserWarning):
    """The file's velocity columns contradict its FrameDuration."""


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    try:
        data = _parse(path)
    except ValueError as error:
        return f"not JSON ({error})"
    if not isinstance(data, dict) or "Frames" not in data:
        return "no Frames"
    if "Loop" in data and "FrameDuration" not in data:
        return "no FrameDuration, but Loop"
    frames = data["Frames"]
    if not isinstance(frames, list) or not frames or not isinstance(frames[0], list):
        return "Frames is not a list of frames"
    return "" if len(frames[0]) == COLUMNS else f"frames have {len(frames[0])} columns, not {COLUMNS}"


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on a robot with legs FR, FL, RR, RL of hip, thigh and calf.

    Warns:
        FrameRateWarning: The velocity columns contradict FrameDuration.

    Raises:
        UserError: The content is broken, or the robot has other joints.
    """
    data = _parse(path)
    order = _order(path, model)
    frames = _frames(path, data)
    fps = options.fps or 1.0 / _frame_duration(path, data)
    if options.units == "deg":
        raise UserError(f"{path}: --units deg: this layout has angles and speeds in radians")
    quat = unit(path, frames[:, QUATERNION])[:, ORDERS[options.quat or "xyzw"]]
    qpos = np.concatenate([frames[:, POSITION], quat, frames[:, ANGLES][:, order]], axis=1)
    _check_rate(path, frames, qpos, fps, order)
    loop = data.get("LoopMode") == "Wrap" and closes(qpos)
    cycle = estimate_cycle(qpos) if loop else None
    qpos = plant_feet(qpos, fps, model, cycle)
    return Clip(
        name=path.stem,
        fps=fps,
        joint_names=tuple(model.joint_names),
        qpos=qpos,
        qvel=velocities(qpos, fps, cycle),
        loop=loop,
        robot=model.robot.name,
        source=f"imported from {path.name} (AMP_for_hardware layout)",
    )


def _parse(path: Path) -> Any:
    if not starts_with(path, b"{", b" ", b"\n", b"\r", b"\t"):  # spares the reading of a large file of another kind
        raise ValueError("does not begin with a brace")
    try:
        return json.loads(path.read_bytes().decode("utf-8", errors="strict"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _order(path: Path, model: "RobotModel") -> np.ndarray:
    """For each joint of the robot, its place in the file."""
    bare = [name.removesuffix("_joint") for name in model.joint_names]
    missing, extra = [n for n in JOINTS if n not in bare], [n for n in bare if n not in JOINTS]
    if missing or extra:
        raise UserError(
            f"{path}: is a quadruped's motion (joints {', '.join(JOINTS)}); "
            f"robot {model.robot.name!r} {misfit(missing, extra)}"
        )
    return np.array([JOINTS.index(name) for name in bare])


def _frames(path: Path, data: dict) -> np.ndarray:
    for k, frame in enumerate(data["Frames"]):
        if not isinstance(frame, list) or len(frame) != COLUMNS:
            columns = len(frame) if isinstance(frame, list) else "no"
            raise UserError(f"{path}: frame {k} has {columns} columns, not {COLUMNS}")
    try:
        frames = np.array(data["Frames"], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: Frames holds something that is not a number ({error})") from None
    bad = np.flatnonzero(~np.isfinite(frames).all(axis=1))
    if len(bad):
        raise UserError(f"{path}: Frames has NaN or infinity in {len(bad)} frames, first in frame {bad[0]}")
    if len(frames) < 4:
        raise UserError(f"{path}: has {len(frames)} frames; a motion needs at least 4")
    return frames


def _frame_duration(path: Path, data: dict) -> float:
    duration = data.get("FrameDuration")
    if not isinstance(duration, int | float) or not 0 < duration < MOST_SECONDS:
        raise UserError(f"{path}: FrameDuration is {duration!r}; it must be a positive number of seconds")
    return float(duration)


def _check_rate(path: Path, frames: np.ndarray, qpos: np.ndarray, fps: float, order: np.ndarray) -> None:
    """Warn if the file's velocities are not the positions' rate of change at this frame rate."""
    truth = velocities(qpos, fps)
    linear = quat_rotate(quat_conj(qpos[:, 3:7]), truth[:, :3])
    for what, given, computed in (
        ("base velocities", frames[:, LINEAR], linear),
        ("joint velocities", frames[:, SPEEDS][:, order], truth[:, 6:]),
    ):
        if not given.any():
            warnings.warn(
                f"{path}: the file's {what} are all zero: FrameDuration could not be checked",
                FrameRateWarning,
                stacklevel=3,
            )
            continue
        ratio = float((given * computed).sum() / max((computed**2).sum(), 1e-12))
        if abs(ratio - 1) > RATE_TOLERANCE and (computed**2).mean() > 1e-4:
            warnings.warn(
                f"{path}: the file's {what} are {ratio:.2f} times the rate of its positions at FrameDuration "
                f"{1 / fps:.4g} s; they would fit {1 / (fps * max(ratio, 1e-6)):.4g} s",
                FrameRateWarning,
                stacklevel=3,
            )
