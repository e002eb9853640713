"""The controller's networks: one for acting, one for judging, each with its own observation normaliser."""

import math
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from robopolicy.learn.config import PPOConfig
from robopolicy.learn.ranks import ALONE, Ranks

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class RunningNormalizer(nn.Module):
    """Brings every column of its input to about zero mean and unit deviation, then limits it.

    The statistics are those of all data given to `update` so far and change there only, so that one rollout
    and the update that learns from it see the same function. They are buffers: saved, exported and moved with
    the policy.

    Args:
        dim: Number of columns.
        clip: Normalised values are limited to this many deviations either way.
        epsilon: Added to the deviation, in the input's unit, so that a column that never moved stays small.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, dim: int, clip: float = 10.0, epsilon: float = 1e-2) -> None:
        super().__init__()
        self.clip, self.epsilon = clip, epsilon
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("var", torch.ones(dim))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised and limited input. Shape (..., dim)."""
        return ((x - self.mean) / (self.var.sqrt() + self.epsilon)).clamp(-self.clip, self.clip)

    @torch.no_grad()
    def update(self, batch: Tensor, ranks: Ranks = ALONE) -> None:
        """Add a batch of raw data, shape (B, dim), to the statistics; the other ranks' too, all of one size."""
        (mean,) = ranks.mean([batch.mean(0)])
        (var,) = ranks.mean([(batch - mean).square_().mean(0)])  # ten times faster than torch.var_mean on the CPU
        self.merge(mean, var, batch.shape[0] * ranks.count)

    @torch.no_grad()
    def merge(self, mean: Tensor, var: Tensor, count: int | Tensor) -> None:
        """Add data known by its own mean, population variance (both (dim,)) and number of rows.

        The pairwise form keeps its precision however long the run is.
        Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
        """
        total = self.count + count
        new, old = (count / total).to(mean.dtype), (self.count / total).to(mean.dtype)
        shift = mean - self.mean
        self.var.copy_(old * self.var + new * var + shift.square() * (old * new))
        self.mean.add_(shift * new)
        self.count.copy_(total)


