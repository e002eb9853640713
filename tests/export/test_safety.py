"""What is let through to the robot, and what is not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.driver import DriverError, Order, Reading
from robopolicy_runtime.safety import FaultError, Limits, Safety, assumed_speeds

CONTRACT = synthetic.contract()
HALF = np.sqrt(0.5)  # the toy's IMU is turned by 45 degrees about y


class FakeRobot:
    """A driver that reads what it is given and keeps what it is told."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.orders: list[Order] = []
        self.broken = False

    def connect(self, joint_names: tuple[str, ...]) -> None:
        assert joint_names == synthetic.JOINTS

    def expect(self, lower: np.ndarray, upper: np.ndarray, period_s: float) -> None:
        self.expected = (lower.tolist(), upper.tolist(), period_s)

    def read(self) -> Reading | None:
        return self.reading

    def send(self, order: Order) -> None:
        if self.broken:
            raise DriverError("the cable is out")
        self.orders.append(order)

    def close(self) -> None:
        pass


def upright(time_s: float = 0.0, sequence: int = 0, **changes: Any) -> Reading:
    """The toy stands in its default pose."""
    gravity = np.array([HALF, 0.0, -HALF])  # by hand: the IMU's x axis points 45 degrees down, its z axis 45 up
    values = {"gyro": np.zeros(3), "gravity": gravity, "joint_pos": synthetic.DEFAULT.copy(), "joint_vel": np.zeros(2)}
    return Reading(time_s, sequence, **(values | changes))


