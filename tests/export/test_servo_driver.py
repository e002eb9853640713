"""The servo driver against servos that another process plays on a pseudo-terminal."""

import json
import math
import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike
from robopolicy_runtime.driver import DriverError, Order
from robopolicy_runtime.drivers.imu import load_imu
from robopolicy_runtime.drivers.servo import PROTOCOLS, ServoBus, ServoDriver

JOINTS = ("l_hip", "l_knee", "r_hip")
IDS = {"l_hip": 11, "l_knee": 3, "r_hip": 7}
SIGNS = np.array([1, -1, 1])
ZEROS = np.array([0.0, 0.25, -0.5])
STEP = 2 * math.pi / 4096
SPEED = {"sts3215": STEP, "xl330": 0.229 * 2 * math.pi / 60}

# The IMU that the configuration names; the tests change what it says.
IMU = """
import numpy as np

GYRO = np.array([0.1, 0.2, 0.3])
GRAVITY = np.array([0.0, 0.0, -1.0])
TROUBLE = []
CLOSED = []


class Imu:
    def read(self):
        if TROUBLE:
            raise OSError(TROUBLE[0])
        return GYRO, GRAVITY

    def close(self):
        CLOSED.append(1)


def connect():
    return Imu()


def broken():
    raise OSError("no such bus")


def nothing():
    return 5
"""


class FakeServos:
    """The other process; see ``fake_servos.py`` for what it can be asked."""

    def __init__(self, protocol, ids):
        script = Path(__file__).with_name("fake_servos.py")
        command = [sys.executable, "-S", str(script), protocol, *map(str, ids)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = self.process.stdout.readline().strip()

    def __call__(self, name, *arguments):
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 20)[0], f"the servos do not answer {name}"
        return json.loads(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module", params=["sts3215", "xl330"])
def protocol(request):
    pytest.importorskip("rustypot", reason="needs rustypot: pip install 'robopolicy-runtime[servo]'")
    return request.param


@pytest.fixture(scope="module")
def process(protocol):
    try:
        for end in os.openpty():
            os.close(end)
    except (AttributeError, OSError) as error:
        pytest.skip(f"needs a pseudo-terminal: {error}")
    servos = FakeServos(protocol, IDS.values())
    yield servos
    servos.kill()


@pytest.fixture
def servos(process):
    process("reset", *IDS.values())
    return process


@pytest.fixture
def imu(tmp_path):
    """The IMU's module, new for each test."""
    (tmp_path / "servo_test_imu.py").write_text(IMU)
    sys.modules.pop("servo_test_imu", None)
    load_imu("servo_test_imu:connect", tmp_path)
    yield sys.modules["servo_test_imu"]
    sys.modules.pop("servo_test_imu", None)


def toml(port="/dev/null", protocol="sts3215"):
    lines = [f'port = "{port}"', "baud = 1000000", f'protocol = "{protocol}"', "rate_hz = 50", "timeout_ms = 100"]
    lines += ['imu = "servo_test_imu:connect"', "[joints]"]
    # Not in the policy's order.
    for i in (2, 0, 1):
        lines.append(f"{JOINTS[i]} = {{ id = {IDS[JOINTS[i]]}, sign = {SIGNS[i]}, zero = {ZEROS[i]} }}")
    return "\n".join(lines)


@pytest.fixture
def config(tmp_path, servos, protocol, imu):
    path = tmp_path / "servos.toml"
    path.write_text(toml(servos.port, protocol))
    return ServoBus.load(path)


@pytest.fixture
def driver(config):
    driver = ServoDriver(config)
    yield driver
    driver.close()


def until(condition, what):
    end = time.monotonic() + 3
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.002)


def fresh(driver):
    """A reading that was taken wholly after this call."""
    first = driver.read()
    after = first.sequence + 1 if first else 0
    until(lambda: driver.read() and driver.read().sequence > after, f"no new reading: {driver.last_failure}")
    return driver.read()


def not_renewed(driver):
    """The reading stays as it is over two more tries."""
    failed = driver.failed_reads
    until(lambda: driver.failed_reads > failed, "no failed read")  # a good one may have been under way
    before, failed = driver.read(), driver.failed_reads
    until(lambda: driver.failed_reads > failed + 1, "no failed read")
    return driver.read() is before


def order(target, kp: float | list[float] = 20.0):
    return Order(np.asarray(target, float), np.broadcast_to(np.asarray(kp, float), 3), np.zeros(3))


def written(servos, register):
    return [entry for entry in servos("log") if entry[0] == register]


