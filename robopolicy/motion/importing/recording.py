"""What a foreign motion file says, before it is a clip: units, quaternions, joint order and rate are settled here.

Whatever the file leaves open is inferred and told (:class:`ImportNote`), or asked for; nothing is assumed in silence.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.check.seam import SEAM_RATIO, leaps
from robopolicy.motion.clip import NORM_TOLERANCE, Clip, estimate_cycle, misfit, velocities
from robopolicy.motion.importing.quat_order import ORDERS, other, tell_order
from robopolicy.motion.pose import difference, move
from robopolicy.motion.retarget.roles import Mapping

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SETTLED = "settled"
"""Order of quaternions that are ours already: wxyz."""
TOO_FAR = 1.5
"""Angles beyond this many times the largest of the robot's joint ranges are no radians."""
RATE_TOLERANCE = 0.15
"""How far a file's velocities may be from its positions' own rate of change, as a share."""
STILL = 1e-3
"""A step from frame to frame that is as good as none [m, rad]."""
RATES = (1.0, 10_000.0)
"""Least and most frames per second that anyone may mean."""
OPEN = "is called a loop, but its last frame does not lead to its first: read as an open clip"
"""What is told of a loop that is none."""
ANGLES, LENGTHS, AXES = ("rad", "deg"), ("m", "cm", "mm", "cmu"), ("x", "y", "z")
"""What may be said of units and of the axis that is up; cmu is CMU's own unit of length, 5.64 cm."""
FEWEST = 4
"""Frames that a motion needs."""


class ImportNote(UserWarning):
    """Something that a file does not say and the import settled, with the reason; or says and does not keep."""


@dataclass(frozen=True)
class Options:
    """What the user says about a file.

    Attributes:
        fps: Frames per second; None: the file's, or what is known of the layout.
        quat: Order of quaternions, ``"wxyz"`` or ``"xyzw"``; empty: the layout's, or inferred.
        units: Of a robot's joint angles, :data:`ANGLES`, or of a skeleton's lengths, :data:`LENGTHS`; empty: radians
            unless they cannot be, and by the skeleton's height.
        up: The axis that is up, :data:`AXES`; empty: inferred.
        mapping: Names of joints and bodies, in place of the robot's own.
    """

    fps: float | None = None
    quat: str = ""
    units: str = ""
    up: str = ""
    mapping: Mapping | None = None

    def __post_init__(self) -> None:
        low, high = RATES
        if self.fps is not None and not low <= self.fps <= high:
            raise UserError(f"--fps {self.fps}: must be a positive number of frames per second, {low:g} to {high:g}")
        if self.quat not in ("", *ORDERS):
            raise UserError(f"--quat {self.quat}: unknown order; known: {', '.join(ORDERS)}")
        if self.units not in ("", *ANGLES, *LENGTHS):
            raise UserError(f"--units {self.units}: unknown; known: {', '.join((*ANGLES, *LENGTHS))}")
        if self.up not in ("", *AXES):
            raise UserError(f"--up {self.up}: unknown axis; known: {', '.join(AXES)}")

    @property
    def given(self) -> dict[str, str]:
        """Flags of what is said, by what they are about: fps, quat, angles or lengths (units), up, mapping."""
        units = "lengths" if self.units in LENGTHS else "angles"
        said = {"fps": self.fps, "quat": self.quat, units: self.units, "up": self.up, "mapping": self.mapping}
        flags = {units: f"--units {self.units}"}
        return {name: flags.get(name, f"--{name}") for name, value in said.items() if value not in (None, "")}


AS_WRITTEN = Options()
"""Nothing is said: the file and its layout decide."""


@dataclass(frozen=True)
class Recording:
    """A motion as its file has it, K frames of J joints in the file's own order.

    Attributes:
        layout: Name of the layout, for messages.
        fps: Frames per second.
        joints: Names of the joints, with or without a ``_joint`` at the end. Length J.
        position: Base position, world [m]. Shape (K, 3).
        quat: Base quaternion as the file has it. Shape (K, 4).
        angles: Joint angles [rad], or [deg] if they cannot be radians. Shape (K, J).
        order: Of the quaternions, as the layout's documents say; empty if they do not, SETTLED if they are wxyz
            by the reader's own doing.
        loop: The file calls it a loop; believed only where its ends meet.
        joint_velocity: As the file has it [rad/s], to compare only. Shape (K, J).
        base_velocity: As the file has it, world [m/s], to compare only. Shape (K, 3).
    """

    layout: str
    fps: float
    joints: tuple[str, ...]
    position: np.ndarray
    quat: np.ndarray
    angles: np.ndarray
    order: str = "wxyz"
    loop: bool = False
    joint_velocity: np.ndarray | None = None
    base_velocity: np.ndarray | None = None


