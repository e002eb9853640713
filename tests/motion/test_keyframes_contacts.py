"""Keyframe files that step, hop, aim and mirror: judged by MuJoCo's kinematics."""

import re
from pathlib import Path

import mink
import mujoco
import numpy as np
import pytest
from motion_clips import foot_bottoms

from robopolicy.errors import UserError
from robopolicy.motion.ik import SOLVER
from robopolicy.motion.keyframes import compile_keyframes
from robopolicy.motion.mirror import Mirror

HEAD = 'robot = "droid"\nunit = "deg"\nduration = 2.0\nloop = true\n'
REST = "[[pose]]\ntime = 0.0\nbase = { x = -0.02, y = 0.0, height = -0.01 }\n"
STEP = """
[[pose]]
time = 0.4
base = { x = -0.02, y = 0.03 }
[[pose]]
time = 1.1
base = { y = 0.03 }
[[lift]]
feet = "r_foot"
from = 0.5
to = 1.0
height = 0.05
"""
HOP = """
[[pose]]
time = 0.3
base = { height = -0.03 }
[[pose]]
time = 0.5
base = { height = 0.012 }
[[pose]]
time = 0.66
base = { height = 0.008 }
[[pose]]
time = 0.8
base = { height = -0.025 }
[[flight]]
from = 0.5
to = 0.66
"""
TWICE = "time = 0.6\nbase.height = 0\n[[pose]]\ntime = 0.66\n"


def build(tmp_path, text, model):
    path = tmp_path / "emote.toml"
    path.write_text(text)
    return compile_keyframes(path, model)


def home_places(model):
    return foot_bottoms(model, np.concatenate([model.home_qpos[:7], model.default_pose])[None])[1][0]


def centre_of_mass(model, clip):
    data, out = mujoco.MjData(model.mj), []
    for q in clip.qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(model.mj, data)
        mujoco.mj_comPos(model.mj, data)
        out.append(data.subtree_com[model.base_body].copy())
    return np.array(out)


def frames_of(model, clip, body):
    data, out = mujoco.MjData(model.mj), []
    for q in clip.qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(model.mj, data)
        out.append((data.body(body).xpos.copy(), data.body(body).xmat.reshape(3, 3).copy()))
    return out


def test_a_lifted_foot_leaves_and_comes_back_while_the_other_stays(tmp_path, droid):
    clip = build(tmp_path, HEAD + REST + STEP, droid)
    heights, places = foot_bottoms(droid, clip.qpos)
    home = home_places(droid)
    np.testing.assert_allclose(places[:, 0, :2], np.tile(home[0, :2], (100, 1)), atol=1e-6)
    up = np.arange(100) / 50
    up = (up > 0.5) & (up < 1.0)
    np.testing.assert_allclose(places[~up, 1, :2], np.tile(home[1, :2], ((~up).sum(), 1)), atol=1e-6)
    assert np.abs(heights[:, 0]).max() < 1e-3
    assert np.abs(heights[~up, 1]).max() < 1e-3
    assert np.isclose(heights[:, 1].max(), 0.05, atol=2e-3)
    assert (heights[up, 1] > 0).all()


def test_a_foot_lands_in_its_place_and_a_loop_must_bring_it_back(tmp_path, droid):
    forth = STEP + "place = { x = 0.03, yaw = -8.0 }\n"
    open_ended = HEAD.replace("true", "false")
    clip = build(tmp_path, open_ended + REST + forth, droid)
    landed = foot_bottoms(droid, clip.qpos)[1][-1, 1] - home_places(droid)[1]
    np.testing.assert_allclose(landed[:2], [0.03, 0.0], atol=1e-6)
    turn = frames_of(droid, clip, "r_foot")[-1][1]
    assert np.isclose(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])), -8.0, atol=0.01)
    start = REST + "feet.r_foot = { x = -0.02 }\n"
    with pytest.raises(UserError, match="r_foot ends 50 mm or mrad from where it began"):
        build(tmp_path, HEAD + start + forth, droid)
    looped = build(tmp_path, HEAD + REST + forth, droid)  # with no start given, it begins where it lands
    np.testing.assert_allclose(
        foot_bottoms(droid, looped.qpos)[1][0, 1, :2] - home_places(droid)[1, :2], [0.03, 0], atol=1e-6
    )


