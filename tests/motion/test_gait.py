"""Generated gaits, judged by MuJoCo's kinematics and the arithmetic of walking."""

import dataclasses
import re

import mujoco
import numpy as np
import pytest
from motion_clips import foot_bottoms

from robopolicy.errors import UserError
from robopolicy.motion.clip import list_clips, load_clips
from robopolicy.motion.gait import Gait, _foot, generate, glide
from robopolicy.motion.generate import DROID_WALK, GO2_TROT
from robopolicy.motion.ik import FootIK
from robopolicy.motion.pose import difference, heading, move, quat_from_euler, rotate2

DOWN = 0.001
"""A foot with its lowest point under this is standing [m]."""
SHIPPED = [(robot, name) for robot in ("droid", "go2") for name in list_clips(robot)]


@pytest.mark.parametrize(("robot", "name"), SHIPPED)
def test_shipped_clips_keep_feet_on_the_ground_and_joints_in_range(robot, name, request):
    model = request.getfixturevalue(robot)
    clip = load_clips(robot, name)[0].for_robot(model)
    heights, places = foot_bottoms(model, clip.qpos)
    assert heights.min() > -0.001, "a foot sinks"
    assert (heights.min(axis=1) < DOWN).all() or name == "happy_hop", "no foot stands"
    standing = (heights[:-1] < DOWN) & (heights[1:] < DOWN)
    slide = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * clip.fps
    assert slide[standing].max() < 0.001, "a foot slides"
    joints = clip.qpos[:, 7:]
    assert np.minimum(joints - model.lower, model.upper - joints).min() > 0.05
    assert (np.abs(clip.qvel[:, 6:]) < 0.8 * model.velocity_limit).all()
    assert clip.fps == 50
    assert clip.loop
    assert clip.duration >= 2.56
    assert np.abs(np.linalg.norm(clip.qpos[:, 3:7], axis=1) - 1).max() < 1e-12


@pytest.mark.parametrize(("robot", "name"), [s for s in SHIPPED if re.search(r"\d", s[1])])
def test_shipped_clips_do_what_their_name_says(robot, name):
    clip = load_clips(robot, name)[0]
    given = {
        word: float(number)
        for word, number in re.findall(
            r"([a-z]+(?:_[a-z]+)?)_(\d\.\d+)",
            re.sub("^(trot|pace|walk|jaunty)_", "", name),
        )
    }
    expected = np.zeros(3)
    for word, number in given.items():
        axis, sign = {
            "forward": (0, 1),
            "backward": (0, -1),
            "left": (1, 1),
            "right": (1, -1),
            "turn_left": (2, 1),
            "turn_right": (2, -1),
        }[word]
        expected[axis] = sign * number
    # The base turns about the middle of the feet, which is a little ahead of its own origin.
    np.testing.assert_allclose(clip.planar_velocity(), np.tile(expected, (len(clip), 1)), atol=0.015)


@pytest.mark.parametrize(("robot", "name"), SHIPPED)
def test_shipped_loops_close(robot, name, request):
    clip = load_clips(robot, name)[0]
    follow = move(clip.qpos[:1], clip.cycle())
    steps = np.abs(difference(clip.qpos[:-1], clip.qpos[1:]))
    seam = np.abs(difference(clip.qpos[-1:], follow))[0]
    assert (seam <= 1.2 * steps.max(axis=0) + 1e-4).all()  # the planar step across the seam is an estimate
    # velocity goes on through the seam as well: it changes there as it does elsewhere
    change = np.abs(np.diff(clip.qvel, axis=0)).max(axis=0)
    at_seam = np.abs(np.array([*rotate2(clip.cycle()[2], clip.qvel[0, :2]), *clip.qvel[0, 2:]]) - clip.qvel[-1])
    assert (at_seam <= 1.1 * change + 1e-3).all()


def test_a_gait_repeats_to_the_last_digit(droid):
    clip = generate("turn", droid, dataclasses.replace(DROID_WALK, vx=0.2, wz=0.5, cycles=3))
    assert len(clip) == 96
    np.testing.assert_allclose(clip.qpos[32:64, 7:], clip.qpos[:32, 7:], atol=1e-8)
    np.testing.assert_allclose(clip.qpos[64:, 7:], clip.qpos[:32, 7:], atol=1e-8)
    third = clip.cycle() / 3  # of a constant turn, each cycle turns a third
    assert np.isclose(heading(clip.qpos[32, 3:7]) - heading(clip.qpos[0, 3:7]), third[2], atol=1e-9)


def test_the_left_foot_touches_down_at_phase_zero(droid, go2):
    for model, robot, name, pair in (
        (droid, "droid", "walk_forward_0.30", (0,)),
        (go2, "go2", "trot_forward_0.60", (0, 3)),
        (go2, "go2", "pace_forward_0.60", (0, 2)),
    ):
        clip = load_clips(robot, name)[0]
        assert clip.phase is not None
        down = foot_bottoms(model, clip.qpos)[0] < DOWN
        for foot in pair:
            landed = down[:, foot] & ~np.roll(down[:, foot], 1)
            np.testing.assert_allclose(np.minimum(clip.phase[landed], 1 - clip.phase[landed]), 0, atol=1e-9)
        others = [f for f in range(down.shape[1]) if f not in pair]
        landed = down[:, others[0]] & ~np.roll(down[:, others[0]], 1)
        np.testing.assert_allclose(clip.phase[landed], 0.5, atol=1e-9)


