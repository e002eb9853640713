"""What a robot is to the runtime: something that is read, and told where its joints shall go."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Reading:
    """What the robot's sensors said at one moment; J joints in contract order.

    Attributes:
        time_s: When it arrived here, on this machine's monotonic clock [s].
        sequence: Number of the sample, rising; a robot that stops counting has stopped measuring.
        gyro: Angular velocity, IMU frame [rad/s]. Shape (3,).
        gravity: Direction of gravity, unit vector, IMU frame. Shape (3,).
        joint_pos: Joint angles [rad]. Shape (J,).
        joint_vel: Joint velocities [rad/s]. Shape (J,).
        fault: Why the robot must not be driven although it measures, e.g. a motor's fault; empty if nothing is.
    """

    time_s: float
    sequence: int
    gyro: np.ndarray
    gravity: np.ndarray
    joint_pos: np.ndarray
    joint_vel: np.ndarray
    fault: str = ""


@dataclass(frozen=True)
class Order:
    """What the motors shall do until the next one: ``torque = kp (target - q) - kd qd``, at the robot's own rate.

    With ``kp`` zero it is damping, with both zero the joints are free.

    Attributes:
        target: Joint angles [rad]. Shape (J,).
        kp: Proportional gains [N m/rad]. Shape (J,).
        kd: Derivative gains [N m s/rad]. Shape (J,).
    """

    target: np.ndarray
    kp: np.ndarray
    kd: np.ndarray


class DriverError(Exception):
    """The robot cannot be reached, is another one, or is driven by somebody else; the message says which."""


class Driver(Protocol):
    """A robot. Only the safety layer calls it.

    Nothing moves before the first ``send``; ``connect`` only listens.
    """

    def connect(self, joint_names: tuple[str, ...]) -> None:
        """Find the robot and make sure that it is the right one and nobody else drives it.

        Args:
            joint_names: The policy's joints, and after them those that only a show moves; the order in which readings
                come and orders go from here on.

        Raises:
            DriverError: See there.
        """
        ...

    def expect(self, lower: np.ndarray, upper: np.ndarray, period_s: float) -> None:
        """Be told, once and before the first order, which orders will come.

        Args:
            lower, upper: Lowest and highest target of each joint [rad]. Shape (J,).
            period_s: An order comes so often [s].

        Raises:
            DriverError: A joint cannot be told every angle between them.
        """
        ...

    def read(self) -> Reading | None:
        """The newest sample, without waiting; the same as before if there is no newer one, None before the first."""
        ...

    def send(self, order: Order) -> None:
        """Give an order, without waiting.

        Raises:
            DriverError: It cannot be given.
        """
        ...

    def close(self) -> None:
        """Let go of the robot, whatever state it is in. Safe to call twice; gives no order."""
        ...
