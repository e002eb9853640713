"""Torques against plain MuJoCo, wrong rates of walks, falls and recordings, and the speed of it all."""

import dataclasses
import time

import mujoco
import numpy as np
import pytest
from planted import changed

from robopolicy.motion import formats
from robopolicy.motion.check import check
from robopolicy.motion.check.rate import stride
from robopolicy.motion.check.trace import follow, motor_power
from robopolicy.motion.clip import Clip, list_clips, load_clips
from robopolicy.robot import RobotModel

WALKS = {
    robot: [n for n in list_clips(robot) if n.startswith(("walk", "turn", "trot", "pace"))]
    for robot in ("droid", "go2")
}
DOGS = ("leftturn0", "pace0", "pace1", "rightturn0", "trot0", "trot1")


def still(model: RobotModel, qpos: np.ndarray, count: int = 30) -> Clip:
    pose = np.concatenate([qpos[:7], qpos[model.qpos_adr]])
    return Clip(
        "still", 50.0, model.joint_names, np.tile(pose, (count, 1)), np.zeros((count, len(pose) - 1)), loop=False
    )


def heavier(model: RobotModel, factor: float) -> RobotModel:
    spec = model.spec.copy()
    for body in spec.bodies:
        body.mass, body.inertia = body.mass * factor, body.inertia * factor
    return dataclasses.replace(model, spec=spec, mj=spec.compile())


# ---- torque


@pytest.mark.parametrize(("robot", "seconds", "share"), [("droid", 2.0, 0.02), ("go2", 1.25, 0.2)])
def test_standing_needs_what_the_servos_give_in_simulation(robot, seconds, share, request):
    """Plain MuJoCo lets the robot stand on its servos until it is nearly at rest (the Go2 would tip over later).

    Only joints that carry weight are compared: feet may also push against each other, as they do in the simulation, and
    nobody can tell from a pose how much. The droid's soles leave less room for that than the Go2's balls.
    """
    model = request.getfixturevalue(robot)
    data = mujoco.MjData(model.mj)
    data.qpos[:] = model.home_qpos
    for _ in range(round(seconds / model.mj.opt.timestep)):
        data.ctrl[:] = model.default_pose
        mujoco.mj_step(model.mj, data)
    assert np.abs(data.qvel).max() < 0.05
    given = data.qfrc_actuator[model.dof_adr]
    torque = follow(still(model, data.qpos), model).torque[15]
    friction = model.mj.dof_frictionloss[model.dof_adr]
    sagittal = [
        i for i, n in enumerate(model.joint_names) if n.endswith(("knee", "calf", "thigh", "hip_pitch", "ankle"))
    ]
    assert np.abs(given[sagittal]).max() > 9
    np.testing.assert_array_less(
        np.abs(torque - given)[sagittal], friction[sagittal] + share * np.abs(given[sagittal]).max()
    )


def test_knee_bends_take_the_power_that_the_servos_give_in_simulation(go2):
    """Plain MuJoCo lets a Go2 bend and stretch its legs on its servos; the clip is what they did, frame by frame."""
    model, mj = go2, go2.mj
    data = mujoco.MjData(mj)
    data.qpos[:] = model.home_qpos
    bend = np.array([{"thigh": 0.25, "calf": -0.5}.get(n.split("_")[1], 0.0) for n in model.joint_names])
    steps, qpos, power = round(0.02 / mj.opt.timestep), [], []
    for k in range(250):
        given = 0.0
        for i in range(steps):
            t = (k * steps + i) * mj.opt.timestep
            data.ctrl[:] = model.default_pose + bend * (1 - np.cos(2 * np.pi * t)) / 2
            mujoco.mj_step(mj, data)
            given += np.abs(data.qfrc_actuator * data.qvel)[model.dof_adr].sum() / steps
        qpos.append(np.concatenate([data.qpos[:7], data.qpos[model.qpos_adr]]))
        power.append(given)
    kept = slice(50, 250)  # once it goes up and down evenly
    clip = changed(still(model, model.home_qpos, 200), np.array(qpos[kept]))
    assert np.mean(power[kept]) > 5
    assert motor_power(clip, model).mean() == pytest.approx(np.mean(power[kept]), rel=0.15)


@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_in_the_air_torques_are_mj_inverse(robot, request):
    model = request.getfixturevalue(robot)
    rng, t = np.random.default_rng(1), np.arange(60) / 50
    qpos = np.tile(np.concatenate([model.home_qpos[:7], model.default_pose]), (60, 1))
    qpos[:, 2] += 1.0
    frequency, amplitude = rng.uniform(2, 5, len(model.lower)), 0.1
    middle = np.clip(model.default_pose, model.lower + 0.15, model.upper - 0.15)
    angle = frequency * t[:, None]
    qpos[:, 7:] = middle + amplitude * np.sin(angle)
    clip = changed(still(model, model.home_qpos, 60), qpos)
    data = mujoco.MjData(model.mj)
    data.qpos[:] = model.home_qpos
    data.qpos[2] += 1.0
    data.qpos[model.qpos_adr] = qpos[30, 7:]
    data.qvel[model.dof_adr] = (amplitude * frequency * np.cos(angle))[30]
    data.qacc[model.dof_adr] = (-amplitude * frequency**2 * np.sin(angle))[30]
    mujoco.mj_inverse(model.mj, data)
    truth = (data.qfrc_inverse + data.qfrc_constraint)[model.dof_adr]  # friction is a constraint: leave it out
    np.testing.assert_allclose(follow(clip, model).torque[30], truth, atol=0.02 + 0.05 * np.abs(truth).max())