class RobotPolicy(ActorCriticPolicy):
    """A Gaussian policy whose actor sees only what the hardware has, and a critic that may see more.

    Observations are dicts of two tensors, ``actor`` (N, A) and ``critic`` (N, C), raw: the normalisers are
    inside. The action is the actor's output plus noise of a deviation that does not depend on the state.

    Args:
        observation_space: ``Dict(actor=Box (A,), critic=Box (C,))``.
        action_space: ``Box (J,)``.
        lr_schedule: Learning rate as a function of the remaining progress; its value at 1 is the initial one.
        hidden_actor: Widths of the actor's hidden layers.
        hidden_critic: Widths of the critic's hidden layers.
        initial_std: Deviation of the exploration noise at the start, in units of action.
        min_std: The deviation never falls below this.
        max_std: The deviation never exceeds this.
        activation_fn: The module class between layers; it is given ``inplace=True`` where it takes that.
        use_sde: Only False; the name is part of what Stable-Baselines3 passes.
        optimizer_class: Adam by default, fused.
        optimizer_kwargs: Further arguments of the optimiser.

    Raises:
        ValueError: If the spaces are of another kind, the bounds on the deviation are out of order, or
            `use_sde`.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        hidden_actor: tuple[int, ...] = (128, 128),
        hidden_critic: tuple[int, ...] = (128, 128),
        initial_std: float = 0.7,
        min_std: float = 0.05,
        max_std: float = 2.0,
        activation_fn: type[nn.Module] = nn.ELU,
        use_sde: bool = False,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        keys = set(observation_space.spaces) if isinstance(observation_space, spaces.Dict) else set()
        if keys != {"actor", "critic"}:
            raise ValueError(f"the observation space must be Dict(actor, critic), not {observation_space}")
        if not isinstance(action_space, spaces.Box) or len(action_space.shape) != 1:
            raise ValueError(f"the action space must be a Box of one dimension, not {action_space}")
        if not 0.0 < min_std <= initial_std <= max_std:
            raise ValueError(
                f"min_std={min_std}, initial_std={initial_std}, max_std={max_std}: "
                "they must be positive and in this order"
            )
        if use_sde:
            raise ValueError("use_sde: this policy has no state-dependent exploration")
        self.hidden_actor, self.hidden_critic = tuple(hidden_actor), tuple(hidden_critic)
        self.initial_std, self.min_std, self.max_std = initial_std, min_std, max_std
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch={"pi": list(hidden_actor), "vf": list(hidden_critic)},
            activation_fn=activation_fn,
            log_std_init=math.log(initial_std),
            features_extractor_class=CombinedExtractor,
            normalize_images=False,
            optimizer_class=optimizer_class,
            optimizer_kwargs={"eps": 1e-8, "fused": True} if optimizer_kwargs is None else optimizer_kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        """Create the networks and the optimiser; SB3's constructor ends with this."""
        assert isinstance(self.observation_space, spaces.Dict)
        actor_dim, critic_dim = (spaces.flatdim(self.observation_space[key]) for key in ("actor", "critic"))
        num_actions = spaces.flatdim(self.action_space)
        self.actor_normalizer = RunningNormalizer(actor_dim)
        self.critic_normalizer = RunningNormalizer(critic_dim)
        self.actor = mlp(actor_dim, self.hidden_actor, num_actions, self.activation_fn, last_gain=0.01)
        self.critic = mlp(critic_dim, self.hidden_critic, 1, self.activation_fn, last_gain=1.0)
        self.log_std = nn.Parameter(torch.full((num_actions,), self.log_std_init))
        # a tensor, so that it can change without leaving the device
        rate = torch.tensor(float(lr_schedule(1)))
        self.optimizer = self.optimizer_class(self.parameters(), lr=rate, **self.optimizer_kwargs)  # type: ignore

    def _get_constructor_parameters(self) -> dict[str, Any]:
        names = (
            "observation_space",
            "action_space",
            "hidden_actor",
            "hidden_critic",
            "initial_std",
            "min_std",
        )
        names += ("max_std", "activation_fn", "optimizer_class", "optimizer_kwargs")
        return {name: getattr(self, name) for name in names} | {"lr_schedule": self._dummy_schedule}

    # The parts: what rollouts, the update and the export call.

    def actor_mean(self, actor_obs: Tensor) -> Tensor:
        """The action without noise, from raw actor observations (N, A): what gets exported. Shape (N, J)."""
        return self.actor(self.actor_normalizer(actor_obs))

    def value(self, critic_obs: Tensor) -> Tensor:
        """Estimated return from raw critic observations (N, C). Shape (N,)."""
        return self.critic(self.critic_normalizer(critic_obs)).squeeze(-1)

    def bounded_log_std(self) -> Tensor:
        """Logarithm of the noise's deviation, within its bounds. Shape (J,)."""
        return self.log_std.clamp(math.log(self.min_std), math.log(self.max_std))

    @torch.no_grad()
    def bound_log_std_(self) -> None:
        """Put the parameter back into its bounds, where it has a gradient, after an optimiser step."""
        self.log_std.clamp_(math.log(self.min_std), math.log(self.max_std))

    def update_normalizers(self, actor_obs: Tensor, critic_obs: Tensor, ranks: Ranks = ALONE) -> None:
        """Add a rollout's raw observations, (B, A) and (B, C), to the statistics of both normalisers."""
        self.actor_normalizer.update(actor_obs, ranks)
        self.critic_normalizer.update(critic_obs, ranks)

    # What Stable-Baselines3 calls.

    def forward(self, obs: dict[str, Tensor], deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Actions (N, J), values (N, 1) and log-probabilities of those actions (N,)."""
        mean, log_std = self.actor_mean(obs["actor"]), self.bounded_log_std()
        action = mean if deterministic else mean + log_std.exp() * torch.randn_like(mean)
        return action, self.predict_values(obs), gaussian_log_prob(action, mean, log_std)

    def evaluate_actions(self, obs: dict[str, Tensor], actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Values (N, 1), log-probabilities of the given actions (N,) and the policy's entropy (N,)."""
        mean, log_std = self.actor_mean(obs["actor"]), self.bounded_log_std()
        entropy = gaussian_entropy(log_std).expand(mean.shape[0])
        return self.predict_values(obs), gaussian_log_prob(actions, mean, log_std), entropy

    def predict_values(self, obs: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        """Estimated returns. Shape (N, 1)."""
        return self.critic(self.critic_normalizer(obs["critic"]))

    def get_distribution(self, obs: dict[str, Tensor]) -> Distribution:  # type: ignore[override]
        """The distribution of actions, as Stable-Baselines3's object."""
        return self.action_dist.proba_distribution(self.actor_mean(obs["actor"]), self.bounded_log_std())  # type: ignore

    def _predict(self, observation: dict[str, Tensor], deterministic: bool = False) -> Tensor:  # type: ignore[override]
        mean = self.actor_mean(observation["actor"])
        return mean if deterministic else mean + self.bounded_log_std().exp() * torch.randn_like(mean)


def mlp(
    inputs: int, hidden: tuple[int, ...], outputs: int, activation: type[nn.Module], last_gain: float
) -> nn.Sequential:
    """A plain network; orthogonal weights (gain sqrt 2, `last_gain` in the last layer), zero biases."""
    try:
        activation(inplace=True)
        options = {"inplace": True}  # saves a tensor per layer, forward and backward
    except TypeError:
        options = {}
    layers: list[nn.Module] = []
    for width_in, width_out in zip((inputs, *hidden), hidden, strict=False):
        layers += [nn.Linear(width_in, width_out), activation(**options)]
    layers.append(nn.Linear((inputs, *hidden)[-1], outputs))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain=last_gain if layer is layers[-1] else math.sqrt(2.0))
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


# A diagonal Gaussian in plain tensors: torch.distributions validates its arguments on every call.


def gaussian_log_prob(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density of `x` (..., J) under independent normals, summed over J. Shape (...)."""
    scaled = (x - mean) * torch.exp(-log_std)
    return -0.5 * scaled.square().sum(-1) - (log_std.sum(-1) + HALF_LOG_2PI * x.shape[-1])


def gaussian_entropy(log_std: Tensor) -> Tensor:
    """Entropy of independent normals, summed over J [nat]. Shape (...) for log_std (..., J)."""
    return (log_std + (0.5 + HALF_LOG_2PI)).sum(-1)


def gaussian_kl(mean_p: Tensor, log_std_p: Tensor, mean_q: Tensor, log_std_q: Tensor) -> Tensor:
    """Divergence KL(p || q) of normals (..., J), summed over J [nat]. Shape (...)."""
    ratio = torch.exp(2.0 * (log_std_p - log_std_q))
    shift = ((mean_p - mean_q) * torch.exp(-log_std_q)).square()
    return (log_std_q - log_std_p + 0.5 * (ratio + shift - 1.0)).sum(-1)


def load_policy(config: PPOConfig, sizes: dict[str, int], weights: dict[str, Tensor]) -> RobotPolicy:
    """A policy for use, from saved weights.

    Args:
        config: The learner's settings, for the networks' widths.
        sizes: ``actor_dim``, ``critic_dim`` and ``num_actions``.
        weights: The policy's state_dict.
    """

    def box(size: int) -> spaces.Box:
        return spaces.Box(-math.inf, math.inf, (size,))

    policy = RobotPolicy(
        spaces.Dict({"actor": box(sizes["actor_dim"]), "critic": box(sizes["critic_dim"])}),
        box(sizes["num_actions"]),
        lambda _: config.learning_rate,
        hidden_actor=config.hidden_actor,
        hidden_critic=config.hidden_critic,
        initial_std=config.initial_std,
        min_std=config.min_std,
        max_std=config.max_std,
    )
    policy.load_state_dict(weights)
    policy.set_training_mode(False)
    return policy