def note(path: Path, text: str) -> None:
    """Tell what was settled, and why."""
    warnings.warn(f"{path.name}: {text}", ImportNote, stacklevel=3)


def to_clip(path: Path, recording: Recording, model: "RobotModel", options: Options) -> Clip:
    """The recording on a robot: joints by name, angles in radians, velocities from positions.

    Warns:
        ImportNote: Angles were degrees, the file's velocities are not its positions', or its loop does not close.

    Raises:
        UserError: Joints are missing or too many, a quaternion is none or in no known order, frames are too few, or
            angles fit no unit.
    """
    given = (recording.joint_velocity, recording.base_velocity)
    same_length(path, recording.position, recording.quat, recording.angles, *given)
    order = joint_order(path, recording.joints, model)
    scale = _radians(path, recording.angles, model, options)
    angles = scale * recording.angles[:, order]
    quat = unit(path, recording.quat)
    given = "" if recording.order == SETTLED else options.quat
    columns = ORDERS[given or quaternion_order(path, recording, quat, angles, model)]
    qpos = np.concatenate([recording.position, quat[:, columns], angles], axis=1)
    loop, qpos = _loop(path, qpos) if recording.loop else (False, qpos)
    cycle = estimate_cycle(qpos) if loop else None
    qvel = velocities(qpos, recording.fps, cycle)
    for what, given, computed in (
        ("joint", recording.joint_velocity, qvel[:, 6:]),
        ("base", recording.base_velocity, qvel[:, :3]),
    ):
        if given is not None:
            given = scale * given[:, order] if what == "joint" else given
            _compare(path, f"{what} velocities", given[: len(qvel)], computed, recording.fps)
    return Clip(
        name=path.stem,
        fps=recording.fps,
        joint_names=tuple(model.joint_names),
        qpos=qpos,
        qvel=qvel,
        loop=loop,
        robot=model.robot.name,
        source=f"imported from {path.name} ({recording.layout} layout)",
    )


def same_length(path: Path, *fields: np.ndarray | None) -> None:
    """Refuse fields of different numbers of frames, or of too few; None is left out.

    Raises:
        UserError: They are.
    """
    counts = {len(field) for field in fields if field is not None}
    if len(counts) != 1:
        raise UserError(f"{path}: its fields have different numbers of frames: {', '.join(map(str, sorted(counts)))}")
    if min(counts) < FEWEST:
        raise UserError(f"{path}: has {min(counts)} frames; a motion needs at least {FEWEST}")


def joint_order(path: Path, joints: Sequence[str], model: "RobotModel") -> np.ndarray:
    """For each joint of the robot, its place in the file; ``_joint`` at the end of a name does not count.

    Raises:
        UserError: The file lacks joints of the robot, has others, or names one twice.
    """
    bare = [name.removesuffix("_joint") for name in joints]
    ours = [name.removesuffix("_joint") for name in model.joint_names]
    twice = sorted({name for name in bare if bare.count(name) > 1})
    if twice:
        raise UserError(f"{path}: names {', '.join(twice)} more than once")
    missing, extra = [n for n in ours if n not in bare], [n for n in bare if n not in ours]
    if missing or extra:
        raise UserError(f"{path}: is no motion of robot {model.robot.name!r}: it {misfit(missing, extra)}")
    return np.array([bare.index(name) for name in ours], dtype=int)


def robot_joints(path: Path, count: int, model: "RobotModel", layout: str) -> tuple[str, ...]:
    """The joints of a file that has none of their names and whose layout runs in the order of the robot's MJCF.

    Raises:
        UserError: It has another number of them.
    """
    if count != len(model.joint_names):
        raise UserError(
            f"{path}: has {count} joints without names; robot {model.robot.name!r} has {len(model.joint_names)}"
        )
    first, last = model.joint_names[0], model.joint_names[-1]
    note(path, f"{layout} does not name its joints: taken in the order of the robot's MJCF, {first} to {last}")
    return tuple(model.joint_names)


