"""Motion carried over: what arrives is what was sent, by sources and measures written apart from the code."""

import dataclasses
from pathlib import Path

import layout_files as files
import mujoco
import numpy as np
import pytest
from motion_clips import foot_bottoms
from walker import walk, write_bvh

from robopolicy.cli import main
from robopolicy.errors import UserError
from robopolicy.motion import formats
from robopolicy.motion.clip import Clip, load_clips
from robopolicy.motion.footlock import lock_feet
from robopolicy.motion.pose import heading, quat_rotate
from robopolicy.motion.retarget.landmarks import from_axes, mean_rotation
from robopolicy.motion.retarget.roles import Mapping, find_bodies, find_joints
from robopolicy.motion.retarget.solve import retarget, retarget_clip
from robopolicy.robot import RobotModel, load_robot

pytestmark = pytest.mark.filterwarnings("ignore::robopolicy.motion.importing.recording.ImportNote")


@pytest.fixture(scope="module")
def g1() -> RobotModel:
    return load_robot("g1").compile()


def measure(model: RobotModel, clip: Clip) -> None:
    """What every retargeted clip must keep."""
    heights, places = foot_bottoms(model, clip.qpos)
    down = (heights[:-1] < 0.005) & (heights[1:] < 0.005)
    speed = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * clip.fps
    assert down.mean() > 0.2
    assert speed[down].mean() < 0.02
    assert heights.min() > -0.01
    q = clip.qpos[:, 7:]
    assert (q >= model.lower - 1e-6).all()
    assert (q <= model.upper + 1e-6).all()
    step = np.abs(np.diff(q, axis=0)) * clip.fps
    assert (step <= 1.05 * np.minimum(model.velocity_limit, 1e3)).all()  # no jumps
    assert np.isfinite(clip.qvel).all()


# ---- a human


