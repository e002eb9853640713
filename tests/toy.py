"""A point mass on a line that learns in seconds, with every way to end an episode; for tests of learners and
adapters.

It keeps the whole interface of the real environment, reused buffers included.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class ToyStep:
    obs: dict[str, Tensor]
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: dict[str, Tensor]
    motion: Tensor | None
    log: dict[str, Tensor]


class PointMass:
    """Push a mass to the origin. The actor sees position and a raw, badly scaled velocity; the critic also
    the clock.

    An episode terminates beyond 3 m and is truncated after `max_episode_steps`.
    """

    def __init__(self, num_envs: int = 64, max_episode_steps: int = 40, seed: int = 0) -> None:
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps
        self.num_actions, self.actor_dim, self.critic_dim = 2, 4, 5
        self.control_dt, self.action_clip = 0.1, 2.0
        self.device = torch.device("cpu")
        self.generator = torch.Generator().manual_seed(seed)
        self.position, self.velocity = torch.zeros(num_envs, 2), torch.zeros(num_envs, 2)
        self.age = torch.zeros(num_envs, dtype=torch.long)
        # buffers that every step overwrites, as the real environment's may be
        self._obs = {"actor": torch.zeros(num_envs, 4), "critic": torch.zeros(num_envs, 5)}
        self._final = {key: value.clone() for key, value in self._obs.items()}
        self._reward = torch.zeros(num_envs)

    def seed(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    def _restart(self, mask: Tensor) -> None:
        start = 2.0 * torch.rand(self.num_envs, 2, generator=self.generator) - 1.0
        self.position = torch.where(mask[:, None], start, self.position)
        self.velocity = torch.where(mask[:, None], 0.0, self.velocity)
        self.age = torch.where(mask, 0, self.age)

    def _observe(self, into: dict[str, Tensor]) -> dict[str, Tensor]:
        into["actor"].copy_(torch.cat([self.position, 50.0 * self.velocity + 10.0], 1))
        into["critic"].copy_(torch.cat([into["actor"], self.age[:, None] / self.max_episode_steps], 1))
        return into

    def reset(self) -> dict[str, Tensor]:
        self._restart(torch.ones(self.num_envs, dtype=torch.bool))
        return self._observe(self._obs)

    def step(self, action: Tensor) -> ToyStep:
        assert action.shape == (self.num_envs, self.num_actions)
        self.velocity = 0.8 * self.velocity + 0.5 * self.control_dt * action.clamp(-2, 2)
        self.position = self.position + self.velocity
        self.age = self.age + 1
        distance = self.position.norm(dim=1)
        self._reward.copy_(self.control_dt * (1.0 - distance))
        terminated = distance > 3.0
        truncated = self.age >= self.max_episode_steps
        self._observe(self._final)
        motion = torch.stack([self.position, self.velocity], 1)  # (N, W=2, D=2)
        self._restart(terminated | truncated)
        log = {"distance": distance.mean(), "falls": terminated.float().mean()}
        return ToyStep(self._observe(self._obs), self._reward, terminated, truncated, self._final, motion, log)
