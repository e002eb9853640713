"""The control step: endings, windows, commands, observations, rewards, numbers that break."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from small_envs import actions, columns, compiled, kept, place, quiet, reference, shipped
from torch import Tensor

from robopolicy.env.command import Command
from robopolicy.env.env import Env
from robopolicy.env.state import State
from robopolicy.errors import NonFiniteError, UserError
from robopolicy.learn.config import PPOConfig
from robopolicy.learn.ppo import PPO
from robopolicy.motion.clip import Clip
from robopolicy.motion.features import motion_features
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import Reference, build_reference, load_reference
from robopolicy.task import Gait, list_tasks, load_task, observe, term
from robopolicy.terms import observations, rewards

N = 8


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes its warnings to a file in the working folder."""
    monkeypatch.chdir(tmp_path)


def watch(env: Env, record: Callable[[str], None]) -> None:
    """Call ``record("after")`` the moment the physics has stepped, before anything can be reset."""
    step = env.sim.step

    def watched(substeps: int) -> None:
        record("before")
        step(substeps)
        record("after")

    env.sim.step = watched  # type: ignore[method-assign]


# ---- endings


def test_an_ending_shows_its_true_last_state_and_then_the_new_start():
    """Oracle: the same robots in a world where no episode ends."""
    frames = reference("droid")
    # some fall, one by one, the others run out of time
    task = quiet("droid_walk", episode_s=0.5)
    endless = replace(task, episode_s=1e6, terminations={})
    env, oracle = (Env(t, N, reference=frames, nominal=True) for t in (task, endless))
    command = torch.linspace(-0.2, 0.2, 3 * N).view(N, 3)
    push = torch.linspace(0, 3.5, N)  # the harder, the sooner it falls
    for e in (env, oracle):
        e.reset(stagger=False)
        e.qvel[:, 0] += push
        e.hold_command(command)
    alive = torch.ones(N, dtype=torch.bool)
    seen = set()
    for action in actions(env, 25, size=0.3):
        step, truth = env.step(action), oracle.step(action)
        done = step.terminated | step.truncated
        assert step.motion is not None
        assert truth.motion is not None
        for name in ("actor", "critic"):
            assert torch.equal(step.final_obs[name][alive], truth.obs[name][alive])
            assert torch.equal(step.obs[name][~done], step.final_obs[name][~done])
        assert torch.equal(step.motion[alive], truth.motion[alive])
        assert torch.equal(step.reward[alive], truth.reward[alive])
        ended = alive & done
        # a new start: back on the ground at home, at rest
        gyro = columns(env, "gyro")
        assert not step.obs["actor"][ended][:, gyro].any()
        assert torch.allclose(env.qpos[ended], torch.as_tensor(env.robot.home_qpos))
        if ended.any():
            assert (step.final_obs["actor"][ended][:, gyro].abs().sum(1) > 0).all()
        seen |= {("fell", i) for i in torch.where(ended & step.terminated)[0].tolist()}
        seen |= {("time", i) for i in torch.where(ended & step.truncated)[0].tolist()}
        alive &= ~done
    assert len(seen) == N
    assert {kind for kind, _ in seen} == {"fell", "time"}


def test_terminated_and_truncated_never_both_even_when_the_last_step_is_a_fall():
    env = Env(quiet(episode_s=0.04), N, nominal=True)
    env.reset(stagger=False)
    low = torch.arange(N) % 2 == 0
    step = env.step(torch.zeros(N, env.num_actions))
    assert not (step.terminated | step.truncated).any()
    env.qpos[low, 2] = 0.1  # too low, in the very step in which the time is up
    step = env.step(torch.zeros(N, env.num_actions))
    assert torch.equal(step.terminated, low)
    assert torch.equal(step.truncated, ~low)


def test_episodes_have_exactly_their_length():
    env = Env(quiet(episode_s=0.3), N, nominal=True)
    assert env.max_episode_steps == 15
    env.reset(stagger=False)
    ends = [env.step(torch.zeros(N, env.num_actions)).truncated.clone() for _ in range(45)]
    expected = torch.zeros(45, N, dtype=torch.bool)
    expected[14::15] = True
    assert torch.equal(torch.stack(ends), expected)