class Rig:
    """A safety layer with a clock that is set by hand."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now, self.robot, self.sequence = 0.0, FakeRobot(), 0
        self.safety = Safety(self.robot, CONTRACT, limits, clock=lambda: self.now)

    def sense(self, **changes: Any) -> Reading:
        self.sequence += 1
        self.robot.reading = upright(self.now, self.sequence, **changes)
        return self.safety.sense()


def test_the_driver_is_told_which_targets_will_come():
    rig = Rig()
    rig.safety.connect()
    assert rig.robot.expected == (list(CONTRACT.position_lower), list(CONTRACT.position_upper), 0.02)


def test_a_good_reading_passes():
    rig = Rig()
    assert rig.sense() is rig.robot.reading


def test_a_reading_with_a_fault_does_not_drive():
    rig = Rig()
    with pytest.raises(FaultError, match="the motor is hot") as caught:
        rig.sense(fault="the motor is hot")
    assert caught.value.kind == "told"
    assert rig.safety.latest is rig.robot.reading
    rig.sense()


def test_no_sample_yet_and_old_samples_are_stale():
    rig = Rig()
    with pytest.raises(FaultError, match="no sample from the robot yet"):
        rig.safety.sense()
    rig.sense()
    rig.now = 0.049  # two and a half control periods are 50 ms
    rig.safety.sense()
    rig.now = 0.051
    with pytest.raises(FaultError, match="no new sample for 51 ms") as caught:
        rig.safety.sense()
    assert caught.value.kind == "stale"


def test_the_same_sample_sent_again_is_no_news():
    rig = Rig()
    rig.sense()
    for rig.now in (0.02, 0.04, 0.061):
        rig.robot.reading = upright(rig.now, rig.sequence)  # arrives anew, but the robot did not measure
    with pytest.raises(FaultError, match="no new sample"):
        rig.safety.sense()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("field", "size"), [("gyro", 3), ("gravity", 3), ("joint_pos", 2), ("joint_vel", 2)])
def test_what_is_not_finite_never_drives(field: str, size: int, bad: float):
    for i in range(size):
        rig = Rig()
        value = getattr(upright(), field).copy()
        value[i] = bad
        with pytest.raises(FaultError, match=rf"{field}\[{i}\]") as caught:
            rig.sense(**{field: value})
        assert caught.value.kind == "broken"
        assert not rig.robot.orders


def test_a_wrong_number_of_joints():
    with pytest.raises(FaultError, match=r"joint_pos has shape \(3,\), not \(2,\)"):
        Rig().sense(joint_pos=np.zeros(3))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"gravity": np.zeros(3)}, "direction of gravity has length 0.00"),
        ({"gyro": np.array([0, 0, 41.0])}, r"gyro\[2\]"),
        ({"joint_pos": np.array([0.0, -1.1])}, r"joint_pos\[1\] of 'right_hip', -1.1"),
        ({"joint_vel": np.array([-31.0, 0.0])}, r"joint_vel\[0\] of 'left_hip'"),
    ],
)
def test_what_the_robot_cannot_do_is_not_believed(changes: dict, what: str):
    with pytest.raises(FaultError, match=what) as caught:
        Rig().sense(**changes)
    assert caught.value.kind == "implausible"


def test_leaning_is_measured_from_the_base_not_from_the_imu():
    def leaning(angle: float) -> np.ndarray:
        """Gravity seen by the IMU while the base is pitched: the IMU is pitched by 45 degrees more."""
        a = angle + np.pi / 4
        return np.array([np.sin(a), 0, -np.cos(a)])

    Rig().sense(gravity=leaning(0.99))
    Rig().sense(gravity=leaning(-0.99))
    for angle in (1.01, -1.01, np.pi):
        with pytest.raises(FaultError, match="leans") as caught:
            Rig().sense(gravity=leaning(angle))
        assert caught.value.kind == "tilted"


def test_speeds_that_are_assumed_are_named():
    assert assumed_speeds(CONTRACT) == "no speed limit is known of right_hip: 10 rad/s is assumed"
    assert "of left_hip:" in assumed_speeds(replace(CONTRACT, velocity_limit=(None, 5.0)))
    assert assumed_speeds(replace(CONTRACT, velocity_limit=(8.0, 5.0))) == ""


def test_a_target_within_the_limits_is_sent_as_it_is():
    rig = Rig()
    target = synthetic.DEFAULT + 0.05
    assert np.array_equal(rig.safety.drive(target, rig.sense()), target)
    order = rig.robot.orders[-1]
    assert (order.target.tolist(), order.kp.tolist(), order.kd.tolist()) == (target.tolist(), [20, 25], [0.7, 0.8])
    assert rig.safety.limited_by == ()


def test_no_target_leaves_the_limits():
    rig = Rig()
    rng = np.random.default_rng(0)
    before = None
    seen: set[str] = set()
    for _ in range(2000):
        reading = rig.sense(joint_pos=rng.uniform(synthetic.LOWER, synthetic.UPPER), joint_vel=rng.normal(0, 5, 2))
        rig.safety.drive(rng.normal(0, 2, 2), reading)
        sent = rig.robot.orders[-1].target
        assert (sent >= synthetic.LOWER).all()
        assert (sent <= synthetic.UPPER).all()
        if before is not None:
            assert (np.abs(sent - before) <= np.array([10.0, 10.0]) * 0.02 + 1e-12).all()  # 10 rad/s: told, and assumed
        before = sent
        seen |= set(rig.safety.limited_by)
    assert seen == {"torque", "rate", "position"}


def test_a_target_asks_for_no_more_torque_than_allowed():
    rig = Rig(replace(Limits.of(CONTRACT), rate=np.full(2, 1e9), overdrive=1.0))
    q, v = np.array([0.1, -0.1]), np.array([0.5, -2.0])
    reading = rig.sense(joint_pos=q, joint_vel=v)
    sent = rig.safety.drive(np.array([9.0, -9.0]), reading)
    # by hand: 20 (t - 0.1) - 0.7 * 0.5 = 6 and 25 (t + 0.1) + 0.8 * 2 = -7
    np.testing.assert_allclose(sent, [0.1 + 6.35 / 20, -0.1 - 8.6 / 25], atol=1e-12)


@pytest.mark.parametrize("target", [[np.nan, 0.0], [0.0, np.inf], [0.0], [[0.0, 0.0]]])
def test_a_target_that_is_not_finite_is_not_sent(target: list):
    rig = Rig()
    reading = rig.sense()
    with pytest.raises(FaultError, match="joint targets"):
        rig.safety.drive(np.array(target), reading)
    assert not rig.robot.orders


def test_damping_and_limp_need_no_reading():
    rig = Rig()
    rig.safety.damp()
    rig.safety.limp()
    damp, limp = rig.robot.orders
    assert (damp.kp.tolist(), damp.kd.tolist()) == ([0, 0], [0.7, 0.8])
    assert (limp.kp.tolist(), limp.kd.tolist()) == ([0, 0], [0, 0])
    assert np.isfinite(damp.target).all()
