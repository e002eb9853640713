"""Feet on the ground for captured motion: contacts are found, and feet in contact held in place."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.feet import Feet
from robopolicy.motion.ik import FootIK
from robopolicy.motion.pose import inverse2, move

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

CONTACT_HEIGHT = 0.02
"""A foot at most this far above its usual lowest place may be in contact [m]."""
CONTACT_SPEED = 0.5
"""A foot at most this fast over ground may be in contact [m/s]."""
CLEARANCE = 0.008
"""Least height of a foot that is not in contact [m]."""
OUT_OF_REACH = 0.005
"""A foot in contact that stays this far from its place is told [m]."""
SHORTEST = 3
"""Contacts and swings of fewer frames are taken for noise."""


def plant_feet(
    qpos: np.ndarray, fps: float, model: "RobotModel", cycle: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Shift the base in height, once for the clip, and bend the legs so that feet in contact stand still on
    the ground.

    A foot is in contact where it is low and slow. It is then held at its mean place, at ground height; in
    between, the correction goes over smoothly from one contact's to the next one's, and the foot is kept off
    the ground. Soles are not turned. Only leg joints change.

    Args:
        qpos: Captured trajectory in contract order. Shape (K, 7 + J).
        fps: Frames per second.
        model: The robot.
        cycle: For a loop, its planar displacement; contacts then go on across the seam.

    Returns:
        The corrected trajectory, shape (K, 7 + J), and how far each foot stays from the place where it is to be held,
        0 where it is not in contact [m], shape (K, F).
    """
    count, middle = len(qpos), slice(None) if cycle is None else slice(len(qpos), 2 * len(qpos))
    if cycle is not None:
        qpos = np.concatenate([move(qpos, inverse2(cycle)), qpos, move(qpos, cycle)])
    feet = Feet(model)
    heights, places = feet.trajectories(qpos)
    contact = find_contacts(heights, places, fps)
    shift = np.median(heights[contact]) if contact.any() else np.percentile(heights.min(axis=1), 5)
    qpos = qpos.copy()
    qpos[:, 2] -= shift
    ground = _ground(heights - shift, places)
    targets = np.stack([_held(ground[:, f], contact[:, f]) for f in range(contact.shape[1])], axis=1)
    qpos, contact, targets = qpos[middle], contact[middle], targets[middle]
    ik = FootIK(model, flat=False)
    for k in range(count):
        qpos[k] = ik.solve(qpos[k, :7], qpos[k, 7:], targets[k])[0]
    left = np.linalg.norm(_ground(*feet.trajectories(qpos)) - targets, axis=2)
    return qpos, np.where(contact, left, 0.0)


def unreached(missing: np.ndarray, model: "RobotModel") -> str:
    """Which feet cannot be held where they stand, from what :func:`plant_feet` says; empty if all can.

    Args:
        missing: How far each foot stays from its place [m]. Shape (K, F).
        model: The robot.
    """
    told = []
    for name, far in zip(Feet(model).names, missing.T, strict=True):
        late = np.flatnonzero(far > OUT_OF_REACH)
        if len(late):
            told.append(f"{name} in {len(late)} frames, first in frame {late[0]}, by up to {1000 * far.max():.0f} mm")
    return f"feet out of reach of where they stand: {'; '.join(told)}" if told else ""


def find_contacts(heights: np.ndarray, places: np.ndarray, fps: float) -> np.ndarray:
    """Frames in which each foot is low and slow.

    Args:
        heights: Lowest point of each foot [m]. Shape (K, F).
        places: Position of each foot, world [m]. Shape (K, F, 3).
        fps: Frames per second.

    Returns:
        Boolean, shape (K, F).
    """
    speed = np.linalg.norm(np.gradient(places[:, :, :2], 1 / fps, axis=0), axis=2)
    low = heights < np.percentile(heights, 5, axis=0) + CONTACT_HEIGHT
    contact = low & (speed < CONTACT_SPEED)
    for foot in range(contact.shape[1]):
        _drop_short(contact[:, foot], False)
        _drop_short(contact[:, foot], True)
    return contact


def _drop_short(mask: np.ndarray, value: bool) -> None:
    """Flip inner runs of ``value`` that are shorter than SHORTEST, in place."""
    for start, end in _runs(mask == value):
        if end - start < SHORTEST and start > 0 and end < len(mask):
            mask[start:end] = not value


def _runs(mask: np.ndarray) -> np.ndarray:
    """First frame, and the one after the last, of every run of True. Shape (n, 2)."""
    return np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]]))).reshape(-1, 2)


def _ground(heights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Ground points of the feet: the sites in x and y, the lowest points in z. Shape (K, F, 3)."""
    return np.concatenate([places[:, :, :2], heights[:, :, None]], axis=2)


def _held(ground: np.ndarray, contact: np.ndarray) -> np.ndarray:
    """Path of a foot's ground point with its contacts held. Shape (K, 3)."""
    runs = _runs(contact)
    if not len(runs):
        return ground
    shift = np.zeros_like(ground)
    for start, end in runs:
        anchor = np.array([*ground[start:end, :2].mean(axis=0), 0.0])
        shift[start:end] = anchor - ground[start:end]
    shift[: runs[0, 0]] = shift[runs[0, 0]]
    shift[runs[-1, 1] :] = shift[runs[-1, 1] - 1]
    for (_, a), (b, _) in pairwise(runs):
        t = (np.arange(a, b) - a + 1) / (b - a + 1)
        shift[a:b] = shift[a - 1] + (t * t * (3 - 2 * t))[:, None] * (shift[b] - shift[a - 1])
    held = ground + shift
    held[~contact, 2] = np.maximum(held[~contact, 2], CLEARANCE)
    return held