def test_first_episodes_are_staggered_so_that_they_do_not_end_together():
    env = Env(quiet(episode_s=1.0, terminations={}), 64, seed=1)
    env.reset()
    ages = env.age.clone()
    assert 0 <= int(ages.min()) < 10
    assert 40 < int(ages.max()) <= env.max_episode_steps - 1
    assert len(ages.unique()) > 25
    first = torch.zeros(64, dtype=torch.long)
    for t in range(1, env.max_episode_steps + 1):
        step = env.step(torch.zeros(64, env.num_actions))
        first = torch.where((first == 0) & step.truncated, t, first)
    assert torch.equal(first, env.max_episode_steps - ages)


def test_the_latest_state_is_what_the_step_led_to_before_any_reset():
    env = Env(shipped("droid_walk", episode_s=0.1), N, reference=reference("droid"))
    env.reset(stagger=False)
    truth: dict[str, Tensor] = {}
    watch(env, lambda when: truth.update(qpos=env.qpos.float(), qvel=env.qvel.float(), site=env._site_xpos.float()))
    for action in actions(env, 10):
        env.step(action)
        assert torch.equal(env.state.qpos, truth["qpos"])
        assert torch.equal(env.state.qvel, truth["qvel"])
        assert torch.equal(env.state.foot_pos_w, truth["site"][:, env.robot.foot_sites])


def test_the_latest_state_is_of_one_instant_where_an_episode_ended():
    env = Env(shipped("droid_walk", episode_s=0.1), N, reference=reference("droid"))
    env.reset(stagger=False)
    for action in actions(env, 5):
        command, last = env.command.clone(), action
        env.step(action)
    assert (env.state.age == 5).all()
    assert torch.allclose(env.state.action, last)
    assert torch.equal(env.state.command, command)


# ---- windows for the discriminator


@pytest.mark.parametrize("window", [2, 3])
@pytest.mark.parametrize("see_command", [True, False])
def test_no_window_crosses_a_reset(window: int, see_command: bool):
    """Oracle: every episode's own list of features, kept by hand."""
    task = shipped("droid_walk", episode_s=0.16)
    prior = replace(task.prior, window=window, see_command=see_command, see_phase=False)
    env = Env(replace(task, prior=prior), N, seed=2, reference=reference("droid", window))

    def present() -> Tensor:
        return motion_features(env.qpos.float(), env.qvel.float(), env._site_xpos[:, env.robot.foot_sites].float())

    env.reset()
    lives = [[f] for f in present()]
    truth: dict[str, Tensor] = {}
    watch(env, lambda when: truth.update(now=present(), command=env.command.clone()))
    whole = broken = 0
    for action in actions(env, 30):
        step = env.step(action)
        assert step.motion is not None
        assert step.motion_valid is not None
        done, after = step.terminated | step.truncated, present()
        for i, life in enumerate(lives):
            life.append(truth["now"][i])
            valid = len(life) >= window
            assert bool(step.motion_valid[i]) == valid
            whole, broken = whole + valid, broken + (not valid)
            if valid:
                expected = torch.cat(life[-window:])
                if see_command:
                    expected = torch.cat((expected, truth["command"][i, :3]))
                assert torch.equal(step.motion[i], expected)
            if done[i]:
                life[:] = [after[i]]
    assert whole > 20 * N
    assert (broken > 0) == (window > 2)


@pytest.mark.parametrize(("robot", "task"), [("droid", "droid_walk"), ("go2", "go2_trot")])
def test_a_clip_replayed_in_the_simulator_has_the_features_of_the_clip(robot: str, task: str):
    frames = reference(robot)
    env = Env(shipped(task), len(frames.qpos), reference=frames, nominal=True)
    env.reset()
    place(env, frames.qpos, frames.qvel)
    torch.testing.assert_close(env.snapshot().motion, frames.features, atol=1e-5, rtol=0)


