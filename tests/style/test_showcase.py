"""What people look at: clip and policy in step, at one place."""

import numpy as np
import pytest
from small_envs import compiled

from robopolicy.motion.pose import heading
from robopolicy.style.figures import _bars, _by_stride, _leg
from robopolicy.style.motions import Motion, load_clip_set
from robopolicy.style.showcase import Showcase, brisk, in_step
from robopolicy.view.ghost import ghost_stage, with_ghost


def test_touchdowns_meet_and_the_pace_is_told():
    frame, pace = in_step(np.array([0, 40, 80]), np.array([0, 30, 62, 90]), 200, 200)
    assert list(frame[[0, 40, 80]]) == [0, 30, 62]
    assert len(frame) == 81
    assert (np.diff(frame) >= 0).all()
    assert pace == pytest.approx(62 / 80)


def test_without_steps_both_run_at_their_own_speed():
    frame, pace = in_step(np.array([], dtype=int), np.array([0, 30]), 50, 40)
    np.testing.assert_array_equal(frame, np.arange(40))
    assert pace is None


def test_a_brisk_forward_clip_is_shown():
    names = ("walk_backward_0.20", "walk_forward_0.40", "walk_forward_0.30", "walk_forward_0.30_turn_left_0.40")
    clips = load_clip_set("walk", names, compiled("droid"), 0.02)
    assert clips.names[brisk(clips)] == "walk_forward_0.30"


def test_the_ghost_walks_at_the_policys_place_with_its_own_pose():
    clips = load_clip_set("walk", ("walk_forward_0.30_turn_left_0.40", "walk_forward_0.20"), compiled("droid"), 0.02)
    ours, theirs = clips.held_out[0], clips.held_out[1]
    frame = np.arange(40)
    show = Showcase("a", "b", np.zeros(3), 0.02, ours, theirs, frame, None)
    policy, ghost = show.ghost()
    np.testing.assert_array_equal(policy, ours.qpos[:40])
    np.testing.assert_array_equal(ghost[:, :2], policy[:, :2])
    np.testing.assert_array_equal(ghost[:, 7:], theirs.qpos[:40, 7:])
    np.testing.assert_allclose(heading(ghost[:, 3:7]), heading(policy[:, 3:7]), atol=0.01)
    np.testing.assert_array_equal(ghost[:, 2], theirs.qpos[:40, 2])


@pytest.mark.parametrize("name", ["droid", "go2"])
def test_a_stage_for_two_moves_them_apart(name: str):
    import mujoco

    robot = compiled(name)
    model = ghost_stage(robot.robot.compile().spec, 0.4)
    assert model.nq == 2 * robot.mj.nq
    data = mujoco.MjData(model)
    data.qpos[:] = with_ghost(robot.home_qpos[None], robot.home_qpos[None], beside=0.6)[0]
    mujoco.mj_kinematics(model, data)
    site = robot.robot.feet[0]
    np.testing.assert_allclose(data.site(f"ghost_{site}").xpos - data.site(site).xpos, [0, 0.6, 0], atol=1e-9)
    pale = model.geom_rgba[
        [
            model.geom(k).name.startswith("ghost_") or model.body(b).name.startswith("ghost_")
            for k, b in enumerate(model.geom_bodyid)
        ]
    ]
    assert len(pale)
    np.testing.assert_allclose(pale[:, 3], 0.4)
    assert (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE).sum() == 1


def test_bars_are_the_stretches_on_the_ground():
    down = np.array([1, 1, 0, 0, 1, 1, 1, 0, 1], dtype=bool)
    assert _bars(down, 0.5) == [(0.0, 1.0), (2.0, 1.5), (4.0, 0.5)]
    assert _bars(np.zeros(3, dtype=bool), 0.5) == []


def test_the_joints_of_a_leg_from_the_base_down():
    robot = compiled("go2")
    assert [robot.joint_names[j] for j in _leg(robot, 2)] == ["RL_hip", "RL_thigh", "RL_calf"]


def test_a_stride_is_stretched_to_the_same_length():
    frames = 200
    clock = np.arange(frames) / 40
    qpos = np.zeros((frames, 9))
    qpos[:, 3], qpos[:, 8] = 1.0, np.sin(2 * np.pi * clock)
    height = np.where(np.mod(clock + 1e-9, 1) < 0.6, 0.0, 0.05)[:, None].repeat(2, axis=1)
    table = _by_stride(Motion("x", qpos, np.zeros((frames, 8)), height), 1, 0.02, points=5)
    np.testing.assert_allclose(table, np.tile([0, 1, 0, -1, 0], (len(table), 1)), atol=1e-9)
    assert len(table) == 3
