"""A task: one value that says what a robot should do, what it senses, and how it learns."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import tyro
from torch import Tensor

from robopolicy.env.adr import Adr
from robopolicy.env.channels import Channels
from robopolicy.env.command import Command
from robopolicy.env.state import State
from robopolicy.env.terrain import Terrain
from robopolicy.errors import UserError
from robopolicy.learn.config import PPOConfig
from robopolicy.motion.prior import Prior
from robopolicy.paths import tasks_dir
from robopolicy.terms.observations import DEPLOYABLE
from robopolicy.terms.randomizers import Draft

P = ParamSpec("P")
Function = Annotated[Callable[..., Any], tyro.conf.Suppress, tyro.conf.Fixed]


@dataclass
class Reward:
    """A weighted reward term; its value is multiplied by the weight and by the control period."""

    weight: float
    """Weight; negative punishes."""
    function: Function
    params: dict[str, Any] = field(default_factory=dict)
    """Arguments of the function."""


@dataclass
class Observation:
    """A part of what the policy sees."""

    function: Function
    scale: float = 1.0
    """Factor on the value."""
    noise: float = 0.0
    """Half width of uniform noise, in the value's unit, before the factor."""
    history: int = 1
    """How many of the latest values are seen, oldest first."""
    params: dict[str, Any] = field(default_factory=dict)
    """Arguments of the function."""


@dataclass
class Termination:
    """A way in which an episode fails."""

    function: Function
    params: dict[str, Any] = field(default_factory=dict)
    """Arguments of the function."""


@dataclass
class Randomizer:
    """A draw at the start of every episode."""

    function: Function
    params: dict[str, Any] = field(default_factory=dict)
    """Arguments of the function."""

    def most_steps(self, field: str) -> int:
        """The most physics steps by which it delays, if it changes that field (``actuator_delay``: an action,
        ``sensor_delay``: the readings); else 0."""
        if field not in self.function.fields:
            return 0
        default = inspect.signature(self.function).parameters.get("steps")
        if default is None:
            raise UserError(
                f"{self.function.__name__} changes {field}; it needs an argument steps = (least, most), the physics "
                "steps of the delay, so that there is room for the longest"
            )
        return int(self.params.get("steps", default.default)[1])


@dataclass
class Push:
    """Disturbances: a sudden change of the base's velocity, and a force on it that lasts."""

    velocity: float = 0.0
    """Largest change along x and y [m/s]; 0 never pushes."""
    yaw_rate: float = 0.0
    """Largest change of the turning speed [rad/s]."""
    force: float = 0.0
    """Largest force on the base, level with the ground, in any direction [N]; 0 never applies one."""
    force_s: tuple[float, float] = (0.1, 1.0)
    """How long a force lasts [s]."""
    interval_s: tuple[float, float] = (5.0, 10.0)
    """Time between two pushes [s]."""
    ramp_steps: int = 0
    """Control steps of training over which pushes grow from nothing to their full size; 0: full from the start."""


@dataclass
class Gait:
    """A clock that a walking policy follows."""

    period_s: float = 0.64
    """Time of one cycle [s]."""
    standing_speed: float = 0.05
    """Commands whose first three channels are shorter than this ask to stand."""

    def asked_by(self, command: "Tensor") -> "Tensor":
        """Whether each command (N, C) asks to move. Shape (N,) bool."""
        return command[:, :3].norm(dim=-1) > self.standing_speed


def term(weight: float, function: Callable[Concatenate[State, P], Tensor], *args: P.args, **kwargs: P.kwargs) -> Reward:
    """A reward term: ``term(-0.1, foot_slip, max_speed=1.0)``; a type checker checks the keywords."""
    assert not args, "give a term's arguments by keyword"
    return Reward(weight, function, dict(kwargs))


def observe(
    function: Callable[[State], Tensor], scale: float = 1.0, noise: float = 0.0, history: int = 1
) -> Observation:
    """An observation term."""
    return Observation(function, scale, noise, history)


def ends(function: Callable[Concatenate[State, P], Tensor], *args: P.args, **kwargs: P.kwargs) -> Termination:
    """A termination term."""
    assert not args, "give a term's arguments by keyword"
    return Termination(function, dict(kwargs))


