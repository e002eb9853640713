"""How a policy moves under commands that the clips contain, so that a distance speaks of style and not of speed."""

from dataclasses import replace

import numpy as np
import torch

from robopolicy.env.env import Env
from robopolicy.evaluate import first_episodes
from robopolicy.style.motions import ClipSet, Motion
from robopolicy.style.runs import Subject, held_command
from robopolicy.task import Push

SETTLE_S = 2.0
"""From here on it counts."""
SECONDS = 8.0
"""Length of an episode."""


def roll_out(
    subject: Subject,
    clips: ClipSet,
    episodes: int,
    seed: int,
    amount: float = 1.0,
    nominal: bool = False,
    seconds: float | None = None,
    settle: float | None = None,
) -> list[Motion]:
    """Let the policy act, without exploration noise, each robot at the velocity of a moment of a clip.

    Robots, friction and sensors are random as in training, so that no two episodes are equal; nobody is pushed.

    Args:
        subject: The policy, and the style it is asked for.
        clips: Whose velocities; every clip gets as many episodes as any other.
        episodes: How many.
        seed: Of commands, robots and noise.
        amount: How much of the style the policy is told to have, where it can be told.
        nominal: The plant as the model says instead, and no noise.
        seconds: Length of an episode [s], by default 8.
        settle: What it did until then is dropped [s], by default 2.

    Returns:
        One motion per episode, up to its fall.
    """
    seconds, settle = SECONDS if seconds is None else seconds, SETTLE_S if settle is None else settle
    rng = np.random.default_rng(seed)
    chosen = [k % len(clips.commands) for k in range(episodes)]
    velocity = np.array([clips.commands[k][rng.integers(len(clips.commands[k]))] for k in chosen])
    task = replace(subject.task.in_full(), push=Push(), episode_s=seconds + 1)
    env = Env(task, num_envs=episodes, seed=seed, nominal=nominal)
    env.actuation.measure_power()
    env.reset(stagger=False)
    command = held_command(task, subject.style, velocity, amount)
    steps, settled = round(seconds / task.control_dt), round(settle / task.control_dt)
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in ("qpos", "qvel", "height", "power")}
    lived = np.zeros(episodes, dtype=int)
    for k, (_, alive) in enumerate(first_episodes(env, subject.act, command, steps)):
        if k < settled:
            continue
        state = env.state
        kept["qpos"].append(state.qpos)
        kept["qvel"].append(state.qvel)
        kept["height"].append(state.foot_clearance)
        assert env.actuation.power is not None
        kept["power"].append(env.actuation.power.sum(-1))
        lived += alive.numpy()
    told = command[:, :2].norm(dim=-1).numpy() if task.command.names[:2] == ["vx", "vy"] else np.zeros(episodes)
    tables = {name: torch.stack(rows).double().numpy() for name, rows in kept.items()}
    return [
        Motion(
            clip=clips.names[chosen[e]],
            speed=float(told[e]),
            missing=steps - settled - int(lived[e]),
            **{name: table[: lived[e], e] for name, table in tables.items()},
        )
        for e in range(episodes)
    ]
