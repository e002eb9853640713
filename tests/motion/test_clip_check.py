"""Each planted defect is found and its frames named; sound clips raise no alarm."""

import dataclasses

import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.motion.check import check, contact_speed, spans
from robopolicy.motion.check.verdict import verdict
from robopolicy.motion.clip import Clip, load_clips, velocities
from robopolicy.motion.fix import fix
from robopolicy.motion.importing.recording import closes


@pytest.fixture(scope="module")
def walk() -> Clip:
    return load_clips("droid", "walk_forward_0.30")[0]


def changed(clip: Clip, qpos: np.ndarray | None = None, **changes) -> Clip:
    """The clip with other positions, and the velocities that belong to them."""
    if qpos is not None:
        loop = changes.get("loop", clip.loop)
        changes |= {"qpos": qpos, "qvel": velocities(qpos, clip.fps, clip.cycle() if loop else None)}
        if len(qpos) != len(clip):
            changes["phase"] = None
    return dataclasses.replace(clip, **changes)


def kinds(clip, model):
    return {defect.kind: defect for defect in check(clip, model)}


def test_not_a_number(walk, droid):
    qpos = walk.qpos.copy()
    qpos[[3, 4], 9] = np.nan
    found = kinds(dataclasses.replace(walk, qpos=qpos), droid)
    assert set(found) == {"not a number"}
    assert found["not a number"].frames == (3, 4)
    assert "columns 9" in str(found["not a number"])


def test_quaternion_norm(walk, droid):
    qpos = walk.qpos.copy()
    qpos[10, 3:7] *= 1.1
    assert kinds(dataclasses.replace(walk, qpos=qpos), droid)["quaternion norm"].frames == (10,)


def test_quaternion_sign(walk, droid):
    qpos = walk.qpos.copy()
    qpos[20:, 3:7] *= -1
    found = kinds(dataclasses.replace(walk, qpos=qpos), droid)
    assert set(found) == {"quaternion sign"}
    assert found["quaternion sign"].frames == (20,)


def test_every_second_frame_duplicated(walk, droid):
    """As in NVIDIA's stock humanoid clips: velocities then alternate between zero and twice the truth."""
    qpos = np.repeat(walk.qpos[::2], 2, axis=0)
    for loop in (True, False):
        found = kinds(changed(walk, qpos, loop=loop), droid)
        assert set(found["duplicated frames"].frames) >= set(range(3, 127, 2))


def test_one_duplicated_frame(walk, droid):
    qpos = np.insert(walk.qpos, 50, walk.qpos[50], axis=0)
    assert kinds(changed(walk, qpos, loop=False), droid)["duplicated frames"].frames == (51,)


def test_a_turning_point_at_the_seam_is_no_duplicate(droid):
    """The head stops there for a moment: the steps beside that of the seam go opposite ways."""
    stand = load_clips("droid", "stand_idle")[0]
    qpos = np.tile(stand.qpos[:1], (100, 1))
    qpos[:, 7 + droid.joint_names.index("head_yaw")] = 0.5 * np.cos(2 * np.pi * (np.arange(100) + 0.51) / 100)
    found = kinds(changed(dataclasses.replace(stand, phase=None), qpos), droid)
    assert "duplicated frames" not in found


def test_a_turning_point_within_a_clip_is_no_duplicate(droid):
    """Frames that lie evenly on both sides of it are equal."""
    stand = load_clips("droid", "stand_idle")[0]
    qpos = np.tile(stand.qpos[:1], (100, 1))
    qpos[:, 7 + droid.joint_names.index("head_yaw")] = 0.5 * np.cos(2 * np.pi * (np.arange(100) - 30.5) / 100)
    assert np.ptp(qpos[30:32], axis=0).max() < 1e-12
    clip = changed(dataclasses.replace(stand, phase=None), qpos)
    assert "duplicated frames" not in kinds(clip, droid)
    again = np.insert(qpos, 10, qpos[10], axis=0)
    assert kinds(changed(clip, again), droid)["duplicated frames"].frames == (11,)


def test_a_held_pose_is_no_duplicate(droid):
    """A person may hold a pose for half a second."""
    stand = load_clips("droid", "stand_idle")[0]
    qpos = np.insert(stand.qpos, [60] * 25, stand.qpos[60], axis=0)
    assert "duplicated frames" not in kinds(changed(stand, qpos, loop=False), droid)


@pytest.mark.parametrize(("columns", "what"), [(slice(0, 3), "base linear"), (slice(6, None), "joint")])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_velocities_of_another_rate(walk, droid, columns, what, factor):
    qvel = walk.qvel.copy()
    qvel[:, columns] *= factor
    found = kinds(dataclasses.replace(walk, qvel=qvel), droid)
    assert set(found) == {"velocity"}
    assert what in found["velocity"].detail
    assert f"{factor:.2f} times" in found["velocity"].detail


def test_velocity_in_the_wrong_frame(droid):
    clip = load_clips("droid", "walk_forward_0.30_turn_left_0.40")[0]
    qvel = clip.qvel.copy()
    qvel[:, :2] = clip.planar_velocity(0.0)[:, :2]
    assert "velocity" in kinds(dataclasses.replace(clip, qvel=qvel), droid)


