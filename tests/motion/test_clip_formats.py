"""Foreign files: recognised by content, mapped by name, put on the ground; broken ones refused by name."""

import json
import warnings
from pathlib import Path

import mujoco
import numpy as np
import pytest
from motion_clips import foot_bottoms

from robopolicy.errors import UserError
from robopolicy.motion import formats
from robopolicy.motion.check import check
from robopolicy.motion.formats.amp_hardware import FrameRateWarning
from robopolicy.motion.importing.recording import ImportNote, Options
from robopolicy.motion.plant import find_contacts, plant_feet, unreached
from robopolicy.motion.pose import heading, quat_conj, quat_from_euler, quat_log, quat_mul

JOINTS = (
    "FR_hip", "FR_thigh", "FR_calf", "FL_hip", "FL_thigh", "FL_calf",
    "RR_hip", "RR_thigh", "RR_calf", "RL_hip", "RL_thigh", "RL_calf",
)  # fmt: skip
"""The order in the files, written down apart from the code."""
DOGS = ("leftturn0", "pace0", "pace1", "rightturn0", "trot0", "trot1")
STANDING = {"hip": 0.0, "thigh": 0.8, "calf": -1.6}
"""The pose of the hand-made dog, plus what tells its legs apart."""
LEGS = {"FR": -0.15, "FL": -0.05, "RR": 0.05, "RL": 0.15}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*all zero:robopolicy.motion.formats.amp_hardware.FrameRateWarning"),
    pytest.mark.filterwarnings("ignore:.*legs (are in|taken):robopolicy.motion.importing.recording.ImportNote"),
]
QUATERNION = quat_from_euler(0.02, 0.05, 0.6)


def amp(path: Path, frames: np.ndarray | None = None, **changes) -> Path:
    """A small file of the AMP_for_hardware layout: a dog that stands still in a pose of its own."""
    frames = still_dog(12) if frames is None else frames
    data = {"LoopMode": "Wrap", "FrameDuration": 0.021, "Frames": frames.tolist()} | changes
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
    return path


def still_dog(count: int) -> np.ndarray:
    """Each leg stands with a thigh angle of its own; a little breathing tells the frames apart."""
    frames = np.zeros((count, 61))
    frames[:, 2] = 0.3
    frames[:, 3:7] = QUATERNION[[1, 2, 3, 0]]  # xyzw
    for j, joint in enumerate(JOINTS):
        leg, part = joint.split("_")
        frames[:, 7 + j] = STANDING[part] + (LEGS[leg] if part == "thigh" else 0.0)
    frames[:, 7] += 1e-3 * np.sin(2 * np.pi * np.arange(count) / count)
    return frames


def in_order(frames: np.ndarray, legs: str) -> np.ndarray:
    """The frames with their legs, FR FL RR RL, in another order: angles, places and speeds of joints and feet."""
    leg = [("FR", "FL", "RR", "RL").index(name) for name in legs.split()]
    columns = [start + 3 * k + i for start in (7, 19, 37, 49) for k in leg for i in range(3)]
    frames = frames.copy()
    frames[:, [*range(7, 31), *range(37, 61)]] = frames[:, columns]
    return frames


def with_feet(frames: np.ndarray, model, scale: float = 0.9) -> np.ndarray:
    """The frames with the foot positions of a dog of another size, in its base's frame, by plain MuJoCo."""
    data = mujoco.MjData(model.mj)
    frames = frames.copy()
    for frame in frames:
        data.qpos[:7] = 0, 0, 0, 1, 0, 0, 0
        for name, angle in zip(JOINTS, frame[7:19], strict=True):
            data.joint(name).qpos[0] = angle
        mujoco.mj_kinematics(model.mj, data)
        frame[19:31] = scale * np.concatenate([data.site(f"{leg}_foot").xpos for leg in LEGS])
    return frames


# ---- recognition


def test_the_content_decides_the_layout(tmp_path):
    assert formats.recognise(amp(tmp_path / "dog.csv")) == "amp_hardware"
    with pytest.raises(UserError) as error:
        formats.recognise(amp(tmp_path / "wide.txt", frames=np.zeros((3, 44))))
    assert "not amp_hardware: frames have 44 columns, not 61" in str(error.value)
    assert "not robopolicy: not an .npz" in str(error.value)
    (tmp_path / "noise.txt").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="noise.txt: in none of the known layouts"):
        formats.recognise(tmp_path / "noise.txt")
    np.savez(tmp_path / "other.npz", fps=30)
    with pytest.raises(UserError, match="not robopolicy: no field joint_names, qpos, qvel, loop"):
        formats.recognise(tmp_path / "other.npz")
    with pytest.raises(UserError, match="no file"):
        formats.recognise(tmp_path / "absent.txt")


