"""Foreign layouts: round trips through files written with other code; what is inferred, and why; refusals."""

import dataclasses
import warnings
from typing import Any

import layout_files as files
import mujoco
import numpy as np
import pytest
from layout_files import check_same, make_motion, make_standing
from scipy.spatial.transform import Rotation

from robopolicy.errors import UserError
from robopolicy.motion import formats
from robopolicy.motion.clip import Clip
from robopolicy.motion.formats.beyondmimic import breadth_first
from robopolicy.motion.importing.recording import ImportNote, Options
from robopolicy.motion.retarget.roles import Mapping
from robopolicy.robot import RobotModel, load_robot

pytestmark = pytest.mark.filterwarnings("ignore::robopolicy.motion.importing.recording.ImportNote")


@pytest.fixture(scope="module")
def bare(g1: RobotModel) -> mujoco.MjModel:
    """The G1 that the files' bodies come from."""
    return g1.robot.compile(ground=False).mj


def told(path, model, **said) -> tuple[Clip, str]:
    """The clip, and everything that the import told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip = formats.read(path, model, **said)
    return clip, "\n".join(str(w.message) for w in caught if issubclass(w.category, ImportNote))


def write_all(folder, motion, bare) -> dict:
    """A file of every layout, without endings that could give it away."""
    return {
        "g1_csv": files.csv(folder / "a", make_standing(bare, 0.2)),
        "gmr": files.gmr(folder / "b", motion),
        "mimickit": files.mimickit(folder / "c", motion),
        "amp_rsl_rl": files.amp_rsl_rl(folder / "d", motion),
        "beyondmimic": files.beyondmimic(folder / "e", motion, bare),
        "isaaclab": files.isaaclab(folder / "f", motion, bare),
        "loco_mujoco": files.loco_mujoco(folder / "g", motion),
        "deepmimic": files.deepmimic(folder / "h", motion),
    }


# ---- recognition


def test_every_layout_is_recognised_by_its_content_and_by_no_other(tmp_path, bare):
    written = write_all(tmp_path, make_motion(), bare)
    elsewhere = {"amp_hardware", "bvh", "dog_keypoints", "robopolicy"}
    assert set(written) | elsewhere == set(formats.formats())
    for name, path in written.items():
        fitting = [other for other, layout in formats.formats().items() if not layout.mismatch(path)]
        assert fitting == [name]


def test_a_layout_can_be_said_but_not_against_the_content(tmp_path, g1):
    path = files.gmr(tmp_path / "x", make_motion())
    check_same(formats.read(path, g1, layout="gmr"), make_motion())
    with pytest.raises(UserError, match="x: is not of layout mimickit: no field loop_mode, frames"):
        formats.read(path, g1, layout="mimickit")
    with pytest.raises(UserError, match=r"unknown layout 'gmrr'; known: amp_hardware, .*gmr"):
        formats.read(path, g1, layout="gmrr")
    with pytest.raises(UserError, match="no file"):
        formats.read(tmp_path / "absent", g1, layout="gmr")


def test_a_file_of_two_layouts_asks_which(tmp_path, g1, bare):
    motion = make_motion()
    places, quats = files.body_places(motion, bare)
    more = {"joint_pos": motion.table(), "joint_vel": motion.table(), "body_pos_w": places, "body_quat_w": quats}
    path = files.isaaclab(tmp_path / "both.npz", motion, bare, **more)
    with pytest.raises(UserError, match="could be any of beyondmimic, isaaclab: say which with --layout"):
        formats.read(path, g1)
    assert formats.read(path, g1, layout="isaaclab").source.endswith("(isaaclab layout)")


# ---- round trips


@pytest.mark.parametrize("layout", ["gmr", "mimickit", "amp_rsl_rl", "beyondmimic", "deepmimic", "g1_csv"])
def test_round_trip(tmp_path, g1, bare, layout):
    motion = make_standing(bare, 0.2) if layout == "g1_csv" else make_motion()
    clip = formats.read(write_all(tmp_path, motion, bare)[layout], g1)
    check_same(clip, motion)
    assert (clip.robot, clip.loop) == ("g1", False)
    dt = 1 / motion.fps
    np.testing.assert_allclose(clip.qvel[1:-1, :3], np.gradient(motion.position, dt, axis=0)[1:-1], atol=1e-9)
    np.testing.assert_allclose(clip.qvel[1:-1, 6:], np.gradient(motion.table(), dt, axis=0)[1:-1], atol=1e-9)
    spin = (motion.rotation[:-1].inv() * motion.rotation[1:]).as_rotvec() / dt
    np.testing.assert_allclose(clip.qvel[1:-1, 3:6], 0.5 * (spin[1:] + spin[:-1]), atol=1e-9)


def test_round_trip_of_isaac_lab(tmp_path, g1, bare):
    clip, notes = told(files.isaaclab(tmp_path / "x.npz", make_motion(), bare), g1)
    check_same(clip, make_motion(), atol=1e-6)
    assert notes == ""  # names, rate and velocities are all there


def test_round_trip_of_loco_mujoco(tmp_path, g1):
    motion = make_motion(fps=100.0)
    clip, notes = told(files.loco_mujoco(tmp_path / "x.npz", motion, height=0.0), g1)
    check_same(clip, motion)
    assert "has no rate: 100 frames per second, at which its velocities fit" in notes
    assert "count from where its model was drawn" in notes


def test_loco_mujocos_base_is_that_of_its_models(tmp_path, g1):
    """Oracle: MuJoCo itself, on six joints with the axes that loco-mujoco's humanoids have."""
    axes = {"tx": "1 0 0", "tz": "0 1 0", "ty": "0 0 1", "tilt": "0 -1 0", "list": "1 0 0", "rotation": "0 0 1"}
    joints = "".join(
        f'<joint name="{n}" type="{"slide" if n[0] == "t" and len(n) == 2 else "hinge"}" axis="{a}"/>'
        for n, a in axes.items()
    )
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody><body>{joints}<geom size='.1'/></body></worldbody></mujoco>"
    )
    data, values = mujoco.MjData(model), (0.4, -0.3, 0.2, 0.3, -0.2, 0.9)
    data.qpos[:] = values
    mujoco.mj_kinematics(model, data)
    motion = make_motion(20)
    base: dict[str, Any] = {f"q_pelvis_{name}": np.full(20, value) for name, value in zip(axes, values, strict=True)}
    clip = formats.read(files.loco_mujoco(tmp_path / "x.npz", motion, **base), g1)
    np.testing.assert_allclose(clip.qpos[0, :3], data.xpos[1], atol=1e-12)
    assert abs(clip.qpos[0, 3:7] @ data.xquat[1]) > 1 - 1e-12


