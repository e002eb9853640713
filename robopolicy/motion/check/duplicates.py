"""Frames that repeat the one before while the motion goes on around them."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.check.steps import free_steps, steps
from robopolicy.motion.clip import Clip

STILL = 1e-7
"""A step smaller than this is a repeated frame [m, rad]."""
MOVING = 1e-4
"""... if the steps before and after it are larger than this [m, rad]."""
LONGEST = 3
"""A longer stretch of equal frames is a pose that is held."""
PERIODS = (2, 3, 4, 5)
"""Every so manieth frame may be a duplicate throughout (15 fps written as 30, 24 as 30)."""
REGULAR = 0.1
"""Then the repeating steps are at most this share of the others, if they are not quite zero."""
AGAIN = 0.05
"""Steps are equal, or nothing, that differ by at most this share of those beside them."""


def duplicated(clip: Clip) -> tuple[np.ndarray, int]:
    """Which frames repeat the one before.

    Returns:
        A mask (K,), and the period if it is every so manieth frame throughout, else 0.
    """
    step = steps(clip)
    regular, period = _regular(np.abs(step).max(axis=1), clip.loop, len(clip))
    mask = regular | _single(step, clip.loop, len(clip))
    mask[0] &= not ends_with_first(clip)  # then the last frame is the one too many
    return mask, period


def ends_with_first(clip: Clip) -> bool:
    """Whether a loop's last frame is its first one again: no step across the seam, though the motion goes on there.

    Over ground and in turn the step across a seam is only an estimate, so those are left out. At a turning point of
    the motion a step may be nothing, too, but there the steps beside it go opposite ways.
    """
    if not clip.loop or len(clip) < 6:
        return False
    before, seam, after = free_steps(clip)[[-2, -1, 0]]
    moving = min(np.abs(before).max(), np.abs(after).max())
    return bool(moving > MOVING and np.abs(seam).max() < AGAIN * moving and before @ after > 0)


def duplicates(clip: Clip) -> list[Defect]:
    """The defects of :func:`duplicated` and :func:`ends_with_first`."""
    mask, period = duplicated(clip)
    last = np.zeros(len(clip), bool)
    last[-1] = ends_with_first(clip)
    detail = "equal to the frame before, while the motion goes on around them"
    if period:
        real = clip.fps * (period - 1) / period
        detail += f"; every {period}. frame throughout, so this is a motion of {real:.4g} frames per second"
    again = "the last frame of the loop is the first one again"
    return [*defects("duplicated frames", mask, detail), *defects("duplicated frames", last, again)]


def _single(step: np.ndarray, loop: bool, frames: int) -> np.ndarray:
    """Up to ``LONGEST`` equal frames within a motion, but for two on both sides of where it turns back. Shape (K,)."""
    size = np.abs(step).max(axis=1)
    still, count = size < STILL, len(size)
    repeated = np.zeros(frames, bool)
    for k in np.flatnonzero(still & ~np.roll(still, 1)):
        run = 1
        while run <= LONGEST and still[(k + run) % count]:
            run += 1
        before, after = size[k - 1], size[(k + run) % count]
        inside = loop or 0 < k < count - run
        turns = run == 1 and np.abs(step[k - 1] + step[(k + 1) % count]).max() < AGAIN * before
        if run <= LONGEST and inside and not turns and min(before, after) > MOVING:
            repeated[(k + 1 + np.arange(run)) % frames] = True
    return repeated


def _regular(size: np.ndarray, loop: bool, frames: int) -> tuple[np.ndarray, int]:
    """Every n-th step nearly nothing, all through a motion: also after rounding or filtering."""
    repeated = np.zeros(frames, bool)
    for period in PERIODS:
        if len(size) < 4 * period:
            break
        rows = size[: len(size) // period * period].reshape(-1, period)
        least = int(np.median(rows, axis=0).argmin())
        at = np.arange(least, len(size), period)
        others = np.maximum(size[at - 1], size[(at + 1) % len(size)])
        small = size[at] < REGULAR * others
        if np.median(others) > MOVING and small[others > MOVING].mean() > 0.9:
            repeated[(at[small] + 1) % frames] = True
            return repeated, period
    return repeated, 0
