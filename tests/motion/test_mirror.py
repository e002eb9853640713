"""The left-right map, judged by MuJoCo's forward kinematics."""

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.motion.mirror import POSITION_SIGN, Mirror, other_side
from robopolicy.motion.pose import difference, quat_exp
from robopolicy.robot import load_robot

RNG = np.random.default_rng(7)


def random_poses(model, count=50):
    quat = quat_exp(RNG.normal(size=(count, 3)))
    joints = RNG.uniform(model.lower, model.upper, (count, len(model.lower)))
    return np.concatenate([RNG.normal(size=(count, 3)), quat, joints], axis=1)


def state(model, qpos, qvel=None):
    data = mujoco.MjData(model.mj)
    data.qpos[:] = qpos
    data.qvel[:] = 0 if qvel is None else qvel
    mujoco.mj_forward(model.mj, data)
    return data


@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_the_feet_of_a_mirrored_pose_are_the_reflections(robot, request):
    model = request.getfixturevalue(robot)
    mirror = Mirror(model)
    for q in random_poses(model):
        feet = state(model, q).site_xpos[model.foot_sites].copy()
        mirrored = state(model, mirror.qpos(q)).site_xpos[model.foot_sites]
        np.testing.assert_allclose(mirrored, (feet * POSITION_SIGN)[mirror.foot_index], atol=1e-9)


def test_the_head_looks_the_other_way(droid):
    mirror = Mirror(droid)
    for q in random_poses(droid, 20):
        head = state(droid, q).body("head").xmat.reshape(3, 3).copy()
        mirrored = state(droid, mirror.qpos(q)).body("head").xmat.reshape(3, 3)
        flip = np.diag(POSITION_SIGN)
        np.testing.assert_allclose(mirrored, flip @ head @ flip, atol=1e-9)


@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_velocities_mirror_with_positions(robot, request):
    """By the foot's velocity in MuJoCo, and by differences of mirrored poses."""
    model = request.getfixturevalue(robot)
    mirror = Mirror(model)
    for q in random_poses(model, 20):
        v = RNG.normal(size=model.mj.nv)
        velocity, mirrored = np.zeros((2, len(model.foot_sites), 6))
        for out, data in ((velocity, state(model, q, v)), (mirrored, state(model, mirror.qpos(q), mirror.qvel(v)))):
            for f, site in enumerate(model.foot_sites):
                mujoco.mj_objectVelocity(model.mj, data, mujoco.mjtObj.mjOBJ_SITE, site, out[f], 0)
        np.testing.assert_allclose(mirrored[:, 3:], (velocity[:, 3:] * POSITION_SIGN)[mirror.foot_index], atol=1e-9)
        after = q.copy()
        mujoco.mj_integratePos(model.mj, after, v, 1e-6)
        step = difference(mirror.qpos(q), mirror.qpos(after)) / 1e-6
        np.testing.assert_allclose(step, mirror.qvel(v), atol=1e-6)


@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_twice_is_nothing_and_names_pair_up(robot, request):
    model = request.getfixturevalue(robot)
    mirror = Mirror(model)
    poses = random_poses(model)
    np.testing.assert_array_equal(mirror.qpos(mirror.qpos(poses)), poses)
    np.testing.assert_array_equal(mirror.foot_index[mirror.foot_index], np.arange(len(model.foot_sites)))
    pairs = {model.joint_names[j]: model.joint_names[i] for j, i in enumerate(mirror.joint_index)}
    expected = {"droid": {"l_knee": "r_knee", "head_yaw": "head_yaw"}, "go2": {"RR_calf": "RL_calf"}}[robot]
    assert expected.items() <= pairs.items()
    home = np.concatenate([model.home_qpos[:7], model.default_pose])
    np.testing.assert_allclose(mirror.qpos(home), home, atol=1e-12)


def edited(tmp_path, old, new):
    """The droid with its MJCF changed."""
    robot = load_robot("droid")
    text = Path(robot.mjcf).read_text()
    assert old in text
    (tmp_path / "droid.xml").write_text(text.replace(old, new))
    return dataclasses.replace(robot, mjcf=str(tmp_path / "droid.xml"))


def test_an_axis_turned_round_turns_its_sign(tmp_path, droid):
    """A robot whose left knee turns the other way has the same motions under another sign."""
    old = '<joint name="l_knee" axis="0 -1 0" range="-1.309 .96"'
    model = edited(tmp_path, old, '<joint name="l_knee" axis="0 1 0" range="-.96 1.309"').compile()
    mirror, knee = Mirror(model), model.joint_names.index("l_knee")
    assert (mirror.joint_sign[knee], Mirror(droid).joint_sign[knee]) == (-1, 1)
    for q in random_poses(model, 10):
        feet = state(model, q).site_xpos[model.foot_sites].copy()
        mirrored = state(model, mirror.qpos(q)).site_xpos[model.foot_sites]
        np.testing.assert_allclose(mirrored, (feet * POSITION_SIGN)[mirror.foot_index], atol=1e-9)


def test_a_lopsided_robot_is_refused(tmp_path):
    model = edited(tmp_path, '<body name="l_shin" pos="-.079 0 -.078">', '<body name="l_shin" pos="-.079 0 -.1">')
    with pytest.raises(UserError, match=r"droid.* is not symmetric: joint '[lr]_\w+' lies \d\d mm from .*'[lr]_"):
        Mirror(model.compile())


def test_a_joint_without_partner_is_named(droid):
    names = tuple(n.replace("r_knee", "r_nee") for n in droid.joint_names)
    with pytest.raises(UserError, match="joint 'l_knee' of robot 'droid' has no partner"):
        Mirror(dataclasses.replace(droid, joint_names=names))


@pytest.mark.parametrize(
    ("name", "partner"),
    [
        ("left_hip_yaw_joint", "right_hip_yaw_joint"),
        ("LF_HAA", "RF_HAA"),
        ("RR_hip", "RL_hip"),
        ("hip_l", "hip_r"),
        ("LeftKnee", "RightKnee"),
        ("fl_hx", "fr_hx"),
        ("waist_roll", "waist_roll"),
    ],
)
def test_names_of_other_makers(name, partner):
    assert other_side(name, ("x", name, partner)) == partner
    assert other_side(partner, (partner, name)) == name
    assert (other_side(name, (name,)) is None) == (name != partner)
