"""The motors of the hidden plants against values worked out by hand."""

import numpy as np
import pytest
from robopolicy_runtime.transfer.actuator import Actuator, envelope, friction
from robopolicy_runtime.transfer.deviations import NOMINAL, Deviations

TORQUE, NO_LOAD = np.array([10.0]), np.array([20.0])
NEVER = np.array([np.inf])


def limit(speed: float, wanted: float) -> float:
    return float(envelope(np.array([speed]), np.array([wanted]), TORQUE, NO_LOAD, corner=0.5)[0][0])


@pytest.mark.parametrize(
    ("speed", "driving"), [(0, 10), (5, 10), (10, 10), (12.5, 7.5), (15, 5), (18, 2), (20, 0), (25, 0)]
)
def test_flat_then_linear_to_no_load_speed_and_full_when_braking(speed, driving):
    assert limit(speed, 3.0) == pytest.approx(driving)
    assert limit(-speed, -3.0) == pytest.approx(driving)
    assert limit(speed, -3.0) == limit(-speed, 3.0) == 10


def test_the_slope_is_that_of_the_limit():
    for speed, expected in ((5.0, 0.0), (15.0, 1.0), (25.0, 0.0)):
        _, slope = envelope(np.array([speed]), np.array([1.0]), TORQUE, NO_LOAD, corner=0.5)
        numeric = (limit(speed - 1e-4, 1.0) - limit(speed + 1e-4, 1.0)) / 2e-4
        assert slope[0] == pytest.approx(expected) == pytest.approx(numeric, abs=1e-6)


def test_without_a_no_load_speed_there_is_no_bound():
    found, slope = envelope(np.array([1e3]), np.array([1.0]), TORQUE, NEVER, corner=0.5)
    assert found == 10
    assert slope == 0


@pytest.mark.parametrize("speed", [-3.0, -0.05, 0.0, 1e-9, 0.1, 2.0])
def test_friction_is_coulomb_and_viscous(speed):
    damping = friction(np.array([speed]), np.array([2.0]), np.array([0.3]))[0]
    assert damping * speed == pytest.approx(2 * np.tanh(speed / 0.1) + 0.3 * speed, abs=1e-12)
    assert damping > 0


def actuator(no_load=NEVER, **changes) -> Actuator:
    return Actuator(np.array([100.0]), np.array([2.0]), TORQUE, no_load, Deviations(**changes))


def torque(motor: Actuator, target: float, angle: float, speed: float = 0.0) -> float:
    return float(motor.drive(np.array([target]), np.array([angle]), np.array([speed])).torque[0])


def test_ideal_drive_is_pd_clamped():
    motor = Actuator(np.array([100.0]), np.array([2.0]), TORQUE, NEVER, NOMINAL)
    assert torque(motor, 0.05, 0.02, 0.5) == pytest.approx(100 * 0.03 - 1.0)
    drive = motor.drive(np.array([1.0]), np.array([0.0]), np.array([0.0]))
    assert drive.torque == 10
    assert drive.saturated
    assert drive.motor_damping == 0  # a motor at its limit does not damp


def test_backlash_is_a_dead_zone_and_the_encoder_sees_the_motor():
    motor = actuator(backlash=0.04)
    assert torque(motor, 0.115, 0.1) == 0
    assert torque(motor, 0.15, 0.1) == pytest.approx(100 * (0.05 - 0.02))
    assert torque(motor, 0.05, 0.1) == pytest.approx(-100 * (0.05 - 0.02))
    drive = motor.drive(np.array([0.11]), np.array([0.1]), np.array([0.0]))
    assert drive.play == pytest.approx(0.01)


def test_encoder_offset_shifts_what_is_regulated():
    motor = actuator(encoder_offset=np.array([0.03]))
    assert motor.encoder(np.array([0.1])) == pytest.approx(0.13)
    assert torque(motor, 0.13, 0.1) == pytest.approx(0)


def test_encoder_step():
    motor = actuator(encoder_step=0.01)
    assert motor.encoder(np.array([0.0449])) == pytest.approx(0.04)
    assert torque(motor, 0.05, 0.0449) == pytest.approx(1.0)


def test_supply_scales_torque_and_speed():
    motor = actuator(NO_LOAD, supply=0.5)
    assert torque(motor, 1.0, 0.0) == pytest.approx(5.0)
    assert torque(motor, 1.0, 0.0, speed=7.5) == pytest.approx(2.5)  # half way from 5 to the no-load speed of 10


def test_supply_sags_under_load():
    motor = actuator(sag=0.3)
    assert torque(motor, 1.0, 0.0) == 10
    assert torque(motor, 1.0, 0.0) == pytest.approx(7.0)
    motor.reset()
    assert torque(motor, 1.0, 0.0) == 10
