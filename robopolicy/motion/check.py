"""What is wrong with a clip: each kind of defect, and the frames it is in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.clip import NORM_TOLERANCE, Clip, estimate_cycle, velocities
from robopolicy.motion.feet import Feet
from robopolicy.motion.pose import difference, move

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

STILL = 1e-7
"""A step smaller than this is a repeated frame [m, rad]."""
MOVING = 1e-4
"""... if the steps before and after it are larger than this [m, rad]."""
VELOCITY_ERROR = 0.2
"""Allowed error of qvel, root mean square, relative to the finite differences' own."""
VELOCITY_FLOOR = 0.05
"""Errors of qvel below this are never a defect [m/s, rad/s]."""
SEAM_RATIO = 3.0
"""How many median steps a joint may jump at a loop's seam."""
SEAM_FLOOR = 0.01
"""Jumps below this are never a defect [m, rad]."""
CONTACT_HEIGHT = 0.005
"""A foot whose lowest point is below this is on the ground [m]."""
SLIDE = 0.08
"""Speed over ground allowed to a foot in contact, for a frame [m/s]."""
MEAN_SLIDE = 0.02
"""... and on average over all frames in contact [m/s]."""
PENETRATION = 0.01
"""Depth allowed to a foot in the ground [m]."""
FLIGHT = 0.3
"""Time during which all feet may be off the ground [s]."""
FLIGHT_HEIGHT = 0.02
"""A foot whose lowest point is above this is off the ground [m]."""


@dataclass(frozen=True)
class Defect:
    """One kind of thing wrong with a clip.

    Attributes:
        kind: Short name of it.
        frames: The frames it is in.
        detail: What was found, with numbers.
    """

    kind: str
    frames: tuple[int, ...]
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail} [{len(self.frames)} frames: {spans(self.frames)}]"


def check(clip: Clip, model: "RobotModel") -> list[Defect]:
    """Look for every defect. An empty list is a clean clip.

    Args:
        clip: The clip; its joints are matched to the robot's by name.
        model: The robot.

    Raises:
        UserError: The clip is for another robot.
    """
    clip = clip.for_robot(model)
    broken = _not_finite(clip) or _quaternion_norm(clip)
    if broken:
        return broken
    checks: tuple[Callable[[Clip, RobotModel], list[Defect]], ...] = (
        _quaternion_sign,
        _duplicates,
        _velocity,
        _seam,
        _joint_limits,
        _joint_speed,
        _feet,
    )
    return [defect for look in checks for defect in look(clip, model)]


def spans(frames: tuple[int, ...], limit: int = 8) -> str:
    """Frame numbers for people: ``3, 7-12, 40``; at most ``limit`` spans."""
    parts: list[str] = []
    frames = tuple(sorted(set(frames)))
    start = 0
    for i in range(1, len(frames) + 1):
        if i == len(frames) or frames[i] != frames[i - 1] + 1:
            first, last = frames[start], frames[i - 1]
            parts.append(str(first) if first == last else f"{first}-{last}")
            start = i
    return ", ".join(parts[:limit]) + (f" and {len(parts) - limit} more" if len(parts) > limit else "")


def _defect(kind: str, mask: np.ndarray, detail: str) -> list[Defect]:
    frames = np.flatnonzero(mask)
    return [Defect(kind, tuple(frames.tolist()), detail)] if len(frames) else []


def _steps(clip: Clip) -> np.ndarray:
    """Differences between successive frames, round the seam for a loop. Shape (K or K - 1, 6 + J)."""
    steps = difference(clip.qpos[:-1], clip.qpos[1:])
    if not clip.loop:
        return steps
    return np.concatenate([steps, difference(clip.qpos[-1:], move(clip.qpos[:1], estimate_cycle(clip.qpos)))])


def _not_finite(clip: Clip) -> list[Defect]:
    found = []
    for field in ("qpos", "qvel"):
        bad = ~np.isfinite(getattr(clip, field))
        columns = ", ".join(str(c) for c in np.flatnonzero(bad.any(axis=0))[:8])
        found += _defect("not a number", bad.any(axis=1), f"{field} has NaN or infinity in columns {columns}")
    return found


def _quaternion_norm(clip: Clip) -> list[Defect]:
    error = np.abs(np.linalg.norm(clip.qpos[:, 3:7], axis=1) - 1)
    return _defect("quaternion norm", error > NORM_TOLERANCE, f"the base's is off 1 by up to {error.max():.3g}")


def _quaternion_sign(clip: Clip, model: "RobotModel") -> list[Defect]:
    quat = clip.qpos[:, 3:7]
    flipped = np.concatenate([[False], (quat[1:] * quat[:-1]).sum(axis=1) < 0])
    return _defect("quaternion sign", flipped, "the base's flips against the frame before; interpolation would spin it")


def _duplicates(clip: Clip, model: "RobotModel") -> list[Defect]:
    size = np.abs(_steps(clip)).max(axis=1)
    still, count = size < STILL, len(size)
    repeated = np.zeros(len(clip), bool)
    for k in np.flatnonzero(still & ~np.roll(still, 1)):
        run = 1
        while run < count and still[(k + run) % count]:
            run += 1
        before, after = size[k - 1], size[(k + run) % count]
        inside = clip.loop or 0 < k < count - run
        if run <= 3 and inside and min(before, after) > MOVING:
            repeated[(k + 1 + np.arange(run)) % len(clip)] = True
    return _defect("duplicated frames", repeated, "equal to the frame before, while the motion goes on around them")