def randomize(function: Callable[Concatenate[Draft, P], None], *args: P.args, **kwargs: P.kwargs) -> Randomizer:
    """A randomizer term."""
    assert not args, "give a term's arguments by keyword"
    return Randomizer(function, dict(kwargs))


@dataclass
class Task:
    """Everything that defines a training: robot, senses, rewards, endings, randomness, style and learner."""

    robot: str
    """Robot: a name, a robot.py or an MJCF (in a task file: beside it), or menagerie:NAME."""
    observations: dict[str, Observation]
    """What the actor sees: only what hardware has."""
    rewards: dict[str, Reward]
    """Task rewards."""
    terminations: dict[str, Termination]
    """How an episode fails."""
    command: Command = field(default_factory=Command)
    """What the robot is told."""
    privileged: dict[str, Observation] = field(default_factory=dict)
    """What the critic sees besides."""
    teacher: bool = False
    """Whether the actor sees that too: such a policy cannot leave the simulator, but teach one that can."""
    randomizers: dict[str, Randomizer] = field(default_factory=dict)
    """What differs from robot to robot."""
    adr: Adr = field(default_factory=Adr)
    """Whether their ranges widen as the policy copes."""
    push: Push = field(default_factory=Push)
    """Disturbances."""
    gait: Gait = field(default_factory=Gait)
    """The gait clock."""
    terrain: Terrain = field(default_factory=Terrain)
    """Shape of the ground."""
    prior: Prior = field(default_factory=Prior)
    """Style: clips and how they shape the motion."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """The learner."""
    num_envs: int = 1024
    """Robots simulated at once."""
    control_dt: float = 0.02
    """Time between two actions [s]."""
    timestep: float = 0.005
    """Physics time step [s]."""
    episode_s: float = 20.0
    """Length of an episode [s]."""
    action_clip: float = 4.0
    """Largest magnitude of an action."""
    joint_noise: float = 0.1
    """Half width of the noise on the first pose of an episode [rad]."""

    @property
    def channels(self) -> Channels:
        """All that the policy is told: the command, and what it needs to know of the style."""
        return Channels(self.command, self.prior.labels, self.prior.active and self.prior.adjustable)

    def in_full(self) -> "Task":
        """The task as at the end of its training, to judge by: pushes, ground and ranges that grow have grown."""
        return replace(
            self,
            push=replace(self.push, ramp_steps=0),
            terrain=replace(self.terrain, ramp_steps=0),
            adr=replace(self.adr, active=False),
        )

    def validate(self) -> None:
        """Check the settings against each other.

        Raises:
            UserError: Two settings contradict each other, or a value is out of its range.
        """
        substeps = self.control_dt / self.timestep
        if abs(substeps - round(substeps)) > 1e-6 or substeps < 1:
            raise UserError(f"control_dt {self.control_dt} s is not a multiple of timestep {self.timestep} s")
        for name, randomizer in self.randomizers.items():
            if not hasattr(randomizer.function, "fields"):
                raise UserError(
                    f"randomizers.{name}: {randomizer.function.__name__} does not say what it changes: put "
                    '@randomizes("FIELD", ...) of robopolicy.terms.randomizers above it'
                )
            late = randomizer.most_steps("sensor_delay")
            if late > round(substeps):
                raise UserError(
                    f"randomizers.{name}: sensors late by up to {late} physics steps; at most a control period, "
                    f"{round(substeps)} steps (control_dt {self.control_dt} s, timestep {self.timestep} s)"
                )
        if self.num_envs < 1:
            raise UserError(f"num_envs is {self.num_envs}; it must be at least 1")
        self.prior.validate()
        self.adr.validate()
        self.terrain.validate()
        if self.prior.clips and self.prior.styles:
            raise UserError("prior.clips and prior.styles are both given; name all clips in prior.styles")
        if len(self.prior.styles) == 1:
            raise UserError(f"prior.styles has {next(iter(self.prior.styles))!r} alone; name its clips in prior.clips")
        for label, clips in self.prior.styles.items():
            if not clips:
                raise UserError(f"prior.styles.{label} names no clips")
            if not label.isidentifier():
                raise UserError(f"prior.styles: {label!r} is no name for a style: letters, digits and _ only")
        for seen in ("see_command", "see_phase"):
            if self.prior.active and getattr(self.prior, seen) and not self.command.is_velocity:
                known = ", ".join(self.command.names)
                raise UserError(f"prior.{seen} needs the channels vx, vy, wz; the command has {known}")
        if len(self.command.ranges) < 3 and len(self.channels.names) > len(self.command.ranges):
            raise UserError(
                f"the command has {len(self.command.ranges)} channels; a style weight or label can only follow three, "
                "which say whether to move: --prior.no-adjustable, and no prior.styles"
            )
        for name, (low, high) in self.command.ranges.items():
            if low > high:
                raise UserError(f"command.ranges.{name} is ({low}, {high}); the lower bound comes first")
        for name, term in self.observations.items():
            if term.function not in DEPLOYABLE:
                known = ", ".join(f.__name__ for f in DEPLOYABLE)
                raise UserError(
                    f"observation {name!r} is {term.function.__name__}, which no robot can measure; the actor may see: "
                    f"{known}; give others to the critic as `privileged`"
                )
        for group in ("observations", "privileged"):
            for name, term in getattr(self, group).items():
                if term.history < 1:
                    raise UserError(f"{group}.{name}.history is {term.history}; at least 1, the latest value")
        for name, term in self.privileged.items():
            if term.history != 1 or term.noise:
                raise UserError(
                    f"privileged.{name} has history {term.history} and noise {term.noise:g}; what the critic sees "
                    "besides is the present truth: history 1, noise 0"
                )
        for group in ("observations", "privileged", "rewards", "terminations", "randomizers"):
            for name, term in getattr(self, group).items():
                _check_arguments(f"{group}.{name}", term)


def _check_arguments(where: str, term: Any) -> None:
    """Raise a UserError if a term's arguments do not fit its function."""
    try:
        inspect.signature(term.function).bind(None, **term.params)
    except TypeError as error:
        known = ", ".join(list(inspect.signature(term.function).parameters)[1:]) or "none"
        raise UserError(f"{where}: {term.function.__name__}: {error}; its arguments: {known}") from None


