"""Between policy and robot: nothing passes that is out of limits, nothing drives on stale or broken readings."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.driver import Driver, Order, Reading

_FALLBACK_RATE = 10.0  # rad/s, for a joint whose maker states no speed


class FaultError(Exception):
    """A reading or a target that must not drive.

    Attributes:
        kind: ``stale``, ``broken`` (not finite, wrong shape), ``implausible``, ``tilted``, ``told`` (the driver
            says so), or ``target``.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Limits:
    """What a reading and an order have to keep; J joints in contract order.

    Attributes:
        stale_s: The newest sample may be this old [s].
        tilt_rad: The IMU may lean this far from upright [rad].
        rate: Targets move at most this fast [rad/s]; for a show's free joint what its file says. Shape (J,).
        overdrive: Targets ask for at most so many times the joint's largest torque. More than 1, because the joint
            moves on towards the target until the next order, and the policy learned with motors that clip.
        position_margin_rad: A joint's reading may be this far out of its range [rad]; infinite: anywhere, and it is
            brought back from where it is, at its rate. One for all, or shape (J,).
        gyro: Largest plausible angular velocity [rad/s].
        joint_speed: Largest plausible joint speed, as a multiple of the joint's limit. One for all, or shape (J,).
    """

    stale_s: float
    tilt_rad: float
    rate: np.ndarray
    overdrive: float = 1.5
    position_margin_rad: float | np.ndarray = 0.35
    gyro: float = 40.0
    joint_speed: float | np.ndarray = 3.0

    @staticmethod
    def of(contract: Contract) -> "Limits":
        """What the contract says: two and a half control periods without news are stale, so that a third one stops."""
        rate = np.array([_FALLBACK_RATE if v is None else v for v in contract.velocity_limit])
        return Limits(2.5 * contract.control_period_s, contract.score.fall_tilt_rad, rate)


def assumed_speeds(contract: Contract) -> str:
    """What to tell people of joints whose speed nobody states; empty if there are none."""
    names = [name for name, v in zip(contract.joint_names, contract.velocity_limit, strict=True) if v is None]
    return f"no speed limit is known of {', '.join(names)}: {_FALLBACK_RATE:g} rad/s is assumed" if names else ""


