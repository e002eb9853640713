"""The JSON text files of DeepMimic.

``Loop`` ("wrap" or "none") and ``Frames``: the frame's duration [s], base position 3 [m], base quaternion **wxyz**,
then the joints: an angle [rad] for a hinge, a quaternion for a ball joint. Joints have no names.

Motions of DeepMimic's own characters (``humanoid3d``, ``dog3d``), known by their ball joints, are retargeted: theirs
are other limbs than the robot's. Other files must have hinges only, one for each of the robot's, in the order of its
MJCF. Up is y in DeepMimic and z here: of a robot's motion the base's height tells which it is, or ``--up``. Every frame
has its own duration; where they differ, the motion is resampled to the usual one. The last frame of a "wrap" lasts no
time: it is the first one of the next round.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, velocities
from robopolicy.motion.importing.arrays import numbers, starts_with
from robopolicy.motion.importing.quat_order import ORDERS, upright
from robopolicy.motion.importing.recording import (
    AS_WRITTEN,
    FEWEST,
    OPEN,
    SETTLED,
    Options,
    Recording,
    closes,
    note,
    robot_joints,
    same_length,
    to_clip,
    unit,
)
from robopolicy.motion.pose import quat_conj, quat_exp, quat_mul, quat_slerp
from robopolicy.motion.retarget.characters import CHARACTERS, Character

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "JSON text with Loop and Frames of duration, position 3, quaternion (wxyz), joints (DeepMimic)"
TAKES = ("fps", "quat", "angles", "up", "mapping")
ROUGH = 0.25
"""By how much the length of a character's quaternions may differ from 1: up to 0.17 in DeepMimic's files, which divides
by it as it reads them."""
EVEN = 1e-3
"""Durations that differ by less than this share are one."""


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    try:
        data = _parse(path)
    except ValueError as error:
        return f"not JSON ({error})"
    if not isinstance(data, dict) or "Frames" not in data or "Loop" not in data:
        return "no Loop and Frames"
    if "FrameDuration" in data:
        return "has one FrameDuration for all frames"
    frames = data["Frames"]
    return "" if isinstance(frames, list) and frames and isinstance(frames[0], list) else "Frames is no list of frames"


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on the robot.

    Raises:
        UserError: The content is broken, or its joints are not the robot's.
    """
    data = _parse(path)
    frames = numbers(path, data, "Frames")
    if data["Loop"] not in ("wrap", "none"):
        raise UserError(f'{path}: Loop is {data["Loop"]!r}; it must be "wrap" or "none"')
    same_length(path, frames)
    character = _character(frames)
    if character is not None:
        return _retargeted(path, data, frames, character, model, options)
    joints, ours = frames.shape[1] - 8, len(model.joint_names)
    if joints != ours:
        known = ", ".join(f"{c.name} of {8 + c.columns}" for c in CHARACTERS)
        raise UserError(
            f"{path}: frames have {frames.shape[1]} columns; robot {model.robot.name!r} needs {8 + ours} (duration, "
            f"base 7, {ours} hinges); DeepMimic's own characters are {known}, with unit quaternions for ball joints"
        )
    _refuse(path, options, "a robot's hinges", "mapping")
    if options.up == "x":
        raise UserError(f"{path}: --up x: in DeepMimic's files it is y or z")
    position, quat = _z_up(path, frames[:, 1:4], frames[:, 4:8][:, ORDERS[options.quat or "wxyz"]], model, options.up)
    fps, times = _rate(path, frames[:, 0], options, data["Loop"] == "wrap")
    rows = np.concatenate([position, unit(path, quat), frames[:, 8:]], axis=1)
    if times is not None:
        rows = _resample(rows, times, 1.0 / fps, [3])
    recording = Recording(
        layout="deepmimic",
        fps=fps,
        joints=robot_joints(path, joints, model, "DeepMimic"),
        position=rows[:, :3],
        quat=rows[:, 3:7],
        order=SETTLED,
        angles=rows[:, 7:],
        loop=data["Loop"] == "wrap",
    )
    return to_clip(path, recording, model, options)


def _character(frames: np.ndarray) -> Character | None:
    """DeepMimic's own character that the frames are of, or None."""
    for character in CHARACTERS:
        if frames.shape[1] == 8 + character.columns:
            norms = [np.linalg.norm(frames[:, 8 + c : 12 + c], axis=1) for c in character.balls]
            if np.abs(np.array(norms) - 1).max() <= ROUGH:
                return character
    return None


