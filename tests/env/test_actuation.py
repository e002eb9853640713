"""Motors and sensors as they are, against plain mj_step and MuJoCo's own DC motor."""

import mujoco
import numpy as np
import pytest
import torch
from small_envs import actions, quiet

from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.task import observe, randomize
from robopolicy.terms import observations, randomizers

STEPS = 10


def largest(speed: float, torque: float, no_load: float, corner: float) -> float:
    """By the words of Disney's paper: full torque up to a speed, then linear to zero; full torque when braking."""
    if speed <= corner * no_load:
        return torque
    return max(0.0, torque * (1 - (speed - corner * no_load) / (no_load - corner * no_load)))


def test_torque_falls_with_speed_and_supply_at_every_physics_step():
    """Oracle: one mj_step at a time, the limits worked out by hand for every joint before it."""
    chosen = {
        "envelope": randomize(randomizers.torque_speed, no_load=(0.1, 0.3), corner=(0.1, 0.6)),
        "supply": randomize(randomizers.supply_voltage, voltage=(0.4, 0.7), sag=(0.2, 0.4)),
    }
    env = Env(quiet("droid_walk", randomizers=chosen, terminations={}), 3, seed=1)
    env.reset(stagger=False)
    j, robot = env.num_actions, env.robot
    start = [(env.qpos[i].numpy().copy(), env.qvel[i].numpy().copy()) for i in range(3)]
    moves = list(actions(env, STEPS, size=3.0))
    paths = [(env.step(a), env.qpos.clone(), env.ctrl.clone(), env.state.torque.clone())[1:] for a in moves]
    saturated = 0
    for i in range(3):
        model = env.robot.robot.compile(visual=False).mj
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = start[i]
        supply, sag = float(env.supply[i]), float(env.sag[i])
        no_load, corner = env.no_load_speed[i].double().numpy(), float(env.corner[i])
        load = 0.0
        for qpos, ctrl, torque in paths:
            for _ in range(env.substeps):
                u = supply - sag * load
                for k in range(j):
                    speed = data.qvel[robot.dof_adr[k]]
                    full = robot.torque_limit[k] * u
                    model.actuator_forcerange[k] = (
                        -largest(-speed, full, no_load[k] * u, corner),
                        largest(speed, full, no_load[k] * u, corner),
                    )
                data.ctrl[:] = ctrl[i].numpy()
                mujoco.mj_step(model, data)
                load = float(np.mean(np.abs(data.actuator_force) / robot.torque_limit))
                saturated += int((np.abs(np.abs(data.actuator_force) - model.actuator_forcerange[:, 1]) < 1e-9).sum())
            np.testing.assert_allclose(qpos[i].numpy(), data.qpos, atol=2e-5)
            assert (torque[i].abs().numpy() <= robot.torque_limit * supply * 1.0001).all()
    assert saturated > 50  # the limits were really met


