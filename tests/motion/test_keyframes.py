"""Keyframe files: what is keyed is reached, feet stay, mistakes are named."""

import numpy as np
import pytest
from motion_clips import foot_bottoms

from robopolicy.errors import UserError
from robopolicy.motion.keyframes import compile_keyframes
from robopolicy.motion.keyframes.spline import spline

GOOD = """
robot = "droid"
unit = "deg"
duration = 2.0
loop = true
[[pose]]
time = 0.0
base = { height = -0.01, pitch = 2.0 }
joints = { head_yaw = 0.0 }
[[pose]]
time = 0.8
base = { height = -0.03, pitch = 6.0, y = 0.01 }
[[pose]]
time = 1.0
joints = { head_yaw = 30.0, neck_pitch = 10.0 }
"""


def build(tmp_path, text, model):
    path = tmp_path / "emote.toml"
    path.write_text(text)
    return compile_keyframes(path, model)


def test_poses_are_reached_at_their_times(tmp_path, droid):
    clip = build(tmp_path, GOOD, droid)
    assert (len(clip), clip.fps, clip.loop, clip.name) == (100, 50.0, True, "emote")
    yaw = 7 + droid.joint_names.index("head_yaw")
    np.testing.assert_allclose(clip.qpos[[0, 50], yaw], [0.0, np.radians(30)], atol=1e-12)
    np.testing.assert_allclose(clip.qpos[[0, 40], 2] - droid.home_qpos[2], [-0.01, -0.03], atol=1e-12)
    np.testing.assert_allclose(2 * np.arcsin(clip.qpos[40, 5]), np.radians(6), atol=1e-9)
    np.testing.assert_allclose(clip.qpos[:, 1], 0.01)  # keyed once: constant
    np.testing.assert_allclose(clip.qpos[:, 7 + droid.joint_names.index("neck_pitch")], np.radians(10))


def test_radians_are_radians(tmp_path, droid):
    text = GOOD.replace('"deg"', '"rad"').replace("30.0", "0.5").replace("6.0", "0.1").replace("10.0", "0.2")
    clip = build(tmp_path, text.replace("pitch = 2.0", "pitch = 0.05"), droid)
    assert np.isclose(clip.qpos[50, 7 + droid.joint_names.index("head_yaw")], 0.5)


def test_feet_stay_planted(tmp_path, droid):
    clip = build(tmp_path, GOOD, droid)
    home = foot_bottoms(droid, np.concatenate([droid.home_qpos[:7], droid.default_pose])[None])[1][0]
    heights, places = foot_bottoms(droid, clip.qpos)
    np.testing.assert_allclose(places[:, :, :2], np.broadcast_to(home[:, :2], places[:, :, :2].shape), atol=1e-6)
    assert np.abs(heights).max() < 1e-3


def test_the_loop_closes_in_value_and_velocity(tmp_path, droid):
    clip = build(tmp_path, GOOD, droid)
    np.testing.assert_allclose(clip.cycle(), 0, atol=1e-5)
    steps = np.abs(np.diff(clip.qpos, axis=0)).max(axis=0)
    assert (np.abs(clip.qpos[0] - clip.qpos[-1]) <= steps + 1e-9).all()
    change = np.abs(np.diff(clip.qvel, axis=0)).max(axis=0)
    assert (np.abs(clip.qvel[0] - clip.qvel[-1]) <= change + 1e-9).all()


def test_an_open_clip_starts_and_ends_at_rest(tmp_path, droid):
    clip = build(tmp_path, GOOD.replace("loop = true", ""), droid)
    assert len(clip) == 101
    assert not clip.loop
    assert np.abs(clip.qvel[[0, -1]]).max() < 0.1


def test_free_feet_leave_the_legs_to_the_author(tmp_path, droid):
    text = GOOD.replace("loop = true", 'loop = true\nfeet = "free"').replace("head_yaw = 30", "l_knee = 20")
    clip = build(tmp_path, text, droid)
    knee = clip.qpos[:, 7 + droid.joint_names.index("l_knee")]
    np.testing.assert_allclose(knee, np.radians(20))
    np.testing.assert_allclose(clip.qpos[:, 7 + droid.joint_names.index("r_knee")], 0)


def test_a_joint_may_be_keyed_up_to_its_limit(tmp_path, droid):
    """The feet do not hang on the head: that it has no room left is nothing to them."""
    yaw = droid.joint_names.index("head_yaw")
    for angle in (droid.upper[yaw] - 0.01, droid.upper[yaw]):
        clip = build(tmp_path, GOOD.replace("head_yaw = 30.0", f"head_yaw = {np.degrees(angle)}"), droid)
        assert clip.qpos[:, 7 + yaw].max() == pytest.approx(angle, abs=1e-9)


def test_a_leg_at_its_limit_leaves_the_head_its_target(tmp_path, droid):
    knee = droid.joint_names.index("l_knee")
    text = GOOD.replace("loop = true", 'loop = true\nfeet = "free"') + "targets.head = { yaw = 10.0 }\n"
    text = text.replace("head_yaw = 30.0", f"l_knee = {np.degrees(droid.upper[knee])}")
    clip = build(tmp_path, text, droid)
    np.testing.assert_allclose(clip.qpos[:, 7 + knee], droid.upper[knee], atol=1e-9)
    turned = clip.qpos[50, 7 + droid.joint_names.index("head_yaw")]  # its axis points down
    assert turned == pytest.approx(-np.radians(10), abs=1e-3)


