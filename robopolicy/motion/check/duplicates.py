"""Frames that repeat the one before while the motion goes on around them."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.check.steps import steps
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


def duplicated(clip: Clip) -> tuple[np.ndarray, int]:
    """Which frames repeat the one before.

    Returns:
        A mask (K,), and the period if it is every so manieth frame throughout, else 0.
    """
    size = np.abs(steps(clip)).max(axis=1)
    regular, period = _regular(size, clip.loop, len(clip))
    return regular | _single(size, clip.loop, len(clip)), period


def duplicates(clip: Clip) -> list[Defect]:
    """The defect of :func:`duplicated`."""
    mask, period = duplicated(clip)
    detail = "equal to the frame before, while the motion goes on around them"
    if period:
        real = clip.fps * (period - 1) / period
        detail += f"; every {period}. frame throughout, so this is a motion of {real:.4g} frames per second"
    return defects("duplicated frames", mask, detail)


def _single(size: np.ndarray, loop: bool, frames: int) -> np.ndarray:
    """Up to ``LONGEST`` equal frames within a motion. Shape (K,)."""
    still, count = size < STILL, len(size)
    repeated = np.zeros(frames, bool)
    for k in np.flatnonzero(still & ~np.roll(still, 1)):
        run = 1
        while run <= LONGEST and still[(k + run) % count]:
            run += 1
        before, after = size[k - 1], size[(k + run) % count]
        inside = loop or 0 < k < count - run
        if run <= LONGEST and inside and min(before, after) > MOVING:
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
