"""Feet that stand still: the chain's kinematics against MuJoCo's, planted defects mended, clean clips left alone."""

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest
from motion_clips import foot_bottoms

from robopolicy.motion.clip import Clip, estimate_cycle, load_clips, velocities
from robopolicy.motion.footlock import find_stances, lock_feet, lock_feet_report
from robopolicy.motion.legs import Leg
from robopolicy.motion.pose import difference, move, quat_from_euler, quat_mul
from robopolicy.robot import RobotModel, load_robot


@pytest.fixture(scope="module", params=["droid", "go2", "g1"])
def model(request) -> RobotModel:
    return load_robot(request.param).compile()


def random_states(model: RobotModel, count: int, spread: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(0)
    qpos = np.tile(model.home_qpos, (count, 1))
    qpos[:, :3] += rng.normal(0, 0.2, (count, 3))
    qpos[:, 3:7] = quat_from_euler(*rng.normal(0, 0.4, (3, count)))
    joints = model.default_pose + rng.normal(0, spread, (count, len(model.joint_names)))
    qpos[:, 7:] = np.clip(joints, model.lower + 0.05, model.upper - 0.05)
    return qpos


def mujoco_feet(model: RobotModel, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites (K, F, 3) and their x axes (K, F, 3) by plain MuJoCo."""
    data, places, forward = mujoco.MjData(model.mj), [], []
    for q in qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(model.mj, data)
        places.append(data.site_xpos[model.foot_sites].copy())
        forward.append(data.site_xmat[model.foot_sites].reshape(-1, 3, 3)[:, :, 0].copy())
    return np.array(places), np.array(forward)


def slide(model: RobotModel, clip: Clip) -> tuple[float, float]:
    """Mean speed over ground of feet whose lowest point is under 5 mm [m/s], and the deepest penetration [m]."""
    heights, places = foot_bottoms(model, clip.qpos)
    down = (heights[:-1] < 0.005) & (heights[1:] < 0.005)
    speed = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * clip.fps
    return float(speed[down].mean()), float(-heights.min())


def with_qpos(clip: Clip, qpos: np.ndarray) -> Clip:
    cycle = estimate_cycle(qpos) if clip.loop else None
    return dataclasses.replace(clip, qpos=qpos, qvel=velocities(qpos, clip.fps, cycle))


def forward_walk(model: RobotModel) -> Clip:
    return load_clips(model.robot.name, "walk_forward_0.20" if model.robot.name == "droid" else "trot_forward_0.60")[0]


# ---- kinematics of a leg


def test_a_legs_kinematics_is_mujocos(model):
    qpos = random_states(model, 20)
    places, forward = mujoco_feet(model, qpos)
    for foot in range(len(model.foot_sites)):
        place, quat, low = Leg(model, foot).forward(qpos[:, :7], qpos[:, 7:])
        np.testing.assert_allclose(place, places[:, foot], atol=1e-9)
        w, x, y, z = quat.T
        axis = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=1)
        np.testing.assert_allclose(axis, forward[:, foot], atol=1e-9)
        np.testing.assert_allclose(low, foot_bottoms(model, qpos)[0][:, foot], atol=1e-9)


def test_ik_finds_places_that_a_leg_can_reach(model):
    goal, start = random_states(model, 30, spread=0.15), random_states(model, 30, spread=0.0)
    start[:, :7] = goal[:, :7]
    for foot in range(len(model.foot_sites)):
        leg = Leg(model, foot)
        place, quat, low = leg.forward(goal[:, :7], goal[:, 7:])
        ground = np.column_stack([place[:, :2], low])
        angles, missing = leg.solve(goal[:, :7], start[:, 7:], ground, quat)
        assert np.abs(missing).max() < 5e-5
        start[:, 7 + leg.joints] = angles
        reached = mujoco_feet(model, start)[0][:, foot]
        np.testing.assert_allclose(reached, place, atol=1e-3)
        assert (angles >= model.lower[leg.joints]).all()
        assert (angles <= model.upper[leg.joints]).all()


def test_ik_says_what_is_missing_out_of_reach(go2):
    q = np.tile(go2.home_qpos, (1, 1))
    leg = Leg(go2, 0)
    place, quat, _ = leg.forward(q[:, :7], q[:, 7:])
    angles, missing = leg.solve(q[:, :7], q[:, 7:], place + [[0.0, 0.0, -1.0]], quat)
    q[:, 7 + leg.joints] = angles
    at = mujoco_feet(go2, q)[0][0, 0]
    assert missing[0, 2] < -0.5
    assert at[2] < place[0, 2] - 0.05  # it stretches towards it


# ---- locking


@pytest.mark.parametrize("name", ["droid", "go2"])
def test_clean_clips_stay_as_they_are(name):
    model = load_robot(name).compile()
    for clip in load_clips(name, "*"):
        locked = lock_feet(clip, model)
        change = np.abs(difference(clip.qpos, locked.qpos))
        assert change[:, :6].max() < 1e-3, clip.name
        assert change[:, 6:].max() < 0.15, clip.name  # single frames of a brisk swing, where the blend reaches into it
        assert change[:, 6:].mean() < 3e-3, clip.name


def drift(clip: Clip) -> np.ndarray:
    """The base creeps sideways and back."""
    qpos = clip.qpos.copy()
    qpos[:, 1] += 0.02 * np.sin(4 * np.pi * np.arange(len(clip)) / len(clip))
    return qpos


def too_fast(clip: Clip) -> np.ndarray:
    """The clip travels a quarter further than its feet step."""
    qpos = clip.qpos.copy()
    qpos[:, :2] *= 1.25
    return qpos


def too_high(clip: Clip) -> np.ndarray:
    return clip.qpos + np.eye(clip.qpos.shape[1])[2] * 0.04


def sunk_and_bobbing(clip: Clip) -> np.ndarray:
    qpos = clip.qpos.copy()
    qpos[:, 2] += -0.03 + 0.006 * np.sin(6 * np.pi * np.arange(len(clip)) / len(clip))
    return qpos


def wobbly(clip: Clip) -> np.ndarray:
    """The base turns about its vertical axis under planted feet."""
    qpos, t = clip.qpos.copy(), np.arange(len(clip)) / len(clip)
    zero = np.zeros_like(t)
    qpos[:, 3:7] = quat_mul(quat_from_euler(zero, zero, 0.05 * np.sin(4 * np.pi * t)), qpos[:, 3:7])
    return qpos


@pytest.mark.parametrize("plant", [drift, too_fast, too_high, sunk_and_bobbing, wobbly])
@pytest.mark.parametrize("name", ["droid", "go2"])
@pytest.mark.parametrize("loop", [True, False])
def test_planted_defects_are_mended(name, plant, loop):
    model = load_robot(name).compile()
    good = dataclasses.replace(forward_walk(model), loop=loop)
    bad = with_qpos(good, plant(good))
    locked, report = lock_feet_report(bad, model)
    before, after = slide(model, bad) if plant is not too_high else (1.0, 0.0), slide(model, locked)
    assert before[0] > 0.02 or before[1] > 0.01  # it was bad
    assert after[0] < 0.02
    assert after[1] < 0.002
    assert report.stance.mean() > 0.4
    assert not report.unreached.any()
    assert (locked.qpos[:, 7:] >= model.lower).all()
    assert (locked.qpos[:, 7:] <= model.upper).all()
    base = [0, 1, 3, 4, 5, 6]  # all of it but the height
    np.testing.assert_array_equal(locked.qpos[:, base], bad.qpos[:, base])
    steps = np.abs(np.diff(locked.qpos[:, 7:], axis=0)).max()
    assert steps < 1.5 * np.abs(np.diff(good.qpos[:, 7:], axis=0)).max() + 0.05  # no jumps
    np.testing.assert_allclose(
        locked.qvel, velocities(locked.qpos, bad.fps, estimate_cycle(bad.qpos) if loop else None)
    )


def test_a_loop_stays_closed(droid):
    good = forward_walk(droid)
    locked = lock_feet(with_qpos(good, too_fast(good)), droid)
    assert locked.loop
    seam = difference(locked.qpos[-1:], move(locked.qpos[:1], estimate_cycle(locked.qpos)))[0, 6:]
    usual = np.abs(np.diff(locked.qpos[:, 7:], axis=0)).max()
    assert np.abs(seam).max() <= usual


def test_known_stances_are_believed(droid):
    good = forward_walk(droid)
    stance = np.zeros((len(good), 2), bool)
    stance[:, 0] = True  # the left foot stays where it is on average, all the time
    short = dataclasses.replace(good, qpos=good.qpos[:20], qvel=good.qvel[:20], phase=None, loop=False)
    locked, report = lock_feet_report(short, droid, stance[:20])
    np.testing.assert_array_equal(report.stance, stance[:20])
    places = foot_bottoms(droid, locked.qpos)[1][:, 0]
    assert np.ptp(places[:, :2], axis=0).max() < 2e-3 or report.unreached.any()


def test_a_foot_in_the_air_is_no_stance():
    """One foot on the ground, one held 10 cm up and still: only the first stands."""
    heights = np.tile([0.0, 0.1], (100, 1))
    places = np.zeros((100, 2, 3))
    np.testing.assert_array_equal(find_stances(heights, places, 50.0), np.tile([True, False], (100, 1)))


def test_the_report_says_what_changed(go2):
    good = forward_walk(go2)
    report = lock_feet_report(with_qpos(good, too_high(good)), go2)[1]
    assert report.shift == pytest.approx(0.04, abs=1e-3)
    assert "base lowered by 40 mm" in str(report)
    runs = sum(int((np.diff(c.astype(int)) == 1).sum() + c[0]) for c in report.stance.T)
    assert f"{runs} stances" in str(report)


@pytest.mark.parametrize("name", ["dance", "high5", "jumpjack", "walk", "wave"])
def test_a_recorded_humanoid_stands_on_its_feet(data_dir: Path, name):
    g1 = load_robot("g1").compile()
    qpos = np.loadtxt(data_dir / "g1_kimodo" / f"{name}.csv", delimiter=",")
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    clip = Clip(name, 30.0, g1.joint_names, qpos, velocities(qpos, 30.0), loop=False)
    locked, report = lock_feet_report(clip, g1)
    sliding, depth = slide(g1, locked)
    assert sliding < 0.02
    assert depth < 0.003
    assert not report.unreached.any()
