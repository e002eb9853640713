"""Unitree's Go2 and G1, driven joint by joint over their low-level topics."""

import threading
import time
from dataclasses import dataclass, replace

import numpy as np

from robopolicy_runtime.driver import DriverError, Order, Reading
from robopolicy_runtime.drivers.unitree_dds import COMMAND_TOPIC, STATE_TOPIC, Link
from robopolicy_runtime.drivers.unitree_messages import (
    GO_LOW_CMD,
    GO_LOW_STATE,
    HG_LOW_CMD,
    HG_LOW_STATE,
    FrameError,
    Message,
)

ENABLED = 1  # a motor's mode: it follows kp, kd and torque
# Of the G1's motor faults, by copies of its maker's list that are in public: it hears no orders, which is so as long as
# nobody drives it. Not tried on a robot.
UNHEARD = 0x40000000
QUIET_S = 0.5  # a robot that is told nothing for so long may let go of its motors
PITCH_ROLL = 0  # the G1's ankles and waist are told in joint angles, not in those of their two motors


@dataclass(frozen=True)
class Model:
    """A kind of robot.

    Attributes:
        motors: Joint names in the order of the robot's motors.
        command, state: Its messages.
    """

    motors: tuple[str, ...]
    command: Message
    state: Message


def _g1_motors() -> tuple[str, ...]:
    leg = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
    arm = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
    legs = [f"{side}_{part}" for side in ("left", "right") for part in leg]
    waist = [f"waist_{axis}" for axis in ("yaw", "roll", "pitch")]
    arms = [f"{side}_{part}" for side in ("left", "right") for part in arm]
    return tuple(f"{name}_joint" for name in legs + waist + arms)


MODELS = {
    "go2": Model(
        motors=tuple(f"{leg}_{part}" for leg in ("FR", "FL", "RR", "RL") for part in ("hip", "thigh", "calf")),
        command=GO_LOW_CMD,
        state=GO_LOW_STATE,
    ),
    "g1": Model(motors=_g1_motors(), command=HG_LOW_CMD, state=HG_LOW_STATE),
}


