"""Robots on serial bus servos: Feetech STS3215 and Dynamixel XL330."""

import math
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from robopolicy_runtime.driver import DriverError, Order, Reading
from robopolicy_runtime.drivers.imu import Imu, ImuThread, load_imu
from robopolicy_runtime.drivers.servo_bus import ServoBus
from robopolicy_runtime.errors import say

__all__ = ["Imu", "ServoBus", "ServoDriver"]

STEPS = 4096
STEP_RAD = 2 * math.pi / STEPS
IMU_PERIODS = 5
WATCHDOG_PERIODS = 5  # more than a busy machine misses now and then, less than a robot takes to fall over
LAST_TRIES = 5  # to switch torque off before the port closes


@dataclass(frozen=True)
class _Protocol:
    """The registers of one kind of servo.

    Attributes:
        controller: Name of its class in rustypot.
        mode, position_modes: Register of the operating mode, and the modes in which a goal is a position.
        torque, goal, goal_size: Registers that are written; size in bytes.
        state, state_size: Speed and position lie side by side: both come with one read, from one moment.
        position_at, speed_at: Where they are in it.
        sign_bit: Signed numbers are a sign and a magnitude, not two's complement.
        speed_rad_s: One unit of speed [rad/s].
    """

    controller: str
    mode: int
    position_modes: tuple[int, ...]
    torque: int
    goal: int
    goal_size: int
    state: int
    state_size: int
    position_at: slice
    speed_at: slice
    sign_bit: bool
    speed_rad_s: float

    def decode(self, data: bytes) -> int:
        """A signed number as the servo sends it."""
        raw = int.from_bytes(data, "little", signed=not self.sign_bit)
        sign = 1 << (8 * len(data) - 1)
        return sign - raw if self.sign_bit and raw & sign else raw


PROTOCOLS = {
    "sts3215": _Protocol(
        controller="Sts3215PyController",
        mode=33,
        position_modes=(0,),
        torque=40,
        goal=42,
        goal_size=2,
        state=56,
        state_size=4,
        position_at=slice(0, 2),
        speed_at=slice(2, 4),
        sign_bit=True,
        speed_rad_s=STEP_RAD,
    ),
    "xl330": _Protocol(
        controller="Xl330PyController",
        mode=11,
        position_modes=(3, 4, 5),
        torque=64,
        goal=116,
        goal_size=4,
        state=128,
        state_size=8,
        position_at=slice(4, 8),
        speed_at=slice(0, 4),
        sign_bit=False,
        speed_rad_s=0.229 * 2 * math.pi / 60,
    ),
}


@dataclass(frozen=True)
class _Goals:
    """An order in the servos' terms, in contract order: whether each is on, and its goal [steps]."""

    on: tuple[bool, ...]
    steps: tuple[int, ...]


