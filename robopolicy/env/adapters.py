"""The environment as other libraries know one: Stable-Baselines3's `VecEnv` and gymnasium's `VectorEnv`.

Both reset an environment within the step that ends its episode, as ours does. What they return is NumPy and
is copied, because ours reuses its tensors.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

VecEnvIndices = None | int | Iterable[int]
Arrays = dict[str, np.ndarray]


class Step(Protocol):
    """What one control step of N environments gives; tensors may be reused by the next step."""

    obs: dict[str, Tensor]
    """What to act on next: ``actor`` (N, A) and ``critic`` (N, C), of the new episode where one ended."""
    reward: Tensor
    """Shape (N,)."""
    terminated: Tensor
    """The episode ended in a state from which there is no future. Shape (N,) bool."""
    truncated: Tensor
    """The episode was cut while its future was open. Shape (N,) bool."""
    final_obs: dict[str, Tensor]
    """The true last observation where an episode ended, `obs` elsewhere."""
    log: dict[str, Tensor]
    """Figures of this step, 0-dimensional."""


class TensorEnv(Protocol):
    """The part of `robopolicy.env.env.Env` that a learner needs: N environments that step as one."""

    num_envs: int
    num_actions: int
    actor_dim: int
    critic_dim: int
    max_episode_steps: int
    action_clip: float
    device: torch.device

    def reset(self) -> dict[str, Tensor]:
        """Start an episode in every environment."""
        ...

    def step(self, action: Tensor, /) -> Any:
        """Take one action (N, J) in each; returns a `Step`. Ended episodes are reset within."""
        ...


def observation_space(env: TensorEnv) -> spaces.Dict:
    """Space of one environment's observation: unbounded ``actor`` (A,) and ``critic`` (C,)."""
    unbounded = lambda dim: spaces.Box(-np.inf, np.inf, (dim,), np.float32)  # noqa: E731
    return spaces.Dict({"actor": unbounded(env.actor_dim), "critic": unbounded(env.critic_dim)})


def action_space(env: TensorEnv) -> spaces.Box:
    """Space of one environment's action: (J,) within plus and minus the clip."""
    return spaces.Box(-env.action_clip, env.action_clip, (env.num_actions,), np.float32)


def _numpy(obs: dict[str, Tensor]) -> Arrays:
    return {key: value.detach().to("cpu", copy=True).numpy() for key, value in obs.items()}


def _seed(env: TensorEnv, seed: int) -> None:
    """Seed the environment, if it can be seeded after its creation."""
    if hasattr(env, "seed"):
        env.seed(seed)  # type: ignore[attr-defined]