def test_loco_mujocos_quadrupeds(tmp_path, go2):
    """Oracle: MuJoCo on the six joints of its quadrupeds; theirs turn about z first, and tilt last."""
    axes = {"tx": "1 0 0", "ty": "0 1 0", "tz": "0 0 1", "rotation": "0 0 1", "list": "1 0 0", "tilt": "0 1 0"}
    joints = "".join(
        f'<joint type="{"slide" if n in ("tx", "ty", "tz") else "hinge"}" axis="{a}"/>' for n, a in axes.items()
    )
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody><body>{joints}<geom size='.1'/></body></worldbody></mujoco>"
    )
    data, values = mujoco.MjData(model), (0.4, -0.3, 0.2, 0.9, -0.2, 0.3)
    data.qpos[:] = values
    mujoco.mj_kinematics(model, data)
    fields: dict[str, Any] = {f"q_trunk_{name}": np.full(12, value) for name, value in zip(axes, values, strict=True)}
    fields |= {f"q_{name}_joint": np.full(12, go2.default_pose[j]) for j, name in enumerate(go2.joint_names)}
    np.savez(tmp_path / "dog.npz", **fields)
    clip = formats.read(tmp_path / "dog.npz", go2, Options(fps=500))
    np.testing.assert_allclose(clip.qpos[0, :3], data.xpos[1], atol=1e-12)
    assert abs(clip.qpos[0, 3:7] @ data.xquat[1]) > 1 - 1e-12
    np.testing.assert_allclose(clip.qpos[5, 7:], go2.default_pose)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol(tmp_path, g1, protocol):
    path = files.gmr(tmp_path / "x.pkl", make_motion(), protocol=protocol, fps=np.float32(30))
    check_same(formats.read(path, g1), make_motion())


