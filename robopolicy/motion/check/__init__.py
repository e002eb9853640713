"""What is wrong with a clip: each kind of defect, and the frames it is in.

One module per kind; :mod:`.trace` is the one pass through MuJoCo that the bodily ones share.
"""

from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check.collision import SELF_DEPTH, self_collision
from robopolicy.motion.check.defect import Defect, spans
from robopolicy.motion.check.duplicates import MOVING, STILL, duplicates
from robopolicy.motion.check.feet import (
    CONTACT_HEIGHT,
    FLIGHT,
    FLIGHT_HEIGHT,
    MEAN_SLIDE,
    PENETRATION,
    SLIDE,
    contact_speed,
    floating,
    penetration,
    sliding,
)
from robopolicy.motion.check.joints import joint_limits, joint_speed
from robopolicy.motion.check.jumps import JUMP_ANGULAR, JUMP_LINEAR, jumps
from robopolicy.motion.check.numbers import not_finite, quaternion_norm, quaternion_sign
from robopolicy.motion.check.rate import wrong_rate
from robopolicy.motion.check.seam import SEAM_FLOOR, SEAM_RATIO, seam
from robopolicy.motion.check.torque import TORQUE_RATIO, torque_defects
from robopolicy.motion.check.velocity import VELOCITY_ERROR, VELOCITY_FLOOR, velocity
from robopolicy.motion.clip import Clip

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

__all__ = [
    "CONTACT_HEIGHT",
    "FLIGHT",
    "FLIGHT_HEIGHT",
    "JUMP_ANGULAR",
    "JUMP_LINEAR",
    "MEAN_SLIDE",
    "MOVING",
    "PENETRATION",
    "SEAM_FLOOR",
    "SEAM_RATIO",
    "SELF_DEPTH",
    "SLIDE",
    "STILL",
    "TORQUE_RATIO",
    "VELOCITY_ERROR",
    "VELOCITY_FLOOR",
    "Defect",
    "check",
    "contact_speed",
    "spans",
]


def check(clip: Clip, model: "RobotModel") -> list[Defect]:
    """Look for every defect. A clip is clean if nothing is found but notes (:attr:`Defect.note`).

    Args:
        clip: The clip; its joints are matched to the robot's by name.
        model: The robot.

    Raises:
        UserError: The clip is for another robot.
    """
    clip = clip.for_robot(model)
    if len(clip) < 2:
        return [Defect("too short", tuple(range(len(clip))), f"{len(clip)} frames are no motion")]
    broken = not_finite(clip) or quaternion_norm(clip)
    if broken:
        return broken
    from robopolicy.motion.check.trace import follow

    trace = follow(clip, model)
    still, leaps = duplicates(clip), jumps(clip, model.joint_names)
    ends = seam(clip)
    return [
        *quaternion_sign(clip),
        *still,
        *leaps,
        *velocity(clip),
        *ends,
        *joint_limits(clip, model),
        *joint_speed(clip, model),
        *torque_defects(clip, trace.torque, model, _rough(clip, [*still, *leaps, *ends])),
        *sliding(clip, trace),
        *penetration(clip, trace),
        *floating(clip, trace),
        *self_collision(clip, trace),
        *wrong_rate(clip, trace, model),
    ]


def _rough(clip: Clip, found: list[Defect]) -> np.ndarray:
    """Frames near a discontinuity that is reported already: accelerations there mean nothing. Shape (K,)."""
    from robopolicy.motion.check.steps import SMOOTHING

    reach = max(3, int(SMOOTHING * clip.fps) // 2 + 2)
    rough = np.zeros(len(clip), bool)
    frames = np.array([frame for defect in found for frame in defect.frames], dtype=int)
    for offset in range(-reach, reach + 1):
        near = frames + offset
        rough[near % len(clip) if clip.loop else np.clip(near, 0, len(clip) - 1)] = True
    return rough
