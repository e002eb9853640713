"""A loop's seam."""

import dataclasses

import numpy as np

from robopolicy.motion.check.seam import KINK_FLOOR, KINK_RATIO, gap, seam, velocity_changes
from robopolicy.motion.check.steps import steps
from robopolicy.motion.clip import Clip
from robopolicy.motion.repair import Repair, without
from robopolicy.motion.repair.fill import fill, tilt

SPREAD = 0.5
"""A gap at a loop's seam up to this is spread over the clip [rad] ..."""
SPREAD_HEIGHT = 0.05
"""... or this, in height [m]."""
SHORTEST_LOOP = 0.5
"""Else the loop is cut, to no less than this share, where its ends meet."""
SMOOTHED = 4
"""A kink in velocity at the seam is smoothed over at most so many frames on each side."""


def close(repair: Repair) -> None:
    """A gap is spread over the loop, from its first frame on, and a kink smoothed; else the loop is cut where its
    ends meet, or opened."""
    clip = repair.clip
    if not seam(clip):
        return
    if gap(clip):
        if _spread(repair):
            return
    else:
        allowed = max(KINK_RATIO * velocity_changes(clip)[:-2].max(), KINK_FLOOR)
        for width in range(1, SMOOTHED + 1):
            bad = np.zeros(len(clip), bool)
            bad[:width] = bad[-width:] = True
            smooth = fill(clip, bad)
            if velocity_changes(smooth).max() <= allowed and not seam(smooth):
                repair.clip = smooth
                repair.changes.append(f"kink at the loop's seam smoothed over {width} frames on each side")
                return
    best = _cut(clip)
    if best is not None:
        repair.clip = best
        repair.changes.append(f"last {len(clip) - len(best)} frames cut off: the loop closes there")
        return
    repair.clip = dataclasses.replace(clip, loop=False)
    repair.changes.append("loop opened: its ends do not meet, so it runs once from its first frame to its last")


def _cut(clip: Clip) -> Clip | None:
    """The longest part from the start that closes well, if there is one."""
    best, closest = None, np.inf
    for count in range(len(clip) - 1, max(8, int(SHORTEST_LOOP * len(clip))), -1):
        cut = without(clip, np.arange(len(clip)) >= count)
        if seam(cut):
            if best is not None:
                return best
            continue
        step = steps(cut)
        miss = np.abs(np.delete(step[-1] - 0.5 * (step[-2] + step[0]), [0, 1, 5])).max()
        if miss < closest:
            best, closest = cut, miss
    return best


def _spread(repair: Repair) -> bool:
    """Take the gap out, growing from the first frame on as a sensor's drift does; False if it stays open."""
    clip, step = repair.clip, steps(repair.clip)
    miss = step[-1] - 0.5 * (step[-2] + step[0])
    miss[[0, 1, 5]] = 0.0  # over ground and in turn a loop may end anywhere
    if abs(miss[2]) > SPREAD_HEIGHT or np.abs(miss[3:]).max() > SPREAD:
        return False
    share = np.arange(len(clip))[:, None] / len(clip)
    qpos = clip.qpos.copy()
    qpos[:, 2] += share[:, 0] * miss[2]
    qpos[:, 3:7] = tilt(qpos, share * miss[3:6])
    qpos[:, 7:] += share * miss[6:]
    closed = dataclasses.replace(clip, qpos=qpos)
    if seam(closed):
        return False
    repair.clip = closed
    repair.changes.append(f"gap of up to {np.abs(miss).max():.3g} [m, rad] at the loop's seam spread over it")
    return True