def test_frames_may_be_lists(tmp_path, g1):
    check_same(formats.read(files.mimickit(tmp_path / "x.pkl", make_motion(), as_list=True), g1), make_motion())


# ---- the order of quaternions


@pytest.mark.parametrize("order", ["wxyz", "xyzw"])
@pytest.mark.parametrize("facing", [0.0, 0.3, 1.5, 3.1, -1.5])
def test_a_csvs_quaternions_are_told_apart_by_what_the_robot_does(tmp_path, g1, bare, order, facing):
    """In one order it stands on a foot at rest; in the other one it lies, or skates though it is upright."""
    motion = make_standing(bare, facing)
    clip, notes = told(files.csv(tmp_path / "x.csv", motion, order), g1)
    check_same(clip, motion)
    assert "no rate: 30 frames per second, as LAFAN1 on G1 and Kimodo have" in notes
    upright = facing == (0.0 if order == "wxyz" else 3.1)
    reason = "the robot is upright (its z axis" if upright else "its lowest foot moves least (0.00 m/s"
    assert f"quaternions are {order}: so {reason}" in notes or facing not in (0.0, 3.1)


@pytest.mark.parametrize("order", ["wxyz", "xyzw"])
@pytest.mark.parametrize("name", ["walk", "dance", "high5", "jumpjack", "wave"])
def test_also_in_real_motion_that_faces_any_way(tmp_path, data_dir, g1, order, name):
    for facing in (0, 100, 180):
        table = np.loadtxt(data_dir / "g1_kimodo" / f"{name}.csv", delimiter=",")
        about = Rotation.from_euler("z", facing, degrees=True)
        table[:, :3] = about.apply(table[:, :3])
        xyzw = (about * Rotation.from_quat(table[:, [4, 5, 6, 3]])).as_quat()
        table[:, 3:7] = xyzw if order == "xyzw" else xyzw[:, [3, 0, 1, 2]]
        np.savetxt(tmp_path / "x.csv", table, delimiter=",")
        clip, notes = told(tmp_path / "x.csv", g1)
        assert f"quaternions are {order}: so" in notes
        np.testing.assert_allclose(np.abs((clip.qpos[:, [4, 5, 6, 3]] * xyzw).sum(axis=1)), 1, atol=1e-9)


def test_or_asked_for_where_nothing_tells(tmp_path, g1):
    """It stands still and faces straight back: a half turn is (0, 0, 0, 1) or (1, 0, 0, 0)."""
    motion = make_motion(20)
    still = Rotation.from_quat(np.tile([0.0, 0.0, 1.0, 0.0], (20, 1)))
    motion = dataclasses.replace(
        motion,
        position=np.tile(motion.position[0], (20, 1)),
        rotation=still,
        angles={n: np.full(20, 0.1) for n in files.SDK},
    )
    path = files.csv(tmp_path / "x.csv", motion, "wxyz")
    with pytest.raises(
        UserError, match="x.csv: the order of its quaternions cannot be told; say --quat wxyz or --quat"
    ):
        formats.read(path, g1)
    check_same(formats.read(path, g1, Options(quat="wxyz")), motion)
    other = formats.read(path, g1, Options(quat="xyzw"))
    assert Rotation.from_quat(other.qpos[:, [4, 5, 6, 3]]).magnitude().max() < 1e-9


@pytest.mark.parametrize("layout", ["gmr", "amp_rsl_rl", "isaaclab"])
def test_a_documented_order_that_the_motion_speaks_against_is_asked_about(tmp_path, g1, bare, layout):
    motion = make_standing(bare, 0.1)
    if layout == "gmr":
        path, right, order = files.gmr(tmp_path / "x", motion, root_rot=motion.wxyz), "wxyz", "xyzw"
    elif layout == "amp_rsl_rl":
        path, right, order = files.amp_rsl_rl(tmp_path / "x", motion, root_quaternion=motion.wxyz), "wxyz", "xyzw"
    else:
        quats = np.tile(motion.xyzw[:, None], (1, 3, 1))
        path, right, order = files.isaaclab(tmp_path / "x", motion, bare, body_rotations=quats), "xyzw", "wxyz"
    with pytest.raises(UserError, match=f"should be {order}, .* but as {right} .*: say which with --quat"):
        formats.read(path, g1)
    check_same(formats.read(path, g1, Options(quat=right)), motion, atol=1e-6)


