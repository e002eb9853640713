"""Imported motion on the ground: one shift in height for the whole clip, and whether its feet stand still there."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check.feet import CONTACT_HEIGHT, MEAN_SLIDE, PENETRATION, SLIDE
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import ground_height
from robopolicy.motion.legs import Leg

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SHIFT = 0.001
"""Feet that stand this near the ground are on it [m]."""


@dataclass(frozen=True)
class Stand:
    """How the feet of a clip stand, after it was shifted in height.

    Attributes:
        shift: What was added to the base's height, so that the feet stand on the ground [m].
        slide: Mean speed over ground of the foot that slides most, while it touches [m/s].
        peak: The highest such speed of any foot in any frame [m/s].
        depth: How deep a foot sinks into the ground at most [m].
    """

    shift: float
    slide: float
    peak: float
    depth: float

    @property
    def restless(self) -> bool:
        """A foot slides, or sinks in, by the measures of the check."""
        return self.slide > MEAN_SLIDE or self.peak > SLIDE or self.depth > PENETRATION


def on_ground(clip: Clip, model: "RobotModel") -> tuple[Clip, Stand]:
    """The clip shifted in height, all frames by one number, so that its feet stand on the ground; and how they do.

    A clip that is within a millimetre is left alone. Its joints are in the robot's order.
    """
    poses = [Leg(model, foot).forward(clip.qpos[:, :7], clip.qpos[:, 7:]) for foot in range(len(model.foot_sites))]
    heights = np.stack([low for _, _, low in poses], axis=1)
    places = np.stack([place for place, _, _ in poses], axis=1)
    height = ground_height(heights, places, clip.fps)
    shift = -height if abs(height) >= SHIFT else 0.0
    heights = heights + shift
    speed = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * clip.fps
    touching = (heights[:-1] < CONTACT_HEIGHT) & (heights[1:] < CONTACT_HEIGHT)
    slide = (speed * touching).sum(axis=0) / np.maximum(touching.sum(axis=0), 1)
    how = Stand(
        shift=shift,
        slide=float(slide.max()),
        peak=float((speed * touching).max()),
        depth=float(max(-heights.min(), 0.0)),
    )
    return _shifted(clip, shift) if shift else clip, how


def _shifted(clip: Clip, shift: float) -> Clip:
    qpos = clip.qpos.copy()
    qpos[:, 2] += shift
    return dataclasses.replace(clip, qpos=qpos)