@pytest.fixture(scope="module")
def bvh(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bvh") / "walk.bvh"
    write_bvh(path, walk(seconds=3.0, fps=30.0))
    return path


def body_places(model: RobotModel, clip: Clip, body: str) -> tuple[np.ndarray, np.ndarray]:
    data, places, turns = mujoco.MjData(model.mj), [], []
    for q in clip.qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(model.mj, data)
        places.append(data.body(body).xpos.copy())
        turns.append(data.body(body).xmat.reshape(3, 3).copy())
    return np.array(places), np.array(turns)


@pytest.mark.parametrize("name", ["g1", "droid"])
def test_a_human_walk_walks_on_a_robot(bvh, name):
    model = load_robot(name).compile()
    clip = lock_feet(formats.read(bvh, model), model)
    measure(model, clip)
    assert clip.fps == pytest.approx(30)
    made = walk(seconds=3.0, fps=30.0)
    # The course: forward is -y in our axes, and its length is scaled by the leg.
    travelled = clip.qpos[-1, :2] - clip.qpos[0, :2]
    data = mujoco.MjData(model.mj)
    data.qpos[:] = model.home_qpos
    mujoco.mj_kinematics(model.mj, data)
    hips = "left_hip_pitch_link" if name == "g1" else "l_hip_yaw"
    scale = data.body(hips).xpos[2] / 0.91  # hips over the ground, against thigh, shin and ankle of the person
    expected = scale * 0.01 * (made.root[-1, 2] - made.root[0, 2])
    assert -travelled[1] == pytest.approx(expected, rel=0.05)
    assert abs(travelled[0]) < 0.02
    np.testing.assert_allclose(heading(clip.qpos[:, 3:7]), -np.pi / 2, atol=0.05)
    # Each foot stands when the person's does.
    heights, _ = foot_bottoms(model, clip.qpos)
    agree = ((heights < 0.006) == made.stance).mean()
    assert agree > 0.85


def test_the_droid_looks_where_the_person_looks(bvh, droid):
    clip = formats.read(bvh, droid)
    made = walk(seconds=3.0, fps=30.0)
    forward = body_places(droid, clip, "head")[1][:, :, 0]
    yaw = np.degrees(np.arctan2(forward[:, 1], forward[:, 0])) + 90
    asked = made.angles["Head"][:, 2]
    np.testing.assert_allclose(yaw[5:], (asked - asked.mean())[5:], atol=4)


def test_the_person_may_walk_anywhere(tmp_path, droid):
    """Another course, in metres with z up, at another place: the same walk, turned."""
    write_bvh(tmp_path / "a.bvh", walk(1.5, 30.0))
    write_bvh(tmp_path / "b.bvh", walk(1.5, 30.0, turn=70.0), scale=0.01, z_up=True, order="XYZ")
    a, b = (formats.read(tmp_path / f"{n}.bvh", droid) for n in "ab")
    turned = heading(b.qpos[:, 3:7]) - heading(a.qpos[:, 3:7])
    np.testing.assert_allclose(np.degrees(turned), 70, atol=1)
    np.testing.assert_allclose(a.qpos[:, 7:], b.qpos[:, 7:], atol=0.02)
    np.testing.assert_allclose(a.qpos[:, 2], b.qpos[:, 2], atol=0.002)


def changed(model: RobotModel, *home: float, **ranges: tuple[float, float]) -> RobotModel:
    """The robot with other ranges of joints, and a joint ``latch`` on its base that no motor moves, if ``home`` says
    where it is."""
    spec = model.spec.copy()
    if home:
        body = spec.bodies[1].add_body(name="flap")
        body.add_geom(size=[0.01, 0, 0], contype=0, conaffinity=0)
        body.add_joint(name="latch", type=mujoco.mjtJoint.mjJNT_HINGE, limited=True)
    for name, limits in ranges.items():
        spec.joint(name).range = limits
    for key in list(spec.keys):
        spec.delete(key)
    return dataclasses.replace(model, spec=spec, mj=spec.compile(), home_qpos=np.r_[model.home_qpos, home])


def test_a_joint_that_no_motor_moves_may_be_at_its_limit(bvh, droid):
    latched = changed(droid, 0.0, latch=(0.0, 1.0))
    np.testing.assert_allclose(formats.read(bvh, latched).qpos, formats.read(bvh, droid).qpos, atol=1e-6)


def test_a_frame_without_a_solution_is_named(bvh, droid):
    middle = droid.home_qpos[droid.qpos_adr[0]]
    stuck = changed(droid, **{droid.joint_names[0]: (middle - 0.001, middle + 0.001)})
    with pytest.raises(UserError, match="'walk', frame 0: robot 'droid' has no way there within the ranges"):
        formats.read(bvh, stuck)


def test_the_arms_hang_on_g1(bvh, g1):
    clip = formats.read(bvh, g1)
    shoulder, hand = (body_places(g1, clip, f"left_{part}_link")[0] for part in ("shoulder_yaw", "wrist_yaw"))
    down = (hand - shoulder) / np.linalg.norm(hand - shoulder, axis=1, keepdims=True)
    assert (down[5:, 2] < -0.8).all()


def test_import_from_the_command_line(bvh, tmp_path, capsys):
    assert main(["clip", "import", str(bvh), "--robot", "droid", "--output", str(tmp_path / "w.npz")]) == 0
    out = capsys.readouterr().out
    assert "read in cm" in out
    assert "layout bvh" in out
    assert "scaled by 0.3" in out
    assert "stances" in out
    assert "warning" not in out
    assert main(["clip", "check", str(tmp_path / "w.npz"), "--robot", "droid"]) == 0


@pytest.mark.parametrize(("flags", "times"), [((), 1), (("--lock-feet",), 1), (("--no-lock-feet",), 0)])
def test_feet_are_locked_once_or_not_at_all(bvh, tmp_path, capsys, droid, flags, times):
    argv = ["clip", "import", str(bvh), "--robot", "droid", "--output", str(tmp_path / "w.npz")]
    assert main([*argv, *flags]) == 0
    assert capsys.readouterr().out.count("feet locked") == times
    raw, clip = formats.read(bvh, droid), Clip.load(tmp_path / "w.npz")
    if times:
        np.testing.assert_allclose(clip.qpos, lock_feet(raw, droid).qpos, atol=1e-9)
    else:  # one shift in height, and nothing else
        np.testing.assert_allclose(np.delete(clip.qpos, 2, axis=1), np.delete(raw.qpos, 2, axis=1), atol=1e-9)
        assert np.ptp(clip.qpos[:, 2] - raw.qpos[:, 2]) < 1e-9


def test_options_of_other_layouts_are_refused(bvh, droid):
    with pytest.raises(UserError, match="leave out --quat, --units deg: layout bvh has no use for that"):
        formats.read(bvh, droid, formats.Options(units="deg", quat="wxyz"))
    assert formats.read(bvh, droid, formats.Options(fps=60.0)).fps == 60


# ---- names


def test_joints_are_found_by_the_usual_names():
    needed = ("Hips", "Spine", "Neck", "Head")
    mixamo = needed + tuple(f"{s}{p}" for s in ("Left", "Right") for p in ("UpLeg", "Leg", "Foot", "ToeBase", "Arm"))
    found = find_joints(mixamo, {}, "x")
    assert mixamo[found["l_ankle"]] == "LeftFoot"
    assert mixamo[found["r_toe"]] == "RightToeBase"
    assert mixamo[found["l_shoulder"]] == "LeftArm"
    smpl = ("Pelvis", "Spine1", "Neck", *(f"{s}_{p}" for s in "LR" for p in ("Hip", "Knee", "Ankle", "Foot")))
    found = find_joints(smpl, {}, "x")
    assert smpl[found["l_ankle"]] == "L_Ankle"
    assert smpl[found["l_toe"]] == "L_Foot"
    with pytest.raises(UserError, match="no joint found for neck, .*l_ankle"):
        find_joints(("Hips", "Spine", "LeftUpLeg", "LeftLeg"), {}, "x")
    with pytest.raises(UserError, match="unknown joint 'Nose'"):
        find_joints(mixamo, {"head": "Nose"}, "x")


def test_odd_names_are_told_in_a_toml(tmp_path, bvh, droid):
    text = bvh.read_text().replace("LeftFoot", "Paw").replace("LeftToeBase", "Claw")
    odd = tmp_path / "odd.bvh"
    odd.write_text(text)
    with pytest.raises(UserError, match="no joint found for l_ankle, l_toe; its joints: Hips, .*Paw"):
        formats.read(odd, droid)
    toml = tmp_path / "retarget.toml"
    toml.write_text('[joints]\nl_ankle = "Paw"\nl_toe = "Claw"\n[bodies]\nhead = ""\n')
    from robopolicy.motion.formats import bvh as layout

    clip = lock_feet(retarget(layout.load(odd), droid, Mapping.load(toml)), droid)
    measure(droid, clip)
    assert np.ptp(clip.qpos[:, 7 + droid.joint_names.index("head_yaw")]) < 0.01  # no head: it stays
    # ... and where it lies beside the robot's MJCF it is found.
    toml.write_text('[joints]\nl_ankle = "Paw"\nl_toe = "Claw"\n')
    moved = dataclasses.replace(droid, robot=dataclasses.replace(droid.robot, mjcf=str(tmp_path / "droid.xml")))
    assert len(formats.read(odd, moved)) == len(clip)
    # It does not fit other files, and is not all that can be said.
    with pytest.raises(UserError, match=f"unknown joint 'Paw' in skeleton 'walk', whose joints {toml} names"):
        formats.read(bvh, moved)
    assert len(formats.read(bvh, moved, formats.Options(mapping=Mapping()))) == len(clip)
    for text, says in (
        ("[joint]", "unknown table 'joint'"),
        ("[joints]\nnose = 'x'", "unknown role 'nose'"),
        ("[bodies]\nhead = 3", "must be a name"),
        ("[bodies", "cannot be read"),
    ):
        toml.write_text(text)
        with pytest.raises(UserError, match=says):
            Mapping.load(toml)


def test_names_are_told_on_the_command_line(tmp_path, bvh, capsys):
    odd, names = tmp_path / "odd.bvh", tmp_path / "names.toml"
    odd.write_text(bvh.read_text().replace("LeftFoot", "Paw"))
    names.write_text('[joints]\nl_ankle = "Paw"\n')
    argv = ["clip", "import", str(odd), "--robot", "droid", "--output", str(tmp_path / "odd.npz")]
    assert main(argv) == 2
    assert "name them in a file for --mapping" in capsys.readouterr().err
    assert main([*argv, "--mapping", str(names), "--units", "cm", "--up", "y"]) == 0
    assert "read in cm, because --units cm was given; y is up, because --up y was given" in capsys.readouterr().out
    assert main([*argv, "--mapping", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err
    argv[2] = str(files.csv(tmp_path / "x.csv", files.make_motion()))
    assert main([*argv, "--mapping", str(names), "--up", "z", "--units", "cm"]) == 2
    said = capsys.readouterr().err
    assert "leave out --units cm, --up, --mapping: layout g1_csv has no use for that" in said


def test_a_robots_bodies_are_found_by_name(g1, droid, go2):
    def names(model: RobotModel) -> dict[str, str]:
        return {role: model.mj.body(i).name for role, i in find_bodies(model, {}).items()}

    assert names(droid) == {"head": "head"}
    assert names(go2) == {}
    assert names(g1) == {
        "chest": "torso_link",
        **{f"{s[0]}_{part}": f"{s}_{link}_link" for s in ("left", "right")
           for part, link in (("shoulder", "shoulder_yaw"), ("elbow", "elbow"), ("hand", "wrist_yaw"))},
    }  # fmt: skip


# ---- quadrupeds


POINTS = {"FL": (6, 10), "FR": (11, 15), "RL": (16, 19), "RR": (20, 23)}
"""Columns of shoulder or hip, and of toe, in the dog files."""
RADIUS = 0.022
"""Of the go2's ball feet [m]."""


def dog_file(path: Path, model: RobotModel, clip: Clip, size: float) -> None:
    """Points of a go2 of another size that does the same, by MuJoCo's kinematics of the scaled model."""
    spec = model.spec.copy()
    for body in spec.bodies[1:]:
        body.pos = body.pos * size
    for site in spec.sites:
        site.pos = site.pos * size
    mj = spec.compile()
    data, rows = mujoco.MjData(mj), []
    for q in clip.qpos:
        data.qpos[:] = q
        data.qpos[:3] *= size
        mujoco.mj_kinematics(mj, data)
        points = np.zeros((27, 3))
        for leg, (hip, toe) in POINTS.items():
            points[hip] = data.body(f"{leg}_hip").xpos
            points[toe] = data.site(f"{leg}_foot").xpos - [0, 0, size * RADIUS]  # a toe ends on the ground
        points[3] = 0.5 * (points[6] + points[11]) + data.body("base").xmat.reshape(3, 3) @ [0.1, 0, 0.1]
        rows.append(np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1).ravel())  # y up
    path.write_text("\n".join(",".join(f"{v:.7f}" for v in row) for row in rows) + "\n")


@pytest.mark.parametrize("size", [1.0, 1.6])
@pytest.mark.parametrize("name", ["trot_forward_0.60", "pace_turn_left_0.80"])
def test_a_dogs_points_come_back_as_the_clip_they_were_made_of(tmp_path, go2, name, size):
    clip = load_clips("go2", name)[0]
    dog_file(tmp_path / "dog.txt", go2, clip, size)
    assert formats.recognise(tmp_path / "dog.txt") == "dog_keypoints"
    back = lock_feet(formats.read(tmp_path / "dog.txt", go2, formats.Options(fps=50.0)), go2)
    measure(go2, back)
    # A dog's standing height is the clip's own, so the robot trots at its home's: a little taller, with longer steps.
    data = mujoco.MjData(go2.mj)
    data.qpos[:] = go2.home_qpos
    mujoco.mj_kinematics(go2.mj, data)
    home = np.mean([data.body(f"{leg}_hip").xpos[2] for leg in POINTS])
    lower = home - data.qpos[2] + np.median(clip.qpos[:, 2])
    taller = home / lower
    assert 1.0 < taller < 1.08
    np.testing.assert_allclose(back.qpos[:, 2], clip.qpos[:, 2] * taller, atol=0.004)
    moved = [c.qpos[-1, :2] - c.qpos[0, :2] for c in (back, clip)]
    np.testing.assert_allclose(moved[0], taller * moved[1], atol=0.01)
    np.testing.assert_allclose(heading(back.qpos[:, 3:7]), heading(clip.qpos[:, 3:7]), atol=0.01)
    swing = [c.qpos[:, 7:] - c.qpos[:, 7:].mean(axis=0) for c in (back, clip)]
    assert np.median(np.abs(swing[0] - swing[1])) < 0.02
    assert np.corrcoef(swing[0].ravel(), swing[1].ravel())[0, 1] > 0.98


def test_dog_files_say_what_they_lack(tmp_path, go2, droid):
    path = tmp_path / "dog.txt"
    dog_file(path, go2, load_clips("go2", "trot_forward_0.60")[0], 1.0)
    with pytest.warns(UserWarning, match="taken as 60 frames per second"):
        formats.read(path, go2)
    with pytest.raises(UserError, match="has 4 legs, robot 'droid' has 2"):
        formats.read(path, droid)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "1,2,3", *lines[6:]]))
    with pytest.raises(UserError, match="line 6 has 3 numbers, not 81"):
        formats.read(path, go2)
    path.write_text("\n".join([*lines[:5], lines[5].replace(".", "x", 1), *lines[6:]]))
    with pytest.raises(UserError, match="line 6 holds something that is not a number"):
        formats.read(path, go2)


