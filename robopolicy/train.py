"""Training: the loop on one screen."""

import signal
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.logger import Logger

from robopolicy import checkpoint
from robopolicy.cores import usable_cores
from robopolicy.env.env import STATE_VERSION, Env
from robopolicy.errors import UserError
from robopolicy.films import Films
from robopolicy.learn.amp import MotionPrior
from robopolicy.learn.distill import imitate
from robopolicy.learn.inherit import inherit
from robopolicy.learn.policy import load_policy
from robopolicy.learn.ppo import PPO
from robopolicy.learn.ranks import Ranks
from robopolicy.learn.symmetry import Symmetry
from robopolicy.learn.warm_start import warm_start
from robopolicy.motion.reference import MIRRORED, Reference, load_reference
from robopolicy.progress import Progress, open_logs
from robopolicy.robot import load_robot
from robopolicy.sim.make import choose_device
from robopolicy.task import Task

_SAVE_EVERY_S = 60.0


@dataclass
class Options:
    """How to run, apart from the task itself."""

    run: str | None = None
    """Run folder; by default runs/TASK-DATE-TIME."""
    start_from: str | None = None
    """Run folder of the same robot, whose policy this one begins as; its task may be another."""
    seed: int = 0
    """Seed of everything random. The same seed on the same machine gives the same weights to the bit."""
    seconds: float | None = None
    """Stop after this long [s], what a resumed run had trained before included. Without --steps: 600."""
    steps: int | None = None
    """Stop after this many steps of all robots together."""
    device: str = "auto"
    """Where to simulate and learn: auto (a GPU if there is one), cpu, cuda, or warp-cpu (the GPU's engine, slowly)."""
    threads: int = 0
    """Threads of the simulator; 0: one per core. No result depends on it."""
    film_minutes: float = 0.0
    """Make a film of the policy every so many minutes, in RUN/films and in TensorBoard; 0: none."""
    wandb: bool = False
    """Send settings and curves to Weights & Biases too (pip install 'robopolicy[wandb]')."""
    contacts: int | None = None
    """Room for so many contacts per robot on a GPU; by default a guess. A warning says when it is too small."""


