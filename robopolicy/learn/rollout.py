"""What a rollout leaves behind: T steps of N environments, and the advantages computed from them."""

from typing import NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor

from robopolicy.env.adapters import Step
from robopolicy.learn.ranks import ALONE, Ranks


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    done: Tensor,
    gamma: float,
    lam: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the returns they imply.

    Source: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
    2015 (arXiv:1506.02438).

    Args:
        rewards: Shape (T, N), like every tensor here.
        values: Value of the observation acted on.
        next_values: Value of what followed in truth: of the last observation of an episode where one ended.
        terminated: The episode ended with no future: `next_values` does not count.
        done: The episode ended in any way: nothing after it belongs to this step.
        gamma: Discount.
        lam: Decay of the later temporal differences.

    Returns:
        Advantages and returns (advantages + values), (T, N) each.
    """
    delta = rewards + gamma * next_values * ~terminated - values
    decay = gamma * lam * ~done
    advantages = torch.empty_like(delta)
    running = torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        running = torch.addcmul(delta[t], decay[t], running, out=advantages[t])
    return advantages, advantages + values


class Samples(NamedTuple):
    """The named columns of `TensorRollout.rows`; the leading dimensions are those of the rows."""

    actor: Tensor
    """Normalised actor observation. Shape (..., A)."""
    critic: Tensor
    """Normalised critic observation. Shape (..., C)."""
    action: Tensor
    """Action taken, before any clip. Shape (..., J)."""
    mean: Tensor
    """The action without noise at that time. Shape (..., J)."""
    log_prob: Tensor
    """Log-probability of the action at that time. Shape (...)."""
    value: Tensor
    """The critic's estimate at that time. Shape (...)."""
    advantage: Tensor
    """Normalised over the whole rollout. Shape (...)."""
    returns: Tensor
    """What the critic should have said. Shape (...)."""


class TensorRollout:
    """T steps of N environments, in tensors allocated once; constructed like SB3's rollout buffers.

    What the update draws at random lies in one matrix, a row per sample, so that one operation gathers a
    minibatch; `samples` are views of its columns. The rest is kept as the environments gave it.

    Attributes:
        rows: Shape (T, N, D).
        samples: Views of the columns of `rows`.
        raw_actor, raw_critic: Observations acted on, not normalised. Shapes (T, N, A), (T, N, C).
        final_critic: True critic observation after the step, ended or not. Shape (T, N, C).
        reward: Shape (T, N).
        terminated, truncated: Shape (T, N) bool.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Dict,
        action_space: spaces.Box,
        device: torch.device | str = "cpu",
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        n_envs: int = 1,
    ) -> None:
        self.gamma, self.gae_lambda = gamma, gae_lambda
        J = action_space.shape[0]
        A, C = (spaces.flatdim(observation_space[key]) for key in ("actor", "critic"))

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(buffer_size, n_envs, *shape, dtype=dtype, device=device)

        self._widths = [A, C, J, J, 1, 1, 1, 1]
        self.rows = zeros(sum(self._widths))
        self.samples = self.columns(self.rows)
        self.raw_actor, self.raw_critic, self.final_critic = zeros(A), zeros(C), zeros(C)
        self.reward = zeros()
        self.terminated, self.truncated = zeros(dtype=torch.bool), zeros(dtype=torch.bool)

    def columns(self, rows: Tensor) -> Samples:
        """Views of the named columns of `rows`. Shape (..., D)."""
        parts = rows.split(self._widths, dim=-1)
        return Samples(*parts[:4], *(part.squeeze(-1) for part in parts[4:]))

    def set_advantages(self, next_values: Tensor, ranks: Ranks = ALONE) -> None:
        """Fill in advantages and returns, given the value (T, N) of what followed each step in truth.

        Advantages are normalised over the rollouts of all ranks.
        """
        done = self.terminated | self.truncated
        advantage, returns = gae(
            self.reward, self.samples.value, next_values, self.terminated, done, self.gamma, self.gae_lambda
        )
        self.samples.returns.copy_(returns)
        (mean,) = ranks.mean([advantage.mean()])
        (variance,) = ranks.mean([(advantage - mean).square().mean()])
        self.samples.advantage.copy_((advantage - mean) / (variance.sqrt() + 1e-8))


class RolloutFigures:
    """What a rollout has to tell, summed on the device and read once.

    Attributes:
        names: The logged figures.
    """

    def __init__(self, device: torch.device) -> None:
        self._ended = torch.zeros(3, device=device)  # episodes, their returns, their lengths
        self._log: list[Tensor] = []
        self.names: list[str] = []

    def add(self, step: Step, episode_return: Tensor, episode_length: Tensor) -> None:
        """Count a step; the running return and length of every episode, (N,) each, are updated in place."""
        episode_return += step.reward
        episode_length += 1
        done = step.terminated | step.truncated
        self._ended += torch.stack([done.float(), episode_return * done, episode_length * done]).sum(1)
        episode_return.masked_fill_(done, 0.0)
        episode_length.masked_fill_(done, 0.0)
        self.names = list(step.log)
        if step.log:
            self._log.append(torch.stack(list(step.log.values())).float())

    def tensors(self) -> list[Tensor]:
        """Ended episodes, sums of their returns and lengths, then the mean of every logged figure."""
        return [*self._ended, *(torch.stack(self._log).mean(0) if self._log else ())]