# ---- the order of joints


def test_beyondmimics_joints_are_told_apart_by_its_bodies(tmp_path, g1, bare):
    motion = make_motion()
    clip, notes = told(files.beyondmimic(tmp_path / "isaac.npz", motion, bare), g1)
    check_same(clip, motion)
    assert "breadth first (Isaac Lab), for so its bodies are where the robot's are, to 0 mm" in notes
    clip, notes = told(files.beyondmimic(tmp_path / "mjlab.npz", motion, bare, order=files.SDK), g1)
    check_same(clip, motion)
    assert "depth first (MuJoCo), for so its bodies" in notes
    named = {"joint_names": np.array([f"{n}_joint" for n in reversed(files.SDK)])}
    path = files.beyondmimic(tmp_path / "named.npz", motion, bare, order=tuple(reversed(files.SDK)), **named)
    clip, notes = told(path, g1)
    check_same(clip, motion)
    assert notes == ""


def test_isaac_labs_order_is_breadth_first(g1, go2):
    assert breadth_first(g1) == tuple(f"{name}_joint" for name in files.ISAAC)
    legs = ("FL", "FR", "RL", "RR")
    assert breadth_first(go2) == tuple(f"{leg}_{part}" for part in ("hip", "thigh", "calf") for leg in legs)


def test_beyondmimics_bodies_that_fit_no_order(tmp_path, g1, bare):
    motion = make_motion()
    places, _ = files.body_places(motion, bare)
    path = files.beyondmimic(tmp_path / "x.npz", motion, bare, body_pos_w=3 * places)
    with pytest.raises(UserError, match=r"its bodies do not tell their order: they are off those of robot 'g1' by \d"):
        formats.read(path, g1)


def test_beyondmimics_bodies_must_be_numbers(tmp_path, g1, bare):
    """One NaN passes every comparison of the bodies' distances."""
    motion = make_motion()
    places, _ = files.body_places(motion, bare)
    places[0, 5, 1] = np.nan
    path = files.beyondmimic(tmp_path / "x.npz", motion, bare, body_pos_w=places)
    with pytest.raises(UserError, match=r"field 'body_pos_w' has NaN or infinity in 1 frames, first in frame 0"):
        formats.read(path, g1)


@pytest.mark.parametrize("field", ["joint_pos", "joint_vel", "body_lin_vel_w"])
@pytest.mark.parametrize("frames", [59, 0])
def test_fields_of_another_length(tmp_path, g1, bare, field, frames):
    width = (30, 3) if field == "body_lin_vel_w" else (29,)
    path = files.beyondmimic(tmp_path / "x.npz", make_motion(), bare, **{field: np.zeros((frames, *width))})
    with pytest.raises(UserError, match=f"its fields have different numbers of frames: {frames}, 60"):
        formats.read(path, g1)


def test_no_frames_at_all(tmp_path, g1):
    empty = {"joint_pos": (29,), "joint_vel": (29,), "body_pos_w": (3, 3), "body_quat_w": (3, 4)}
    arrays: dict[str, Any] = {field: np.zeros((0, *shape)) for field, shape in empty.items()}
    np.savez(tmp_path / "x.npz", fps=30, **arrays)
    with pytest.raises(UserError, match=r"x.npz: has 0 frames; a motion needs at least 4"):
        formats.read(tmp_path / "x.npz", g1)


