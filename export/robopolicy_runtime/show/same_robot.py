"""Whether two policies drive the same robot, so that one may take over from the other."""

import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError

POSE_TOLERANCE = 0.05  # rad; a policy takes over from further away than that
_EQUAL = ("kp", "kd", "torque_limit", "velocity_limit", "position_lower", "position_upper")


def check_same_robot(name: str, one: Contract, other_name: str, other: Contract) -> None:
    """Compare all that the safety layer and the joints are told.

    Raises:
        ContractError: Joints or their order, default pose, control period, gains, limits or IMU differ; names which.
    """
    both = f"policies {name!r} and {other_name!r}"
    if one.joint_names != other.joint_names:
        order = sorted(one.joint_names) == sorted(other.joint_names)
        what = "have their joints in different orders" if order else "are of different robots, with joints"
        there = f"{', '.join(one.joint_names)} and {', '.join(other.joint_names)}"
        raise ContractError(f"{both} {what}: {there}")
    if abs(one.control_period_s - other.control_period_s) > 1e-9:
        periods = f"{one.control_period_s:g} s and {other.control_period_s:g} s"
        raise ContractError(f"{both} have different control periods: {periods}")
    away = np.abs(np.subtract(one.default_pose, other.default_pose))
    if away.max() > POSE_TOLERANCE:
        joint = one.joint_names[int(away.argmax())]
        raise ContractError(
            f"{both} have default poses that differ by {away.max():.3g} rad at {joint!r}; at most {POSE_TOLERANCE:g}"
        )
    for field in _EQUAL:
        for joint, a, b in zip(one.joint_names, getattr(one, field), getattr(other, field), strict=True):
            if a != b:
                raise ContractError(f"{both} differ in {field} of {joint!r}: {a} and {b}")
    if one.imu != other.imu:
        raise ContractError(f"{both} have the IMU in different places: {one.imu} and {other.imu}")