def test_readings_in_contract_order_with_sign_and_zero(driver, servos, protocol, imu):
    steps, speeds = np.array([0, 1000, 4095]), np.array([-1, 200, -350])
    for joint, position, speed in zip(JOINTS, steps, speeds):
        servos("set", IDS[joint], "position", int(position))
        servos("set", IDS[joint], "speed", int(speed))
    before = time.monotonic()
    driver.connect(JOINTS)
    reading = fresh(driver)
    np.testing.assert_allclose(reading.joint_pos, SIGNS * (steps * STEP - math.pi - ZEROS), atol=1e-12)
    np.testing.assert_allclose(reading.joint_vel, SIGNS * speeds * SPEED[protocol], atol=1e-12)
    np.testing.assert_array_equal(reading.gyro, imu.GYRO)
    np.testing.assert_array_equal(reading.gravity, imu.GRAVITY)
    assert before < reading.time_s <= time.monotonic()
    later = fresh(driver)
    assert later.sequence > reading.sequence
    assert later.time_s > reading.time_s


@pytest.mark.parametrize("value", [-100000, -4097, -1, 0, 1, 0xFD, 0xFDFF, 100000])
def test_signed_numbers(driver, servos, protocol, value):
    """To the ends of what a register holds, and where Dynamixel's packets are stuffed (ff ff fd)."""
    if protocol == "sts3215":
        value = max(-32767, min(32767, value))
    driver.connect(JOINTS)
    servos("set", 3, "position", value)
    servos("set", 3, "speed", -value)
    servos("set", 7, "speed", -1)
    servos("set", 7, "position", value)
    reading = fresh(driver)
    assert reading.joint_pos[1] == pytest.approx(-(value * STEP - math.pi - 0.25), abs=1e-9)
    assert reading.joint_vel[1] == pytest.approx(value * SPEED[protocol], abs=1e-9)
    assert reading.joint_pos[2] == pytest.approx(value * STEP - math.pi + 0.5, abs=1e-9)
    assert reading.joint_vel[2] == pytest.approx(-SPEED[protocol], abs=1e-9)


def test_orders_come_back_as_readings(driver, servos):
    driver.connect(JOINTS)
    target = np.array([-1.2, 0.7, -0.3])
    driver.send(order(target))
    until(lambda: len(written(servos, "torque")) >= 3, "no torque")
    np.testing.assert_allclose(fresh(driver).joint_pos, target, atol=STEP / 2 + 1e-12)
    assert [servos("get", IDS[joint], "torque") for joint in JOINTS] == [1, 1, 1]
    expected = [round((s * t + z + math.pi) / STEP) for s, t, z in zip(SIGNS, target, ZEROS)]
    assert [servos("get", IDS[joint], "goal") for joint in JOINTS] == expected


def test_a_servo_has_its_goal_before_its_torque(driver, servos):
    driver.connect(JOINTS)
    driver.send(order([0.1, 0.2, 0.3]))
    until(lambda: servos("get", 7, "torque"), "no torque")
    assert [name for name, _, _ in servos("log")[:6]] == ["goal"] * 3 + ["torque"] * 3


def test_nothing_is_written_before_the_first_order(driver, servos):
    driver.connect(JOINTS)
    fresh(driver)
    assert servos("count") > 0
    driver.close()
    assert servos("log") == []


def test_closing_gives_no_order(driver, servos):
    driver.connect(JOINTS)
    driver.send(order([0, 0, 0]))
    until(lambda: servos("get", 7, "torque"), "no torque")
    fresh(driver)
    before = servos("log")
    driver.close()
    driver.close()
    assert servos("log") == before
    assert servos("get", 7, "torque") == 1


def test_an_order_that_waits_is_written_before_the_port_closes(driver, servos):
    driver.connect(JOINTS)
    driver.send(order([0, 0, 0]))
    until(lambda: servos("get", 7, "torque"), "no torque")
    driver.send(order([0, 0, 0], kp=0))
    driver.close()
    until(lambda: [servos("get", i, "torque") for i in IDS.values()] == [0, 0, 0], "torque stays on")


def test_no_kp_is_no_torque(driver, servos):
    driver.connect(JOINTS)
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: len(written(servos, "torque")) >= 3, "no order")
    fresh(driver)
    assert [value for _, _, value in written(servos, "torque")] == [0, 0, 0]
    assert written(servos, "goal") == []
    driver.send(order([0.5, math.nan, 0.5], kp=[10, 0, 10]))  # a joint that is off has no target
    until(lambda: servos("get", 7, "torque"), "no torque")
    fresh(driver)
    assert [servos("get", IDS[joint], "torque") for joint in JOINTS] == [1, 0, 1]
    assert {servo for _, servo, _ in written(servos, "goal")} == {11, 7}