@pytest.mark.parametrize("layout", ["amp_rsl_rl", "isaaclab", "loco_mujoco"])
def test_named_joints_that_are_missing_or_too_many(tmp_path, g1, droid, bare, layout):
    motion, path = make_motion(), tmp_path / "x"
    if layout == "amp_rsl_rl":
        files.amp_rsl_rl(path, motion, joints=files.SDK[1:])
    elif layout == "isaaclab":
        names = np.array(["jaw", *(f"{n}_joint" for n in files.ISAAC[1:])])
        files.isaaclab(path, motion, bare, dof_names=names)
    else:
        files.loco_mujoco(path, motion, q_left_hip_pitch_joint=...)
    with pytest.raises(
        UserError,
        match="x: is no motion of robot 'g1': it lacks left_hip_pitch"
        + (" and has jaw" if layout == "isaaclab" else "$"),
    ):
        formats.read(path, g1)
    with pytest.raises(UserError, match="is no motion of robot 'droid': it lacks l_hip_yaw.* and has "):
        formats.read(path, droid)


@pytest.mark.parametrize("layout", ["gmr", "mimickit", "beyondmimic"])
def test_joints_without_names_must_be_as_many(tmp_path, droid, bare, layout):
    path = write_all(tmp_path, make_motion(), bare)[layout]
    with pytest.raises(UserError, match="has 29 joints without names; robot 'droid' has 14"):
        formats.read(path, droid)


def test_the_order_of_joints_without_names_is_told(tmp_path, g1):
    _, notes = told(files.gmr(tmp_path / "x.pkl", make_motion()), g1)
    assert "in the order of the robot's MJCF, left_hip_pitch_joint to right_wrist_yaw_joint" in notes


def test_a_csv_is_for_a_g1(tmp_path, droid):
    with pytest.raises(UserError, match="is no motion of robot 'droid': it lacks l_hip_yaw"):
        formats.read(files.csv(tmp_path / "x.csv", make_motion()), droid, Options(quat="xyzw"))


def test_isaac_labs_base(tmp_path, g1, bare):
    motion = make_motion()
    path = files.isaaclab(tmp_path / "x.npz", motion, bare, body_names=np.array(["torso_link", "trunk", "foot"]))
    clip, notes = told(path, g1)
    check_same(clip, motion, atol=1e-6)
    assert "its body 'trunk' is taken for the robot's base 'pelvis'" in notes
    path = files.isaaclab(tmp_path / "y.npz", motion, bare, body_names=np.array(["a", "b", "c"]))
    with pytest.raises(UserError, match="has no body 'pelvis', the base of robot 'g1': a, b, c"):
        formats.read(path, g1)


# ---- rate, units, velocities, loops


@pytest.mark.parametrize("layout", ["g1_csv", "gmr", "mimickit", "amp_rsl_rl", "beyondmimic", "isaaclab", "deepmimic"])
def test_a_rate_that_is_given_wins(tmp_path, g1, bare, layout):
    clip, notes = told(write_all(tmp_path, make_motion(), bare)[layout], g1, options=Options(fps=60))
    assert clip.fps == 60
    assert "a CSV has no rate" not in notes
    if layout in ("beyondmimic", "isaaclab"):
        assert "joint velocities are 0.50 times the rate of its positions at 60 frames per second" in notes
        assert "would fit 30" in notes


def test_velocities_are_the_positions_whatever_the_file_has(tmp_path, g1, bare):
    motion = make_motion()
    clip, notes = told(
        files.beyondmimic(
            tmp_path / "x", motion, bare, joint_vel=2 * np.gradient(motion.table(files.ISAAC), 1 / 30, axis=0)
        ),
        g1,
    )
    assert "its joint velocities are 2.00 times the rate of its positions at 30" in notes
    assert "all velocities come from the positions" in notes
    np.testing.assert_allclose(clip.qvel[1:-1, 6:], np.gradient(motion.table(), 1 / 30, axis=0)[1:-1], atol=1e-9)
    _, notes = told(files.beyondmimic(tmp_path / "y", motion, bare, joint_vel=np.zeros((60, 29))), g1)
    assert "its joint velocities are all zero: they could not confirm 30 frames per second" in notes


def test_loco_mujoco_without_velocities_needs_a_rate(tmp_path, g1):
    motion = make_motion()
    bare = {f"dq_{name}_joint": ... for name in files.SDK}
    path = files.loco_mujoco(tmp_path / "x.npz", motion, height=0.0, **bare)
    with pytest.raises(UserError, match="has no rate, and no velocities to tell it; say --fps"):
        formats.read(path, g1)
    check_same(formats.read(path, g1, Options(fps=30)), motion)