class ServoDriver:
    """A robot on serial bus servos, through the library rustypot (``pip install 'robopolicy-runtime[servo]'``).

    Such servos have their own gains and their own limits of speed and torque, which are set in the servo and not
    touched here. So of an order's gains only this much can be had: ``kp > 0`` switches a joint's torque on and gives it
    the target, ``kp == 0`` switches it off. ``kd`` means nothing: what is damping elsewhere is a limp joint here.
    A servo holds its last goal until it is told otherwise, also when this program has ended. Torque stays as it was
    found until the first order; servos that were switched on before are not switched off by ``connect``.

    If no order comes for ``WATCHDOG_PERIODS`` control periods, whatever gives them hangs, and torque is switched off.
    That needs a process that lives: a killed one leaves the servos at their last goals.

    The servos must be in position mode, and a joint's range must lie within one turn of the servo. Nobody else may
    have the port open: rustypot locks it.

    A thread owns the port: it reads at ``config.rate_hz`` and writes the newest order as soon as it comes. A reading is
    renewed only if every servo answered whole, none reported a fault, and the IMU has spoken lately; what kept it from
    that is counted and told here.

    Attributes:
        failed_reads: How often a reading was not renewed.
        failed_by_joint: How often it was for a joint's servo, by the joint's name.
        last_failure: Why, the last time, with the servo's id; empty if never.
    """

    def __init__(self, config: ServoBus):
        self.failed_reads = 0
        self.failed_by_joint: dict[str, int] = {}
        self.last_failure = ""
        self._config = config
        self._protocol = PROTOCOLS[config.protocol]
        self._names: tuple[str, ...] = ()
        self._ids: list[int] = []
        self._sign = np.ones(0)
        self._zero = np.zeros(0)
        self._bus: Any = None
        self._imu: ImuThread | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._goals: _Goals | None = None
        self._closing = False
        self._was_on: tuple[bool, ...] = ()
        self._tried: _Goals | None = None
        self._reading: Reading | None = None
        self._write_failure = ""
        self._patience_s = math.inf
        self._ordered = 0.0
        self._abandoned = ""

    def connect(self, joint_names: tuple[str, ...]) -> None:
        """Open the port, find every servo, start the IMU and the readings. Writes nothing to a servo.

        Args:
            joint_names: The policy's joints; the order in which readings come and orders go from here on.

        Raises:
            DriverError: The joints are not the configuration's, rustypot is missing, the port cannot be opened or is in
                use, servos do not answer, report a fault or are in another mode, or the IMU gives nothing.
        """
        if self._bus is not None:
            raise DriverError(f"{self._config.port}: this driver is connected already")
        self._match(joint_names)
        try:
            self._open()
            self._find_servos()
            imu = load_imu(self._config.imu, self._config.folder)
            self._imu = ImuThread(imu, self._config.rate_hz)
            self._imu.start()
        except BaseException:
            self.close()
            raise
        self._closing = False
        self._goals = self._tried = None
        self._reading = None
        self._was_on = (False,) * len(self._names)
        self._write_failure = self._abandoned = ""
        self._patience_s = math.inf
        self._thread = threading.Thread(target=self._run, name="servo bus", daemon=True)
        self._thread.start()

    def expect(self, lower: np.ndarray, upper: np.ndarray, period_s: float) -> None:
        """Make sure that every target lies within its servo's turn, and that a program that hangs is noticed.

        Args:
            lower, upper: Lowest and highest target of each joint [rad]. Shape (J,).
            period_s: An order comes so often [s].

        Raises:
            DriverError: A joint's targets go beyond its servo's turn; the message names all such joints.
        """
        out = [_out_of_turn(self._steps(np.asarray(end, float))) for end in (lower, upper)]
        beyond = []
        for k in map(int, np.flatnonzero(out[0] | out[1])):
            turn = sorted(self._sign[k] * (step * STEP_RAD - math.pi - self._zero[k]) for step in (0, STEPS - 1))
            beyond.append(
                f"{self._names[k]} goes from {lower[k]:.2f} to {upper[k]:.2f} rad, "
                f"its servo {self._ids[k]} from {turn[0]:.2f} to {turn[1]:.2f}"
            )
        if beyond:
            raise DriverError(f"joints turn further than their servos, as these are mounted: {'; '.join(beyond)}")
        self._patience_s = WATCHDOG_PERIODS * period_s

    def read(self) -> Reading | None:
        """The newest sample, without waiting; its time is that of its older half, servos or IMU."""
        return self._reading

    def send(self, order: Order) -> None:
        """Hand an order to the thread that owns the port, without waiting. An order replaces one that waits.

        Raises:
            DriverError: There is no connection; a target is not finite or outside the servo's turn; no order came for
                so long that torque was switched off, and this one would switch it on: first comes one that lets go; or
                the order before this one could not be written; this one is tried all the same then.
        """
        if self._thread is None:
            raise DriverError(f"{self._config.port}: not connected, so the order cannot be given")
        goals = self._translate(order)
        with self._changed:
            if self._abandoned and any(goals.on):
                raise DriverError(f"{self._config.port}: {self._abandoned}")
            self._goals, self._ordered, self._abandoned = goals, time.monotonic(), ""
            self._changed.notify()
            failure, self._write_failure = self._write_failure, ""
        if failure:
            raise DriverError(f"{self._config.port}: the last order could not be written: {failure}")

    def close(self) -> None:
        """Let go of the port and the IMU. An order that waits is still written, and one to let go that failed is tried
        again; none is given."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()
        imu, self._imu = self._imu, None
        if imu is not None:
            imu.close()

    def _match(self, joint_names: tuple[str, ...]) -> None:
        joints = self._config.joints
        unknown = [name for name in joint_names if name not in joints]
        spare = [name for name in joints if name not in joint_names]
        if unknown or spare:
            parts = [f"no servo for {', '.join(unknown)}"] * bool(unknown)
            parts += [f"servos of joints that the policy does not have: {', '.join(spare)}"] * bool(spare)
            raise DriverError(
                f"the policy's joints ({', '.join(joint_names)}) are not the configuration's: {'; '.join(parts)}"
            )
        servos = [joints[name] for name in joint_names]
        self._names = tuple(joint_names)
        self._ids = [servo.id for servo in servos]
        self._sign = np.array([servo.sign for servo in servos], float)
        self._zero = np.array([servo.zero for servo in servos])

    def _open(self) -> None:
        try:
            import rustypot
        except ImportError as error:
            raise DriverError(f"servos need rustypot, pip install 'robopolicy-runtime[servo]': {error}") from None
        config = self._config
        try:
            open_bus = getattr(rustypot, self._protocol.controller)
            self._bus = open_bus(config.port, config.baud, config.timeout_ms / 1000)
        except (OSError, ValueError, RuntimeError) as error:
            raise DriverError(f"{config.port} cannot be opened, or another program drives it: {error}") from None

    def _find_servos(self) -> None:
        try:
            found = [self._bus.ping(i) for i in self._ids]
            if not all(found):
                missing = ", ".join(self._who(k) for k, there in enumerate(found) if not there)
                raise DriverError(f"{self._config.port} at {self._config.baud} baud: no answer from {missing}")
            for k, i in enumerate(self._ids):
                data, fault = self._bus.read_raw_data_with_error(i, self._protocol.mode, 1)
                if fault:
                    raise DriverError(f"{self._who(k)} reports fault 0x{fault:02x}")
                if data[0] not in self._protocol.position_modes:
                    raise DriverError(
                        f"{self._who(k)} is in mode {data[0]}, not in position mode "
                        f"({' or '.join(map(str, self._protocol.position_modes))})"
                    )
        except RuntimeError as error:
            raise DriverError(f"{self._config.port}: {error}") from None

    def _translate(self, order: Order) -> _Goals:
        shape = (len(self._names),)
        target, kp = np.asarray(order.target, float), np.asarray(order.kp, float)
        if target.shape != shape or kp.shape != shape:
            raise DriverError(f"order: target has shape {target.shape} and kp {kp.shape}, expected {shape}")
        on = kp > 0
        steps = np.where(on, self._steps(target), 0.0)
        for k in map(int, np.flatnonzero(_out_of_turn(steps) | np.isnan(kp))):
            raise DriverError(
                f"order: target {target[k]} rad with kp {kp[k]} for {self._who(k)}: its turn ends at step 0 and "
                f"{STEPS - 1}, this is step {steps[k]:g}"
            )
        return _Goals(tuple(bool(x) for x in on), tuple(int(x) for x in steps))

    def _steps(self, angles: np.ndarray) -> np.ndarray:
        """Goals for joint angles [rad]; not a number where they are none. Shape (J,)."""
        steps = np.round((self._sign * angles + self._zero + math.pi) / STEP_RAD)
        return np.where(steps == STEPS, STEPS - 1, steps)  # half a turn from the middle is at either end of it

    def _run(self) -> None:
        period = 1 / self._config.rate_hz
        due = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._goals is not None or self._closing, timeout=max(0.0, due - time.monotonic())
                )
                goals, self._goals = self._goals or self._let_go_alone(), None
                closing = self._closing
            if goals is not None:
                self._write(goals)
            if closing:
                self._insist()
                return
            if time.monotonic() >= due:
                self._sample()
                due = max(due + period, time.monotonic())

    def _let_go_alone(self) -> _Goals | None:
        """No torque, if joints are on and nobody has said anything for long; again and again until somebody does."""
        silent = time.monotonic() - self._ordered
        if any(self._was_on) and silent > self._patience_s:
            self._abandoned = (
                f"no order came for {1e3 * silent:.0f} ms, at most {1e3 * self._patience_s:.0f} ms: torque is off"
            )
        return _Goals((False,) * len(self._names), (0,) * len(self._names)) if self._abandoned else None

    def _insist(self) -> None:
        """Write an order to let go once more if it failed: after the last one nobody asks what became of it."""
        for _ in range(LAST_TRIES):
            if not self._write_failure or self._tried is None or any(self._tried.on):
                return
            self._write(self._tried)
        if self._write_failure:
            say(f"{self._config.port}: torque could not be switched off: {self._write_failure}")

    def _write(self, goals: _Goals) -> None:
        """Nobody answers to these packets, so everything is written anew with each order: a lost one does not last."""
        self._tried = goals
        try:
            if any(now and not before for now, before in zip(goals.on, self._was_on, strict=True)):
                # Before the torque: a servo that comes on goes to the goal that it has, which may be an old one.
                self._write_goals(goals)
            self._bus.sync_write_raw_data(self._ids, self._protocol.torque, [[int(on)] for on in goals.on])
            # And after it: some servos take the present angle for their goal when they come on.
            self._write_goals(goals)
            self._was_on = goals.on
            with self._changed:
                self._write_failure = ""
        except BaseException as error:  # a panic of the library is no Exception; torque must still go off after one
            with self._changed:
                self._write_failure = str(error)

    def _write_goals(self, goals: _Goals) -> None:
        chosen = [k for k, on in enumerate(goals.on) if on]
        if chosen:
            data = [list(goals.steps[k].to_bytes(self._protocol.goal_size, "little")) for k in chosen]
            self._bus.sync_write_raw_data([self._ids[k] for k in chosen], self._protocol.goal, data)

    def _sample(self) -> None:
        try:
            self._reading = self._measure(self._reading.sequence + 1 if self._reading else 0)
        except BaseException as error:  # as above
            self.failed_reads += 1
            self.last_failure = str(error)
            # rustypot names the servo that it waited for, the first that did not answer as it should.
            servo = re.match(r"(motor|servo) (\d+)\b", self.last_failure)
            if servo and int(servo[2]) in self._ids:
                k = self._ids.index(int(servo[2]))
                self.failed_by_joint[self._names[k]] = self.failed_by_joint.get(self._names[k], 0) + 1
                if servo[1] == "motor":
                    self.last_failure = f"{self._who(k)} did not answer as it should: {error}"

    def _measure(self, sequence: int) -> Reading:
        p = self._protocol
        answers = self._bus.sync_read_raw_data_with_error(self._ids, p.state, p.state_size)
        now = time.monotonic()
        states = []
        for k, (values, fault) in enumerate(answers):
            if fault:
                raise DriverError(f"{self._who(k)} reports fault 0x{fault:02x}")
            if len(values) != p.state_size:
                raise DriverError(f"{self._who(k)} sent {len(values)} bytes instead of {p.state_size}")
            states.append(bytes(values))
        assert self._imu is not None
        imu = self._imu.newest()
        if now - imu.time_s > IMU_PERIODS / self._config.rate_hz:
            why = self._imu.failure or "read() waits"
            raise DriverError(f"imu: no new sample for {1000 * (now - imu.time_s):.0f} ms: {why}")
        steps = np.array([p.decode(state[p.position_at]) for state in states])
        speeds = np.array([p.decode(state[p.speed_at]) for state in states])
        return Reading(
            time_s=min(now, imu.time_s),
            sequence=sequence,
            gyro=imu.gyro,
            gravity=imu.gravity,
            joint_pos=self._sign * (steps * STEP_RAD - math.pi - self._zero),
            joint_vel=self._sign * speeds * p.speed_rad_s,
        )

    def _who(self, k: int) -> str:
        return f"servo {self._ids[k]} ({self._names[k]})"


def _out_of_turn(steps: np.ndarray) -> np.ndarray:
    """Which goals a servo cannot be given. Shape (J,)."""
    return ~((steps >= 0) & (steps < STEPS))
