"""Feet that stand still: stance spells are found, and the foot is held at rest on the ground through each.

For captured and retargeted motion, whose feet slide, hover and sink. A foot is in stance where it is low and slow;
how slow is judged against the spell itself, so a foot that is at rest already is left alone and one that creeps is
caught with all of its spell. There it is held at its mean place and heading, its sole flat on the ground. In between,
the correction goes over from one spell's to the next one's, and a foot that moves keeps off the ground. Only leg joints
change (and others that are beyond their limits), and the base's height: once for the whole clip, and smoothly lower
where a leg is too short for a place.
"""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check.defect import runs
from robopolicy.motion.clip import Clip, estimate_cycle, velocities
from robopolicy.motion.legs import Leg
from robopolicy.motion.pose import heading, inverse2, move, quat_conj, quat_exp, quat_log, quat_mul

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LOW = 0.02
"""A foot at most this far above its usual lowest place may be in stance [m]."""
SLOW = 0.5
"""A foot at most this fast may be in stance [m/s]."""
REST = 0.06
"""A foot slower than this is at rest [m/s]; a creeping one may be so much faster than its spell's usual speed ..."""
REST_RATIO = 2.5
"""... times as fast."""
SHORTEST = 0.06
"""Stances, and gaps in a stance, that are shorter are taken for noise [s]."""
BLEND = 0.4
"""The correction goes over from one stance to the next, or fades out, in at most this time [s]."""
CLEARANCE = 0.008
"""Least height of a foot that is not in stance and moves [m] ..."""
HURRY = (0.05, 0.11)
"""... at the second of these speeds over ground; none at the first [m/s]."""
REACH = 0.001
"""The base is lowered where a stance is further out of reach than this [m]."""
LOWEST = 0.06
"""... by at most this [m]."""
CHUNK = 20000
"""Frames solved at once: more only take more memory."""
SETTLE = 0.15
"""Time over which the base's lowering comes and goes [s]."""


@dataclass(frozen=True)
class FootLock:
    """What was changed.

    Attributes:
        shift: Height taken off the whole clip [m].
        lowered: How far the base was lowered further, for reach; the most of any frame [m].
        stance: Frames in which each foot stands. Shape (K, F).
        moved: How far each foot's ground point was moved; the most of any stance frame [m]. Shape (F,).
        unreached: Frames in which a standing foot stays more than 5 mm from its place.
    """

    shift: float
    lowered: float
    stance: np.ndarray
    moved: np.ndarray
    unreached: np.ndarray

    def __str__(self) -> str:
        spells = [len(runs(column)) for column in self.stance.T]
        text = (
            f"feet locked: {sum(spells)} stances, feet moved by up to {1000 * self.moved.max(initial=0):.0f} mm, "
            f"base lowered by {1000 * self.shift:.0f} mm"
        )
        if self.lowered > REACH:
            text += f" and for reach by up to {1000 * self.lowered:.0f} mm more"
        if self.unreached.any():
            text += f"; out of reach in {int(self.unreached.sum())} frames, first in frame {self.unreached.argmax()}"
        return text


def lock_feet(clip: Clip, model: "RobotModel", stance: np.ndarray | None = None) -> Clip:
    """The clip with its feet at rest on the ground in every stance; see :func:`lock_feet_report`."""
    return lock_feet_report(clip, model, stance)[0]


