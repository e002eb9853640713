"""Stable-Baselines3's PPO, kept in torch tensors from the simulator to the gradient.

`learn`, callbacks, the logger, `save`, `load`, `predict` and `evaluate_policy` are SB3's. What differs:
rollouts never leave the device, observations are normalised inside the policy, an episode that was cut is
worth the value of its true last observation, the learning rate follows the KL divergence, and the same seed
gives the same bits.
Source: Schulman et al., "Proximal Policy Optimization Algorithms", 2017 (arXiv:1707.06347).
"""

from collections import deque
from collections.abc import Callable
from functools import reduce
from typing import Any, Protocol

import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from robopolicy.cores import usable_cores
from robopolicy.env.adapters import SB3VecEnv, TensorEnv
from robopolicy.errors import NonFiniteError, UserError
from robopolicy.learn.config import PPOConfig
from robopolicy.learn.graph import Graphed
from robopolicy.learn.policy import RobotPolicy, gaussian_entropy, gaussian_kl, gaussian_log_prob
from robopolicy.learn.randomness import restore_generator
from robopolicy.learn.ranks import ALONE, Ranks
from robopolicy.learn.rollout import RolloutFigures, TensorRollout, gae
from robopolicy.learn.threads import ThreadChoice, Workers, choose_threads

__all__ = ["PPO", "NonFiniteError", "PPOConfig", "RewardPrior", "gae"]

LOSSES = ("policy_gradient_loss", "value_loss", "entropy", "kl", "clip_fraction", "symmetry_loss", "grad_norm")
KL = LOSSES.index("kl")
POLICY_SETTINGS = ("hidden_actor", "hidden_critic", "initial_std", "min_std", "max_std")


class RewardPrior(Protocol):
    """A second opinion on motion, trained beside the policy: it mixes its own reward into the task's."""

    def watch(self, t: int, step: Any) -> None:
        """Remember (a copy of) the motion of the rollout's step ``t``, of what the environment's step returned."""
        ...

    def reward(self, task_reward: Tensor, workers: Workers) -> Tensor:
        """The reward of the rollout to learn from, (T, N), given the task's; without gradients."""
        ...

    def update(self) -> dict[str, float]:
        """Train on what the rollout brought; called after the policy's update. Returns figures to log."""
        ...


class MirrorLoss(Protocol):
    """How far the actor is from treating left and right alike."""

    def loss(self, policy: RobotPolicy, seen: Tensor, action: Tensor) -> Tensor:
        """A number to make small, given normalised observations (B, A) and the actor's answers (B, J)."""
        ...