def test_the_jaunty_walk_has_another_character_at_the_same_velocity(droid):
    """Higher steps, knees that give, a head that pumps and tips: at every velocity of the plain walk, on its clock."""
    plain = sorted(n.removeprefix("walk_") for n in list_clips("droid") if n.startswith(("walk_", "turn_")))
    assert sorted(n.removeprefix("jaunty_") for n in list_clips("droid") if n.startswith("jaunty_")) == plain
    head = [7 + droid.joint_names.index(name) for name in ("neck_pitch", "head_roll")]
    for name in plain:
        walk, jaunty = (
            load_clips("droid", n)[0] for n in (name if name.startswith("turn") else f"walk_{name}", f"jaunty_{name}")
        )
        np.testing.assert_array_equal(walk.phase, jaunty.phase)
        assert foot_bottoms(droid, jaunty.qpos)[0].max() > 0.05 > foot_bottoms(droid, walk.qpos)[0].max()
        assert rise(droid, jaunty.qpos) < -0.002 < 0.002 < rise(droid, walk.qpos)
        assert (np.ptp(jaunty.qpos[:, head], axis=0) > 2 * np.ptp(walk.qpos[:, head], axis=0)).all()


def rise(droid, qpos) -> float:
    """How much higher the base is over one foot than over two [m]."""
    one = (foot_bottoms(droid, qpos)[0] < DOWN).sum(axis=1) == 1
    return qpos[one, 2].mean() - qpos[~one, 2].mean()


def test_a_step_has_the_length_of_speed_times_period(droid):
    clip = load_clips("droid", "walk_forward_0.40")[0]
    heights, places = foot_bottoms(droid, clip.qpos)
    x = places[heights[:, 0] < DOWN, 0, 0]
    steps = np.unique(np.round(x, 6))
    np.testing.assert_allclose(np.diff(steps), 0.4 * 0.64, atol=1e-6)


def test_swing_is_smooth():
    """Position, velocity and acceleration of a foot are continuous, through lift-off and touch-down."""
    gait = Gait(vx=0.4, wz=0.3, duty=0.6)
    h = 1e-4
    since = np.arange(0.0, 2.0, h)
    place = _foot(gait, since, 0.64, 0.0, np.array([-0.1, 0.13]))[0]
    for order, bound in ((1, 0.002), (2, 0.05)):
        derivative = np.diff(place, n=order, axis=0) / h**order
        assert np.abs(np.diff(derivative, axis=0)).max() < bound * np.abs(derivative).max()
    u = np.linspace(0, 1, 1001)
    assert (np.diff(glide(u)) >= 0).all()
    assert glide(u)[0] == 0
    assert np.isclose(glide(u)[-1], 1)


def test_soles_stay_level_in_pitch_and_point_along_their_step(droid):
    clip = load_clips("droid", "turn_left_0.60")[0]
    data = mujoco.MjData(droid.mj)
    heights, _ = foot_bottoms(droid, clip.qpos)
    for k, q in enumerate(clip.qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(droid.mj, data)
        for foot, site in enumerate(droid.foot_sites):
            if heights[k, foot] < DOWN:
                forward = data.site_xmat[site].reshape(3, 3)[:, 0]
                assert abs(forward[2]) < 5e-3
                assert abs(np.angle(np.exp(1j * (np.arctan2(forward[1], forward[0]) - heading(q[3:7]))))) < 0.2


def test_the_head_looks_into_the_turn_and_stays_level(droid):
    data = mujoco.MjData(droid.mj)
    for name, sign in (("turn_left_0.60", 1), ("turn_right_0.60", -1)):
        looks = []
        for q in load_clips("droid", name)[0].qpos:
            data.qpos[:] = q
            mujoco.mj_kinematics(droid.mj, data)
            head = data.body("head").xmat.reshape(3, 3)
            looks.append(np.arctan2(head[1, 0], head[0, 0]) - heading(q[3:7]))
            assert head[2, 2] > 0.97
        assert sign * np.mean(np.angle(np.exp(1j * np.array(looks)))) > 0.15


def test_a_gait_out_of_reach_is_refused(droid):
    with pytest.raises(UserError, match="frame .* [lr]_foot stays .* mm .*off plan"):
        generate("leap", droid, Gait(vx=1.5))
    with pytest.raises(UserError, match="a trot needs 4 feet; droid has 2"):
        generate("trot", droid, GO2_TROT)


def test_feet_reach_their_places_exactly(droid, go2):
    for model, places in (
        (droid, np.array([[-0.05, 0.13, 0.0], [-0.15, -0.125, 0.03]])),
        (go2, np.array([[0.22, 0.13, 0.0], [0.17, -0.15, 0.05], [-0.2, 0.14, 0.0], [-0.18, -0.12, 0.02]])),
    ):
        base = np.array([0, 0.01, model.home_qpos[2] - 0.01, *quat_from_euler(0.02, 0.05, 0.1)])
        q, error = FootIK(model).solve(base, model.default_pose, places)
        heights, sites = foot_bottoms(model, q[None])
        assert error < 1e-8
        np.testing.assert_array_equal(q[:7], base)
        np.testing.assert_allclose(sites[0, :, :2], places[:, :2], atol=1e-8)
        np.testing.assert_allclose(heights[0], places[:, 2], atol=6e-4)


@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_the_files_are_what_the_generator_makes(robot, request, tmp_path):
    """A number changed in the generator, a keyframe or the robot asks for new files."""
    from robopolicy.motion.generate import write

    for path in write(robot, tmp_path):
        made, shipped = load_clips(robot, [str(path)])[0], load_clips(robot, path.stem)[0]
        np.testing.assert_allclose(made.qpos, shipped.qpos, atol=1e-6, err_msg=path.stem)
        np.testing.assert_allclose(made.qvel, shipped.qvel, atol=1e-4, err_msg=path.stem)
    assert {p.stem for p in tmp_path.glob("*.npz")} == set(list_clips(robot))
