"""BVH: a skeleton and its joint angles, the layout of most human motion capture (CMU, Mixamo, LAFAN1, 100STYLE).

A HIERARCHY of joints with an OFFSET from the parent and CHANNELS in any order, then MOTION: a line of numbers a frame.
Rotations are intrinsic, in the order of the channels, in degrees; a joint's position channels stand in place of its
offset. What BVH does not say is inferred and told, or given:

* **units**: metres, centimetres, millimetres or CMU's own (5.64 cm), by the skeleton's height: its largest extent,
  median over the frames;
* **up axis**: the one along which the head is furthest above the feet, or else along which the skeleton is tallest.
"""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.recording import AS_WRITTEN, LENGTHS, ImportNote, Options
from robopolicy.motion.pose import quat_exp, quat_mul, quat_rotate
from robopolicy.motion.retarget.skeleton import Y_TO_Z_UP, SkeletonMotion, forward

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "BVH: HIERARCHY of joints and MOTION of their angles"
TAKES = ("fps", "lengths", "up", "mapping")
CMU = "units of CMU (5.64 cm)"
UNITS = {
    "m": (0.4, 3.5, 1.0),
    CMU: (12.0, 39.0, 0.0254 / 0.45),
    "cm": (40.0, 350.0, 0.01),
    "mm": (400.0, 3500.0, 0.001),
}
"""Height of a skeleton in each unit, at least and at most, and the unit [m]. CMU's skeletons (ASF) have a ``length`` of
0.45, by which their numbers are divided to get inches; conversions to BVH keep the numbers."""
AXES = {"X": 0, "Y": 1, "Z": 2}
TO_Z_UP = {
    0: np.array([0.5, -0.5, -0.5, -0.5]),  # x -> z, y -> x, z -> y
    1: Y_TO_Z_UP,
    2: np.array([1.0, 0.0, 0.0, 0.0]),
}
"""Rotation that brings each axis up."""


