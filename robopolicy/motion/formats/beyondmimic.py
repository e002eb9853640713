"""The ``.npz`` files of BeyondMimic (whole_body_tracking), which mjlab writes too.

``fps``, ``joint_pos`` and ``joint_vel`` (K, J) [rad, rad/s], and of every body ``body_pos_w`` (K, B, 3) [m],
``body_quat_w`` (K, B, 4) **wxyz**, ``body_lin_vel_w`` and ``body_ang_vel_w`` (K, B, 3); the first body is the base.
Joints have no names (unless there is a field ``joint_names``): Isaac Lab orders them breadth first through the robot's
tree, MuJoCo depth first. The file's own bodies tell which it is: only in the right order are the robot's bodies there.
"""

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import full_qpos
from robopolicy.motion.formats.isaaclab import body
from robopolicy.motion.importing.arrays import names, npz_fields, number, numbers, read_npz
from robopolicy.motion.importing.quat_order import ORDERS
from robopolicy.motion.importing.recording import (
    AS_WRITTEN,
    Options,
    Recording,
    joint_order,
    note,
    same_length,
    to_clip,
    unit,
)

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "npz with fps, joint_pos, joint_vel, body_pos_w, body_quat_w (wxyz), ... (BeyondMimic, mjlab)"
FIELDS = ("fps", "joint_pos", "joint_vel", "body_pos_w", "body_quat_w")
LOOKED_AT = 20
"""Frames in which the bodies are compared."""
NEAR = 0.03
"""In the right order the robot's bodies are where the file has some, to this on average [m] ..."""
CLEARER = 3.0
"""... and this many times nearer than in the other one."""


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    fields = npz_fields(path)
    if not fields:
        return "not an .npz"
    missing = [field for field in FIELDS if field not in fields]
    return f"no field {', '.join(missing)}" if missing else ""


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on the robot.

    Raises:
        UserError: The content is broken, the robot has other joints, or neither order of them fits the file's bodies.
    """
    data = read_npz(path)
    angles = numbers(path, data, "joint_pos")
    position, quat = body(path, data, "body_pos_w", 0, 3), body(path, data, "body_quat_w", 0, 4)
    same_length(path, position, quat, angles)
    wxyz = unit(path, quat)[:, ORDERS[options.quat or "wxyz"]]
    if "joint_names" in data:
        joints = names(path, data, "joint_names")
        angles = numbers(path, data, "joint_pos", len(joints))
    else:
        bodies = data["body_pos_w"]
        bodies = numbers(path, {"body_pos_w": bodies.reshape(len(bodies), bodies.shape[1] * 3)}, "body_pos_w").reshape(
            bodies.shape
        )
        joints = _order(path, np.concatenate([position, wxyz, angles], axis=1), bodies, model)
    recording = Recording(
        layout="beyondmimic",
        fps=options.fps or number(path, data, "fps"),
        joints=joints,
        position=position,
        quat=quat,
        angles=angles,
        joint_velocity=numbers(path, data, "joint_vel", len(joints)),
        base_velocity=body(path, data, "body_lin_vel_w", 0, 3) if "body_lin_vel_w" in data else None,
    )
    return to_clip(path, recording, model, options)


def breadth_first(model: "RobotModel") -> tuple[str, ...]:
    """The robot's joints level by level through its tree, as Isaac Lab orders them."""
    mj, found, todo = model.mj, [], deque([model.base_body])
    while todo:
        at = todo.popleft()
        own = range(mj.body_jntadr[at], mj.body_jntadr[at] + mj.body_jntnum[at]) if mj.body_jntnum[at] else ()
        found += [mj.joint(j).name for j in own]
        todo.extend(b for b in range(1, mj.nbody) if mj.body_parentid[b] == at)
    return tuple(name for name in found if name in model.joint_names)


def _order(path: Path, rows: np.ndarray, bodies: np.ndarray, model: "RobotModel") -> tuple[str, ...]:
    """The joints' names in the file's order, by where the file has its bodies."""
    if rows.shape[1] != 7 + len(model.joint_names):
        raise UserError(
            f"{path}: has {rows.shape[1] - 7} joints without names; robot {model.robot.name!r} has "
            f"{len(model.joint_names)}"
        )
    orders = {"breadth first (Isaac Lab)": breadth_first(model), "depth first (MuJoCo)": tuple(model.joint_names)}
    frames = np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int))
    off = {how: _distance(path, rows[frames], bodies[frames], joints, model) for how, joints in orders.items()}
    best, worst = sorted(off, key=lambda how: off[how])
    if orders[best] != orders[worst] and (off[best] > NEAR or off[worst] < CLEARER * off[best]):
        raise UserError(
            f"{path}: does not name its joints, and its bodies do not tell their order: they are off those of robot "
            f"{model.robot.name!r} by {off[best]:.3f} m {best} and {off[worst]:.3f} m {worst}"
        )
    note(
        path,
        f"does not name its joints: {best}, for so its bodies are where the robot's are, to {1000 * off[best]:.0f} mm "
        f"({worst}: {1000 * off[worst]:.0f} mm)",
    )
    return orders[best]


def _distance(path: Path, rows: np.ndarray, bodies: np.ndarray, joints: tuple[str, ...], model: "RobotModel") -> float:
    """How far the robot's bodies are from the nearest one of the file, on average [m]."""
    mj, data = model.mj, mujoco.MjData(model.mj)
    order, total = joint_order(path, joints, model), 0.0
    for row, places in zip(rows, bodies, strict=True):
        data.qpos[:] = full_qpos(model, np.concatenate([row[:7], row[7:][order]]))
        mujoco.mj_kinematics(mj, data)
        apart = np.linalg.norm(data.xpos[1:, None] - places[None], axis=2)
        total += float(apart.min(axis=1).mean())
    return total / len(rows)