def test_degrees(tmp_path, g1):
    motion = make_motion()
    inside = {n: np.clip(v, -0.2, 0.5) for n, v in motion.angles.items()}
    motion = dataclasses.replace(motion, angles=inside)
    path = files.gmr(tmp_path / "x.pkl", motion, dof_pos=np.rad2deg(motion.table()))
    clip, notes = told(path, g1)
    check_same(clip, motion)
    assert "can be no radians on this robot: read as degrees" in notes
    check_same(formats.read(path, g1, Options(units="deg")), motion)
    assert formats.read(path, g1, Options(units="rad")).qpos[:, 7:].max() > 10
    wild = files.gmr(tmp_path / "y.pkl", motion, dof_pos=1e4 * motion.table())
    with pytest.raises(UserError, match="beyond any joint of robot 'g1' in radians and in degrees"):
        formats.read(wild, g1)


def loop_motion(frames: int = 40):
    """One period of a walk in place that turns and goes on; the frame after the last one would be the first's."""
    motion = make_motion(frames, turn=0.3)
    phase = 2 * np.pi * np.arange(frames) / frames
    angles = {n: 0.15 + 0.1 * np.sin(phase + j) for j, n in enumerate(files.SDK)}
    position = motion.position.copy()
    position[:, 1:] = [0.0, 0.79]
    yaw = Rotation.from_euler("z", np.zeros((frames, 1)))
    return dataclasses.replace(motion, angles=angles, position=position, rotation=yaw)


def test_a_loop_whose_last_frame_repeats_its_first(tmp_path, g1):
    motion = loop_motion()
    closed = {n: np.append(v, v[0]) for n, v in motion.angles.items()}
    position = np.concatenate([motion.position, [[0.3 * 40 / 30, 0.0, 0.79]]])
    quat = Rotation.concatenate([motion.rotation, motion.rotation[:1]])
    whole = dataclasses.replace(motion, angles=closed, position=position, rotation=quat)
    clip, notes = told(files.mimickit(tmp_path / "x", whole, loop=1), g1)
    assert clip.loop
    assert "last frame repeats the first: left out" in notes
    check_same(clip, motion)
    np.testing.assert_allclose(clip.cycle(), [0.3 * 40 / 30, 0, 0], atol=1e-9)
    clip = formats.read(files.deepmimic(tmp_path / "y", whole, loop="wrap"), g1)
    assert clip.loop
    check_same(clip, motion)
    assert not formats.read(files.mimickit(tmp_path / "z", whole, loop=0), g1).loop


def test_a_loop_that_does_not_close_is_open(tmp_path, g1):
    clip, notes = told(files.mimickit(tmp_path / "x", make_motion(), loop=1), g1)
    assert not clip.loop
    assert "is called a loop, but its last frame does not lead to its first" in notes
    check_same(clip, make_motion())


# ---- DeepMimic


def test_deepmimics_uneven_frames_are_resampled_to_the_same_motion(tmp_path, g1):
    """A constant speed and turn, sampled unevenly, is the same motion sampled evenly."""
    durations = np.where(np.arange(40) % 3 == 0, 0.05, 0.025)
    t = np.concatenate([[0], np.cumsum(durations[:-1])])
    motion = make_motion(40)
    uneven = dataclasses.replace(
        motion,
        position=np.stack([0.5 * t, 0 * t, 0.79 + 0 * t], axis=1),
        rotation=Rotation.from_euler("z", 0.4 * t[:, None]),
        angles={n: 0.1 + 0.01 * j * t for j, n in enumerate(files.SDK)},
    )
    clip, notes = told(files.deepmimic(tmp_path / "x", uneven, durations), g1)
    assert "frames last 0.025 to 0.05 s: resampled to 0.025 s" in notes
    assert clip.fps == pytest.approx(40)
    even = np.arange(len(clip)) * 0.025
    assert even[-1] <= t[-1] < even[-1] + 0.025
    np.testing.assert_allclose(clip.qpos[:, 0], 0.5 * even, atol=1e-9)
    np.testing.assert_allclose(clip.qvel[:, 5], 0.4, atol=1e-9)
    np.testing.assert_allclose(clip.qvel[:, 6 + 20], 0.2, atol=1e-9)


