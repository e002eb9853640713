"""The policy: its normaliser, its Gaussian, and what Stable-Baselines3 asks of it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import Independent, Normal, kl_divergence

from robopolicy.learn.policy import (
    RobotPolicy,
    RunningNormalizer,
    gaussian_entropy,
    gaussian_kl,
    gaussian_log_prob,
)

A, C, J, N = 7, 9, 3, 5


def make_policy(**settings) -> RobotPolicy:
    unbounded = {key: spaces.Box(-np.inf, np.inf, (dim,), np.float32) for key, dim in (("actor", A), ("critic", C))}
    return RobotPolicy(
        spaces.Dict(unbounded),  # type: ignore[arg-type]
        spaces.Box(-2.0, 2.0, (J,), np.float32),
        lambda _: 1e-3,
        **settings,
    )


@pytest.fixture
def obs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(N, dim, generator=generator) for key, dim in (("actor", A), ("critic", C))}


# ---- the normaliser


def test_normalizer_equals_numpy_over_all_batches():
    rng = np.random.default_rng(0)
    batches = [rng.normal([1e3, 0.0, -5.0], [0.5, 1e-3, 20.0], (n, 3)) for n in (1, 7, 1000, 24)]
    normalizer = RunningNormalizer(3)
    for batch in batches:
        normalizer.update(torch.as_tensor(batch, dtype=torch.float32))
    everything = np.concatenate(batches)
    np.testing.assert_allclose(normalizer.mean, everything.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(normalizer.var, everything.var(0), rtol=2e-3)
    assert normalizer.count == len(everything)


def test_normalizer_keeps_its_precision_far_from_zero():
    # squares of 1e4 leave no room for a variance of 1e-2 in float32: a sum of squares would be lost
    generator = torch.Generator().manual_seed(0)
    normalizer = RunningNormalizer(1)
    for _ in range(50):
        normalizer.update(1e4 + 0.1 * torch.randn(1000, 1, generator=generator))
    assert normalizer.var.item() == pytest.approx(1e-2, rel=0.05)


def test_normalizer_normalises_and_limits():
    normalizer = RunningNormalizer(2)
    normalizer.update(torch.tensor([[0.0, 5.0], [4.0, 5.0]]))  # the second column never moves
    out = normalizer(torch.tensor([[4.0, 5.0], [1e6, 5.01], [-1e6, 5.0]]))
    np.testing.assert_allclose(out[:, 0], [2.0 / 2.01, 10.0, -10.0], rtol=1e-5)
    np.testing.assert_allclose(out[:, 1], [0.0, 1.0, 0.0], atol=1e-3)  # and is not blown up


def test_normalizer_learns_only_when_told_to(obs):
    policy = make_policy()
    policy.set_training_mode(True)
    before = {key: value.clone() for key, value in policy.state_dict().items() if "normalizer" in key}
    policy.forward(obs)
    policy.evaluate_actions(obs, torch.zeros(N, J))
    for key, value in before.items():
        assert torch.equal(policy.state_dict()[key], value), key


# ---- the Gaussian


def test_gaussian_equals_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    x, mean_p, mean_q = (torch.randn(N, J, generator=generator) for _ in range(3))
    log_std_p, log_std_q = (0.5 * torch.randn(J, generator=generator) for _ in range(2))
    p, q = (Independent(Normal(m, s.exp()), 1) for m, s in ((mean_p, log_std_p), (mean_q, log_std_q)))
    torch.testing.assert_close(gaussian_log_prob(x, mean_p, log_std_p), p.log_prob(x))
    torch.testing.assert_close(gaussian_entropy(log_std_p).expand(N), p.entropy())
    torch.testing.assert_close(gaussian_kl(mean_p, log_std_p, mean_q, log_std_q), kl_divergence(p, q))
    torch.testing.assert_close(gaussian_kl(mean_p, log_std_p, mean_p, log_std_p), torch.zeros(N))


# ---- the policy


def test_forward_and_evaluate_agree(obs):
    policy = make_policy()
    policy.update_normalizers(3.0 + 2.0 * obs["actor"], obs["critic"])
    action, value, log_prob = policy(obs)
    assert (action.shape, value.shape, log_prob.shape) == ((N, J), (N, 1), (N,))
    again_value, again_log_prob, entropy = policy.evaluate_actions(obs, action)
    torch.testing.assert_close(again_value, value)
    torch.testing.assert_close(again_log_prob, log_prob)
    distribution = policy.get_distribution(obs)
    torch.testing.assert_close(distribution.log_prob(action), log_prob)
    torch.testing.assert_close(distribution.entropy(), entropy)
    torch.testing.assert_close(policy.predict_values(obs), value)
    torch.testing.assert_close(policy.value(obs["critic"]), value.squeeze(-1))


def test_deterministic_action_is_the_actor_mean(obs):
    policy = make_policy()
    mean = policy.actor_mean(obs["actor"])
    assert torch.equal(policy(obs, deterministic=True)[0], mean)
    assert torch.equal(policy._predict(obs, deterministic=True), mean)
    assert mean.abs().max() < 0.1  # small last layer: the robot begins near its default pose


def test_actor_and_critic_share_nothing(obs):
    policy = make_policy()
    policy.actor_mean(obs["actor"]).sum().backward()
    assert all(p.grad is None for p in policy.critic.parameters())
    assert all(p.grad is not None for p in policy.actor.parameters())
    changed = obs | {"critic": obs["critic"] + 1.0}
    assert torch.equal(policy.actor_mean(changed["actor"]), policy.actor_mean(obs["actor"]))


def test_predict_takes_numpy_with_and_without_a_batch(obs):
    policy = make_policy()
    arrays = {key: value.numpy() for key, value in obs.items()}
    many, _ = policy.predict(arrays, deterministic=True)  # type: ignore[arg-type]
    one, _ = policy.predict({key: value[2] for key, value in arrays.items()}, deterministic=True)  # type: ignore
    assert many.shape == (N, J)
    np.testing.assert_allclose(one, many[2], rtol=1e-5, atol=1e-7)
    noisy, _ = policy.predict(arrays)  # type: ignore[arg-type]
    assert np.abs(noisy).max() <= 2.0  # SB3 clips to the action space
    assert not np.allclose(noisy, many)


def test_std_stays_within_its_bounds(obs):
    policy = make_policy(initial_std=0.5, min_std=0.2, max_std=0.9)
    torch.testing.assert_close(policy.bounded_log_std().exp(), torch.full((J,), 0.5))
    for raw, bounded in ((-9.0, 0.2), (9.0, 0.9)):
        torch.nn.init.constant_(policy.log_std, raw)
        torch.testing.assert_close(policy.bounded_log_std().exp(), torch.full((J,), bounded))
        policy.bound_log_std_()
        torch.testing.assert_close(policy.log_std.exp(), torch.full((J,), bounded))
        # on the bound the parameter still has a gradient, so it can come back
        policy.zero_grad()
        policy.evaluate_actions(obs, torch.zeros(N, J))[2].sum().backward()
        assert policy.log_std.grad is not None
        assert (policy.log_std.grad != 0).all()


def test_save_and_load(tmp_path, obs):
    policy = make_policy(hidden_actor=(16, 8), hidden_critic=(4,), initial_std=0.3)
    policy.update_normalizers(5.0 + obs["actor"], obs["critic"])
    policy.save(str(tmp_path / "policy.pt"))
    loaded = RobotPolicy.load(str(tmp_path / "policy.pt"), device="cpu")
    assert torch.equal(loaded.actor_mean(obs["actor"]), policy.actor_mean(obs["actor"]))
    assert torch.equal(loaded.value(obs["critic"]), policy.value(obs["critic"]))
    assert (loaded.hidden_actor, loaded.hidden_critic, loaded.initial_std) == ((16, 8), (4,), 0.3)


@pytest.mark.parametrize("activation", [torch.nn.ELU, torch.nn.Tanh])
def test_networks_are_plain_layers(activation):
    policy = make_policy(hidden_actor=(6, 5), activation_fn=activation)
    assert [type(layer) for layer in policy.actor] == [torch.nn.Linear, activation] * 2 + [torch.nn.Linear]
    assert [tuple(p.shape) for p in policy.actor.parameters()] == [(6, A), (6,), (5, 6), (5,), (J, 5), (J,)]


def test_without_hidden_layers_it_is_linear(obs):
    policy = make_policy(hidden_actor=(), hidden_critic=())
    assert policy.actor_mean(obs["actor"]).shape == (N, J)


def test_wrong_spaces_and_bounds_are_named():
    box = spaces.Box(-1.0, 1.0, (3,), np.float32)
    with pytest.raises(ValueError, match=r"Dict\(actor, critic\)"):
        RobotPolicy(box, box, lambda _: 1e-3)
    with pytest.raises(ValueError, match="min_std=0.9, initial_std=0.7"):
        make_policy(min_std=0.9)
    with pytest.raises(ValueError, match="use_sde"):
        make_policy(use_sde=True)
