"""Files of every foreign layout, written from one known motion with SciPy and MuJoCo: no code of ours."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

SDK = (
    "left_hip_pitch", "left_hip_roll", "left_hip_yaw", "left_knee", "left_ankle_pitch", "left_ankle_roll",
    "right_hip_pitch", "right_hip_roll", "right_hip_yaw", "right_knee", "right_ankle_pitch", "right_ankle_roll",
    "waist_yaw", "waist_roll", "waist_pitch",
    "left_shoulder_pitch", "left_shoulder_roll", "left_shoulder_yaw", "left_elbow",
    "left_wrist_roll", "left_wrist_pitch", "left_wrist_yaw",
    "right_shoulder_pitch", "right_shoulder_roll", "right_shoulder_yaw", "right_elbow",
    "right_wrist_roll", "right_wrist_pitch", "right_wrist_yaw",
)  # fmt: skip
"""The G1's joints in the order of Unitree's SDK, of MuJoCo, and of the CSV files."""
ISAAC = (
    "left_hip_pitch", "right_hip_pitch", "waist_yaw", "left_hip_roll", "right_hip_roll", "waist_roll",
    "left_hip_yaw", "right_hip_yaw", "waist_pitch", "left_knee", "right_knee",
    "left_shoulder_pitch", "right_shoulder_pitch", "left_ankle_pitch", "right_ankle_pitch",
    "left_shoulder_roll", "right_shoulder_roll", "left_ankle_roll", "right_ankle_roll",
    "left_shoulder_yaw", "right_shoulder_yaw", "left_elbow", "right_elbow",
    "left_wrist_roll", "right_wrist_roll", "left_wrist_pitch", "right_wrist_pitch", "left_wrist_yaw", "right_wrist_yaw",
)  # fmt: skip
"""The same in Isaac Lab's order."""


@dataclass
class Motion:
    """A G1 that sways, leans and turns while every joint swings at a rate and by an amount of its own."""

    fps: float
    position: np.ndarray
    rotation: Rotation
    angles: dict[str, np.ndarray]

    def table(self, order=SDK) -> np.ndarray:
        return np.stack([self.angles[name] for name in order], axis=1)

    @property
    def xyzw(self) -> np.ndarray:
        return self.rotation.as_quat()

    @property
    def wxyz(self) -> np.ndarray:
        return self.rotation.as_quat()[:, [3, 0, 1, 2]]


def make_motion(frames: int = 60, fps: float = 30.0, turn: float = 0.5) -> Motion:
    t = np.arange(frames) / fps
    position = np.stack([0.3 * t, 0.05 * np.sin(2 * t), 0.79 + 0.01 * np.sin(5 * t)], axis=1)
    rotation = Rotation.from_euler("ZYX", np.stack([turn * t, 0.1 * np.sin(3 * t), 0.08 * np.cos(2 * t)], axis=1))
    angles = {}
    for j, name in enumerate(SDK):
        middle = 0.4 if "knee" in name else 0.1
        angles[name] = middle + (0.05 + 0.004 * j) * np.sin((1.0 + 0.1 * j) * t + j)
    return Motion(fps, position, rotation, angles)


def make_standing(model: mujoco.MjModel, facing: float, frames: int = 60, fps: float = 30.0) -> Motion:
    """A G1 that balances on its left foot while its joints move: the base goes where that foot, at rest, puts it."""
    motion, data = make_motion(frames, fps), mujoco.MjData(model)
    motion.angles["right_knee"] = motion.angles["right_knee"] + 0.7
    foot, rotations = model.body("left_ankle_roll_link").id, []
    still = Rotation.from_euler("z", facing)
    for k, angles in enumerate(motion.table()):
        data.qpos[:] = np.concatenate([[0, 0, 0, 1, 0, 0, 0], angles])
        mujoco.mj_kinematics(model, data)
        base = still * Rotation.from_matrix(data.xmat[foot].reshape(3, 3)).inv()
        motion.position[k] = np.array([0.1, 0.2, 0.035]) - base.apply(data.xpos[foot])
        rotations.append(base)
    motion.rotation = Rotation.concatenate(rotations)
    return motion


def check_same(clip, motion: Motion, atol: float = 1e-9) -> None:
    """The clip is that motion: position, rotation as a matrix, each joint by its name."""
    assert len(clip) == len(motion.position)
    assert abs(clip.fps - motion.fps) < 1e-9 * motion.fps
    np.testing.assert_allclose(clip.qpos[:, :3], motion.position, atol=atol)
    ours = Rotation.from_quat(clip.qpos[:, [4, 5, 6, 3]])
    assert (ours.inv() * motion.rotation).magnitude().max() < max(atol, 1e-9)
    for name, values in motion.angles.items():
        column = clip.qpos[:, 7 + clip.joint_names.index(f"{name}_joint")]
        np.testing.assert_allclose(column, values, atol=atol, err_msg=name)


def csv(path: Path, motion: Motion, order: str = "xyzw") -> Path:
    rows = np.concatenate([motion.position, getattr(motion, order), motion.table()], axis=1)
    path.write_text("\n".join(",".join(repr(float(x)) for x in row) for row in rows) + "\n")
    return path


def gmr(path: Path, motion: Motion, protocol: int = 4, **changes) -> Path:
    data = {
        "fps": motion.fps,
        "root_pos": motion.position,
        "root_rot": motion.xyzw,
        "dof_pos": motion.table(),
        "local_body_pos": None,
        "link_body_list": None,
    } | changes
    path.write_bytes(pickle.dumps({k: v for k, v in data.items() if v is not ...}, protocol=protocol))
    return path


