"""The motion prior: its rewards and losses by hand, its own learning, its health, its memory."""

import copy
import math
import warnings
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_envs import CLIPS, actions, compiled, quiet, reference
from torch import Tensor

from robopolicy.env.env import Env
from robopolicy.errors import NonFiniteError
from robopolicy.learn.amp import MotionPrior
from robopolicy.learn.config import PPOConfig
from robopolicy.learn.ppo import PPO
from robopolicy.learn.threads import Workers
from robopolicy.motion.clip import load_clips
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import load_reference

LOSSES = ("lsgan", "bce", "wgan")


def make(seed: int = 0, control_dt: float = 0.02, **settings: Any) -> MotionPrior:
    """A small prior over a few clips; its windows are those of a droid."""
    window = settings.get("window", 2)
    small = {"hidden": (16,), "replay": 256, "batch_size": 64, "clips": CLIPS["droid"]}
    prior = Prior(**{**small, **settings})
    task = replace(quiet(control_dt=control_dt), prior=prior)
    env = Env(task, 4, reference=reference("droid", window, control_dt), nominal=True)
    return MotionPrior(prior, reference("droid", window, control_dt), env, seed)


def seen(windows: Tensor, valid: Tensor | None = None, weight: Tensor | None = None, clip: Tensor | None = None) -> Any:
    """A step of the environment as far as the prior reads it."""
    return SimpleNamespace(
        motion=windows,
        motion_valid=torch.ones(len(windows), dtype=torch.bool) if valid is None else valid,
        style_weight=torch.ones(len(windows)) if weight is None else weight,
        clip=torch.full((len(windows),), -1) if clip is None else clip,
    )


def demo(prior: MotionPrior, n: int, seed: int = 0) -> Tensor:
    """Windows of the clips as the environment would give them, with the command. Shape (n, S)."""
    return prior._demo(prior.reference.draw(n, torch.Generator().manual_seed(seed)))


def collect(prior: MotionPrior, windows: Tensor, valid: Tensor | None = None, clip: Tensor | None = None) -> Tensor:
    """Style rewards of one step."""
    prior.watch(0, seen(windows, valid, clip=clip))
    return prior.reward(torch.zeros(1, len(windows)), Workers())[0]


# ---- rewards


@pytest.mark.parametrize(
    ("loss", "pairs"),
    [
        ("lsgan", {1.0: 1.0, -1.0: 0.0, 0.0: 0.75, 2.0: 0.75, -5.0: 0.0, 3.5: 0.0}),
        # -log(1 - sigmoid(0)) = log 2, over the limit 4
        ("bce", {0.0: math.log(2) / 4, -20.0: 0.0, 2.0: math.log(1 + math.exp(2)) / 4, 50.0: 1.0}),
    ],
)
def test_style_reward_by_hand(loss: str, pairs: dict[float, float]):
    prior = make(loss=loss)
    torch.testing.assert_close(
        prior.style_reward(torch.tensor(list(pairs))), torch.tensor(list(pairs.values())), atol=1e-6, rtol=0
    )


