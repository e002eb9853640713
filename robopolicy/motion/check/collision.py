"""The robot's own bodies inside each other."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.check.trace import Trace
from robopolicy.motion.clip import Clip

SELF_DEPTH = 0.01
"""Depth allowed to two bodies in each other: primitive geoms are rough outlines [m]."""


def self_collision(clip: Clip, trace: Trace) -> list[Defect]:
    """MuJoCo's contacts between bodies of the robot, drawn-only primitive geoms taken for solid.

    Left out are a body and its parent (as MuJoCo does by itself), and pairs that touch at the home pose.
    """
    found = []
    for (one, other), depths in sorted(trace.touching.items()):
        if one == "world":
            continue
        deep = np.zeros(len(clip), bool)
        deep[[k for k, depth in depths.items() if depth > SELF_DEPTH]] = True
        found += defects("self-collision", deep, f"{one} is {1000 * max(depths.values()):.0f} mm inside {other}")
    return found
