"""Stretches of motion, of clips and of policies alike, and the clips that a policy is compared with."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robopolicy.env.command import Command
from robopolicy.errors import UserError
from robopolicy.motion.check.trace import motor_power
from robopolicy.motion.clip import Clip, load_clips
from robopolicy.motion.contacts import contacts
from robopolicy.motion.feet import Feet
from robopolicy.motion.shuffle import scatter_clip, shuffle_clip
from robopolicy.robot import RobotModel

_OUTSIDE = 0.05  # a clip may be so much faster than the commands that a policy knows [m/s], [rad/s]


@dataclass(frozen=True)
class Motion:
    """One unbroken stretch of motion, a control period between frames.

    Attributes:
        clip: The clip that it is, or whose velocity the policy was told.
        qpos, qvel: As in MuJoCo. Shapes (K, 7 + J), (K, 6 + J).
        height: Lowest point of each foot over the ground [m]. Shape (K, F).
        speed: Horizontal speed that was asked for [m/s].
        missing: Frames that a fall took away.
        power: Magnitude of the motors' mechanical power, summed [W]. Shape (K,); None where nobody asked.
            A clip's is by inverse dynamics.
    """

    clip: str
    qpos: np.ndarray
    qvel: np.ndarray
    height: np.ndarray
    speed: float = 0.0
    missing: int = 0
    power: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.qpos)

    @property
    def joints(self) -> np.ndarray:
        """Joint angles [rad]. Shape (K, J)."""
        return self.qpos[:, 7:]

    @property
    def contact(self) -> np.ndarray:
        """Which feet are on the ground. Shape (K, F) bool."""
        return contacts(self.height)


@dataclass(frozen=True)
class ClipSet:
    """The clips of one style, each with what was trained on and what policies are compared with, see ``Clip.split``.

    Attributes:
        name: What a person calls them.
        key: Hash of their content; equal for equal sets.
        clips: All of them, whole, at the control rate.
        held_out: What policies are compared with: the second halves of open clips, and whole loops.
        trained: The first halves, and whole loops: how near a perfect copy of them would come.
        commands: The velocities of the frames in ``held_out`` in the heading frame [m/s, m/s, rad/s]. Shapes (K, 3).
        left_out: Clips that are too fast for the commands.
    """

    name: str
    key: str
    clips: tuple[Clip, ...]
    held_out: tuple[Motion, ...]
    trained: tuple[Motion, ...]
    commands: tuple[np.ndarray, ...]
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The clips' names."""
        return tuple(clip.name for clip in self.clips)

    def within(self, low: np.ndarray, high: np.ndarray) -> "ClipSet":
        """Only the clips whose mean velocity lies between two commands (3,).

        Raises:
            UserError: There is none.
        """
        mean = [c.mean(0) for c in self.commands]
        kept = [bool(((m >= low - _OUTSIDE) & (m <= high + _OUTSIDE)).all()) for m in mean]
        if not any(kept):
            told = "; ".join(f"{n} {m[0]:.2f} {m[1]:.2f} {m[2]:.2f}" for n, m in zip(self.names, mean, strict=True))
            raise UserError(
                f"no clip of {self.name!r} is as slow as the commands that all of these policies know "
                f"(vx {low[0]:g}..{high[0]:g}, vy {low[1]:g}..{high[1]:g}, wz {low[2]:g}..{high[2]:g}): {told}"
            )

        def pick(values: tuple) -> tuple:
            return tuple(v for v, keep in zip(values, kept, strict=True) if keep)

        return dataclasses.replace(
            self,
            clips=pick(self.clips),
            held_out=pick(self.held_out),
            trained=pick(self.trained),
            commands=tuple(np.clip(c, low, high) for c in pick(self.commands)),
            left_out=tuple(n for n, keep in zip(self.names, kept, strict=True) if not keep),
        )

    def copy(self, robot: RobotModel) -> tuple[Motion, ...]:
        """A perfect copy: what was trained on, with the power that it would take of the motors."""
        power = [motor_power(clip, robot) for clip in self.clips]
        return tuple(dataclasses.replace(m, power=p[: len(m)]) for m, p in zip(self.trained, power, strict=True))

    def shuffled(self, robot: RobotModel, control_dt: float, seed: int = 0) -> tuple[Motion, ...]:
        """What policies are compared with, with its frames in random order, see ``shuffle_clip``."""
        return self._changed(robot, control_dt, shuffle_clip, seed)

    def out_of_step(self, robot: RobotModel, control_dt: float, seed: int = 0) -> tuple[Motion, ...]:
        """What policies are compared with, with every joint at another moment of it, see ``scatter_clip``."""
        return self._changed(robot, control_dt, scatter_clip, seed)

    def _changed(self, robot: RobotModel, control_dt: float, change: Callable, seed: int) -> tuple[Motion, ...]:
        feet = Feet(robot)
        clips = [_clip_of(m, clip, 1 / control_dt) for m, clip in zip(self.held_out, self.clips, strict=True)]
        changed = [change(c, seed + k) for k, c in enumerate(clips)]
        return tuple(_motion(c, feet, name) for c, name in zip(changed, self.names, strict=True))


def load_clip_set(name: str, patterns: tuple[str, ...], robot: RobotModel, control_dt: float) -> ClipSet:
    """Read the clips of a style.

    Raises:
        UserError: As ``load_clips``.
    """
    feet = Feet(robot)
    clips, held, trained, commands = [], [], [], []
    digest = hashlib.sha256()
    for clip in load_clips(robot.robot.name, patterns):
        digest.update(clip.content_hash().encode())
        clip = clip.for_robot(robot).resample(control_dt)
        first, second = clip.split()
        clips.append(clip)
        trained.append(_motion(first, feet, clip.name))
        held.append(_motion(second, feet, clip.name))
        commands.append(clip.planar_velocity()[-len(second) :])
    return ClipSet(name, digest.hexdigest(), tuple(clips), tuple(held), tuple(trained), tuple(commands))


def command_range(commands: list[Command]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest velocity (3,) that all of these commands contain; without limit where none is a velocity."""
    low, high = np.full(3, -np.inf), np.full(3, np.inf)
    for command in commands:
        if command.names[:3] == ["vx", "vy", "wz"]:
            bounds = np.array([command.ranges[n] for n in ("vx", "vy", "wz")])
            low, high = np.maximum(low, bounds[:, 0]), np.minimum(high, bounds[:, 1])
    return low, high


def _motion(clip: Clip, feet: Feet, name: str) -> Motion:
    speed = float(np.linalg.norm(clip.planar_velocity()[:, :2].mean(0)))
    return Motion(name, clip.qpos, clip.qvel, feet.heights(clip.qpos), speed)


def _clip_of(motion: Motion, clip: Clip, fps: float) -> Clip:
    return dataclasses.replace(clip, fps=fps, qpos=motion.qpos, qvel=motion.qvel, loop=False, phase=None)
