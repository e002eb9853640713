"""Small, quiet tasks and reference tables for tests of whatever runs on the real robots."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from robopolicy.env.env import Env, Step
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import Reference, load_reference
from robopolicy.robot import RobotModel, load_robot
from robopolicy.task import Push, Randomizer, Task, load_task, randomize
from robopolicy.terms import randomizers

CLIPS = {"droid": ("walk_forward_0.20", "turn_left_0.60", "stand_idle"), "go2": ("trot_forward_0.60", "stand")}


def shipped(name: str, **changes) -> Task:
    """A task of ours with its prior cut down to few clips, and other changes."""
    task = load_task(name)
    prior = replace(task.prior, clips=CLIPS[task.robot], styles={})
    return replace(task, **{"prior": prior, **changes})


def quiet(name: str = "droid_walk", **changes) -> Task:
    """A task of ours without randomization, noise on observations or first poses, and pushes."""
    task = load_task(name)
    plain = {k: replace(o, noise=0.0) for k, o in task.observations.items()}
    silent = {"randomizers": {}, "observations": plain, "push": Push(), "joint_noise": 0.0}
    return shipped(name, **{**silent, **changes})


def real_motors() -> dict[str, Randomizer]:
    """Randomizers of motors and sensors as they are, of which something changes within a control step."""
    return {
        "envelope": randomize(randomizers.torque_speed, no_load=(0.2, 0.6)),
        "supply": randomize(randomizers.supply_voltage),
        "late": randomize(randomizers.sensor_latency, steps=(0, 4)),
        "play": randomize(randomizers.backlash),
        "damping": randomize(randomizers.joint_damping),
        "latency": randomize(randomizers.action_latency, steps=(0, 11)),
        "loss": randomize(randomizers.packet_loss, share=(0.0, 0.5)),
    }


@lru_cache
def compiled(robot: str) -> RobotModel:
    """The plant that environments simulate."""
    return load_robot(robot).compile(visual=False)


@lru_cache
def reference(robot: str, window: int = 2, control_dt: float = 0.02) -> Reference:
    """Frames of a few clips of ours."""
    return load_reference(Prior(clips=CLIPS[robot], window=window), compiled(robot), control_dt)


def actions(env: Env, steps: int, size: float = 1.0, seed: int = 0) -> Tensor:
    """Random actions (steps, N, J), the same for every environment of that size."""
    generator = torch.Generator().manual_seed(seed)
    return size * (2 * torch.rand(steps, env.num_envs, env.num_actions, generator=generator) - 1)


def kept(step: Step) -> dict[str, Tensor]:
    """Copies of all tensors of a step."""
    values: dict[str, Tensor] = {name: getattr(step, name) for name in ("reward", "terminated", "truncated")}
    values |= {f"obs/{k}": v for k, v in step.obs.items()}
    values |= {f"final/{k}": v for k, v in step.final_obs.items()}
    values |= {f"log/{k}": v for k, v in step.log.items()}
    if step.motion is not None and step.motion_valid is not None:
        values |= {"motion": step.motion, "motion_valid": step.motion_valid}
    return {name: value.clone() for name, value in values.items()}


def place(env: Env, qpos: np.ndarray | Tensor, qvel: np.ndarray | Tensor) -> None:
    """Put the robots into states (N, nq), (N, nv), and recompute all that follows from them."""
    env.qpos.copy_(torch.as_tensor(qpos))
    env.qvel.copy_(torch.as_tensor(qvel))
    env.sim.forward(torch.ones(env.num_envs, dtype=torch.bool))


def columns(env: Env, name: str) -> slice:
    """Where a term's values lie in the actor's observation."""
    start = 0
    for key, term in env.task.observations.items():
        width = term.function(env.snapshot(), **term.params).shape[1] * term.history
        if key == name:
            return slice(start, start + width)
        start += width
    raise KeyError(name)