def mimickit(path: Path, motion: Motion, loop: int = 0, as_list: bool = False, **changes) -> Path:
    frames = np.concatenate([motion.position, motion.rotation.as_rotvec(), motion.table()], axis=1)
    data = {"loop_mode": loop, "fps": motion.fps, "frames": frames.tolist() if as_list else frames} | changes
    path.write_bytes(pickle.dumps({k: v for k, v in data.items() if v is not ...}))
    return path


def amp_rsl_rl(path: Path, motion: Motion, joints=SDK[::-1], **changes) -> Path:
    data = {
        "joints_list": list(joints),
        "joint_positions": list(motion.table(joints)),
        "root_position": list(motion.position),
        "root_quaternion": list(motion.xyzw),
        "fps": motion.fps,
    } | changes
    with path.open("wb") as file:
        np.save(file, np.array({k: v for k, v in data.items() if v is not ...}, dtype=object), allow_pickle=True)
    return path


def body_places(motion: Motion, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Where MuJoCo has every body but the world: positions (K, B, 3), quaternions wxyz (K, B, 4)."""
    data, places, quats = mujoco.MjData(model), [], []
    for position, quat, angles in zip(motion.position, motion.wxyz, motion.table(), strict=True):
        data.qpos[:] = np.concatenate([position, quat, angles])
        mujoco.mj_kinematics(model, data)
        places.append(data.xpos[1:].copy())
        quats.append(data.xquat[1:].copy())
    return np.array(places), np.array(quats)


def beyondmimic(path: Path, motion: Motion, model: mujoco.MjModel, order=ISAAC, **changes) -> Path:
    places, quats = body_places(motion, model)
    links = ["pelvis", *(f"{name}_link" if name != "waist_pitch" else "torso_link" for name in order)]
    bodies = [model.body(name).id - 1 for name in links]
    table, dt = motion.table(order), 1 / motion.fps
    data = {
        "fps": np.array([motion.fps]),
        "joint_pos": table,
        "joint_vel": np.gradient(table, dt, axis=0),
        "body_pos_w": places[:, bodies],
        "body_quat_w": quats[:, bodies],
        "body_lin_vel_w": np.gradient(places[:, bodies], dt, axis=0),
        "body_ang_vel_w": np.zeros((len(table), len(bodies), 3)),
    } | changes
    with path.open("wb") as file:
        np.savez(file, **{k: v for k, v in data.items() if v is not ...})
    return path


def isaaclab(path: Path, motion: Motion, model: mujoco.MjModel, order=ISAAC, **changes) -> Path:
    places, quats = body_places(motion, model)
    bodies = ["torso_link", "pelvis", "left_ankle_roll_link"]  # the base is not the first
    ids = [model.body(name).id - 1 for name in bodies]
    table, dt = motion.table(order), 1 / motion.fps
    data = {
        "fps": np.int64(motion.fps),
        "dof_names": np.array([f"{name}_joint" for name in order]),
        "body_names": np.array(bodies),
        "dof_positions": table.astype(np.float32),
        "dof_velocities": np.gradient(table, dt, axis=0).astype(np.float32),
        "body_positions": places[:, ids].astype(np.float32),
        "body_rotations": quats[:, ids].astype(np.float32),
        "body_linear_velocities": np.gradient(places[:, ids], dt, axis=0),
        "body_angular_velocities": np.zeros((len(table), 3, 3)),
    } | changes
    with path.open("wb") as file:
        np.savez(file, **{k: v for k, v in data.items() if v is not ...})
    return path


def loco_mujoco(path: Path, motion: Motion, height: float = 0.79, **changes) -> Path:
    """Tilt about -y, list about x and rotation about z, in this order, is what the humanoids' models have."""
    turns = motion.rotation.as_euler("YXZ")
    base = {
        "pelvis_tx": motion.position[:, 0],
        "pelvis_tz": motion.position[:, 1],
        "pelvis_ty": motion.position[:, 2] - height,
        "pelvis_tilt": -turns[:, 0],
        "pelvis_list": turns[:, 1],
        "pelvis_rotation": turns[:, 2],
    }
    own = base | {f"{name}_joint": values for name, values in motion.angles.items()}
    data = {f"q_{name}": values for name, values in own.items()}
    data |= {f"dq_{name}": np.gradient(values, 1 / motion.fps) for name, values in own.items()}
    kept: dict[str, Any] = {k: v for k, v in (data | changes).items() if v is not ...}
    with path.open("wb") as file:
        np.savez(file, **kept)
    return path


def deepmimic(
    path: Path, motion: Motion, durations: np.ndarray | None = None, up: str = "z", loop: str = "none", **changes
) -> Path:
    durations = np.full(len(motion.position), 1 / motion.fps) if durations is None else durations
    position, rotation = motion.position, motion.rotation
    if up == "y":
        turn = Rotation.from_euler("x", -90, degrees=True)
        position, rotation = turn.apply(position), turn * rotation * turn.inv()
    quat = rotation.as_quat()[:, [3, 0, 1, 2]]
    frames = np.concatenate([durations[:, None], position, quat, motion.table()], axis=1)
    data = {"Loop": loop, "Frames": frames.tolist()} | changes
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not ...}))
    return path
