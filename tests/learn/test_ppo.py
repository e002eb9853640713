"""The learner: its arithmetic against oracles, its promises, and that it learns."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecMonitor

from robopolicy.env.adapters import SB3VecEnv
from robopolicy.errors import UserError
from robopolicy.learn.policy import gaussian_log_prob
from robopolicy.learn.ppo import PPO, NonFiniteError, PPOConfig, gae
from tests.toy import PointMass, ToyStep

SMALL = PPOConfig(horizon=8, epochs=2, minibatches=2, hidden_actor=(16,), hidden_critic=(16,))
ITERATION = 16 * SMALL.horizon  # time steps


def make(config: PPOConfig = SMALL, env: PointMass | None = None, seed: int | None = 3, **settings) -> PPO:
    return PPO(env=PointMass(16, max_episode_steps=5) if env is None else env, config=config, seed=seed, **settings)


def weights(model: PPO) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in model.policy.state_dict().values()])


def collect(model: PPO) -> PPO:
    """One rollout, nothing learned."""
    _, callback = model._setup_learn(10**6, None)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    return model


# ---- advantages


def test_gae_by_hand():
    # one environment; gamma 0.5, lambda 0.5; step 1 terminates, step 2 is truncated, step 3 runs on
    rewards = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    values = torch.tensor([[10.0], [20.0], [30.0], [40.0]])
    next_values = torch.tensor([[20.0], [999.0], [60.0], [50.0]])  # 999 is beyond a terminal state: never used
    terminated = torch.tensor([[0], [1], [0], [0]], dtype=torch.bool)
    done = torch.tensor([[0], [1], [1], [0]], dtype=torch.bool)
    advantages, returns = gae(rewards, values, next_values, terminated, done, 0.5, 0.5)
    # delta = 1+10-10=1, 2-20=-18, 3+30-30=3, 4+25-40=-11; step 0 adds 0.25 * step 1; nothing crosses 1|2, 2|3
    assert advantages.flatten().tolist() == [1.0 - 0.25 * 18.0, -18.0, 3.0, -11.0]
    assert returns.flatten().tolist() == [6.5, 2.0, 33.0, 29.0]


def test_gae_equals_a_slow_loop():
    generator = torch.Generator().manual_seed(0)
    T, N, gamma, lam = 13, 6, 0.97, 0.9
    rewards, values, next_values = (torch.randn(T, N, generator=generator) for _ in range(3))
    terminated, truncated = (torch.rand(T, N, generator=generator) < 0.2 for _ in range(2))
    advantages, _ = gae(rewards, values, next_values, terminated, terminated | truncated, gamma, lam)
    for n in range(N):
        for t in range(T):  # the definition: a discounted sum of temporal differences until the episode's end
            expected, weight = 0.0, 1.0
            for k in range(t, T):
                future = 0.0 if terminated[k, n] else gamma * float(next_values[k, n])
                expected += weight * (float(rewards[k, n]) + future - float(values[k, n]))
                weight *= gamma * lam
                if terminated[k, n] or truncated[k, n]:
                    break
            assert float(advantages[t, n]) == pytest.approx(expected, abs=1e-5)


def test_gae_equals_stable_baselines_where_nothing_is_cut():
    generator = torch.Generator().manual_seed(1)
    T, N = 12, 4
    rewards, values = (torch.randn(T, N, generator=generator) for _ in range(2))
    done = torch.rand(T, N, generator=generator) < 0.2
    last = torch.randn(N, generator=generator)
    box = SB3VecEnv(PointMass(N)).action_space
    theirs = RolloutBuffer(T, box, box, gae_lambda=0.95, gamma=0.99, n_envs=N)
    starts = np.zeros(N, dtype=bool)
    zero = torch.zeros(N)
    for t in range(T):
        theirs.add(np.zeros((N, 2)), np.zeros((N, 2)), rewards[t].numpy(), starts, values[t], zero)
        starts = done[t].numpy()
    theirs.compute_returns_and_advantage(last, starts)
    ours, returns = gae(rewards, values, torch.cat([values[1:], last[None]]), done, done, 0.99, 0.95)
    np.testing.assert_allclose(ours, theirs.advantages, atol=1e-5)
    np.testing.assert_allclose(returns, theirs.returns, atol=1e-5)


class Corridor:
    """Every place is its own number, so that a test sees which was valued; cut after 3 steps."""

    num_envs, num_actions, actor_dim, critic_dim, max_episode_steps, action_clip = 4, 1, 1, 1, 3, 1.0
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.place = torch.zeros(4)

    def _obs(self, place: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"actor": torch.zeros(4, 1), "critic": place[:, None].clone()}

    def reset(self) -> dict[str, torch.Tensor]:
        self.place = torch.zeros(4)
        return self._obs(self.place)

    def step(self, action: torch.Tensor):
        true_last = self.place + 1.0
        truncated = true_last >= 3.0
        self.place = torch.where(truncated, 0.0, true_last)
        never = torch.zeros(4, dtype=torch.bool)
        return ToyStep(self._obs(self.place), torch.ones(4), never, truncated, self._obs(true_last), None, {})


def test_a_cut_episode_is_worth_the_value_of_its_true_last_observation():
    config = replace(SMALL, horizon=4, minibatches=1, gae_lambda=0.0, gamma=0.5)
    model = PPO(env=Corridor(), config=config, seed=0)
    model.policy.value = lambda critic_obs: 100.0 * critic_obs.squeeze(-1)  # type: ignore[method-assign]
    collect(model)
    b, value = model.rollout_buffer, model.rollout_buffer.samples.value
    assert b.truncated.all(1).tolist() == [False, False, True, False]
    # with lambda 0 the return is r + gamma V(next): step 2 leads to place 3, not 2 nor, after its reset, 0
    torch.testing.assert_close(b.samples.returns[2], torch.full((4,), 1.0 + 0.5 * 300.0))
    # and elsewhere to the value of the next observation acted on
    torch.testing.assert_close(b.samples.returns[0], 1.0 + 0.5 * value[1])
    # the last step of the rollout: the observation after it, place 1
    torch.testing.assert_close(b.samples.returns[3], torch.full((4,), 1.0 + 0.5 * 100.0))


def test_a_terminal_state_is_worth_nothing():
    env = PointMass(16, max_episode_steps=100)
    model = make(replace(SMALL, gae_lambda=0.0), env=env)
    env.reset = lambda: (setattr(env, "position", torch.full((16, 2), 9.0)), env._observe(env._obs))[1]  # type: ignore
    collect(model)
    b = model.rollout_buffer
    assert b.terminated[0].all()
    torch.testing.assert_close(b.samples.returns[0], b.reward[0])


# ---- the rollout


def test_rollout_holds_what_happened():
    model = collect(make())
    b, policy = model.rollout_buffer, model.policy
    done = b.terminated | b.truncated
    assert done.any()
    # what was acted on is what the step before led to, unless an episode ended
    same = (b.raw_critic[1:] == b.final_critic[:-1]).all(-1)
    assert torch.equal(same, ~done[:-1])
    # stored quantities are those of the policy that acted
    _, value, log_prob = (
        policy.actor_mean(b.raw_actor),
        policy.value(b.raw_critic),
        gaussian_log_prob(b.samples.action, b.samples.mean, policy.bounded_log_std()),
    )
    torch.testing.assert_close(b.samples.value, value)
    torch.testing.assert_close(b.samples.log_prob, log_prob)
    torch.testing.assert_close(b.samples.mean, policy.actor_mean(b.raw_actor))
    advantage = b.samples.advantage
    assert advantage.mean().abs() < 1e-5
    assert advantage.std(unbiased=False) == pytest.approx(1.0, abs=1e-4)
    assert not b.rows.requires_grad


def test_the_first_gradient_step_starts_at_ratio_one():
    for iterations in (
        1,
        3,
    ):  # on the first rollout the normaliser is new; later it must not have moved in between
        model = make().learn(ITERATION * (iterations - 1)) if iterations > 1 else make()
        collect(model)
        rows = model.rollout_buffer.rows.flatten(0, 1)
        losses, _ = model._gradients(rows, torch.arange(len(rows)))
        assert losses[3].item() == pytest.approx(0.0, abs=1e-6)  # KL
        assert losses[4].item() == 0.0  # share outside the clip range


def test_normaliser_takes_every_rollout_once():
    model = make().learn(3 * ITERATION)
    assert model.policy.actor_normalizer.count == model.policy.critic_normalizer.count == 3 * ITERATION


def test_actions_reach_the_environment_clipped_and_the_buffer_as_drawn():
    env, seen = PointMass(16), []
    inner = env.step
    env.step = lambda action: (seen.append(action.clone()), inner(action))[1]  # type: ignore[method-assign]
    model = collect(make(replace(SMALL, initial_std=2.0, max_std=2.0), env=env))
    drawn = model.rollout_buffer.samples.action
    assert drawn.abs().max() > 2.0
    torch.testing.assert_close(torch.stack(seen), drawn.clamp(-2.0, 2.0))


def test_episode_figures_and_env_log():
    model = make(env=PointMass(16, max_episode_steps=5))
    model.set_logger(configure(None, []))
    collect(model)
    b = model.rollout_buffer
    (info,) = model.ep_info_buffer  # type: ignore[misc]
    assert info["l"] == 5.0
    torch.testing.assert_close(info["r"], float(b.reward[:5].sum(0).mean()), rtol=1e-5, atol=1e-6)
    logged = model.logger.name_to_value
    assert logged["rollout/episodes"] == 16
    assert logged["env/falls"] == pytest.approx(b.terminated.float().mean().item())
    assert logged["env/distance"] > 0.0
    # the second rollout goes on with the three steps already taken
    torch.testing.assert_close(model.episode_length, torch.full((16,), 3.0))


# ---- the update


def test_one_gradient_step_equals_a_plain_implementation():
    config = replace(SMALL, epochs=1, minibatches=1, schedule="constant", entropy_coef=0.01, clip_value=True)
    model = collect(make(config))
    twin = copy.deepcopy(model.policy)
    b = model.rollout_buffer
    flat = {name: value.flatten(0, 1).clone() for name, value in b.samples._asdict().items()}
    raw_actor, raw_critic = b.raw_actor.flatten(0, 1).clone(), b.raw_critic.flatten(0, 1).clone()
    model.train()

    value, log_prob, entropy = twin.evaluate_actions({"actor": raw_actor, "critic": raw_critic}, flat["action"])
    ratio, advantage, old = (log_prob - flat["log_prob"]).exp(), flat["advantage"], flat["value"]
    policy_loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
    value = value.squeeze(-1)
    near = old + (value - old).clamp(-0.2, 0.2)
    value_loss = torch.max((value - flat["returns"]) ** 2, (near - flat["returns"]) ** 2).mean()
    optimizer = torch.optim.Adam(twin.parameters(), lr=config.learning_rate)
    (policy_loss + value_loss - 0.01 * entropy.mean()).backward()
    torch.nn.utils.clip_grad_norm_(twin.parameters(), config.max_grad_norm)
    optimizer.step()
    for (name, ours), theirs in zip(model.policy.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5, msg=name)


@pytest.mark.parametrize(
    ("kl", "factor"), [(0.0, 1.0), (0.003, 1.5), (0.01, 1.0), (0.025, 1 / 1.5), (float("nan"), 1.0)]
)
def test_learning_rate_follows_the_divergence(kl, factor):
    model = make()
    model._follow_kl(torch.tensor(kl))
    assert model.rate.item() == pytest.approx(1e-3 * factor)
    assert model.policy.optimizer.param_groups[0]["lr"] is model.rate


def test_learning_rate_keeps_its_bounds():
    model = make()
    for kl, bound in ((1.0, 1e-5), (1e-3, 1e-2)):
        for _ in range(60):
            model._follow_kl(torch.tensor(kl))
        assert model.rate.item() == pytest.approx(bound)


def test_linear_schedule_follows_the_progress():
    config = replace(SMALL, schedule="linear", learning_rate=1e-3, final_learning_rate=1e-4)
    done = 0.0
    model = make(config, progress=lambda: done).learn(ITERATION)
    assert model.rate.item() == pytest.approx(1e-3)
    done = 0.5
    model.learn(ITERATION)
    assert model.rate.item() == pytest.approx(5.5e-4)
    done = 7.0  # a run past its bound does not go below
    model.learn(ITERATION)
    assert model.rate.item() == pytest.approx(1e-4)
    by_steps = make(config).learn(2 * ITERATION)  # without a clock: by time steps, all of them used up
    assert by_steps.rate.item() == pytest.approx(1e-4)
    assert make(replace(config, schedule="constant")).learn(2 * ITERATION).rate.item() == pytest.approx(1e-3)


def test_std_floor_holds_during_learning():
    config = replace(SMALL, initial_std=0.3, min_std=0.29, learning_rate=1e-2, schedule="constant", entropy_coef=-1.0)
    model = make(config).learn(4 * ITERATION)
    torch.testing.assert_close(model.policy.log_std.exp(), torch.full((2,), 0.29))


# ---- promises


def test_same_seed_same_bits():
    a, b = (make().learn(4 * ITERATION) for _ in range(2))
    assert torch.equal(weights(a), weights(b))
    assert not torch.equal(weights(a), weights(make(seed=4).learn(4 * ITERATION)))


def test_threads_change_no_bit():
    config = replace(SMALL, shards=3, hidden_actor=(64, 64))
    one, two, three = (make(config, threads=threads).learn(4 * ITERATION) for threads in (1, 2, 3))
    assert torch.equal(weights(one), weights(two))
    assert torch.equal(weights(one), weights(three))


def test_tuning_threads_changes_nothing_else():
    a, b = make(), make()
    choice = b.tune_threads()
    assert b.workers.count == choice.count
    assert 1 in choice.seconds
    assert torch.equal(weights(a.learn(2 * ITERATION)), weights(b.learn(2 * ITERATION)))


def test_resumed_run_continues_to_the_same_numbers(tmp_path):
    whole = make().learn(6 * ITERATION)

    env = PointMass(16, max_episode_steps=5)
    first = make(env=env).learn(2 * ITERATION + 1)  # a rollout is never cut: this is three
    torch.save(first.training_state(), tmp_path / "state.pt")
    env = copy.deepcopy(env)  # the environment's own state is its own matter

    second = make(env=env, seed=99)  # everything random comes from the state
    second.load_training_state(torch.load(tmp_path / "state.pt", weights_only=True))
    second.learn(3 * ITERATION, reset_num_timesteps=False)
    assert second.num_timesteps == whole.num_timesteps
    assert torch.equal(weights(second), weights(whole))
    assert second.rate.item() == whole.rate.item()
    assert second.ep_info_buffer == whole.ep_info_buffer


def test_training_state_is_a_copy():
    model = make().learn(ITERATION)
    state = model.training_state()
    before = copy.deepcopy(state)
    model.learn(ITERATION)
    for kept, old in zip(state["policy"].values(), before["policy"].values(), strict=True):
        assert torch.equal(kept, old)
    assert torch.equal(state["generator"], before["generator"])


def test_state_of_another_shape_is_refused_by_name():
    state = make().learn(ITERATION).training_state()
    with pytest.raises(UserError, match="16 environments, this one 8"):
        make(env=PointMass(8)).load_training_state(state)
    with pytest.raises(UserError, match=r"does not fit this task.*actor\.0\.weight"):
        make(replace(SMALL, hidden_actor=(32,))).load_training_state(state)


def test_saved_model_loads_predicts_and_goes_on(tmp_path):
    env = PointMass(16, max_episode_steps=5)
    model = make(env=env).learn(2 * ITERATION)
    model.save(tmp_path / "model.zip")
    obs = SB3VecEnv(PointMass(4)).reset()
    expected, _ = model.predict(obs, deterministic=True)  # type: ignore[arg-type]

    alone = PPO.load(tmp_path / "model.zip")
    np.testing.assert_array_equal(alone.predict(obs, deterministic=True)[0], expected)  # type: ignore[arg-type]
    assert alone.config == model.config
    assert alone.rate.item() == model.rate.item()

    other = SB3VecEnv(PointMass(32, max_episode_steps=5))  # also another number of environments
    further = PPO.load(tmp_path / "model.zip", env=other)
    further.learn(2 * 32 * SMALL.horizon, reset_num_timesteps=False)
    assert further.num_timesteps == 2 * ITERATION + 2 * 32 * SMALL.horizon
    assert further.policy.optimizer.param_groups[0]["lr"] is further.rate
    assert not torch.equal(weights(further), weights(model))


def test_callbacks_logger_and_evaluate_policy(tmp_path):
    calls = []

    class Watch(BaseCallback):
        def _on_rollout_start(self) -> None:
            calls.append("start")

        def _on_step(self) -> bool:
            calls.append("step")
            assert self.locals["step"].reward.shape == (16,)
            return True

        def _on_rollout_end(self) -> None:
            calls.append("end")
            assert self.locals["samples"].advantage.isfinite().all()

    model = make()
    model.set_logger(configure(str(tmp_path), ["csv", "tensorboard"]))
    model.learn(2 * ITERATION, callback=[Watch(), CheckpointCallback(8, str(tmp_path / "saved"))])
    assert calls == (["start"] + ["step"] * 8 + ["end"]) * 2
    assert len(list((tmp_path / "saved").glob("*.zip"))) == 2
    header = (tmp_path / "progress.csv").read_text().splitlines()[0]
    for name in (
        "train/kl",
        "train/learning_rate",
        "train/value_loss",
        "env/distance",
        "rollout/ep_rew_mean",
    ):
        assert name in header
    assert list(tmp_path.glob("events.out.tfevents*"))
    returns, lengths = evaluate_policy(
        model,
        SB3VecEnv(PointMass(4, max_episode_steps=5)),
        n_eval_episodes=8,
        return_episode_rewards=True,
    )
    assert lengths == [5] * 8
    assert np.isfinite(returns).all()


def test_a_callback_can_stop_the_run_and_it_goes_on_later():
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls < 3

    env = PointMass(16)
    model = make(env=env).learn(ITERATION, callback=Stop())
    assert model.num_timesteps == 3 * 16
    now = env._observe({key: value.clone() for key, value in env._obs.items()})
    assert torch.equal(model._last_obs["actor"], now["actor"])  # type: ignore[index, call-overload]
    model.learn(ITERATION, reset_num_timesteps=False)


def test_a_prior_mixes_in_and_learns():
    class Halved:
        seen = 0
        updates = 0

        def watch(self, t, step):
            assert step.motion.shape == (16, 2, 2)
            assert t == self.seen % SMALL.horizon
            self.seen += 1

        def reward(self, task_reward, workers):
            assert not torch.is_grad_enabled()
            assert task_reward.shape == (SMALL.horizon, 16)
            return 0.5 * task_reward + 1.0

        def update(self):
            assert torch.is_grad_enabled()
            self.updates += 1
            return {"accuracy": 0.75}

    prior, env = Halved(), PointMass(16, max_episode_steps=5)
    model = make(env=env, prior=prior)
    model.set_logger(configure(None, []))
    model.learn(2 * ITERATION, log_interval=None)  # type: ignore[arg-type]
    assert (prior.seen, prior.updates) == (2 * SMALL.horizon, 2)
    assert model.logger.name_to_value["prior/accuracy"] == 0.75
    plain = collect(make())
    mixed = collect(make(prior=Halved()))
    torch.testing.assert_close(mixed.rollout_buffer.reward, 0.5 * plain.rollout_buffer.reward + 1.0)
    # the episode's return stays the task's, so that runs with and without a prior compare
    assert mixed.ep_info_buffer == plain.ep_info_buffer


# ---- numbers that stop being numbers


@pytest.mark.parametrize(
    ("field", "key", "column"),
    [
        ("actor observation", "obs", 1),
        ("final critic observation", "final_obs", 2),
        ("reward", "reward", None),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_first_bad_number_is_named(field, key, column, value):
    env, count = PointMass(16), 0
    inner = env.step

    def step(action):
        nonlocal count
        count += 1
        result = inner(action)
        if count == SMALL.horizon + 4:  # in the second rollout
            if column is None:
                result.reward[11] = value
            else:
                getattr(result, key)["critic" if "critic" in field else "actor"][11, column] = value
        return result

    env.step = step  # type: ignore[method-assign]
    model = make(env=env)
    model.learn(ITERATION)
    before = weights(model)
    with pytest.raises(NonFiniteError) as caught:
        model.learn(ITERATION, reset_num_timesteps=False)
    error = caught.value
    # an observation is acted on in the step after the one that gave it
    assert (error.field, error.env_index, error.step) == (field, 11, 4 if field == "actor observation" else 3)
    for part in (field, "environment 11", f"step {error.step} of the rollout", "1 of 16 environments"):
        assert part in str(error)
    assert torch.equal(weights(model), before)  # caught before anything learned from it


def test_a_bad_number_in_the_very_last_observation_is_not_learned_from():
    env, inner = PointMass(16), PointMass.step

    def step(action):
        result = inner(env, action)
        if env.age[0] == SMALL.horizon:
            result.obs["critic"][2, 0] = math.nan
        return result

    env.step = step  # type: ignore[method-assign]
    with pytest.raises(NonFiniteError, match="next critic observation.* in environment 2 at step 7"):
        make(env=env).learn(ITERATION)


def test_a_broken_parameter_is_named():
    model = make(replace(SMALL, max_grad_norm=math.inf, learning_rate=1e30, schedule="constant"))
    with pytest.raises(NonFiniteError, match=r"after update|in update") as caught:
        model.learn(5 * ITERATION)
    assert caught.value.field


# ---- wrong use


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 0}, "ppo.horizon is 0"),
        ({"learning_rate": -1.0}, "ppo.learning_rate is -1.0"),
        ({"gamma": 1.5}, "ppo.gamma is 1.5"),
        ({"initial_std": 3.0}, "ppo.initial_std 3.0, ppo.max_std 2.0"),
        ({"learning_rate": 0.1}, "ppo.max_learning_rate 0.01"),
        ({"schedule": "cosine"}, "unknown ppo.schedule 'cosine'; known: adaptive, constant, linear"),
        ({"minibatches": 100}, "16 environments x ppo.horizon 8 give 128 samples"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(UserError, match=message):
        make(replace(SMALL, **change))


def test_wrapped_environments_are_refused():
    with pytest.warns(UserWarning, match="already wrapped"):
        wrapped = VecMonitor(SB3VecEnv(PointMass(16)))
    with pytest.raises(TypeError, match="VecMonitor"):
        PPO(env=wrapped, config=SMALL)  # type: ignore[arg-type]


# ---- and it learns


def test_the_point_mass_is_learned():
    model = make(PPOConfig(horizon=16), env=PointMass(64))
    test_env = SB3VecEnv(PointMass(32, seed=7))
    before, _ = evaluate_policy(model, test_env, n_eval_episodes=32)
    model.learn(20 * 64 * 16)
    after, _ = evaluate_policy(model, test_env, n_eval_episodes=32)
    assert np.mean(before) < 1.5  # staying put gives about 1
    assert np.mean(after) > 3.0  # the best possible is about 3.8