class UnitreeDriver:
    """Drives a Go2 or a G1. Its own motion service must be off, or it fights for the motors and is refused.

    Its readings have a fault once somebody else gave orders or a second robot was heard, until it is closed; while one
    of the G1's motors reports a fault; and while a motor that was enabled under our orders is so no longer.
    Temperatures and counts of lost packets (Go2) are not judged: which are too much is not documented.

    Attributes:
        refused: States that were not used, because of their length, encoding, checksum or orientation.
    """

    def __init__(
        self,
        robot: str,
        interface: str = "lo",
        peer: str | None = None,
        domain: int = 0,
        listen_s: float = 1.0,
        timeout_s: float = 5.0,
    ) -> None:
        """Prepare; nothing is opened before ``connect``.

        Args:
            robot: "go2" or "g1".
            interface: Network interface to the robot, as in ``ip link``; "lo" for a simulated one on this machine.
            peer: The robot's address, where multicast does not find it.
            domain: DDS domain; 0 on robots.
            listen_s: How long to listen for somebody else who drives the robot [s].
            timeout_s: How long to wait for the robot's first state [s].

        Raises:
            DriverError: There is no such kind of robot.
        """
        if robot not in MODELS:
            raise DriverError(f"no Unitree robot {robot!r}; there are: {', '.join(MODELS)}")
        self.refused = 0
        self._robot = robot
        self._model = MODELS[robot]
        self._where = (interface, peer, domain)
        self._listen_s = listen_s
        self._timeout_s = timeout_s
        self._lock = threading.Lock()  # states of two senders arrive in two threads
        self._link: Link | None = None
        self._forget()

    def _forget(self) -> None:
        self._motors = np.zeros(0, int)
        self._latest: Reading | None = None
        self._tick = 0
        self._mode_machine = 0
        self._last_refusal = ""
        self._ordered = -np.inf
        self._was_enabled = np.zeros(0, bool)

    def connect(self, joint_names: tuple[str, ...]) -> None:
        """Find the robot and make sure that it is the right one and nobody else drives it; sends nothing.

        Args:
            joint_names: All of the robot's joints, in the policy's order.

        Raises:
            DriverError: Joints are unknown, missing or named twice; CycloneDDS or the network is missing; no state
                comes, or only states that are refused; somebody else drives the robot.
        """
        if self._link is not None:
            raise DriverError(f"this driver is connected to the {self._robot} already: close it first")
        self._forget()
        self._motors = self._motor_of_each(joint_names)
        self._was_enabled = np.zeros(len(joint_names), bool)
        interface, peer, domain = self._where
        self._link = Link(self._model.command, self._model.state, interface, peer, domain, self._receive)
        try:
            self._listen(self._link)
        except DriverError:
            self.close()
            raise

    def _motor_of_each(self, joint_names: tuple[str, ...]) -> np.ndarray:
        motors = self._model.motors
        unknown = [name for name in joint_names if name not in motors]
        missing = [name for name in motors if name not in joint_names]
        twice = sorted({name for name in joint_names if joint_names.count(name) > 1})
        for what, names in (("has no joint", unknown), ("needs an order for", missing), ("has only one", twice)):
            if names:
                raise DriverError(f"the {self._robot} {what} {', '.join(names)}; its joints: {', '.join(motors)}")
        return np.array([motors.index(name) for name in joint_names])

    def _listen(self, link: Link) -> None:
        start = time.monotonic()
        while True:
            if link.other_runtime():
                what = f"another robopolicy runtime is connected on {COMMAND_TOPIC}"
                raise DriverError(f"somebody else drives the {self._robot}: {what}; stop that first")
            if other := link.intruder():
                raise DriverError(f"{other}; stop that first")
            waited = time.monotonic() - start
            if self._latest is not None and waited >= self._listen_s:
                return
            if self._latest is None and waited >= self._timeout_s:
                raise DriverError(self._nothing_heard(link))
            time.sleep(0.01)

    def _nothing_heard(self, link: Link) -> str:
        interface, peer, domain = self._where
        where = f"{STATE_TOPIC}, interface {interface!r}, peer {peer or 'any'}, DDS domain {domain}"
        text = f"no state of a {self._robot} within {self._timeout_s:g} s ({where})"
        if self.refused:
            return f"{text}; {self.refused} states were refused, the last: {self._last_refusal}"
        wanted = f"{self._model.state.module}::msg::dds_::{self._model.state.name}"
        types = link.state_types()
        if wanted in types:
            return f"{text}; somebody offers {wanted}, but silent or with other fields than this driver knows"
        return f"{text}; the robot there says {', '.join(types)}, not {wanted}" if types else text

    def _receive(self, payload: bytes) -> None:
        now = time.monotonic()
        with self._lock:
            try:
                state = self._model.state.decode(payload)
                gravity = _gravity(state["imu_state"]["quaternion"])
            except FrameError as error:
                self.refused += 1
                self._last_refusal = str(error)
                return
            # The same tick again is the same measurement again; a simulator that never sets it measures all the same.
            tick = int(state["tick"])
            if tick and tick == self._tick:
                return
            self._tick = tick
            if "mode_machine" in (state.dtype.names or ()):
                self._mode_machine = int(state["mode_machine"])
            motors = state["motor_state"]
            self._latest = Reading(
                time_s=now,
                sequence=self._latest.sequence + 1 if self._latest else 1,
                gyro=state["imu_state"]["gyroscope"].astype(float),
                gravity=gravity,
                joint_pos=motors["q"][self._motors].astype(float),
                joint_vel=motors["dq"][self._motors].astype(float),
                fault=self._motor_fault(motors[self._motors], now),
            )

    def _motor_fault(self, motors: np.ndarray, now: float) -> str:
        """What the motors, in contract order, have against being driven, of the first that has; else empty."""
        enabled = motors["mode"] == ENABLED
        left = self._was_enabled & ~enabled
        driven = now - self._ordered < QUIET_S
        self._was_enabled = (self._was_enabled | enabled) & driven
        faults = np.zeros(len(motors), np.uint32)
        if "motorstate" in (motors.dtype.names or ()):  # the Go2's motors report none
            faults = motors["motorstate"] & ~np.uint32(UNHEARD)
        for i in map(int, np.flatnonzero(faults)):
            return f"the motor of {self._joint(i)!r} reports fault 0x{int(faults[i]):x}"
        for i in map(int, np.flatnonzero(left & driven)):
            return f"the motor of {self._joint(i)!r} was enabled and is in mode {int(motors['mode'][i])} now"
        return ""

    def _joint(self, i: int) -> str:
        return self._model.motors[self._motors[i]]

    def expect(self, lower: np.ndarray, upper: np.ndarray, period_s: float) -> None:
        """Nothing to prepare: any angle can be ordered, and what becomes of late orders is the robot's own affair."""

    def read(self) -> Reading | None:
        """The newest sample, without waiting; the same as before if there is no newer one, None before the first."""
        latest, link = self._latest, self._link
        if latest is not None and link is not None and (other := link.intruder()):
            return replace(latest, fault=other)
        return latest

    def send(self, order: Order) -> None:
        """Give an order, without waiting.

        Raises:
            DriverError: The robot is not connected, or the order has the wrong shape or is not finite.
        """
        if self._link is None:
            raise DriverError(f"the {self._robot} is not connected")
        record = self._model.command.blank()
        if self._robot == "go2":
            record["head"] = (0xFE, 0xEF)
            record["level_flag"] = 0xFF  # low level: the motors, not the motion service
        else:
            record["mode_pr"] = PITCH_ROLL
            record["mode_machine"] = self._mode_machine  # the robot refuses orders for another variant of it
        motors = record["motor_cmd"]
        motors["mode"][self._motors] = ENABLED
        for field, name in (("q", "target"), ("kp", "kp"), ("kd", "kd")):
            motors[field][self._motors] = self._checked(name, getattr(order, name))
        self._link.send(self._model.command.encode(record))
        self._ordered = time.monotonic()

    def _checked(self, name: str, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            numbers = np.asarray(values, np.float64).astype(np.float32)
        if numbers.shape != self._motors.shape:
            raise DriverError(f"order.{name} has shape {numbers.shape}, expected {self._motors.shape}")
        if not np.isfinite(numbers).all():
            i = int(np.flatnonzero(~np.isfinite(numbers))[0])
            where = f"order.{name}[{i}] (joint {self._joint(i)!r})"
            raise DriverError(f"{where} is not a finite float32: {np.asarray(values)[i]}")
        return numbers

    def close(self) -> None:
        """Let go of the robot, whatever state it is in. Safe to call twice; gives no order."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _gravity(quaternion: np.ndarray) -> np.ndarray:
    """Direction of gravity, unit vector, IMU frame, from the IMU's orientation in the world, wxyz. Shape (3,).

    Raises:
        FrameError: It is no orientation; the IMU says zeros until it is ready.
    """
    norm = float(np.linalg.norm(quaternion.astype(float)))
    if not 0.9 < norm < 1.1:
        raise FrameError(f"orientation {quaternion.tolist()} is not a unit quaternion")
    w, x, y, z = quaternion.astype(float) / norm
    return -np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
