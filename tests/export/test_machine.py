"""What the robot may do next, and what it does when something is wrong."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.commands import Udp
from robopolicy_runtime.machine import Machine, State, Wish
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.safety import Safety
from robopolicy_runtime.session import drive, loop
from robopolicy_runtime.ticker import Ticker
from test_safety import FakeRobot, upright


class Rig:
    """A machine on a robot that follows its orders at once, and a clock that is set by hand."""

    def __init__(self, path: Path) -> None:
        self.now, self.robot, self.sequence, self.lines = 0.0, FakeRobot(), 0, []
        self.changes: dict = {}
        self.silent = False
        file = PolicyFile.open(path)
        safety = Safety(self.robot, file.contract, clock=lambda: self.now)
        self.machine = Machine(Controller(file), safety, ramp_s=0.4, clock=lambda: self.now, report=self.lines.append)

    def tick(self, request: str | None = None, age_s: float = 0.0, **command: float):
        """One control period later."""
        self.tick_reading()
        return self.machine.tick(Wish(command, request, age_s))

    def tick_reading(self) -> None:
        """What comes before a control period."""
        self.now += 0.02
        if not self.silent:
            self.sequence += 1
            self.robot.reading = upright(self.now, self.sequence, **self.changes)

    def run(self) -> None:
        """Into the state in which the policy drives."""
        self.tick("ready")
        for _ in range(21):
            self.tick()
        self.tick("run")
        assert self.machine.state == State.RUN


@pytest.fixture
def rig(policy_path: Path) -> Rig:
    return Rig(policy_path)


def test_nothing_is_sent_before_somebody_asks(rig: Rig):
    for _ in range(50):
        tick = rig.tick()
    assert rig.machine.state == State.OFF
    assert rig.robot.orders == []
    assert np.isnan(tick.target).all()


def test_ready_goes_slowly_from_where_the_joints_are_to_the_pose(rig: Rig):
    start = np.array([-0.2, 0.3])
    rig.changes = {"joint_pos": start}
    targets = [rig.tick("ready").target]
    for _ in range(30):
        rig.changes = {"joint_pos": targets[-1]}  # the joints follow
        targets.append(rig.tick().target)
    np.testing.assert_allclose(targets[0], start, atol=1e-12)
    np.testing.assert_allclose(targets[-1], synthetic.DEFAULT, atol=1e-12)
    steps = np.abs(np.diff(targets, axis=0))
    assert steps.max() < 1.6 * 0.43 / 20  # 0.43 rad in 20 periods, a little faster in the middle
    np.testing.assert_allclose(targets[10], (start + synthetic.DEFAULT) / 2, atol=1e-9)  # halfway at half time


def test_the_policy_drives_only_after_the_pose_is_reached(rig: Rig):
    rig.tick("run")
    assert (rig.machine.state, rig.lines[-1]) == (State.OFF, "refused to run from off: get ready first")
    rig.tick("ready")
    rig.tick("run")
    assert rig.machine.state == State.READY
    assert "still going to the pose" in rig.lines[-1]
    for _ in range(21):
        rig.tick()
    rig.changes = {"joint_pos": synthetic.DEFAULT + [0.0, 0.4]}
    rig.tick("run")
    assert rig.machine.state == State.READY
    assert "right_hip is 0.40 rad from its pose" in rig.lines[-1]
    rig.changes = {}
    rig.tick("run")
    assert rig.machine.state == State.RUN


def test_the_policy_begins_anew_on_each_start(rig: Rig):
    rig.run()
    first = [rig.tick(vx=0.5).action for _ in range(5)]
    rig.tick("stop")
    rig.run()
    np.testing.assert_array_equal([rig.tick(vx=0.5).action for _ in range(5)], first)


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"joint_pos": np.array([np.nan, 0.0])}, State.STOP, "not finite"),
        ({"gyro": np.array([0.0, 99.0, 0.0])}, State.STOP, "out of what the robot can do"),
        ({"gravity": np.array([0.0, 0.0, 1.0])}, State.FALLEN, "leans"),
        ({"fault": "the motor is hot"}, State.STOP, "the motor is hot"),
    ],
)
def test_a_bad_reading_ends_the_drive_at_once(rig: Rig, changes: dict, state: State, reason: str):
    rig.run()
    rig.changes = changes
    tick = rig.tick()
    assert (tick.state, tick.trusted) == (state, False)
    assert reason in rig.machine.reason
    assert rig.robot.orders[-1].kp.tolist() == [0, 0]
    assert rig.robot.orders[-1].kd.tolist() == [0.7, 0.8]
    rig.changes = {}
    for _ in range(10):  # a good reading alone does not bring it back
        assert rig.tick().state == state
    rig.tick("run")
    assert rig.machine.state == state


def test_silence_stops_within_a_tenth_of_a_second(rig: Rig):
    rig.run()
    rig.silent, begin = True, rig.now
    while rig.tick().state == State.RUN:
        assert rig.now < begin + 0.1
    assert rig.machine.state == State.STOP
    assert "no new sample" in rig.machine.reason


def test_ready_and_run_are_refused_without_readings(rig: Rig):
    rig.silent = True
    for request in ("ready", "run"):
        rig.tick(request)
        assert rig.machine.state == State.OFF
        assert rig.lines[-1] == f"refused to get {request}: no sample from the robot yet"


def test_a_lost_command_means_stand(rig: Rig):
    rig.run()
    assert rig.tick(vx=0.5).command.tolist() == [0.5, 0, 0]
    tick = rig.tick(age_s=0.6, vx=0.5)
    assert (tick.state, tick.command.tolist()) == (State.RUN, [0, 0, 0])
    assert "command lost for 0.60 s: told to stand" in rig.lines
    rig.tick(vx=0.5)
    assert rig.lines[-1] == "command is back"


class Operator:
    """Says one thing a period to a rig, over UDP."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.said, self.commands = rig, [], []
        self.source = Udp(0, synthetic.contract().command, rig.lines.append, lambda: rig.now)
        self.forget, self.close = self.source.forget, self.source.close

    def poll(self) -> Wish:
        self.rig.tick_reading()
        if self.said and (said := self.said.pop(0)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(json.dumps(said).encode(), ("127.0.0.1", self.source.port))
        return self.source.poll()

    def periods(self, *said: dict) -> list[float]:
        """The forward velocity that the policy was told in each of these periods."""
        self.said, told = list(said), []
        tick = self.rig.machine.tick
        self.rig.machine.tick = lambda wish: told.append(tick(wish)) or told[-1]
        loop(self.rig.machine, self, Ticker(1e-4), stopped=lambda: not self.said and len(told) >= len(said))
        self.rig.machine.tick = tick
        return [one.command[0] for one in told[: len(said)]]


READY = [{"request": "ready"}, *[{}] * 21]


@pytest.fixture
def operator(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("robopolicy_runtime.session._LEAVE_S", 0.0)
    operator = Operator(rig)
    yield operator
    operator.close()


@pytest.mark.parametrize("end", ["stop", "limp", "off", "ready"])
def test_an_old_velocity_does_not_drive_off_after_a_stop(operator: Operator, end: str):
    told = operator.periods(*READY, {"request": "run", "vx": 0.5}, {}, {"request": end}, *READY, {"request": "run"}, {})
    assert told[22:24] == [0.5, 0.5]
    assert told[-2:] == [0.0, 0.0]


def test_nor_after_a_fall(operator: Operator):
    operator.rig.run()
    assert operator.periods({"vx": 0.5}, {}) == [0.5, 0.5]
    operator.rig.run()
    operator.rig.changes = {"gravity": np.array([0.0, 0.0, 1.0])}
    operator.periods({"vx": 0.5}, {})
    operator.rig.changes = {}
    assert operator.periods(*READY, {"request": "run"}, {})[-2:] == [0.0, 0.0]


def test_nor_after_a_link_that_was_lost(operator: Operator):
    operator.rig.run()
    told = operator.periods({"vx": 0.5}, *[{}] * 30, {"request": "run"}, {}, {"vy": 0.1}, {"vx": 0.2})
    assert told[20] == 0.5
    assert told[-8:] == [0.0] * 7 + [0.2]


def test_a_policy_that_cannot_be_told_to_stand_is_stopped(write, tmp_path: Path):
    c = synthetic.contract()
    command = replace(c.command, lower=(0.2, -0.2, -1.0), default=(0.2, 0.0, 0.0))
    rig = Rig(write(tmp_path / "going.onnx", contract=replace(c, command=command)))
    rig.run()
    assert rig.tick(age_s=0.6, vx=0.5).state == State.STOP
    assert rig.lines[-1] == "run -> stop: command lost for 0.60 s, and without one the policy goes on: vx=0.2"
    assert not any("told to stand" in line for line in rig.lines)


def test_a_runtime_that_stood_still_gives_up(rig: Rig):
    rig.run()
    rig.now += 0.1
    assert rig.tick().state == State.RUN  # a busy machine
    rig.now += 10.0
    tick = rig.tick("run")
    assert (tick.state, rig.robot.orders[-1].kp.tolist()) == (State.STOP, [0, 0])
    assert rig.machine.reason == "the runtime stood still for 10.02 s; at most 0.20 s"
    rig.tick("ready")
    rig.now += 10.0
    assert rig.tick().state == State.STOP
    rig.tick("off")
    rig.now += 10.0
    assert rig.tick("ready").state == State.READY  # nothing was driven meanwhile


def test_the_way_to_the_pose_does_not_jump_after_a_late_period(rig: Rig):
    start = np.array([-0.2, 0.3])
    rig.changes = {"joint_pos": start}
    rig.tick("ready")
    rig.now += 0.17
    part = 1 / 20  # of 0.4 s
    expected = start + (3 * part**2 - 2 * part**3) * (synthetic.DEFAULT - start)
    np.testing.assert_allclose(rig.tick().target, expected, atol=1e-9)


def test_commands_stay_in_their_ranges_and_are_numbers(rig: Rig):
    rig.run()
    assert rig.tick(vx=9.0, vy=-9.0, yaw_rate=np.nan).command.tolist() == [0.8, -0.2, 0.0]


def test_stop_limp_and_off_are_different(rig: Rig):
    rig.run()
    rig.tick("stop")
    assert (rig.machine.state, rig.robot.orders[-1].kd.tolist()) == (State.STOP, [0.7, 0.8])
    rig.tick("limp")
    assert (rig.machine.state, rig.robot.orders[-1].kd.tolist()) == (State.LIMP, [0, 0])
    rig.tick("off")
    for _ in range(4):
        rig.tick()
    assert rig.machine.state == State.OFF
    count = len(rig.robot.orders)
    rig.tick()
    assert len(rig.robot.orders) == count
    rig.run()  # and all over again


def test_off_lets_the_joints_go_first_and_says_so_more_than_once(rig: Rig):
    """A single order can be lost, and nobody would hear of it."""
    rig.run()
    before = len(rig.robot.orders)
    assert rig.tick("off").state == State.LIMP
    assert [rig.tick("off").state for _ in range(4)] == [State.LIMP] * 3 + [State.OFF]
    rig.tick()
    assert [[*o.kp, *o.kd] for o in rig.robot.orders[before:]] == [[0, 0, 0, 0]] * 5


def test_it_is_not_off_while_orders_fail(rig: Rig):
    rig.run()
    rig.tick("off")
    rig.robot.broken = True
    for _ in range(10):
        assert rig.tick().state == State.LIMP
    assert rig.machine.reason == "not off yet: an order cannot be given: the cable is out"
    assert rig.lines.count(f"limp -> limp: {rig.machine.reason}") == 1
    rig.robot.broken = False
    assert [rig.tick().state for _ in range(5)] == [State.LIMP] * 4 + [State.OFF]


def test_who_asks_for_something_else_is_not_off(rig: Rig):
    rig.run()
    rig.tick("off")
    rig.tick("limp")
    for _ in range(10):
        assert rig.tick().state == State.LIMP
    rig.tick("off")
    rig.tick("ready")
    for _ in range(10):
        assert rig.tick().state == State.READY


def test_a_robot_that_takes_no_orders(rig: Rig):
    rig.run()
    rig.robot.broken = True
    assert rig.tick().state == State.LIMP
    assert rig.machine.reason == "an order cannot be given: the cable is out"
    rig.tick()  # it goes on trying, and does not fall over
    rig.tick("limp")
    assert rig.lines[-2:] == ["limp -> limp: asked", "limp -> limp: an order cannot be given: the cable is out"]


def test_a_network_that_gives_no_number(rig: Rig):
    rig.run()
    rig.machine.controller._run = lambda obs: np.full((1, 2), np.nan, np.float32)
    count = len(rig.robot.orders)
    assert rig.tick().state == State.STOP
    assert "not finite" in rig.machine.reason
    assert [o.kp.tolist() for o in rig.robot.orders[count:]] == [[0, 0]]


def test_whatever_ends_the_runtime_the_joints_give_way(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    class Broken:
        def poll(self) -> Wish:
            if rig.machine.state == State.RUN and len(rig.robot.orders) > 30:
                raise RecursionError("too deep")
            rig.now += 0.02
            rig.sequence += 1
            rig.robot.reading = upright(rig.now, rig.sequence)
            return Wish()

        def forget(self) -> None: ...

        def close(self) -> None: ...

    rig.run()
    monkeypatch.setattr("robopolicy_runtime.session.signal.signal", lambda *_: None)
    with pytest.raises(RecursionError):
        drive(rig.machine, Broken(), 1e-4, None, None)
    assert rig.machine.state == State.STOP
    np.testing.assert_array_equal(rig.robot.orders[-1].kp, 0)
    assert (rig.robot.orders[-1].kd > 0).all()


@pytest.mark.parametrize(
    ("begin", "request_", "end"),
    [
        (True, "limp", State.LIMP),
        (True, "run", State.STOP),
        (False, "ready", State.OFF),
    ],
)
def test_at_the_end_only_what_gives_way_is_obeyed(rig: Rig, monkeypatch: pytest.MonkeyPatch, begin, request_, end):
    class Late:
        def poll(self) -> Wish:
            rig.now += 0.02
            rig.sequence += 1
            rig.robot.reading = upright(rig.now, rig.sequence)
            return Wish(request=request_)

        def forget(self) -> None: ...

        def close(self) -> None: ...

    if begin:
        rig.run()
    monkeypatch.setattr("robopolicy_runtime.session._LEAVE_S", 0.01)
    loop(rig.machine, Late(), Ticker(1e-3), stopped=lambda: True)
    assert rig.machine.state == end


def test_an_unknown_request_names_the_known_ones(rig: Rig):
    rig.tick("dance")
    assert rig.lines == ["no request 'dance'; there are: ready, run, stop, limp, off"]
