"""What was planted in a good clip is repaired: the result is clean, and near the undamaged clip."""

import dataclasses
import zlib

import numpy as np
import pytest
from planted import NEEDS_LOOP, PLANTERS, changed

from robopolicy.motion.check import check
from robopolicy.motion.clip import Clip, load_clips
from robopolicy.motion.fix import fix
from robopolicy.motion.pose import quat_conj, quat_log, quat_mul

GOOD = (("droid", "walk_forward_0.30"), ("droid", "happy_nod"), ("go2", "trot_forward_0.60"), ("go2", "stand"))
CLOSE = {
    "nan": 0.03,
    "norm": 1e-9,
    "sign": 1e-9,
    "held frame": 0.02,
    "inserted frame": 1e-9,
    "first again": 1e-9,
    "every second": 0.03,
    "pulled down": 1e-9,
    "nearly every second": 0.03,
    "spike": 0.02,
    "teleport": 1e-9,
    "scaled velocity": 0.0,
    "velocity spike": 0.0,
    "drift": 0.04,
    "slide": 1e-9,
    "sunk": 1e-9,
    "dip": 1e-9,
    "raised": 1e-9,
    "hovering": 1e-9,
    "relabelled": 0.0,
}
"""How near to the undamaged clip every joint must come back [rad]. Missing: kinds of which the original is lost."""
MISJUDGED = {"held frame": 0.05}
"""Share of cases that may come back clean, but not as the original was: where a foot lands, a frame that was lost and
one that was put in look alike, so that the clip may lose the frame instead of getting it back."""
CASES = [(p, r, n, loop) for p in CLOSE for r, n in GOOD for loop in (True, False) if loop or p not in NEEDS_LOOP]


def repaired(planter: str, clip: Clip, model, seed: int):
    damaged, _ = PLANTERS[planter][1](clip, model, np.random.default_rng(seed))
    assert check(damaged, model) != []
    return fix(damaged, model)


def difference(one: Clip, other: Clip) -> tuple[float, float, float]:
    """Largest difference of base position [m], rotation and joints [rad]; a last frame may be missing."""
    count = len(one)
    assert len(other) - count in (0, 1)
    turn = quat_log(quat_mul(quat_conj(one.qpos[:, 3:7]), other.qpos[:count, 3:7]))
    away = np.abs(one.qpos - other.qpos[:count])
    return float(away[:, :3].max()), float(np.abs(turn).max()), float(away[:, 7:].max())


@pytest.mark.parametrize(("planter", "robot", "name", "loop"), CASES)
def test_a_planted_defect_is_repaired(planter, robot, name, loop, request):
    model, clip = request.getfixturevalue(robot), load_clips(robot, name)[0]
    clip = clip if loop else dataclasses.replace(clip, loop=False)
    repair = repaired(planter, clip, model, zlib.crc32(f"{planter} {name} {loop}".encode()))
    assert repair.left == []
    assert check(repair.clip, model) == []
    assert repair.changes
    assert repair.clip.fps == pytest.approx(clip.fps)
    position, turn, joints = difference(repair.clip, clip)
    assert joints <= CLOSE[planter] + 1e-12
    assert position < 0.006
    assert turn < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("planter", CLOSE)
def test_many_planted_defects_are_repaired(planter, droid, go2):
    unclean, far, count = [], [], 0
    for _, robot, name, loop in (case for case in CASES if case[0] == planter):
        model, clip = droid if robot == "droid" else go2, load_clips(robot, name)[0]
        clip = clip if loop else dataclasses.replace(clip, loop=False)
        for seed in range(10):
            repair, count = repaired(planter, clip, model, seed), count + 1
            if repair.left:
                unclean.append((name, loop, seed, [d.kind for d in repair.left]))
            elif difference(repair.clip, clip)[2] > CLOSE[planter] + 1e-12:
                far.append((name, loop, seed))
    assert unclean == []
    assert len(far) <= MISJUDGED.get(planter, 0.0) * count, far


def test_a_clean_clip_comes_back_as_it_is(droid):
    clip = load_clips("droid", "walk_forward_0.30")[0]
    repair = fix(clip, droid)
    assert repair.changes == []
    assert repair.left == []
    assert repair.clip.content_hash() == clip.content_hash()