def test_features_are_in_the_bases_own_frame():
    """Oracle: MuJoCo's matrices and object velocities. Nothing changes when the robot stands elsewhere and turned."""
    model = compiled("droid")
    data, quat, velocity = mujoco.MjData(model.mj), np.empty(4), np.empty(6)
    rng = np.random.default_rng(0)
    mujoco.mju_axisAngle2Quat(quat, np.array([0.6, -0.64, 0.48]), 1.1)
    joints, speeds = rng.uniform(-0.3, 0.3, 14), rng.normal(size=14)
    own = {"linear": rng.normal(size=3), "angular": rng.normal(size=3)}
    found = []
    for turn, ground in ((0.0, (0.0, 0.0)), (2.2, (3.0, -1.0))):
        about_z, turned, matrix = np.array([np.cos(turn / 2), 0, 0, np.sin(turn / 2)]), np.empty(4), np.empty(9)
        mujoco.mju_mulQuat(turned, about_z, quat)
        mujoco.mju_quat2Mat(matrix, turned)
        data.qpos[:] = [*ground, 0.4, *turned, *joints]
        data.qvel[:] = [*(matrix.reshape(3, 3) @ own["linear"]), *own["angular"], *speeds]
        mujoco.mj_forward(model.mj, data)
        base = data.body("base")
        mujoco.mj_objectVelocity(model.mj, data, mujoco.mjtObj.mjOBJ_XBODY.value, base.id, velocity, 1)
        feet = (data.site_xpos[model.foot_sites] - base.xpos) @ base.xmat.reshape(3, 3)
        down = -base.xmat.reshape(3, 3)[2]
        expected = [joints, speeds, velocity[3:], velocity[:3], down, [0.4], feet.flatten()]
        states = (data.qpos, data.qvel, data.site_xpos[model.foot_sites])
        features = motion_features(*(torch.as_tensor(x)[None] for x in states))[0]
        np.testing.assert_allclose(features.numpy(), np.concatenate(expected), atol=1e-9)
        found.append(features)
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("fps", [30.0, 47.6, 50.0, 120.0])
@pytest.mark.parametrize("control_dt", [0.02, 0.01])
def test_clip_pairs_are_one_control_period_apart_whatever_the_clips_rate(fps: float, control_dt: float, tmp_path: Path):
    """The base moves at 0.5 m/s and a joint at 0.3 rad/s: so far apart must two frames of a window be."""
    model = compiled("droid")
    t = np.arange(60) / fps
    qpos = np.repeat(model.home_qpos[None], 60, axis=0)
    qvel = np.zeros((60, model.mj.nv))
    qpos[:, 2] += 0.05 * t
    qpos[:, 7] += 0.3 * t - 0.1
    qvel[:, 2], qvel[:, 6] = 0.05, 0.3
    path = tmp_path / "rise.npz"
    Clip("rise", fps, model.joint_names, qpos, qvel, loop=False, robot="droid").save(path)
    for half in ("train", "held-out"):
        frames = load_reference(Prior(clips=(str(path),)), model, control_dt, half)
        pairs = frames.window_features(frames.windows)
        moved = pairs[:, 1] - pairs[:, 0]
        assert len(pairs) >= 59 / fps / control_dt / 2 - 3
        torch.testing.assert_close(moved[:, 0], torch.full((len(pairs),), 0.3 * control_dt), atol=1e-6, rtol=0)
        torch.testing.assert_close(pairs[:, 1, 14], torch.full((len(pairs),), 0.3))


# ---- observations


@pytest.mark.parametrize("name", list_tasks())
def test_the_actor_sees_only_what_hardware_has(name: str):
    task = load_task(name)
    assert {o.function for o in task.observations.values()} <= set(observations.DEPLOYABLE)
    assert observations.base_linear_velocity not in observations.DEPLOYABLE
    # By behaviour: neither place, nor heading, nor height, nor linear velocity, nor the floor reaches it.
    env = Env(task, 4, nominal=True)
    env.reset(stagger=False)
    env.step(actions(env, 1)[0])
    before = env.hold_command(env.command.clone())
    qpos, qvel = env.qpos.clone(), env.qvel.clone()
    qpos[:, :3] += torch.tensor([3.0, -2.0, 0.4])
    qvel[:, :3] += torch.tensor([0.7, -0.4, 0.2])
    place(env, qpos, qvel)
    after = env.hold_command(env.command.clone())
    assert torch.equal(after["actor"], before["actor"])
    assert not torch.equal(after["critic"], before["critic"])
    assert after["critic"].shape == (4, env.critic_dim)
    assert torch.equal(after["critic"][:, : env.actor_dim], after["actor"])


