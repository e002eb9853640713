"""Whatever goes wrong, the robot ends where the table in docs/runtime.md says, and no target leaves the limits.

A simulated robot as a process of its own, real time, real datagrams. It hangs on its crane, so that the random policy
cannot make it fall.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.driver import DriverError
from robopolicy_runtime.drivers.sim import SimDriver, start_robot
from robopolicy_runtime.log import LogWriter, read_log
from robopolicy_runtime.machine import Machine, State, Wish
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.safety import Safety
from robopolicy_runtime.ticker import Ticker, ask_for_realtime

WITHIN_S = 0.1


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Robot:
    """A simulated robot that runs, and what one can ask of it."""

    def __init__(self, policy: Path) -> None:
        self.policy, self.port = policy, free_port()
        self.start()

    def start(self) -> None:
        self.process = start_robot(self.policy, self.port, "--crane", "1e9")

    def ask(self, **told) -> dict:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2.0)
            s.sendto(json.dumps(told or {"ask": 1}).encode(), ("127.0.0.1", self.port))
            answer = json.loads(s.recv(65536))
        assert "refused" not in answer
        return answer

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@dataclass
class Runtime:
    """The runtime's parts, driven by the test."""

    policy: Path
    port: int
    log: LogWriter | None = None
    lines: list[str] = field(default_factory=list)

    def __enter__(self) -> "Runtime":
        file = PolicyFile.open(self.policy)
        self.safety = Safety(SimDriver(self.port), file.contract)
        self.machine = Machine(Controller(file), self.safety, ramp_s=0.1, report=self.lines.append)
        self.ticker = Ticker(file.contract.control_period_s)
        self.safety.connect()
        self.wait(lambda: self.safety.latest is not None, 2.0)
        self.tick("ready")
        self.wait(lambda: self.machine._ramped_s > 0.12, 2.0)
        self.tick("run")
        assert self.machine.state == State.RUN, self.lines
        return self

    def __exit__(self, *_: object) -> None:
        self.safety.close()

    def tick(self, request: str | None = None, age_s: float = 0.0) -> None:
        late = self.ticker.wait()
        tick = self.machine.tick(Wish({"vx": 0.5}, request, age_s))
        if self.log is not None:
            self.log.add(time.monotonic(), late, self.ticker.missed, tick)

    def wait(self, until: Callable[[], bool], at_most_s: float) -> float:
        """Tick until something is so; how long that took [s]."""
        begin = time.monotonic()
        while not until():
            assert time.monotonic() - begin < at_most_s, (self.machine.state, self.machine.reason, self.lines)
            self.tick()
        return time.monotonic() - begin

    def becomes(self, *states: State) -> None:
        took = self.wait(lambda: self.machine.state in states, 1.0)
        # A shared machine may take the processor away for longer than that; what it missed is told.
        assert took < WITHIN_S + 0.02 * self.ticker.missed, (took, self.ticker.missed)


def running_rows(log: Path) -> int:
    """Control periods in a log in which the policy drove; 0 while there is no header yet."""
    if not log.exists() or b"\n" not in log.read_bytes():
        return 0
    return int((read_log(log)[0]["state"] == State.RUN).sum())


def killed_runtime(robot: Robot, tmp_path: Path) -> None:
    script = tmp_path / f"{time.monotonic_ns()}.txt"
    script.write_text("0.3 ready\n0.6 run vx=0.5\n")
    log = script.with_suffix(".log")
    command = [sys.executable, "-m", "robopolicy_runtime.run", robot.policy, "--no-robot", "--port", robot.port]
    command += ["--commands", script, "--ramp", "0.1", "--log", log]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while running_rows(log) < 4:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert robot.ask()["kp"] > 0
    finally:
        process.kill()
        process.wait()
    time.sleep(WITHIN_S)
    found = robot.ask()
    assert (found["watchdog"], found["kp"], found["kd"]) == (True, 0.0, 0.8)
    assert running_rows(log) > 3