def test_every_order_is_written_whole(driver, servos):
    """A packet of these is not answered; one that a servo did not hear is made up for by the next order."""
    driver.connect(JOINTS)
    driver.send(order([0, 0, 0]))
    until(lambda: servos("get", 7, "torque"), "no torque")
    servos("silence", 3)
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: servos("get", 7, "torque") == 0, "torque stays on")
    assert servos("get", 3, "torque") == 1
    servos("silence")
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: servos("get", 3, "torque") == 0, "torque stays on")


@pytest.mark.parametrize(
    ("target", "kp", "message"),
    [
        ([0, 0, 4.0], 10, r"target 4.0 rad .*servo 7 \(r_hip\).*this is step 4330"),
        ([0, 3.5, 0], 10, r"servo 3 \(l_knee\)"),
        ([math.nan, 0, 0], 10, r"target nan rad .*servo 11 \(l_hip\)"),
        ([0, 0, 0], [1, math.nan, 1], r"kp nan for servo 3 \(l_knee\)"),
        ([0, 0], 10, r"target has shape \(2,\) and kp \(3,\), expected \(3,\)"),
    ],
)
def test_orders_that_cannot_be_given(driver, servos, target, kp, message):
    driver.connect(JOINTS)
    with pytest.raises(DriverError, match=message):
        driver.send(order(target, kp))
    fresh(driver)
    assert servos("log") == []


def expect(driver, lower: ArrayLike = -1.0, upper: ArrayLike = 1.0, period_s=0.06):
    driver.expect(np.broadcast_to(lower, 3), np.broadcast_to(upper, 3), period_s)


def test_targets_beyond_a_servos_turn_are_refused_before_the_first_order(driver, servos):
    driver.connect(JOINTS)
    expect(driver)
    expect(driver, [-math.pi, -2.89, -2.64], [math.pi, 3.39, 3.64])  # to the ends, by hand from ZEROS and SIGNS
    with pytest.raises(DriverError) as caught:
        expect(driver, [-1, -3.0, -3.0], [1, 3.0, 3.0])
    assert str(caught.value) == (
        "joints turn further than their servos, as these are mounted: "
        "l_knee goes from -3.00 to 3.00 rad, its servo 3 from -2.89 to 3.39; "
        "r_hip goes from -3.00 to 3.00 rad, its servo 7 from -2.64 to 3.64"
    )
    assert servos("log") == []


def test_who_gives_no_more_orders_leaves_no_torque(driver, servos):
    """The program that gives them hangs; its thread that owns the port does not."""
    driver.connect(JOINTS)
    expect(driver)
    for _ in range(25):  # longer than the watchdog's patience
        driver.send(order([0, 0, 0]))
        time.sleep(0.02)
    assert servos("get", 7, "torque") == 1
    servos("silence", 3)
    until(lambda: servos("get", 7, "torque") == 0, "torque stays on")
    assert servos("get", 3, "torque") == 1
    servos("silence")
    until(lambda: servos("get", 3, "torque") == 0, "torque stays on where the first packet was lost")
    for _ in range(2):  # nothing switches it on again but who has let go first
        with pytest.raises(DriverError, match=r"no order came for \d+ ms, at most 300 ms: torque is off$"):
            driver.send(order([0, 0, 0]))
    fresh(driver)
    assert servos("get", 7, "torque") == 0
    driver.send(order([0, 0, 0], kp=0))
    driver.send(order([0, 0, 0]))
    until(lambda: servos("get", 7, "torque"), "no torque")


def test_joints_that_are_off_need_no_orders(driver, servos):
    driver.connect(JOINTS)
    expect(driver, period_s=0.001)
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: len(written(servos, "torque")) >= 3, "no order")
    fresh(driver)
    assert len(written(servos, "torque")) == 3
    driver.send(order([0, 0, 0]))


class Deaf:
    """A bus whose next writes fail."""

    def __init__(self, bus, failures):
        self.bus, self.failures = bus, failures

    def __getattr__(self, name):
        return getattr(self.bus, name)

    def sync_write_raw_data(self, *arguments):
        if self.failures:
            self.failures -= 1
            raise OSError("the line is busy")
        self.bus.sync_write_raw_data(*arguments)