class Trainer:
    """A training from a task to a checkpoint.

    Args:
        task: What to learn.
        options: How to run.
    """

    def __init__(self, task: Task, options: Options):
        device = choose_device(options.device)
        self.engine = device.split(":")[0]
        self.ranks = ranks = Ranks.join(device)
        for name in ("steps", "seconds"):
            bound = getattr(options, name)
            if bound is not None and bound <= 0:
                raise UserError(f"{name} is {bound}; it must be positive")
        torch.set_num_threads(1)
        torch.manual_seed(options.seed)
        self.task, self.options = task, options
        self.reference: Reference | None = None
        task.validate()
        if task.prior.active:
            robot = load_robot(task.robot).compile(task.timestep, visual=False)
            self.reference = load_reference(task.prior, robot, task.control_dt)
        if self.engine == "cuda" and ranks.rank == 0:
            print("building the GPU's kernels, which takes minutes the first time", file=sys.stderr)
        threads, seed = options.threads or usable_cores(), options.seed + ranks.rank
        where = {"threads": threads, "device": device, "contacts": options.contacts}
        self.env = Env(task, seed=seed, reference=self.reference, **where)
        self.prior = None
        if self.reference is not None:
            self.prior = MotionPrior(task.prior, self.env.reference or self.reference, self.env, options.seed, ranks)
        symmetry = Symmetry(task, self.env.robot, self.env.device) if task.ppo.symmetry_coef else None
        parts = {"prior": self.prior, "symmetry": symmetry, "ranks": ranks}
        self.model = PPO(env=self.env, config=task.ppo, **parts, seed=seed, progress=self.done)
        ranks.share(self.model.policy)
        self.elapsed = 0.0
        self._overflowed: set[str] = set()
        self._start = time.perf_counter()

    @property
    def clip_hashes(self) -> dict[str, str]:
        """Hash of the content of every clip, whole, by its name."""
        return self.reference.hashes if self.reference else {}

    def done(self) -> float:
        """How much of the run is over, 0 to 1, by the first bound that will be reached."""
        parts = []
        if self.options.steps is not None:
            parts.append(self.model.num_timesteps / self.options.steps)
        if self.options.seconds is not None:
            parts.append(self.elapsed / self.options.seconds)
        return min(max(parts), 1.0)

    def warm_start(self) -> float | None:
        """Imitate the clips if the prior asks for it; returns the imitation error."""
        if self.reference is None or not self.task.prior.warm_start:
            return None
        error = warm_start(self.model.policy, self.env, self.reference, self.task.prior, self.options.seed)
        self.ranks.share(self.model.policy)
        return error

    def inherit(self, folder: str) -> dict[str, Any]:
        """Begin as the policy of another run; returns what tells it from what the run may hold later."""
        self.options.start_from = str(Path(folder).resolve())  # so that it is found again from anywhere
        run = checkpoint.load(folder)
        inherit(self.model.policy, self.env, run)
        self.ranks.share(self.model.policy)
        return checkpoint.identity(run)

    def fit(self, folder: Path) -> None:
        """Collect, learn, log and save until the time or the steps are used up, or Ctrl-C."""
        model, progress = self.model, Progress(folder, self) if self.ranks.rank == 0 else None
        _, callback = model._setup_learn(self.options.steps or 2**62, None, reset_num_timesteps=False)
        model.tune_threads()
        self.elapsed, _ = self.ranks.agree(self.elapsed, False)
        self._start, self._before, saved = time.perf_counter(), self.elapsed, self.elapsed
        films = Films(folder, self.options.film_minutes if progress is not None else 0.0)
        with _Interrupt() as interrupt:
            stop = False
            while (self.done() < 1.0 or not model.num_timesteps) and not stop:
                model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
                model.train()
                self.elapsed = self._before + time.perf_counter() - self._start
                if progress is not None:
                    progress.report()
                self.elapsed, stop = self.ranks.agree(self.elapsed, interrupt.asked)
                self._warn_of_overflow()
                if self.elapsed - saved > _SAVE_EVERY_S or films.due:
                    self.save(folder)
                    saved = self.elapsed
                    if films.due:
                        films.make(model.num_timesteps)
            self.save(folder)
        films.close()
        if progress is not None:
            progress.close(stop)

    def _warn_of_overflow(self) -> None:
        new = set(self.env.sim.overflow()) - self._overflowed
        if new:
            self._overflowed |= new
            names = ", ".join(sorted(new))
            warnings.warn(f"the GPU engine left out contacts ({names}): give it more room, --contacts 64", stacklevel=2)

    def save(self, folder: Path) -> None:
        """Write the checkpoint; of several ranks the first one's, which lacks only the others' robots."""
        if self.ranks.rank:
            return
        state = {"learner": self.model.training_state(), "env": self.env.state_dict()}
        state["prior"] = self.prior.state_dict() if self.prior else None
        sidecar = {
            "steps": int(self.model.num_timesteps),
            "seconds": round(self.elapsed, 2),
            "actor_dim": self.env.actor_dim,
            "critic_dim": self.env.critic_dim,
            "num_actions": self.env.num_actions,
            "engine": self.engine,
        }
        checkpoint.save(folder, state, sidecar)

    def restore(self, run: checkpoint.Run) -> None:
        """Continue where a checkpoint stopped; with new robots on another engine, and in ranks other than the first."""
        self.model.load_training_state(run.state["learner"])
        if self.prior is not None:
            self.prior.load_state_dict(run.state["prior"])
        self.elapsed = run.sidecar["seconds"]
        was = run.sidecar.get("engine", self.engine)
        known = run.state["env"].get("version") == STATE_VERSION
        walked = run.state["learner"]["last_obs"] is not None  # a student's robots have no episode to go on with
        if self.ranks.rank == 0 and was == self.engine and known and walked:
            self.env.load_state_dict(run.state["env"])
            return
        if self.ranks.rank == 0 and walked:
            why = f"was trained on {was}; on {self.engine}" if known else "is from an earlier version;"
            warnings.warn(f"the run {why} its robots begin new episodes", stacklevel=2)
        seed = self.options.seed + self.ranks.rank + run.sidecar["steps"]
        for generator in (self.env.generator, self.model.generator, *([self.prior.generator] if self.prior else [])):
            generator.manual_seed(seed)
        self.env.load_progress(run.state["env"])
        self.model.begin_anew()


def train(task: Task, source: Path, options: Options) -> Path:
    """Train a task, from nothing or as ``start_from`` says. Returns the run folder."""
    if options.seconds is None and options.steps is None:
        options.seconds = 600.0
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path(options.run or f"runs/{checkpoint.task_name(source)}-{stamp}")
    began = time.perf_counter()
    trainer = Trainer(task, options)
    main = trainer.ranks.rank == 0
    hashes = trainer.clip_hashes
    start = None if options.start_from is None else trainer.inherit(options.start_from)
    if main:
        _warn_of_changes(checkpoint.origin(source), hashes, start)
        checkpoint.begin_run(folder, task, source, asdict(options), hashes, start)
    trainer.model.set_logger(open_logs(folder, wandb=options.wandb) if main else Logger(None, []))
    error = trainer.warm_start() if options.start_from is None else None
    if error is not None and main:
        print(f"warm start: the actor imitates {len(hashes)} clips with a mean square error of {error:.4f}")
    trainer.elapsed = time.perf_counter() - began
    trainer.fit(folder)
    trainer.ranks.leave()
    return folder