def killed_robot(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        robot.kill()
        runtime.becomes(State.STOP, State.LIMP)
        runtime.wait(lambda: runtime.machine.state == State.LIMP, 1.0)
        assert "is gone" in runtime.machine.reason
    robot.start()


def unplugged(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        robot.ask(fault="unplug", seconds=0.4)
        runtime.becomes(State.STOP)
        assert "no new sample" in runtime.machine.reason
        time.sleep(0.05)
        assert robot.ask()["watchdog"]


def lossy(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        robot.ask(fault="loss", seconds=0.5)
        for _ in range(25):
            runtime.tick()
        assert runtime.machine.state == State.RUN, runtime.lines


def frozen(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        robot.ask(fault="freeze", seconds=0.2)
        runtime.becomes(State.STOP)
        assert "no new sample" in runtime.machine.reason
        for _ in range(15):
            runtime.tick()
        assert runtime.machine.state == State.STOP  # samples are back, the policy is not
        found = robot.ask()
        assert (found["kp"], found["kd"]) == (0.0, 0.8)


def not_a_number(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        robot.ask(fault="nan", seconds=0.5)
        runtime.becomes(State.STOP)
        assert "joint_pos[1] of 'right_hip', nan, is not finite" in runtime.machine.reason


def upside_down(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        robot.ask(fault="upside_down", seconds=0.5)
        runtime.becomes(State.FALLEN)
        assert "leans by" in runtime.machine.reason


def no_commands(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        runtime.tick(age_s=0.51)
        assert runtime.machine.state == State.RUN
        assert runtime.machine.command_lost
        assert runtime.lines[-1] == "command lost for 0.51 s: told to stand"


def disk_full(robot: Robot, tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    log = LogWriter("/dev/full", synthetic.contract())
    with Runtime(robot.policy, robot.port, log) as runtime:
        for _ in range(5):
            runtime.tick()
        assert runtime.machine.state == State.RUN
        assert log.trouble is not None


def two_runtimes(robot: Robot, tmp_path: Path) -> None:
    with Runtime(robot.policy, robot.port) as runtime:
        with pytest.raises(DriverError, match="another runtime drives this robot"):
            SimDriver(robot.port).connect(synthetic.JOINTS)
        runtime.tick()
        assert runtime.machine.state == State.RUN


def other_robot(robot: Robot, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="wrong robot: 'toy' has joints left_hip, right_hip; the policy's are knee"):
        SimDriver(robot.port).connect(("knee",))
    assert robot.ask()["kp"] == 0.0


def other_order(robot: Robot, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="the policy's are in another order right_hip, left_hip"):
        SimDriver(robot.port).connect(synthetic.JOINTS[::-1])
    assert robot.ask()["kp"] == 0.0


FAULTS = (
    killed_runtime,
    killed_robot,
    unplugged,
    lossy,
    frozen,
    not_a_number,
    upside_down,
    no_commands,
    disk_full,
    two_runtimes,
    other_robot,
    other_order,
)


@pytest.fixture(scope="module")
def robot(policy_path: Path) -> Iterator[Robot]:
    robot = Robot(policy_path)
    granted = ask_for_realtime() is None  # as the runtime does; elsewhere other processes make it late
    yield robot
    if granted:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    robot.kill()


def inject(fault: Callable[[Robot, Path], None], robot: Robot, tmp_path: Path) -> None:
    time.sleep(0.02)
    robot.ask(reset=1)
    fault(robot, tmp_path)
    assert robot.ask()["out_of_range_rad"] <= 1e-9


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_fault(fault: Callable[[Robot, Path], None], robot: Robot, tmp_path: Path):
    inject(fault, robot, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_fault_twenty_times(fault: Callable[[Robot, Path], None], robot: Robot, tmp_path: Path):
    for _ in range(20):
        inject(fault, robot, tmp_path)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"fault": "nam", "seconds": 9}', "no fault 'nam'; there are: nan, upside_down"),
        (b'{"fault": {"nan": 1}}', "unhashable"),
        (b'{"fault": "nan", "seconds": "x"}', "could not convert"),
        (b'{"hello": "you"}', "invalid literal"),
        (b'{"hello": 1e999}', "infinity"),
        (b'{"fault": ', "Expecting value"),
        (b'{"\xff', "codec"),
        (b'{"a":' + b"[" * 50_000, "recursion"),
    ],
)
def test_a_datagram_that_does_not_read_is_refused_and_ends_nothing(robot: Robot, data: bytes, why: str):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2.0)
        s.sendto(data, ("127.0.0.1", robot.port))
        assert why in json.loads(s.recv(65536))["refused"]
    assert not robot.ask()["watchdog"]


def test_nothing_moves_when_the_runtime_starts(robot: Robot):
    robot.ask(reset=1)
    driver = SimDriver(robot.port)
    driver.connect(synthetic.JOINTS)
    time.sleep(0.1)
    assert driver.read() is not None
    found = robot.ask()
    assert (found["kp"], found["kd"], found["watchdog"]) == (0.0, 0.0, False)
    driver.close()
    time.sleep(0.02)
    assert np.allclose(robot.ask()["position_m"], 0.0)


def test_a_robot_that_is_not_there():
    driver = SimDriver(free_port())
    import robopolicy_runtime.drivers.sim as sim

    before, sim._ANSWER_S = sim._ANSWER_S, 0.3
    try:
        with pytest.raises(DriverError, match="no simulated robot answers at 127.0.0.1"):
            driver.connect(synthetic.JOINTS)
    finally:
        sim._ANSWER_S = before