@pytest.mark.parametrize(("failures", "torque"), [(4, 0), (1000, 1)])
def test_torque_that_could_not_be_switched_off_is_tried_again_at_the_end(driver, servos, capsys, failures, torque):
    driver.connect(JOINTS)
    driver.send(order([0, 0, 0]))
    until(lambda: servos("get", 7, "torque"), "no torque")
    fresh(driver)
    driver._bus = Deaf(driver._bus, failures)
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: driver._write_failure, "the write did not fail")
    driver.close()
    assert servos("get", 7, "torque") == torque
    assert ("torque could not be switched off: the line is busy" in capsys.readouterr().out) == bool(torque)


def test_no_connection_no_order(driver, config):
    assert driver.read() is None
    with pytest.raises(DriverError, match="not connected"):
        driver.send(order([0, 0, 0]))
    driver.connect(JOINTS)
    with pytest.raises(DriverError, match="connected already"):
        driver.connect(JOINTS)
    driver.close()
    with pytest.raises(DriverError, match="not connected"):
        driver.send(order([0, 0, 0]))
    before = driver.read()
    driver.connect(JOINTS)
    assert driver.read() is not before
    fresh(driver)


def test_missing_servos_are_named_on_connecting(driver, servos):
    servos("silence", 3, 7)
    with pytest.raises(DriverError, match=r"no answer from servo 3 \(l_knee\), servo 7 \(r_hip\)$"):
        driver.connect(JOINTS)
    servos("silence")
    driver.connect(JOINTS)  # the port was let go
    fresh(driver)


def test_a_servo_that_goes_missing(driver, servos):
    driver.connect(JOINTS)
    fresh(driver)
    servos("silence", 3)
    assert not_renewed(driver)
    assert driver.last_failure.startswith("servo 3 (l_knee)")
    assert set(driver.failed_by_joint) == {"l_knee"}
    assert 2 <= driver.failed_by_joint["l_knee"] <= driver.failed_reads
    driver.send(order([0, 0, 0]))
    until(lambda: servos("get", 7, "torque"), "the others are still told what to do")
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: servos("get", 7, "torque") == 0, "torque stays on")
    servos("silence")
    fresh(driver)


@pytest.mark.parametrize("kind", ["checksum", "short", "id", "length"])
def test_a_damaged_answer_is_not_used(driver, servos, kind):
    driver.connect(JOINTS)
    fresh(driver)
    servos("damage", 3, kind)
    assert not_renewed(driver)
    assert driver.last_failure.startswith("servo 3 (l_knee)")
    servos("damage", 3, None)
    fresh(driver)


def test_a_servo_that_reports_a_fault(driver, servos, config):
    driver.connect(JOINTS)
    fresh(driver)
    servos("error", 7, 0x20)
    assert not_renewed(driver)
    assert driver.last_failure == "servo 7 (r_hip) reports fault 0x20"
    driver.close()
    with pytest.raises(DriverError, match=r"servo 7 \(r_hip\) reports fault 0x20"):
        ServoDriver(config).connect(JOINTS)


def test_a_servo_in_another_mode_is_refused(driver, servos):
    servos("set", 11, "mode", 1)
    with pytest.raises(DriverError, match=r"servo 11 \(l_hip\) is in mode 1, not in position mode"):
        driver.connect(JOINTS)


def test_a_second_runtime_is_refused(driver, config):
    driver.connect(JOINTS)
    with pytest.raises(DriverError, match=f"{config.port} cannot be opened, or another program drives it"):
        ServoDriver(config).connect(JOINTS)
    code = f"import rustypot; rustypot.{PROTOCOLS[config.protocol].controller}({config.port!r}, 1000000, 0.01)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "OSError" in other.stderr
    fresh(driver)


def test_a_port_that_is_not_there(config):
    with pytest.raises(DriverError, match="/dev/ttyNone cannot be opened"):
        ServoDriver(replace(config, port="/dev/ttyNone")).connect(JOINTS)


def test_a_port_that_goes_away(config, protocol):
    servos = FakeServos(protocol, IDS.values())
    driver = ServoDriver(replace(config, port=servos.port))
    driver.connect(JOINTS)
    fresh(driver)
    servos.kill()
    assert not_renewed(driver)
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: driver._write_failure, "the write did not fail")
    with pytest.raises(DriverError, match="the last order could not be written"):
        driver.send(order([0, 0, 0], kp=0))
    driver.close()


def test_the_policys_joints_must_be_the_configurations(driver):
    with pytest.raises(DriverError, match=r"no servo for tail; servos of joints .* does not have: r_hip$"):
        driver.connect(("l_hip", "l_knee", "tail"))