def hops(droid, stance: int = 10) -> Clip:
    """A droid that hops in place and looks round, in the air for most of the time."""
    k = np.arange(15)
    flight = 0.5 * 9.81 * (k + 1) * (15 - k) / 50**2
    height = np.tile(np.concatenate([np.zeros(stance), flight]), 5)
    qpos = np.tile(np.concatenate([droid.home_qpos[:7], droid.default_pose]), (len(height), 1))
    qpos[:, 2] += height
    qpos[:, 7 + droid.joint_names.index("head_yaw")] = 0.2 * np.sin(np.arange(len(qpos)) / 15)  # it never stands still
    clip = Clip("hops", 50.0, tuple(droid.joint_names), qpos, np.zeros((len(qpos), 20)), loop=False, robot="droid")
    return changed(clip, qpos)


def test_a_hop_is_not_put_on_the_ground(droid):
    clip = hops(droid)
    qpos = clip.qpos.copy()
    qpos[53, 2] -= 0.012  # in a stance
    damaged = changed(clip, qpos)
    assert "penetration" in {d.kind for d in check(damaged, droid)}
    repair = fix(damaged, droid)
    assert "penetration" not in {d.kind for d in repair.left}
    np.testing.assert_allclose(repair.clip.qpos, clip.qpos, atol=1e-3)


def test_a_hop_in_the_ground_is_lifted_as_a_whole(droid):
    clip = hops(droid)
    qpos = clip.qpos.copy()
    qpos[:, 2] -= 0.04
    repair = fix(changed(clip, qpos), droid)
    assert "lifted by 40 mm, onto the ground" in repair.changes
    np.testing.assert_allclose(repair.clip.qpos, clip.qpos, atol=1e-3)


def test_a_hop_that_hovers_is_lowered_as_a_whole(droid):
    """Its flights are longer than its stances, and their tops slow."""
    clip = hops(droid, stance=4)
    assert not {"floating", "foot sliding"} & {d.kind for d in check(clip, droid)}
    qpos = clip.qpos.copy()
    qpos[:, 2] += 0.012
    repair = fix(changed(clip, qpos), droid)
    assert "lowered by 12 mm, onto the ground" in repair.changes
    np.testing.assert_allclose(repair.clip.qpos, clip.qpos, atol=1e-3)


def test_a_clip_that_hovers_and_skates_is_put_down_and_held(droid):
    stand = load_clips("droid", "stand_idle")[0]
    qpos = stand.qpos.copy()
    qpos[:, 2] += 0.012
    qpos[:, 1] += 0.4 * np.arange(len(qpos)) / stand.fps
    damaged = changed(dataclasses.replace(stand, loop=False), qpos)
    assert {d.kind for d in check(damaged, droid)} == {"floating", "foot sliding"}
    repair = fix(damaged, droid)
    assert repair.left == []
    assert difference(repair.clip, stand)[0] < 0.006


def test_limits_are_clamped_and_nothing_else(droid):
    clip = load_clips("droid", "stand_idle")[0]
    damaged, beyond = PLANTERS["beyond limit"][1](clip, droid, np.random.default_rng(3))
    repair = fix(damaged, droid)
    assert repair.left == []
    np.testing.assert_allclose(repair.clip.qpos[:, 7:], np.clip(damaged.qpos[:, 7:], droid.lower, droid.upper))
    changed_frames = (repair.clip.qpos != damaged.qpos).any(axis=1)
    assert set(np.flatnonzero(changed_frames).tolist()) == beyond


def test_a_loop_cut_in_mid_stride_is_cut_where_it_closes(droid):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    short = changed(walk, walk.qpos[:-7])
    repair = fix(short, droid)
    assert repair.left == []
    assert repair.clip.loop
    assert abs(len(repair.clip) - 96) <= 1  # three of its four strides of 32 frames
    assert any("cut off: the loop closes there" in change for change in repair.changes)


def test_a_kink_at_the_seam_is_smoothed(droid):
    nod = load_clips("droid", "happy_nod")[0]
    damaged, _ = PLANTERS["kink"][1](nod, droid, np.random.default_rng(0))
    repair = fix(damaged, droid)
    assert repair.left == []
    assert repair.clip.loop
    moved = np.flatnonzero(np.abs(repair.clip.qpos - damaged.qpos).max(axis=1) > 1e-9)
    assert set(moved.tolist()) <= {0, 1, 2, 3, len(nod) - 4, len(nod) - 3, len(nod) - 2, len(nod) - 1}