@pytest.mark.parametrize("function", [observations.base_linear_velocity, observations.foot_contact])
def test_privileged_terms_are_refused_for_the_actor(function: Callable[[State], Tensor]):
    task = quiet()
    cheat = replace(task, observations={**task.observations, "cheat": observe(function)})
    with pytest.raises(UserError, match=rf"'cheat' is {function.__name__}.*angular_velocity"):
        Env(cheat, 1)


def test_noise_is_bounded_by_each_terms_width_and_the_critic_sees_none_of_it():
    """Both observations of one instant carry the same noise; the clean twin shows how much it is."""
    noisy = quiet("droid_walk", observations=load_task("droid_walk").observations, episode_s=0.2)
    clean = quiet("droid_walk", episode_s=0.2)
    env, twin = (Env(t, 32, seed=3) for t in (noisy, clean))
    first = (env.reset(), twin.reset())
    noises = [first[0]["actor"] - first[1]["actor"]]
    for action in actions(env, 30):
        step, quiet_step = env.step(action), twin.step(action)
        noise = step.obs["actor"] - quiet_step.obs["actor"]
        torch.testing.assert_close(step.final_obs["actor"] - quiet_step.final_obs["actor"], noise, atol=1e-5, rtol=0)
        assert torch.equal(step.obs["critic"], quiet_step.obs["critic"])
        assert torch.equal(step.final_obs["critic"], quiet_step.final_obs["critic"])
        noises.append(noise)
    seen = torch.cat(noises)
    for name, o in noisy.observations.items():
        part, width = seen[:, columns(env, name)], o.scale * o.noise
        assert part.abs().max() <= width + 1e-5, name
        if width:
            assert part.abs().max() > 0.95 * width, name
            assert abs(float(part.mean())) < 0.05 * width, name
            assert float(part.std()) == pytest.approx(width / 3**0.5, rel=0.05), name
    assert not torch.equal(noises[1], noises[2])


def test_a_history_is_oldest_first_begins_full_and_is_of_one_episode():
    task = quiet(episode_s=0.14)
    terms = {**task.observations, "action_history": replace(observe(observations.last_action), history=3)}
    env = Env(replace(task, observations=terms), N, nominal=True)
    part, j = columns(env, "action_history"), env.num_actions
    obs = env.reset(stagger=False)
    assert env.actor_dim == obs["actor"].shape[1]
    lives = [[obs["actor"][i, columns(env, "last_action")].clone()] * 3 for i in range(N)]
    for t, action in enumerate(actions(env, 20)):
        step = env.step(action)
        for i, life in enumerate(lives):
            life.append(action[i])
            torch.testing.assert_close(step.final_obs["actor"][i, part], torch.cat(life[-3:]))
            if step.truncated[i]:
                start = step.obs["actor"][i, part][:j].clone()
                life[:] = [start] * 3
            torch.testing.assert_close(step.obs["actor"][i, part], torch.cat(life[-3:]))
        if t == 3:  # telling a command is no new instant
            told = env.hold_command(torch.zeros(N, 3))
            torch.testing.assert_close(told["actor"][:, part], step.obs["actor"][:, part])


def test_a_reading_that_is_seen_again_keeps_its_noise():
    terms = {
        "gyro": observe(observations.angular_velocity, scale=0.25, noise=0.2),
        "joints": observe(observations.joint_position, noise=0.05, history=4),
        "gravity": observe(observations.projected_gravity, noise=0.1, history=2),
    }
    noisy = Env(quiet(observations=terms, episode_s=0.16), N, seed=2)
    part, moments = columns(noisy, "joints"), 4
    first = noisy.reset(stagger=False)
    readings = first["actor"][:, part].view(N, moments, -1)
    assert (readings == readings[:, :1]).all()  # as the runtime begins: one reading, many times
    earlier, noises = readings, []
    for action in actions(noisy, 30):
        step = noisy.step(action)
        for obs in (step.final_obs, step.obs):
            seen = obs["actor"][:, part].view(N, moments, -1)
            if obs is step.final_obs or not step.truncated.any():
                torch.testing.assert_close(seen[:, :-1], earlier[:, 1:], rtol=0, atol=1e-6)
        began = step.obs["actor"][:, part].view(N, moments, -1)
        earlier = began
        if step.truncated.all():
            assert (began == began[:, :1]).all()
        noises.append(
            ((step.obs["actor"] - step.obs["critic"][:, : noisy.actor_dim])[:, part].view(N, moments, -1))[:, -1]
        )
    noise = torch.stack(noises)
    assert noise.abs().max() <= 0.05 + 1e-6
    assert float(noise.std()) == pytest.approx(0.05 / 3**0.5, rel=0.05)
    assert abs(float((noise[1:] * noise[:-1]).mean())) < 0.1 * float(noise.var())  # every new reading has its own


