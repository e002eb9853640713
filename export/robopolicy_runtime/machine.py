"""What the robot is doing and may do next: off, ready, run, stop, limp, fallen."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from robopolicy_runtime.driver import DriverError, Reading
from robopolicy_runtime.errors import ContractError, say
from robopolicy_runtime.policy import Controller
from robopolicy_runtime.safety import FaultError, Safety
from robopolicy_runtime.ticker import clock as real_clock

if TYPE_CHECKING:  # a show is made of what is defined here
    from robopolicy_runtime.show.show import Scene, Show

REQUESTS = ("ready", "run", "stop", "limp", "off")
# A busy machine has taken 0.1 s away, and that was survived. After twice that the robot's own watchdog has long let go,
# what stood may lie, and neither the policy's history nor what a person asked for is of this moment.
_STALL_S = 0.2
_STALL_PERIODS = 5  # a slow policy is not stalled after one or two
_LAST_ORDERS = 5  # to be limp, before nothing is sent any more: any of them can be lost, and none is acknowledged


class State(enum.IntEnum):
    """What the robot is doing.

    ``OFF``: nothing is sent; so it starts. ``READY``: it goes slowly to the policy's default pose and holds it.
    ``RUN``: the policy drives. ``STOP``: the joints give way slowly, because somebody asked or readings cannot be
    trusted. ``LIMP``: no torque. ``FALLEN``: it leans too far; the joints give way slowly. Only a request leads out of
    the last three.
    """

    OFF = 0
    READY = 1
    RUN = 2
    STOP = 3
    LIMP = 4
    FALLEN = 5


@dataclass(frozen=True)
class Wish:
    """What a person or a program asks for.

    Attributes:
        command: Channels by name; those that are missing are at their default.
        request: One of ``REQUESTS`` or of a show's, or None.
        age_s: How old the command is [s].
    """

    command: Mapping[str, float] = field(default_factory=dict)
    request: str | None = None
    age_s: float = 0.0


@dataclass
class Tick:
    """What one control period did; J joints. Reading and target have the free joints of a show after the policy's.

    Attributes:
        state: After it.
        reading: The newest sample; None before the first.
        trusted: Whether it may drive.
        command: What the policy was told. Shape (C,).
        action: The network's output; NaN where it was not asked. Shape (J,).
        target: What was sent [rad]; NaN where nothing drives. Shape (J + F,).
        limited_by: What changed the target.
        scene: What the show did; None without one.
    """

    state: State
    reading: Reading | None
    trusted: bool
    command: np.ndarray
    action: np.ndarray
    target: np.ndarray
    limited_by: tuple[str, ...]
    scene: "Scene | None" = None


class Machine:
    """Runs one control period after the other.

    Args:
        controller: The policy, or a show of several.
        safety: Holds the robot.
        ramp_s: Time to the default pose [s].
        deadman_s: A command older than this counts as none: the robot is told to stand [s], or stopped if it cannot be.
        near_rad: The policy takes over only if every joint is this near to the default pose [rad].
        clock: Tells how long ago the period before was [s].
        report: Gets a line for every change of state and every refusal.

    Attributes:
        state: What the robot is doing.
        reason: Why it is in that state.
        command_lost: Whether the command is too old, so that the default counts.
    """

    def __init__(
        self,
        controller: "Controller | Show",
        safety: Safety,
        ramp_s: float = 2.0,
        deadman_s: float = 0.5,
        near_rad: float = 0.35,
        clock: Callable[[], float] = real_clock,
        report: Callable[[str], None] = say,
    ) -> None:
        self._show = None if isinstance(controller, Controller) else controller
        self._controller, self.safety = controller, safety
        self.contract = controller.contract
        self.ramp_s, self.deadman_s, self.near_rad = ramp_s, deadman_s, near_rad
        self._clock, self._report = clock, report
        self._pose = np.array(self.contract.default_pose)
        self._ramp_from = self._pose
        self._ramped_s = 0.0
        self._stall_s = max(_STALL_S, _STALL_PERIODS * self.contract.control_period_s)
        self._ticked = clock()
        self.state, self.reason, self.command_lost = State.OFF, "started", False
        self._until_off = 0  # orders to be limp that are left before it is off; 0: nobody asked for that

    @property
    def controller(self) -> Controller:
        """The policy that drives."""
        return self._controller if isinstance(self._controller, Controller) else self._controller.controller

    def tick(self, wish: Wish) -> Tick:
        """One control period: read, decide, send."""
        self._check_stall()
        reading, fault = None, None
        try:
            reading = self.safety.sense()
        except FaultError as error:
            fault = error
        if fault is not None and self.state in (State.READY, State.RUN):
            self._enter(State.FALLEN if fault.kind == "tilted" else State.STOP, str(fault))
        if self._note_loss(wish):
            wish = replace(wish, command={})
        if self._show is not None:
            wish = self._show.direct(wish, reading, self.state == State.RUN, self.command_lost)
        if wish.request is not None:
            self._ask(wish.request, reading, fault)
        if self.command_lost and self.state == State.RUN and self.controller.contract.going:
            going = self.controller.contract.going
            self._enter(State.STOP, f"command lost for {wish.age_s:.2f} s, and without one the policy goes on: {going}")
        command = self._command(wish)
        nothing = np.full(len(self._pose), np.nan)
        action, target = nothing, np.full(len(self.safety.contract.joint_names), np.nan)
        try:
            if self.state == State.RUN and reading is not None:
                asked = self._drive(reading, command)
                action, target = self.controller.action, self.safety.drive(asked, reading)
            elif self.state == State.READY and reading is not None:
                target = self.safety.drive(self._ramp(), reading)
                self._ramped_s += self.contract.control_period_s  # by periods: after a late one it does not jump
        except (FaultError, ContractError) as error:
            self._enter(State.STOP, str(error))
        except DriverError as error:
            self._enter(State.LIMP, f"an order cannot be given: {error}")
        self._give_way()
        scene = None if self._show is None else self._show.scene
        return Tick(
            self.state, self.safety.latest, reading is not None, command, action, target, self.safety.limited_by, scene
        )

    def give_up(self, reason: str) -> None:
        """Let the joints give way, because no further period will come."""
        if self.state in (State.READY, State.RUN):
            self._enter(State.STOP, reason)
        self._give_way()

    def _drive(self, reading: Reading, command: np.ndarray) -> np.ndarray:
        if self._show is not None:
            return self._show.drive(reading, command)
        return self.controller.step(reading.gyro, reading.gravity, reading.joint_pos, reading.joint_vel, command)

    def _give_way(self) -> None:
        try:
            if self.state in (State.STOP, State.FALLEN):
                self.safety.damp()
            elif self.state == State.LIMP:
                self.safety.limp()
                if self._until_off == 1:
                    self._enter(State.OFF, "asked")
                self._until_off = max(self._until_off - 1, 0)
        except DriverError as error:
            off = self._until_off > 0  # then they are counted anew: as long as orders fail, motors may be on
            self._enter(State.LIMP, f"{'not off yet: ' if off else ''}an order cannot be given: {error}")
            self._until_off = _LAST_ORDERS if off else 0

    def _ask(self, request: str, reading: Reading | None, fault: FaultError | None) -> None:
        if request not in REQUESTS:
            self._report(f"no request {request!r}; there are: {', '.join(REQUESTS)}")
        elif request in ("stop", "limp"):
            self._enter(State.STOP if request == "stop" else State.LIMP, "asked")
        elif request == "off":
            if self.state != State.OFF and not self._until_off:
                self._enter(State.LIMP, "asked to be off")
                self._until_off = _LAST_ORDERS
        elif reading is None:
            self._report(f"refused to get {request}: {fault}")
        elif request == "ready":
            if self.state != State.READY:
                self._ramp_from, self._ramped_s = np.array(reading.joint_pos, float), 0.0
                self._enter(State.READY, "asked")
        elif self.state != State.RUN:
            self._start(reading)

    def _start(self, reading: Reading) -> None:
        """Let the policy take over, if the robot stands as a training episode begins."""
        if self.state != State.READY:
            self._report(f"refused to run from {self.state.name.lower()}: get ready first")
            return
        left = self.ramp_s - self._ramped_s
        if left > 0:
            self._report(f"refused to run: still going to the pose for {left:.1f} s")
            return
        away = np.abs(reading.joint_pos[: len(self._pose)] - self._pose)
        if away.max() > self.near_rad:
            joint = self.contract.joint_names[int(away.argmax())]
            self._report(f"refused to run: {joint} is {away.max():.2f} rad from its pose; at most {self.near_rad:.2f}")
            return
        if self._show is not None:
            self._show.start()
        else:
            self.controller.reset()
        self._enter(State.RUN, "asked")

    def _ramp(self) -> np.ndarray:
        """From where the joints were to the default pose, slow at both ends; free ones stay where they were found."""
        part = min(self._ramped_s / self.ramp_s, 1.0) if self.ramp_s > 0 else 1.0
        way = np.zeros(len(self._ramp_from))
        way[: len(self._pose)] = self._pose - self._ramp_from[: len(self._pose)]
        return self._ramp_from + (3 * part**2 - 2 * part**3) * way

    def _check_stall(self) -> None:
        """Give up if the runtime stood still: it was stopped, the computer slept, or something else had it."""
        now = self._clock()
        stood, self._ticked = now - self._ticked, now
        if stood > self._stall_s and self.state in (State.READY, State.RUN):
            self._enter(State.STOP, f"the runtime stood still for {stood:.2f} s; at most {self._stall_s:.2f} s")

    def _note_loss(self, wish: Wish) -> bool:
        lost = wish.age_s > self.deadman_s
        if lost != self.command_lost and self.state == State.RUN and not self.controller.contract.going:
            self._report(f"command lost for {wish.age_s:.2f} s: told to stand" if lost else "command is back")
        self.command_lost = lost
        return lost

    def _command(self, wish: Wish) -> np.ndarray:
        c = self.controller.contract.command
        values = np.array(c.fill(wish.command))
        return np.clip(np.where(np.isfinite(values), values, c.default), c.lower, c.upper)

    def _enter(self, state: State, reason: str) -> None:
        before, changed = self.state, state != self.state or reason != self.reason
        self.state, self.reason, self._until_off = state, reason, 0  # whatever becomes of the line
        if changed:
            self._report(f"{before.name.lower()} -> {state.name.lower()}: {reason}")