def test_wgan_style_reward_is_of_the_standardised_score():
    prior = make(loss="wgan")
    prior.score_mean, prior.score_var = torch.tensor(3.0), torch.tensor(4.0)
    expected = torch.tensor([0.5, 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(2))])
    torch.testing.assert_close(prior.style_reward(torch.tensor([3.0, 5.0, -1.0])), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_style_reward_lies_between_zero_and_one(loss: str):
    reward = make(loss=loss).style_reward(torch.linspace(-100, 100, 201))
    assert float(reward.min()) >= 0
    assert float(reward.max()) <= 1


@pytest.mark.parametrize("control_dt", [0.02, 0.01])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_style_and_task_are_mixed_on_one_time_scale(control_dt: float, weight: float):
    prior = make(weight=weight, reward_scale=2.5, control_dt=control_dt)
    windows = demo(prior, 6)
    task = torch.linspace(-1, 1, 6) * control_dt
    prior.watch(0, seen(windows))
    mixed = prior.reward(task[None], Workers())[0]
    with torch.no_grad():
        style = prior.style_reward(prior.net((windows - prior.mean) / prior.std).squeeze(-1))
    assert (style > 0).any()
    torch.testing.assert_close(mixed, (1 - weight) * task + weight * 2.5 * control_dt * style)


def test_a_broken_window_earns_no_style():
    prior = make(weight=1.0)
    valid = torch.tensor([True, False, True, False])
    reward = collect(prior, demo(prior, 4), valid)
    assert not reward[~valid].any()
    assert (reward[valid] > 0).all()


def test_the_prior_keeps_copies_because_the_environment_reuses_its_tensors():
    prior = make()
    windows, valid = demo(prior, 8), torch.ones(8, dtype=torch.bool)
    kept = prior.normalize(windows)
    collect(prior, windows, valid)
    windows.fill_(99.0)
    valid.fill_(False)
    assert torch.equal(prior._rollout[0], kept)
    assert prior._valid[0].all()


# ---- learning


def by_hand(loss: str, real: np.ndarray, fake: np.ndarray) -> float:
    if loss == "lsgan":
        return float(np.mean((real - 1) ** 2) + np.mean((fake + 1) ** 2))
    if loss == "bce":
        p, q = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
        return float(-np.mean(np.log(p)) - np.mean(np.log(1 - q)))
    return float(np.mean(np.tanh(0.3 * fake)) - np.mean(np.tanh(0.3 * real)))


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_by_hand(loss: str):
    prior = make(loss=loss)
    real, fake = prior.normalize(demo(prior, 16)), prior.normalize(demo(prior, 16, seed=1)) + 1
    value, real_score, fake_score = prior.loss(real, fake)
    with torch.no_grad():
        torch.testing.assert_close(real_score, prior.net(real).squeeze(-1))
        torch.testing.assert_close(fake_score, prior.net(fake).squeeze(-1))
    scores = [s.detach().double().numpy() for s in (real_score, fake_score)]
    assert float(value.detach()) == pytest.approx(by_hand(loss, *scores), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_penalty_is_the_mean_squared_input_gradient_on_the_clips(loss: str):
    """Oracle: central differences in double precision."""
    prior = make(loss=loss)
    net = copy.deepcopy(prior.net).double()
    real, fake = prior.normalize(demo(prior, 5)), prior.normalize(demo(prior, 5, seed=1))
    log = prior._step(real.clone(), fake)
    x, h = real.double(), 1e-5
    squares = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        for k in range(x.shape[1]):
            shift = torch.zeros_like(x)
            shift[:, k] = h
            squares += ((net(x + shift) - net(x - shift)).squeeze(-1) / (2 * h)).square()
    assert float(log["gradient_penalty"]) == pytest.approx(float(squares.mean()), rel=1e-4)


def test_a_stronger_gradient_penalty_makes_a_smoother_discriminator():
    steepness = []
    for strength in (0.0, 50.0):
        prior = make(gradient_penalty=strength, learning_rate=3e-3, input_noise=0.0)
        for k in range(20):
            collect(prior, demo(prior, 128, seed=k) + 0.5 * prior.std)
            log = prior.update()
        steepness.append(log["gradient_penalty"])
    assert steepness[1] < 0.3 * steepness[0]


@pytest.mark.filterwarnings("ignore:the motion prior is saturated")
@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns_to_tell_two_motions_apart(loss: str):
    prior = make(loss=loss, learning_rate=2e-3, gradient_penalty=0.1, input_noise=0.1)
    first: dict[str, float] = {}
    for k in range(40):
        windows = demo(prior, 128, seed=k) + 1.5 * prior.std
        collect(prior, windows)
        log = prior.update()
        first = first or log
    assert log["accuracy"] > 0.95
    assert log["logit_gap"] > first["logit_gap"] + 0.3
    assert log["loss"] < first["loss"]
    real = collect(prior, demo(prior, 256, seed=99)).mean()
    fake = collect(prior, demo(prior, 256, seed=99) + 1.5 * prior.std).mean()
    assert real > 1.5 * fake


def test_input_noise_keeps_it_from_saturating():
    """A small constant difference in a few joints gives a policy away at once, unless the inputs are blurred."""
    logs = []
    for input_noise in (0.0, 0.5):
        prior = make(input_noise=input_noise, learning_rate=5e-3, gradient_penalty=0.1, hidden=(64,), updates=5)
        shift = torch.zeros_like(prior.std)
        shift[:8] = 0.4 * prior.std[:8]
        for k in range(60):
            collect(prior, demo(prior, 256, seed=k) + shift)
            log = prior.update()
        logs.append(log)
    exact, noisy = logs
    assert exact["accuracy"] > 0.97
    assert 0.6 < noisy["accuracy"] < 0.92
    assert noisy["style_reward"] > 2 * exact["style_reward"]
    assert noisy["logit_gap"] < 0.7 * exact["logit_gap"]


def test_the_prior_and_the_policy_share_nothing():
    """Neither parameters nor optimiser nor random numbers: what one learns leaves the other as it is."""
    task = replace(quiet(), prior=Prior(clips=CLIPS["droid"], hidden=(16,), batch_size=64))
    env = Env(task, 16, reference=reference("droid"))
    prior = MotionPrior(task.prior, reference("droid"), env)
    config = PPOConfig(horizon=8, minibatches=2, hidden_actor=(16,), hidden_critic=(16,))
    model = PPO(env=env, config=config, prior=prior, seed=0)
    model.learn(16 * 8)

    owned = {id(p) for group in prior.optimizer.param_groups for p in group["params"]}
    assert owned == {id(p) for p in prior.net.parameters()}
    assert owned.isdisjoint(id(p) for p in model.policy.parameters())
    assert len({id(g) for g in (prior.generator, env.generator, model.generator)}) == 3

    def frozen(module: torch.nn.Module) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in module.state_dict().items()}

    def same(module: torch.nn.Module, before: dict[str, Tensor]) -> bool:
        return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())

    policy, net = frozen(model.policy), frozen(prior.net)
    rates = [g["lr"].clone() for g in model.policy.optimizer.param_groups]
    collect(prior, demo(prior, 128))
    randomness = torch.get_rng_state(), env.generator.get_state(), model.generator.get_state()
    prior.update()
    assert same(model.policy, policy)
    assert not same(prior.net, net)
    assert [g["lr"] for g in model.policy.optimizer.param_groups] == rates
    assert prior.optimizer.param_groups[0]["lr"] == task.prior.learning_rate
    now = torch.get_rng_state(), env.generator.get_state(), model.generator.get_state()
    assert all(torch.equal(a, b) for a, b in zip(randomness, now, strict=True))

    net, own = frozen(prior.net), prior.generator.get_state()
    prior.update = dict  # type: ignore[method-assign]
    model.train()
    assert same(prior.net, net)
    assert torch.equal(prior.generator.get_state(), own)
    assert not same(model.policy, policy)
    assert all(p.grad is None or not p.grad.isnan().any() for p in prior.net.parameters())


