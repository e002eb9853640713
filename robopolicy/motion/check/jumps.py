"""Teleports: steps far larger than the ones around them."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.check.steps import steps
from robopolicy.motion.clip import Clip

JUMP_LINEAR = 2.0
"""The base's velocity may change by this within a frame, and by the largest nearby [m/s]."""
JUMP_ANGULAR = 10.0
"""... the base's angular velocity and a joint's by this [rad/s]: a hand or a landing foot comes near it."""
NEIGHBOURS = (-3, -2, 2, 3)
"""Steps to compare with; not the next ones, because a frame that is out of place spoils two steps."""


def jumping(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """How far each step exceeds what its neighbours allow.

    Returns:
        Excess of each step, positive for a jump [m, rad], shape (steps, 6 + J), and what the step should have
        been, the neighbours' median.
    """
    step = steps(clip)
    floor = np.full(step.shape[1], JUMP_ANGULAR / clip.fps)
    floor[:3] = JUMP_LINEAR / clip.fps
    index, excess, expected = np.arange(len(step)), np.empty_like(step), np.empty_like(step)
    for column in range(step.shape[1]):  # one by one: an hour's motion is large
        values = step[:, column]
        near = np.empty((len(NEIGHBOURS), len(values)))
        for row, offset in enumerate(NEIGHBOURS):
            other = (index + offset) % len(step)
            if not clip.loop:  # beyond an end, the one on the other side
                outside = (index + offset < 0) | (index + offset >= len(step))
                other = np.where(outside, index - offset, other).clip(0, len(step) - 1)
            near[row] = values[other]
        expected[:, column] = np.median(near, axis=0)
        # A fast motion goes on fast; a frame out of place comes back.
        after, before = values[(index + 1) % len(step)], values[index - 1]
        same = np.where(values > 0, np.maximum(after, before), -np.minimum(after, before))
        allowed = floor[column] + np.maximum(np.abs(near).max(axis=0), same)
        excess[:, column] = np.abs(values - expected[:, column]) - allowed
    return excess, expected


def jumps(clip: Clip, model_joints: tuple[str, ...]) -> list[Defect]:
    """Frames that are reached by a jump; a loop's seam has a check of its own."""
    if len(clip) < 8:
        return []
    excess, _ = jumping(clip)
    excess = excess[: len(clip) - 1]
    mask = np.append(False, (excess > 0).any(axis=1))
    names = ("x", "y", "z", "roll", "pitch", "yaw", *model_joints)
    size = np.abs(steps(clip))[: len(clip) - 1]
    where = np.argmax(np.where(excess > 0, excess, -np.inf)) if mask.any() else 0
    frame, column = np.unravel_index(where, excess.shape)
    unit = "m" if column < 3 else "rad"
    what = f"base {names[column]}" if column < 6 else names[column]
    detail = f"{what} jumps by {size[frame, column]:.3g} {unit} into frame {frame + 1}, far from the steps around it"
    return defects("jump", mask, detail)
