"""Repairs what can be repaired in a clip, and says what it changed: ``robopolicy clip check --fix``."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check import CONTACT_HEIGHT, PENETRATION, Defect, check, spans
from robopolicy.motion.check.defect import runs
from robopolicy.motion.check.duplicates import duplicated
from robopolicy.motion.check.jumps import jumping
from robopolicy.motion.check.rate import RATE_ERROR, rhythm_contradicts, velocity_factor
from robopolicy.motion.check.seam import gap, seam
from robopolicy.motion.check.steps import steps, true_velocities
from robopolicy.motion.clip import NORM_TOLERANCE, Clip
from robopolicy.motion.feet import Feet
from robopolicy.motion.fill import continuous, fill, tilt

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SHORT_GAP = 3
"""So many frames in a row are made anew from their neighbours; a longer gap is lost."""
SPREAD = 0.5
"""A gap at a loop's seam up to this is spread over the clip [rad] ..."""
SPREAD_HEIGHT = 0.05
"""... or this, in height [m]."""
SHORTEST_LOOP = 0.5
"""Else the loop is cut, to no less than this share, where its ends meet."""
SMOOTHED = 4
"""A kink in velocity at the seam is smoothed over at most so many frames on each side."""
WRONG_HEIGHT = 0.002
"""A clip whose feet stand within this of the ground is left at its height [m]."""


@dataclass
class Repair:
    """What came of a clip.

    Attributes:
        clip: The repaired clip.
        changes: What was changed, a line each; empty if nothing was.
        left: The defects that a check of it still finds.
    """

    clip: Clip
    changes: list[str] = field(default_factory=list)
    left: list[Defect] = field(default_factory=list)


def fix(clip: Clip, model: "RobotModel") -> Repair:
    """Repair a clip: numbers, rate, repeated and misplaced frames, seam, joint limits, height, feet, velocities.

    Each repair is made only where its own check finds something; a clean clip comes back as it is.

    Raises:
        UserError: The clip is for another robot.
    """
    repair = Repair(clip.for_robot(model))
    before = repair.clip
    if not _numbers(repair):
        repair.left = check(repair.clip, model)
        return repair
    _rate(repair, model)
    _misplaced(repair)
    _duplicates(repair)
    _seam(repair)
    _limits(repair, model)
    _ground(repair, model)
    _velocities(repair, before, model)
    repair.left = check(repair.clip, model)
    return repair


def _numbers(repair: Repair) -> bool:
    """Unit quaternions of steady sign; short gaps of NaN filled. False if it stays unusable."""
    clip = repair.clip
    bad = ~np.isfinite(clip.qpos).all(axis=1)
    norm = np.linalg.norm(np.where(np.isfinite(clip.qpos[:, 3:7]), clip.qpos[:, 3:7], 0.0), axis=1)
    bad |= norm < 0.1
    if bad.any() and (max(end - start for start, end in runs(bad)) > SHORT_GAP or (~bad).sum() < 4):
        return False
    qpos = clip.qpos.copy()
    off = ~bad & (np.abs(norm - 1) > NORM_TOLERANCE)
    qpos[off, 3:7] /= norm[off, None]
    if off.any():
        repair.changes.append(f"quaternions brought to norm 1 in frames {_told(off)}")
    good = continuous(qpos[~bad])
    if not np.array_equal(good, qpos[~bad]):
        qpos[~bad] = good
        repair.changes.append("quaternions that changed sign turned back")
    repair.clip = dataclasses.replace(clip, qpos=qpos)
    if bad.any():
        repair.clip = fill(repair.clip, bad)
        repair.changes.append(f"positions that were no numbers made anew from their neighbours in frames {_told(bad)}")
    if not np.isfinite(clip.qvel).all():
        repair.clip = dataclasses.replace(repair.clip, qvel=true_velocities(repair.clip))
        repair.changes.append("velocities that were no numbers computed from the positions")
    return True


def _rate(repair: Repair, model: "RobotModel") -> None:
    """The rate that all velocities were written for, unless a fall or the strides contradict it."""
    clip, factor = repair.clip, velocity_factor(repair.clip)
    if factor is None or abs(factor - 1) < RATE_ERROR:
        return
    fps = clip.fps * factor
    fps = float(round(fps)) if abs(fps - round(fps)) < 0.02 * fps else fps
    if not rhythm_contradicts(dataclasses.replace(clip, fps=fps), model):
        repair.clip = dataclasses.replace(clip, fps=fps)
        repair.changes.append(f"rate set from {clip.fps:.4g} to {fps:.4g} frames per second, as all velocities say")


def _duplicates(repair: Repair) -> None:
    """Repeated frames that stand for another one are made anew; those put in between are taken out."""
    clip = repair.clip
    if len(clip) < 6:
        return
    mask, period = duplicated(clip)
    if not mask.any():
        return
    if period:  # also where a repeated frame was damaged since
        mask[np.arange(np.flatnonzero(mask)[0] % period, len(clip), period)] = True
    size = np.linalg.norm(steps(clip), axis=1)
    extra = np.zeros(len(clip), bool)
    for start, end in runs(mask) if not period else ():
        around = [size[(start - 2) % len(size)], size[(end - 1) % len(size)], size[end % len(size)]]
        held = around[1] > (1 + (end - start) / 2) * 0.5 * (around[0] + around[2])
        extra[start:end] = not held
    if not clip.loop and mask[-1]:
        extra[-1] = True  # nothing follows that it could be made from
    if (mask & ~extra).any():
        repair.clip = fill(clip, mask & ~extra)
        every = f", every {period}. one," if period else ""
        repair.changes.append(f"repeated frames{every} made anew from their neighbours: {_told(mask & ~extra)}")
    if extra.any():
        clip = repair.clip
        repair.clip = dataclasses.replace(
            clip,
            qpos=clip.qpos[~extra],
            qvel=clip.qvel[~extra],
            phase=None if clip.phase is None else clip.phase[~extra],
        )
        repair.changes.append(f"repeated frames that stand for nothing taken out: {_told(extra)}")


