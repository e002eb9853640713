"""Numbers that are none, and quaternions that are no rotations or change sign."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.clip import NORM_TOLERANCE, Clip


def not_finite(clip: Clip) -> list[Defect]:
    """NaN and infinity."""
    found = []
    for field in ("qpos", "qvel"):
        bad = ~np.isfinite(getattr(clip, field))
        columns = ", ".join(str(c) for c in np.flatnonzero(bad.any(axis=0))[:8])
        found += defects("not a number", bad.any(axis=1), f"{field} has NaN or infinity in columns {columns}")
    if clip.phase is not None:
        found += defects("not a number", ~np.isfinite(clip.phase), "phase has NaN or infinity")
    return found


def quaternion_norm(clip: Clip) -> list[Defect]:
    """Base quaternions whose norm is not 1."""
    error = np.abs(np.linalg.norm(clip.qpos[:, 3:7], axis=1) - 1)
    return defects("quaternion norm", error > NORM_TOLERANCE, f"the base's is off 1 by up to {error.max():.3g}")


def quaternion_sign(clip: Clip) -> list[Defect]:
    """Base quaternions of the other sign than the frame before."""
    quat = clip.qpos[:, 3:7]
    flipped = np.concatenate([[False], (quat[1:] * quat[:-1]).sum(axis=1) < 0])
    return defects("quaternion sign", flipped, "the base's flips against the frame before; interpolation would spin it")
