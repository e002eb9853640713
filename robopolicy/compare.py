"""`robopolicy bench --compare`: the same robot trained by mjlab and by us, in alternating turns."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robopolicy.bench import Loop, timed
from robopolicy.errors import UserError
from robopolicy.learn.config import PPOConfig
from robopolicy.peer import HOW, SCRIPT, Peer
from robopolicy.sim.make import choose_device
from robopolicy.task import load_task

# mjlab's own settings for this task, which ours then has too.
PPO = PPOConfig(
    horizon=24,
    epochs=5,
    minibatches=4,
    hidden_actor=(512, 256, 128),
    hidden_critic=(512, 256, 128),
    entropy_coef=0.01,
    initial_std=1.0,
    clip_value=True,
)
PARTS = ("env", "train")


def compare(
    python: str | None,
    num_envs: int | None = None,
    seconds: float = 30.0,
    device: str = "auto",
    quiet: bool = False,
    script: Path = SCRIPT,
    ppo: PPOConfig = PPO,
) -> dict[str, Any]:
    """Train mjlab's Go1 by mjlab and by us: the same MJCF, time steps, number of robots, networks and updates.

    Args:
        python: Interpreter of an environment that has mjlab.
        num_envs: N; by default 4096 on a GPU and 64 without.
        seconds: How long to measure [s], and how long both train before that.
        device: As for a training; mjlab runs on the same GPU, or on Warp's CPU device.
        quiet: Say nothing on standard error.
        script: What the other interpreter runs.
        ppo: Settings of the learner, for both.

    Returns:
        Control steps of all robots per second, ``env_steps_per_s`` (the environment alone, under the actions of the
        latest rollout) and ``train_steps_per_s`` (the whole training loop), ours and with ``peer_`` in front mjlab's;
        ``env_ratio_to_peer`` and ``train_ratio_to_peer``, the medians of each turn's ours / theirs; and what differs.

    Raises:
        UserError: See `Peer`; or the device is not there.
    """
    if python is None:
        raise UserError(f"--compare needs --peer-python, the interpreter of an environment with mjlab: {HOW}")
    device = choose_device(device)
    on_gpu = device.startswith("cuda")
    n = num_envs or (4096 if on_gpu else 64)
    settings = {
        "num_envs": n,
        "device": "cpu" if not on_gpu else device if ":" in device else "cuda:0",
        "hidden": ppo.hidden_actor,
        "horizon": ppo.horizon,
        "epochs": ppo.epochs,
        "minibatches": ppo.minibatches,
    }
    turns: list[list[list[float]]] = []
    with Peer(python, settings, script, quiet=quiet) as peer:
        theirs = peer.greeting
        given = {name: theirs[name] for name in ("robot", "timestep", "control_dt", "episode_s")}
        task = replace(load_task("go2_velocity"), num_envs=n, ppo=ppo, **given)
        loop = Loop(task, device)
        starts = time.perf_counter()
        warm = 0
        while time.perf_counter() < starts + 2 * seconds or len(turns) < 3:
            train = timed(loop.collect) + timed(loop.model.train)
            ours, other = {"env": timed(loop.step_environment), "train": train}, peer.turn()
            if warm < 2 or time.perf_counter() < starts + seconds:
                warm += 1
                continue
            turns.append([[side[name] for name in PARTS] for side in (ours, other)])
            if not quiet:
                print(f"\r{f'turn {len(turns)}':<100}", end="", file=sys.stderr, flush=True)
    times = np.array(turns)  # (turns, ours or theirs, environment or all)
    speeds = n * ppo.horizon / np.median(times, axis=0)
    ratios = np.median(times[:, 1] / times[:, 0], axis=0)
    found: dict[str, Any] = {}
    for k, name in enumerate(PARTS):
        found |= {f"{name}_steps_per_s": float(speeds[0, k]), f"peer_{name}_steps_per_s": float(speeds[1, k])}
        found[f"{name}_ratio_to_peer"] = float(ratios[k])
    peer_name = ", ".join(f"{name} {version}" for name, version in theirs["versions"].items())
    return found | {
        "peer": peer_name,
        "num_envs": n,
        "device": device,
        "turns": len(turns),
        "notes": _notes(loop, theirs, on_gpu),
    }


def table(found: dict[str, Any]) -> str:
    """What `compare` found, for people."""
    lines = [f"{'control steps per second':<26}{'robopolicy':>12}{'mjlab':>12}{'ratio':>9}"]
    for name, text in zip(PARTS, ("environment step", "whole training loop"), strict=True):
        ours, theirs = found[f"{name}_steps_per_s"], found[f"peer_{name}_steps_per_s"]
        lines.append(f"{text:<26}{ours:>12,.0f}{theirs:>12,.0f}{found[f'{name}_ratio_to_peer']:>9.2f}")
    lines.append(f"{found['num_envs']} robots on {found['device']}; {found['peer']}; medians of {found['turns']} turns")
    return "\n".join(lines + [f"- {note}" for note in found["notes"]])


def _notes(loop: Loop, theirs: dict[str, Any], on_gpu: bool) -> list[str]:
    """What is not the same on both sides."""
    env = loop.env
    actor, critic = theirs["observations"]
    notes = [
        f"what actor and critic see: ours {env.actor_dim} and {env.critic_dim} numbers, mjlab's {actor} and {critic}",
        f"reward terms that count: ours {len(env.task.rewards)}, mjlab's {theirs['rewards']}",
        f"randomizers: ours {len(env.task.randomizers)}, drawn every episode; mjlab's {theirs['randomizers']} events",
        "robot, contacts and solver options are mjlab's; floor, commands, pushes, starts and endings each one's own",
        "neither writes logs",
    ]
    if on_gpu:
        return [*notes, "mjlab multiplies matrices in TF32 where the GPU can, ours in float32"]
    return [*notes, "without a GPU mjlab runs on Warp's CPU device, made for tests: this says nothing about a GPU"]
