"""The droid's emotes: each does what its name says, and what a body can do."""

import mujoco
import numpy as np
from motion_clips import foot_bottoms

from robopolicy.motion.clip import load_clips
from robopolicy.motion.mirror import Mirror


def gaze(droid, clip):
    """Heading and pitch of the head in the world [rad]. Shape (K, 2)."""
    data, out = mujoco.MjData(droid.mj), []
    for q in clip.qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(droid.mj, data)
        forward = data.body("head").xmat.reshape(3, 3)[:, 0]
        out.append((np.arctan2(forward[1], forward[0]), -np.arcsin(forward[2])))
    return np.array(out)


def test_look_around_looks_left_then_right(droid):
    yaw = gaze(droid, load_clips("droid", "look_around")[0])[:, 0]
    assert yaw.max() > 0.5
    assert yaw.min() < -0.5
    assert yaw.argmax() < yaw.argmin()


def test_happy_nod_nods_three_times_ever_less(droid):
    clip = load_clips("droid", "happy_nod")[0]
    pitch = gaze(droid, clip)[:, 1]
    low = [k for k in range(1, 100) if pitch[k] > 0.1 and pitch[k - 1] < pitch[k] >= pitch[k + 1]]
    assert len(low) == 3
    assert pitch[low[0]] > pitch[low[1]] > pitch[low[2]]
    height = clip.qpos[:, 2]
    dips = [k for k in range(20, 100) if height[k - 1] > height[k] <= height[k + 1]]
    assert all(0 < nod - min(dips, key=lambda d: abs(d - nod)) < 8 for nod in low)  # the head follows the body


def turns(values, least):
    """Values at the extremes that differ from their neighbours by at least so much."""
    extremes = [k for k in range(1, len(values) - 1) if (values[k] - values[k - 1]) * (values[k + 1] - values[k]) <= 0]
    found = [values[0]]
    for k in extremes:
        if abs(values[k] - found[-1]) > least:
            found.append(values[k])
    return found[1:]


def test_shake_no_shakes_ever_less(droid):
    yaw = gaze(droid, load_clips("droid", "shake_no")[0])[:, 0]
    swings = np.abs(np.diff(turns(yaw[:110], 0.15)))  # up to the last glance away
    assert len(swings) >= 4
    assert (np.diff(swings[1:]) < 0).all()  # the first only gathers


def test_happy_hop_leaves_the_ground_twice_as_gravity_allows(droid):
    clip = load_clips("droid", "happy_hop")[0]
    up = foot_bottoms(droid, clip.qpos)[0].min(axis=1) > 0.005
    spells = np.flatnonzero(np.diff(np.concatenate([[0], up.astype(int), [0]]))).reshape(-1, 2)
    assert len(spells) == 2
    lasted = (spells[:, 1] - spells[:, 0]) / 50
    assert lasted[0] > lasted[1] > 0.05  # the second is smaller
    data, height = mujoco.MjData(droid.mj), []
    for q in clip.qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(droid.mj, data)
        mujoco.mj_comPos(droid.mj, data)
        height.append(data.subtree_com[droid.base_body, 2])
    fall = np.gradient(np.gradient(height, 1 / 50), 1 / 50)
    for first, end in spells:
        np.testing.assert_allclose(fall[first + 1 : end - 1], -9.81, atol=0.05)
    assert clip.qpos[:, 2].max() - droid.home_qpos[2] > 0.04


def test_sad_slump_is_low_and_slow_and_looks_down(droid):
    clip = load_clips("droid", "sad_slump")[0]
    held = slice(130, 220)
    assert clip.qpos[held, 2].max() < droid.home_qpos[2] - 0.05
    assert gaze(droid, clip)[held, 1].min() > np.radians(45)
    fastest = np.abs(clip.qvel[:, 6:]).max()
    assert fastest < 0.5 * min(np.abs(load_clips("droid", n)[0].qvel[:, 6:]).max() for n in ("happy_hop", "happy_nod"))


def test_curious_tilt_keeps_its_eyes_on_the_thing_while_its_head_tips_both_ways(droid):
    clip = load_clips("droid", "curious_tilt")[0]
    data, tips = mujoco.MjData(droid.mj), []
    for q in clip.qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(droid.mj, data)
        tips.append(np.arcsin(data.body("head").xmat.reshape(3, 3)[2, 1]))
    assert min(tips) < -np.radians(18)
    assert max(tips) > np.radians(22)
    looks = gaze(droid, clip)[45:190, 0]
    assert np.radians(5) < looks.min()
    assert looks.max() < np.radians(16)


def test_the_dance_steps_on_the_beat_and_mirrors_itself(droid):
    clip = load_clips("droid", "dance")[0]
    np.testing.assert_allclose(clip.qpos[120:], Mirror(droid).qpos(clip.qpos[:120]), atol=1e-6)
    up = foot_bottoms(droid, clip.qpos)[0] > 0.003
    for foot in range(2):
        spells = np.flatnonzero(np.diff(up[:, foot].astype(int))).reshape(-1, 2)
        assert len(spells) == 3
        beats = (spells.mean(axis=1) / 50 - 0.24) / 0.48
        np.testing.assert_allclose(beats, np.round(beats), atol=0.1)
        side = 1 if foot == 1 else -1  # it hangs over the other foot
        assert (side * clip.qpos[spells.mean(axis=1).astype(int), 1] > 0.04).all()


def test_idle_breathing_breathes_twice_and_hardly_moves(droid):
    clip = load_clips("droid", "idle_breathing")[0]
    assert np.argmax(np.abs(np.fft.rfft(clip.qpos[:, 2] - clip.qpos[:, 2].mean()))) == 2
    assert np.abs(clip.qvel[:, :3]).max() < 0.03
