"""The Unitree driver against a robot in another process, over DDS on loopback."""

import json
import math
import os
import queue
import random
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import unitree_robot
import unitree_wire
from robopolicy_runtime.driver import DriverError, Order, Reading
from robopolicy_runtime.drivers.unitree import MODELS, UnitreeDriver

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0  # other programs may have the processor


def contract_joints(robot: str) -> tuple[str, ...]:
    """The joints as our MJCF orders them, which is the policy's order."""
    tree = xml.etree.ElementTree.parse(ROOT / "assets" / "robots" / robot / f"{robot}.xml")
    joints = (joint.get("name") for joint in tree.iter("joint"))
    return tuple(name for name in joints if name)


GO2, G1 = contract_joints("go2"), contract_joints("g1")


class Robot:
    """The process of a simulated robot.

    Attributes:
        domain: Its DDS domain.
        heard: The orders it heard.
    """

    def __init__(self, family: str, domain: int) -> None:
        self.domain = domain
        self.heard: queue.Queue[dict] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(unitree_robot.__file__)), family, str(domain)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline()) == "ready"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.heard.put(json.loads(line))

    def tell(self, mode: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(mode + "\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def dds() -> None:
    pytest.importorskip("cyclonedds", reason="cyclonedds is not installed: pip install cyclonedds")
    if sys.platform != "linux":
        pytest.skip("the loopback interface is called lo on Linux only")


@pytest.fixture
def domain(dds, monkeypatch) -> int:
    """A domain that other tests on this machine are unlikely to have; its ports lie below those of outgoing calls."""
    monkeypatch.setenv("CYCLONEDDS_URI", unitree_robot.URI)
    return random.SystemRandom().randint(1, 99)


@pytest.fixture
def start(domain) -> Iterator[Callable[[str], Robot]]:
    robots: list[Robot] = []

    def start(family: str) -> Robot:
        robots.append(Robot(family, domain))
        return robots[-1]

    yield start
    for robot in robots:
        robot.stop()


@pytest.fixture
def driver_of() -> Iterator[Callable[..., UnitreeDriver]]:
    drivers: list[UnitreeDriver] = []

    def driver_of(robot: str, domain: int, **changes) -> UnitreeDriver:
        settings = {"peer": "127.0.0.1", "listen_s": 0.3, "timeout_s": PATIENCE_S} | changes
        drivers.append(UnitreeDriver(robot, domain=domain, **settings))
        return drivers[-1]

    yield driver_of
    for driver in drivers:
        driver.close()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def reading_of(driver: UnitreeDriver) -> Reading:
    reading = driver.read()
    assert reading is not None
    return reading


# A whole drive


@pytest.mark.parametrize(("robot", "family", "joints"), [("go2", "go", GO2), ("g1", "hg", G1)])
def test_reads_and_drives(start, driver_of, robot, family, joints):
    simulated = start(family)
    driver = driver_of(robot, simulated.domain)
    assert driver.read() is None
    before = time.monotonic()
    driver.connect(joints)

    motor = {name: i for i, name in enumerate(SDK_ORDER[robot])}
    first = reading_of(driver)
    np.testing.assert_allclose(first.joint_pos, [unitree_robot.motor_pos(motor[j]) for j in joints], rtol=1e-6)
    np.testing.assert_allclose(first.joint_vel, [unitree_robot.motor_vel(motor[j]) for j in joints], rtol=1e-6)
    np.testing.assert_allclose(first.gyro, unitree_robot.GYRO, rtol=1e-6)
    roll = unitree_robot.ROLL  # rolled to the right, down lies to the right
    np.testing.assert_allclose(first.gravity, [0, -math.sin(roll), -math.cos(roll)], atol=1e-6)
    assert before < first.time_s <= time.monotonic()
    wait_for(lambda: reading_of(driver).sequence > first.sequence)
    assert reading_of(driver).time_s > first.time_s
    assert driver.refused == 0

    # Nothing was sent so far, for longer than the robot takes to say so.
    time.sleep(0.2)
    assert simulated.heard.empty()

    rng = np.random.default_rng(0)
    target, kp, kd = (rng.uniform(0.1, 2, len(joints)).astype(np.float32) for _ in range(3))
    driver.send(Order(target.astype(float), kp.astype(float), kd.astype(float)))
    order = simulated.heard.get(timeout=PATIENCE_S)
    assert order["intact"]
    fields = order["fields"]
    for joint, q, p, d in zip(joints, target, kp, kd):
        i = motor[joint]
        sent = [fields.pop(f"motor_cmd {i} {name}") for name in ("mode", "q", "kp", "kd", "dq", "tau")]
        assert sent == [1, q, p, d, 0, 0], joint
    head = {"head 0": 0xFE, "head 1": 0xEF, "level_flag": 0xFF} if robot == "go2" else {}
    head |= {} if robot == "go2" else {"mode_pr": 0, "mode_machine": unitree_robot.MODE_MACHINE}
    assert {name: fields.pop(name) for name in head} == head
    del fields["crc"]
    assert not any(fields.values()), "the rest is nothing: motors that are not there are free"

    driver.close()
    driver.close()
    with pytest.raises(DriverError, match="not connected"):
        driver.send(Order(target, kp, kd))
    assert simulated.heard.empty()
    driver.connect(joints)  # the domain is free again
    assert reading_of(driver).sequence >= 1


SDK_ORDER = {
    "go2": (
        *("FR_hip", "FR_thigh", "FR_calf", "FL_hip", "FL_thigh", "FL_calf"),
        *("RR_hip", "RR_thigh", "RR_calf", "RL_hip", "RL_thigh", "RL_calf"),
    ),
    "g1": tuple(
        f"{name}_joint"
        for name in (
            *("left_hip_pitch", "left_hip_roll", "left_hip_yaw"),
            *("left_knee", "left_ankle_pitch", "left_ankle_roll"),
            *("right_hip_pitch", "right_hip_roll", "right_hip_yaw"),
            *("right_knee", "right_ankle_pitch", "right_ankle_roll"),
            *("waist_yaw", "waist_roll", "waist_pitch"),
            *("left_shoulder_pitch", "left_shoulder_roll", "left_shoulder_yaw", "left_elbow"),
            *("left_wrist_roll", "left_wrist_pitch", "left_wrist_yaw"),
            *("right_shoulder_pitch", "right_shoulder_roll", "right_shoulder_yaw", "right_elbow"),
            *("right_wrist_roll", "right_wrist_pitch", "right_wrist_yaw"),
        )
    ),
}


# States that must not be used


def test_bad_states_are_refused_and_counted(start, driver_of):
    simulated = start("go")
    driver = driver_of("go2", simulated.domain)
    driver.connect(GO2)
    for mode in ("bad checksum", "dead imu"):
        simulated.tell(mode)
        refused = driver.refused
        wait_for(lambda refused=refused: driver.refused > refused + 1)
        last = reading_of(driver)
        refused = driver.refused
        wait_for(lambda refused=refused: driver.refused > refused + 2)
        assert driver.read() is last, mode
        simulated.tell("good")
        wait_for(lambda last=last: reading_of(driver).sequence > last.sequence)

    # Short ones come from somebody who means other fields by that name: such a state is not let in at all.
    simulated.tell("short")
    time.sleep(4 * unitree_robot.PERIOD_S + 0.1)
    last = reading_of(driver)
    time.sleep(4 * unitree_robot.PERIOD_S)
    assert driver.read() is last
    simulated.tell("good")
    wait_for(lambda: reading_of(driver).sequence > last.sequence)
    # Nor is one used that CycloneDDS lets through.
    refused = driver.refused
    whole = unitree_wire.GO_LOW_STATE.cdr(unitree_robot.state("go", 1, (1.0, 0.0, 0.0, 0.0)))
    for length in range(0, len(whole), 97):
        driver._receive(whole[:length])
    assert driver.refused == refused + len(range(0, len(whole), 97))
    assert np.allclose(reading_of(driver).gravity[2], -math.cos(unitree_robot.ROLL))

    # A robot that sends the same measurement over and over has stopped measuring.
    simulated.tell("frozen")
    time.sleep(4 * unitree_robot.PERIOD_S + 0.1)
    last, refused = reading_of(driver), driver.refused
    time.sleep(5 * unitree_robot.PERIOD_S)
    assert driver.read() is last
    assert driver.refused == refused


def test_only_bad_states_are_no_robot(start, driver_of):
    simulated = start("go")
    simulated.tell("bad checksum")
    with pytest.raises(DriverError, match=r"no state of a go2 .* states were refused, the last: LowState_: checksum"):
        driver_of("go2", simulated.domain, timeout_s=2.0).connect(GO2)


# Who else drives it

SECOND = """
import sys
from robopolicy_runtime.driver import DriverError
from robopolicy_runtime.drivers.unitree import MODELS, UnitreeDriver
try:
    UnitreeDriver("go2", domain=int(sys.argv[1]), timeout_s=20.0).connect(MODELS["go2"].motors)
    print("connected")
except DriverError as error:
    print(error)
"""


def test_a_second_runtime_is_refused(start, driver_of):
    simulated = start("go")
    driver = driver_of("go2", simulated.domain)
    driver.connect(GO2)  # and sends nothing
    path = os.pathsep.join([str(ROOT / "export"), os.environ.get("PYTHONPATH", "")])
    second = subprocess.run(
        [sys.executable, "-c", SECOND, str(simulated.domain)],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert re.match(
        r"somebody else drives the go2: another robopolicy runtime is connected on rt/lowcmd", second.stdout
    )
    assert simulated.heard.empty()

    with pytest.raises(DriverError, match="connected to the go2 already"):
        driver.connect(GO2)
    with pytest.raises(DriverError, match="each robot of a process needs a domain of its own"):
        driver_of("go2", simulated.domain).connect(GO2)


def test_another_programs_orders_are_noticed(start, driver_of):
    simulated = start("go")
    driver = driver_of("go2", simulated.domain, listen_s=PATIENCE_S)
    simulated.tell("orders")
    with pytest.raises(DriverError, match=r"somebody else drives the robot: .* sends orders on rt/lowcmd; stop that"):
        driver.connect(GO2)
    simulated.tell("good")
    time.sleep(0.3)
    driver_of("go2", simulated.domain).connect(GO2)  # the silent writer that remains drives nothing


def test_two_robots_in_one_domain_are_refused(start, driver_of):
    domain = start("go").domain
    start("go")
    with pytest.raises(DriverError, match="2 robots send states on rt/lowstate"):
        driver_of("go2", domain, listen_s=PATIENCE_S).connect(GO2)


def test_another_programs_orders_are_noticed_while_it_is_driven(start, driver_of):
    simulated = start("go")
    driver = driver_of("go2", simulated.domain)
    driver.connect(GO2)
    driver.send(Order(np.zeros(12), np.zeros(12), np.zeros(12)))  # which are no foreign ones
    simulated.heard.get(timeout=PATIENCE_S)
    assert reading_of(driver).fault == ""
    simulated.tell("orders")
    wait_for(lambda: reading_of(driver).fault != "")
    simulated.tell("good")
    time.sleep(0.2)
    assert reading_of(driver).fault == (  # and that stays
        "somebody else drives the robot: another program, or its own motion service, sends orders on rt/lowcmd"
    )


def test_a_second_robot_is_noticed_while_the_first_is_driven(start, driver_of):
    first = start("go")
    driver = driver_of("go2", first.domain)
    driver.connect(GO2)
    assert reading_of(driver).fault == ""
    start("go")
    wait_for(lambda: reading_of(driver).fault != "")
    assert reading_of(driver).fault == "2 robots send states on rt/lowstate; an order would reach all of them"
    first.stop()
    time.sleep(0.2)
    last = reading_of(driver).sequence
    time.sleep(3 * unitree_robot.PERIOD_S)
    assert reading_of(driver).sequence == last, "the states of the other robot are not taken for the first one's"


# What motors say


class Line:
    """A link on which nobody else is."""

    def __init__(self, *_) -> None: ...

    def intruder(self) -> str:
        return ""

    def send(self, payload: bytes) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def motors_of(monkeypatch) -> Callable[[str], tuple[UnitreeDriver, Callable[..., str]]]:
    """A driver that is connected to nothing, and how it is given a state: values by joint, for a field of its motor."""
    monkeypatch.setattr("robopolicy_runtime.drivers.unitree.Link", Line)
    monkeypatch.setattr(UnitreeDriver, "_listen", lambda self, link: None)

    def motors_of(robot: str):
        family, joints = ("go", GO2) if robot == "go2" else ("hg", G1)
        wire = getattr(unitree_wire, f"{family.upper()}_LOW_STATE")
        driver = UnitreeDriver(robot)
        driver.connect(joints)

        def hear(**fields) -> str:
            said = {(SDK_ORDER[robot].index(j), f): v for f, motors in fields.items() for j, v in motors.items()}
            driver._receive(wire.cdr(unitree_robot.state(family, 0, (1.0, 0.0, 0.0, 0.0), said)))
            return reading_of(driver).fault

        return driver, hear

    return motors_of


def nothing(joints: int) -> Order:
    return Order(*np.zeros((3, joints)))


def test_a_motor_that_reports_a_fault_is_named(motors_of):
    driver, hear = motors_of("g1")
    assert hear() == ""
    # Nobody has given it an order: that alone is no fault.
    assert hear(motorstate={"left_knee_joint": 0x40000000}) == ""
    text = "the motor of 'left_knee_joint' reports fault 0x200"
    assert hear(motorstate={"left_knee_joint": 0x40000200}) == text
    driver.send(nothing(29))
    assert hear(motorstate={"left_knee_joint": 0x200}) == text
    assert "'right_wrist_yaw_joint' reports fault 0x80000000" in hear(motorstate={"right_wrist_yaw_joint": 0x80000000})
    assert hear() == ""


@pytest.mark.parametrize(("robot", "joints"), [("go2", GO2), ("g1", G1)])
def test_a_motor_that_lets_go_is_named(motors_of, monkeypatch, robot, joints):
    driver, hear = motors_of(robot)
    on = dict.fromkeys(joints, 1)
    assert hear(mode=on) == hear() == ""  # nobody has driven it
    driver.send(nothing(len(joints)))
    assert hear() == ""  # a robot may say nothing about it
    assert hear(mode=on) == ""
    text = f"the motor of {joints[4]!r} was enabled and is in mode 0 now"
    assert hear(mode=on | {joints[4]: 0}) == text
    assert hear(mode=on | {joints[4]: 0}) == text
    assert hear(mode=on) == ""
    # Whom nobody drives any more lets go, and may be enabled anew.
    with monkeypatch.context() as patch:
        patch.setattr("robopolicy_runtime.drivers.unitree.QUIET_S", 0.0)
        assert hear() == ""
    driver.send(nothing(len(joints)))
    assert hear() == hear(mode=on) == ""


# What is not there


def test_another_robot_is_named(start, driver_of):
    simulated = start("hg")
    with pytest.raises(DriverError, match=r"no state of a go2 .*says unitree_hg::msg::dds_::LowState_, not unitree_go"):
        driver_of("go2", simulated.domain, timeout_s=2.0).connect(GO2)


def test_no_robot_and_no_network(domain, driver_of):
    with pytest.raises(DriverError, match=f"no state of a g1 within 0.2 s .*'lo', peer 127.0.0.1, DDS domain {domain}"):
        driver_of("g1", domain, timeout_s=0.2).connect(G1)
    with pytest.raises(DriverError, match=r"no network interface 'eth77'; this machine has: .*lo"):
        driver_of("g1", domain, interface="eth77").connect(G1)


def test_no_cyclonedds(monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclonedds.builtin", None)
    with pytest.raises(DriverError, match=r"needs CycloneDDS: pip install 'robopolicy-runtime\[unitree\]'"):
        UnitreeDriver("go2").connect(GO2)


def test_wrong_joints_are_named():
    with pytest.raises(DriverError, match="no Unitree robot 'spot'; there are: go2, g1"):
        UnitreeDriver("spot")
    driver = UnitreeDriver("go2")
    with pytest.raises(DriverError, match="the go2 has no joint tail, FL_knee; its joints: FR_hip, FR_thigh"):
        driver.connect(("tail", *GO2[1:], "FL_knee"))
    with pytest.raises(DriverError, match="the go2 needs an order for FL_hip;"):
        driver.connect(GO2[1:])
    with pytest.raises(DriverError, match="the go2 has only one FL_hip;"):
        driver.connect((*GO2, "FL_hip"))
    assert driver.read() is None


def test_our_robots_have_the_sdks_joints():
    for robot, joints in (("go2", GO2), ("g1", G1)):
        assert MODELS[robot].motors == SDK_ORDER[robot]
        assert sorted(joints) == sorted(SDK_ORDER[robot])
        assert joints != SDK_ORDER[robot] or robot == "g1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kp": np.zeros(3)}, r"order.kp has shape \(3,\), expected \(12,\)"),
        ({"target": np.array([0.0] * 11 + [np.nan])}, r"order.target\[11\] \(joint 'RR_calf'\) is not a finite"),
        ({"kd": np.array([1e300] + [0.0] * 11)}, r"order.kd\[0\] \(joint 'FL_hip'\) is not a finite"),
    ],
)
def test_impossible_orders_are_refused(driver_of, domain, monkeypatch, change, message):
    monkeypatch.setattr(UnitreeDriver, "_listen", lambda self, link: None)
    driver = driver_of("go2", domain)
    driver.connect(GO2)
    good = {"target": np.zeros(12), "kp": np.zeros(12), "kd": np.zeros(12)}
    driver.send(Order(**good))
    with pytest.raises(DriverError, match=message):
        driver.send(Order(**(good | change)))