def test_a_lifted_foot_passes_through_its_keys(tmp_path, droid):
    keyed = "[[pose]]\ntime = 0.7\nfeet.r_foot = { height = 0.045, x = 0.02, y = -0.01, pitch = 5.0 }\n"
    text = STEP.replace("[[pose]]\ntime = 1.1", keyed + "[[pose]]\ntime = 1.1")
    clip = build(tmp_path, HEAD + REST + text, droid)
    heights, places = foot_bottoms(droid, clip.qpos)
    np.testing.assert_allclose(places[35, 1, :2] - home_places(droid)[1, :2], [0.02, -0.01], atol=1e-6)
    assert np.isclose(heights[35, 1], 0.045, atol=2.5e-3)
    forward = frames_of(droid, clip, "r_foot")[35][1][:, 0]
    assert np.isclose(np.degrees(np.arcsin(-forward[2])), 5.0, atol=0.01)
    np.testing.assert_allclose(places[51:, 1, :2] - home_places(droid)[1, :2], 0, atol=1e-6)


def test_in_flight_the_centre_of_mass_falls(tmp_path, droid):
    clip = build(tmp_path, HEAD + REST + HOP, droid)
    height = centre_of_mass(droid, clip)[:, 2]
    first, last = 25, 33
    fall = np.diff(height[first : last + 1], 2) * 50**2
    np.testing.assert_allclose(fall, -9.81, atol=0.01)
    np.testing.assert_allclose(clip.qpos[[first, last], 2] - droid.home_qpos[2], [0.012, 0.008], atol=1e-9)
    assert (foot_bottoms(droid, clip.qpos)[0][first + 2 : last - 1] > 0.01).all()
    # it leaves the ground with the speed that the parabola needs, and lands with it
    speed = np.diff(height) * 50
    for before, after in ((first - 1, first), (last, last - 1)):
        assert abs(speed[before] - speed[after]) < 2 * 9.81 / 50
    assert speed[first] > 0.5


def test_a_flight_without_gravity_is_warned_of(tmp_path, droid):
    lift = '[[lift]]\nfeet = "all"\nfrom = 0.5\nto = 0.7\nheight = 0.02\n'
    with pytest.warns(UserWarning, match=r"from 0.52 to 0.70 s no foot is down, but the body falls with -?\d"):
        build(tmp_path, HEAD + REST + lift, droid)


def test_the_head_keeps_its_gaze_in_the_world_while_the_body_leans(tmp_path, droid):
    lean = "[[pose]]\ntime = 1.0\nbase = { height = -0.03, pitch = 8.0, yaw = 5.0, roll = 3.0 }\n"
    gaze = "targets.head = { yaw = 20.0, pitch = -5.0 }\n"
    clip = build(tmp_path, HEAD + 'world = ["head"]\n' + REST + gaze + lean, droid)
    for _, matrix in frames_of(droid, clip, "head"):
        assert np.isclose(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])), 20.0, atol=0.05)
        assert np.isclose(np.degrees(np.arcsin(-matrix[2, 0])), -5.0, atol=0.05)
        assert abs(matrix[2, 1]) < 1e-3  # level
    with_base = build(tmp_path, HEAD + REST + gaze + lean, droid)
    matrix = frames_of(droid, with_base, "head")[50][1]
    assert abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])) - 20.0) > 3