def test_the_normaliser_is_the_clips_own_and_never_moves():
    prior = make()
    every = prior._demo(prior.reference.windows)
    torch.testing.assert_close(prior.mean, every.mean(0))
    torch.testing.assert_close(prior.std, every.std(0).clamp(min=0.02))
    normal = prior.normalize(every)
    assert normal.mean(0).abs().max() < 1e-3
    assert normal.std(0).max() < 1 + 1e-3
    mean, std = prior.mean.clone(), prior.std.clone()
    collect(prior, demo(prior, 64) * 10 + 5)
    prior.update()
    assert torch.equal(prior.mean, mean)
    assert torch.equal(prior.std, std)


# ---- what it learns from


def spy(prior: MotionPrior) -> list[tuple[Tensor, Tensor]]:
    """Everything the discriminator is shown, as (clips, policy) pairs."""
    shown: list[tuple[Tensor, Tensor]] = []
    step = prior._step

    def watched(demo: Tensor, policy: Tensor) -> dict[str, Tensor]:
        shown.append((demo.clone(), policy.clone()))
        return step(demo, policy)

    prior._descent.function = watched
    return shown


@pytest.mark.parametrize(
    ("windows", "whole", "updates"),
    [(512, 400, 3), (64, 32, 2), (512, 400, 20)],
)
def test_broken_windows_are_never_learned_from(windows: int, whole: int, updates: int):
    prior = make(input_noise=0.0, updates=updates, batch_size=64)
    shown = spy(prior)
    for k in range(3):
        rows = demo(prior, windows, seed=k)
        valid = torch.randperm(windows, generator=torch.Generator().manual_seed(k)) < whole
        rows[~valid] = 1e4
        collect(prior, rows, valid)
        prior.update()
    assert max(float(policy.abs().max()) for _, policy in shown) < 1e3
    assert prior.replay[: prior.replayed].abs().max() < 1e3


def test_each_update_sees_fresh_and_remembered_windows_and_as_many_of_the_clips():
    prior = make(input_noise=0.0, updates=2, batch_size=64)
    shown = spy(prior)
    for value in (1.0, 2.0):
        collect(prior, torch.full_like(demo(prior, 256), value) * prior.std + prior.mean)
        prior.update()
    assert [len(policy) for _, policy in shown] == [32, 32, 64, 64]
    for clips, policy in shown:
        assert len(clips) == len(policy)
    for _, policy in shown[2:]:
        assert policy[:32].mean() == pytest.approx(2.0, abs=1e-3)
        assert policy[32:].mean() == pytest.approx(1.0, abs=1e-3)