def _retargeted(
    path: Path, data: Any, frames: np.ndarray, character: Character, model: "RobotModel", options: Options
) -> Clip:
    """A character's motion on the robot, its feet as they come: not locked."""
    from robopolicy.motion.retarget.solve import retarget

    _refuse(path, options, f"DeepMimic's {character.name}", "angles", "up")
    note(
        path, f"its {frames.shape[1]} columns with {len(character.balls)} ball joints are DeepMimic's {character.name}"
    )
    wrap = data["Loop"] == "wrap"
    fps, times = _rate(path, frames[:, 0], options, wrap)
    rows, quats = frames[:, 1:].copy(), [3, *(7 + c for c in character.balls)]
    for c in quats:
        rows[:, c : c + 4] = unit(path, rows[:, c : c + 4][:, ORDERS[options.quat or "wxyz"]], ROUGH)
    if times is not None:
        rows = _resample(rows, times, 1.0 / fps, quats)
    loop = wrap and len(rows) > FEWEST
    rows = rows[:-1] if loop else rows
    source = f"imported from {path.name} (DeepMimic's {character.name})"
    skeleton = character.skeleton(path.stem, fps, rows[:, :7], rows[:, 7:], loop, source)
    clip = retarget(skeleton, model, options.mapping)
    if loop and not closes(clip.qpos):
        note(path, OPEN)
        return dataclasses.replace(clip, loop=False, qvel=velocities(clip.qpos, fps, None))
    return clip


def _refuse(path: Path, options: Options, content: str, *names: str) -> None:
    """Refuse options that only the other kind of these files has a use for."""
    extra = [flag for name, flag in options.given.items() if name in names]
    if extra:
        raise UserError(f"{path}: leave out {', '.join(extra)}: the file has {content}")


def _parse(path: Path) -> Any:
    if not starts_with(path, b"{", b" ", b"\n", b"\r", b"\t", b"\xef\xbb\xbf"):
        raise ValueError("does not begin with a brace")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig", errors="strict"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _z_up(
    path: Path, position: np.ndarray, quat: np.ndarray, model: "RobotModel", told: str
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and quaternions with z up."""
    height = float(model.home_qpos[2])
    middle = np.median(position, axis=0)
    up = told or ("z" if abs(middle[2] - height) <= abs(middle[1] - height) else "y")
    reason = f"the base is at {middle['xyz'.index(up)]:.2f} m along it, the robot's stands at {height:.2f} m"
    reason = f"--up {told} was given" if told else reason
    if up == "z":
        note(path, f"z is up: {reason}")
        return position, quat
    turn = quat_exp(np.array([np.pi / 2, 0.0, 0.0]))
    turned = quat_mul(turn, quat)
    both = quat_mul(turned, quat_conj(turn))
    own = "y" if upright(both) > upright(turned) else "z"
    note(
        path,
        f"y is up, and turned to z: {reason}; upright if the base's own {own} points up at rest",
    )
    return position[:, [0, 2, 1]] * [1.0, -1.0, 1.0], both if own == "y" else turned


def _rate(path: Path, durations: np.ndarray, options: Options, wrap: bool) -> tuple[float, np.ndarray | None]:
    """Frames per second, and the frames' times [s] if they are uneven; a loop lasts a whole number of frames."""
    steps = durations[:-1]  # nothing follows the last frame
    if not (steps > 0).all():
        first = int(np.flatnonzero(~(steps > 0))[0])
        raise UserError(f"{path}: frame {first} lasts {steps[first]:.4g} s; it must be a positive number of seconds")
    usual = float(np.median(steps))
    if options.fps is not None:
        note(path, f"its durations, {usual:.4g} s mostly, are not used: --fps {options.fps:.4g} was given")
        return options.fps, None
    if np.abs(steps - usual).max() <= EVEN * usual:
        return 1.0 / usual, None
    if wrap:
        usual = steps.sum() / round(steps.sum() / usual)
    note(
        path,
        f"its frames last {steps.min():.4g} to {steps.max():.4g} s: resampled to {usual:.4g} s, the usual one, at the "
        "same speed",
    )
    return 1.0 / usual, np.concatenate([[0.0], np.cumsum(steps)])


def _resample(rows: np.ndarray, times: np.ndarray, dt: float, quats: list[int]) -> np.ndarray:
    """Rows (K, C) at ``times`` [s] as rows a step ``dt`` [s] apart: linear, spherical for quaternions at ``quats``."""
    wanted = np.arange(int(np.floor(times[-1] / dt + 1e-6)) + 1) * dt
    k = np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, len(times) - 2)
    t = np.clip((wanted - times[k]) / (times[k + 1] - times[k]), 0.0, 1.0)
    out = rows[k] + t[:, None] * (rows[k + 1] - rows[k])
    for c in quats:
        out[:, c : c + 4] = quat_slerp(rows[k, c : c + 4], rows[k + 1, c : c + 4], t)
    return out