def test_a_target_moves_by_what_is_keyed_and_joints_choose_the_rest(tmp_path, droid):
    up = REST + "targets.head = { x = 0.03, pitch = 0.0 }\njoints = { neck_pitch = 20.0 }\n"
    clip = build(tmp_path, HEAD + up, droid)
    home, _ = frames_of(droid, build(tmp_path, HEAD + REST, droid), "head")[0]
    place, matrix = frames_of(droid, clip, "head")[0]
    assert np.isclose((place - home)[0], 0.03, atol=1e-4)
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-3)
    free = build(tmp_path, HEAD + REST + "targets.head = { pitch = 0.0 }\njoints = { neck_pitch = 20.0 }\n", droid)
    neck = free.qpos[:, 7 + droid.joint_names.index("neck_pitch")]
    np.testing.assert_allclose(neck, np.radians(20), atol=1e-2)  # the pose of the neck is the author's


def test_a_solver_that_gives_up_leaves_the_target_out_of_reach(tmp_path, droid, monkeypatch):
    def give_up(*_, **__):
        raise mink.NoSolutionFound(SOLVER)

    monkeypatch.setattr(mink, "solve_ik", give_up)
    with pytest.raises(UserError, match="head stays 30.0 mm or mrad from its target"):
        build(tmp_path, HEAD + REST + "targets.head = { x = 0.03 }\n", droid)


def test_a_clip_mirrored_at_half_time_is_its_own_mirror_image(tmp_path, droid):
    text = (
        HEAD
        + "mirror = true\nlag = { head_yaw = 0.08 }\n"
        + REST
        + 'joints = { head_yaw = 10.0 }\n[[pose]]\ntime = 0.3\nname = "left"\n'
        + "base = { y = 0.03, roll = -2.0, yaw = 3.0 }\njoints = { head_roll = 10.0, neck_pitch = 5.0 }\n"
        + '[[lift]]\nfeet = "r_foot"\nfrom = 0.3\nto = 0.6\nplace = { y = 0.01 }\n'
        + '[[wave]]\nof = "height"\namplitude = 0.002\nperiod = 0.5\n'
        + '[[wave]]\nof = "y"\namplitude = 0.002\nperiod = 2.0\n'
    )
    clip = build(tmp_path, text.replace("place = { y = 0.01 }\n", ""), droid)
    mirror = Mirror(droid)
    np.testing.assert_allclose(clip.qpos[50:], mirror.qpos(clip.qpos[:50]), atol=1e-7)
    assert np.ptp(clip.qpos[:, 7 + droid.joint_names.index("head_yaw")]) > 0.3
    assert (foot_bottoms(droid, clip.qpos)[0].max(axis=0) > 0.03).all()
    with pytest.raises(UserError, match="wave of y: .* an odd number of periods must fit into 2 s"):
        build(tmp_path, text.replace("period = 2.0", "period = 1.0"), droid)


def test_a_pose_and_a_span_in_the_mirror(tmp_path, droid):
    one = (
        HEAD
        + REST
        + 'joints = { head_yaw = 0.0 }\n[[pose]]\ntime = 0.4\nname = "peek"\nbase = { y = 0.02, roll = -2.0 }\n'
        + "joints = { head_yaw = -30.0, neck_pitch = 8.0 }\n"
    )
    clip = build(tmp_path, one + '[[pose]]\ntime = 1.2\nmirror = "peek"\nbase = { pitch = 2.0 }\n', droid)
    expected = Mirror(droid).qpos(clip.qpos[20])
    head = [7 + j for j, n in enumerate(droid.joint_names) if n.startswith(("head", "neck"))]
    np.testing.assert_allclose(clip.qpos[60, [0, 1, 2, *head]], expected[[0, 1, 2, *head]], atol=1e-9)
    assert clip.qpos[60, 5] > clip.qpos[20, 5] - 1e-12  # what it keys itself comes on top
    step = one + '[[lift]]\nfeet = "l_foot"\nfrom = 0.5\nto = 0.8\nheight = 0.02\n'
    step = step.replace("y = 0.02, roll = -2.0", "y = -0.03")
    span = build(tmp_path, step + "[[copy]]\nfrom = 0.4\nto = 0.9\nat = 1.2\nmirror = true\n", droid)
    heights = foot_bottoms(droid, span.qpos)[0]
    np.testing.assert_allclose(heights[60:86, 1], heights[20:46, 0], atol=1e-3)
    again = build(tmp_path, one + '[[pose]]\ntime = 1.2\nlike = "peek"\n', droid)
    np.testing.assert_allclose(again.qpos[60, head], again.qpos[20, head], atol=1e-12)


