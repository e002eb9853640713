"""DeepMimic's own characters: their kinematics against MuJoCo's with ball joints, and their motions on robots."""

import json
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robopolicy.errors import UserError
from robopolicy.motion import formats
from robopolicy.motion.importing.recording import Options, closes
from robopolicy.motion.retarget.anatomy import _foot_yaw, _turned_yaw
from robopolicy.motion.retarget.characters import BALL, CHARACTERS, FIXED, HINGE, Character

pytestmark = pytest.mark.filterwarnings("ignore::robopolicy.motion.importing.recording.ImportNote")
HUMAN, DOG = CHARACTERS
FPS = 30.0


def mjcf(character: Character) -> str:
    """The character as MJCF, a body for each of its joints."""

    def body(name: str, kind: int, place) -> str:
        joint = {BALL: '<joint type="ball"/>', HINGE: '<joint type="hinge" axis="0 0 1"/>', FIXED: ""}[kind]
        inside = "".join(body(n, k, p) for n, parent, k, p in character.joints if parent == name)
        return f'<body name="{name}" pos="{" ".join(map(str, place))}">{joint}<geom size=".01"/>{inside}</body>'

    inside = "".join(body(n, k, p) for n, parent, k, p in character.joints if parent == "root")
    return f"""<mujoco><compiler angle="radian"/><worldbody><body name="root"><freejoint/><geom size=".01"/>
        {inside}</body></worldbody></mujoco>"""


