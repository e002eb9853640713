"""A joint motor with its drive: PD control, what the motor can give at its speed, friction, and backlash.

The PD law, the torque that falls with the speed while the motor drives and is full while it brakes, and the friction
``mu_s tanh(qd / qd_s) + mu_d qd`` follow Grandia et al. 2024, "Design and Control of a Bipedal Robotic Character". The
backlash is the dead zone of Nordin and Gutman 2002, "Controlling mechanical systems with backlash: a survey".
"""

from dataclasses import dataclass

import numpy as np

from robopolicy_runtime.transfer.deviations import Deviations

FRICTION_SPEED = 0.1  # qd_s, where dry friction has three quarters of its size [rad/s]


def envelope(
    speed: np.ndarray, wanted: np.ndarray, torque: np.ndarray, no_load: np.ndarray, corner: float
) -> tuple[np.ndarray, np.ndarray]:
    """Largest torque that a motor can give: flat up to a speed, then linear to 0 at the no-load speed.

    Args:
        speed: Joint velocity [rad/s]. Shape (J,).
        wanted: Torque that is asked for [N m]; the speed does not bound it where it brakes. Shape (J,).
        torque: Largest torque at rest [N m]. Shape (J,).
        no_load: Speed without load [rad/s]; may be infinite. Shape (J,).
        corner: Where the torque begins to fall, as a share of ``no_load``, less than 1.

    Returns:
        The limit [N m], and how fast it falls with the speed [N m s/rad], each of shape (J,).
    """
    share = (1.0 - np.abs(speed) / no_load) / (1.0 - corner)
    falling = (share < 1.0) & (speed * wanted > 0.0)
    limit = torque * np.where(falling, np.maximum(share, 0.0), 1.0)
    slope = np.where(falling & (share > 0.0), torque / (no_load * (1.0 - corner)), 0.0)
    return limit, slope


def friction(speed: np.ndarray, coulomb: np.ndarray, viscous: np.ndarray) -> np.ndarray:
    """Friction as a damping [N m s/rad]: times the speed it is ``coulomb tanh(speed / 0.1) + viscous speed``.

    Args:
        speed: Joint velocity [rad/s]. Shape (J,).
        coulomb: Dry friction [N m]. Shape (J,).
        viscous: Viscous friction [N m s/rad]. Shape (J,).
    """
    x = speed / FRICTION_SPEED
    ratio = np.tanh(x) / np.where(np.abs(x) < 1e-6, 1.0, x)
    return coulomb / FRICTION_SPEED * np.where(np.abs(x) < 1e-6, 1.0, ratio) + viscous


@dataclass(frozen=True)
class Drive:
    """What the motors do at one moment; every array has shape (J,).

    Attributes:
        torque: Of the motors, before friction [N m].
        motor_damping: How fast it falls with the joint velocity [N m s/rad].
        friction: Friction per joint velocity [N m s/rad].
        saturated: Where the motor gives less than was asked for.
        play: Angle of the motor ahead of the joint, inside the backlash [rad].
    """

    torque: np.ndarray
    motor_damping: np.ndarray
    friction: np.ndarray
    saturated: np.ndarray
    play: np.ndarray


class Actuator:
    """The J motors of a robot; remembers the load on its supply."""

    def __init__(
        self, kp: np.ndarray, kd: np.ndarray, torque: np.ndarray, no_load: np.ndarray, deviations: Deviations
    ) -> None:
        """Prepare the motors.

        Args:
            kp: Proportional gains [N m/rad]. Shape (J,).
            kd: Derivative gains [N m s/rad]. Shape (J,).
            torque: Torque limits [N m]. Shape (J,).
            no_load: No-load speeds [rad/s]; infinite where the torque does not depend on the speed. Shape (J,).
            deviations: Its supply, friction, backlash and encoders.
        """
        d = deviations
        self._kp, self._kd, self._torque, self._no_load = kp, kd, torque, no_load
        self._corner, self._supply, self._sag = d.corner, d.supply, d.sag
        self._bounded = bool(np.isfinite(no_load).any())
        self._rubs = d.coulomb > 0 or d.viscous > 0
        self._coulomb, self._viscous = d.coulomb * torque, d.viscous * kd
        self._half_play = d.backlash / 2
        self._offset = np.zeros(len(kp)) if d.encoder_offset is None else np.asarray(d.encoder_offset, float)
        self._step = d.encoder_step
        self._zero = np.zeros(len(kp))
        self.reset()

    def reset(self) -> None:
        """No load yet."""
        self._load = 0.0

    def encoder(self, angle: np.ndarray) -> np.ndarray:
        """What the encoder of a motor reads at an angle of the motor [rad]. Shape (J,)."""
        reading = angle + self._offset
        return np.round(reading / self._step) * self._step if self._step else reading

    def drive(self, target: np.ndarray, angle: np.ndarray, speed: np.ndarray) -> Drive:
        """What the motors give now.

        Args:
            target: What the drives regulate to, in encoder readings [rad]. Shape (J,).
            angle: Joint angles [rad]. Shape (J,).
            speed: Joint velocities [rad/s]. Shape (J,).
        """
        play = self._zero
        if self._half_play:
            # Inside the gap nothing holds the motor back from its target.
            play = np.minimum(np.maximum(target - self._offset - angle, -self._half_play), self._half_play)
        wanted = self._kp * (target - self.encoder(angle + play)) - self._kd * speed
        voltage = self._supply - self._sag * self._load
        limit, slope = self._torque * voltage, 0.0
        if self._bounded:
            limit, slope = envelope(speed, wanted, limit, self._no_load * voltage, self._corner)
        torque = np.minimum(np.maximum(wanted, -limit), limit)
        saturated = np.abs(wanted) >= limit
        motor_damping = np.where(saturated, slope, self._kd)
        rubbing = friction(speed, self._coulomb, self._viscous) if self._rubs else self._zero
        if self._sag:
            self._load = float(np.mean(np.abs(torque) / self._torque))
        return Drive(torque, motor_damping, rubbing, saturated, play)
