"""What is fitted: numbers of each kind of servo, an offset of each encoder, and one latency."""

import re
from dataclasses import dataclass

import numpy as np

from robopolicy.robot import RobotModel
from robopolicy.sysid.joint_log import JointLog
from robopolicy.sysid.stand import MOST_LATENCY, Servos

UNITS = {
    "kp": "N m/rad",
    "kd": "N m s/rad",
    "armature": "kg m^2",
    "friction": "N m",
    "torque": "N m",
    "encoder_offset": "rad",
    "latency": "s",
}
SERVO = ("kp", "kd", "armature", "friction", "torque")


@dataclass(frozen=True)
class Parameter:
    """One number that is fitted as ``value / scale``.

    Attributes:
        name: One of ``UNITS``.
        where: The servo's pattern, the joint's name, or nothing for the latency.
        joints: Indices of the joints that it acts on.
        file: What the robot's file says.
        start: Where the fit begins.
        scale: A typical size of its error.
        low, high: Bounds of the value.
    """

    name: str
    where: str
    joints: tuple[int, ...]
    file: float
    start: float
    scale: float
    low: float
    high: float


def kinds(robot: RobotModel) -> dict[str, tuple[int, ...]]:
    """The joints of each kind of servo, by its pattern; a joint for itself if the servos come from the MJCF."""
    names = robot.joint_names
    patterns = [servo.joints for servo in robot.robot.servos] or [re.escape(name) for name in names]
    return {p: tuple(j for j, name in enumerate(names) if re.fullmatch(p, name)) for p in patterns}


def parameters(robot: RobotModel, log: JointLog) -> list[Parameter]:
    """All that may be fitted; gains begin at those that were ordered."""
    found = []
    for pattern, joints in kinds(robot).items():
        j, dof = joints[0], robot.dof_adr[joints[0]]
        kp, kd, torque = float(log.kp[j]), float(log.kd[j]), float(robot.torque_limit[j])
        armature, friction = float(robot.mj.dof_armature[dof]), float(robot.mj.dof_frictionloss[dof])
        for name, file, scale, low, high in (
            ("kp", kp, kp, 0.3 * kp, 2 * kp),
            ("kd", kd, max(kd, 0.02 * kp), 0.0, 3 * max(kd, 0.02 * kp)),
            ("armature", armature, max(armature, 1e-3), 0.0, 10 * max(armature, 1e-3)),
            ("friction", friction, max(friction, 0.01 * torque), 0.0, max(10 * friction, 0.3 * torque)),
            ("torque", torque, torque, 0.1 * torque, 2 * torque),
        ):
            found.append(Parameter(name, pattern, joints, file, file, scale, low, high))
    for j, name in enumerate(robot.joint_names):
        found.append(Parameter("encoder_offset", name, (j,), 0.0, 0.0, 0.05, -0.3, 0.3))
    every = tuple(range(len(robot.joint_names)))
    # It begins off its bound, where it could not be told which way is better.
    found.append(Parameter("latency", "", every, 0.0, 0.005, 0.01, 0.0, MOST_LATENCY))
    return found


def as_servos(parameters: list[Parameter], values: np.ndarray, joints: int) -> Servos:
    """Servos of P sets of values (n, P)."""
    sets = values.shape[1]
    by_joint = {name: np.zeros((sets, joints)) for name in (*SERVO, "encoder_offset")}
    latency = np.zeros(sets)
    for parameter, value in zip(parameters, values, strict=True):
        if parameter.name == "latency":
            latency = value
        else:
            by_joint[parameter.name][:, list(parameter.joints)] = value[:, None]
    return Servos(offset=by_joint.pop("encoder_offset"), latency=latency, **by_joint)
