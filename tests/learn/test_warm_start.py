"""The warm start: what it shows the actor is what the environment shows, and it teaches the clips."""

import math
from dataclasses import replace

import pytest
import torch
from small_envs import CLIPS, actions, columns, place, quiet, reference, shipped
from torch import Tensor

from robopolicy.env.env import Env
from robopolicy.learn.config import PPOConfig
from robopolicy.learn.policy import RobotPolicy
from robopolicy.learn.ppo import PPO
from robopolicy.learn.warm_start import clip_dataset, warm_start
from robopolicy.motion.prior import Prior
from robopolicy.task import observe
from robopolicy.terms import observations

TASKS = [("droid", "droid_walk"), ("go2", "go2_trot")]


def in_the_clips(robot: str, name: str) -> tuple[Env, dict[str, Tensor], Tensor, Tensor]:
    """An environment with one robot in each frame of the clips, and the data set."""
    frames = reference(robot)
    task = quiet(name)
    history = replace(observe(observations.joint_position), history=3)
    task = replace(task, observations={**task.observations, "history": history})
    env = Env(task, len(frames.qpos), reference=frames, nominal=True)
    env.reset(stagger=False)
    obs, action, exact = clip_dataset(env, frames)
    place(env, frames.qpos, frames.qvel)
    env.phase.copy_(torch.nan_to_num(frames.phase))
    env.mean_velocity.copy_(frames.command)
    return env, obs, action, exact


@pytest.mark.parametrize(("robot", "name"), TASKS)
def test_it_shows_what_the_environment_shows(robot: str, name: str):
    env, obs, _, _ = in_the_clips(robot, name)
    frames, keep = reference(robot), reference(robot).following
    seen = env.hold_command(frames.command)
    # Imitating is right at any style weight, so that all are shown.
    weight = obs["actor"][:, columns(env, "command")][:, 3]
    assert weight.min() < 0.05
    assert weight.max() > 0.95
    every = torch.ones(len(keep))
    every[keep] = weight
    seen = env.hold_command(env.channels.tell(frames.command, weight=every))
    assert obs["actor"].shape == (int(keep.sum()), env.actor_dim)
    assert obs["critic"].shape == (int(keep.sum()), env.critic_dim)
    for term in env.task.observations:
        if term not in ("last_action", "history"):
            part = columns(env, term)
            torch.testing.assert_close(obs["actor"][:, part], seen["actor"][keep][:, part], atol=2e-5, rtol=0, msg=term)
    torch.testing.assert_close(obs["critic"][:, : env.actor_dim], obs["actor"])
    start = env.actor_dim
    for term, observation in env.task.privileged.items():
        part = slice(start, start + observation.function(env.snapshot(), **observation.params).shape[1])
        start, ours, theirs = part.stop, obs["critic"][:, part], seen["critic"][keep][:, part]
        if term == "foot_clearance":
            # Of the foot's centre: exact for ball feet, near for tilted soles (scaled by 10 here).
            error = (ours.clamp(max=1.0) - theirs).abs() / 10
            assert error.max() < (1e-3 if robot == "go2" else 0.02)
        else:
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0, msg=term)
    assert start == env.critic_dim


@pytest.mark.parametrize(("robot", "name"), TASKS)
def test_the_last_action_is_the_one_taught_for_the_frame_before(robot: str, name: str):
    env, obs, action, _ = in_the_clips(robot, name)
    frames = reference(robot)
    rows = torch.where(frames.following)[0]
    last = obs["actor"][:, columns(env, "last_action")]
    second = torch.where(rows.diff() == 1)[0] + 1
    torch.testing.assert_close(last[second], action[second - 1])
    first = torch.ones(len(rows), dtype=torch.bool)
    first[second] = False
    assert int(first.sum()) == len(frames.clips)
    # at the start of a clip: what holds the pose, as the environment has it after a reset into a clip
    held = env.default_pose + env.action_scale * last[first]
    torch.testing.assert_close(held, frames.qpos[rows[first], 7:], atol=1e-5, rtol=0)


def test_a_history_holds_the_frames_before_within_one_clip():
    env, obs, _, _ = in_the_clips("droid", "droid_walk")
    frames = reference("droid")
    rows = torch.where(frames.following)[0]
    part = obs["actor"][:, columns(env, "history")].view(len(rows), 3, -1)
    starts = torch.cumsum(torch.tensor([0, *(len(c.qpos) for c in frames.clips)]), 0)
    begin = starts[torch.searchsorted(starts, rows, right=True) - 1]
    for back in range(3):
        row = torch.maximum(rows - back, begin)
        expected = frames.qpos[row, 7:] - env.default_pose
        torch.testing.assert_close(part[:, 2 - back], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("robot", "name"), TASKS)