def lock_feet_report(
    clip: Clip, model: "RobotModel", stance: np.ndarray | None = None, ground: bool = True
) -> tuple[Clip, FootLock]:
    """Hold the feet at rest during their stances.

    Args:
        clip: The clip; its joints are matched to the robot's by name. A loop stays closed.
        model: The robot; the ground is at z = 0.
        stance: Frames in which each foot stands, if known; else they are found. Shape (K, F).
        ground: Also shift the whole clip in height, so that stances are at the ground.

    Returns:
        The clip with its velocities recomputed, joints inside their limits, and what was changed.
    """
    clip = clip.for_robot(model)
    legs = [Leg(model, foot) for foot in range(len(model.foot_sites))]
    count = len(clip)
    cycle = estimate_cycle(clip.qpos) if clip.loop else None
    # A loop goes on across its seam: look at the cycle before and the one after, too.
    qpos = _unroll(clip.qpos, cycle)
    middle = slice(count, 2 * count) if clip.loop else slice(0, count)
    poses = [leg.forward(qpos[:, :7], qpos[:, 7:]) for leg in legs]
    heights = np.stack([low for _, _, low in poses], axis=1)
    places = np.stack([place for place, _, _ in poses], axis=1)
    if stance is None:
        standing = find_stances(heights, places, clip.fps)
    else:
        standing = np.concatenate([stance] * (len(qpos) // count))
    shift = _ground(heights, standing) if ground else 0.0
    qpos[:, 2] -= shift
    qpos[:, 7:] = np.clip(qpos[:, 7:], model.lower, model.upper)
    corrections, targets = [], []
    for foot, (place, quat, low) in enumerate(poses):
        path = np.concatenate([place[:, :2], low[:, None] - shift], axis=1)
        held, turned = _hold(path, quat, standing[:, foot], clip.fps, legs[foot].flat)
        targets.append((held[middle], turned[middle]))
        corrections.append(np.linalg.norm(held - path, axis=1)[middle][standing[middle, foot]].max(initial=0.0))
    solved, lowered, left = _reach(qpos[middle], legs, targets, standing[middle], clip)
    report = FootLock(
        shift=shift,
        lowered=lowered,
        stance=standing[middle],
        moved=np.array(corrections),
        unreached=(left > 0.005).any(axis=1),
    )
    return dataclasses.replace(clip, qpos=solved, qvel=velocities(solved, clip.fps, cycle)), report


def find_stances(heights: np.ndarray, places: np.ndarray, fps: float) -> np.ndarray:
    """Frames in which each foot stands.

    Args:
        heights: Lowest point of each foot [m]. Shape (K, F).
        places: Position of each foot, world [m]. Shape (K, F, 3).
        fps: Frames per second.

    Returns:
        Boolean, shape (K, F).
    """
    speed = np.linalg.norm(np.gradient(places, 1 / fps, axis=0), axis=2)
    # A foot that never touches the ground has a floor of its own, which must not count.
    floor = np.minimum(np.percentile(heights, 5, axis=0), np.percentile(heights.min(axis=1), 5) + LOW)
    stance = (heights < floor + LOW) & (speed < SLOW)
    shortest = max(2, round(SHORTEST * fps))
    for foot in range(stance.shape[1]):
        column = stance[:, foot]
        for start, end in runs(column):
            usual = np.percentile(speed[start:end, foot], 30)
            column[start:end] &= speed[start:end, foot] < max(REST, REST_RATIO * usual)
        _drop_short(column, False, shortest)
        _drop_short(column, True, shortest)
    return stance


def _unroll(qpos: np.ndarray, cycle: np.ndarray | None) -> np.ndarray:
    if cycle is None:
        return qpos.copy()
    return np.concatenate([move(qpos, inverse2(cycle)), qpos, move(qpos, cycle)])


def _ground(heights: np.ndarray, standing: np.ndarray) -> float:
    """Height at which the feet stand [m]."""
    return float(np.median(heights[standing]) if standing.any() else np.percentile(heights.min(axis=1), 5))


def _hold(path: np.ndarray, quat: np.ndarray, standing: np.ndarray, fps: float, flat: bool):
    """A foot's ground point (K, 3) and rotation (K, 4) with its stances held."""
    spells = runs(standing)
    change = np.zeros((len(path), 6))  # moved by [m], turned by, a rotation vector in the world [rad]
    for start, end in spells:
        anchor = np.array([*path[start:end, :2].mean(axis=0), 0.0])
        change[start:end, :3] = anchor - path[start:end]
        if flat:
            yaw = np.unwrap(heading(quat[start:end])).mean()
            still = quat_exp(np.array([0.0, 0.0, yaw]))
            change[start:end, 3:] = quat_log(quat_mul(still, quat_conj(quat[start:end])))
    _fade(change, spells, max(1, round(BLEND * fps)))
    held = path + change[:, :3]
    # A toe that still touches while its sole swings away would scrape: keep it off the ground.
    step = np.linalg.norm(np.diff(held[:, :2], axis=0), axis=1) * fps
    speed = np.maximum(np.append(step, 0.0), np.append(0.0, step))
    clear = CLEARANCE * np.clip((speed - HURRY[0]) / (HURRY[1] - HURRY[0]), 0.0, 1.0)
    held[:, 2] = np.maximum(held[:, 2], np.where(standing, 0.0, clear))
    return held, quat_mul(quat_exp(change[:, 3:]), quat)


def _fade(change: np.ndarray, spells: np.ndarray, blend: int) -> None:
    """Fill the gaps between stances, in place: each end fades out over the gap, or ``blend`` frames if it is longer."""
    if not len(spells):
        return
    gaps = [(-1, 0, int(spells[0, 0])), *((0, int(a), int(b)) for (_, a), (b, _) in pairwise(spells))]
    gaps.append((1, int(spells[-1, 1]), len(change)))
    for side, a, b in gaps:
        if side < 0:  # before the first stance, and after the last one, there is nothing to go over to: keep it
            change[a:b] = change[b] if b < len(change) else 0.0
        elif side > 0:
            change[a:b] = change[a - 1]
        else:
            k, length = np.arange(a, b), min(blend, b - a + 1)
            out, into = _ease((k - a + 1) / length), _ease((b - k) / length)
            change[a:b] = out[:, None] * change[a - 1] + into[:, None] * change[b]


def _ease(u: np.ndarray) -> np.ndarray:
    """From 1 at 0 down to 0 at 1 and beyond, at rest at both ends."""
    u = np.clip(u, 0.0, 1.0)
    return 1.0 - u * u * (3.0 - 2.0 * u)


def _reach(qpos: np.ndarray, legs: list[Leg], targets: list, standing: np.ndarray, clip: Clip):
    """Solve all legs; lower the base smoothly where standing feet are out of reach, and solve those again.

    Returns:
        Trajectory (K, 7 + J), the most that the base was lowered [m], and the distance left per foot (K, F) [m].
    """
    qpos, drop = qpos.copy(), np.zeros(len(qpos))
    missing = np.zeros((*standing.shape, 3))
    todo = np.arange(len(qpos))
    for attempt in range(4):
        for k in np.array_split(todo, max(1, len(todo) // CHUNK)):
            for foot, (leg, (ground, quat)) in enumerate(zip(legs, targets, strict=True)):
                angles, missing[k, foot] = leg.solve(qpos[k, :7], qpos[k, 7:], ground[k], quat[k])
                qpos[k[:, None], 7 + leg.joints] = angles
        missing[~standing] = 0.0
        short = np.where(missing[..., 2] < 0, np.linalg.norm(missing, axis=2), 0.0).max(axis=1)
        if attempt == 3 or short.max() < REACH:
            break
        lower = _envelope(np.where(short > REACH, short, 0.0), round(SETTLE * clip.fps), clip.loop)
        lower = np.minimum(lower, LOWEST - drop)
        drop += lower
        qpos[:, 2] -= lower
        todo = np.flatnonzero(lower > 0)
    return qpos, float(drop.max()), np.linalg.norm(missing, axis=2)


def _envelope(values: np.ndarray, half: int, loop: bool) -> np.ndarray:
    """A smooth curve that is nowhere below the values: their moving maximum, averaged over the same window."""
    mode = "wrap" if loop else "edge"
    half = min(half, len(values) - 1)
    windows = np.lib.stride_tricks.sliding_window_view
    highest = windows(np.pad(values, half, mode=mode), 2 * half + 1).max(axis=1)
    weight = np.hanning(2 * half + 3)[1:-1]
    return windows(np.pad(highest, half, mode=mode), 2 * half + 1) @ (weight / weight.sum())


def _drop_short(mask: np.ndarray, value: bool, shortest: int) -> None:
    """Flip inner runs of ``value`` that are shorter, in place."""
    for start, end in runs(mask == value):
        if end - start < shortest and start > 0 and end < len(mask):
            mask[start:end] = not value