def quaternion_order(
    path: Path, recording: Recording, quat: np.ndarray, angles: np.ndarray, model: "RobotModel"
) -> str:
    """The order of the quaternions: the documented one, if the motion does not speak against it; else the motion's.

    Args:
        path: The file, for messages.
        recording: What it says.
        quat: Its quaternions at norm 1. Shape (K, 4).
        angles: Its joint angles in contract order [rad]. Shape (K, J).
        model: The robot.

    Raises:
        UserError: The motion contradicts the documented order, or there is none and nothing tells.
    """
    if recording.order == SETTLED:
        return "wxyz"
    found, reason = tell_order(recording.position, quat, angles, recording.fps, model)
    if not recording.order:
        if not found:
            raise UserError(f"{path}: the order of its quaternions cannot be told; say --quat wxyz or --quat xyzw")
        note(path, f"quaternions are {found}: so {reason}")
        return found
    if found == other(recording.order):
        raise UserError(
            f"{path}: its quaternions should be {recording.order}, the order of layout {recording.layout}, but as "
            f"{found} {reason}: say which with --quat {recording.order} or --quat {found}"
        )
    return recording.order


def unit(path: Path, quat: np.ndarray, tolerance: float = NORM_TOLERANCE) -> np.ndarray:
    """Unit quaternions without sign flips. Shape (K, 4).

    Raises:
        UserError: The length of one differs from 1 by more than ``tolerance``.
    """
    norm = np.linalg.norm(quat, axis=1)
    bad = np.flatnonzero(~(np.abs(norm - 1) <= tolerance))
    if len(bad):
        raise UserError(f"{path}: the base has no unit quaternion in frame {bad[0]}: norm {norm[bad[0]]:.4g}")
    quat = quat / norm[:, None]
    flips = (quat[1:] * quat[:-1]).sum(axis=1) < 0
    return quat * np.concatenate([[1.0], np.where(np.cumsum(flips) % 2, -1.0, 1.0)])[:, None]


def closes(qpos: np.ndarray) -> bool:
    """Whether the last frame leads to the first, in height, tilt and joints."""
    after = np.concatenate([qpos[1:], move(qpos[:1], estimate_cycle(qpos))])
    return not leaps(_free(difference(qpos, after)), SEAM_RATIO * STILL)  # most frames of a gesture may stand still


def _free(steps: np.ndarray) -> np.ndarray:
    """Steps apart from planar motion and turning. Shape (K, 3 + J)."""
    return np.delete(steps, [0, 1, 5], axis=1)


def _flat(steps: np.ndarray) -> np.ndarray:
    """Their size. Shape (K,)."""
    return np.abs(_free(steps)).max(axis=1)


def _loop(path: Path, qpos: np.ndarray) -> tuple[bool, np.ndarray]:
    """Whether it is a loop, and its frames, without a last one that repeats the first."""
    usual = np.median(_flat(difference(qpos[:-1], qpos[1:])))
    here = qpos[-1:].copy()
    here[:, :2] = qpos[0, :2]
    if len(qpos) > FEWEST and _flat(difference(qpos[:1], here))[0] < max(0.3 * usual, 1e-6):
        note(path, "its last frame repeats the first: left out")
        qpos = qpos[:-1]
    if closes(qpos):
        return True, qpos
    note(path, OPEN)
    return False, qpos


def _radians(path: Path, angles: np.ndarray, model: "RobotModel", options: Options) -> float:
    """What the file's angles are to be multiplied with [rad]."""
    if options.units:
        return float(np.deg2rad(1.0)) if options.units == "deg" else 1.0
    reach = TOO_FAR * max(np.abs(model.lower).max(), np.abs(model.upper).max())
    most = np.abs(angles).max()
    if most <= reach:
        return 1.0
    if np.deg2rad(most) <= reach:
        note(path, f"its joint angles reach {most:.4g}, which can be no radians on this robot: read as degrees")
        return float(np.deg2rad(1.0))
    raise UserError(
        f"{path}: its joint angles reach {most:.4g}, beyond any joint of robot {model.robot.name!r} in radians and in "
        "degrees; --units rad or --units deg reads them all the same"
    )


def _compare(path: Path, what: str, given: np.ndarray, computed: np.ndarray, fps: float) -> None:
    """Tell if the file's velocities are not its positions' rate of change."""
    if not given.any():
        note(path, f"its {what} are all zero: they could not confirm {fps:.4g} frames per second")
        return
    ratio = float((given * computed).sum() / max((computed**2).sum(), 1e-12))
    error = np.sqrt(((given - computed) ** 2).mean() / max((computed**2).mean(), 1e-12))
    if (computed**2).mean() < 1e-4 or (abs(ratio - 1) < RATE_TOLERANCE and error < 0.5):
        return
    fits = f"; they would fit {fps * ratio:.4g} frames per second" if ratio > 0.05 else ""
    note(
        path,
        f"its {what} are {ratio:.2f} times the rate of its positions at {fps:.4g} frames per second (rms error "
        f"{100 * error:.0f}%){fits}. They are not used: all velocities come from the positions",
    )
