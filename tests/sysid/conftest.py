"""The arms and a good log of them, which the tests share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import arm
import plain_robot

from robopolicy.robot import RobotModel
from robopolicy.sysid.fit import Fit, fit


@pytest.fixture(scope="session")
def arms(tmp_path_factory) -> RobotModel:
    return arm.robot(tmp_path_factory.mktemp("arms"))


@pytest.fixture(scope="session")
def table() -> dict:
    """15 s of a robot that differs from its file in everything that a motor has."""
    return arm.record(plain_robot.wiggle(3, 15.0, seed=1, size=0.3), arm.plant())


@pytest.fixture(scope="session")
def found(arms, table) -> Fit:
    return fit(arms, arm.as_log(table, arms))