def _velocity(clip: Clip, model: "RobotModel") -> list[Defect]:
    truth = velocities(clip.qpos, clip.fps, estimate_cycle(clip.qpos) if clip.loop else None)
    error = clip.qvel - truth
    found = []
    groups = {"base linear": slice(0, 3), "base angular": slice(3, 6), "joint": slice(6, None)}
    for what, columns in groups.items():
        e, t = error[:, columns], truth[:, columns]
        if t.shape[1] == 0:
            continue
        size, scale = np.sqrt((e**2).mean()), np.sqrt((t**2).mean())
        each = np.sqrt((e**2).max(axis=1))
        allowed = max(VELOCITY_ERROR * scale, VELOCITY_FLOOR)
        spikes = each > np.maximum(1.5 * np.abs(t).max(), 10 * allowed)
        ratio = (clip.qvel[:, columns] * t).sum() / max((t**2).sum(), 1e-12)
        if size > allowed:
            detail = f"{what} velocity is {ratio:.2f} times the positions' (rms error {size:.3g} of {scale:.3g})"
            found += _defect("velocity", each > allowed, detail)
        else:
            found += _defect("velocity", spikes, f"{what} velocity jumps away from the positions' by {each.max():.3g}")
    return found


def _seam(clip: Clip, model: "RobotModel") -> list[Defect]:
    if not clip.loop or len(clip) < 4:
        return []
    steps = np.abs(_steps(clip))[:, 2:]  # the planar step across the seam is an estimate: leave it out
    steps = np.delete(steps, 3, axis=1)  # and so is the turn
    jump, usual = steps[-1].max(), np.median(steps[:-1].max(axis=1))
    bad = np.zeros(len(clip), bool)
    bad[-1] = jump > max(SEAM_RATIO * usual, SEAM_FLOOR)
    return _defect("loop seam", bad, f"the step from the last frame to the first is {jump:.3g}, the median {usual:.3g}")


def _joint_limits(clip: Clip, model: "RobotModel") -> list[Defect]:
    q = clip.qpos[:, 7:]
    beyond = np.maximum(model.lower - q, q - model.upper)
    return _each_joint("joint limit", beyond, 1e-6, model, "{name} is {value:.3g} rad beyond its range")


def _joint_speed(clip: Clip, model: "RobotModel") -> list[Defect]:
    beyond = np.abs(clip.qvel[:, 6:]) - model.velocity_limit
    return _each_joint("joint speed", beyond, 1e-6, model, "{name} is {value:.3g} rad/s faster than its motor")


def _each_joint(kind: str, beyond: np.ndarray, tolerance: float, model: "RobotModel", text: str) -> list[Defect]:
    found = []
    for j in np.flatnonzero((beyond > tolerance).any(axis=0)):
        detail = text.format(name=model.joint_names[j], value=beyond[:, j].max())
        found += _defect(kind, beyond[:, j] > tolerance, detail)
    return found


def _feet(clip: Clip, model: "RobotModel") -> list[Defect]:
    feet = Feet(model)
    heights, places = feet.trajectories(clip.qpos)
    found = []
    for foot, name in enumerate(feet.names):
        depth = -heights[:, foot]
        found += _defect("penetration", depth > PENETRATION, f"{name} is {1000 * depth.max():.0f} mm in the ground")
        down = heights[:, foot] < CONTACT_HEIGHT
        slide = contact_speed(down, places[:, foot], clip.fps)
        mean = slide.sum() / max(int((down[:-1] & down[1:]).sum()), 1)
        allowed = SLIDE if mean <= MEAN_SLIDE else MEAN_SLIDE
        detail = f"{name} slides at up to {slide.max():.2f} m/s in contact (mean {mean:.3f})"
        found += _defect("foot sliding", slide > allowed, detail)
    return found + _floating(clip, heights.min(axis=1))


def contact_speed(down: np.ndarray, place: np.ndarray, fps: float) -> np.ndarray:
    """Speed over ground of a foot [m/s] where it is down in this frame and the next, else 0.

    Args:
        down: Whether the foot is on the ground. Shape (K,).
        place: Its position, world [m]. Shape (K, 3).
        fps: Frames per second.
    """
    step = np.linalg.norm(np.diff(place[:, :2], axis=0), axis=1) * fps
    return np.append(np.where(down[:-1] & down[1:], step, 0.0), 0.0)


def _floating(clip: Clip, lowest: np.ndarray) -> list[Defect]:
    """Spells with every foot in the air for longer than a jump."""
    up, long = lowest > FLIGHT_HEIGHT, np.zeros(len(clip), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], up.astype(int), [0]])))
    for start, end in edges.reshape(-1, 2):
        if (end - start) / clip.fps > FLIGHT:
            long[start:end] = True
    return _defect("floating", long, f"every foot is over {1000 * FLIGHT_HEIGHT:.0f} mm up for over {FLIGHT} s")
