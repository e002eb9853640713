"""Judging a policy by fresh episodes over the whole command range, and by the clips."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.transfer.intervals import wilson
from torch import Tensor

from robopolicy.env.env import Env, Step
from robopolicy.errors import UserError
from robopolicy.intervals import Interval, basic_interval, frechet_resamples, mean_interval, rms_interval
from robopolicy.motion.metrics import frechet_distance
from robopolicy.motion.reference import load_reference
from robopolicy.rotation import matrix
from robopolicy.task import Task

Act = Callable[[Tensor], Tensor]
_SETTLE_S = 2.0  # errors count from here on
_WINDOW_S = 1.0  # velocities are averaged over this long


@dataclass(frozen=True)
class Episodes:
    """What became of each of N episodes.

    Attributes:
        command: What each was told, from beginning to end. Shape (N, C).
        survived: Who did not fall. Shape (N,) bool.
        lived_s: Time until the fall, or the end [s]. Shape (N,).
        reward: Task reward, up to and with the step of the fall. Shape (N,).
        velocity_rmse_mps: As in ``Evaluation``, but of each; not a number where ``counted`` is 0. Shape (N,).
        yaw_rmse_radps: The same of the turning speed. Shape (N,).
        counted: Moments of which these are root mean squares; 0 without a velocity command. Shape (N,).
    """

    command: np.ndarray
    survived: np.ndarray
    lived_s: np.ndarray
    reward: np.ndarray
    velocity_rmse_mps: np.ndarray
    yaw_rmse_radps: np.ndarray
    counted: np.ndarray


@dataclass
class Evaluation:
    """Results over all episodes; None where the task has no such thing.

    ``NAME_interval`` is the 95% interval of NAME over the episodes, see ``robopolicy.intervals``; of survival it is
    Wilson's.

    Attributes:
        velocity_rmse_mps: RMSE of the base's velocity in its heading frame, 1 s moving average, against the command.
        yaw_rmse_radps: The same of the turning speed.
        survival: Share of the episodes without a fall.
        style_distance: Fréchet distance to the task's clips, of open ones to the half that is held out; of several
            styles the mean.
        style_distances: The same by style, each under its own label, where there are several.
        episodes: How many.
        reward: Mean task reward per episode.
        return_std: Its deviation between episodes.
        per_episode: The episodes one by one; not part of the summary.
    """

    velocity_rmse_mps: float | None
    yaw_rmse_radps: float | None
    survival: float
    style_distance: float | None
    style_distances: dict[str, float] | None
    episodes: int
    reward: float
    return_std: float
    velocity_rmse_mps_interval: Interval | None = None
    yaw_rmse_radps_interval: Interval | None = None
    survival_interval: Interval | None = None
    style_distance_interval: Interval | None = None
    style_distances_interval: dict[str, Interval] | None = None
    reward_interval: Interval | None = None
    per_episode: Episodes | None = field(default=None, compare=False, repr=False)


def evaluate(
    task: Task,
    act: Act,
    episodes: int = 256,
    seed: int = 12345,
    seconds: float | None = None,
    style: float = 1.0,
    command: np.ndarray | None = None,
) -> Evaluation:
    """Run every episode once, with randomization, noise and pushes as at the end of the training, one command each.

    Args:
        task: The task; its clips judge the style even if the policy learned without them.
        act: Actions (N, J) for actor observations (N, A), without exploration noise.
        episodes: How many; each has its own robot and its own command from the whole range.
        seed: Seed of all of it, apart from those of training.
        seconds: Length of an episode [s]; by default the task's.
        style: How much of the style the policy is told to have, where it can be told; several styles take turns.
        command: The task's own channels, held by all, shape (c,), or by each, shape (N, c), in place of commands from
            the whole range; the robots are those of the same seed without it. The style is not judged then: no one
            command goes through all that the clips do.
    """
    if not 0 <= style <= 1:
        raise UserError(f"--style {style:g}: from 0, none of the style, to 1, all of it")
    if style != 1 and not task.channels.weighted:
        raise UserError(f"--style {style:g}: this policy is not told how much of its style to have")
    env = Env(task.in_full(), num_envs=episodes, seed=seed)
    env.reset(stagger=False)
    spread = replace(task.command, zero=0.0, single=0.0, from_clips=0.0)
    label = torch.arange(episodes) % max(len(env.channels.styles), 1)
    drawn = spread.draw(episodes, env.generator)
    if command is not None:
        drawn = _held(task, command).expand_as(drawn)
    told = env.channels.tell(drawn, label, torch.full((episodes,), style))
    steps = env.max_episode_steps if seconds is None else round(seconds / env.control_dt)
    steps = min(steps, env.max_episode_steps)
    total = torch.zeros(episodes)
    alives, velocities, features = [], [], []
    for step, alive in first_episodes(env, act, told, steps):
        state = env.state
        total += step.reward * (alives[-1] if alives else 1.0)  # the step of the fall counts
        alives.append(alive)
        velocities.append(torch.cat((state.base_lin_vel_h[:, :2], state.yaw_rate.unsqueeze(-1)), dim=-1))
        features.append(style_features(state.qpos, state.qvel))
    alive_all = torch.stack(alives)
    settled = round(_SETTLE_S / env.control_dt)
    velocity_rmse = yaw_rmse = None
    rms, counts = np.full((2, episodes), np.nan), np.zeros(episodes, dtype=int)
    if task.command.is_velocity:
        window = round(_WINDOW_S / env.control_dt)
        error = _moving_average(torch.stack(velocities), window) - env.command[:, :3]
        # A mean that ends at step k covers the window before it, all of it lived.
        counted = alive_all[window - 1 :].clone()
        counted[: max(settled - window + 1, 0)] = False
        if counted.any():
            velocity_rmse = float(error[..., :2].square().sum(-1)[counted].mean().sqrt())
            yaw_rmse = float(error[..., 2].square()[counted].mean().sqrt())
        squares = torch.stack((error[..., :2].square().sum(-1), error[..., 2].square())).double()
        total_squares, counts = (squares * counted).sum(1).numpy(), counted.sum(0).numpy()
        np.sqrt(total_squares / np.maximum(counts, 1), out=rms, where=counts > 0)
    distances: dict[str, float | None] = {}
    resamples: dict[str, np.ndarray] = {}
    if task.prior.patterns and command is None:
        held_out = load_reference(task.prior, env.robot, task.control_dt, half="held-out")
        late, lived = torch.stack(features)[settled:], alive_all[settled:]
        for i, name in enumerate(env.channels.styles or ("",)):
            rows = held_out.label == i if env.channels.styles else slice(None)
            each = [late[lived[:, n], n].double().numpy() for n in torch.nonzero(label == i).flatten().tolist()]
            clips = held_out.qpos[rows], held_out.qvel[rows]
            distances[name] = style_distance(*clips, np.concatenate(each))
            resamples[name] = _style_resamples(*clips, each, seed=i)
    known = {n: d for n, d in distances.items() if d is not None}
    mean_distance = sum(known.values()) / len(known) if known else None
    sure = {n: basic_interval(d, resamples[n]) for n, d in known.items()}
    alive_end, survived = alive_all[-1].numpy(), int(alive_all[-1].sum())
    return Evaluation(
        velocity_rmse_mps=velocity_rmse,
        yaw_rmse_radps=yaw_rmse,
        survival=float(alive_all[-1].float().mean()),
        style_distance=mean_distance,
        style_distances=known if len(distances) > 1 else None,
        episodes=episodes,
        reward=float(total.mean()),
        return_std=float(total.std(unbiased=False)),
        velocity_rmse_mps_interval=rms_interval(rms[0], counts),
        yaw_rmse_radps_interval=rms_interval(rms[1], counts),
        survival_interval=_wilson(survived, episodes),
        style_distance_interval=_mean_of_styles(mean_distance, [resamples[n] for n in known]),
        style_distances_interval={n: i for n, i in sure.items() if i is not None} if len(distances) > 1 else None,
        reward_interval=mean_interval(total.double().numpy()),
        per_episode=Episodes(
            command=env.command.numpy().copy(),
            survived=alive_end,
            lived_s=alive_all.sum(0).numpy() * env.control_dt,
            reward=total.numpy(),
            velocity_rmse_mps=rms[0],
            yaw_rmse_radps=rms[1],
            counted=counts,
        ),
    )


def _wilson(successes: int, count: int) -> Interval:
    estimate = wilson(successes, count)
    return estimate.low, estimate.high


def _held(task: Task, command: np.ndarray) -> Tensor:
    """A command as the environment takes it.

    Raises:
        UserError: It has another number of channels than the task's, or is not finite.
    """
    given = np.asarray(command, dtype=np.float32)
    names = task.command.names
    if given.shape[-1:] != (len(names),) or not np.isfinite(given).all():
        shown = " ".join(f"{v:g}" for v in given.flat)
        raise UserError(f"command {shown}: this task's has {len(names)} finite numbers: {', '.join(names)}")
    return torch.from_numpy(given)


def _mean_of_styles(value: float | None, resamples: list[np.ndarray]) -> Interval | None:
    """Of the mean over the styles, each of which has episodes of its own."""
    if value is None or not resamples or any(len(r) == 0 for r in resamples):
        return None
    return basic_interval(value, np.mean(resamples, axis=0))


def first_episodes(env: Env, act: Act, command: Tensor, steps: int) -> Iterator[tuple[Step, Tensor]]:
    """Let every robot act under a command that stays.

    Args:
        env: Just reset.
        act: The policy.
        command: Shape (N, C).
        steps: How many.

    Yields:
        Each step, and who has not fallen up to and with it, shape (N,) bool. ``env.state`` is what the step led to.
    """
    obs = env.hold_command(command)
    alive = torch.ones(env.num_envs, dtype=torch.bool)
    for _ in range(steps):
        with torch.inference_mode():
            step = env.step(act(obs["actor"]))
            obs, alive = step.obs, alive & ~step.terminated
        yield step, alive


def style_features(qpos: Tensor, qvel: Tensor) -> Tensor:
    """Joint angles, gravity's direction, base velocity, base angular velocity (base frame), joint velocities."""
    rotation = matrix(qpos[..., 3:7])
    base_velocity = (qvel[..., None, :3] @ rotation).squeeze(-2)
    return torch.cat((qpos[..., 7:], -rotation[..., 2, :], base_velocity, qvel[..., 3:6], qvel[..., 6:]), dim=-1)