def random_pose(character: Character, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    def quats():
        return Rotation.random(count, rng=rng).as_quat()[:, [3, 0, 1, 2]]

    parts = [quats() if kind == BALL else rng.uniform(-2, 2, (count, kind)) for _, _, kind, _ in character.joints]
    return np.concatenate([rng.normal(size=(count, 3)), quats()], axis=1), np.concatenate(parts, axis=1)


@pytest.mark.parametrize("character", CHARACTERS, ids=lambda c: c.name)
def test_kinematics_are_mujocos(character):
    """A file's joints are in the order of the table; MuJoCo's follow its tree, and are found by their bodies."""
    model = mujoco.MjModel.from_xml_string(mjcf(character))
    data = mujoco.MjData(model)
    base, pose = random_pose(character, np.random.default_rng(0), 5)
    motion = character.skeleton("x", FPS, base, pose, False, "")
    for k in range(5):
        data.qpos[:7] = base[k]
        column = 0
        for name, _, kind, _ in character.joints:
            if kind != FIXED:
                at = model.jnt_qposadr[model.body(name).jntadr[0]]
                data.qpos[at : at + kind] = pose[k, column : column + kind]
            column += kind
        mujoco.mj_kinematics(model, data)
        for point, place in zip(motion.joint_names, motion.positions[k], strict=True):
            x, y, z = data.body(character.points.get(point, point)).xpos
            np.testing.assert_allclose(place, [x, -z, y], atol=1e-9, err_msg=point)


def test_sizes_of_the_files():
    assert [(c.name, 8 + c.columns) for c in CHARACTERS] == [("humanoid3d", 44), ("dog3d", 84)]


def pose_of(character: Character, count: int, angles: dict[str, np.ndarray]) -> np.ndarray:
    """Every joint at rest but these, which turn by an angle about z."""
    parts = []
    for name, _, kind, _ in character.joints:
        angle = angles.get(name, np.zeros(count))
        turn = Rotation.from_euler("z", angle[:, None]).as_quat()[:, [3, 0, 1, 2]]
        parts.append({BALL: turn, HINGE: angle[:, None], FIXED: np.zeros((count, 0))}[kind])
    return np.concatenate(parts, axis=1)


def write(path: Path, base: np.ndarray, pose: np.ndarray, loop: str = "wrap") -> Path:
    frames = np.concatenate([np.full((len(base), 1), 1 / FPS), base, pose], axis=1)
    frames[-1, 0] = 0.0
    path.write_text(json.dumps({"Loop": loop, "Frames": frames.tolist()}))
    return path


def walk(count: int = 31, speed: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A human that swings its legs once, left first, over ``count - 1`` steps of time, heading along x."""
    t = np.arange(count) / (count - 1)
    angles = {}
    for side, phase in (("left", 0.0), ("right", 0.5)):
        swing = 0.4 * np.sin(2 * np.pi * (t + phase))
        bend = 0.15 + 0.5 * np.clip(np.cos(2 * np.pi * (t + phase)), 0, None)  # while the leg swings forward
        angles |= {f"{side}_hip": swing + 0.1, f"{side}_knee": -bend, f"{side}_ankle": bend - swing - 0.1}
    base = np.zeros((count, 7))
    base[:, 0], base[:, 1], base[:, 3] = speed * t * (count - 1) / FPS, 0.86, 1.0
    return base, pose_of(HUMAN, count, angles)


@pytest.mark.parametrize("robot", ["g1", "droid"])
def test_a_walk_comes_to_a_robot(tmp_path, request, robot):
    model = request.getfixturevalue(robot)
    base, pose = walk()
    clip = formats.read(write(tmp_path / "walk.txt", base, pose), model)
    assert (clip.loop, len(clip), clip.fps) == (True, 30, pytest.approx(FPS))  # the last frame is the first again
    assert clip.source.endswith("(DeepMimic's humanoid3d); retargeted")
    # It goes ahead, as much slower as it is smaller, and does not turn.
    size = (0.421546 + 0.40987 + 0.05) / model.home_qpos[2]
    speed = clip.qvel[:, 0].mean()
    assert speed == pytest.approx(1.0 / size, rel=0.25)
    assert np.abs(clip.qvel[:, [1, 5]].mean(axis=0)).max() < 0.02
    # Left for left, and forward for forward: its feet go to and fro as the file's ankles.
    feet = np.stack([feet_of(model, q) for q in clip.qpos])
    if feet[0, 0, 1] < feet[0, 1, 1]:  # the robot's first foot is the right one
        feet = feet[:, ::-1]
    for side, name in enumerate(("left", "right")):
        hip = 0.4 * np.sin(2 * np.pi * (np.arange(30) / 30 + 0.5 * side))
        assert np.corrcoef(feet[:, side, 0], hip)[0, 1] > 0.9, name


def feet_of(model, q: np.ndarray) -> np.ndarray:
    """Feet in the robot's order, from the base in the base's frame."""
    data = mujoco.MjData(model.mj)
    data.qpos[:7] = [0, 0, 0, 1, 0, 0, 0]
    data.qpos[model.qpos_adr] = q[7:]
    mujoco.mj_kinematics(model.mj, data)
    return data.site_xpos[model.foot_sites].copy()


def test_a_dog_comes_to_the_go2(tmp_path, go2):
    count = 31
    t = np.arange(count) / (count - 1)
    angles = {}
    for leg, bend, phase in (
        ("left_shoulder", "left_forearm", 0.0), ("right_upper_leg", "right_leg", 0.0),
        ("right_shoulder", "right_forearm", 0.5), ("left_upper_leg", "left_leg", 0.5),
    ):  # fmt: skip
        swing = 0.3 * np.sin(2 * np.pi * (t + phase))
        lift = 0.5 * np.clip(np.cos(2 * np.pi * (t + phase)), 0, None)
        sign = 1.0 if bend.endswith("forearm") else -1.0
        angles |= {leg: swing, bend: sign * lift}
    base = np.zeros((count, 7))
    base[:, 0], base[:, 1], base[:, 3] = 0.6 * t, 0.62, 1.0
    clip = formats.read(write(tmp_path / "trot.txt", base, pose_of(DOG, count, angles)), go2)
    assert (clip.loop, clip.robot) == (True, "go2")
    assert clip.qvel[:, 0].mean() > 0.3
    feet = np.stack([feet_of(go2, q) for q in clip.qpos])[..., 0]
    names = [go2.mj.site(int(i)).name for i in go2.foot_sites]
    swing = 0.3 * np.sin(2 * np.pi * np.arange(30) / 30)
    for leg, sign in (("FL", 1), ("FR", -1), ("RL", -1), ("RR", 1)):
        assert np.corrcoef(feet[:, names.index(f"{leg}_foot")], sign * swing)[0, 1] > 0.8, leg


def test_quaternions_that_are_rough_or_in_another_order(tmp_path, droid):
    """DeepMimic's own files have quaternions that are up to 0.17 too short."""
    base, pose = walk()
    clean = formats.read(write(tmp_path / "clean.txt", base, pose), droid)
    rough = pose.copy()
    rough[:, HUMAN.balls[2] : HUMAN.balls[2] + 4] *= 0.84
    np.testing.assert_allclose(formats.read(write(tmp_path / "rough.txt", base, rough), droid).qpos, clean.qpos)
    turned_base, turned = base.copy(), pose.copy()
    turned_base[:, 3:7] = np.roll(base[:, 3:7], -1, axis=1)
    for c in HUMAN.balls:
        turned[:, c : c + 4] = np.roll(pose[:, c : c + 4], -1, axis=1)
    path = write(tmp_path / "xyzw.txt", turned_base, turned)
    np.testing.assert_allclose(formats.read(path, droid, Options(quat="xyzw")).qpos, clean.qpos)
    with pytest.raises(UserError, match="leave out --units deg, --up: the file has DeepMimic's humanoid3d"):
        formats.read(path, droid, Options(units="deg", up="z"))


def test_a_wrap_that_does_not_close_is_read_as_an_open_clip(tmp_path, droid):
    base, pose = walk()
    half = slice(0, 12)
    with pytest.warns(match="last frame does not lead to its first: read as an open clip"):
        clip = formats.read(write(tmp_path / "half.txt", base[half], pose[half]), droid)
    assert not clip.loop
    assert clip.qvel[-1, 0] > 0  # and not the way back to where it began


def test_uneven_frames_of_a_loop_are_a_whole_number_of_steps(tmp_path, droid):
    """0.75 s of frames that last 0.03 s and two that last longer: 25 steps of 0.03 s, at the same speed."""
    base, pose = walk(count=24)
    frames = np.concatenate([np.full((24, 1), 0.03), base, pose], axis=1)
    frames[[5, 15], 0] += 0.03
    frames[:, 1] = np.concatenate([[0], np.cumsum(frames[:-1, 0])])  # 1 m/s
    frames[-1, 0] = 0.0
    path = tmp_path / "uneven.txt"
    path.write_text(json.dumps({"Loop": "wrap", "Frames": frames.tolist()}))
    clip = formats.read(path, droid)
    assert (len(clip), clip.fps) == (25, pytest.approx(25 / 0.75))
    np.testing.assert_allclose(clip.qvel[:, 0], clip.qvel[:, 0].mean(), rtol=0.15)


def test_a_pose_is_no_motion(tmp_path, droid):
    base, pose = walk()
    with pytest.raises(UserError, match="has 1 frames; a motion needs at least 4"):
        formats.read(write(tmp_path / "pose.txt", base[:1], pose[:1]), droid)


def test_a_gesture_with_long_holds_is_a_loop(droid):
    qpos = np.tile(np.r_[0, 0, 0.35, 1, 0, 0, 0, np.zeros(14)], (40, 1))
    qpos[10:20, 10] = np.sin(np.linspace(0, np.pi, 10))
    qpos[-1, 10] = 1e-4
    assert closes(qpos)
    qpos[-1, 10] = 0.5
    assert not closes(qpos)


def test_a_foot_that_points_far_beyond_the_vertical_keeps_its_heading():
    """By the ankle's own axes, which are any: the toe goes as far as 140 degrees from ahead."""
    tilt = np.concatenate([np.zeros(20), np.linspace(0, 2.4, 20), np.linspace(2.4, 0, 20)])
    heading = np.linspace(0.3, 0.5, 60)
    foot = Rotation.from_euler("ZY", np.stack([heading, tilt], axis=1))
    own = Rotation.random(rng=np.random.default_rng(0))
    turn = (foot * own).as_quat()[:, [3, 0, 1, 2]]
    yaw = _turned_yaw(foot.apply([1.0, 0.0, 0.0]), turn, tilt == 0)
    np.testing.assert_allclose(yaw, heading, atol=1e-3)


def test_a_foot_that_points_down_keeps_its_heading():
    """The toe goes from ahead through below to behind the ankle and back; left out were frames beyond 60 degrees."""
    tilt = np.concatenate([np.linspace(0, 1.9, 20), np.linspace(1.9, 0, 20)])
    heading = np.linspace(0.3, 0.5, 40)
    ahead = np.cos(tilt)
    reach = np.stack([ahead * np.cos(heading), ahead * np.sin(heading), -np.sin(tilt)], axis=1)
    np.testing.assert_allclose(_foot_yaw(reach), heading, atol=1e-6)
