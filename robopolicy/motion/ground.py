"""Imported motion on the ground: one shift in height for the whole clip, and whether its feet stand still there."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.clip import Clip
from robopolicy.motion.footlock import find_stances
from robopolicy.motion.legs import Leg

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SHIFT = 0.001
"""Feet that stand this near the ground are on it [m]."""
TOUCHING = 0.005
"""A foot whose lowest point is below this touches the ground [m] ..."""
SLIDE = 0.02
"""... and should not move over it faster than this on average [m/s] ..."""
PEAK = 0.08
"""... nor faster than this in any frame [m/s] ..."""
DEPTH = 0.01
"""... nor sink into it by more than this [m]."""


@dataclass(frozen=True)
class Stand:
    """How the feet of a clip stand.

    Attributes:
        height: Height at which they stand, the median over all stances [m]; the lowest of the clip if there is none.
        slide: Mean speed over ground of the foot that slides most, while it touches [m/s].
        peak: The highest such speed of any foot in any frame [m/s].
        depth: How deep a foot sinks into the ground at most [m].
    """

    height: float
    slide: float
    peak: float
    depth: float

    @property
    def restless(self) -> bool:
        """A foot slides, or sinks in."""
        return self.slide > SLIDE or self.peak > PEAK or self.depth > DEPTH


def stand(clip: Clip, model: "RobotModel") -> Stand:
    """Measure how a clip's feet stand; its joints are in the robot's order."""
    poses = [Leg(model, foot).forward(clip.qpos[:, :7], clip.qpos[:, 7:]) for foot in range(len(model.foot_sites))]
    heights = np.stack([low for _, _, low in poses], axis=1)
    places = np.stack([place for place, _, _ in poses], axis=1)
    stances = find_stances(heights, places, clip.fps)
    standing = heights[stances] if stances.any() else np.array([np.percentile(heights.min(axis=1), 5)])
    speed = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * clip.fps
    touching = (heights[:-1] < TOUCHING) & (heights[1:] < TOUCHING)
    slide = (speed * touching).sum(axis=0) / np.maximum(touching.sum(axis=0), 1)
    return Stand(
        height=float(np.median(standing)),
        slide=float(slide.max()),
        peak=float((speed * touching).max()),
        depth=float(max(-heights.min(), 0.0)),
    )


def on_ground(clip: Clip, model: "RobotModel") -> tuple[Clip, str]:
    """The clip shifted in height, all frames by one number, so that its feet stand on the ground; and what was done.

    A clip that is within a millimetre is left alone, and the text empty.
    """
    how = stand(clip, model)
    if abs(how.height) < SHIFT:
        return clip, ""
    qpos = clip.qpos.copy()
    qpos[:, 2] -= how.height
    text = f"feet stand at {1000 * how.height:+.0f} mm: the whole clip is shifted by {-1000 * how.height:+.0f} mm"
    return dataclasses.replace(clip, qpos=qpos), text