def test_deepmimics_y_is_up(tmp_path, g1):
    clip, notes = told(files.deepmimic(tmp_path / "x", make_motion(), up="y"), g1)
    check_same(clip, make_motion())
    assert "y is up, and turned to z" in notes
    _, notes = told(files.deepmimic(tmp_path / "y", make_motion()), g1)
    assert "z is up" in notes
    for up, side in (("y", -0.79), ("z", 0.79)):  # told, where the base's height speaks for the other
        motion = make_motion()
        motion.position[:, 1:] = side, 0.0
        path = files.deepmimic(tmp_path / "z", motion, up=up)
        clip, notes = told(path, g1, options=Options(up=up))
        check_same(clip, motion)
        assert f"{up} is up" in notes
        assert f"--up {up} was given" in notes
    with pytest.raises(UserError, match="--up x: in DeepMimic's files it is y or z"):
        formats.read(path, g1, Options(up="x"))
    with pytest.raises(UserError, match="leave out --mapping: the file has a robot's hinges"):
        formats.read(path, g1, Options(mapping=Mapping()))


def test_deepmimic_says_whose_columns_there_are(tmp_path, g1):
    frames = np.zeros((20, 44))  # of humanoid3d, but for its quaternions
    frames[:, 0], frames[:, 4] = 0.033, 1.0
    path = files.deepmimic(tmp_path / "x.txt", make_motion(), Frames=frames.tolist())
    with pytest.raises(UserError, match="44 columns; robot 'g1' needs 37 .*humanoid3d of 44, dog3d of 84"):
        formats.read(path, g1)


# ---- broken files


def ragged(motion):
    return [row[:-1] if k == 7 else row for k, row in enumerate(motion.table().tolist())]