def test_the_gait_clock_runs_at_its_period_and_wraps():
    env = Env(quiet(gait=Gait(period_s=0.5)), N, nominal=True)
    env.reset(stagger=False)
    start = env.phase.clone()
    for k in range(1, 60):
        env.step(torch.zeros(N, env.num_actions))
        ahead = torch.remainder(env.phase - start - k * 0.02 / 0.5 + 0.5, 1.0) - 0.5
        assert ahead.abs().max() < 1e-5
        assert ((env.phase >= 0) & (env.phase < 1)).all()


# ---- rewards


@pytest.mark.parametrize("control_dt", [0.04, 0.02, 0.01])
def test_rewards_are_per_second(control_dt: float):
    """Twice the rate, half the reward per step; the log shows the weighted rate itself."""
    task = quiet(control_dt=control_dt, rewards={"a": term(2.0, rewards.alive), "b": term(-0.5, rewards.alive)})
    env = Env(task, 4, nominal=True)
    env.reset(stagger=False)
    step = env.step(torch.zeros(4, env.num_actions))
    torch.testing.assert_close(step.reward, torch.full((4,), 1.5 * control_dt))
    assert float(step.log["reward/a"]) == pytest.approx(2.0)
    assert float(step.log["reward/b"]) == pytest.approx(-0.5)


def test_the_reward_judges_the_action_and_the_state_it_led_to():
    seen: list[State] = []

    def spy(state: State) -> Tensor:
        seen.append(state)
        return state.action[:, 0]

    env = Env(quiet(rewards={"spy": term(1.0, spy)}), N, nominal=True)
    env.reset(stagger=False)
    first = env.action.clone()
    a, b = actions(env, 2)
    step = env.step(a)
    torch.testing.assert_close(step.reward, 0.02 * a[:, 0])
    torch.testing.assert_close(seen[0].qpos, env.qpos.float())
    assert torch.equal(seen[0].previous_action, first) or torch.equal(seen[0].previous_action, a)
    step = env.step(6 * b)
    torch.testing.assert_close(step.reward, 0.02 * (6 * b[:, 0]).clamp(-4, 4))  # the clipped action counts
    torch.testing.assert_close(env.previous_action, a)


# ---- commands and starts


def test_commands_change_at_drawn_times_and_stay_within_their_ranges():
    command = Command(resample_s=(0.1, 0.3), zero=0.0, single=0.0)
    env = Env(quiet(command=command, terminations={}), 32, seed=4, nominal=True)
    env.reset(stagger=False)
    low, high = command.bounds(env.device)
    held = torch.zeros(32)
    changes: list[float] = []
    for _ in range(60):
        before, timer = env.command.clone(), env.command_timer.clone()
        step = env.step(torch.zeros(32, env.num_actions))
        changed = (env.command != before).any(1)
        assert torch.equal(changed, timer - env.control_dt <= 0)
        assert torch.equal(step.obs["actor"][:, columns(env, "command")], env.command)
        held += env.control_dt
        changes += held[changed].tolist()
        held[changed] = 0
        assert ((env.command[:, :3] >= low) & (env.command[:, :3] <= high)).all()
    assert len(changes) > 100
    assert min(changes) >= 0.1 - 1e-6
    assert max(changes) <= 0.3 + 0.02 + 1e-6
    assert max(changes) - min(changes) > 0.15


def test_the_last_observation_shows_the_command_that_was_in_force():
    """Even if its time is up in the step that ends the episode."""
    task = quiet(command=Command(resample_s=(0.02, 0.02), zero=0.0, single=0.0), episode_s=0.06)
    env = Env(task, N, nominal=True)
    env.reset(stagger=False)
    part = columns(env, "command")
    for k in range(1, 7):
        told = env.command.clone()
        step = env.step(torch.zeros(N, env.num_actions))
        assert bool(step.truncated.all()) == (k % 3 == 0)
        assert torch.equal(step.final_obs["actor"][:, part], told if k % 3 == 0 else env.command)
        assert torch.equal(step.obs["actor"][:, part], env.command)
        assert not torch.equal(env.command, told)


