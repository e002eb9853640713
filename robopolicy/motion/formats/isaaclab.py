"""The ``.npz`` files of Isaac Lab's humanoid AMP example.

``fps``, ``dof_names``, ``body_names``, ``dof_positions`` and ``dof_velocities`` (K, J) [rad, rad/s], and of every body
``body_positions`` (K, B, 3) [m], ``body_rotations`` (K, B, 4) **wxyz**, ``body_linear_velocities`` and
``body_angular_velocities`` (K, B, 3). The base is the body of that name.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.arrays import names, npz_fields, number, numbers, read_npz
from robopolicy.motion.importing.recording import AS_WRITTEN, Options, Recording, note, to_clip

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "npz with fps, dof_names, body_names, dof_positions, body_positions, body_rotations (wxyz), ... (Isaac Lab)"
FIELDS = ("fps", "dof_names", "body_names", "dof_positions", "body_positions", "body_rotations")
BASES = ("base", "base_link", "pelvis", "trunk", "torso")
"""What the base may be called."""


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    fields = npz_fields(path)
    if not fields:
        return "not an .npz"
    missing = [field for field in FIELDS if field not in fields]
    return f"no field {', '.join(missing)}" if missing else ""


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on the robot, joints and base by name.

    Raises:
        UserError: The content is broken, or the robot has other joints or another base.
    """
    data = read_npz(path)
    joints, bodies = names(path, data, "dof_names"), names(path, data, "body_names")
    base = _base(path, bodies, model)
    velocity, linear = data.get("dof_velocities"), data.get("body_linear_velocities")
    recording = Recording(
        layout="isaaclab",
        fps=options.fps or number(path, data, "fps"),
        joints=joints,
        position=body(path, data, "body_positions", base, 3),
        quat=body(path, data, "body_rotations", base, 4),
        angles=numbers(path, data, "dof_positions", len(joints)),
        joint_velocity=None if velocity is None else numbers(path, data, "dof_velocities", len(joints)),
        base_velocity=None if linear is None else body(path, data, "body_linear_velocities", base, 3),
    )
    return to_clip(path, recording, model, options)


def body(path: Path, data: dict[str, Any], field: str, which: int, width: int) -> np.ndarray:
    """One body's part of a field (K, B, width). Shape (K, width).

    Raises:
        UserError: The field is of another shape, or not of numbers.
    """
    value = data.get(field)
    if not isinstance(value, np.ndarray) or value.ndim != 3 or value.shape[2] != width or value.shape[1] <= which:
        shape = value.shape if isinstance(value, np.ndarray) else "none"
        raise UserError(f"{path}: field {field!r} has shape {shape}; it must be (frames, bodies, {width})")
    return numbers(path, {field: value[:, which]}, field, width)


def _base(path: Path, bodies: tuple[str, ...], model: "RobotModel") -> int:
    ours = model.mj.body(model.base_body).name
    if ours in bodies:
        return bodies.index(ours)
    likely = [name for name in bodies if name in BASES]
    if len(likely) != 1:
        raise UserError(f"{path}: has no body {ours!r}, the base of robot {model.robot.name!r}: {', '.join(bodies)}")
    note(path, f"its body {likely[0]!r} is taken for the robot's base {ours!r}, the only one of such a name")
    return bodies.index(likely[0])