def _misplaced(repair: Repair) -> None:
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
            repair.changes.append(f"frames out of place made anew from their neighbours: {_told(bad)}")
    clip = repair.clip
    excess, expected = jumping(clip)
    moved = (excess > 0)[: len(clip) - 1]
    for k in np.flatnonzero(moved[:, :2].any(axis=1) & ~moved[:, 2:].any(axis=1)):
        qpos = repair.clip.qpos.copy()
        away = (steps(clip)[k] - expected[k])[:2]
        qpos[k + 1 :, :2] -= away
        repair.clip = dataclasses.replace(repair.clip, qpos=qpos)
        repair.changes.append(f"jump of {np.linalg.norm(away):.3g} m over ground into frame {k + 1} taken out")


def _seam(repair: Repair) -> None:
    """A gap is spread over the loop, from its first frame on, and a kink smoothed; else the loop is cut where its
    ends meet, or opened."""
    clip = repair.clip
    if not seam(clip):
        return
    if gap(clip):
        if _spread(repair):
            return
    else:
        for width in range(1, SMOOTHED + 1):
            bad = np.zeros(len(clip), bool)
            bad[:width] = bad[-width:] = True
            smooth = fill(clip, bad)
            if not seam(smooth):
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
        cut = dataclasses.replace(
            clip,
            qpos=clip.qpos[:count],
            qvel=clip.qvel[:count],
            phase=None if clip.phase is None else clip.phase[:count],
        )
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


def _limits(repair: Repair, model: "RobotModel") -> None:
    qpos = repair.clip.qpos.copy()
    qpos[:, 7:] = np.clip(qpos[:, 7:], model.lower, model.upper)
    beyond = np.any(np.abs(qpos - repair.clip.qpos) > 1e-6, axis=1)
    if beyond.any():
        repair.clip = dataclasses.replace(repair.clip, qpos=qpos)
        repair.changes.append(f"joints put back into their ranges in frames {_told(np.asarray(beyond))}")


def _ground(repair: Repair, model: "RobotModel") -> None:
    """The clip's height, then where its feet slide together, then each foot."""
    found = _kinds(repair.clip, model)
    if found & {"penetration", "floating"}:
        lowest = Feet(model).heights(repair.clip.qpos).min(axis=1)
        _shift(repair, lowest)
        found = _kinds(repair.clip, model)
    if "foot sliding" in found:
        carried = _carried_back(repair.clip, model)
        if "foot sliding" not in _kinds(carried, model):
            away = np.linalg.norm(carried.qpos[:, :2] - repair.clip.qpos[:, :2], axis=1).max()
            repair.clip = carried
            repair.changes.append(f"base moved over ground by up to {away:.3g} m, so that the feet on it stand still")
            found = _kinds(repair.clip, model)
    if found & {"penetration", "floating", "foot sliding"}:
        from robopolicy.motion.footlock import lock_feet_report

        locked, report = lock_feet_report(repair.clip, model, ground=False)
        repair.clip = locked
        repair.changes.append(str(report))


def _shift(repair: Repair, lowest: np.ndarray) -> None:
    """Put the clip at its usual height, and lift what then still sinks, frame by frame."""
    usual = float(np.median(lowest))
    qpos = repair.clip.qpos.copy()
    if abs(usual) > WRONG_HEIGHT:
        qpos[:, 2] -= usual
        lowest = lowest - usual
        repair.changes.append(f"{'lowered' if usual > 0 else 'lifted'} by {1000 * abs(usual):.0f} mm, onto the ground")
    if lowest.min() < -PENETRATION:
        qpos[:, 2] += np.maximum(-lowest, 0.0)
        sunk = lowest < -WRONG_HEIGHT
        repair.changes.append(
            f"lifted out of the ground, by up to {-1000 * lowest.min():.0f} mm, in frames {_told(sunk)}"
        )
    repair.clip = dataclasses.replace(repair.clip, qpos=qpos)


def _carried_back(clip: Clip, model: "RobotModel") -> Clip:
    """The clip with its base moved so that the feet on the ground, on average, stand still."""
    heights, places = Feet(model).trajectories(clip.qpos)
    down = heights < CONTACT_HEIGHT
    both = down[:-1] & down[1:]
    moved = (np.diff(places[:, :, :2], axis=0) * both[:, :, None]).sum(axis=1) / np.maximum(both.sum(axis=1), 1)[
        :, None
    ]
    qpos = clip.qpos.copy()
    qpos[1:, :2] -= np.cumsum(moved, axis=0)
    return dataclasses.replace(clip, qpos=qpos)


def _kinds(clip: Clip, model: "RobotModel") -> set[str]:
    return {defect.kind for defect in check(clip, model)}


def _velocities(repair: Repair, before: Clip, model: "RobotModel") -> None:
    clip = repair.clip
    moved = clip.qpos.shape != before.qpos.shape or not np.array_equal(clip.qpos, before.qpos)
    factor = velocity_factor(clip)
    if moved or "velocity" in _kinds(clip, model) or (factor is not None and abs(factor - 1) > RATE_ERROR):
        qvel = true_velocities(clip)
        if qvel.shape != before.qvel.shape or np.abs(qvel - before.qvel).max() > 1e-6:
            repair.clip = dataclasses.replace(clip, qvel=qvel)
            repair.changes.append("velocities computed from the positions")


def _told(mask: np.ndarray) -> str:
    return spans(tuple(np.flatnonzero(mask).tolist()))