def test_our_own_files_are_a_layout_too(tmp_path, droid):
    from robopolicy.motion.clip import load_clips

    clip = load_clips("droid", "stand_idle")[0]
    clip.save(tmp_path / "mine.npz")
    (tmp_path / "mine.npz").rename(tmp_path / "mine.dat")
    assert formats.read(tmp_path / "mine.dat", droid).content_hash() == clip.content_hash()


# ---- what goes where


def test_joints_go_by_name_and_quaternions_from_xyzw(tmp_path, go2):
    """Files run FR FL RR RL with xyzw, the robot FL FR RL RR with wxyz: an unmapped copy fails this."""
    clip = formats.read(amp(tmp_path / "dog.txt"), go2)
    assert clip.joint_names == go2.joint_names
    for leg, lean in LEGS.items():
        thigh = clip.qpos[:, 7 + clip.joint_names.index(f"{leg}_thigh")]
        # the legs are bent a little to stand on level ground
        assert abs(thigh.mean() - 0.8 - lean) < 0.35 * abs(lean) + 0.15
    off = quat_log(quat_mul(quat_conj(QUATERNION), clip.qpos[:, 3:7]))
    np.testing.assert_allclose(off, 0, atol=1e-9)
    np.testing.assert_allclose(heading(clip.qpos[:, 3:7]), 0.6, atol=1e-9)


def test_joint_angles_survive_where_no_foot_is_low(tmp_path, go2):
    """With its feet in the air nothing is corrected, so every angle must be exactly where its name says."""
    frames = still_dog(12)
    frames[:, 0] = np.arange(12) * 0.05  # over ground at 2.4 m/s: no contact
    clip = formats.read(amp(tmp_path / "flying.txt", frames, FrameDuration=0.021), go2)
    for leg, lean in LEGS.items():
        for part, angle in STANDING.items():
            expected = angle + (lean if part == "thigh" else 0.0)
            values = clip.qpos[:, 7 + clip.joint_names.index(f"{leg}_{part}")]
            assert abs(values - expected).max() < (2e-3 if (leg, part) == ("FR", "hip") else 1e-6)


def test_time_is_frame_duration(tmp_path, go2):
    frames = still_dog(12)
    frames[:, 0] = np.arange(12) * 0.0105
    clip = formats.read(amp(tmp_path / "walk.txt", frames, LoopMode="Clamp"), go2)
    assert np.isclose(clip.fps, 1 / 0.021)
    np.testing.assert_allclose(clip.qvel[:, 0], 0.5, atol=1e-9)
    assert np.isclose(clip.duration, 11 * 0.021)


def test_quaternion_signs_are_joined(tmp_path, go2):
    frames = still_dog(12)
    frames[5:, 3:7] *= -1
    clip = formats.read(amp(tmp_path / "flip.txt", frames), go2)
    assert ((clip.qpos[1:, 3:7] * clip.qpos[:-1, 3:7]).sum(axis=1) > 0).all()
    assert np.abs(clip.qvel[:, 3:6]).max() < 1e-6


# ---- the order of the legs


@pytest.mark.parametrize("legs", ["FR FL RR RL", "FL FR RL RR"])
def test_the_foot_positions_tell_the_order_of_the_legs(tmp_path, go2, legs):
    frames = with_feet(still_dog(12), go2)
    frames[:, 0] = np.arange(12) * 0.05  # no contact: angles are left as they are
    with pytest.warns(ImportNote, match=f"legs are in the order {legs}: so its foot positions are .* to 0% "):
        clip = formats.read(amp(tmp_path / "dog.txt", in_order(frames, legs)), go2)
    angles = np.stack([clip.qpos[:, 7 + clip.joint_names.index(name)] for name in JOINTS], axis=1)
    np.testing.assert_allclose(angles, frames[:, 7:19], atol=1e-6)