def test_the_action_leads_to_the_next_frame(robot: str, name: str):
    """By the servo's formula, and in the simulator: it goes there better than by holding still."""
    env, _, action, _ = in_the_clips(robot, name)
    frames = reference(robot)
    rows = torch.where(frames.following)[0]
    target = env.default_pose + env.action_scale * action
    wanted, speed = frames.qpos[rows + 1, 7:], frames.qvel[rows + 1, 6:]
    free = action.abs() < env.action_clip
    assert free.float().mean() > 0.99
    torch.testing.assert_close(target[free], (wanted + 0.03 * speed)[free], atol=1e-5, rtol=0)

    env.qpos[:, 2] += 1.0  # in the air, so that only the servos move the joints
    env.sim.forward(torch.ones(env.num_envs, dtype=torch.bool))
    env.task.terminations.clear()
    full = torch.zeros(env.num_envs, env.num_actions)
    full[rows] = action
    env.step(full)
    reached = env.qpos[rows, 7:].float()
    miss, still = (reached - wanted).abs(), (frames.qpos[rows, 7:] - wanted).abs()
    walking = frames.command[rows].norm(dim=1) > 0.1
    assert miss[walking].mean() < 0.5 * still[walking].mean()


def test_commands_and_clock_are_exact_and_senses_are_not():
    env, obs, _, exact = in_the_clips("droid", "droid_walk")
    expected = torch.zeros(env.actor_dim, dtype=torch.bool)
    expected[columns(env, "command")] = True
    expected[columns(env, "gait_phase")] = True
    assert torch.equal(exact, expected)
    assert all(value.isfinite().all() for value in obs.values())


def make(seed: int = 0, nominal: bool = True) -> tuple[Env, RobotPolicy]:
    env = Env(shipped("droid_walk"), 8, reference=reference("droid"), nominal=nominal)
    config = PPOConfig(horizon=4, minibatches=1, hidden_actor=(32,), hidden_critic=(16,))
    return env, PPO(env=env, config=config, seed=seed).policy


def imitation_error(policy: RobotPolicy, env: Env) -> float:
    obs, action, _ = clip_dataset(env, reference("droid"))
    with torch.no_grad():
        return float((policy.actor_mean(obs["actor"]) - action).square().mean())


def test_it_teaches_the_clips_and_sets_normalisers_and_noise():
    env, policy = make()
    critic = {k: v.clone() for k, v in policy.critic.state_dict().items()}
    before = imitation_error(policy, env)
    settings = Prior(clips=CLIPS["droid"], warm_start=300, warm_start_std=0.2)
    told = warm_start(policy, env, reference("droid"), settings)
    after = imitation_error(policy, env)
    assert after < 0.2 * before
    assert math.isfinite(told)
    assert after < told < before  # what is told is with noise on the inputs
    torch.testing.assert_close(policy.log_std.exp().detach(), torch.full((env.num_actions,), 0.2))
    obs, _, _ = clip_dataset(env, reference("droid"))
    for name, normalizer in (("actor", policy.actor_normalizer), ("critic", policy.critic_normalizer)):
        torch.testing.assert_close(normalizer.mean, obs[name].mean(0), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(normalizer.var, obs[name].var(0).clamp(min=1e-3), atol=1e-5, rtol=1e-4)
        assert float(normalizer.count) > 1e5
    assert all(torch.equal(v, critic[k]) for k, v in policy.critic.state_dict().items())


def test_more_steps_teach_more():
    errors = []
    for steps in (10, 60, 240):
        env, policy = make()
        warm_start(policy, env, reference("droid"), Prior(clips=CLIPS["droid"], warm_start=steps))
        errors.append(imitation_error(policy, env))
    assert errors[0] > errors[1] > errors[2]


def test_the_same_seed_teaches_the_same_bits():
    weights = []
    for seed in (1, 1, 2):
        env, policy = make()
        torch.randn(seed)  # global random numbers have no part in it
        warm_start(policy, env, reference("droid"), Prior(clips=CLIPS["droid"], warm_start=20), seed)
        weights.append(torch.cat([p.detach().flatten() for p in policy.actor.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_environment_is_left_as_it_was():
    paths = []
    for taught in (False, True):
        env, policy = make(nominal=False)
        env.reset()
        if taught:
            warm_start(policy, env, reference("droid"), Prior(clips=CLIPS["droid"], warm_start=5))
        paths.append([env.step(a).obs["actor"].clone() for a in actions(env, 5)])
    assert all(torch.equal(a, b) for a, b in zip(*paths, strict=True))