def style_distance(qpos: Tensor, qvel: Tensor, rollouts: np.ndarray) -> float | None:
    """Fréchet distance of rollouts (M, D) to clips (K, nq), (K, nv), in the clips' own deviations."""
    reference = style_features(qpos.double(), qvel.double()).numpy()
    if len(rollouts) < 2:
        return None
    mean, std = _scale(reference)
    return frechet_distance((reference - mean) / std, (rollouts - mean) / std)


def _style_resamples(qpos: Tensor, qvel: Tensor, episodes: list[np.ndarray], seed: int) -> np.ndarray:
    """The style distances of resampled episodes (K, D) each, see ``frechet_resamples``."""
    reference = style_features(qpos.double(), qvel.double()).numpy()
    mean, std = _scale(reference)
    return frechet_resamples((reference - mean) / std, [(e - mean) / std for e in episodes], seed)


def _scale(reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return reference.mean(0), np.maximum(reference.std(0), 1e-3)


def load_actor(target: Path) -> tuple[Task, Act]:
    """The task and the policy of a run folder or of an ONNX file.

    Raises:
        UserError: It is neither, or it is damaged.
    """
    if target.suffix == ".onnx":
        return _onnx_actor(target)
    from robopolicy import checkpoint
    from robopolicy.learn.policy import load_policy

    run = checkpoint.load(target)
    policy = load_policy(run.task.ppo, run.sidecar, run.state["learner"]["policy"])
    return run.task, lambda obs: policy.actor_mean(obs)


def _onnx_actor(path: Path) -> tuple[Task, Act]:
    from robopolicy_runtime.errors import ContractError
    from robopolicy_runtime.policy import PolicyFile

    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        policy = PolicyFile.open(path)
    except ContractError as error:
        raise UserError(str(error)) from error
    return _task_of(path, policy.contract), lambda obs: torch.from_numpy(policy.run(obs.numpy()))


def _task_of(path: Path, contract: Contract) -> Task:
    """What an exported policy was trained on: its run's own settings while it lies in the run's folder."""
    from robopolicy import checkpoint
    from robopolicy.task import load_task

    config = path.parent / checkpoint.CONFIG
    if config.is_file() and hashlib.sha256(config.read_bytes()).hexdigest() == contract.hashes.config:
        return checkpoint.load_config(path.parent)[0]
    try:
        task = load_task(contract.task)
    except UserError as error:
        raise UserError(f"{path} does not lie in the folder of its run, and: {error}") from error
    if tuple(task.channels.names) != contract.command.names:
        raise UserError(
            f"{path} does not lie in the folder of its run, and was trained with other settings than the task has: it "
            f"is told {', '.join(contract.command.names)}, not {', '.join(task.channels.names)}"
        )
    return task


def summary(result: Evaluation) -> dict[str, Any]:
    """As plain values, for JSON; without the episodes one by one."""
    return {name: value for name, value in vars(result).items() if name != "per_episode"}


def _moving_average(x: Tensor, window: int) -> Tensor:
    """Mean over ``window`` steps that end at each step from ``window - 1`` on. (T, ...) to (T - window + 1, ...)."""
    total = torch.cumsum(torch.cat((torch.zeros_like(x[:1]), x)).double(), dim=0)
    return ((total[window:] - total[:-window]) / window).float()
