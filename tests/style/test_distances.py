"""Windows, samples and distances of motions that are clips themselves."""

import numpy as np
import pytest
import torch
from small_envs import compiled

from robopolicy.errors import UserError
from robopolicy.evaluate import style_features
from robopolicy.style.distances import WINDOW, Yardstick, sample, windows
from robopolicy.style.measures import gait, mean_speed, measure, pose_error, transport
from robopolicy.style.motions import ClipSet, Motion, load_clip_set
from robopolicy.style.tables import _of_control

DT = 0.02


@pytest.fixture(scope="module")
def trot() -> ClipSet:
    return load_clip_set("trot", ("trot_forward_0.60", "trot_turn_left_0.80"), compiled("go2"), DT)


@pytest.fixture(scope="module")
def pace() -> ClipSet:
    return load_clip_set("pace", ("pace_forward_0.60", "pace_turn_left_0.80"), compiled("go2"), DT)


def under(clips: ClipSet, other: ClipSet) -> list[Motion]:
    """The trained halves of one set as if a policy had made them under the commands of another."""
    return [Motion(name, m.qpos, m.qvel, m.height) for name, m in zip(other.names, clips.trained, strict=True)]


def test_a_window_is_a_run_of_consecutive_frames(trot: ClipSet):
    motion = trot.held_out[0]
    features = style_features(torch.from_numpy(motion.qpos), torch.from_numpy(motion.qvel)).numpy()
    rows = windows(motion, DT)
    assert len(rows) == len(motion) - WINDOW + 1
    np.testing.assert_array_equal(rows[5].reshape(WINDOW, -1), features[5 : 5 + WINDOW])
    assert len(windows(Motion("x", motion.qpos[:3], motion.qvel[:3], motion.height[:3]), DT)) == 0


def test_every_clip_has_as_many_windows_in_a_sample(trot: ClipSet):
    long = [*trot.held_out, *[trot.held_out[0]] * 5]
    assert len(sample(long, trot.names, DT)) == len(sample(trot.held_out, trot.names, DT))


def test_a_gait_is_nearest_to_itself_and_its_shuffle_is_not(trot: ClipSet, pace: ClipSet):
    ruler = Yardstick([trot, pace], DT)
    near, far, mixed = (
        ruler.distance(trot.trained, motions, trot.names)
        for motions in (trot.held_out, under(pace, trot), trot.shuffled(compiled("go2"), DT))
    )
    assert near is not None
    assert far is not None
    assert mixed is not None
    for name in ("frechet", "mmd", "movement"):
        assert getattr(near, name) < 0.1 * getattr(far, name)
    assert mixed.movement > far.movement


def test_joints_out_of_step_are_far_from_the_clip_and_standing_still_is_as_far_from_both(trot: ClipSet):
    """The control that a robot which does nothing must not pass."""
    model, ruler = compiled("go2"), Yardstick([trot], DT)
    apart = trot.out_of_step(model, DT)
    for clip, other in zip(trot.held_out, apart, strict=True):  # every joint does what it did, at another moment
        np.testing.assert_allclose(np.sort(other.joints, axis=0), np.sort(clip.joints, axis=0))
        np.testing.assert_array_equal(other.qpos[:, :7], clip.qpos[:, :7])
    still = [
        Motion(m.clip, np.tile(model.home_qpos, (len(m), 1)), np.zeros_like(m.qvel), m.height) for m in trot.held_out
    ]
    ratios = []
    for motions in (trot.trained, still):
        near, far = (ruler.distance(motions, to, trot.names) for to in (trot.held_out, apart))
        assert near is not None
        assert far is not None
        ratios.append(far.movement / max(near.movement, 1e-3))
    assert ratios[1] < 1.05 < 20 < ratios[0]
    assert not _of_control("still", 1.0, 5.0, ratios[1]).passed
    assert _of_control("copy", 1.0, 5.0, ratios[0]).passed


def test_distances_are_known_even_if_all_fell(trot: ClipSet):
    fallen = [
        Motion(name, m.qpos[:0], m.qvel[:0], m.height[:0], missing=300) for name, m in zip(trot.names, trot.held_out)
    ]
    ruler = Yardstick([trot], DT)
    found = measure(fallen, trot, ruler, 15.0)
    assert found.frechet is None
    assert found.dtw_rad == 1.0
    assert found.survival == 0.0
    assert found.gait.strides == 0
    assert found.cost_of_transport is None


def test_a_copy_scores_as_a_copy(trot: ClipSet, pace: ClipSet):
    ruler = Yardstick([trot], DT)
    copy, other = measure(trot.trained, trot, ruler, 15.0), measure(under(pace, trot), trot, ruler, 15.0)
    assert copy.dtw_rad is not None
    assert copy.dtw_rad < 0.01 < (other.dtw_rad or 0)
    assert copy.auc_windows == pytest.approx(0.5, abs=0.1)
    assert other.auc_windows == pytest.approx(1.0, abs=0.01)
    assert copy.survival == 1.0
    assert copy.gait.phase == pytest.approx([0.0, 0.5, 0.5, 0.0], abs=0.03)
    assert other.gait.phase == pytest.approx([0.0, 0.5, 0.0, 0.5], abs=0.03)


def test_a_fall_costs_in_the_pose_error(trot: ClipSet):
    whole = pose_error(trot.trained, trot, DT)
    broken = [Motion(m.clip, m.qpos[:50], m.qvel[:50], m.height[:50], missing=50) for m in trot.trained]
    error = pose_error(broken, trot, DT)
    assert whole is not None
    assert error is not None
    assert error > whole + 0.4


def test_transport_is_work_over_way_of_those_who_travel(trot: ClipSet):
    m = trot.trained[0]
    assert mean_speed(m) == pytest.approx(0.6, abs=0.01)
    power = np.full(len(m), 50.0)
    told = [
        Motion("a", m.qpos, m.qvel, m.height, speed=0.6, power=power),
        Motion("b", m.qpos, m.qvel, m.height, power=power),
    ]
    assert transport(told, 15.0) == pytest.approx(50 / (15 * 9.81 * mean_speed(m)))
    assert transport(told[1:], 15.0) is None


def test_a_gait_of_no_steps(trot: ClipSet):
    stand = load_clip_set("stand", ("stand",), compiled("go2"), DT)
    assert gait(stand.held_out, DT).frequency_hz is None


def test_clips_that_are_too_fast_are_left_out_by_name(trot: ClipSet):
    low, high = np.array([0.0, -0.1, -0.2]), np.array([0.7, 0.1, 0.2])
    kept = trot.within(low, high)
    assert kept.names == ("trot_forward_0.60",)
    assert kept.left_out == ("trot_turn_left_0.80",)
    assert len(kept.held_out) == len(kept.trained) == len(kept.commands) == 1
    with pytest.raises(UserError, match=r"no clip of 'trot'.*vx 0\.\.0\.1.*trot_forward_0\.60 0\.60"):
        trot.within(low, np.array([0.1, 0.1, 0.2]))