def test_legs_in_neither_order_are_refused(tmp_path, go2):
    frames = still_dog(12)
    frames[:, [7, 16]] += 0.6, -0.6  # the left hips are not as the right ones
    frames = with_feet(frames, go2)
    frames[:, 7:19] = in_order(frames, "FL FR RL RR")[:, 7:19]  # joints in one order, feet in the other
    with pytest.raises(UserError, match=r"off by \d\d% .* in the order F. F. R. R. and by \d\d% in the order F. F."):
        formats.read(amp(tmp_path / "dog.txt", frames), go2)


def test_without_foot_positions_the_usual_order_is_told(tmp_path, go2):
    with pytest.warns(ImportNote, match="foot positions are all zero: legs taken in .* order, FR FL RR RL"):
        formats.read(amp(tmp_path / "dog.txt"), go2)


def test_a_real_dog_is_the_same_in_every_order(tmp_path, data_dir, go2):
    raw = json.loads((data_dir / "a1_mocap" / "pace0.txt").read_text())
    frames = np.array(raw["Frames"])
    clip = formats.read(data_dir / "a1_mocap" / "pace0.txt", go2)
    path = tmp_path / "pace0.txt"
    path.write_text(json.dumps(raw | {"Frames": in_order(frames, "FL FR RL RR").tolist()}))
    np.testing.assert_allclose(formats.read(path, go2).qpos, clip.qpos, atol=1e-9)
    frames[:, 3:7] = frames[:, [6, 3, 4, 5]]
    path.write_text(json.dumps(raw | {"Frames": frames.tolist()}))
    with pytest.raises(UserError, match=r"quaternions should be xyzw, .* but as wxyz the robot is upright"):
        formats.read(path, go2)
    np.testing.assert_allclose(formats.read(path, go2, Options(quat="wxyz")).qpos, clip.qpos, atol=1e-9)


# ---- refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"FrameDuration": None}, "FrameDuration is None"),
        ({"FrameDuration": -0.02}, "FrameDuration is -0.02"),
        ({"FrameDuration": "fast"}, "FrameDuration is 'fast'"),
        ({"frames": still_dog(3)}, "3 frames"),
        ({"frames": np.where(np.arange(61) == 9, np.nan, still_dog(12))}, "NaN .* frame 0"),
        (
            {"frames": still_dog(12) * np.where(np.arange(61) == 6, 0.5, 1.0)},
            "no unit quaternion in frame 0: norm 0.5",
        ),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path, go2, changes, words):
    with pytest.raises(UserError, match=f"broken.txt: .*{words}"):
        formats.read(amp(tmp_path / "broken.txt", **changes), go2)


def test_ragged_frames_are_named(tmp_path, go2):
    frames = still_dog(12).tolist()
    frames[7] = frames[7][:-1]
    path = tmp_path / "ragged.txt"
    path.write_text(json.dumps({"LoopMode": "Wrap", "FrameDuration": 0.021, "Frames": frames}))
    with pytest.raises(UserError, match="frame 7 has 60 columns, not 61"):
        formats.read(path, go2)


def test_a_dog_does_not_fit_a_biped(tmp_path, droid):
    with pytest.raises(UserError, match="robot 'droid' lacks FR_hip.* and has l_hip_yaw"):
        formats.read(amp(tmp_path / "dog.txt"), droid)


# ---- planting


def test_planting_holds_a_sliding_foot(go2):
    """A standing dog whose base drifts at 5 cm/s drags its feet; planted, they stand while it drifts."""
    count, fps = 40, 50.0
    qpos = np.tile(np.concatenate([go2.home_qpos[:7], go2.default_pose]), (count, 1))
    qpos[:, 0] = 0.05 * np.arange(count) / fps
    qpos[:, 2] += 0.03
    heights, places = foot_bottoms(go2, qpos)
    assert find_contacts(heights, places, fps).all()
    planted, missing = plant_feet(qpos, fps, go2)
    assert unreached(missing, go2) == ""
    heights, places = foot_bottoms(go2, planted)
    np.testing.assert_allclose(heights, 0, atol=1e-6)
    assert np.ptp(places[:, :, :2], axis=0).max() < 1e-6
    np.testing.assert_allclose(planted[:, 0], qpos[:, 0])
    np.testing.assert_allclose(planted[:, 2], go2.home_qpos[2], atol=2e-3)


