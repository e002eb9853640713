"""A motion clip: base and joint trajectories of one robot at a fixed rate, and its file."""

import dataclasses
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robopolicy.errors import UserError, unknown
from robopolicy.motion.pose import (
    difference,
    heading,
    inverse2,
    move,
    power2,
    quat_rotate,
    quat_slerp,
    rotate2,
)
from robopolicy.paths import clips_dir

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

REQUIRED = ("fps", "joint_names", "qpos", "qvel", "loop")
NORM_TOLERANCE = 1e-3
"""How far a base quaternion's norm may be from 1."""


@dataclass(frozen=True)
class Clip:
    """A clip of K frames for a robot with J joints on a free base. Frame k is at time k / fps.

    Attributes:
        name: Short name, for messages and logs.
        fps: Frames per second.
        joint_names: Order of the joints in ``qpos`` and ``qvel``. Length J.
        qpos: Base position, world [m]; base quaternion wxyz; joint angles [rad]. Shape (K, 7 + J).
        qvel: Base linear velocity, world [m/s]; base angular velocity, body [rad/s]; joint velocities
            [rad/s]. Shape (K, 6 + J).
        loop: The successor of frame K - 1 is frame 0, moved by the cycle's planar displacement. The last
            frame does not repeat the first.
        phase: Gait phase of each frame in [0, 1), or None. The left foot (or the FL-RR pair) touches down at
            0. Shape (K,).
        robot: Name of the robot it was made for; empty if unknown.
        source: Where it comes from, for people.
    """

    name: str
    fps: float
    joint_names: tuple[str, ...]
    qpos: np.ndarray
    qvel: np.ndarray
    loop: bool
    phase: np.ndarray | None = None
    robot: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _check_shapes(f"clip {self.name!r}", self)

    def __len__(self) -> int:
        return len(self.qpos)

    @property
    def dt(self) -> float:
        """Time between frames [s]."""
        return 1.0 / self.fps

    @property
    def duration(self) -> float:
        """K / fps for a loop, which steps on from its last frame; (K - 1) / fps otherwise [s]."""
        return (len(self) if self.loop else len(self) - 1) / self.fps

    # ---- files

    @classmethod
    def load(cls, path: str | Path, strict: bool = True) -> "Clip":
        """Read a clip file.

        Args:
            path: An ``.npz`` as :meth:`save` writes it. It is read without pickle.
            strict: Also refuse NaN and quaternions that are not of unit length. ``robopolicy clip check``
                turns it off, to name all defects at once.

        Raises:
            UserError: The file or a field of it cannot be used; the message names both.
        """
        path = Path(path)
        fields = _read_npz(path)
        for field in REQUIRED:
            if field not in fields:
                raise UserError(
                    f"{path}: field {field!r} is missing; the file has: {', '.join(sorted(fields)) or 'none'}"
                )
        values = {
            "fps": _scalar(path, fields, "fps", float),
            "joint_names": tuple(str(n) for n in np.atleast_1d(fields["joint_names"])),
            "qpos": _array(path, fields, "qpos"),
            "qvel": _array(path, fields, "qvel"),
            "loop": _scalar(path, fields, "loop", bool),
            "phase": _array(path, fields, "phase") if "phase" in fields else None,
            "robot": _scalar(path, fields, "robot", str) if "robot" in fields else "",
            "source": _scalar(path, fields, "source", str) if "source" in fields else "",
        }
        try:
            clip = cls(name=path.stem, **values)
        except UserError as error:
            raise UserError(f"{path}: {str(error).partition(': ')[2]}") from None
        if strict:
            clip.require_finite(str(path))
        return clip

    def save(self, path: str | Path) -> None:
        """Write the clip file; an earlier file of that name stays whole if anything goes wrong.

        Raises:
            UserError: The name does not end in .npz, or the file cannot be written.
        """
        path = clip_path(path)
        arrays: dict[str, Any] = {
            "fps": np.float64(self.fps),
            "joint_names": np.array(self.joint_names, dtype=np.str_),
            "qpos": np.asarray(self.qpos, np.float64),
            "qvel": np.asarray(self.qvel, np.float64),
            "loop": np.bool_(self.loop),
            "robot": np.str_(self.robot),
            "source": np.str_(self.source),
        }
        if self.phase is not None:
            arrays["phase"] = np.asarray(self.phase, np.float64)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **arrays)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None and os.path.exists(temporary):
                os.unlink(temporary)
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error

    def require_finite(self, where: str = "") -> None:
        """Raise a UserError that names the first frame with NaN, infinity or a quaternion not of norm 1."""
        where = where or f"clip {self.name!r}"
        for field in ("qpos", "qvel", "phase"):
            values = getattr(self, field)
            if values is None:
                continue
            bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
            if len(bad):
                raise UserError(
                    f"{where}: field {field!r} has NaN or infinity in {len(bad)} frames, first in frame {bad[0]}"
                )
        norm = np.linalg.norm(self.qpos[:, 3:7], axis=1)
        bad = np.flatnonzero(np.abs(norm - 1) > NORM_TOLERANCE)
        if len(bad):
            raise UserError(
                f"{where}: field 'qpos' has base quaternions (columns 3 to 6, wxyz) of norm other than 1 in "
                f"{len(bad)} frames, first in frame {bad[0]}: {norm[bad[0]]:.4g}"
            )

    def content_hash(self) -> str:
        """SHA-256 of what the clip says, whatever its name: rate, joints, trajectories, loop, phase."""
        digest = hashlib.sha256()
        digest.update(repr((float(self.fps), self.joint_names, bool(self.loop), self.qpos.shape)).encode())
        for values in (self.qpos, self.qvel, self.phase):
            digest.update(b"none" if values is None else np.ascontiguousarray(values, "<f8").tobytes())
        return digest.hexdigest()

    # ---- the same motion in other forms

    def for_robot(self, model: "RobotModel") -> "Clip":
        """The clip with its joints in the robot's contract order, matched by name.

        Raises:
            UserError: The clip is for another robot: it lacks joints, or has some that the robot lacks.
        """
        missing = [n for n in model.joint_names if n not in self.joint_names]
        extra = [n for n in self.joint_names if n not in model.joint_names]
        if missing or extra:
            made_for = f" was made for {self.robot!r} and" if self.robot else ""
            raise UserError(
                f"clip {self.name!r}{made_for} does not fit robot {model.robot.name!r}: "
                f"it {misfit(missing, extra)}; the robot's joints: {', '.join(model.joint_names)}"
            )
        order = np.array([self.joint_names.index(n) for n in model.joint_names], dtype=int)
        return dataclasses.replace(
            self,
            joint_names=tuple(model.joint_names),
            qpos=np.concatenate([self.qpos[:, :7], self.qpos[:, 7 + order]], axis=1),
            qvel=np.concatenate([self.qvel[:, :6], self.qvel[:, 6 + order]], axis=1),
        )

    def cycle(self) -> np.ndarray:
        """World motion [dx, dy, dyaw] that takes frame 0 to the successor of the last frame (m, m, rad).
        Shape (3,).

        The step across the seam is the mean of the planar velocities on both sides of it (trapezoid rule).
        """
        rate = heading_rate(self.qpos[[0, -1]], self.qvel[[0, -1]])
        yaw = heading(self.qpos[[0, -1], 3:7])
        turn = yaw[1] - yaw[0] + 0.5 * self.dt * rate.sum()
        last, first = self.qvel[-1, :2], rotate2(turn, self.qvel[0, :2])
        successor = self.qpos[-1, :2] + 0.5 * self.dt * (last + first)
        return np.array([*(successor - rotate2(turn, self.qpos[0, :2])), turn])

    def sample(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """qpos, qvel and phase at any times [s] (linear; spherical for the base).

        A loop goes on for ever, its displacement composed once per cycle. An open clip holds its ends.
        """
        times = np.asarray(times, float)
        count = len(self)
        frame = times * self.fps
        if self.loop:
            turn = np.floor(frame / count + 1e-12).astype(int)
            frame = np.maximum(frame - turn * count, 0.0)
        else:
            turn = np.zeros(len(times), int)
            frame = np.clip(frame, 0, count - 1)
        k = np.minimum(np.floor(frame + 1e-9).astype(int), count - 1 if self.loop else max(count - 2, 0))
        t = np.clip(frame - k, 0.0, 1.0)
        cycle = self.cycle() if self.loop else np.zeros(3)
        qpos, qvel, phase = self.qpos, self.qvel, self.phase
        if self.loop:
            qpos = np.concatenate([qpos, move(qpos[:1], cycle)])
            qvel = np.concatenate([qvel, _turn_velocity(qvel[:1], cycle[2])])
            phase = None if phase is None else np.concatenate([phase, phase[:1]])
        a, b, w = qpos[k], qpos[k + 1], t[:, None]
        pos = np.concatenate(
            [
                a[:, :3] + w * (b[:, :3] - a[:, :3]),
                quat_slerp(a[:, 3:7], b[:, 3:7], t),
                a[:, 7:] + w * (b[:, 7:] - a[:, 7:]),
            ],
            axis=1,
        )
        vel = qvel[k] + w * (qvel[k + 1] - qvel[k])
        for n in np.unique(turn[turn != 0]):
            moved = power2(cycle if n > 0 else inverse2(cycle), abs(int(n)))
            pos[turn == n] = move(pos[turn == n], moved)
            vel[turn == n] = _turn_velocity(vel[turn == n], moved[2])
        if phase is None:
            return pos, vel, None
        step = np.mod(phase[k + 1] - phase[k] + 0.5, 1.0) - 0.5
        return pos, vel, np.mod(phase[k] + t * step, 1.0)

    def resample(self, dt: float) -> "Clip":
        """The same motion, at the same speed, with a frame every ``dt`` seconds.

        An open clip ends at its last whole step. A loop stays a loop: over as many cycles as it takes to be a
        whole number of steps (at most 50 cycles and 60 s), else it becomes an open clip of one cycle.
        """
        if abs(dt * self.fps - 1) < 1e-9:
            return self
        cycles, loop = 1, self.loop
        if loop:
            whole = [
                n for n in range(1, 51) if _is_whole(n * self.duration / dt) and (n == 1 or n * self.duration <= 60)
            ]
            cycles, loop = (whole[0], True) if whole else (1, False)
        steps = cycles * self.duration / dt
        count = round(steps) if loop else int(np.floor(steps + 1e-6)) + 1
        if count < 2:
            raise UserError(f"clip {self.name!r} lasts {self.duration:.4g} s: too short for a frame every {dt:.4g} s")
        qpos, qvel, phase = self.sample(np.arange(count) * dt)
        return dataclasses.replace(self, fps=1.0 / dt, qpos=qpos, qvel=qvel, phase=phase, loop=loop)

    def split(self) -> tuple["Clip", "Clip"]:
        """What to learn from, and what to compare the result with.

        Of an open clip that is the first and the second half in time. A loop is one motion, of which nothing can be
        spared: it is both, whole.

        Raises:
            UserError: An open clip has fewer than 4 frames.
        """
        if self.loop:
            return self, self
        if len(self) < 4:
            raise UserError(f"clip {self.name!r} has {len(self)} frames; splitting it in two needs at least 4")
        half = len(self) // 2
        return self._part(slice(0, half), "train"), self._part(slice(half, None), "held-out")

    def unrolled(self, frames: int) -> "Clip":
        """A loop as an open clip that goes on for so many frames past its seam."""
        qpos, qvel, phase = self.sample(np.arange(len(self) + frames) / self.fps)
        return dataclasses.replace(self, qpos=qpos, qvel=qvel, phase=phase, loop=False)

    def _part(self, frames: slice, what: str) -> "Clip":
        return dataclasses.replace(
            self,
            name=f"{self.name}[{what}]",
            qpos=self.qpos[frames],
            qvel=self.qvel[frames],
            phase=None if self.phase is None else self.phase[frames],
            loop=False,
        )

    def planar_velocity(self, window_s: float = 1.0) -> np.ndarray:
        """The velocity command that each frame obeys: base velocity averaged over a centred window.

        Args:
            window_s: Width of the window [s]; with a gait phase, the whole number of gait cycles nearest to
                it, so that the sway of a step cancels. It wraps round a loop and is cut at an open clip's
                ends.

        Returns:
            Forward and sideways velocity in the base's heading frame [m/s] and yaw rate [rad/s]. Shape (K,
            3).
        """
        planar = rotate2(-heading(self.qpos[:, 3:7]), self.qvel[:, :2])
        values = np.concatenate([planar, heading_rate(self.qpos, self.qvel)[:, None]], axis=1)
        count, half = len(self), round(self._whole_cycles(window_s) * self.fps / 2)
        if half == 0:
            return values
        k = np.arange(count)
        if self.loop:
            padded = values[np.arange(-half, count + half) % count]
            low, high = k, k + 2 * half
        else:
            padded = values
            low, high = np.maximum(k - half, 0), np.minimum(k + half, count - 1)
        area = np.concatenate([np.zeros((1, 3)), np.cumsum(0.5 * (padded[:-1] + padded[1:]), axis=0)])
        return (area[high] - area[low]) / (high - low)[:, None]

    def _whole_cycles(self, window_s: float) -> float:
        """The whole number of gait cycles nearest to a duration, at least one; else the duration [s]."""
        if self.phase is None or window_s <= 0:
            return window_s
        rate = np.mod(np.diff(self.phase), 1.0).mean() * self.fps
        return max(1, round(window_s * rate)) / rate if rate > 0 else window_s


def misfit(missing: Sequence[str], extra: Sequence[str]) -> str:
    """Which joints do not match, for a message."""
    lacks = f"lacks {', '.join(missing)}" if missing else ""
    has = f"has {', '.join(extra)}" if extra else ""
    return " and ".join(part for part in (lacks, has) if part)


def velocities(qpos: np.ndarray, fps: float, cycle: np.ndarray | None = None) -> np.ndarray:
    """qvel of a trajectory by central differences, as MuJoCo would differentiate it.

    Each frame's velocity is the mean of the steps to and from it (one step only at the ends of an open
    trajectory); the angular part, a step's rotation vector, reads the same in the frames at both of its ends.

    Args:
        qpos: Shape (K, 7 + J), K >= 2.
        fps: Frames per second.
        cycle: For a loop, the world motion [dx, dy, dyaw] from frame 0 to the successor of the last frame.

    Returns:
        Linear velocity world [m/s], angular velocity body [rad/s], joint velocities [rad/s]. Shape (K, 6 +
        J).
    """
    if cycle is None:
        step = difference(qpos[:-1], qpos[1:]) * fps
        return 0.5 * (np.concatenate([step[:1], step]) + np.concatenate([step, step[-1:]]))
    after = difference(qpos, np.concatenate([qpos[1:], move(qpos[:1], cycle)])) * fps
    before = np.concatenate([_turn_velocity(after[-1:], -cycle[2]), after[:-1]])
    return 0.5 * (before + after)


def estimate_cycle(qpos: np.ndarray) -> np.ndarray:
    """World motion [dx, dy, dyaw] from frame 0 to the successor of the last frame, from positions alone.
    Shape (3,).

    The planar step across the seam is taken as the mean of the steps before and after it, each seen from its
    own heading.
    """
    yaw = heading(qpos[[-2, -1, 0, 1], 3:7])
    before, after = (np.mod(yaw[i + 1] - yaw[i] + np.pi, 2 * np.pi) - np.pi for i in (0, 2))
    step = 0.5 * (rotate2(-yaw[0], qpos[-1, :2] - qpos[-2, :2]) + rotate2(-yaw[2], qpos[1, :2] - qpos[0, :2]))
    turn = yaw[1] - yaw[2] + 0.5 * (before + after)
    successor = qpos[-1, :2] + rotate2(yaw[1], step)
    return np.array([*(successor - rotate2(turn, qpos[0, :2])), turn])


def heading_rate(qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """Rate of change of the base's heading [rad/s]; not the yaw gyro when the base tilts. Shape (K,)."""
    forward = quat_rotate(qpos[:, 3:7], np.array([1.0, 0.0, 0.0]))
    change = np.cross(quat_rotate(qpos[:, 3:7], qvel[:, 3:6]), forward)
    planar = (forward[:, :2] ** 2).sum(axis=1)
    return (forward[:, 0] * change[:, 1] - forward[:, 1] * change[:, 0]) / np.maximum(planar, 1e-9)


def load_clips(robot_name: str, patterns: Sequence[str] | str) -> list[Clip]:
    """Read clips by name, wildcard or path, each once, in the order given.

    Args:
        robot_name: Bare names are looked up in ``assets/clips/<robot_name>``.
        patterns: Names (``"stand"``), wildcards (``"walk_*"``), or paths (with a slash, or ending in
            ``.npz``); the path of a folder stands for the clips in it.

    Raises:
        UserError: A pattern finds nothing (the message lists what exists), two clips have one name, or a file
            cannot be used.
    """
    return [Clip.load(path) for path in clip_files(robot_name, patterns)]


def clip_files(robot_name: str, patterns: Sequence[str] | str) -> list[Path]:
    """The files that :func:`load_clips` reads.

    Raises:
        UserError: A pattern finds nothing, or two files have one name, by which clips are told apart everywhere.
    """
    found: dict[str, Path] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for path in find_clips(robot_name, str(pattern)):
            first = found.setdefault(path.stem, path)
            if first.resolve() != path.resolve():
                raise UserError(
                    f"two clips are called {path.stem!r}: {first} and {path}; clips are told apart by their names: "
                    "rename one"
                )
    return list(found.values())


def list_clips(robot_name: str) -> list[str]:
    """Names of the clips that come with the project for a robot."""
    return sorted(p.stem for p in (clips_dir() / robot_name).glob("*.npz"))


def clip_path(path: str | Path) -> Path:
    """The path of a clip to write; commands ask before they begin to work.

    Raises:
        UserError: The name does not end in .npz.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise UserError(f"cannot write {path}: a clip ends in .npz")
    return path


def find_clips(robot_name: str, pattern: str) -> list[Path]:
    """Files that one pattern of :func:`load_clips` stands for; at least one.

    Raises:
        UserError: The pattern finds nothing; the message lists what exists.
    """
    if "/" in pattern or os.sep in pattern or pattern.endswith(".npz"):
        path = Path(pattern).expanduser()
        if path.is_file():
            return [path]
        if path.is_dir():
            return _clips_in(path)
        matches = [p for p in sorted(path.parent.glob(path.name)) if p.suffix == ".npz"] if path.parent.is_dir() else []
        if matches:
            return matches
        if "/" in pattern or os.sep in pattern:
            beside = (
                ", ".join(sorted(p.name for p in path.parent.glob("*.npz")))
                if path.parent.is_dir()
                else "no such folder"
            )
            raise UserError(f"no clip at {pattern}; in {path.parent}: {beside or 'no .npz'}")
    folder = clips_dir() / robot_name
    matches = sorted(folder.glob(f"{pattern.removesuffix('.npz')}.npz"))
    if not matches:
        raise unknown("clip", pattern, list_clips(robot_name), str(folder))
    return matches


def find_clip(robot_name: str, name: str) -> Path:
    """The one file that a name or pattern of :func:`load_clips` stands for.

    Raises:
        UserError: It finds nothing, or several.
    """
    found = find_clips(robot_name, name)
    if len(found) > 1:
        raise UserError(f"{name} are {len(found)} clips; name one: {', '.join(path.stem for path in found)}")
    return found[0]


def _clips_in(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.npz"))
    if not found:
        raise UserError(f"no clips (.npz) in the folder {folder}")
    return found


def _turn_velocity(qvel: np.ndarray, yaw: float) -> np.ndarray:
    """Velocities seen after the world turned by ``yaw``: only the linear part is in the world frame."""
    out = np.array(qvel)
    out[:, :2] = rotate2(np.full(len(out), yaw), out[:, :2])
    return out


def _is_whole(x: float) -> bool:
    return round(x) > 0 and abs(x - round(x)) < 1e-6 * max(1.0, x)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"no clip file {path}")
    if path.suffix == ".toml":
        raise UserError(
            f"{path}: a keyframe file, not a clip; robopolicy clip import {path} --robot NAME --output "
            f"{path.stem}.npz makes it one"
        )
    try:
        data = np.load(path, allow_pickle=False)
        if not isinstance(data, np.lib.npyio.NpzFile):
            raise UserError(f"{path}: holds one bare array; a clip is an .npz with {', '.join(REQUIRED)}")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz ({error})") from error
    fields = {}
    with data:
        for field in data.files:
            try:
                fields[field] = data[field]
            except Exception as error:  # a damaged member raises whatever zlib, zipfile or the header parser likes
                raise UserError(f"{path}: field {field!r} cannot be read ({error})") from error
    return fields


def _array(path: Path, fields: dict[str, np.ndarray], field: str) -> np.ndarray:
    try:
        return np.asarray(fields[field], np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{path}: field {field!r} holds {fields[field].dtype}, not numbers") from None


def _scalar(path: Path, fields: dict[str, np.ndarray], field: str, kind: type):
    value = fields[field]
    if value.size != 1:
        raise UserError(f"{path}: field {field!r} must be one value; its shape is {value.shape}")
    content = value.reshape(()).item()
    if kind is bool and content not in (0, 1):  # the text "False" and NaN are true to Python
        raise UserError(f"{path}: field {field!r} is {content!r}; it must be true or false, 1 or 0")
    try:
        return kind(content)
    except (TypeError, ValueError):
        raise UserError(f"{path}: field {field!r} is {value!r}, not a {kind.__name__}") from None


def _check_shapes(where: str, clip: Clip) -> None:
    joints = len(clip.joint_names)
    if not (np.isfinite(clip.fps) and clip.fps > 0):
        raise UserError(f"{where}: field 'fps' is {clip.fps}; it must be positive")
    if len(set(clip.joint_names)) != joints:
        twice = sorted({n for n in clip.joint_names if clip.joint_names.count(n) > 1})
        raise UserError(f"{where}: field 'joint_names' names {', '.join(twice)} more than once")
    if clip.qpos.ndim != 2 or clip.qpos.shape[1] != 7 + joints:
        raise UserError(
            f"{where}: field 'qpos' has shape {clip.qpos.shape}; {joints} joints on a free base need (K, {7 + joints})"
        )
    if len(clip.qpos) == 0:
        raise UserError(f"{where}: field 'qpos' has zero length: no frames")
    if len(clip.qpos) < 2:
        raise UserError(f"{where}: field 'qpos' has one frame; a motion needs at least 2")
    if clip.qvel.shape != (len(clip.qpos), 6 + joints):
        raise UserError(
            f"{where}: field 'qvel' has shape {clip.qvel.shape}; it must be ({len(clip.qpos)}, {6 + joints})"
        )
    if clip.phase is not None:
        if clip.phase.shape != (len(clip.qpos),):
            raise UserError(f"{where}: field 'phase' has shape {clip.phase.shape}; it must be ({len(clip.qpos)},)")
        bad = np.flatnonzero((clip.phase < 0) | (clip.phase >= 1))
        if len(bad):
            raise UserError(f"{where}: field 'phase' must be in [0, 1); frame {bad[0]} has {clip.phase[bad[0]]:.4g}")