def test_the_replay_is_a_ring():
    prior = make(replay=10)
    row = demo(prior, 1)

    def batch(*numbers: int) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float32).view(-1, 1).expand(-1, row.shape[1])

    def numbers() -> list[int]:
        return prior.replay[:, 0].int().tolist()

    prior._remember(batch(1, 2, 3, 4))
    assert prior.replayed == 4
    assert set(prior._remembered(200)[:, 0].int().tolist()) == {1, 2, 3, 4}  # never the empty cells
    prior._remember(batch(5, 6, 7, 8))
    prior._remember(batch(9, 10, 11, 12))
    assert numbers() == [11, 12, 3, 4, 5, 6, 7, 8, 9, 10]
    assert set(prior._remembered(500)[:, 0].int().tolist()) == set(range(3, 13))


def test_clip_weights_say_how_often_a_clip_is_drawn_whatever_its_length():
    model = compiled("droid")
    plain = Prior(clips=CLIPS["droid"])
    weights = {"turn_*": 3.0, "stand_idle": 0.5}
    tables = [load_reference(replace(plain, clip_weights=w), model, 0.02) for w in ({}, weights)]
    lengths = [len(c.qpos) for c in tables[0].clips]
    owner = np.repeat(np.arange(3), lengths)
    windows = np.array([n - 1 for n in lengths])
    assert windows[0] != windows[2]
    for table, weight in zip(tables, ([1, 1, 1], [1, 3, 0.5]), strict=True):
        rows = table.draw(40_000, torch.Generator().manual_seed(0)).numpy()
        share = np.bincount(owner[rows], minlength=3) / len(rows)
        np.testing.assert_allclose(share, np.array(weight) / np.sum(weight), atol=0.012)
        # within a clip every window is as likely
        counts = np.array(list(Counter(rows[owner[rows] == 0]).values()))
        assert len(counts) == windows[0]
        assert counts.std() < 3 * np.sqrt(counts.mean())


@pytest.mark.parametrize("window", [2, 3, 10])
def test_windows_are_consecutive_frames_of_one_clip(window: int):
    frames = reference("droid", window)
    lengths = [len(c.qpos) for c in frames.clips]
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
    assert len(frames.windows) == sum(n - window + 1 for n in lengths)
    values = frames.window_features(frames.windows)
    assert values.shape == (len(frames.windows), window, frames.features.shape[1])
    rows = frames.windows.unsqueeze(1) + torch.arange(window)
    assert (owner[rows] == owner[frames.windows].unsqueeze(1)).all()
    assert torch.equal(values, frames.features[rows])
    assert frames.following[rows[:, :-1]].all()
    # consecutive in time: the joints move by their velocities
    steps, velocity = values.diff(dim=1)[..., :14], 0.5 * (values[:, 1:, 14:28] + values[:, :-1, 14:28])
    assert (steps - 0.02 * velocity).abs().max() < 0.05
    assert (steps - 0.02 * velocity).abs().mean() < 2e-3


def test_the_windows_of_a_loop_go_across_its_seam():
    clip = load_clips("droid", "walk_forward_0.20")[0]
    frames = load_reference(Prior(clips=("walk_forward_0.20",), window=3), compiled("droid"), 0.02)
    assert len(frames.windows) == len(clip)
    last = frames.window_features(frames.windows[-1:])[0]
    again = frames.features[[len(clip) - 1, 0, 1]]
    torch.testing.assert_close(last, again, atol=1e-5, rtol=0)
    torch.testing.assert_close(frames.command[len(clip) :], frames.command[:2])


def test_the_clips_command_is_that_of_the_windows_last_frame():
    prior = make(window=3)
    rows = prior.reference.windows[::7]
    assert torch.equal(prior._demo(rows)[:, -3:], prior.reference.command[rows + 2])


# ---- health and memory


def test_health_is_logged():
    prior = make()
    collect(prior, demo(prior, 128))
    log = prior.update()
    wanted = ["loss", "gradient_penalty", "accuracy", "logit_gap", "style_reward", "style_reward_std", "saturated"]
    assert set(wanted) <= log.keys()
    assert all(isinstance(value, float) and math.isfinite(value) for value in log.values())
    assert 0 <= log["accuracy"] <= 1


def test_a_loss_that_is_no_number_is_said_to_be_the_priors():
    prior = make()
    collect(prior, demo(prior, 32))
    next(prior.net.parameters()).data[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="the motion prior's loss is nan") as caught:
        prior.update()
    assert caught.value.field == "prior"