def resume(folder: Path, options: Options) -> Path:
    """Go on with a run; bounds that are given replace the run's own, and a linear learning rate follows them."""
    run = checkpoint.load(folder)
    names = ("seconds", "steps", "threads", "device", "contacts")
    told = {name: value for name, value in asdict(options).items() if value is not None and name in names}
    before = Options(**run.config["options"])
    if options.seconds is not None or options.steps is not None:
        before.seconds = before.steps = None
    for name, value in told.items():
        setattr(before, name, value)
    trainer = Trainer(run.task, before)
    main = trainer.ranks.rank == 0
    if main:
        _warn_of_other_clips(_clips_before(run.config, trainer.clip_hashes), trainer.clip_hashes)
    trainer.restore(run)
    if trainer.done() >= 1.0:
        had = f"{run.sidecar['steps'] / 1e6:.2f} M steps, {run.sidecar['seconds']:.0f} s"
        raise UserError(f"{folder} has trained all it was asked to ({had}); give more: --steps or --seconds")
    trainer.model.set_logger(open_logs(folder, run.sidecar["steps"], before.wandb) if main else Logger(None, []))
    trainer.fit(folder)
    trainer.ranks.leave()
    return folder


def distill(folder: Path, options: Options) -> Path:
    """Teach the policy of a run whose task is a teacher to one that sees only what hardware has.

    The student's run has the teacher's critic, so that it can be gone on with: ``train --resume``.

    Returns:
        The student's run folder.

    Raises:
        UserError: The run is no teacher's.
    """
    run = checkpoint.load(folder)
    if not run.task.teacher:
        raise UserError(f"{folder} is no teacher: its actor sees what hardware has; train one with --teacher")
    task = replace(run.task, teacher=False)
    if options.seconds is None and options.steps is None:
        options.seconds = 120.0
    out = Path(options.run or f"{folder}-student")
    trainer = Trainer(task, options)
    hashes = trainer.clip_hashes
    checkpoint.begin_run(out, task, folder / checkpoint.SOURCE, asdict(options), hashes)
    teacher = load_policy(run.task.ppo, run.sidecar, run.state["learner"]["policy"]).to(trainer.env.device)
    student = trainer.model.policy
    student.critic.load_state_dict(teacher.critic.state_dict())
    student.critic_normalizer.load_state_dict(teacher.critic_normalizer.state_dict())
    with torch.no_grad():
        student.log_std.copy_(teacher.log_std)
    if trainer.prior is not None:
        trainer.prior.load_state_dict(run.state["prior"])
    trainer.env.load_progress(run.state["env"])
    said = 0.0

    def report(steps: int, error: float) -> None:
        nonlocal said
        trainer.model.num_timesteps, trainer.elapsed = steps, time.perf_counter() - trainer._start
        if trainer.elapsed - said > 5 or trainer.done() >= 1:
            said = trainer.elapsed
            print(f"{trainer.done():4.0%}  {steps / 1e6:.2f} M steps  the student is {error:.4f} from its teacher")

    trainer._start = time.perf_counter()
    with _Interrupt() as interrupt:
        done = lambda: 1.0 if interrupt.asked else trainer.done()  # noqa: E731
        imitate(student, teacher, trainer.env, task.ppo.horizon, done, report, options.seed)
    trainer.model.set_logger(open_logs(out))
    trainer.save(out)
    print(f"saved {out}; go on with it: robopolicy train --resume {out} --seconds ...")
    return out


def _clips_before(config: dict[str, Any], now: dict[str, str]) -> dict[str, str]:
    """Hashes of a run's clips by name. Those of an earlier version were of other numbers, which cannot be made again:
    its clips are told apart by name alone."""
    before = config.get("clips", {})
    if "clips_hashed" in config:
        return before
    return {name: now.get(name, "") for name in (name.removesuffix(MIRRORED) for name in before)}


def _warn_of_other_clips(before: dict[str, str], now: dict[str, str]) -> None:
    """Say which clips are not what they were, or new or gone: the discriminator then measures by other ones."""
    other = sorted(name for name in before.keys() | now.keys() if before and before.get(name) != now.get(name))
    if other:
        warnings.warn(f"clips that are not as they were when the run began: {', '.join(other)}", stacklevel=3)


def _warn_of_changes(before: dict[str, Any], clips: dict[str, str], start: dict[str, Any] | None) -> None:
    """Say what is not as it was for the run that is made again, whose config.json is ``before``."""
    known = _clips_before(before, clips)
    shared = known.keys() & clips.keys()  # others may be what was asked for this time
    _warn_of_other_clips({name: known[name] for name in shared}, {name: clips[name] for name in shared})
    was = before.get("start")
    if start and was and start != was:
        had = f"it had {was['steps']:,} steps then, {start['steps']:,} now"
        warnings.warn(f"start_from is not the policy that the run began as: {had}", stacklevel=3)


class _Interrupt:
    """Turns the first Ctrl-C into a wish to stop after this iteration; a second one stops at once."""

    asked = False

    def __enter__(self) -> "_Interrupt":
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._before)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)
