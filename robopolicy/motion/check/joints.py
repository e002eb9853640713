"""Joints beyond their range, or faster than their motors."""

from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check.defect import Defect, defects
from robopolicy.motion.check.steps import true_velocities
from robopolicy.motion.clip import Clip

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel


def joint_limits(clip: Clip, model: "RobotModel") -> list[Defect]:
    """Angles outside the joints' ranges."""
    q = clip.qpos[:, 7:]
    beyond = np.maximum(model.lower - q, q - model.upper)
    return _each_joint("joint limit", beyond, model, "{name} is {value:.3g} rad beyond its range")


def joint_speed(clip: Clip, model: "RobotModel") -> list[Defect]:
    """Speeds above the motors', by the positions: stored velocities have a check of their own."""
    beyond = np.abs(true_velocities(clip)[:, 6:]) - model.velocity_limit
    return _each_joint("joint speed", beyond, model, "{name} is {value:.3g} rad/s faster than its motor")


def _each_joint(kind: str, beyond: np.ndarray, model: "RobotModel", text: str) -> list[Defect]:
    found = []
    for j in np.flatnonzero((beyond > 1e-6).any(axis=0)):
        detail = text.format(name=model.joint_names[j], value=beyond[:, j].max())
        found += defects(kind, beyond[:, j] > 1e-6, detail)
    return found