def list_tasks() -> list[str]:
    """Names of the tasks that come with the project."""
    return sorted(p.stem for p in tasks_dir().glob("*.py"))


def find_task(name: str) -> Path:
    """The file of a task given by name or by path.

    Raises:
        UserError: No such task.
    """
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"no task file {name!r}")
        return path
    path = tasks_dir() / f"{name}.py"
    if not path.is_file():
        raise UserError(f"unknown task {name!r}; known: {', '.join(list_tasks())}; or give the path of a .py file")
    return path


def load_task(name: str) -> Task:
    """The task of a file that defines ``task()``.

    Args:
        name: A name under ``tasks/`` or a path to a Python file.

    Raises:
        UserError: There is no such file, it raises, or it defines no ``task()`` that returns a Task.
    """
    path = find_task(name)
    module_name = f"robopolicy_task_{path.stem}"
    spec = spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look a function's module up there
    try:
        spec.loader.exec_module(module)
        task = module.task() if hasattr(module, "task") else None
    except UserError:
        raise
    except Exception as error:
        raise blame(path, error) from error
    if not isinstance(task, Task):
        raise UserError(f"task file {path} defines no function task() that returns a Task")
    beside = path.parent / task.robot
    if task.robot.endswith((".py", ".xml")) and beside.is_file():
        task.robot = str(beside.resolve())
    return task


def blame(path: Path, error: Exception) -> UserError:
    """The error as a mistake in a task file, with the line it came from if it came from there."""
    line = line_of(path, error)
    where = f", line {line}" if line else ""
    return UserError(f"task file {path}{where} raised {type(error).__name__}: {error}")


def line_of(path: Path, error: Exception) -> int | None:
    """The line of a task file that an error passed through, or None."""
    traceback, line = error.__traceback__, None
    while traceback:
        if Path(traceback.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
