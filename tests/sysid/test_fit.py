"""Servos are recovered from logs of plain MuJoCo, whose numbers are known."""

from dataclasses import replace

import arm
import numpy as np
import plain_robot
import pytest

from robopolicy.errors import UserError
from robopolicy.sysid.fit import Fit, _why_unknown, fit
from robopolicy.sysid.parameters import Parameter
from robopolicy.sysid.stand import Servos, Stand, cut

TOLERANCE = {"kp": 0.05, "kd": 0.05, "armature": 0.05, "friction": 0.12, "torque": 0.12}


def estimate(found: Fit, name: str, where: str = ""):
    return next(e for e in found.estimates if (e.parameter.name, e.parameter.where) == (name, where))


@pytest.mark.parametrize(("kind", "joint"), [(".*_shoulder", 0), (".*_elbow", 1)])
@pytest.mark.parametrize("name", TOLERANCE)
def test_servo_is_recovered(found, kind, joint, name):
    got, truth = estimate(found, name, kind), arm.TRUTH[name][joint]
    assert got.known, got.why
    assert got.value == pytest.approx(truth, rel=TOLERANCE[name])
    assert abs(got.parameter.file - truth) > 2 * abs(got.value - truth) or name == "torque"


def test_latency_is_recovered(found):
    got = estimate(found, "latency")
    assert got.known
    assert got.value == pytest.approx(arm.LATENCY, abs=0.002)


def test_error_falls_where_nothing_was_fitted(found):
    for kind, before in found.before.items():
        assert found.after[kind] < before / 10


def test_good_encoders_are_left_alone(found):
    assert not any(e.known for e in found.estimates if e.parameter.name == "encoder_offset")


def test_stand_is_plain_mujoco(arms, table):
    """With the true numbers, the simulated pieces are the log, but for its noise."""
    log = arm.as_log(table, arms)
    stand, pieces = Stand(arms, log), cut(log, 1.0, 0.0, 8.0)
    truth = {name: values[None] for name, values in arm.TRUTH.items()}
    position, velocity, _ = stand.readings(Servos(**truth, latency=np.array([arm.LATENCY])), pieces)
    stand.close()
    assert np.sqrt(np.mean((position[0] - pieces.read_position) ** 2)) < 2e-3
    assert np.sqrt(np.mean((velocity[0] - pieces.read_velocity) ** 2)) < 0.05


def test_gaps_cut_the_log(arms, table):
    log = arm.as_log(table, arms)
    target, position = log.target.copy(), log.position.copy()
    target[200:210] = np.nan  # 4.0 to 4.2 s
    position[300, 1] = np.nan
    pieces = cut(replace(log, target=target, position=position), 1.0, 0.0, 8.0)
    end = pieces.start[pieces.piece] + (pieces.place + pieces.part) * 0.002
    assert not ((end > 4.0 + 1e-6) & (end < 4.2)).any()
    assert not ((pieces.start > 4.0 - 0.5) & (pieces.start < 4.2 + 0.08)).any()
    assert np.isfinite(pieces.position).all()
    assert np.isnan(pieces.read_position).sum() <= 1


def test_short_log_is_refused(arms, table):
    log = arm.as_log(
        {name: v[:100] if name not in ("joint_names", "gravity") else v for name, v in table.items()}, arms
    )
    with pytest.raises(UserError, match="too short"):
        fit(arms, log)


def test_what_is_not_excited_is_named(arms):
    """The elbow holds still and the shoulders creep: no inertia shows, and no torque limit."""
    targets = plain_robot.wiggle(3, 8.0, seed=2, size=0.3)
    slow = 0.3 * np.sin(0.8 * np.arange(len(targets)) * 0.02)
    log = arm.as_log(arm.record(np.stack((slow, 0 * slow, slow), axis=1), arm.plant()), arms)
    found = fit(arms, log)
    for name, kind in (("armature", ".*_shoulder"), ("kd", ".*_elbow"), ("armature", ".*_elbow"), ("kp", ".*_elbow")):
        got = estimate(found, name, kind)
        assert not got.known, (name, kind)
        assert got.value == got.parameter.file
    assert "not reached" in estimate(found, "torque", ".*_shoulder").why
    assert any("left_elbow hardly moved" in note for note in found.notes)


@pytest.mark.parametrize(("value", "known"), [(3.001, False), (10.0, True), (19.999, False)])
def test_a_number_at_either_end_of_what_was_tried_is_not_known(value: float, known: bool):
    gain = Parameter("kp", ".*", (0,), file=10.0, start=10.0, scale=10.0, low=3.0, high=20.0)
    why = _why_unknown(gain, value, half=0.01, free=True, asked={})
    assert (not why) == known
    assert known or "ran to the end" in why


def test_no_friction_at_all_is_a_number():
    friction = Parameter("friction", ".*", (0,), file=0.5, start=0.5, scale=0.5, low=0.0, high=5.0)
    assert not _why_unknown(friction, 0.0, half=0.01, free=True, asked={})