def test_saturation_is_said_once_and_by_name():
    prior = make(input_noise=0.0, learning_rate=1e-2, gradient_penalty=0.0)
    flags = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(45):
            collect(prior, demo(prior, 128, seed=k) + 8 * prior.std)
            flags.append(prior.update()["saturated"])
    told = [str(w.message) for w in caught if "saturated" in str(w.message)]
    assert len(told) == 1
    assert "motion prior is saturated" in told[0]
    assert "--prior.input-noise" in told[0]
    assert flags[0] == 0
    assert flags[-1] == 1
    first = flags.index(1)
    assert first >= 19  # a bad moment is no saturation
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(30):
            collect(prior, demo(prior, 128, seed=k))
            log = prior.update()
    assert log["saturated"] == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_saved_prior_continues_to_the_same_bits(loss: str):
    prior = make(loss=loss, replay=100)

    def run(prior: MotionPrior, start: int) -> list[dict[str, float]]:
        logs = []
        for k in range(start, start + 5):
            collect(prior, demo(prior, 96, seed=k) + 0.3 * prior.std)
            logs.append(prior.update())
        return logs

    run(prior, 0)
    saved = copy.deepcopy(prior.state_dict())
    expected = run(prior, 10)
    other = make(seed=5, loss=loss, replay=100)
    run(other, 20)
    other.load_state_dict(saved)
    assert run(other, 10) == expected
    for a, b in zip(other.net.parameters(), prior.net.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(other.replay, prior.replay)


def test_the_seed_decides_everything_and_disturbs_nothing():
    state = torch.get_rng_state()
    a, b, c = make(seed=1), make(seed=1), make(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    weights = [torch.cat([p.flatten() for p in prior.net.parameters()]) for prior in (a, b, c)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_run_of_environment_and_prior_together():
    """What the environment calls motion is what the prior takes."""
    task = replace(quiet(), prior=Prior(clips=CLIPS["droid"], hidden=(16,), batch_size=32, weight=0.5))
    env = Env(task, 16, reference=reference("droid"))
    prior = MotionPrior(task.prior, reference("droid"), env)
    env.reset()
    rewards = []
    for t, action in enumerate(actions(env, 6)):
        step = env.step(action)
        prior.watch(t, step)
        rewards.append(step.reward)
    mixed = prior.reward(torch.stack(rewards), Workers(2))
    assert mixed.shape == (6, 16)
    assert mixed.isfinite().all()
    assert math.isfinite(prior.update()["loss"])
    assert prior._rollout == []


# ---- how much style, and of which clip


def test_each_robot_is_paid_by_the_weight_it_was_told():
    prior = make(weight=0.6, reward_scale=2.0)
    windows = demo(prior, 5)
    told = torch.tensor([0.0, 0.25, 0.5, 1.0, 1.0])
    task = torch.full((1, 5), 0.02)
    prior.watch(0, seen(windows, weight=told))
    mixed = prior.reward(task, Workers())[0]
    with torch.no_grad():
        style = prior.style_reward(prior.net(prior.normalize(windows)).squeeze(-1))
    assert mixed[0] == task[0, 0]
    torch.testing.assert_close(mixed, (1 - 0.6 * told) * 0.02 + 0.6 * told * 2.0 * 0.02 * style)


def chosen(prior: MotionPrior) -> Tensor:
    """Share of the draws that each clip gets."""
    rows = prior.reference.draw(20_000, torch.Generator().manual_seed(1))
    return torch.bincount(prior.reference.clip[rows], minlength=len(prior.reference.clips)) / 20_000


def test_a_clip_that_is_followed_badly_is_drawn_more_often():
    prior = make(adapt=1.0)
    prior.reference = replace(prior.reference, cumulative=prior.reference.cumulative.clone())
    before = chosen(prior)
    clip = torch.arange(60) % 3
    good = demo(prior, 60)
    bad = good + 30 * torch.randn_like(good)
    windows = torch.where((clip == 1).unsqueeze(-1), bad, good)
    for _ in range(40):
        collect(prior, windows, clip=clip)
        prior.update()
    after = chosen(prior)
    assert before.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert after[1] > 1.3 * before[1]
    assert after[0] < before[0]
    other = make(adapt=1.0)
    other.reference = replace(other.reference, cumulative=other.reference.cumulative.clone())
    other.load_state_dict(prior.state_dict())
    assert torch.equal(other.reference.cumulative, prior.reference.cumulative)


def test_without_adaption_the_clips_stay_as_they_were_weighed():
    prior = make()
    before = prior.reference.cumulative.clone()
    collect(prior, demo(prior, 60), clip=torch.arange(60) % 3)
    prior.update()
    assert torch.equal(prior.reference.cumulative, before)
