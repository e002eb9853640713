"""Speed, as shares of what the bare engine does in the same minute: machines are shared and noisy."""

import sys
import time
from collections.abc import Callable

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch

from robopolicy.cores import usable_cores
from robopolicy.env.env import Env
from robopolicy.host_syncs import host_syncs_per_step
from robopolicy.learn.graph import Graphed
from robopolicy.sim.make import make_simulation
from robopolicy.task import Task, load_task
from robopolicy.train import Options, Trainer


class Loop:
    """A training whose parts can be run, and timed, one by one.

    Args:
        task: What to learn.
        device: As for a training.

    Attributes:
        env: The robots.
        model: The learner; ``model.train()`` is the update.
    """

    def __init__(self, task: Task, device: str) -> None:
        trainer = Trainer(task, Options(steps=2**62, device=device))
        trainer.warm_start()
        self.env, self.model = trainer.env, trainer.model
        _, self._callback = self.model._setup_learn(2**62, None)
        self.model.tune_threads()

    def collect(self) -> None:
        """A rollout."""
        self.model.collect_rollouts(self.model.env, self._callback, self.model.rollout_buffer, self.model.n_steps)

    def step_environment(self) -> None:
        """The environment alone, as often as in a rollout and under the latest one's actions."""
        for action in self.model.rollout_buffer.samples.action:
            self.model._step_env(action)


def bench(
    name: str, num_envs: int | None = None, seconds: float = 30.0, device: str = "auto", quiet: bool = False
) -> dict[str, float | str | None]:
    """Measure the bare engine, the environment, collecting, learning, and the whole training loop, in turns.

    Every turn measures all of them one after the other, so that a neighbour's load hits them alike; the figures are
    medians over the turns, and the ratios medians of each turn's own ratio.

    Args:
        name: Task.
        num_envs: N; by default the task's.
        seconds: How long to measure [s]; three times that it trains before: robots that cannot walk yet fall all the
            time, which is not what a training is made of.
        device: As for a training.
        quiet: Say nothing on standard error.

    Returns:
        Control steps of all robots per second: ``raw_steps_per_s`` (the bare engine), ``current_steps_per_s`` (the bare
        engine, with positions and velocities of bodies brought up to the state after the step, which is what a reward
        reads), ``env_steps_per_s`` (the environment under given actions), ``collect_steps_per_s`` (physics, task and
        policy), ``learn_steps_per_s`` (values, advantages, the prior's score, and the updates), ``train_steps_per_s``
        (all); and ``env_ratio``, ``collect_ratio``, ``train_ratio`` against the bare engine. On a GPU also
        ``host_syncs_per_step``: how often an environment step makes the host wait.
    """
    task = load_task(name)
    if num_envs is not None:
        task.num_envs = num_envs
    loop = Loop(task, device)
    model, env = loop.model, loop.env
    controls: list[torch.Tensor] = []
    physics = env.sim.step

    judge, judged = model._judge, []
    model._judge = lambda *figures: judged.append(timed(lambda: judge(*figures)))  # type: ignore[method-assign]

    def recorded(substeps: int) -> None:
        controls.append(env.ctrl.clone())
        physics(substeps)

    on_cpu = env.device.type == "cpu"
    if on_cpu:
        env.sim.step = recorded  # type: ignore[method-assign]
    engine = _bare_batch(env) if isinstance(env.sim.state_dict().get("state"), torch.Tensor) else _bare_warp(env)

    turns: list[list[float]] = []
    counts_from = time.perf_counter() + 3 * seconds
    while time.perf_counter() < counts_from + seconds or len(turns) < 3:
        controls.clear()
        before = env.sim.state_dict()
        judged.clear()
        collecting, learning = timed(loop.collect), timed(model.train)
        collecting, learning = collecting - sum(judged), learning + sum(judged)
        if time.perf_counter() > counts_from:
            under = controls[:] or [env.ctrl.clone()] * model.n_steps
            bare = [engine(before, under, current) for current in (False, True)]
            turns.append([*bare, timed(loop.step_environment), collecting, learning, collecting + learning])
            if not quiet:
                print(f"\rturn {len(turns)}", end="", file=sys.stderr, flush=True)
    if not quiet:
        print(file=sys.stderr)
    times = np.array(turns)
    names = ("raw", "current", "env", "collect", "learn", "train")
    speeds = env.num_envs * model.n_steps / np.median(times, axis=0)
    shares = np.median(times[:, :1] / times, axis=0)
    found: dict[str, float | str | None] = {f"{n}_steps_per_s": float(v) for n, v in zip(names, speeds, strict=True)}
    found |= {f"{n}_ratio": float(v) for n, v in zip(names, shares, strict=True) if n in ("env", "collect", "train")}
    if not on_cpu:
        found["host_syncs_per_step"] = host_syncs_per_step(model._step_env, model.rollout_buffer.samples.action)
    return found | {
        "num_envs": env.num_envs,
        "device": str(env.device) if not on_cpu else f"{usable_cores()} CPU cores",
        "learner_threads": model.workers.count,
        "turns": len(turns),
    }


def _bare_batch(env: Env) -> Callable[[dict[str, torch.Tensor], list[torch.Tensor], bool], float]:
    """The rollout's physics again in a ``mujoco.batch`` of its own: the same robots (each with its own model, as the
    task draws them), from the same states, under the same controls."""
    batch = Batch(env.robot.mj, env.num_envs, usable_cores())
    target = batch.bind("ctrl")

    def run(before: dict[str, torch.Tensor], controls: list[torch.Tensor], current: bool) -> float:
        stage = mujoco.mjtStage.mjSTAGE_VEL if current else mujoco.mjtStage.mjSTAGE_NONE
        fields = {name.removeprefix("model/"): value for name, value in before.items() if name != "state"}
        for name, value in fields.items():
            batch.expand(name)[:] = value.numpy()
        if fields:
            batch.set_const()
        batch.state[:] = before["state"].numpy()

        def steps() -> None:
            for ctrl in controls:
                target[:] = ctrl.numpy()
                batch.step(nstep=env.substeps, stage=stage.value)

        return timed(steps)

    return run


def _bare_warp(env: Env) -> Callable[[dict[str, torch.Tensor], list[torch.Tensor], bool], float]:
    """The same on the GPU's engine, as one CUDA graph a control step where there is a GPU."""
    where = "warp-cpu" if env.device.type == "cpu" else str(env.device)
    sim = make_simulation(env.robot.mj, env.num_envs, where)
    everyone = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    bare = Graphed(lambda: sim.advance(env.substeps), env.device)  # type: ignore[attr-defined]
    current = Graphed(lambda: sim.step(env.substeps), env.device)

    def run(before: dict[str, torch.Tensor], controls: list[torch.Tensor], up_to_date: bool) -> float:
        sim.load_state_dict({name: value for name, value in before.items() if name.startswith("state/")})
        sim.forward(everyone)

        def steps() -> None:
            for ctrl in controls:
                sim.bind("ctrl").copy_(ctrl)
                (current if up_to_date else bare)()

        return timed(steps)

    return run


def timed(work: Callable[[], object]) -> float:
    """How long it takes [s], until the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