def test_a_corner_at_zero_is_mujocos_dc_motor():
    """A joint that runs away under our limits, and under MuJoCo's actuator `dcmotor` with the same constants."""
    torque, no_load, supply = 2.0, 10.0, 0.8
    kt = torque / no_load  # then at full voltage the stall torque is kt V / R with V = no_load kt
    resistance, volts = kt * kt * no_load / torque, kt * no_load * supply

    def model(ours: bool) -> mujoco.MjModel:
        spec = mujoco.MjSpec()
        spec.option.gravity = [0, 0, 0]
        spec.option.timestep = 0.0005
        body = spec.worldbody.add_body()
        joint = body.add_joint(name="hinge", type=mujoco.mjtJoint.mjJNT_HINGE)
        joint.armature = 0.05
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.05, 0, 0], mass=0.01)
        actuator = spec.add_actuator(name="motor", target="hinge", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        if ours:
            actuator.set_to_motor()
        else:
            actuator.set_to_dcmotor(motorconst=[kt, kt], resistance=resistance)
        return spec.compile()

    dc, plain = model(False), model(True)
    a, b = mujoco.MjData(dc), mujoco.MjData(plain)
    a.ctrl[:] = volts
    for _ in range(2000):
        b.ctrl[:] = largest(float(b.qvel[0]), torque * supply, no_load * supply, 0.0)
        mujoco.mj_step(dc, a)
        mujoco.mj_step(plain, b)
        assert b.qvel[0] == pytest.approx(a.qvel[0], abs=0.01 * no_load)
    assert a.qvel[0] > 0.9 * no_load * supply


def test_sensors_that_are_later_than_a_control_period_are_refused():
    late = {"late": randomize(randomizers.sensor_latency, steps=(0, 5))}
    with pytest.raises(UserError, match=r"randomizers\.late: .* up to 5 physics steps; at most .*, 4 steps"):
        Env(quiet("droid_walk", randomizers=late), 1)


def test_late_sensors_tell_of_an_earlier_physics_step():
    """Oracle: the same robots one mj_step at a time, whose states are looked up."""
    chosen = {"late": randomize(randomizers.sensor_latency, steps=(0, 4))}
    env = Env(quiet("droid_walk", randomizers=chosen, terminations={}), 6, seed=3)
    env.reset(stagger=False)
    start = [(env.qpos[i].numpy().copy(), env.qvel[i].numpy().copy()) for i in range(6)]
    late = env.sensor_delay[:, 0].long().tolist()
    assert len(set(late)) >= 3
    moves = list(actions(env, STEPS))
    sensed = []
    for move in moves:
        env.step(move)
        sensed.append((env.ctrl.clone(), env.state.sensed.joint_pos.clone(), env.state.sensed.base_ang_vel_b.clone()))
    for i in range(6):
        data = mujoco.MjData(env.robot.mj)
        data.qpos[:], data.qvel[:] = start[i]
        states = [(data.qpos.copy(), data.qvel.copy())]
        for ctrl, joint_pos, gyro in sensed:
            for _ in range(env.substeps):
                data.ctrl[:] = ctrl[i].numpy()
                mujoco.mj_step(env.robot.mj, data)
                states.append((data.qpos.copy(), data.qvel.copy()))
            qpos, qvel = states[-1 - late[i]]
            np.testing.assert_allclose(joint_pos[i].numpy(), qpos[7:], atol=1e-5)
            np.testing.assert_allclose(gyro[i].numpy(), qvel[3:6], atol=1e-4)


def test_lost_orders_and_readings_leave_the_earlier_ones_standing():
    """Oracle: plain mj_step under the order that stood; a reading is of the latest moment, or the one read before."""
    chosen = {"loss": randomize(randomizers.packet_loss, share=(0.4, 0.4))}
    env = Env(quiet("go2_velocity", randomizers=chosen, terminations={}, joint_noise=0.1), 6, seed=3)
    env.reset(stagger=False)
    twins = [mujoco.MjData(env.robot.mj) for _ in range(6)]
    for i, data in enumerate(twins):
        data.qpos[:], data.qvel[:] = env.qpos[i].numpy(), env.qvel[i].numpy()
        mujoco.mj_forward(env.robot.mj, data)
    standing, read = env.target.clone(), env.state.sensed.joint_pos.clone()
    lost_orders = lost_readings = 0
    for move in actions(env, 40):
        env.step(move)
        now, sensed = env.ctrl.float(), env.state.sensed.joint_pos
        for i, data in enumerate(twins):
            kept = torch.equal(now[i], standing[i])
            lost_orders += kept
            torch.testing.assert_close(now[i], standing[i] if kept else env.target[i])
            data.ctrl[:] = now[i].numpy()
            for _ in range(env.substeps):
                mujoco.mj_step(env.robot.mj, data)
            np.testing.assert_allclose(env.qpos[i].numpy(), data.qpos, atol=1e-5)
            stale = torch.equal(sensed[i], read[i])
            lost_readings += stale
            if not stale:
                np.testing.assert_allclose(sensed[i].numpy(), data.qpos[7:], atol=1e-5)
        standing, read = now.clone(), sensed.clone()
    assert 0.3 < lost_orders / 240 < 0.5
    assert 0.3 < lost_readings / 240 < 0.5


def test_a_reading_that_stands_keeps_its_noise():
    terms = {"joints": observe(observations.joint_position, noise=0.05), "gyro": observe(observations.angular_velocity)}
    chosen = {"loss": randomize(randomizers.packet_loss, share=(1.0, 1.0))}
    env = Env(quiet("go2_velocity", observations=terms, randomizers=chosen, terminations={}), 6)
    first = env.reset(stagger=False)["actor"]
    for move in actions(env, 5):
        assert torch.equal(env.step(move).obs["actor"], first)


def test_the_torque_is_what_the_engine_gives_though_orders_are_late_or_lost():
    """One more physics step tells what the servos do at this instant; then the engine goes back."""
    chosen = {
        "late": randomize(randomizers.action_latency, steps=(0, 11)),
        "loss": randomize(randomizers.packet_loss, share=(0.3, 0.3)),
    }
    env = Env(quiet("droid_walk", randomizers=chosen, terminations={}), 24)
    env.reset(stagger=False)
    force, behind = env.sim.bind("actuator_force"), 0
    for move in actions(env, 8):
        env.step(move)
        state, before = env.state, env.sim.state_dict()
        env.sim.advance(1)
        torch.testing.assert_close(state.torque, force.float(), atol=2e-3, rtol=1e-4)
        env.sim.load_state_dict(before)
        behind += int((state.order != state.target).any(1).sum())
    assert 40 < behind < 8 * 24


@pytest.mark.parametrize("motors", ["strong", "weak", "at low voltage"])
def test_power_is_the_mean_over_the_control_period(motors):
    """Oracle: the same robots in the air in fifty times finer steps, torque times speed summed as they go."""
    chosen = {
        "strong": {},
        "weak": {"weak": randomize(randomizers.motor_strength, scale=(0.1, 0.15))},
        "at low voltage": {
            "fast": randomize(randomizers.torque_speed, no_load=(100, 100)),
            "low": randomize(randomizers.supply_voltage, voltage=(0.1, 0.15), sag=(0, 0)),
        },
    }[motors]
    env = Env(quiet("droid_walk", randomizers=chosen, terminations={}), 3, seed=1)
    env.actuation.measure_power()
    env.reset(stagger=False)
    env.qpos[:, 2] = 3.0
    env.sim.forward(torch.ones(3, dtype=torch.bool))
    start = [(env.qpos[i].numpy().copy(), env.qvel[i].numpy().copy()) for i in range(3)]
    found, sampled, ctrl = [], [], []
    for k in range(2 * STEPS):
        env.step(torch.sin(torch.arange(env.num_actions) + 2 * np.pi * 3.0 * k * env.control_dt).expand(3, -1))
        assert env.actuation.power is not None
        found.append(env.actuation.power.numpy().copy())
        sampled.append((env.state.torque * env.state.joint_vel).abs().numpy())
        ctrl.append(env.ctrl.numpy().copy())
    fine = 50 * env.substeps
    true = np.zeros((len(ctrl), 3, env.num_actions))
    for i in range(3):
        model = env.robot.robot.compile(env.task.timestep / 50, visual=False).mj
        strength = (env.torque_limit[i].numpy() / env.robot.torque_limit)[:, None]
        for field in (model.actuator_gainprm, model.actuator_biasprm, model.actuator_forcerange):
            field *= strength
        model.actuator_forcerange[:] *= float(env.supply[i])
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = start[i]
        for k in range(len(ctrl)):
            data.ctrl[:] = ctrl[k][i]
            for _ in range(fine):
                mujoco.mj_step(model, data)
                true[k, i] += np.abs(data.actuator_force * data.qvel[env.robot.dof_adr]) / fine
    error, naive = (np.abs(np.array(p) - true).sum() / true.sum() for p in (found, sampled))
    assert np.sum(found) == pytest.approx(true.sum(), rel=0.06)
    assert error < 0.12 < 0.3 < naive


def test_the_encoder_reads_half_the_play_too_much_under_load():
    chosen = {"play": randomize(randomizers.backlash, play=(0.04, 0.04))}
    env = Env(quiet("droid_walk", randomizers=chosen, terminations={}), 2)
    env.reset(stagger=False)
    env.step(torch.full((2, env.num_actions), 2.0))
    state, limit = env.state, torch.as_tensor(env.robot.torque_limit)
    error = state.encoder_error
    assert (error.abs() <= 0.02 + 1e-6).all()
    loaded = state.torque.abs() > 0.1 * limit
    assert loaded.any()
    torch.testing.assert_close(error[loaded], 0.02 * state.torque[loaded].sign(), atol=1e-5, rtol=0)


def test_without_randomization_nothing_of_this_acts():
    chosen = {"late": randomize(randomizers.sensor_latency, steps=(4, 4)), "v": randomize(randomizers.supply_voltage)}
    env = Env(quiet("droid_walk", randomizers=chosen), 2, nominal=True)
    assert env.actuation.late is None
    assert env.actuation.torque_range is None
    assert env.state.sensed is env.state


def test_physics_that_breaks_within_a_control_step_is_told():
    chosen = {"envelope": randomize(randomizers.torque_speed)}
    env = Env(quiet("droid_walk", randomizers=chosen, terminations={}), 4)
    env.reset(stagger=False)
    env.qvel[1] = 1e12
    step = env.step(torch.zeros(4, env.num_actions))
    assert step.terminated.tolist() == [False, True, False, False]
