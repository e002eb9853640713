"""Speed, as shares of what the bare engine does in the same minute: machines are shared and noisy."""

import sys
import time
from collections.abc import Callable

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch

from robopolicy.learn.threads import usable_cores
from robopolicy.task import load_task
from robopolicy.train import Options, Trainer


def bench(name: str, num_envs: int | None = None, seconds: float = 30.0, quiet: bool = False) -> dict[str, float]:
    """Measure the bare engine, collecting (physics, task and policy), and the whole training loop, in turns.

    Every turn measures all three one after the other, so that a neighbour's load hits them alike; the figures are
    medians over the turns, and the ratios medians of each turn's own ratio.

    Args:
        name: Task.
        num_envs: N; by default the task's.
        seconds: How long to measure [s], and how long to train before that: robots that cannot walk yet fall all the
            time, which is not what a training is made of.
        quiet: Say nothing on standard error.

    Returns:
        Control steps of all robots per second: ``raw_steps_per_s`` (the bare engine), ``current_steps_per_s`` (the bare
        engine, with positions and velocities of bodies brought up to the state after the step, which is what a reward
        reads), ``collect_steps_per_s``, ``train_steps_per_s``; and ``collect_ratio``, ``train_ratio`` against the bare
        engine.
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
    bare = Batch(env.robot.mj, env.num_envs, threads)
    bare_ctrl = bare.bind("ctrl")
    steps = env.num_envs * model.n_steps
    controls: list[np.ndarray] = []
    physics = env.sim.step

    def recorded(substeps: int) -> None:
        controls.append(env.ctrl.numpy().copy())
        physics(substeps)

    env.sim.step = recorded  # type: ignore[method-assign]

    def collect() -> None:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)

    def engine(before: np.ndarray, stage: mujoco.mjtStage) -> float:
        """Time for the rollout's physics again: from the same states, under the same controls."""
        bare.state[:] = before
        start = time.perf_counter()
        for ctrl in controls:
            bare_ctrl[:] = ctrl
            bare.step(nstep=env.substeps, stage=stage.value)
        return time.perf_counter() - start

    turns: list[tuple[float, ...]] = []
    counts_from = time.perf_counter() + seconds
    while time.perf_counter() < counts_from + seconds or len(turns) < 3:
        controls.clear()
        before = env.sim.state_dict()["state"].numpy()
        collecting, learning = _time(collect), _time(model.train)
        if time.perf_counter() > counts_from:
            raw, current = (engine(before, s) for s in (mujoco.mjtStage.mjSTAGE_NONE, mujoco.mjtStage.mjSTAGE_VEL))
            turns.append((raw, current, collecting, collecting + learning))
            if not quiet:
                print(f"\rturn {len(turns)}", end="", file=sys.stderr, flush=True)
    if not quiet:
        print(file=sys.stderr)
    times = np.array(turns)
    raw_s, current_s, collect_s, train_s = np.median(times, axis=0)
    return {
        "raw_steps_per_s": steps / raw_s,
        "current_steps_per_s": steps / current_s,
        "collect_steps_per_s": steps / collect_s,
        "train_steps_per_s": steps / train_s,
        "collect_ratio": float(np.median(times[:, 0] / times[:, 2])),
        "train_ratio": float(np.median(times[:, 0] / times[:, 3])),
        "num_envs": env.num_envs,
        "torch_threads": torch.get_num_threads(),
        "learner_threads": model.workers.count,
        "turns": len(turns),
    }


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
