"""Height over the ground, and feet that slide on it."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check import CONTACT_HEIGHT, Defect, check
from robopolicy.motion.check.steps import true_velocities
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import Feet, ground_height
from robopolicy.motion.repair import Repair, kinds, told

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

WRONG_HEIGHT = 0.002
"""A clip whose feet stand within this of the ground is left at its height [m]."""
OFF_GROUND = {"penetration", "floating"}
"""Kinds of defect that a wrong height brings."""


def ground(repair: Repair, model: "RobotModel") -> None:
    """The clip's height, frames that still sink, feet that slide together, then each foot. What would bring a defect
    that was not there is left to the last, which moves legs only."""
    found = kinds(repair.clip, model)
    if found & OFF_GROUND:
        found = _shift(repair, model, found)
        found = _try(repair, model, _lifted_out, "penetration", found)
    found = _try(repair, model, _carried_back, "foot sliding", found)
    if found & {*OFF_GROUND, "foot sliding"}:
        from robopolicy.motion.footlock import lock_feet_report

        locked, report = lock_feet_report(repair.clip, model, ground=False)
        repair.clip = locked
        repair.changes.append(str(report))


def _try(
    repair: Repair,
    model: "RobotModel",
    mend: Callable[[Clip, "RobotModel"], tuple[Clip, str]],
    kind: str,
    found: set[str],
) -> set[str]:
    """Keep a repair of one kind if it takes that away and brings no other; returns the kinds that are left."""
    if kind not in found:
        return found
    mended, change = mend(repair.clip, model)
    left = kinds(dataclasses.replace(mended, qvel=true_velocities(mended)), model)
    if kind in left or not left <= found:
        return found
    repair.clip = mended
    repair.changes.append(change)
    return left


def _shift(repair: Repair, model: "RobotModel", found: set[str]) -> set[str]:
    """Put the clip at the height at which its feet stand on the ground, if fewer frames are off it then; returns the
    kinds that are left. Feet that touch the ground only then may turn out to slide."""
    clip = repair.clip
    height = ground_height(*Feet(model).trajectories(clip.qpos), clip.fps)
    if abs(height) <= WRONG_HEIGHT:
        return found
    qpos = clip.qpos.copy()
    qpos[:, 2] -= height
    shifted = dataclasses.replace(clip, qpos=qpos)
    before, after = check(clip, model), check(dataclasses.replace(shifted, qvel=true_velocities(shifted)), model)
    left = {defect.kind for defect in after if not defect.note}
    if _off_ground(after) >= _off_ground(before) or not left <= found | {"foot sliding"}:
        return found
    repair.clip = shifted
    repair.changes.append(f"{'lowered' if height > 0 else 'lifted'} by {1000 * abs(height):.0f} mm, onto the ground")
    return left


def _off_ground(defects: list[Defect]) -> int:
    """How many frames are in the ground, or float, counted once for each part that is."""
    return sum(len(defect.frames) for defect in defects if defect.kind in OFF_GROUND)


def _lifted_out(clip: Clip, model: "RobotModel") -> tuple[Clip, str]:
    """The clip with its base higher where a foot is in the ground."""
    lowest = Feet(model).heights(clip.qpos).min(axis=1)
    qpos = clip.qpos.copy()
    qpos[:, 2] += np.maximum(-lowest, 0.0)
    change = (
        f"lifted out of the ground, by up to {-1000 * lowest.min():.0f} mm, in frames {told(lowest < -WRONG_HEIGHT)}"
    )
    return dataclasses.replace(clip, qpos=qpos), change


def _carried_back(clip: Clip, model: "RobotModel") -> tuple[Clip, str]:
    """The clip with its base moved so that the feet on the ground, on average, stand still."""
    heights, places = Feet(model).trajectories(clip.qpos)
    down = heights < CONTACT_HEIGHT
    both = down[:-1] & down[1:]
    moved = (np.diff(places[:, :, :2], axis=0) * both[:, :, None]).sum(axis=1) / np.maximum(both.sum(axis=1), 1)[
        :, None
    ]
    qpos = clip.qpos.copy()
    away = np.cumsum(moved, axis=0)
    qpos[1:, :2] -= away
    most = float(np.linalg.norm(away, axis=1).max())
    return dataclasses.replace(clip, qpos=qpos), (
        f"base moved over ground by up to {most:.3g} m, so that the feet on it stand still"
    )