def test_a_lag_delays_a_track(tmp_path, droid):
    nod = HEAD + "LAG" + REST + "joints.head_pitch = 0.0\n[[pose]]\ntime = 1.0\njoints.head_pitch = 20.0\n"
    pitch = 7 + droid.joint_names.index("head_pitch")
    now, late = (build(tmp_path, nod.replace("LAG", lag), droid).qpos for lag in ("", "lag = { head_pitch = 0.1 }\n"))
    np.testing.assert_allclose(late[:, pitch], np.roll(now[:, pitch], 5), atol=1e-12)
    np.testing.assert_allclose(late[:, :pitch], now[:, :pitch], atol=1e-9)


def test_a_lag_of_a_target_is_written_as_in_a_pose(tmp_path, droid):
    gaze = REST + "targets.head.yaw = 0.0\n[[pose]]\ntime = 1.0\ntargets.head.yaw = 20.0\n"
    dotted, quoted = (
        build(tmp_path, f"{HEAD}[lag]\n{name} = 0.1\n" + gaze, droid).qpos
        for name in ("targets.head.yaw", '"targets.head.yaw"')
    )
    np.testing.assert_array_equal(dotted, quoted)
    yaw = 7 + droid.joint_names.index("head_yaw")
    np.testing.assert_allclose(dotted[:, yaw], np.roll(build(tmp_path, HEAD + gaze, droid).qpos[:, yaw], 5), atol=1e-3)


