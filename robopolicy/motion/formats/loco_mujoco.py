"""The ``.npz`` files of loco-mujoco's own data sets: one array ``q_NAME`` and mostly one ``dq_NAME`` for each joint.

The base is six joints. Humanoids: ``pelvis_tx, pelvis_tz, pelvis_ty`` slide along x, y and up, then ``pelvis_tilt``
turns about -y, ``pelvis_list`` about x, ``pelvis_rotation`` about z, each in the frame the one before left.
Quadrupeds: ``trunk_tx, trunk_ty, trunk_tz`` slide along x, y and up, then ``trunk_rotation`` about z, ``trunk_list``
about x, ``trunk_tilt`` about y. Heights count from where the model was drawn, so the feet must say where the ground is.
Files have no rate: it follows from the velocities (their recordings are of 500 frames per second).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.arrays import npz_fields, numbers, read_npz
from robopolicy.motion.importing.recording import AS_WRITTEN, SETTLED, Options, Recording, note, to_clip
from robopolicy.motion.pose import quat_exp, quat_mul

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "npz with one q_* and dq_* array for each joint (loco-mujoco)"
SLIDES = {"pelvis": ("tx", "tz", "ty"), "trunk": ("tx", "ty", "tz")}
"""Coordinates along x, y and up."""
TURNS = {
    "pelvis": (("tilt", (0, -1, 0)), ("list", (1, 0, 0)), ("rotation", (0, 0, 1))),
    "trunk": (("rotation", (0, 0, 1)), ("list", (1, 0, 0)), ("tilt", (0, 1, 0))),
}
"""Angles in the order in which they turn the base, and their axes."""


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    fields = npz_fields(path)
    if not fields:
        return "not an .npz"
    return "" if _base(fields) else "no fields q_pelvis_tx ... or q_trunk_tx ..."


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on the robot, joints by name.

    Raises:
        UserError: The content is broken, the robot has other joints, the file holds several motions, or has no
            velocities to tell its rate.
    """
    data = read_npz(path)
    if options.quat:
        raise UserError(f"{path}: --quat {options.quat}: a loco-mujoco file has angles of the base, no quaternions")
    parts = np.asarray(data.get("split_points", ())).size - 1
    if parts > 1:
        raise UserError(f"{path}: holds {parts} motions one after the other (split_points); a clip is one of them")
    base = _base(set(data))
    own = (*SLIDES[base], *(name for name, _ in TURNS[base]))
    joints = tuple(f[2:] for f in data if f.startswith("q_") and f[2:] not in [f"{base}_{name}" for name in own])
    position = _columns(path, data, [f"q_{base}_{name}" for name in SLIDES[base]])
    turns = _columns(path, data, [f"q_{base}_{name}" for name, _ in TURNS[base]])
    quat = np.array([1.0, 0.0, 0.0, 0.0])
    for angle, (_, axis) in zip(turns.T, TURNS[base], strict=True):
        quat = quat_mul(quat, quat_exp(angle[:, None] * np.array(axis)))
    angles = _columns(path, data, [f"q_{name}" for name in joints]) if joints else np.empty((len(position), 0))
    speeds = [f"dq_{name}" for name in joints]
    velocity = _columns(path, data, speeds) if joints and all(name in data for name in speeds) else None
    note(path, "heights of a loco-mujoco file count from where its model was drawn")
    recording = Recording(
        layout="loco_mujoco",
        fps=options.fps or _fps(path, angles, velocity),
        joints=joints,
        position=position,
        quat=quat,
        order=SETTLED,
        angles=angles,
        joint_velocity=velocity,
    )
    return to_clip(path, recording, model, options)


def _base(fields: set[str]) -> str:
    """What the base's joints are called by; empty if the file has none."""
    for base, slides in SLIDES.items():
        if all(f"q_{base}_{name}" in fields for name in (*slides, *(name for name, _ in TURNS[base]))):
            return base
    return ""


def _columns(path: Path, data: dict[str, Any], fields: list[str]) -> np.ndarray:
    columns = []
    for field in fields:
        value = np.asarray(data[field])
        if value.ndim != 1 or value.dtype.kind not in "iuf":
            raise UserError(f"{path}: field {field!r} has shape {value.shape}; it must be numbers, one for each frame")
        columns.append(value)
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise UserError(f"{path}: its fields have different numbers of frames: {', '.join(map(str, sorted(lengths)))}")
    table = np.stack(columns, axis=1)
    bad = ~np.isfinite(table).all(axis=0)
    if bad.any():
        raise UserError(f"{path}: field {fields[int(bad.argmax())]!r} has NaN or infinity")
    return numbers(path, {"q": table}, "q")


def _fps(path: Path, angles: np.ndarray, velocity: np.ndarray | None) -> float:
    """Frames per second at which the velocities are the positions' rate of change."""
    if velocity is not None and len(angles) > 2:
        step = 0.5 * (angles[2:] - angles[:-2])
        if (size := float((step**2).sum())) > 1e-9:
            fps = float((step * velocity[1:-1]).sum() / size)
            if fps > 1.0:
                whole = round(fps) if abs(round(fps) - fps) < 0.02 * fps else fps
                note(path, f"has no rate: {whole:.4g} frames per second, at which its velocities fit its positions")
                return float(whole)
    raise UserError(f"{path}: has no rate, and no velocities to tell it; say --fps (their recordings are of 500)")