def test_splines_pass_through_keys_with_continuous_velocity():
    keys = [
        (0.0, 0.0, "smooth"),
        (0.5, 1.0, "smooth"),
        (0.9, 1.0, "flow"),
        (1.3, 3.0, "stop"),
        (1.8, 2.0, "smooth"),
    ]
    h = 1e-5
    for cycle in (None, 2.5):
        for t, v, _ in keys:
            np.testing.assert_allclose(spline(keys, np.array([t]), cycle), v, atol=1e-12)
            if cycle is not None or 0 < t < 1.8:
                before, at, after = (spline(keys, np.array([t + d]), cycle)[0] for d in (-h, 0, h))
                assert abs((after - at) - (at - before)) / h < 0.01
    fine = spline(keys[:2] + keys[2:3] + [(1.3, 3.0, "smooth")], np.linspace(0, 1.3, 500))
    assert fine.max() <= 3.0 + 1e-9
    smooth = [(t, v, "smooth") for t, v, _ in keys]
    values = spline(smooth, np.linspace(0, 1.8, 500))
    assert values.min() >= -1e-12
    assert values.max() <= 3 + 1e-12  # smooth never overshoots
    stop = spline(keys, np.array([1.3 - h, 1.3 + h]))
    np.testing.assert_allclose(stop, 3.0, atol=1e-6)
    assert np.all(spline([(0.3, 7.0, "smooth")], np.linspace(0, 1, 5)) == 7.0)


def test_waves_ride_on_top(tmp_path, droid):
    text = GOOD + '[[wave]]\nof = "head_roll"\namplitude = 2.0\nperiod = 1.0\nshift = 0.25\n'
    roll = build(tmp_path, text, droid).qpos[:, 7 + droid.joint_names.index("head_roll")]
    times = np.arange(100) / 50
    np.testing.assert_allclose(roll, np.radians(2) * np.sin(2 * np.pi * (times - 0.25)), atol=1e-12)


def test_a_wave_moves_a_target_that_no_pose_keys(tmp_path, droid):
    wave = '[[wave]]\nof = "targets.head.yaw"\namplitude = 5.0\nperiod = 1.0\n'
    yaw = 7 + droid.joint_names.index("head_yaw")
    expected = -np.radians(5) * np.sin(2 * np.pi * np.arange(100) / 50)  # the joint's axis points down
    still = GOOD.replace("pitch = 2.0", "pitch = 0.0").replace("pitch = 6.0", "pitch = 0.0")
    still = still.replace("head_yaw = 30.0, neck_pitch = 10.0", "head_yaw = 0.0")
    np.testing.assert_allclose(build(tmp_path, still + wave, droid).qpos[:, yaw], expected, atol=1e-3)
    keyed = still + "targets.neck.pitch = 0.0\n" + wave  # a target, but not this one
    np.testing.assert_allclose(build(tmp_path, keyed, droid).qpos[:, yaw], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("head_yaw = 30", "head_yew = 30", "unknown joint 'head_yew'.*pose 3.*head_yaw"),
        ("head_yaw = 30", "l_knee = 30", "unknown joint 'l_knee'.*planted: legs follow"),
        ("y = 0.01", "up = 0.01", "unknown key 'up'.*pose 2, base.*height"),
        ("time = 1.0", "time = 0.5", "pose 3 is at 0.5 s; times must rise"),
        ("time = 1.0", "time = 2.0", "in a loop is the first pose again"),
        ("time = 1.0", "tme = 1.0", "unknown key 'tme'.*time"),
        ("time = 0.0", "time = -0.5", "pose 1 is at -0.5 s; times must rise from 0"),
        ("time = 1.0", "time = true", "pose 3: time is True, not a number"),
        ("time = 1.0", 'time = 1.0\nease = "bouncy"', "unknown ease 'bouncy'.*flow, smooth, stop"),
        ('"deg"', '"turns"', "unknown unit 'turns'.*deg, rad"),
        ("duration = 2.0", "", "'duration' is missing"),
        ("duration = 2.0", "duration = 1.999", "not a whole number of frames"),
        ('"droid"', '"go2"', "is for robot 'go2', not 'droid'"),
        ("head_yaw = 30", "head_yaw = 60", r"frame 50 .1.00 s. head_yaw is sent to 1.0472 rad .*-49.96 to 49.96 deg"),
        ("height = -0.03", "height = 0.3", "frame .* [lr]_foot stays .* mm .*from its place"),
        ("[[pose]]", "[[pose", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, droid, old, new, words):
    with pytest.raises(UserError, match=f"emote.toml.*{words}|{words}.*"):
        build(tmp_path, GOOD.replace(old, new), droid)


def test_a_wave_must_fit_the_loop(tmp_path, droid):
    with pytest.raises(UserError, match="wave of height: 0.7 s does not fit .* 0.6667 s would"):
        build(tmp_path, GOOD + '[[wave]]\nof = "height"\namplitude = 0.01\nperiod = 0.7\n', droid)
    with pytest.raises(UserError, match="unknown quantity 'tail'"):
        build(tmp_path, GOOD + '[[wave]]\nof = "tail"\namplitude = 0.01\nperiod = 0.7\n', droid)
