"""Speed, as shares of what the bare engine does in the same minute: machines are shared and noisy."""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from mujoco.batch import Batch

from robopolicy.learn.threads import usable_cores
from robopolicy.task import load_task
from robopolicy.train import Options, Trainer

_WARM_UP = 5  # iterations before anything counts: nets, caches and the robots' gait settle
_BURST = 6  # control steps of the bare engine between two restarts from the policy's own states


def bench(name: str, num_envs: int | None = None, seconds: float = 30.0, quiet: bool = False) -> dict[str, float]:
    """Measure the bare engine, collecting (physics, task and policy), and the whole training loop, in turns.

    Every turn measures all three one after the other, so that a neighbour's load hits them alike; the figures are
    medians over the turns, and the ratios medians of each turn's own ratio.

    Args:
        name: Task.
        num_envs: N; by default the task's.
        seconds: How long to measure [s].
        quiet: Say nothing on standard error.

    Returns:
        Control steps of all robots per second: ``raw_steps_per_s``, ``collect_steps_per_s``, ``train_steps_per_s``;
        and ``collect_ratio``, ``train_ratio`` against the bare engine.
    """
    task = load_task(name)
    if num_envs is not None:
        task.num_envs = num_envs
    trainer = Trainer(task, Options(steps=2**62))
    trainer.warm_start()
    model, env = trainer.model, trainer.env
    _, callback = model._setup_learn(2**62, None)
    model.tune_threads()
    threads = usable_cores()
    bare = Batch(env.robot.mj, env.num_envs, threads, persistent=True)
    steps = env.num_envs * model.n_steps

    def collect() -> None:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)

    def raw() -> float:
        """Seconds per rollout's worth of physics from the states that the policy is in."""
        bare.bind("qpos")[:], bare.bind("qvel")[:] = env.qpos.numpy(), env.qvel.numpy()
        bare.bind("ctrl")[:] = env.ctrl.numpy()
        bare.forward()
        spent = 0.0
        saved = bare.state.copy()
        for _ in range(model.n_steps // _BURST):
            bare.state[:] = saved
            spent += _time(lambda: [bare.step(nstep=env.substeps) for _ in range(_BURST)])
        return spent * model.n_steps / (_BURST * (model.n_steps // _BURST))

    turns: list[tuple[float, float, float]] = []
    end = time.perf_counter() + seconds
    iteration = 0
    while time.perf_counter() < end or len(turns) < 3:
        collecting, learning = _time(collect), _time(model.train)
        iteration += 1
        if iteration > _WARM_UP:
            turns.append((raw(), collecting, collecting + learning))
            if not quiet:
                print(f"\rturn {len(turns)}", end="", file=sys.stderr, flush=True)
    if not quiet:
        print(file=sys.stderr)
    times = np.array(turns)
    raw_s, collect_s, train_s = np.median(times, axis=0)
    return {
        "raw_steps_per_s": steps / raw_s,
        "collect_steps_per_s": steps / collect_s,
        "train_steps_per_s": steps / train_s,
        "collect_ratio": float(np.median(times[:, 0] / times[:, 1])),
        "train_ratio": float(np.median(times[:, 0] / times[:, 2])),
        "num_envs": env.num_envs,
        "torch_threads": torch.get_num_threads(),
        "learner_threads": model.workers.count,
        "turns": len(turns),
    }


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