# ---- robot to robot


@pytest.mark.parametrize("name", ["walk_forward_0.20", "turn_left_0.60", "walk_left_0.12"])
def test_a_robots_own_motion_comes_back(droid, name):
    clip = load_clips("droid", name)[0]
    back = retarget_clip(clip, droid, droid)
    measure(droid, back)
    assert back.loop
    legs = [j for j, joint in enumerate(droid.joint_names) if joint[:2] in ("l_", "r_")]
    np.testing.assert_allclose(back.qpos[:, 7:][:, legs], clip.qpos[:, 7:][:, legs], atol=0.06)
    np.testing.assert_allclose(back.qpos[:, :3], clip.qpos[:, :3], atol=0.005)
    seam = np.abs(back.qpos[0, 7:] - back.qpos[-1, 7:]).max()
    assert seam < 1.5 * np.abs(np.diff(back.qpos[:, 7:], axis=0)).max()


def test_the_droids_walk_on_g1(droid, g1):
    """A bird's knees become a human's."""
    clip = load_clips("droid", "walk_forward_0.20")[0]
    back = retarget_clip(clip, droid, g1)
    measure(g1, back)
    knees = back.qpos[:, 7 + g1.joint_names.index("left_knee_joint")]
    assert (knees > 0).all()
    assert clip.phase is not None
    np.testing.assert_array_equal(back.phase, clip.phase)


