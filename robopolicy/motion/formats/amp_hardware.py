"""The JSON text files of AMP_for_hardware (Escontrela et al., 2022): a real dog's motion, retargeted to the
Unitree A1.

A frame has 61 columns: base position 3 [m], base quaternion **xyzw**, joint angles 12 [rad], foot positions
    12 in the
base frame [m], base linear velocity 3 in the **base frame** [m/s], base angular velocity 3 [rad/s], joint
velocities 12 [rad/s], foot velocities 12 [m/s]. Joints run hip, thigh, calf in each leg; legs run FR, FL, RR, RL (the
order of PyBullet) or FL, FR, RL, RR (that of other simulators): the foot positions tell which.

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
from robopolicy.motion.importing.recording import (
    AS_WRITTEN,
    Options,
    Recording,
    closes,
    joint_order,
    note,
    quaternion_order,
    unit,
)
from robopolicy.motion.legs import Leg
from robopolicy.motion.plant import plant_feet, unreached
from robopolicy.motion.pose import quat_conj, quat_rotate

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "JSON text with FrameDuration, LoopMode and Frames of 61 columns (AMP_for_hardware)"
COLUMNS = 61
LEG_ORDERS = (("FR", "FL", "RR", "RL"), ("FL", "FR", "RL", "RR"))
"""Orders of the legs; the first is that of the layout's authors."""
NEAR = 0.12
"""In the right order the feet are where the joint angles put them, to this share of their distance from the base ..."""
CLEARER = 2.0
"""... and this many times nearer than in the other one."""
POSITION, QUATERNION, ANGLES, FEET = slice(0, 3), slice(3, 7), slice(7, 19), slice(19, 31)
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

    Foot positions that are all zero tell nothing: the legs are then taken in the order of the layout's authors.

    Warns:
        FrameRateWarning: The velocity columns contradict FrameDuration.
        ImportNote: In which order the legs are, and why; or that a foot cannot be held where it stands.

    Raises:
        UserError: The content is broken, the robot has other joints, no order of the legs fits the foot positions, or
            the motion contradicts the order of the quaternions.
    """
    data = _parse(path)
    _require_legs(path, model)
    frames = _frames(path, data)
    joints = _joints(_legs(path, frames, model))
    order = joint_order(path, joints, model)
    fps = options.fps or 1.0 / _frame_duration(path, data)
    if options.units == "deg":
        raise UserError(f"{path}: --units deg: this layout has angles and speeds in radians")
    quat, angles = unit(path, frames[:, QUATERNION]), frames[:, ANGLES][:, order]
    recording = Recording("amp_hardware", fps, joints, frames[:, POSITION], quat, angles, order="xyzw")
    columns = ORDERS[options.quat or quaternion_order(path, recording, quat, angles, model)]
    qpos = np.concatenate([frames[:, POSITION], quat[:, columns], angles], axis=1)
    _check_rate(path, frames, qpos, fps, order)
    loop = data.get("LoopMode") == "Wrap" and closes(qpos)
    cycle = estimate_cycle(qpos) if loop else None
    qpos, missing = plant_feet(qpos, fps, model, cycle)
    if out_of_reach := unreached(missing, model):
        note(path, out_of_reach)
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


def _joints(legs: tuple[str, ...]) -> tuple[str, ...]:
    """The joints of legs in some order."""
    return tuple(f"{leg}_{part}" for leg in legs for part in ("hip", "thigh", "calf"))


def _require_legs(path: Path, model: "RobotModel") -> None:
    """Refuse a robot that does not have these legs."""
    joints, bare = _joints(LEG_ORDERS[0]), [name.removesuffix("_joint") for name in model.joint_names]
    missing, extra = [n for n in joints if n not in bare], [n for n in bare if n not in joints]
    if missing or extra:
        raise UserError(
            f"{path}: is a quadruped's motion (joints {', '.join(joints)}); "
            f"robot {model.robot.name!r} {misfit(missing, extra)}"
        )


def _legs(path: Path, frames: np.ndarray, model: "RobotModel") -> tuple[str, ...]:
    """The legs in the file's order: the one in which its feet are where its joint angles put the robot's."""
    if not frames[:, FEET].any():
        legs = LEG_ORDERS[0]
        note(path, f"its foot positions are all zero: legs taken in the layout's usual order, {' '.join(legs)}")
        return legs
    off = {legs: _off(path, frames, legs, model) for legs in LEG_ORDERS}
    best, worst = sorted(off, key=lambda legs: off[legs])
    if off[best] > NEAR or off[worst] < CLEARER * off[best]:
        raise UserError(
            f"{path}: its foot positions do not tell the order of its legs: from where its joint angles put the feet "
            f"of robot {model.robot.name!r} they are off by {100 * off[best]:.0f}% of their distance from the base in "
            f"the order {' '.join(best)} and by {100 * off[worst]:.0f}% in the order {' '.join(worst)}"
        )
    note(
        path,
        f"legs are in the order {' '.join(best)}: so its foot positions are where its joint angles put the feet, to "
        f"{100 * off[best]:.0f}% of their distance from the base ({' '.join(worst)}: {100 * off[worst]:.0f}%)",
    )
    return best


def _off(path: Path, frames: np.ndarray, legs: tuple[str, ...], model: "RobotModel") -> float:
    """How far the robot's feet are from the file's, on average, as a share of their distance from the base. The file's
    are scaled to the robot, which may have longer legs than the A1."""
    angles = frames[:, ANGLES][:, joint_order(path, _joints(legs), model)]
    base = np.tile([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (len(frames), 1))
    chains = [Leg(model, foot) for foot in range(len(model.foot_sites))]
    feet = np.stack([chain.forward(base, angles)[0] for chain in chains], axis=1)
    places = [legs.index(model.joint_names[chain.joints[0]].split("_")[0]) for chain in chains]
    given = frames[:, FEET].reshape(-1, len(legs), 3)[:, places]
    given = given * (feet * given).sum() / (given**2).sum()
    return float(np.linalg.norm(feet - given, axis=2).mean() / np.linalg.norm(feet, axis=2).mean())


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
