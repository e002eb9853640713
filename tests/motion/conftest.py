"""Robots and a hand-made clip for the tests of clips."""

import pytest
from motion_clips import make_arc

from robopolicy.motion.clip import Clip
from robopolicy.robot import RobotModel, load_robot


@pytest.fixture(scope="session")
def droid() -> RobotModel:
    return load_robot("droid").compile()


@pytest.fixture(scope="session")
def go2() -> RobotModel:
    return load_robot("go2").compile()


@pytest.fixture(scope="session")
def g1() -> RobotModel:
    return load_robot("g1").compile()


@pytest.fixture
def arc() -> Clip:
    """A two-joint robot on an arc of known speed and turn, its joints on sines: everything has a formula."""
    return make_arc()
