"""What the environment does to the plant: late actions, lying encoders, pushes. Oracle: plain MuJoCo."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from small_envs import actions, columns, compiled, quiet
from torch import Tensor

from robopolicy.env.env import Env
from robopolicy.robot import load_robot
from robopolicy.sim.cpu import CpuSimulation
from robopolicy.task import Push, observe, randomize
from robopolicy.terms import observations, randomizers

N = 4


@pytest.mark.parametrize("late", [0, 1, 2, 3, 6])
def test_an_action_reaches_the_servos_exactly_so_many_physics_steps_late(late: int):
    """Oracle: servos that are never late, with the control of so many steps before put in by hand."""
    latency = randomize(randomizers.action_latency, steps=(late, late))
    env = Env(quiet("go2_velocity", randomizers={"latency": latency}), N)
    env.reset(stagger=False)
    model = compiled("go2").mj
    oracle = [mujoco.MjData(model) for _ in range(N)]
    first = (env.target - env.encoder_offset).double().numpy()
    for i, data in enumerate(oracle):
        data.qpos[:] = env.qpos[i].numpy()
    sent = [first] * late
    for action in actions(env, 6):
        step = env.step(action)
        assert not step.terminated.any()
        sent += [env.ctrl.numpy().copy()] * env.substeps
        for i, data in enumerate(oracle):
            for k in range(env.substeps):
                data.ctrl[:] = sent[len(sent) - env.substeps - late + k][i]
                mujoco.mj_step(model, data)
            np.testing.assert_array_equal(env.qpos[i].numpy(), data.qpos)


def test_latency_is_drawn_once_per_episode_from_its_whole_range():
    env = Env(quiet(randomizers={"latency": randomize(randomizers.action_latency, steps=(1, 3))}), 300, seed=1)
    env.reset(stagger=False)
    delay = env.sim.expand("actuator_delay").clone()
    steps = torch.ceil(delay / 0.005)  # the number of whole steps after which it has passed
    assert torch.equal(steps, steps[:, :1].expand_as(steps))  # all servos of a robot are on one bus
    counts = [int((steps[:, 0] == k).sum()) for k in range(5)]
    assert counts[0] == counts[4] == 0
    assert min(counts[1:4]) > 70
    alive = torch.ones(300, dtype=torch.bool)
    for action in actions(env, 3):
        alive &= ~env.step(action).terminated
        assert torch.equal(env.sim.expand("actuator_delay")[alive], delay[alive])


def test_latency_works_with_its_default_range():
    env = Env(quiet(randomizers={"latency": randomize(randomizers.action_latency)}), 50)
    env.reset()
    assert len(env.sim.expand("actuator_delay")[:, 0].unique()) == 4


def test_a_new_episode_does_not_begin_with_the_old_ones_late_actions():
    latency = randomize(randomizers.action_latency, steps=(3, 3))
    env = Env(quiet("go2_velocity", randomizers={"latency": latency}, episode_s=0.06), N)
    paths = []
    env.reset(stagger=False)
    for episode in range(2):
        env.step(torch.zeros(N, env.num_actions))
        paths.append(env.state.qpos.clone())
        for action in actions(env, 2, size=2.0, seed=episode):
            step = env.step(action)
        assert step.truncated.all()
    assert torch.equal(paths[0], paths[1])


def test_the_servo_regulates_what_its_lying_encoder_reads():
    """Oracle: a PD law written by hand, tau = kp (target - (q + e)) - kd qd, clamped, on a robot without servos."""
    task = quiet("go2_velocity", randomizers={"encoder": randomize(randomizers.encoder_offset, limit=0.2)})
    model = load_robot("go2").compile(visual=False)
    model.mj.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER  # treats servo and applied torque alike
    env = Env(task, N, simulation=CpuSimulation(model.mj, N, 1))
    env.reset(stagger=False)
    offset = env.encoder_offset.double().numpy()
    assert np.abs(offset).min(axis=0).max() > 1e-3
    limp = load_robot("go2").compile(visual=False).mj
    limp.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    limp.actuator_gainprm[:] = limp.actuator_biasprm[:] = 0
    oracle = [mujoco.MjData(limp) for _ in range(N)]
    for i, data in enumerate(oracle):
        data.qpos[:] = env.qpos[i].numpy()
    for action in actions(env, 10):
        step = env.step(action)
        target = env.target.double().numpy()
        for i, data in enumerate(oracle):
            for _ in range(env.substeps):
                error = target[i] - (data.qpos[7:] + offset[i])
                torque = model.kp * error - model.kd * data.qvel[6:]
                data.qfrc_applied[6:] = np.clip(torque, -model.torque_limit, model.torque_limit)
                mujoco.mj_step(limp, data)
            np.testing.assert_allclose(env.qpos[i].numpy(), data.qpos, atol=1e-5)
        read = step.obs["actor"][:, columns(env, "joint_position")] + env.default_pose
        torch.testing.assert_close(read, (env.qpos[:, 7:] + torch.as_tensor(offset)).float())


@pytest.mark.parametrize("name", ["gravity", "gyro"])
def test_a_crooked_imu_reads_in_its_own_frame(name: str):
    crooked = quiet(randomizers={"imu": randomize(randomizers.imu_orientation, limit=0.3)})
    env, straight = Env(crooked, N, seed=1), Env(quiet(), N, seed=1)
    seen, truth = env.reset(stagger=False)["actor"], straight.reset(stagger=False)["actor"]
    for action in actions(env, 3):
        seen = env.step(action).obs["actor"][:, columns(env, name)]
        truth = straight.step(action).obs["actor"][:, columns(env, name)]
    rotation = np.empty(9)
    for i in range(N):
        mujoco.mju_quat2Mat(rotation, env.imu_rotation[i].double().numpy())
        np.testing.assert_allclose(seen[i].numpy(), rotation.reshape(3, 3).T @ truth[i].double().numpy(), atol=1e-5)
    assert (seen - truth).abs().max() > 1e-3


def test_a_biased_gyroscope_reads_so_much_too_much_for_a_whole_episode():
    biased = quiet(randomizers={"gyro": randomize(randomizers.gyro_bias, limit=0.3)})
    env, true = Env(biased, N, seed=1), Env(quiet(), N, seed=1)
    env.reset(stagger=False)
    true.reset(stagger=False)
    scale = biased.observations["gyro"].scale
    for action in actions(env, 5):
        seen, truth = (e.step(action).obs["actor"][:, columns(e, "gyro")] / scale for e in (env, true))
        torch.testing.assert_close(seen - truth, env.gyro_bias, atol=1e-4, rtol=0)
    assert env.gyro_bias.abs().max() > 0.1


def test_pushes_change_the_base_velocity_at_the_drawn_times_only():
    push = Push(velocity=0.5, yaw_rate=0.3, interval_s=(0.1, 0.3))
    env = Env(quiet("go2_velocity", push=push, episode_s=0.8, terminations={}), 32, seed=3)
    env.reset(stagger=False)
    velocity = {"before": env.qvel.clone()}
    step = env.sim.step

    def watched(substeps: int) -> None:
        velocity["at"] = env.qvel.clone()
        step(substeps)

    env.sim.step = watched  # type: ignore[method-assign]
    kicks, waits, waited = [], [], torch.zeros(32)
    due_in = env.pushes.push_timer.clone()
    for k in range(80):
        velocity["before"] = env.qvel.clone()
        done = env.step(torch.zeros(32, env.num_actions)).truncated
        change = velocity["at"] - velocity["before"]
        waited += env.control_dt
        due = waited >= due_in - 1e-5
        assert torch.equal((change != 0).any(1), due)
        assert not change[:, 2:5].any()  # neither vertical velocity nor roll and pitch
        assert not change[:, 6:].any()
        kicks.append(change[due])
        waits += waited[due].tolist()
        fresh = due | done
        due_in = torch.where(fresh, env.pushes.push_timer, due_in)
        waited = torch.where(fresh, 0.0, waited)
        assert bool(done.all()) == ((k + 1) % 40 == 0)
    felt = torch.cat(kicks).float()
    assert len(felt) > 100
    assert (felt.abs().amax(0)[[0, 1, 5]] <= torch.tensor([0.5, 0.5, 0.3]) + 1e-6).all()
    assert (felt.abs().amax(0)[[0, 1, 5]] > torch.tensor([0.45, 0.45, 0.27])).all()
    assert felt.mean(0).abs().max() < 0.1
    assert 0.1 - 1e-5 <= min(waits) < 0.14
    assert 0.26 < max(waits) <= 0.32


@pytest.mark.parametrize("push", [Push(), Push(velocity=0.5, interval_s=(0.02, 0.04))])
def test_no_push_where_none_is_wanted(push: Push):
    """Neither without strength nor in a nominal environment."""
    nominal = push.velocity > 0
    env = Env(quiet("go2_velocity", push=push), N, nominal=nominal)
    env.reset(stagger=False)
    model, data = compiled("go2").mj, mujoco.MjData(compiled("go2").mj)
    data.qpos[:] = env.qpos[0].numpy()
    data.ctrl[:] = compiled("go2").default_pose.astype(np.float32)
    for _ in range(10):
        env.step(torch.zeros(N, env.num_actions))
        mujoco.mj_step(model, data, nstep=env.substeps)
    np.testing.assert_allclose(env.qpos[0].numpy(), data.qpos, atol=1e-9)


def test_a_nominal_environment_is_the_plant_as_the_model_says():
    task = replace(quiet("droid_walk"), observations={"q": observe(observations.joint_position, noise=1.0)})
    noisy = replace(task, randomizers={"friction": randomize(randomizers.ground_friction)}, joint_noise=0.1)
    env = Env(noisy, N, nominal=True)
    obs = env.reset()
    assert not obs["actor"].any()
    assert torch.equal(env.qpos.float(), torch.as_tensor(env.robot.home_qpos).float().expand(N, -1))


def test_actions_are_clipped_scaled_and_kept_within_the_joints_range():
    env = Env(quiet("go2_velocity"), N, nominal=True)
    env.reset(stagger=False)
    action: Tensor = torch.linspace(-9, 9, N * 12).view(N, 12)
    env.step(action)
    clipped = action.clamp(-4, 4).double().numpy()
    robot = env.robot
    target = np.clip(robot.default_pose + robot.action_scale * clipped, robot.lower, robot.upper)
    np.testing.assert_allclose(env.ctrl.numpy(), target, atol=1e-6)


def test_a_force_acts_on_the_base_for_as_long_as_drawn():
    """Oracle: plain MuJoCo with the drawn forces as xfrc_applied."""
    push = Push(force=80.0, force_s=(0.04, 0.3), interval_s=(0.1, 0.4))
    env = Env(quiet("go2_velocity", push=push, terminations={}), N, seed=3)
    env.reset(stagger=False)
    model, base = compiled("go2").mj, env.robot.base_body
    plants = [mujoco.MjData(model) for _ in range(N)]
    for data, qpos in zip(plants, env.qpos, strict=True):
        data.qpos[:] = qpos.numpy()
        data.ctrl[:] = compiled("go2").default_pose.astype(np.float32)
    left, forces = [0.0] * N, []
    for _ in range(60):
        due = (env.pushes.push_timer - env.control_dt) <= 0
        env.step(torch.zeros(N, env.num_actions))
        for i, data in enumerate(plants):
            left[i] = float(env.pushes.push_left[i]) if due[i] else left[i] - env.control_dt
            force = env.pushes.push_force[i].numpy() if left[i] > 0 else np.zeros(3)
            data.xfrc_applied[base, :3] = force
            mujoco.mj_step(model, data, nstep=env.substeps)
            if due[i]:
                forces.append(env.pushes.push_force[i].clone())
    for data, qpos in zip(plants, env.qpos, strict=True):
        np.testing.assert_allclose(qpos.numpy(), data.qpos, atol=1e-9)
    drawn = torch.stack(forces)
    assert not drawn[:, 2].any()
    assert 40 < float(drawn.norm(dim=1).max()) <= 80
    assert float(drawn.mean(0).norm()) < 20


def test_pushes_grow_with_the_time_trained():
    push = Push(velocity=1.0, interval_s=(0.02, 0.021), ramp_steps=100)
    env = Env(quiet("go2_velocity", push=push, terminations={}, episode_s=0.1), 64, seed=3)
    env.reset(stagger=False)
    for steps, share in ((10, 0.1), (40, 0.5), (100, 1.0)):
        for _ in range(steps):
            env.step(torch.zeros(64, env.num_actions))
        assert float(env.pushes.size) == pytest.approx(share)
    again = Env(quiet("go2_velocity", push=push, terminations={}), 64)
    again.load_state_dict(env.state_dict())
    assert float(again.clock) == 150
