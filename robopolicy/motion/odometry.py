"""Where a robot went, from what its own sensors said: no camera, no map."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from robopolicy.motion.legs import Leg

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel


def dead_reckoning(
    gravity_b: np.ndarray, gyro_b: np.ndarray, joint_pos: np.ndarray, dt: float, model: "RobotModel"
) -> np.ndarray:
    """States that fit the readings: it leans as gravity says, turns as the gyro says, and stands on its lowest foot.

    The lowest foot of a moment neither slides nor floats, which carries the base along; errors add up over time, and a
    robot that lies on its side hovers.

    Args:
        gravity_b: Direction of gravity, base frame. Shape (K, 3).
        gyro_b: Angular velocity, base frame [rad/s]. Shape (K, 3).
        joint_pos: Joint angles, contract order [rad]. Shape (K, J).
        dt: Time between two rows [s].
        model: The compiled robot.

    Returns:
        Base position [m] and quaternion wxyz, joints [rad]. Shape (K, 7 + J).
    """
    roll = np.arctan2(-gravity_b[:, 1], -gravity_b[:, 2])
    pitch = np.arctan2(gravity_b[:, 0], np.hypot(gravity_b[:, 1], gravity_b[:, 2]))
    turning = -(gravity_b * gyro_b).sum(axis=1)  # about the vertical
    yaw = np.concatenate(([0.0], np.cumsum(turning[:-1]) * dt))
    base = np.zeros((len(joint_pos), 7))
    base[:, 3:] = Rotation.from_euler("ZYX", np.stack((yaw, pitch, roll), axis=1)).as_quat()[:, [3, 0, 1, 2]]
    feet = [Leg(model, foot).forward(base, joint_pos) for foot in range(len(model.foot_sites))]
    places, lows = np.stack([place for place, _, _ in feet], axis=1), np.stack([low for _, _, low in feet], axis=1)
    lowest = lows.argmin(axis=1)
    base[:, 2] = -lows.min(axis=1)
    rows = np.arange(len(base) - 1)
    moved = places[rows, lowest[:-1], :2] - places[rows + 1, lowest[:-1], :2]  # of the base over the foot it stood on
    base[1:, :2] = np.cumsum(moved, axis=0)
    return np.concatenate((base, joint_pos), axis=1)
