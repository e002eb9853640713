"""Is a base quaternion wxyz or xyzw? What the robot does in each order tells.

A quaternion close to upright and facing forward, xyzw, read as wxyz, is upright too and faces back: that the robot
stands tells only sometimes. But in the wrong order its tilt and its turning trade places, and feet that stand skate.
"""

from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.feet import Feet
from robopolicy.motion.pose import quat_rotate

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

ORDERS = {"wxyz": [0, 1, 2, 3], "xyzw": [3, 0, 1, 2]}
"""Where w, x, y, z lie in each order of a quaternion."""
UPRIGHT, LYING = 0.8, 0.3
"""A base whose own z axis points up by this much on average stands; by this little it lies."""
LOOKED_AT = 900
"""Frames that are looked at."""
CLEARER = 2.0
"""In the right order the lowest foot moves less than in the other one, by this factor ..."""
MOVES = 0.02
"""... and in the other one it moves at this speed at least [m/s]."""


def other(order: str) -> str:
    """The order that it is not."""
    return next(name for name in ORDERS if name != order)


def tell_order(
    position: np.ndarray, quat: np.ndarray, angles: np.ndarray, fps: float, model: "RobotModel"
) -> tuple[str, str]:
    """The order of a motion's quaternions, and why; both empty if nothing tells.

    Args:
        position: Base position, world [m]. Shape (K, 3).
        quat: Unit quaternions in either order. Shape (K, 4).
        angles: Joint angles in contract order [rad]. Shape (K, J).
        fps: Frames per second.
        model: The robot.
    """
    position, quat, angles = position[:LOOKED_AT], quat[:LOOKED_AT], angles[:LOOKED_AT]
    up = {order: upright(quat[:, columns]) for order, columns in ORDERS.items()}
    best, worst = sorted(up, key=lambda order: -up[order])
    if up[best] > UPRIGHT and up[worst] < LYING:
        return best, f"the robot is upright (its z axis points up by {up[best]:.2f}; as {worst} by {up[worst]:.2f})"
    slip = {
        order: _slip(np.concatenate([position, quat[:, columns], angles], axis=1), fps, model)
        for order, columns in ORDERS.items()
    }
    best, worst = sorted(slip, key=lambda order: slip[order])
    if slip[worst] > max(CLEARER * slip[best], MOVES):
        return best, f"its lowest foot moves least ({slip[best]:.2f} m/s; as {worst} {slip[worst]:.2f} m/s)"
    return "", ""


def upright(quat: np.ndarray) -> float:
    """How far the base's own z axis points up, on average; 1 is upright. Unit quaternions wxyz (K, 4)."""
    return float(quat_rotate(quat, np.array([0.0, 0.0, 1.0]))[:, 2].mean())


def _slip(qpos: np.ndarray, fps: float, model: "RobotModel") -> float:
    """Median speed of the lowest foot [m/s]."""
    heights, places = Feet(model).trajectories(qpos)
    speed = np.linalg.norm(np.diff(places, axis=0), axis=2) * fps
    return float(np.median(np.take_along_axis(speed, heights[:-1].argmin(axis=1)[:, None], axis=1)))