BROKEN = {
    "gmr": [
        ({"fps": 0}, "field 'fps' is 0; it must be one positive number"),
        ({"fps": "fast"}, "field 'fps' is 'fast'"),
        ({"fps": [30.0, 50.0]}, "field 'fps' is"),
        ({"root_pos": np.zeros((60, 2))}, r"field 'root_pos' has shape \(60, 2\); it must be \(frames, 3\)"),
        ({"root_pos": "nothing"}, "field 'root_pos' does not hold frames of numbers"),
        ({"root_pos": [["a", "b", "c"]] * 60}, "field 'root_pos' does not hold frames of numbers"),
        ({"root_pos": np.zeros((50, 3))}, "different numbers of frames: 50, 60"),
        ({"root_rot": np.full((60, 4), 0.3)}, "no unit quaternion in frame 0: norm 0.6"),
        ({"dof_pos": ragged(make_motion())}, "field 'dof_pos' does not hold frames of numbers, all of one length"),
        ({"dof_pos": np.full((60, 29), np.nan)}, "field 'dof_pos' has NaN or infinity in 60 frames, first in frame 0"),
    ],
    "mimickit": [
        ({"loop_mode": 7}, "loop_mode is 7; it must be 0"),
        ({"frames": np.zeros((60, 5))}, "frames have 5 columns"),
        ({"frames": np.zeros((3, 35))}, "has 3 frames; a motion needs at least 4"),
        ({"frames": np.zeros((60, 36))}, "has 30 joints without names; robot 'g1' has 29"),
        ({"fps": None}, "field 'fps' is None"),
    ],
    "amp_rsl_rl": [
        ({"joints_list": "abc"}, "field 'joints_list' is not a list of names"),
        ({"joints_list": list(range(29))}, "field 'joints_list' is not a list of names"),
        ({"joints_list": [files.SDK[0], *files.SDK[:-1]]}, "names left_hip_pitch more than once"),
        ({"root_quaternion": np.zeros((60, 4))}, "no unit quaternion in frame 0: norm 0"),
    ],
    "deepmimic": [
        ({"Loop": "maybe"}, "Loop is 'maybe'"),
        ({"Frames": [[0.03, 1.0], [0.03]]}, "field 'Frames' does not hold frames of numbers"),
        ({"Frames": np.eye(37)[np.zeros(9, int)].tolist()}, "no unit quaternion in frame 0: norm 0"),
    ],
    "loco_mujoco": [
        ({"q_left_knee_joint": np.zeros((60, 2))}, "field 'q_left_knee_joint' has shape"),
        ({"q_left_knee_joint": np.zeros(50)}, "different numbers of frames: 50, 60"),
        ({"q_left_knee_joint": np.full(60, np.inf)}, "field 'q_left_knee_joint' has NaN or infinity"),
        ({"split_points": np.array([0, 30, 60])}, "holds 2 motions one after the other"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("layout", "case"), [(name, i) for name, cases in BROKEN.items() for i in range(len(cases))])
def test_broken_files_are_refused_by_name(tmp_path, g1, layout, case):
    changes, message = BROKEN[layout][case]
    path = getattr(files, layout)(tmp_path / "broken", make_motion(), **changes)
    assert formats.recognise(path) == layout
    with pytest.raises(UserError, match=f"broken: .*{message}") as caught:
        formats.read(path, g1)
    assert "\n" not in str(caught.value)


def test_broken_bodies(tmp_path, g1, bare):
    motion = make_motion()
    for name, path, field in (
        ("flat", files.isaaclab(tmp_path / "flat", motion, bare, body_positions=np.zeros((60, 9))), "body_positions"),
        ("four", files.beyondmimic(tmp_path / "four", motion, bare, body_pos_w=np.zeros((60, 30, 4))), "body_pos_w"),
    ):
        with pytest.raises(UserError, match=rf"{name}: field '{field}' has shape .*must be \(frames, bodies, 3\)"):
            formats.read(path, g1)


def test_deepmimics_durations(tmp_path, g1):
    durations = np.full(60, 1 / 30)
    durations[9] = 0.0
    with pytest.raises(UserError, match="frame 9 lasts 0 s; it must be a positive number of seconds"):
        formats.read(files.deepmimic(tmp_path / "x", make_motion(), durations), g1)
    durations[9], durations[-1] = 1 / 30, 0.0  # nothing follows the last one
    check_same(formats.read(files.deepmimic(tmp_path / "y", make_motion(), durations), g1), make_motion())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n", "not g1_csv: its first line is not numbers between commas"),
        ("1,2,3\n", "not g1_csv: rows have 3 columns, not 36"),
        ("", "not g1_csv: its first line"),
    ],
)
def test_text_that_is_no_csv_of_ours(tmp_path, g1, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        formats.read(tmp_path / "x.csv", g1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,2", "not a table of 36 numbers in each row"),
        (",".join(["nan"] * 36), "NaN or infinity in 1 rows, first in row 61"),
    ],
)
def test_a_csv_that_breaks_off(tmp_path, g1, row, message):
    path = files.csv(tmp_path / "x.csv", make_motion())
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(UserError, match=f"x.csv: .*{message}") as caught:
        formats.read(path, g1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"fps": -1.0}, r"--fps -1\.0: must be a positive number"),
        ({"fps": float("nan")}, "--fps nan"),
        ({"quat": "xwyz"}, "--quat xwyz: unknown order; known: wxyz, xyzw"),
        ({"units": "turns"}, "--units turns: unknown; known: rad, deg, m, cm, mm, cmu"),
        ({"up": "-z"}, "--up -z: unknown axis; known: x, y, z"),
    ],
)
def test_options_that_cannot_be(said, message):
    with pytest.raises(UserError, match=message):
        Options(**said)


def test_options_that_a_layout_has_no_use_for(tmp_path, g1, droid):
    from robopolicy.motion.clip import load_clips

    for path in (files.mimickit(tmp_path / "a", make_motion()), files.loco_mujoco(tmp_path / "b", make_motion())):
        with pytest.raises(UserError, match="--quat wxyz: .* no quaternions"):
            formats.read(path, g1, Options(quat="wxyz"))
    load_clips("droid", "stand_idle")[0].save(tmp_path / "mine.npz")
    with pytest.raises(UserError, match="leave out --fps: layout robopolicy has no use for that"):
        formats.read(tmp_path / "mine.npz", droid, Options(fps=10))


def test_the_g1_of_the_tests_is_the_projects():
    assert tuple(f"{name}_joint" for name in files.SDK) == load_robot("g1").compile().joint_names
