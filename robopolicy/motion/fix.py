"""Repairs what can be repaired in a clip, and says what it changed: ``robopolicy clip check --fix``."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check import check
from robopolicy.motion.check.defect import runs
from robopolicy.motion.check.rate import RATE_ERROR, rhythm_contradicts, velocity_factor
from robopolicy.motion.check.steps import true_velocities
from robopolicy.motion.clip import NORM_TOLERANCE, Clip
from robopolicy.motion.repair import SHORT_GAP, Repair, frames, ground, kinds, loop, told
from robopolicy.motion.repair.fill import continuous_base, fill

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel


def fix(clip: Clip, model: "RobotModel") -> Repair:
    """Repair a clip: numbers, phase, rate, repeated and misplaced frames, seam, joint limits, height, feet, velocities.

    Each repair is made only where its own check finds something; a clean clip comes back as it is.

    Raises:
        UserError: The clip is for another robot.
    """
    repair = Repair(clip.for_robot(model))
    before = repair.clip
    if not _numbers(repair):
        repair.left = check(repair.clip, model)
        return repair
    _phase(repair)
    _rate(repair, model)
    frames.misplaced(repair)
    frames.duplicates(repair)
    loop.close(repair)
    _limits(repair, model)
    ground.ground(repair, model)
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
        repair.changes.append(f"quaternions brought to norm 1 in frames {told(off)}")
    good = continuous_base(qpos[~bad])
    if not np.array_equal(good, qpos[~bad]):
        qpos[~bad] = good
        repair.changes.append("quaternions that changed sign turned back")
    repair.clip = dataclasses.replace(clip, qpos=qpos)
    if bad.any():
        repair.clip = fill(repair.clip, bad)
        repair.changes.append(f"positions that were no numbers made anew from their neighbours in frames {told(bad)}")
    if not np.isfinite(clip.qvel).all():
        repair.clip = dataclasses.replace(repair.clip, qvel=true_velocities(repair.clip))
        repair.changes.append("velocities that were no numbers computed from the positions")
    return True


def _phase(repair: Repair) -> None:
    """Short gaps of NaN in the phase filled, round the circle; a phase with longer ones, or open ones, is dropped."""
    clip = repair.clip
    if clip.phase is None or np.isfinite(clip.phase).all():
        return
    bad = ~np.isfinite(clip.phase)
    open_end = not clip.loop and (bad[0] or bad[-1])
    if open_end or max(end - start for start, end in runs(bad)) > SHORT_GAP:
        repair.clip = dataclasses.replace(clip, phase=None)
        repair.changes.append(f"phase left out: it is no number in frames {told(bad)}, too many to be filled")
        return
    known, count = np.flatnonzero(~bad), len(clip)
    times = np.concatenate([known - count, known, known + count]) if clip.loop else known
    turns = np.unwrap(clip.phase[times % count], period=1.0)
    phase = clip.phase.copy()
    phase[bad] = np.interp(np.flatnonzero(bad), times, turns) % 1.0 % 1.0  # -1e-17 % 1.0 is 1.0
    repair.clip = dataclasses.replace(clip, phase=phase)
    repair.changes.append(f"phase that was no number filled from its neighbours in frames {told(bad)}")


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


def _limits(repair: Repair, model: "RobotModel") -> None:
    qpos = repair.clip.qpos.copy()
    qpos[:, 7:] = np.clip(qpos[:, 7:], model.lower, model.upper)
    beyond = np.any(np.abs(qpos - repair.clip.qpos) > 1e-6, axis=1)
    if beyond.any():
        repair.clip = dataclasses.replace(repair.clip, qpos=qpos)
        repair.changes.append(f"joints put back into their ranges in frames {told(np.asarray(beyond))}")


def _velocities(repair: Repair, before: Clip, model: "RobotModel") -> None:
    clip = repair.clip
    moved = clip.qpos.shape != before.qpos.shape or not np.array_equal(clip.qpos, before.qpos)
    factor = velocity_factor(clip)
    if moved or "velocity" in kinds(clip, model) or (factor is not None and abs(factor - 1) > RATE_ERROR):
        qvel = true_velocities(clip)
        # NaN is near nothing: velocities that were filled before positions were repaired are not kept
        if qvel.shape != before.qvel.shape or not np.allclose(qvel, before.qvel, rtol=0.0, atol=1e-6):
            repair.clip = dataclasses.replace(clip, qvel=qvel)
            repair.changes.append("velocities computed from the positions")