def test_an_imu_that_fails(driver, imu):
    driver.connect(JOINTS)
    fresh(driver)
    imu.TROUBLE.append("wire is off")
    assert not_renewed(driver)
    assert "imu: no new sample" in driver.last_failure
    assert driver.last_failure.endswith("OSError: wire is off")
    imu.TROUBLE.clear()
    fresh(driver)


def test_closing_lets_go_of_the_imu(driver, imu):
    driver.connect(JOINTS)
    driver.close()
    assert imu.CLOSED == [1]
    imu.CLOSED = None  # now close() fails
    driver.connect(JOINTS)
    driver.close()
    driver.connect(JOINTS)
    fresh(driver)


def test_an_imu_that_hangs_holds_nothing_up(driver, servos, imu):
    driver.connect(JOINTS)
    fresh(driver)
    imu.Imu.read = lambda self: time.sleep(0.5)
    assert not_renewed(driver)
    driver.send(order([0, 0, 0], kp=0))
    until(lambda: len(written(servos, "torque")) >= 3, "no order")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("GRAVITY", np.array([0, 0, -9.81]), "not a unit vector"),
        ("GYRO", np.array([0, math.nan, 0]), "gyro is .*not three finite numbers"),
        ("GYRO", np.zeros(2), "gyro is .*not three finite numbers"),
    ],
)
def test_an_imu_that_says_nonsense(driver, imu, monkeypatch, name, value, message):
    monkeypatch.setattr("robopolicy_runtime.drivers.imu.FIRST_SAMPLE_S", 0.1)
    setattr(imu, name, value)
    with pytest.raises(DriverError, match=f"imu: no sample within .*{message}"):
        driver.connect(JOINTS)


def test_without_the_library(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "rustypot", None)
    with pytest.raises(DriverError, match=r"robopolicy-runtime\[servo\]"):
        driver.connect(JOINTS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("servo_test_imu", "not of the form module:function"),
        ("servo_test_nothing:connect", "No module named 'servo_test_nothing'"),
        ("servo_test_imu:missing", "module 'servo_test_imu' has no 'missing'"),
        ("servo_test_imu:broken", "OSError: no such bus"),
        ("servo_test_imu:nothing", r"made a int, which has no read and no close\(\)"),
    ],
)
def test_imus_that_cannot_be_loaded(imu, tmp_path, entry, message):
    path = list(sys.path)
    with pytest.raises(DriverError, match=message):
        load_imu(entry, tmp_path)
    assert sys.path == path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("baud = 1000000\n", "", "baud is missing"),
        ("baud = 1000000", "baud = 'fast'", "baud must be a whole number, not 'fast'"),
        ("baud = 1000000", "baud = 0", "baud must be positive, not 0"),
        ("rate_hz = 50", "rate_hz = inf", "rate_hz must be positive, not inf"),
        ("rate_hz", "rate", "rate_hz is missing"),
        ("[joints]", "speed = 3\n[joints]", "speed is unknown; known: port, baud"),
        ('imu = "servo_test_imu:connect"', "", "imu is missing"),
        ('"sts3215"', '"ax12"', "protocol 'ax12' is unknown; known: sts3215, xl330"),
        ("id = 11", "id = 7", r"joints.l_hip: id 7 belongs to 'r_hip' already"),
        ("id = 11", "id = 300", "joints.l_hip: id 300 is not in 0 to 252"),
        ("id = 11", "id = true", "joints.l_hip.id must be a whole number, not True"),
        ("sign = -1", "sign = 0", "joints.l_knee: sign must be 1 or -1, not 0"),
        ("zero = 0.25", "zero = nan", "joints.l_knee: zero must be an angle in rad, not nan"),
        ("zero = 0.25", "offset = 0.25", "joints.l_knee.zero is missing"),
        ("l_hip = {", "l_hip = 3 # {", "joints.l_hip must be a table, not 3"),
        ("[joints]", "[joints", "servos.toml: .*line 7"),
    ],
)
def test_bad_configurations(tmp_path, old, new, message):
    text = toml()
    assert old in text
    path = tmp_path / "servos.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DriverError, match=message) as caught:
        ServoBus.load(path)
    assert str(caught.value).startswith(str(path))


def test_a_configuration_that_is_not_there(tmp_path):
    with pytest.raises(DriverError, match="none.toml"):
        ServoBus.load(tmp_path / "none.toml")


def test_a_configuration_without_joints(tmp_path):
    path = tmp_path / "servos.toml"
    path.write_text(toml().split("[joints]")[0] + "[joints]")
    with pytest.raises(DriverError, match="joints: there are none"):
        ServoBus.load(path)