def test_one_wild_velocity(walk, droid):
    qvel = walk.qvel.copy()
    qvel[33, 8] = 60.0
    found = kinds(dataclasses.replace(walk, qvel=qvel), droid)
    assert 33 in found["velocity"].frames


def test_loop_seam(walk, droid):
    qpos = walk.qpos[:-7]
    found = kinds(changed(walk, qpos), droid)
    assert found["loop seam"].frames == (len(qpos) - 1,)
    assert "loop seam" not in kinds(changed(walk, qpos, loop=False), droid)


def test_a_loop_that_is_fast_at_its_seam_closes(droid):
    """A shake of the head in a calm clip, in full swing from the last frame to the first."""
    stand = dataclasses.replace(load_clips("droid", "stand_idle")[0], phase=None)
    count, qpos = len(stand), stand.qpos.copy()
    t = (np.arange(count) + count // 2) % count - count // 2 + 0.5  # frames from the seam
    qpos[:, 7 + droid.joint_names.index("head_yaw")] += 0.15 * np.sin(0.5 * t) * np.exp(-((t / 6) ** 2))
    shake = changed(stand, qpos)
    assert check(shake, droid) == []
    assert fix(shake, droid).clip.loop
    assert closes(qpos)
    drifting = qpos.copy()
    drifting[:, 7 + droid.joint_names.index("head_pitch")] += 0.3 * np.arange(count) / count
    assert "loop seam" in kinds(changed(stand, drifting), droid)
    assert not closes(drifting)


def test_joint_limit(walk, droid):
    qpos = walk.qpos.copy()
    qpos[40:43, 7 + droid.joint_names.index("head_yaw")] = 1.0
    defect = kinds(changed(walk, qpos), droid)["joint limit"]
    assert defect.frames == (40, 41, 42)
    assert "head_yaw is 0.128 rad beyond" in defect.detail


def test_joint_speed(walk, droid):
    """To and fro on a ramp of 1.2 times the motor's speed; the stored velocities are not asked."""
    joint = droid.joint_names.index("head_yaw")
    step = 1.2 * droid.velocity_limit[joint] / walk.fps
    qpos = walk.qpos.copy()
    qpos[40:47, 7 + joint] += step * np.array([0, 1, 2, 3, 2, 1, 0])
    for clip in (changed(walk, qpos), dataclasses.replace(walk, qpos=qpos)):
        found = kinds(clip, droid)
        assert "jump" not in found
        assert "head_yaw" in found["joint speed"].detail
        assert set(found["joint speed"].frames) == {41, 42, 44, 45}


@pytest.mark.parametrize("damage", ["a row of velocities", "a frame out of place"])
def test_what_can_be_repaired_is_no_reason_for_a_calmer_motion(walk, droid, damage):
    """Motors follow positions: one corrupt row of qvel, or one frame out of place, asks nothing of them."""
    clip = dataclasses.replace(walk, qpos=walk.qpos.copy(), qvel=walk.qvel.copy())
    if damage == "a row of velocities":
        clip.qvel[20] = 1000.0
        kind = "velocity"
    else:
        clip.qpos[20, 7 + droid.joint_names.index("head_pitch")] += 0.6
        kind = "jump"
    found = check(clip, droid)
    assert kind in {defect.kind for defect in found}
    assert ("joint speed" in {defect.kind for defect in found}) == (kind == "jump")
    assert verdict(found).startswith("repair with --fix")
    assert check(fix(clip, droid).clip, droid) == []


def test_foot_sliding(walk, droid):
    qpos = walk.qpos.copy()
    qpos[:, 0] *= 1.4  # the base runs ahead of its feet at 0.12 m/s
    found = [d for d in check(changed(walk, qpos, loop=False), droid) if d.kind == "foot sliding"]
    assert [d.detail[:26] for d in found] == ["l_foot slides at up to 0.1", "r_foot slides at up to 0.1"]
    assert all(len(d.frames) > 60 for d in found)


def test_penetration_and_floating(walk, droid):
    low, high = walk.qpos.copy(), walk.qpos.copy()
    low[:, 2] -= 0.02
    high[:, 2] += 0.08
    assert len(kinds(changed(walk, low), droid)["penetration"].frames) > 50
    assert kinds(changed(walk, high), droid)["floating"].frames == tuple(range(128))
    jump = walk.qpos.copy()
    jump[30:40, 2] += 0.08
    assert "floating" not in kinds(changed(walk, jump), droid)


def test_contact_speed_of_a_known_slide():
    down = np.array([True, True, True, False, True])
    place = np.array([[0, 0, 0], [0.01, 0, 0], [0.01, 0.02, 0], [0.5, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(contact_speed(down, place, 10.0), [0.1, 0.2, 0, 0, 0])


def test_a_clip_of_another_robot(go2, walk):
    with pytest.raises(UserError, match="does not fit robot 'go2'"):
        check(walk, go2)


def test_frames_are_told_as_spans():
    assert spans((3, 7, 8, 9, 12, 8)) == "3, 7-9, 12"
    assert spans(tuple(range(0, 40, 2))) == "0, 2, 4, 6, 8, 10, 12, 14 and 12 more"
