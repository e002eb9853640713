"""A loop's seam: the last frame must lead to the first, in position and in velocity."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.check.steps import free_steps
from robopolicy.motion.clip import Clip

SEAM_RATIO = 3.0
"""How many median steps, and how many of the steps beside it, a loop's seam may be."""
SEAM_FLOOR = 0.01
"""Jumps below this are never a defect [m, rad]."""
KINK_RATIO = 1.5
"""How much more than anywhere else in the clip a velocity may change at the seam."""
KINK_FLOOR = 0.5
"""Changes of velocity below this are never a defect [m/s, rad/s]."""


def seam(clip: Clip) -> list[Defect]:
    """The defects of a loop's last frame. The step over ground and the turn across the seam are left out: a loop
    may end anywhere, so they can only be estimated."""
    return gap(clip) or kink(clip)


def gap(clip: Clip) -> list[Defect]:
    """A step from the last frame to the first that is longer than others."""
    if not clip.loop or len(clip) < 6:
        return []
    step = free_steps(clip)
    if not leaps(step, SEAM_FLOOR):
        return []
    sizes = np.abs(step).max(axis=1)
    jump, usual = sizes[-1], np.median(sizes[:-1])
    return _at_the_end(clip, f"the step from the last frame to the first is {jump:.3g}, the median {usual:.3g}")


def leaps(step: np.ndarray, floor: float) -> bool:
    """Whether a step across a seam is longer than usual, and than those beside it that go its way: a motion may be fast
    just there, while a frame that is out of place comes back.

    Args:
        step: Steps round the loop in height, tilt and joints; the seam's is the last [m, rad]. Shape (K, 3 + J).
        floor: A step up to this is none [m, rad].
    """
    usual = np.median(np.abs(step[:-1]).max(axis=1))
    along = step[[-2, 0]] * np.sign(step[-1])
    return bool((np.abs(step[-1]) > np.maximum(SEAM_RATIO * np.maximum(usual, along.max(axis=0)), floor)).any())


def kink(clip: Clip) -> list[Defect]:
    """A change of velocity across the seam that is larger than anywhere else."""
    if not clip.loop or len(clip) < 6:
        return []
    change = velocity_changes(clip)
    here, most = change[-2:].max(), change[:-2].max()
    if here <= max(KINK_RATIO * most, KINK_FLOOR):
        return []
    return _at_the_end(
        clip, f"the velocity changes by {here:.3g} across it, elsewhere by at most {most:.3g} [m/s, rad/s]"
    )


def velocity_changes(clip: Clip) -> np.ndarray:
    """Largest change of a loop's velocities from each step to the next; the last two are at the seam. Shape (K,)."""
    free = free_steps(clip)
    return np.abs(np.diff(np.concatenate([free, free[:1]]), axis=0)).max(axis=1) * clip.fps


def _at_the_end(clip: Clip, detail: str) -> list[Defect]:
    last = np.zeros(len(clip), bool)
    last[-1] = True
    return defects("loop seam", last, detail)