@pytest.mark.parametrize(
    ("robot", "name", "factor"), [("droid", "walk_forward_0.30", 3.5), ("go2", "trot_in_place", 6)]
)
def test_a_robot_too_heavy_for_its_motors(robot, name, factor, request):
    model, clip = request.getfixturevalue(robot), load_clips(robot, name)[0]
    assert {d.kind for d in check(clip, heavier(model, factor))} == {"torque"}
    assert check(clip, heavier(model, 1.5)) == []


def test_a_motion_too_fast_for_its_motors(droid):
    nod = load_clips("droid", "happy_nod")[0]
    fast = dataclasses.replace(nod, fps=2.4 * nod.fps, qvel=2.4 * nod.qvel)
    found = [d for d in check(fast, droid) if d.kind == "torque"]
    assert any("head_pitch would need" in d.detail for d in found)
    # where it needs it: the head turns round, which is where its acceleration is largest
    column = 7 + droid.joint_names.index("head_pitch")
    acceleration = np.abs(np.gradient(np.gradient(fast.qpos[:, column])))
    assert acceleration[list(found[0].frames)].mean() > 2 * acceleration.mean()


# ---- rate


@pytest.mark.parametrize(("factor", "kind"), [(0.5, "slow strides"), (2.0, "wrong rate")])
@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_every_walk_at_a_wrong_rate(robot, factor, kind, request):
    model = request.getfixturevalue(robot)
    assert len(WALKS[robot]) > 10
    for clip in load_clips(robot, WALKS[robot]):
        for part in (clip, dataclasses.replace(clip, loop=False)):
            wrong = dataclasses.replace(part, fps=factor * part.fps, qvel=factor * part.qvel)
            told = [d.detail for d in check(wrong, model) if d.kind == kind]
            assert len(told) == 1, part.name
            assert "a stride takes" in told[0]
            assert "Froude number" in told[0]


@pytest.mark.parametrize(
    ("witness", "words"),
    [
        ("velocities", "its velocities are all 2.00 times the positions' rate of change, as at 50"),
        ("repeated frames", "every 2. frame repeats the one before"),
    ],
)
def test_slow_strides_with_another_witness_are_a_wrong_rate(witness, words, droid):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    slow = dataclasses.replace(walk, fps=25.0)  # its velocities are still those at 50
    if witness == "repeated frames":
        slow = changed(walk, np.repeat(walk.qpos, 2, axis=0))
    (told,) = [d.detail for d in check(slow, droid) if d.kind == "wrong rate"]
    assert "a stride takes 1.28 s" in told
    assert words in told


def test_no_alarm_on_the_rate_of_real_dogs(data_dir, go2):
    measured = 0
    for name in DOGS:
        clip = formats.read(data_dir / "a1_mocap" / f"{name}.txt", go2)
        assert not {"wrong rate", "slow strides"} & {d.kind for d in check(clip, go2)}, name
        measured += stride(clip, follow(clip, go2)) is not None
    assert measured >= 3  # some turn or stop too soon to have a rhythm


def test_the_stride_is_the_generators(droid, go2):
    for model, name, period in ((droid, "walk_forward_0.30", 0.64), (go2, "trot_forward_0.60", 0.48)):
        clip = load_clips(model.robot.name, name)[0]
        for part in (clip, dataclasses.replace(clip, loop=False)):
            found = stride(part, follow(part, model))
            assert found is not None
            assert found[0] == pytest.approx(period)


def test_a_fall_tells_the_rate(go2):
    """A jump of 12 cm: the whole robot on a parabola, by hand."""
    t = np.arange(100) / 50
    flight = (t > 0.8) & (t < 0.8 + 2 * np.sqrt(2 * 0.12 / 9.81))
    qpos = np.tile(np.concatenate([go2.home_qpos[:7], go2.default_pose]), (100, 1))
    rise = np.sqrt(2 * 9.81 * 0.12)
    qpos[flight, 2] += rise * (t[flight] - 0.8) - 0.5 * 9.81 * (t[flight] - 0.8) ** 2
    clip = changed(still(go2, go2.home_qpos, 100), qpos)
    assert "wrong rate" not in {d.kind for d in check(clip, go2)}
    for factor, falls in ((2.0, "39.2"), (0.5, "2.45")):
        wrong = dataclasses.replace(clip, fps=factor * 50, qvel=factor * clip.qvel)
        told = [d.detail for d in check(wrong, go2) if d.kind == "wrong rate"]
        assert len(told) == 1
        assert f"falls at {falls} m/s^2, as at 50" in told[0]


def test_velocities_tell_the_rate_they_were_written_for(droid):
    look = load_clips("droid", "look_around")[0]
    told = [d.detail for d in check(dataclasses.replace(look, fps=30.0), droid) if d.kind == "wrong rate"]
    assert len(told) == 1
    assert "velocities are all 1.67 times the positions' rate of change, as at 50" in told[0]


# ---- speed


def test_a_long_clip_is_checked_in_less_than_a_millisecond_a_frame(droid):
    walk = load_clips("droid", "walk_forward_0.30")[0]
    qpos, qvel, _ = walk.sample(np.arange(5000) / 50)
    long = dataclasses.replace(walk, qpos=qpos, qvel=qvel, phase=None, loop=False)
    start = time.process_time()
    assert check(long, droid) == []
    assert time.process_time() - start < 5.0
