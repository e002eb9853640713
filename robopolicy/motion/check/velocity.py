"""Stored velocities against the positions' rate of change."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.check.steps import true_velocities
from robopolicy.motion.clip import Clip

VELOCITY_ERROR = 0.2
"""Allowed error of qvel, root mean square, relative to the finite differences' own."""
VELOCITY_FLOOR = 0.05
"""Errors of qvel below this are never a defect [m/s, rad/s]."""
FEW = 0.1
"""Share of frames up to which wild velocities are single errors."""
GROUPS = {"base linear": slice(0, 3), "base angular": slice(3, 6), "joint": slice(6, None)}
"""Columns of qvel that are judged together."""


def velocity(clip: Clip) -> list[Defect]:
    """Velocities of another scale or frame than the positions', and single wild ones."""
    truth = true_velocities(clip)
    error = clip.qvel - truth
    found = []
    for what, columns in GROUPS.items():
        e, t = error[:, columns], truth[:, columns]
        if t.shape[1] == 0:
            continue
        scale = np.sqrt((t**2).mean())
        each = np.sqrt((e**2).max(axis=1))
        allowed = max(VELOCITY_ERROR * scale, VELOCITY_FLOOR)
        wild = each > max(1.5 * np.abs(t).max(), 10 * allowed)
        if wild.mean() > FEW:
            wild[:] = False  # no single wild ones, but another scale
        size = np.sqrt((e[~wild] ** 2).mean())
        found += defects("velocity", wild, f"{what} velocity jumps away from the positions' by {each.max():.3g}")
        if size > allowed:
            ratio = (clip.qvel[:, columns] * t)[~wild].sum() / max((t[~wild] ** 2).sum(), 1e-12)
            detail = f"{what} velocity is {ratio:.2f} times the positions' (rms error {size:.3g} of {scale:.3g})"
            found += defects("velocity", each > allowed, detail)
    return found
