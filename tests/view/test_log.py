"""Logs of the runtime, replayed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from robopolicy_runtime.driver import Reading
from robopolicy_runtime.log import LogWriter
from robopolicy_runtime.machine import State, Tick

import tests.export.synthetic as synthetic
from robopolicy.errors import UserError
from robopolicy.robot import load_robot
from robopolicy.view.performers import find_performer


def write_log(path: Path, robot: str, joints: tuple[str, ...], readings: int, silent: int = 0) -> Path:
    """A robot that leans forward by 0.1 rad with its IMU turned, and moves one joint; ``silent`` rows come first."""
    contract = replace(synthetic.contract(), robot=robot, joint_names=joints)
    log = LogWriter(path, contract)
    nan = np.full(len(joints), np.nan)
    half = np.pi / 4 + 0.1
    for k in range(silent + readings):
        q = np.zeros(len(joints))
        q[0] = 0.01 * k
        gravity = np.array([np.sin(half), 0.0, -np.cos(half)])
        reading = None if k < silent else Reading(0.02 * k, k, np.zeros(3), gravity, q, np.zeros(len(joints)))
        log.add(0.02 * k, 0.0, 0, Tick(State.READY, reading, reading is not None, np.zeros(3), nan, nan, ()))
    log.close()
    return path


def test_a_log_is_replayed_without_what_was_not_read(tmp_path: Path):
    model = load_robot("droid").compile()
    performer = find_performer(write_log(tmp_path / "a.log", "droid", model.joint_names, 10, silent=5))
    assert performer.seconds == pytest.approx(0.2)
    assert (performer.channels, performer.joints) == ((), model.joint_names)
    qpos, _ = performer.start()
    assert qpos[7] == pytest.approx(0.05)
    # leaning forward by 0.1 rad is a turn about y
    np.testing.assert_allclose(qpos[3:7], [np.cos(0.05), 0, np.sin(0.05), 0], atol=1e-6)
    for _ in range(20):  # and stays at its end
        qpos, qvel, again = performer.step(np.zeros(0))
    assert qpos[7] == pytest.approx(0.14)
    assert np.isfinite(qvel).all()
    assert not again


def test_a_log_that_cannot_be_replayed(tmp_path: Path):
    joints = load_robot("droid").compile().joint_names
    with pytest.raises(UserError, match=r"is of a robot with joints left_hip.*'droid' has others"):
        find_performer(write_log(tmp_path / "b.log", "droid", synthetic.JOINTS, 3))
    with pytest.raises(UserError, match="holds no reading: 4 control periods"):
        find_performer(write_log(tmp_path / "c.log", "droid", joints, 0, silent=4))
    (tmp_path / "d.log").write_text("hello")
    with pytest.raises(UserError, match="not a log of this runtime"):
        find_performer(tmp_path / "d.log")