@pytest.mark.parametrize("loop", [False, True])
def test_a_foot_out_of_reach_is_told_with_its_frames(go2, loop):
    """A standing dog glides two thirds of a metre over its feet."""
    count, fps = 75, 50.0
    qpos = np.tile(np.concatenate([go2.home_qpos[:7], go2.default_pose]), (count, 1))
    qpos[:, 0] = 0.45 * np.arange(count) / fps
    cycle = np.array([qpos[-1, 0] + 0.45 / fps, 0.0, 0.0]) if loop else None
    planted, missing = plant_feet(qpos, fps, go2, cycle)
    assert planted.shape == qpos.shape
    heights, places = foot_bottoms(go2, planted)
    anchor = foot_bottoms(go2, qpos)[1][:, :, :2].mean(axis=0)
    truth = np.hypot(np.linalg.norm(places[:, :, :2] - anchor, axis=2), heights)
    np.testing.assert_allclose(missing, truth, atol=1e-4)
    assert truth.max() > 0.03
    said = unreached(missing, go2)
    for name, far in zip(("FL", "FR", "RL", "RR"), truth.T, strict=True):
        late = np.flatnonzero(far > 0.005)
        told = f"{name}_foot in {len(late)} frames, first in frame {late[0]}, by up to {1000 * far.max():.0f} mm"
        assert told in said


def test_contacts_are_low_and_slow():
    heights = np.zeros((30, 1))
    heights[10:20] = 0.05
    places = np.zeros((30, 1, 3))
    places[22:, 0, 0] = np.arange(8) * 0.05
    contact = find_contacts(heights, places, 50.0)[:, 0]
    assert contact[:10].all()
    assert not contact[10:20].any()
    assert not contact[24:].any()


# ---- the real recordings


@pytest.mark.parametrize("name", DOGS)
def test_real_dogs_become_sound_clips(name, data_dir, go2):
    path = data_dir / "a1_mocap" / f"{name}.txt"
    raw = json.loads(path.read_text())
    frames = np.array(raw["Frames"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the files' rate is right, and every foot can be held
        warnings.filterwarnings("ignore", ".*legs are in the order FR FL RR RL", ImportNote)
        clip = formats.read(path, go2)
    assert len(clip) == len(frames)
    assert np.isclose(clip.fps, 1 / 0.021)
    # the recordings' own: loops cut where the motion does not close, front legs that cross in a turn
    assert {d.kind for d in check(clip, go2)} <= {"loop seam", "self-collision"}
    np.testing.assert_allclose(clip.qpos[:, :2], frames[:, :2])  # nothing is scaled
    np.testing.assert_allclose(heading(clip.qpos[:, 3:7]), heading(frames[:, [6, 3, 4, 5]]), atol=1e-4)
    assert np.ptp(clip.qpos[:, 2] - frames[:, 2]) < 1e-9  # the base is lifted by one number
    heights, places = foot_bottoms(go2, clip.qpos)
    assert heights.min() > -0.001
    down = (heights[:-1] < 0.005) & (heights[1:] < 0.005)
    slide = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * clip.fps
    assert down.mean() > 0.2
    assert slide[down].mean() < 0.02
    # the pose is still the dog's: joints in the file's own order, by name
    file = frames[:, 7:19][:, [JOINTS.index(n) for n in clip.joint_names]]
    assert np.sqrt(np.mean((clip.qpos[:, 7:] - file) ** 2)) < 0.1
    speed = np.linalg.norm(frames[-1, :2] - frames[0, :2]) / (0.021 * (len(frames) - 1))
    mean = (clip.qpos[-1, :2] - clip.qpos[0, :2]) / ((len(clip) - 1) / clip.fps)
    assert np.isclose(np.linalg.norm(mean), speed)


def test_wrap_is_believed_only_where_the_seam_closes(data_dir, go2):
    loops = {name: formats.read(data_dir / "a1_mocap" / f"{name}.txt", go2).loop for name in DOGS}
    assert loops == {name: name in ("pace0", "trot0", "trot1") for name in DOGS}


def test_a_wrong_frame_duration_is_told(tmp_path, data_dir, go2):
    data = json.loads((data_dir / "a1_mocap" / "trot0.txt").read_text())
    data["FrameDuration"] = 0.0105
    (tmp_path / "fast.txt").write_text(json.dumps(data))
    with (
        pytest.warns(FrameRateWarning, match="joint velocities are 0.50 times"),
        pytest.warns(FrameRateWarning, match="base velocities are 0.50 times .* would fit 0.02"),
    ):
        formats.read(tmp_path / "fast.txt", go2)