def test_commands_are_zero_or_single_as_often_as_asked_and_cover_their_ranges():
    generator = torch.Generator().manual_seed(0)
    command = Command(ranges={"vx": (-0.5, 1.0), "vy": (-0.4, 0.4), "wz": (-1.0, 1.0)}, zero=0.2, single=0.3)
    drawn = command.draw(20_000, generator)
    channels = (drawn != 0).sum(1)
    assert float((channels == 0).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert float((channels == 1).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float((channels == 3).float().mean()) == pytest.approx(0.5, abs=0.02)
    full = drawn[channels == 3]
    for k, (low, high) in enumerate(command.ranges.values()):
        assert float(full[:, k].min()) == pytest.approx(low, abs=0.01)
        assert float(full[:, k].max()) == pytest.approx(high, abs=0.01)
        assert float(full[:, k].mean()) == pytest.approx((low + high) / 2, abs=0.02)
    single = drawn[channels == 1]
    assert (single != 0).float().mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)


def test_commands_whose_range_is_without_zero_stay_in_it():
    command = Command(ranges={"vx": (0.3, 1.0), "vy": (-0.4, -0.1), "wz": (-1.0, 1.0)}, zero=0.2, single=0.3)
    drawn = command.draw(5_000, torch.Generator().manual_seed(0))
    low, high = command.bounds(drawn.device)
    assert ((drawn >= low) & (drawn <= high)).all()
    stopped = (drawn == torch.tensor([0.3, -0.1, 0.0])).all(1)
    assert float(stopped.float().mean()) == pytest.approx(0.2, abs=0.02)


def test_moving_says_whether_the_command_asks_for_motion():
    env = Env(quiet(gait=Gait(standing_speed=0.1)), 3, nominal=True)
    env.reset()
    obs = env.hold_command(torch.tensor([[0.0, 0.0, 0.0], [0.05, 0.05, 0.05], [0.0, 0.0, -0.11]]))
    assert env.moving.tolist() == [False, False, True]
    assert (obs["actor"][:, columns(env, "gait_phase")].norm(dim=1) > 0.5).tolist() == [False, False, True]


def test_a_held_command_outlives_resampling_and_resets():
    env = Env(shipped("droid_walk", episode_s=0.2), N, reference=reference("droid"))
    env.reset()
    command = torch.linspace(-0.2, 0.2, 3 * N).view(N, 3)
    obs = env.hold_command(command)
    noise = 1e-6  # the command is seen without noise
    told = env.channels.tell(command)
    assert (obs["actor"][:, columns(env, "command")] - told).abs().max() < noise
    for action in actions(env, 30):
        step = env.step(action)
        assert (step.obs["actor"][:, columns(env, "command")] - told).abs().max() < noise
    assert torch.equal(env.command, told)


def test_starts_in_a_clip_bring_its_state_command_and_phase():
    frames = reference("droid")
    task = shipped("droid_walk", randomizers={}, joint_noise=0.1)
    task = replace(task, prior=replace(task.prior, reference_start=0.5))
    env = Env(task, 400, seed=5, reference=frames)
    env.reset()
    difference = torch.cdist(env.qpos[:, 2:].float(), frames.qpos[:, 2:], compute_mode="donot_use_mm_for_euclid_dist")
    nearest, row = difference.min(1)
    in_clip = nearest < 1e-5
    assert float(in_clip.float().mean()) == pytest.approx(0.5, abs=0.08)
    rows = row[in_clip]
    assert not env.qpos[:, :2].any()
    assert (env.qvel[in_clip].float() - frames.qvel[rows]).abs().max() < 1e-5
    clip_phase = frames.phase[rows]
    walks = ~clip_phase.isnan()
    assert walks.any()
    torch.testing.assert_close(env.phase[in_clip][walks], clip_phase[walks])
    low, high = task.command.bounds(env.device)
    torch.testing.assert_close(env.command[in_clip, :3], frames.command[rows].clamp(low, high))
    assert torch.equal(env.clip[in_clip], frames.clip[rows])
    # The mean of a cycle that was not lived through: as fast as the clip, at rest at home.
    torch.testing.assert_close(env.mean_velocity[in_clip], frames.command[rows])
    assert not env.mean_velocity[~in_clip].any()
    torch.testing.assert_close(env.cycle.mean(1), env.mean_velocity)
    home = env.qpos[~in_clip].float()
    away = home[:, 7:] - env.default_pose
    assert 0.09 < float(away.abs().max()) <= 0.1 + 1e-6
    assert torch.equal(home[:, :7], torch.as_tensor(env.robot.home_qpos[:7], dtype=torch.float32).expand(len(home), 7))
    # The first action is the one that holds the start, so that the actor sees no jump.
    held = torch.clamp(env.default_pose + env.action_scale * env.action, env.lower, env.upper)
    assert (held - env.qpos[:, 7:].float()).abs().max() < 1e-5
    torch.testing.assert_close(env.target, env.qpos[:, 7:].float())


# ---- numbers that break


@pytest.mark.usefixtures("elsewhere")
def test_physics_that_diverges_ends_the_episode_and_its_window_is_broken():
    env = Env(quiet(), N, nominal=True, reference=reference("droid"))
    env.reset(stagger=False)
    for action in actions(env, 3):
        step = env.step(action)
    env.qvel[2, 6:] = 1e12
    step = env.step(action)
    only = torch.arange(N) == 2
    assert torch.equal(step.terminated, only)
    assert step.motion_valid is not None
    assert torch.equal(step.motion_valid, ~only)
    assert float(step.log["diverged"]) == pytest.approx(1 / N)
    assert all(value.isfinite().all() for value in kept(step).values())


@pytest.mark.usefixtures("elsewhere")
def test_an_episode_after_a_divergence_lives_on():
    env = Env(quiet(), N, nominal=True)
    env.reset(stagger=False)
    env.qvel[2, 6:] = 1e12
    assert env.step(torch.zeros(N, env.num_actions)).terminated[2]
    assert not env.step(torch.zeros(N, env.num_actions)).terminated.any()


def test_a_reward_that_is_not_a_number_stops_the_run_and_is_named():
    ages: list[Tensor] = []

    def bad(state: State) -> Tensor:
        ages.append(state.age.clone())
        broken = (torch.arange(len(state.age)) == 5) & (len(ages) == 3)
        return torch.where(broken, torch.nan, 1.0)

    env = Env(quiet(rewards={"bad": term(1.0, bad)}), N, nominal=True)
    model = PPO(env=env, config=PPOConfig(horizon=6, minibatches=2, hidden_actor=(8,), hidden_critic=(8,)), seed=0)
    with pytest.raises(NonFiniteError, match="reward is nan in environment 5 at step 2") as caught:
        model.learn(6 * N)
    assert (caught.value.field, caught.value.step, caught.value.env_index) == ("reward", 2, 5)


@pytest.mark.usefixtures("elsewhere")
def test_an_action_that_is_not_a_number_is_seen_by_the_learner():
    """The engine replaces such a control by zero without a word, so the observation must tell."""
    env = Env(quiet(), N, nominal=True)
    env.reset(stagger=False)
    action = torch.zeros(N, env.num_actions)
    action[3, 2] = torch.nan
    step = env.step(action)
    assert torch.equal(step.obs["actor"].isnan().any(1), torch.arange(N) == 3)


def test_reference_and_environment_agree_on_the_discriminators_input():
    """A clip's window and the policy's have the same columns."""
    frames: Reference = reference("droid", 3)
    task = quiet()
    env = Env(replace(task, prior=replace(task.prior, window=3)), N, reference=frames, nominal=True)
    env.reset(stagger=False)
    step = env.step(torch.zeros(N, env.num_actions))
    rows = frames.windows[:5]
    demo = env.style_input(frames.window_features(rows), env.channels.of_clips(frames, rows), frames.phase[rows])
    assert step.motion is not None
    assert demo.shape[1] == step.motion.shape[1]


def test_a_clip_shorter_than_the_window_is_refused_by_name():
    model = compiled("droid")
    still = Clip("blink", 50.0, model.joint_names, model.home_qpos[None].repeat(2, 0), np.zeros((2, 20)), loop=False)
    with pytest.raises(UserError, match="'blink' has 2 frames.*window is 3"):
        build_reference([(still, np.zeros((2, 3)))], Prior(clips=("blink",), window=3), model)
