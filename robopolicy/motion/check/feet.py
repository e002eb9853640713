"""Feet that slide, sink or never come down."""

import numpy as np

from robopolicy.motion.check.defect import Defect, defects, runs
from robopolicy.motion.check.trace import Trace
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import FLIGHT_HEIGHT, ground_height

CONTACT_HEIGHT = 0.005
"""A foot whose lowest point is below this is on the ground [m]; feet that stand higher float."""
SLIDE = 0.08
"""Speed over ground allowed to a foot in contact, for a frame [m/s]."""
MEAN_SLIDE = 0.02
"""... and on average over all frames in contact [m/s]."""
PENETRATION = 0.01
"""Depth allowed to a foot in the ground [m]."""
FLIGHT = 0.3
"""Time during which all feet may be off the ground [s]."""


def sliding(clip: Clip, trace: Trace) -> list[Defect]:
    """Feet that move over the ground while they are on it."""
    found, ground = [], hover(clip, trace)
    for foot, name in enumerate(trace.foot_names):
        down = trace.heights[:, foot] < ground + CONTACT_HEIGHT
        slide = contact_speed(down, trace.places[:, foot], clip.fps)
        mean = slide.sum() / max(int((down[:-1] & down[1:]).sum()), 1)
        allowed = SLIDE if mean <= MEAN_SLIDE else MEAN_SLIDE
        detail = f"{name} slides at up to {slide.max():.2f} m/s in contact (mean {mean:.3f})"
        found += defects("foot sliding", slide > allowed, detail)
    return found


def contact_speed(down: np.ndarray, place: np.ndarray, fps: float) -> np.ndarray:
    """Speed over ground of a foot [m/s] where it is down in this frame and the next, else 0.

    Args:
        down: Whether the foot is on the ground. Shape (K,).
        place: Its position, world [m]. Shape (K, 3).
        fps: Frames per second.
    """
    step = np.linalg.norm(np.diff(place[:, :2], axis=0), axis=1) * fps
    return np.append(np.where(down[:-1] & down[1:], step, 0.0), 0.0)


def penetration(clip: Clip, trace: Trace) -> list[Defect]:
    """Feet, or any other body, inside the ground."""
    found = []
    for foot, name in enumerate(trace.foot_names):
        depth = -trace.heights[:, foot]
        found += defects("penetration", depth > PENETRATION, f"{name} is {1000 * depth.max():.0f} mm in the ground")
    for (one, other), depths in trace.touching.items():
        if one != "world":
            continue
        deep = np.zeros(len(clip), bool)
        deep[[k for k, depth in depths.items() if depth > PENETRATION]] = True
        found += defects("penetration", deep, f"{other} is {1000 * max(depths.values()):.0f} mm in the ground")
    return found


def hover(clip: Clip, trace: Trace) -> float:
    """How high over the ground the feet of the whole clip stand [m]; 0 if they touch it."""
    height = ground_height(trace.heights, trace.places, clip.fps)
    return height if height >= CONTACT_HEIGHT else 0.0


def floating(clip: Clip, trace: Trace) -> list[Defect]:
    """A clip that stands over the ground throughout, or spells with every foot in the air for longer than a jump."""
    height = hover(clip, trace)
    if height:
        detail = f"its feet stand {1000 * height:.0f} mm over the ground throughout"
        return defects("floating", np.ones(len(clip), bool), detail)
    long = np.zeros(len(clip), bool)
    for start, end in runs(trace.heights.min(axis=1) > FLIGHT_HEIGHT):
        if (end - start) / clip.fps > FLIGHT:
            long[start:end] = True
    return defects("floating", long, f"every foot is over {1000 * FLIGHT_HEIGHT:.0f} mm up for over {FLIGHT} s")