class SB3VecEnv(VecEnv):
    """The environment for Stable-Baselines3, whose stock algorithms train on it (``"MultiInputPolicy"``).

    Only the entries of `infos` that belong to ended episodes are touched: ``terminal_observation``,
    ``TimeLimit.truncated`` and ``episode`` (return ``r``, length ``l``, seconds since the start ``t``, as
    SB3's `Monitor` writes them, for which this adapter stands in). All other entries stay the same empty
    dicts.

    Args:
        env: The environment; it stays reachable as `env` and `unwrapped_env`, for learners that keep to
            tensors.
    """

    def __init__(self, env: TensorEnv) -> None:
        self.env = env
        super().__init__(env.num_envs, observation_space(env), action_space(env))
        self._infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._ended: Sequence[int] = ()
        self._returns = np.zeros(self.num_envs, dtype=np.float64)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._start = time.time()
        self._action: Tensor | None = None

    @property
    def unwrapped_env(self) -> TensorEnv:
        """The environment itself, in tensors."""
        return self.env

    def reset(self) -> Arrays:
        """Start an episode everywhere, with the seed of the latest `seed` call if there was one since."""
        if self._seeds[0] is not None:
            _seed(self.env, self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        return _numpy(self.env.reset())

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions (N, J) for `step_wait`."""
        self._action = torch.as_tensor(actions, dtype=torch.float32, device=self.env.device)

    def step_wait(self) -> tuple[Arrays, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations, rewards (N,), whether an episode ended (N,), and infos of the ended ones."""
        assert self._action is not None, "step_wait without step_async"
        step = self.env.step(self._action)
        self._action = None
        reward = step.reward.detach().to("cpu", torch.float32, copy=True).numpy()
        done = (step.terminated | step.truncated).cpu().numpy()
        self._returns += reward
        self._lengths += 1
        for i in self._ended:
            self._infos[i] = {}
        self._ended = np.flatnonzero(done).tolist()
        if self._ended:
            self._describe_endings(step)
        return _numpy(step.obs), reward, done, self._infos

    def _describe_endings(self, step: Step) -> None:
        ended = torch.as_tensor(self._ended, device=step.terminated.device)
        final = _numpy({key: value[ended] for key, value in step.final_obs.items()})
        cut = (step.truncated & ~step.terminated)[ended].tolist()
        elapsed = round(time.time() - self._start, 6)
        for row, i in enumerate(self._ended):
            self._infos[i] = {
                "terminal_observation": {key: value[row] for key, value in final.items()},
                "TimeLimit.truncated": cut[row],
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": elapsed},
            }
        self._returns[self._ended], self._lengths[self._ended] = 0.0, 0

    def close(self) -> None:
        """Close the environment if it can be."""
        if hasattr(self.env, "close"):
            self.env.close()  # type: ignore[attr-defined]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the environment, once per index: all share one object."""
        value = getattr(self.env, attr_name, None) if attr_name == "render_mode" else getattr(self.env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the environment.

        Raises:
            ValueError: If only some indices are given: the environments share one object.
        """
        self._all(indices, f"set_attr({attr_name!r})")
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the environment once; the result is repeated per index.

        Raises:
            ValueError: If only some indices are given: the environments share one object.
        """
        self._all(indices, f"env_method({method_name!r})")
        return [getattr(self.env, method_name)(*method_args, **method_kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """True for `Monitor`, whose ``episode`` infos this adapter gives; False for any other wrapper."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _all(self, indices: VecEnvIndices, call: str) -> None:
        if len(set(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"{call}: the {self.num_envs} environments share one object; indices {indices} given")


class GymVectorEnv(gymnasium.vector.VectorEnv):
    """The environment for gymnasium, which resets within the step that ends an episode (`SAME_STEP`).

    After such a step ``infos["final_obs"]`` holds the true last observations, an object array of dicts (None
    where no episode ended, also told by the mask ``infos["_final_obs"]``), and ``infos["final_info"]`` with
    its mask ``infos["_final_info"]`` the ended episodes' returns ``r`` and lengths ``l``, as gymnasium's own
    environments do.
    """

    def __init__(self, env: TensorEnv) -> None:
        self.env = env
        self.num_envs = env.num_envs
        self.metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP, "render_modes": []}
        self.single_observation_space, self.single_action_space = observation_space(env), action_space(env)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self._returns = np.zeros(self.num_envs, dtype=np.float64)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, dict[str, Any]]:
        """Start an episode in every environment.

        Raises:
            ValueError: If options ask for a part of the environments (``reset_mask``): they reset together,
                and each by itself when its episode ends.
        """
        if options and "reset_mask" in options:
            raise ValueError("options['reset_mask'] is not supported: all environments reset together")
        super().reset(seed=seed)
        if seed is not None:
            _seed(self.env, seed)
        self._returns[:], self._lengths[:] = 0.0, 0
        return _numpy(self.env.reset()), {}

    def step(self, actions: np.ndarray) -> tuple[Arrays, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Observations, rewards, terminations, truncations (each (N,)) and infos."""
        step = self.env.step(torch.as_tensor(actions, dtype=torch.float32, device=self.env.device))
        reward = step.reward.detach().to("cpu", torch.float64, copy=True).numpy()
        terminated, truncated = (x.to("cpu", copy=True).numpy() for x in (step.terminated, step.truncated))
        self._returns += reward
        self._lengths += 1
        done = terminated | truncated
        infos = self._describe_endings(step, done) if done.any() else {}
        return _numpy(step.obs), reward, terminated, truncated, infos

    def _describe_endings(self, step: Step, done: np.ndarray) -> dict[str, Any]:
        final = _numpy(step.final_obs)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(done):
            final_obs[i] = {key: value[i].copy() for key, value in final.items()}
        episode = {"r": np.where(done, self._returns, 0.0), "l": np.where(done, self._lengths, 0)}
        episode |= {f"_{key}": done.copy() for key in ("r", "l")}
        self._returns[done], self._lengths[done] = 0.0, 0
        return {
            "final_obs": final_obs,
            "_final_obs": done.copy(),
            "final_info": {"episode": episode, "_episode": done.copy()},
            "_final_info": done.copy(),
        }

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environment if it can be."""
        if hasattr(self.env, "close"):
            self.env.close()  # type: ignore[attr-defined]
