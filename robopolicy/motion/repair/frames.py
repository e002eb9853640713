"""Frames that repeat others, or are out of place."""

import dataclasses

import numpy as np

from robopolicy.motion.check.defect import runs
from robopolicy.motion.check.duplicates import duplicated, ends_with_first
from robopolicy.motion.check.jumps import jumping
from robopolicy.motion.check.steps import steps
from robopolicy.motion.clip import Clip
from robopolicy.motion.repair import SHORT_GAP, Repair, told, without
from robopolicy.motion.repair.fill import fill


def duplicates(repair: Repair) -> None:
    """Repeated frames that stand for another one are made anew; those put in between are taken out, and the rate is
    set to what it was before if they were put in regularly."""
    if len(repair.clip) < 6:
        return
    if ends_with_first(repair.clip):
        repair.clip = without(repair.clip, np.arange(len(repair.clip)) == len(repair.clip) - 1)
        repair.changes.append("last frame left out: the loop's first one again")
    clip = repair.clip
    mask, period = duplicated(clip)
    if not mask.any():
        return
    if period:  # also where a repeated frame was damaged since
        mask[np.bincount(np.flatnonzero(mask) % period).argmax() :: period] = True
    extra = _put_in(clip, mask)
    every = f", every {period}. one," if period else ""
    fps = clip.fps
    if period:
        # of every second frame each stands for one that was lost, whichever way it came about
        inserted = period > 2 and extra[mask].mean() > 0.5
        extra = mask & inserted
        fps *= (period - 1) / period if inserted else 1.0
    if not clip.loop and mask[-1]:
        extra[-1] = True  # nothing follows that it could be made from
    if (mask & ~extra).any():
        repair.clip = fill(clip, mask & ~extra)
        repair.changes.append(f"repeated frames{every} made anew from their neighbours: {told(mask & ~extra)}")
    if extra.any():
        repair.clip = dataclasses.replace(without(repair.clip, extra), fps=fps)
        rate = f"; rate set from {clip.fps:.4g} to {fps:.4g} frames per second" if fps != clip.fps else ""
        repair.changes.append(f"repeated frames{every} that stand for nothing taken out: {told(extra)}{rate}")


def _put_in(clip: Clip, mask: np.ndarray) -> np.ndarray:
    """Which of the repeated frames were put in between others, so that they stand for none. Shape (K,)."""
    step, count = steps(clip), len(steps(clip))
    extra = np.zeros(len(clip), bool)
    for start, end in runs(mask):
        over, usual = step[(end - 1) % count], 0.5 * (step[(start - 2) % count] + step[end % count])
        # a lost frame makes the step after it longer by one; one put in between leaves it as it is
        held = np.linalg.norm(over - (1 + end - start) * usual) < np.linalg.norm(over - usual)
        extra[start:end] = not held
    return extra


def misplaced(repair: Repair) -> None:
    """Frames that jump away and back are made anew; a jump over ground that stays is taken out of all later frames."""
    clip = repair.clip
    if len(clip) < 8:
        return
    leaps = np.flatnonzero((jumping(clip)[0] > 0).any(axis=1))
    bad = np.zeros(len(clip), bool)
    while len(leaps) > 1:
        if leaps[1] - leaps[0] <= SHORT_GAP:
            bad[leaps[0] + 1 : leaps[1] + 1] = True
            leaps = leaps[2:]
        else:
            leaps = leaps[1:]
    if bad.any():
        mended = fill(clip, bad)
        if ((jumping(mended)[0] > 0).any(axis=1)).sum() < ((jumping(clip)[0] > 0).any(axis=1)).sum():
            repair.clip = mended
            repair.changes.append(f"frames out of place made anew from their neighbours: {told(bad)}")
    clip = repair.clip
    excess, expected = jumping(clip)
    moved = (excess > 0)[: len(clip) - 1]
    for k in np.flatnonzero(moved[:, :2].any(axis=1) & ~moved[:, 2:].any(axis=1)):
        qpos = repair.clip.qpos.copy()
        away = (steps(clip)[k] - expected[k])[:2]
        qpos[k + 1 :, :2] -= away
        repair.clip = dataclasses.replace(repair.clip, qpos=qpos)
        repair.changes.append(f"jump of {np.linalg.norm(away):.3g} m over ground into frame {k + 1} taken out")