@dataclass
class _Joint:
    name: str
    parent: int
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: list[str] = field(default_factory=list)


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    with path.open("rb") as file:
        first = file.read(200).lstrip(b"\xef\xbb\xbf \t\r\n").split(None, 1)
    return "" if first and first[0].upper() == b"HIERARCHY" else "does not begin with HIERARCHY"


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion retargeted to the robot, its feet as they come: not locked.

    Raises:
        UserError: The file is broken (the message has the line), or its joints or the robot cannot be matched.
    """
    from robopolicy.motion.retarget.solve import retarget

    return retarget(load(path, options), model, options.mapping)


def load(path: str | Path, options: Options = AS_WRITTEN) -> SkeletonMotion:
    """Read a BVH file as a skeleton in motion, in metres with z up; end sites are joints called ``NAME end``.

    Args:
        path: The file.
        options: Frames per second, if the file's ``Frame Time`` is wrong; its units and the axis that is up, if what
            is inferred is.

    Warns:
        ImportNote: Units and up axis, with the reason.

    Raises:
        UserError: The file is broken; the message has the line.
    """
    path = Path(path)
    lines = _Lines(path)
    joints = _hierarchy(lines)
    values, frame_time = _motion(lines, sum(len(j.channels) for j in joints))
    root, offsets, local = _poses(joints, values)
    parents = [j.parent for j in joints]
    positions, rotations = forward(parents, offsets, root, local)
    names = [j.name for j in joints]
    positions, rotations, text = _to_metres_z_up(path, names, positions, rotations, options)
    warnings.warn(f"{path}: {text}", ImportNote, stacklevel=2)
    return SkeletonMotion(
        name=path.stem,
        fps=1.0 / frame_time if options.fps is None else options.fps,
        joint_names=tuple(names),
        parents=tuple(parents),
        positions=positions,
        rotations=rotations,
        source=f"imported from {path.name} (BVH)",
    )


class _Lines:
    """The file's lines that are not empty, one by one, with their numbers for messages."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0
        try:
            self.lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error

    def next(self, expected: str) -> list[str]:
        """The words of the next line."""
        while self.number < len(self.lines):
            words = self.lines[self.number].split()
            self.number += 1
            if words:
                return words
        self.number = len(self.lines)
        raise self.error(f"the file ends where {expected} should come")

    def error(self, text: str) -> UserError:
        return UserError(f"{self.path}: line {self.number}: {text}")

    def numbers(self, words: list[str], count: int, what: str) -> np.ndarray:
        """So many finite numbers."""
        if len(words) != count:
            raise self.error(f"{what} has {len(words)} numbers, not {count}")
        try:
            values = np.array(words, dtype=float)
        except ValueError:
            bad = next(w for w in words if not _is_number(w))
            raise self.error(f"{what} has {bad!r}, which is not a number") from None
        if not np.isfinite(values).all():
            raise self.error(f"{what} has NaN or infinity")
        return values


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _hierarchy(lines: _Lines) -> list[_Joint]:
    """The joints, parents first, end sites among them."""
    words = lines.next("HIERARCHY")
    if words[0].upper() != "HIERARCHY":
        raise lines.error(f"HIERARCHY should come first, not {words[0]!r}")
    joints: list[_Joint] = []
    open_joints: list[int] = []
    while True:
        words = lines.next("a joint, '}' or MOTION")
        key = words[0].upper()
        if key in ("ROOT", "JOINT", "END"):
            if (key == "ROOT") != (not joints):
                raise lines.error("a second ROOT: one skeleton per file" if joints else "the first joint must be ROOT")
            if joints and not open_joints:
                raise lines.error(f"{' '.join(words)} stands outside the root's braces")
            parent = open_joints[-1] if open_joints else -1
            if len(words) < 2:
                raise lines.error(f"{key} without a name")
            name = f"{joints[parent].name} end" if key == "END" else " ".join(words[1:]).rpartition(":")[2]
            joints.append(_Joint(name, parent))
            if lines.next("'{'") != ["{"]:
                raise lines.error("'{' should follow a joint's name, on a line of its own")
            open_joints.append(len(joints) - 1)
        elif key == "OFFSET" and open_joints:
            joints[open_joints[-1]].offset = lines.numbers(words[1:], 3, "OFFSET")
        elif key == "CHANNELS" and open_joints:
            joints[open_joints[-1]].channels = _channels(lines, words)
        elif key == "}" and open_joints:
            open_joints.pop()
        elif key == "MOTION" and joints and not open_joints:
            return joints
        else:
            raise lines.error(f"{words[0]!r} does not belong here")


def _channels(lines: _Lines, words: list[str]) -> list[str]:
    names = [w.lower() for w in words[2:]]
    known = [f"{axis.lower()}{kind}" for kind in ("position", "rotation") for axis in AXES]
    if len(words) < 2 or not words[1].isdigit() or int(words[1]) != len(names):
        raise lines.error(f"CHANNELS says {words[1] if len(words) > 1 else 'nothing'} and names {len(names)}")
    for word, name in zip(words[2:], names, strict=True):
        if name not in known:
            raise lines.error(f"unknown channel {word!r}; there are Xposition ... Zrotation")
    if len(set(names)) != len(names):
        raise lines.error(f"CHANNELS names one twice: {' '.join(words[2:])}")
    return names


