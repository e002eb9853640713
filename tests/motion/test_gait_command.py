"""``robopolicy clip gait``: what is asked for is what MuJoCo's kinematics measure."""

import numpy as np
import pytest
from motion_clips import foot_bottoms

from robopolicy.cli import main
from robopolicy.errors import UserError
from robopolicy.motion.check import check
from robopolicy.motion.clip import Clip
from robopolicy.motion.gait import OFFSETS, Gait, _offsets
from robopolicy.motion.gait_command import sway_over

DOWN = 0.001


def make(tmp_path, robot, *flags):
    path = tmp_path / "made.npz"
    assert main(["clip", "gait", "--robot", robot, "--output", str(path), *flags]) == 0
    return Clip.load(path)


def test_the_numbers_are_what_comes_out(tmp_path, droid):
    flags = ("--speed", "0.2", "--turn", "0.3", "--sideways", "0.05", "--period", "0.8", "--duty", "0.7")
    flags += ("--step-height", "0.03", "--lean", "0.06")
    clip = make(tmp_path, "droid", *flags)
    assert check(clip, droid) == []
    np.testing.assert_allclose(clip.planar_velocity().mean(axis=0), [0.2, 0.05, 0.3], atol=0.01)
    heights = foot_bottoms(droid, clip.qpos)[0]
    assert ((heights < DOWN).mean(axis=0) >= 0.7).all()
    assert ((heights < DOWN).mean(axis=0) < 0.79).all()  # it is slow to rise and to land
    np.testing.assert_allclose(heights.max(axis=0), 0.03, atol=3e-3)
    landings = np.flatnonzero((heights[:, 0] < DOWN) & (np.roll(heights[:, 0], 1) >= DOWN))
    assert set(np.diff(landings)) == {40}  # 0.8 s
    assert np.isclose(np.mean(2 * np.arcsin(clip.qpos[:, 5])), 0.06, atol=0.01)


@pytest.mark.parametrize(
    ("style", "together"),
    [("trot", [(0, 3), (1, 2)]), ("pace", [(0, 2), (1, 3)]), ("bound", [(0, 1), (2, 3)]), ("walk", [])],
)
def test_quadruped_gaits_move_the_legs_they_are_known_for(tmp_path, go2, style, together):
    clip = make(tmp_path, "go2", "--style", style, "--speed", "0.3")
    assert check(clip, go2) == []
    down = foot_bottoms(go2, clip.qpos)[0] < DOWN
    for a, b in together:
        np.testing.assert_array_equal(down[:, a], down[:, b])
    assert down.sum(axis=1).min() >= (3 if style == "walk" else 2)
    for foot in range(4):
        assert 0.3 < down[:, foot].mean() < 0.95


def test_the_jaunty_character_tips_its_head(tmp_path, droid):
    roll = 7 + droid.joint_names.index("head_roll")
    plain, jaunty = (np.ptp(make(tmp_path, "droid", *flags).qpos[:, roll]) for flags in ((), ("--style", "jaunty")))
    assert jaunty > 2 * plain


def test_feet_get_their_phases_by_where_they_are():
    home = np.array([[0.2, 0.1], [0.2, -0.1], [-0.2, 0.1], [-0.2, -0.1]])
    gait = Gait(style="walk", duty=0.8)
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 1, 0, 2]):
        np.testing.assert_array_equal(_offsets(gait, home[order], "dog"), np.array(OFFSETS["walk"][4])[order])


def test_the_usual_sway_holds_the_pressure_point_on_the_foot():
    period, height, beside = 0.64, 0.33, 0.128
    t = np.linspace(0, period, 2001)
    y = sway_over(beside, height, period) * np.cos(2 * np.pi * t / period)
    pressure = y - height / 9.81 * np.gradient(np.gradient(y, t), t)
    assert np.isclose(pressure[5:-5].max(), beside, atol=1e-4)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--robot go2 --style jaunty", "unknown style 'jaunty' in the gaits of go2; known: bound, pace, trot, walk"),
        ("--robot droid --style trot", "unknown style 'trot' in the gaits of droid; known: jaunty, walk"),
        ("--robot droid --duty 0.4", "duty 0.4: in a walk of droid a foot must be on the ground for 0.5 to 1"),
        ("--robot droid --speed 2", r"in frame \d+ .* [lr]_foot stays .* mm .*off plan: at 2 m/s forward"),
        ("--robot droid --speed 50", r"in frame \d+ .* [lr]_foot stays .* mm .*off plan: at 50 m/s forward"),
        ("--robot droid --period nan", "--period nan: not a number"),
        ("--robot droid --period 0", "--period 0: a gait has 0.08 to 10"),
        ("--robot droid --step-height=-1", "--step-height -1: a gait has 0 to 1"),
        ("--robot droid --speed fast", "invalid float value: 'fast'"),
        ("--robot dog", "unknown robot 'dog'"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(tmp_path, capsys, flags, words):
    assert main(["clip", "gait", *flags.split(), "--output", str(tmp_path / "x.npz")]) == 2
    with pytest.raises(UserError, match=words):
        raise UserError(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("action", ["gait", "import absent.txt", "retarget absent.npz --from nobody"])
def test_a_clip_ends_in_npz_is_said_before_any_work(action, tmp_path, capsys):
    """Neither the robot nor the file exists, which is what any work would stumble over."""
    flags = ["--robot", "nobody", "--output", str(tmp_path / "x.mp4")]
    assert main(["clip", *action.split(), *flags]) == 2
    assert "x.mp4: a clip ends in .npz" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