def test_several_defects_at_once(droid):
    """Repeated frames, a flip, a spike and a wrong height in one clip."""
    nod = load_clips("droid", "happy_nod")[0]
    qpos = np.repeat(nod.qpos[::2], 2, axis=0)
    qpos[:, 2] -= 0.02
    qpos[40:, 3:7] *= -1
    qpos[90, 7 + droid.joint_names.index("head_yaw")] += 0.8
    repair = fix(changed(nod, qpos), droid)
    assert repair.left == []
    assert len(repair.changes) == 5  # those four, and velocities
    position, _, joints = difference(repair.clip, nod)
    assert position < 0.006
    assert joints < 0.05


def test_feet_that_slide_apart_are_locked(go2):
    """One foot creeps under a standing robot: no motion of the base undoes that."""
    stand = load_clips("go2", "stand")[0]
    qpos = stand.qpos.copy()
    qpos[:, 7 + go2.joint_names.index("FL_hip")] += 0.15 * np.sin(np.linspace(0, 12 * np.pi, len(qpos)))
    damaged = changed(stand, qpos)
    assert "foot sliding" in {d.kind for d in check(damaged, go2)}
    repair = fix(damaged, go2)
    assert repair.left == []
    assert any("feet locked" in change for change in repair.changes)
    assert difference(repair.clip, stand)[2] < 0.1


@pytest.mark.parametrize(("planter", "kind"), [("crossed", "self-collision"), ("beyond speed", "joint speed")])
def test_what_cannot_be_repaired_is_said(planter, kind, droid):
    clip = load_clips("droid", "stand_idle")[0]
    repair = repaired(planter, clip, droid, 0)
    assert kind in {d.kind for d in repair.left}


def test_a_rate_that_only_the_gait_contradicts_is_left_alone(droid):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    damaged = dataclasses.replace(walk, fps=100.0, qvel=2 * walk.qvel)
    repair = fix(damaged, droid)
    assert repair.clip.fps == 100
    assert {d.kind for d in repair.left} == {"wrong rate"}


def test_a_phase_that_is_no_number_is_filled_round_the_circle(droid):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    assert walk.phase is not None
    phase = walk.phase.copy()
    wraps = int(np.flatnonzero(np.diff(phase) < 0)[0])
    phase[[0, 1, wraps, wraps + 1, len(walk) - 1]] = np.nan
    damaged = dataclasses.replace(walk, phase=phase)
    assert [(d.kind, d.frames[:2]) for d in check(damaged, droid)] == [("not a number", (0, 1))]
    repair = fix(damaged, droid)
    assert repair.left == []
    assert repair.changes == [
        f"phase that was no number filled from its neighbours in frames 0-1, {wraps}-{wraps + 1}, {len(walk) - 1}"
    ]
    assert repair.clip.phase is not None
    np.testing.assert_allclose(np.mod(repair.clip.phase - walk.phase + 0.5, 1.0), 0.5, atol=1e-9)


@pytest.mark.parametrize("where", [slice(40, 50), slice(0, 1)])
def test_a_phase_that_cannot_be_filled_is_left_out(where, droid):
    walk = dataclasses.replace(load_clips("droid", "walk_forward_0.30")[0], loop=False)
    assert walk.phase is not None
    phase = walk.phase.copy()
    phase[where] = np.nan
    repair = fix(dataclasses.replace(walk, phase=phase), droid)
    assert repair.clip.phase is None
    assert repair.left == []
    assert any("phase left out" in change for change in repair.changes)


def test_velocities_that_were_no_numbers_follow_the_repaired_positions(droid):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    damaged, _ = PLANTERS["spike"][1](walk, droid, np.random.default_rng(1))
    qvel = damaged.qvel.copy()
    qvel[3] = np.nan
    repair = fix(dataclasses.replace(damaged, qvel=qvel), droid)
    assert repair.left == []
    np.testing.assert_allclose(repair.clip.qvel, changed(walk, repair.clip.qpos).qvel, atol=1e-9)


def test_a_long_gap_is_not_invented(droid):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    qpos = walk.qpos.copy()
    qpos[50:70, 9] = np.nan
    repair = fix(dataclasses.replace(walk, qpos=qpos), droid)
    assert repair.changes == []
    assert {d.kind for d in repair.left} == {"not a number"}