class Safety:
    """The only one that holds the robot.

    Args:
        driver: The robot.
        contract: The policy's; of a show with free joints its whole body.
        limits: By default those of the contract.
        clock: The driver's clock [s].

    Attributes:
        limited_by: What changed the latest target: ``torque``, ``rate``, ``position``; empty if nothing did.
        latest: The newest sample, trusted or not.
        sent: The latest target that was sent, NaN while the joints are not driven [rad]. Shape (J,).
    """

    def __init__(
        self,
        driver: Driver,
        contract: Contract,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver, self.contract, self._clock = driver, contract, clock
        self.limits = limits or Limits.of(contract)
        self._lower, self._upper = np.array(contract.position_lower), np.array(contract.position_upper)
        self._kp, self._kd = np.array(contract.kp), np.array(contract.kd)
        self._torque = np.array(contract.torque_limit)
        self._zero = np.zeros(len(self._kp))
        self._anywhere = np.isinf(np.broadcast_to(self.limits.position_margin_rad, self._kp.shape))
        w, x, y, z = contract.imu.quaternion
        # The base's vertical in the IMU's frame: third row of the rotation from the IMU's frame to the base's.
        self._up = np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
        self._sequence: int | None = None
        self._renewed = -math.inf
        self.latest: Reading | None = None
        self.limited_by: tuple[str, ...] = ()
        self.sent = np.full(len(self._kp), np.nan)

    def connect(self) -> None:
        """Find the robot; nothing moves.

        Raises:
            DriverError: See the driver.
        """
        self._driver.connect(self.contract.joint_names)
        self._driver.expect(self._lower, self._upper, self.contract.control_period_s)

    def sense(self) -> Reading:
        """The newest sample, if it may drive.

        Raises:
            FaultError: It is too old, broken, implausible, or the robot lies.
        """
        self.latest = reading = self._driver.read()
        if reading is None:
            raise FaultError("stale", "no sample from the robot yet")
        if reading.fault:
            raise FaultError("told", reading.fault)
        if reading.sequence != self._sequence:  # the same sample again is no news, however fresh its time
            self._sequence, self._renewed = reading.sequence, reading.time_s
        age = self._clock() - self._renewed
        if not age <= self.limits.stale_s:
            most = 1e3 * self.limits.stale_s
            raise FaultError("stale", f"no new sample for {1e3 * age:.0f} ms; at most {most:.0f} ms")
        self._check_numbers(reading)
        tilt = math.acos(float(np.clip(-self._up @ reading.gravity, -1.0, 1.0)))
        if tilt > self.limits.tilt_rad:
            raise FaultError("tilted", f"the base leans by {tilt:.2f} rad; at most {self.limits.tilt_rad:.2f}")
        return reading

    def drive(self, target: np.ndarray, reading: Reading) -> np.ndarray:
        """Send joint targets (J,) [rad], brought within the limits; returns what was sent.

        Raises:
            FaultError: A target is not finite: nothing is sent.
            DriverError: It cannot be sent.
        """
        target = np.asarray(target, float)
        if target.shape != self._kp.shape or not np.isfinite(target).all():
            raise FaultError("target", f"joint targets are not {len(self._kp)} finite numbers: {target.tolist()}")
        from_where = np.where(np.isfinite(self.sent), self.sent, reading.joint_pos)
        step = self.limits.rate * self.contract.control_period_s
        # kp (target - q) - kd qd within the torque that is allowed
        middle = reading.joint_pos + self._kd / self._kp * reading.joint_vel
        reach = self.limits.overdrive * self._torque / self._kp
        # A joint that may be found anywhere comes back from where it is, at its rate.
        from_where = np.where(self._anywhere & (np.abs(from_where - middle) > reach), reading.joint_pos, from_where)
        lower = np.where(self._anywhere, np.minimum(self._lower, from_where + step), self._lower)
        upper = np.where(self._anywhere, np.maximum(self._upper, from_where - step), self._upper)
        limited = []
        for name, low, high in (
            ("torque", middle - reach, middle + reach),
            ("rate", from_where - step, from_where + step),
            ("position", lower, upper),  # the last word
        ):
            bounded = np.clip(target, low, high)
            if (np.abs(bounded - target) > 1e-9).any():
                limited.append(name)
            target = bounded
        self.limited_by = tuple(limited)
        self._driver.send(Order(target, self._kp, self._kd))
        self.sent = target
        return target

    def damp(self) -> None:
        """Let the joints give way slowly; needs no reading.

        Raises:
            DriverError: It cannot be sent.
        """
        self._release(self._kd)

    def limp(self) -> None:
        """No torque at all.

        Raises:
            DriverError: It cannot be sent.
        """
        self._release(self._zero)

    def close(self) -> None:
        """Let go of the robot, whatever it is doing."""
        self._driver.close()

    def _release(self, kd: np.ndarray) -> None:
        self.limited_by = ()
        self.sent = np.full(len(self._kp), np.nan)
        # With kp zero the target counts for nothing; the middle of the range is a harmless one.
        self._driver.send(Order(np.clip(self._zero, self._lower, self._upper), self._zero, kd))

    def _check_numbers(self, reading: Reading) -> None:
        joints = len(self._kp)
        sizes = {"gyro": 3, "gravity": 3, "joint_pos": joints, "joint_vel": joints}
        for name, size in sizes.items():
            value = np.asarray(getattr(reading, name), float)
            if value.shape != (size,):
                raise FaultError("broken", f"{name} has shape {value.shape}, not ({size},)")
            if not np.isfinite(value).all():
                raise FaultError("broken", f"{name}{self._where(value, ~np.isfinite(value))} is not finite")
        length = float(np.linalg.norm(reading.gravity))
        if abs(length - 1) > 0.05:
            raise FaultError("implausible", f"the direction of gravity has length {length:.2f}, not 1")
        margin = self.limits.position_margin_rad
        for name, value, low, high in (
            ("gyro", reading.gyro, -self.limits.gyro, self.limits.gyro),
            ("joint_pos", reading.joint_pos, self._lower - margin, self._upper + margin),
            ("joint_vel", np.abs(reading.joint_vel), 0.0, self.limits.joint_speed * self.limits.rate),
        ):
            bad = (value < low) | (value > high)
            if bad.any():
                raise FaultError("implausible", f"{name}{self._where(value, bad)} is out of what the robot can do")

    def _where(self, value: np.ndarray, bad: np.ndarray) -> str:
        i = int(np.flatnonzero(bad)[0])
        joint = f" of {self.contract.joint_names[i]!r}" if len(value) == len(self._kp) else ""
        return f"[{i}]{joint}, {value[i]:.3g},"
