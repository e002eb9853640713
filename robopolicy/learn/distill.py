"""A teacher that sees all teaches a student that sees what hardware has: imitation on the student's own way.

The student drives; at every state it comes to, the teacher says what it would have done. In the beginning the teacher
drives some of the robots, so that there are good states to learn from.
Source: Ross, Gordon, Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
Learning", 2011 (arXiv:1011.0686).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from robopolicy.env.env import Env
from robopolicy.errors import NonFiniteError
from robopolicy.learn.policy import RobotPolicy

_HELP = 0.3  # part of the time during which the teacher drives, ever fewer robots
_EPOCHS, _MINIBATCHES = 2, 4
_LEARNING_RATE = 1e-3


def imitate(
    student: RobotPolicy,
    teacher: RobotPolicy,
    env: Env,
    horizon: int,
    done: Callable[[], float],
    report: Callable[[int, float], None],
    seed: int = 0,
) -> None:
    """Train the student's actor and its normaliser in place.

    Args:
        student: Sees ``actor``.
        teacher: Its actor sees ``critic``.
        env: Of the student's task.
        horizon: Control steps between two rounds of learning.
        done: How much of the time is over, 0 to 1.
        report: Gets the number of control steps of all robots so far, and the mean square difference of the last round,
            in units of action.
        seed: Seed of everything random here.

    Raises:
        NonFiniteError: The difference is not finite any more.
    """
    generator = torch.Generator(env.device).manual_seed(seed)
    optimizer = torch.optim.Adam(student.actor.parameters(), lr=_LEARNING_RATE, fused=True)
    obs, steps = env.reset(), 0
    while done() < 1.0:
        seen, wanted = [], []
        taught = torch.rand(env.num_envs, 1, generator=generator, device=env.device) > done() / _HELP
        for _ in range(horizon):
            seen.append(obs["actor"].clone())
            wanted.append(teacher.actor_mean(obs["critic"]))
            with torch.no_grad():
                own = student.actor_mean(obs["actor"])
                noise = torch.randn(own.shape, generator=generator, device=env.device)
                obs = env.step(torch.where(taught, wanted[-1], own) + student.min_std * noise).obs
        steps += horizon * env.num_envs
        error = _learn(student, optimizer, torch.cat(seen), torch.cat(wanted).detach(), generator)
        if not error < float("inf"):
            raise NonFiniteError(f"the student's error is {error} after {steps} steps", "student", 0, 0)
        report(steps, error)


def _learn(
    student: RobotPolicy, optimizer: torch.optim.Optimizer, seen: Tensor, wanted: Tensor, generator: torch.Generator
) -> float:
    """Some passes over one rollout. Returns the mean square difference before them."""
    student.actor_normalizer.update(seen)
    inputs = student.actor_normalizer(seen)
    with torch.no_grad():
        before = (student.actor(inputs) - wanted).square().mean()
    for _ in range(_EPOCHS):
        order = torch.randperm(len(inputs), generator=generator, device=inputs.device)
        for rows in order.chunk(_MINIBATCHES):
            loss = (student.actor(inputs[rows]) - wanted[rows]).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return float(before)