def _motion(lines: _Lines, channels: int) -> tuple[np.ndarray, float]:
    """The numbers, shape (K, channels), and the time between frames [s]."""
    words = lines.next("Frames:")
    if words[0].lower() != "frames:" or len(words) != 2 or not words[1].isdigit():
        raise lines.error(f"'Frames: N' should come here, not {' '.join(words)!r}")
    count = int(words[1])
    if count < 2:
        raise lines.error(f"the file has {count} frames; a motion needs at least 2")
    words = lines.next("Frame Time:")
    if [w.lower() for w in words[:2]] != ["frame", "time:"]:
        raise lines.error(f"'Frame Time: SECONDS' should come here, not {' '.join(words)!r}")
    frame_time = float(lines.numbers(words[2:], 1, "Frame Time")[0])
    if frame_time <= 0:
        raise lines.error(f"Frame Time is {frame_time:g} s; it must be positive")
    rows = [lines.numbers(lines.next(f"frame {k} of {count}"), channels, f"frame {k}") for k in range(count)]
    if any(line.strip() for line in lines.lines[lines.number :]):
        lines.number += 1
        raise lines.error(f"more lines follow the {count} frames that 'Frames:' announces")
    return np.array(rows), frame_time


def _poses(joints: list[_Joint], values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Root positions (K, 3), offsets (K, N, 3) and local quaternions (K, N, 4), in the file's units and axes."""
    count = len(values)
    offsets = np.tile(np.array([j.offset for j in joints]), (count, 1, 1))
    local = np.tile([1.0, 0.0, 0.0, 0.0], (count, len(joints), 1))
    column = 0
    for i, joint in enumerate(joints):
        for channel in joint.channels:
            axis = AXES[channel[0].upper()]
            if channel.endswith("position"):
                offsets[:, i, axis] = values[:, column]
            else:
                turn = np.radians(values[:, column])[:, None] * np.eye(3)[axis]
                local[:, i] = quat_mul(local[:, i], quat_exp(turn))
            column += 1
    return offsets[:, 0], offsets, local


def _to_metres_z_up(path: Path, names: list[str], positions: np.ndarray, rotations: np.ndarray, options: Options):
    """The same motion in metres with z up, and what was inferred, in words."""
    unit, size = _unit(path, positions, options.units)
    up, down, axis = (
        (AXES[options.up.upper()], False, f"--up {options.up} was given") if options.up else _up(names, positions)
    )
    turn = TO_Z_UP[up]
    if down:  # the axis points down: half a turn about x
        turn = quat_mul(np.array([0.0, 1.0, 0.0, 0.0]), turn)
    positions = quat_rotate(turn, positions) * UNITS[unit][2]
    text = f"read in {unit}, because {size}; {'-' if down else ''}{'xyz'[up]} is up, because {axis}"
    return positions, quat_mul(np.broadcast_to(turn, rotations.shape), rotations), text


def _up(names: list[str], positions: np.ndarray) -> tuple[int, bool, str]:
    """The vertical axis, whether it points down, and the reason."""
    lowered = [n.lower() for n in names]
    heads = [i for i, n in enumerate(lowered) if "head" in n or "neck" in n]
    feet = [i for i, n in enumerate(lowered) if any(word in n for word in ("foot", "toe", "ankle"))]
    if heads and feet:
        above = np.median(positions[:, heads].mean(axis=1) - positions[:, feet].mean(axis=1), axis=0)
        reason = f"along it {names[heads[0]]} is above {names[feet[0]]}"
    else:
        above = np.median(np.ptp(positions, axis=1), axis=0)
        reason = "along it the skeleton is tallest"
    up = int(np.argmax(np.abs(above)))
    return up, bool(above[up] < 0), reason


def _unit(path: Path, positions: np.ndarray, told: str) -> tuple[str, str]:
    """The unit of lengths, and the reason."""
    if told:
        return CMU if told == "cmu" else told, f"--units {told} was given"
    height = float(np.median(np.ptp(positions, axis=1).max(axis=1)))
    unit = next((u for u, (low, high, _) in UNITS.items() if low <= height <= high), None)
    if unit is None:
        raise UserError(
            f"{path}: the skeleton is {height:.3g} units tall, which is no size for a body in {', '.join(UNITS)}; "
            f"--units {'|'.join(LENGTHS)} says which all the same"
        )
    return unit, f"the skeleton is {height:.3g} units tall"