@pytest.mark.parametrize("name", ["walk", "dance", "wave", "high5", "jumpjack"])
def test_humanoid_recordings_move_the_droid(data_dir: Path, g1, droid, name):
    clip = formats.read(data_dir / "g1_kimodo" / f"{name}.csv", g1)
    back = retarget_clip(clip, g1, droid)
    measure(droid, back)
    a, b = (np.unwrap(heading(c.qpos[:, 3:7])) for c in (clip, back))
    np.testing.assert_allclose(a, b, atol=0.15)


def test_retarget_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "x.npz"
    argv = ["clip", "retarget", "walk_forward_0.20", "--from", "droid", "--robot", "g1", "--output", str(out)]
    assert main(argv) == 0
    assert "from droid to g1" in capsys.readouterr().out
    assert Clip.load(out).robot == "g1"
    argv[6] = "go2"
    assert main(argv[:-1] + [str(tmp_path / "y.npz")]) == 2
    assert "has 2 legs, robot 'go2' has 4" in capsys.readouterr().err
    assert not (tmp_path / "y.npz").exists()


def test_retarget_takes_what_the_file_does_not_say(tmp_path, capsys):
    path, out = files.csv(tmp_path / "x.csv", files.make_motion()), tmp_path / "x.npz"
    argv = ["clip", "retarget", str(path), "--from", "g1", "--robot", "droid", "--output", str(out)]
    assert main([*argv, "--layout", "g1_csv", "--fps", "60", "--quat", "xyzw", "--units", "rad"]) == 0
    said = capsys.readouterr().out
    assert "no rate" not in said
    assert "quaternions are" not in said
    assert Clip.load(out).fps == 60
    assert main([*argv, "--layout", "gmr"]) == 2
    assert "x.csv: is not of layout gmr" in capsys.readouterr().err
    assert main(["clip", "retarget", "walk_forward_0.20", "--from", "droid", *argv[5:], "--fps", "60"]) == 2
    assert "leave out --fps: layout robopolicy has no use for that" in capsys.readouterr().err


# ---- rotations


def test_rotations_from_axes_and_their_mean():
    rng = np.random.default_rng(1)
    quat = rng.normal(size=(200, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    axes = [quat_rotate(quat, np.eye(3)[i]) for i in range(3)]
    back = from_axes(*axes)
    np.testing.assert_allclose(np.abs((quat * back).sum(axis=1)), 1.0, atol=1e-9)
    assert ((back[1:] * back[:-1]).sum(axis=1) >= 0).all()
    near = np.array([1.0, 0.2, -0.1, 0.3]) + rng.normal(0, 0.05, (400, 4))
    near *= np.sign(rng.normal(size=(400, 1))) / np.linalg.norm(near, axis=1, keepdims=True)
    mean = mean_rotation(near)
    assert abs(mean @ np.array([1.0, 0.2, -0.1, 0.3])) / np.linalg.norm([1.0, 0.2, -0.1, 0.3]) > 0.999
