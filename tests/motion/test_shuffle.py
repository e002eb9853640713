"""A time-shuffled clip: every pose, wrong order, honest velocities."""

import mujoco
import numpy as np
import pytest
from small_envs import compiled

from robopolicy.motion.clip import Clip, load_clips
from robopolicy.motion.pose import heading
from robopolicy.motion.shuffle import shuffle_clip


@pytest.fixture(scope="module")
def turn() -> Clip:
    return load_clips("droid", ["walk_forward_0.30_turn_left_0.40"])[0].for_robot(compiled("droid"))


def test_poses_are_kept_and_their_order_is_not(turn: Clip):
    mixed = shuffle_clip(turn, seed=1)
    own, theirs = (c.qpos[:, 7:] for c in (turn, mixed))
    np.testing.assert_array_equal(np.sort(own, axis=0), np.sort(theirs, axis=0))
    assert (np.abs(own - theirs).max(1) > 1e-6).mean() > 0.9
    np.testing.assert_allclose(np.sort(turn.qpos[:, 2]), np.sort(mixed.qpos[:, 2]))
    assert mixed.phase is None
    assert not np.array_equal(mixed.qpos, shuffle_clip(turn, seed=2).qpos)


def test_it_travels_as_before(turn: Clip):
    mixed = shuffle_clip(turn, seed=1)
    np.testing.assert_array_equal(mixed.qpos[:, :2], turn.qpos[:, :2])
    np.testing.assert_allclose(heading(mixed.qpos[:, 3:7]), heading(turn.qpos[:, 3:7]), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(mixed.qpos[:, 3:7], axis=1), 1.0)
    np.testing.assert_allclose(mixed.planar_velocity().mean(0), turn.planar_velocity().mean(0), atol=0.01)


def test_velocities_are_those_of_the_new_order(turn: Clip):
    mixed = shuffle_clip(turn, seed=1)
    model = compiled("droid").mj
    for k in (5, 40):
        step = np.zeros((2, model.nv))
        mujoco.mj_differentiatePos(model, step[0], mixed.dt, mixed.qpos[k - 1], mixed.qpos[k])
        mujoco.mj_differentiatePos(model, step[1], mixed.dt, mixed.qpos[k], mixed.qpos[k + 1])
        np.testing.assert_allclose(mixed.qvel[k], step.mean(0), atol=1e-8)
