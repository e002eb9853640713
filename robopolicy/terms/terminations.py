"""Endings: when an episode has failed."""

import math

from torch import Tensor

from robopolicy.env.state import State


def tilted(state: State, limit: float = 1.0) -> Tensor:
    """The base leans more than ``limit`` [rad] from upright. Shape (N,) bool."""
    return -state.gravity_b[:, 2] < math.cos(limit)


def too_low(state: State, share: float = 0.5) -> Tensor:
    """The base is lower than ``share`` of its height in the home pose. Shape (N,) bool."""
    return state.base_height < share * float(state.robot.home_qpos[2])