class PPO(stable_baselines3.PPO):
    """Proximal policy optimisation on a tensor environment.

    Args:
        policy: The policy class.
        env: A `robopolicy.env.env.Env`, or that inside an `SB3VecEnv`; None if only predictions are wanted.
        config: Settings; the defaults if None.
        prior: Mixes a style reward into the task's, if given.
        symmetry: Knows left and right; needed if ``config.symmetry_coef`` is not 0.
        ranks: The processes that learn this policy together; each has an environment of the same size.
        threads: Threads that share the learner's work on the CPU, see `tune_threads`; changes no result.
        progress: How much of the run is done, 0 to 1; by default the share of the time steps. A run that is
            bounded by the clock sets it.
        seed: Of everything random here, the environment included.
        device: Where to learn; the environment's device by default.
        verbose: As in SB3.
        tensorboard_log: As in SB3.

    Raises:
        UserError: The settings contradict each other.
        TypeError: The environment is of another kind, or in a wrapper, which would not see the tensors.
    """

    policy: RobotPolicy
    rollout_buffer: TensorRollout  # type: ignore[assignment]
    env: SB3VecEnv  # type: ignore[assignment]

    def __init__(
        self,
        policy: type[RobotPolicy] = RobotPolicy,
        env: TensorEnv | SB3VecEnv | None = None,
        config: PPOConfig | None = None,
        *,
        prior: RewardPrior | None = None,
        symmetry: MirrorLoss | None = None,
        ranks: Ranks = ALONE,
        threads: int = 1,
        progress: Callable[[], float] | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        verbose: int = 0,
        tensorboard_log: str | None = None,
        _init_setup_model: bool = True,
    ) -> None:
        self.config = config = config or PPOConfig()
        self.prior, self.ranks, self.progress, self.workers = prior, ranks, progress, Workers(threads)
        self.symmetry = symmetry if config.symmetry_coef else None
        venv = None if env is None else self._wrap_env(env)
        if venv is not None:
            config.validate(venv.num_envs)
        super().__init__(
            policy,
            venv,  # type: ignore[arg-type]
            learning_rate=config.learning_rate,
            n_steps=config.horizon,
            batch_size=config.horizon * (venv.num_envs if venv is not None else 2),
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.entropy_coef,
            vf_coef=config.value_coef,
            max_grad_norm=config.max_grad_norm,
            rollout_buffer_class=TensorRollout,  # type: ignore[arg-type]
            policy_kwargs={name: getattr(config, name) for name in POLICY_SETTINGS},
            stats_window_size=10,  # one entry is a whole rollout
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=device if device is not None else (venv.env.device if venv is not None else "auto"),
            _init_setup_model=_init_setup_model,
        )

    # ---- collecting

    @torch.no_grad()
    def collect_rollouts(  # type: ignore[override]
        self, env: SB3VecEnv, callback: BaseCallback, rollout_buffer: TensorRollout, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer with `n_rollout_steps` steps of every environment.

        Returns:
            False if a callback asked to stop.

        Raises:
            NonFiniteError: An observation, an action or a reward is not finite.
        """
        b, samples = rollout_buffer, rollout_buffer.samples
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        obs = self._last_obs_tensors()
        self._old_log_std.copy_(self.policy.bounded_log_std())
        std = self._old_log_std.exp()
        noise = torch.randn(samples.action.shape, generator=self.generator, device=self.device)
        figures = RolloutFigures(self.device)
        for t in range(n_rollout_steps):
            b.raw_actor[t], b.raw_critic[t] = obs["actor"], obs["critic"]
            self.workers.map(lambda part: self._act(t, part), self._env_parts)  # noqa: B023
            action = torch.addcmul(samples.mean[t], noise[t], std, out=samples.action[t])
            step = self._step_env(action.clamp(self._action_low, self._action_high))
            b.reward[t] = step.reward
            if self.prior is not None:
                self.prior.watch(t, step)
            b.terminated[t], b.truncated[t] = step.terminated, step.truncated
            b.final_critic[t] = step.final_obs["critic"]
            obs = step.obs
            figures.add(step, self.episode_return, self.episode_length)
            self.num_timesteps += env.num_envs * self.ranks.count
            callback.update_locals(locals())
            if not callback.on_step():
                self._last_obs = _clone(obs)
                return False
        self._last_obs = _clone(obs)
        self._judge(figures)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _last_obs_tensors(self) -> dict[str, Tensor]:
        """What to act on next; SB3's reset leaves it in NumPy."""
        last: dict[str, Any] = self._last_obs  # type: ignore[assignment]
        return {key: torch.as_tensor(value, device=self.device) for key, value in last.items()}

    @torch.no_grad()
    def _act(self, t: int, part: slice) -> None:
        """Normalised observations and noiseless actions of some environments."""
        b = self.rollout_buffer
        b.samples.actor[t, part] = self.policy.actor_normalizer(b.raw_actor[t, part])
        b.samples.mean[t, part] = self.policy.actor(b.samples.actor[t, part])

    def _judge(self, figures: RolloutFigures) -> None:
        """What the rollout was worth; needs no simulator and no policy, so that it counts as learning."""
        b = self.rollout_buffer
        if self.prior is not None:
            b.reward.copy_(self.prior.reward(b.reward, self.workers))
        self._report(figures)
        self._evaluate_rollout()

    @torch.no_grad()
    def _evaluate_rollout(self) -> None:
        """Values, log-probabilities, advantages."""
        b, policy = self.rollout_buffer, self.policy
        self._first_rollout = not bool(policy.actor_normalizer.count)
        if self._first_rollout:  # learn from this rollout as its own statistics show it, not as raw numbers
            policy.update_normalizers(b.raw_actor.flatten(0, 1), b.raw_critic.flatten(0, 1), self.ranks)
        self.workers.map(self._evaluate, self._time_parts)
        next_values = torch.empty_like(b.reward)
        next_values[:-1] = b.samples.value[1:]
        next_values[-1] = policy.value(self._last_obs_tensors()["critic"])
        if self.device.type != "cpu":  # fixed shapes, no synchronisation
            final_values = policy.value(b.final_critic.flatten(0, 1)).view_as(next_values)
            next_values = torch.where(b.truncated, final_values, next_values)
        elif b.truncated.any():
            next_values[b.truncated] = policy.value(b.final_critic[b.truncated])
        b.set_advantages(next_values, self.ranks)

    @torch.no_grad()
    def _evaluate(self, part: slice) -> None:
        """Values and log-probabilities of some steps of the rollout."""
        b, samples, policy = self.rollout_buffer, self.rollout_buffer.samples, self.policy
        if self._first_rollout:
            samples.actor[part] = policy.actor_normalizer(b.raw_actor[part])
            samples.mean[part] = policy.actor(samples.actor[part])
        samples.critic[part] = policy.critic_normalizer(b.raw_critic[part])
        samples.value[part] = policy.critic(samples.critic[part]).squeeze(-1)
        samples.log_prob[part] = gaussian_log_prob(samples.action[part], samples.mean[part], self._old_log_std)

    def _report(self, figures: RolloutFigures) -> None:
        """Check and log the rollout; the one place where it waits for the device."""
        b = self.rollout_buffer
        fields = {
            "actor observation": b.raw_actor,
            "critic observation": b.raw_critic,
            "final critic observation": b.final_critic,
            "action": b.samples.action,
            "reward": b.reward,
        }
        fields |= {f"next {key} observation": value[None] for key, value in self._last_obs_tensors().items()}
        sums = [field.sum() for field in fields.values()]  # any NaN or infinity spoils its sum
        numbers = torch.stack([*sums, b.reward.mean(), *figures.tensors()]).tolist()
        for (name, field), total in zip(fields.items(), numbers, strict=False):
            if not np.isfinite(total):
                self._blame(name, field)
        if self.ranks.count > 1:
            told = torch.tensor(numbers[len(fields) :], device=self.device)
            numbers[len(fields) :] = self.ranks.mean([told])[0].tolist()
        reward_mean, episodes, returns, lengths, *log = numbers[len(fields) :]
        episodes, returns, lengths = (self.ranks.count * x for x in (episodes, returns, lengths))
        if episodes and self.ep_info_buffer is not None:
            self.ep_info_buffer.append({"r": returns / episodes, "l": lengths / episodes})
        self.logger.record("rollout/episodes", int(episodes))
        self.logger.record("rollout/reward_mean", reward_mean)
        for key, value in zip(figures.names, log, strict=True):
            self.logger.record(f"env/{key}", value)

    def _blame(self, name: str, field: Tensor) -> None:
        """Raise for the first number that is not finite in a field, (T, N, ...) or (1, N, ...) at its end."""
        bad = (~field.isfinite()).nonzero()
        if len(bad) == 0:
            return  # a sum that overflowed
        t, n, *column = bad[0].tolist()
        t += self.n_steps - len(field)
        place = f"{name}{column or ''}"
        step = self.num_timesteps // self.n_envs - self.n_steps + t + 1
        affected = bad[:, 1].unique().numel()
        raise NonFiniteError(
            f"{place} is {field[tuple(bad[0])].item()} in environment {n} at step {t} of the rollout "
            f"(control step {step} of the run); {affected} of {self.n_envs} environments have such numbers",
            name,
            t,
            n,
        )

    # ---- learning

    def train(self) -> None:
        """Learn from the rollout in the buffer.

        Raises:
            NonFiniteError: A loss or a parameter is not finite any more.
        """
        b, config = self.rollout_buffer, self.config
        self.policy.set_training_mode(True)
        if config.schedule != "adaptive":
            self.rate.fill_(self._scheduled_learning_rate())
        batch = self.batch_size - self.batch_size % self._shards
        losses = torch.zeros(len(LOSSES), device=self.device)
        for _ in range(config.epochs):
            order = torch.randperm(b.rows[..., 0].numel(), generator=self.generator, device=self.device)
            for shards in order[: batch * config.minibatches].view(config.minibatches, self._shards, -1):
                losses += self._descent(shards)
        if not self._first_rollout:  # only now, so that the update saw the function that acted
            self.policy.update_normalizers(b.raw_actor.flatten(0, 1), b.raw_critic.flatten(0, 1), self.ranks)
        self._n_updates += config.epochs
        self._report_update(losses / (config.epochs * config.minibatches))
        if self.prior is not None:
            for key, value in self.prior.update().items():
                self.logger.record(f"prior/{key}", value)

    def _descend(self, shards: Tensor) -> Tensor:
        """One gradient step on some rows of the rollout, an index per row and shard; returns `LOSSES`."""
        rows = self.rollout_buffer.rows.flatten(0, 1)
        parts = self.workers.map(lambda shard: self._gradients(rows, shard), shards)
        losses = torch.stack([losses for losses, _ in parts]).mean(0)
        gradients = [reduce(torch.add, shards) / len(shards) for shards in zip(*(g for _, g in parts), strict=True)]
        losses, *gradients = self.ranks.mean([losses, *gradients])
        if self.config.schedule == "adaptive":
            self._follow_kl(losses[KL])
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self.config.max_grad_norm, foreach=True)
        self.policy.optimizer.step()
        self.policy.bound_log_std_()
        return torch.cat([losses, norm[None]])

    def _gradients(self, rows: Tensor, index: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Losses (all of `LOSSES` but the last) and gradients of the mean loss over some rows."""
        config, old = self.config, self.rollout_buffer.columns(rows.index_select(0, index))
        mean, value = self.policy.actor(old.actor), self.policy.critic(old.critic).squeeze(-1)
        log_std = self.policy.bounded_log_std()
        ratio = (gaussian_log_prob(old.action, mean, log_std) - old.log_prob).exp()
        clipped = ratio.clamp(1.0 - config.clip_range, 1.0 + config.clip_range)
        policy_loss = -torch.minimum(old.advantage * ratio, old.advantage * clipped).mean()
        error = (value - old.returns).square()
        if config.clip_value:
            near = old.value + (value - old.value).clamp(-config.clip_range, config.clip_range)
            error = torch.maximum(error, (near - old.returns).square())
        value_loss, entropy = error.mean(), gaussian_entropy(log_std)
        loss = policy_loss + config.value_coef * value_loss - config.entropy_coef * entropy
        lopsided = torch.zeros_like(loss)
        if self.symmetry is not None:
            lopsided = self.symmetry.loss(self.policy, old.actor, mean)
            loss = loss + config.symmetry_coef * lopsided
        gradients = torch.autograd.grad(loss, self._parameters)
        with torch.no_grad():
            kl = gaussian_kl(old.mean, self._old_log_std, mean, log_std).mean()
            outside = (ratio != clipped).float().mean()
            return torch.stack([policy_loss, value_loss, entropy, kl, outside, lopsided]), gradients

    def _follow_kl(self, kl: Tensor) -> None:
        """Lower the learning rate where the policy moved too far, raise it where it hardly moves.

        The very first gradient step of an update has nothing to go by: its divergence is zero up to rounding.
        Source: the adaptive schedule of rsl_rl (Rudin et al., "Learning to Walk in Minutes", 2021,
        arXiv:2109.11978).
        """
        config, rate = self.config, self.rate
        slower = (rate / 1.5).clamp(min=config.min_learning_rate)
        faster = (rate * 1.5).clamp(max=config.max_learning_rate)
        near = (kl < 0.5 * config.desired_kl) & (kl > 1e-4 * config.desired_kl)
        rate.copy_(torch.where(kl > 2.0 * config.desired_kl, slower, torch.where(near, faster, rate)))

    def _scheduled_learning_rate(self) -> float:
        """The learning rate of a schedule that does not look at the policy."""
        config = self.config
        if config.schedule == "constant":
            return config.learning_rate
        done = self.progress() if self.progress is not None else 1.0 - self._current_progress_remaining
        done = min(max(done, 0.0), 1.0)
        return config.learning_rate + done * (config.final_learning_rate - config.learning_rate)

    @torch.no_grad()
    def _report_update(self, losses: Tensor) -> None:
        """Check and log the update; the one place where it waits for the device."""
        samples, policy = self.rollout_buffer.samples, self.policy
        explained = 1.0 - (samples.returns - samples.value).var() / samples.returns.var()
        std = policy.bounded_log_std().exp().mean()
        sums = torch.stack([value.sum() for value in policy.state_dict().values()]).to(losses.dtype)
        numbers = torch.cat([losses, torch.stack([self.rate, std, explained]), sums]).tolist()
        named = dict(zip((*LOSSES, "learning_rate", "std", "explained_variance"), numbers, strict=False))
        for name, total in zip(policy.state_dict(), numbers[len(named) :], strict=True):
            if not np.isfinite(total):
                raise NonFiniteError(f"policy.{name} is not finite after update {self._n_updates}: {named}", name)
        for name, value in named.items():
            if not np.isfinite(value) and name != "explained_variance":
                raise NonFiniteError(f"{name} is {value} in update {self._n_updates}: {named}", name)
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    # ---- using more than one core

    def tune_threads(self) -> ThreadChoice:
        """Measure how many threads learn a minibatch soonest, and use that many; takes below a second.

        The work is cut into ``config.shards`` parts for any number of threads, so the results stay the same.
        On a GPU there is nothing to choose.
        """
        if self.device.type != "cpu":
            return ThreadChoice(1, {})
        rows = self.rollout_buffer.rows.flatten(0, 1)
        batch = self.batch_size - self.batch_size % self._shards
        index = torch.arange(batch).view(self._shards, -1)
        choice = choose_threads(
            lambda workers: workers.map(lambda shard: self._gradients(rows, shard), index),
            most=min(self._shards, usable_cores()),
        )
        self.workers.close()
        self.workers = Workers(choice.count)
        return choice

    # ---- continuing to the same numbers

    def training_state(self) -> dict[str, Any]:
        """Everything of the learner that a run needs to go on to the same numbers; fit for `torch.save`.

        The environment's and the prior's own state are theirs to keep.
        """
        return {
            "policy": _copy(self.policy.state_dict()),
            "optimizer": _copy(self.policy.optimizer.state_dict()),
            "learning_rate": float(self.rate),
            "generator": self.generator.get_state().clone(),
            "num_timesteps": self.num_timesteps,
            "n_updates": self._n_updates,
            "episode_return": _copy(self.episode_return),
            "episode_length": _copy(self.episode_length),
            "ep_info": list(self.ep_info_buffer or ()),
            "last_obs": None if self._last_obs is None else _copy(self._last_obs_tensors()),
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Go on where `training_state` was taken; then ``learn(..., reset_num_timesteps=False)``.

        Raises:
            UserError: The state is of a policy of other shapes, or of another number of environments.
        """
        if len(state["episode_return"]) != self.n_envs:
            raise UserError(
                f"the saved run has {len(state['episode_return'])} environments, this one {self.n_envs}; "
                "it can only be continued with as many"
            )
        try:
            self.policy.load_state_dict(state["policy"])
        except RuntimeError as error:
            wrong = "; ".join(line.strip() for line in str(error).splitlines()[1:])
            raise UserError(f"the saved policy does not fit this task: {wrong}") from None
        self.policy.optimizer.load_state_dict(_copy(state["optimizer"]))
        self._adopt_learning_rate()
        self.rate.fill_(state["learning_rate"])
        restore_generator(self.generator, state["generator"])
        self.num_timesteps, self._n_updates = state["num_timesteps"], state["n_updates"]
        self.episode_return.copy_(state["episode_return"])
        self.episode_length.copy_(state["episode_length"])
        self.ep_info_buffer = deque(state["ep_info"], maxlen=self._stats_window_size)
        self.ep_success_buffer = deque(maxlen=self._stats_window_size)
        last = state["last_obs"]
        self._last_obs = None if last is None else {key: value.to(self.device) for key, value in last.items()}

    def begin_anew(self) -> None:
        """Begin new episodes next, with the random numbers as they are: no seed is set again."""
        self.env._reset_seeds()
        self._last_obs = None
        self.episode_return.zero_()
        self.episode_length.zero_()

    # ---- what Stable-Baselines3 expects around it

    def _setup_model(self) -> None:
        super()._setup_model()
        self.batch_size = self.n_envs * self.n_steps // self.config.minibatches
        on_cpu = self.device.type == "cpu"
        self._shards = self.config.shards if on_cpu else 1
        size = -(-self.n_envs // self._shards)
        self._env_parts = [slice(start, start + size) for start in range(0, self.n_envs, size)]
        self._time_parts = [slice(t, t + 1) for t in range(self.n_steps)] if on_cpu else [slice(None)]
        self._parameters = list(self.policy.parameters())
        self._first_rollout = False
        self._old_log_std = self.policy.bounded_log_std().detach().clone()
        self.rate = torch.tensor(self.config.learning_rate, device=self.device)
        self.policy.optimizer.param_groups[0]["lr"] = self.rate
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(torch.initial_seed() if self.seed is None else self.seed)
        env = self.env.env if self.env is not None else None
        if env is not None:
            source = getattr(env, "generator", None)
            sources = [source] if isinstance(source, torch.Generator) else []
            self._step_env = Graphed(env.step, self.device, sources)
        self._descent = Graphed(self._descend, self.device if self.ranks.count == 1 else torch.device("cpu"))
        if self.device.type == "cuda":
            self.policy.optimizer.param_groups[0]["capturable"] = True
        assert isinstance(self.action_space, spaces.Box)
        self._action_low = torch.as_tensor(self.action_space.low, device=self.device)
        self._action_high = torch.as_tensor(self.action_space.high, device=self.device)
        self.episode_return = torch.zeros(self.n_envs, device=self.device)
        self.episode_length = torch.zeros(self.n_envs, device=self.device)

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> SB3VecEnv:  # type: ignore[override]
        if isinstance(env, SB3VecEnv):
            return env
        if isinstance(env, VecEnv) or not hasattr(env, "critic_dim"):
            raise TypeError(
                f"{type(env).__name__} is neither a tensor environment nor an SB3VecEnv of one; "
                "a wrapper around it would not see the tensors"
            )
        return SB3VecEnv(env)

    def _maybe_recommend_cpu(self, mlp_class_name: str = "") -> None:
        pass  # this one is at home on both

    def _excluded_save_params(self) -> list[str]:
        made_in_setup = ["rate", "generator", "episode_return", "episode_length", "_parameters"]
        made_in_setup += [
            "_step_env",
            "_descent",
            "_action_low",
            "_action_high",
            "_old_log_std",
            "_env_parts",
            "_time_parts",
        ]
        of_this_process = ["prior", "symmetry", "ranks", "progress", "workers", "_last_obs", "_last_episode_starts"]
        return [*super()._excluded_save_params(), *made_in_setup, *of_this_process]

    def set_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Load weights and optimiser state, as in SB3."""
        super().set_parameters(*args, **kwargs)
        self._adopt_learning_rate()

    def _adopt_learning_rate(self) -> None:
        """Loading an optimiser replaces its settings: put back the tensor that the schedule changes."""
        group = self.policy.optimizer.param_groups[0]
        self.rate.fill_(float(group["lr"]))
        group["lr"] = self.rate
        group["capturable"] = self.device.type == "cuda"  # it may have been saved on another device


def _clone(obs: dict[str, Tensor]) -> Any:
    """Observations of our own: the environment may reuse its tensors."""
    return {key: value.clone() for key, value in obs.items()}


def _copy(tree: Any) -> Any:
    """A copy of nested containers with every tensor on the CPU."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True)
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return type(tree)(_copy(value) for value in tree) if isinstance(tree, list | tuple) else tree