def test_where_a_foot_stands_may_be_said_again(tmp_path, droid):
    """As a mirror image and a likeness of the first pose say it."""
    wide = REST + 'name = "wide"\nfeet = { l_foot = { y = 0.01 }, r_foot = { y = -0.01 } }\n'
    apart = home_places(droid)[:, :2] + [[0.0, 0.01], [0.0, -0.01]]
    mirrored = HEAD + "mirror = true\n" + wide + "[[pose]]\ntime = 0.5\nbase.y = 0.02\n"
    alike = HEAD + wide + '[[pose]]\ntime = 1.0\nlike = "wide"\nbase.height = -0.02\n'
    for text in (mirrored, alike):
        places = foot_bottoms(droid, build(tmp_path, text, droid).qpos)[1]
        np.testing.assert_allclose(places[:, :, :2], np.tile(apart, (100, 1, 1)), atol=1e-6)
    stepped = alike + '[[lift]]\nfeet = "r_foot"\nfrom = 0.3\nto = 0.6\nplace = { y = -0.02 }\n'
    with pytest.raises(UserError, match="pose 2 moves r_foot at 1 s, but it is on the ground"):
        build(tmp_path, stepped.replace("loop = true", "loop = false"), droid)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[pose]]\ntime = 0.2\nfeet.l_foot = { x = 0.1 }\n", "pose 2 moves l_foot at 0.2 s, but it is on the ground"),
        ("[[pose]]\ntime = 0.2\nfeet.tail = { x = 0.1 }\n", "unknown feet? 'tail'.*l_foot, r_foot|unknown foot 'tail'"),
        ("[[pose]]\ntime = 0.2\ntargets.hat = { yaw = 1 }\n", "unknown target 'hat'.*head"),
        ("[[pose]]\ntime = 0.2\ntargets.l_shin = { x = 1 }\n", "target 'l_shin' is part of a leg: key the foot"),
        ("[[pose]]\ntime = 0.2\ntargets.imu = { x = 1 }\n", "target 'imu' moves with the base"),
        ("[[pose]]\ntime = 0.2\ntargets.head = { x = 1 }\n", r"frame \d+ \(.* s\) head stays .* from its target"),
        ('[[pose]]\ntime = 0.2\nlike = "bow"\n', "unknown pose name 'bow' in .*pose 2 .named above it.; known: none"),
        ('[[pose]]\ntime = 0.2\nlike = ["bow"]\n', "pose 2: like is .'bow'., no name of a pose"),
        ("[[pose]]\ntime = 0.2\nmirror = true\n", "pose 2: mirror is True, no name of a pose: mirror = "),
        ('[[lift]]\nfeet = "l_foot"\nfrom = 0.5\nto = 0.4\n', "lift 1 goes from 0.5 to 0.4 s"),
        ('[[lift]]\nfeet = "toe"\nfrom = 0.5\nto = 0.6\n', "unknown foot 'toe' in .*lift 1; known: l_foot, r_foot"),
        ('[[lift]]\nfeet = "all"\nfrom = 0.1\nto = 0.5\n' * 2, "lift 2 lifts l_foot at 0.1 s, but lift 1 holds it up"),
        ('[[lift]]\nfeet = "l_foot"\nfrom = 0.5\nto = 0.7\nheight = 0.4\n', "l_foot stays .* mm .at its limit: l_knee"),
        ("[[flight]]\nfrom = 0.5\nto = 0.7\n", "key the base's height at take-off .0.5 s."),
        ("[[flight]]\nfrom = 0.51\nto = 0.7\n", "take-off at 0.51 s lies between two frames; the nearest is at 0.5"),
        (
            HOP + "[[pose]]\ntime = 0.9\nbase.height = 0\n[[lift]]\nfeet = 'l_foot'\nfrom = 0.55\nto = 0.7\n",
            "l_foot is on the",
        ),
        (HOP.replace("time = 0.66\n", TWICE), "height is keyed at 0.6 s, in the flight from 0.5 to 0.66 s"),
        ("[[copy]]\nfrom = 0\nto = 1\nat = 0.5\n", "copy 1 says 0 to 1 s again from 0.5 to 1.5 s: they must not"),
        ("[[wave]]\nof = 'targets.head.hat'\namplitude = 1\nperiod = 1\n", "unknown quantity 'targets.head.hat'"),
        ("[lag]\nhead_yaw = 0.1\n", "lag: no pose keys head_yaw, .*; keyed: x, y, height"),
        ("[lag]\ntargets.head.hat = 0.1\n", "unknown quantity 'targets.head.hat' in .*lag"),
        ("[lag]\ntail = 0.1\n", "unknown quantity 'tail' in .*lag"),
        ("[lift]\nfeet = 'l_foot'\n", "lift must be a list: .*double brackets"),
    ],
)
def test_mistakes_are_named(tmp_path, droid, text, words):
    with pytest.raises(UserError, match=f"emote.toml.*({words})|({words})"):
        build(tmp_path, HEAD + REST + text, droid)


def test_quadrupeds_step_too(tmp_path, go2):
    text = (
        'robot = "go2"\nunit = "deg"\nduration = 2.0\nloop = true\nmirror = true\n[[pose]]\ntime = 0.0\n'
        "base.height = -0.02\n[[pose]]\ntime = 0.3\nbase = { y = -0.03, x = -0.03 }\n"
        '[[lift]]\nfeet = "FL_foot"\nfrom = 0.2\nto = 0.6\nheight = 0.08\n'
    )
    clip = build(tmp_path, text, go2)
    np.testing.assert_allclose(clip.qpos[50:], Mirror(go2).qpos(clip.qpos[:50]), atol=1e-7)
    heights = foot_bottoms(go2, clip.qpos)[0]
    assert (heights.max(axis=0)[:2] > 0.075).all()
    assert np.abs(heights[:, 2:]).max() < 1e-3


def test_the_example_of_the_manual_compiles(tmp_path, droid):
    manual = Path(__file__).parents[2] / "docs/keyframes.md"
    example = re.search(r"```toml\n(.*?)```", manual.read_text(), re.DOTALL)
    assert example is not None
    assert len(build(tmp_path, example.group(1), droid)) == 120
