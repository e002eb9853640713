"""What can be watched: the policy of a run, an exported policy in plain MuJoCo, a clip, a log."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.view.stage import stage
from robopolicy.view.tour import Channel

if TYPE_CHECKING:
    from robopolicy.env.env import Env
    from robopolicy.task import Task

_CLIP_DT = 0.02  # [s]


class Performer(Protocol):
    """A robot that moves.

    Attributes:
        title: What it is.
        dt: Time of one step [s].
        seconds: Time after which there is no more to see [s].
        channels: What it can be told; none for a clip.
        joints: Its joints, in the order of qpos[7:].
        standing: Height of the base in the home pose [m].
        robot: Name of the robot.
        spec: The robot, with all that can be seen of it.
        model: What to draw.
    """

    title: str
    dt: float
    seconds: float
    channels: tuple[Channel, ...]
    joints: tuple[str, ...]
    standing: float
    robot: str
    spec: mujoco.MjSpec
    model: mujoco.MjModel

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """Stand at the start. Returns qpos (nq,) and qvel (nv,)."""
        ...

    def step(self, command: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """Move on by ``dt`` under a command (C,). Returns qpos, qvel, and whether it begins anew."""
        ...


class RunPerformer:
    """The policy of a run in its training environment, without randomness, noise and pushes."""

    def __init__(self, folder: Path):
        """Read the newest checkpoint.

        Raises:
            UserError: The folder is no run, or its checkpoint is missing or damaged.
        """
        import dataclasses

        import torch

        from robopolicy.evaluate import load_actor
        from robopolicy.robot import load_robot

        torch.set_num_threads(1)
        task, self._act = load_actor(folder)
        self._env = self._make_env(dataclasses.replace(task, episode_s=1e6))
        self.title, self.dt, self.seconds = str(folder), task.control_dt, float("inf")
        units = {"vx": "m/s", "vy": "m/s", "wz": "rad/s"} | task.command.units
        told = self._env.channels
        self.channels = tuple(
            Channel(name, low, high, units.get(name, ""), default)
            for (name, (low, high)), default in zip(told.ranges.items(), told.default, strict=True)
        )
        self.joints = self._env.robot.joint_names
        self.standing = float(self._env.robot.home_qpos[2])
        robot = load_robot(task.robot)
        self.robot, self.spec = robot.name, robot.compile(task.timestep).spec
        self.model = stage(self.spec)

    def _make_env(self, task: "Task") -> "Env":
        from robopolicy.env.env import Env

        return Env(task, num_envs=1, nominal=True, threads=1)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        self._env.reset(stagger=False)
        return self._state()

    def step(self, command: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        import torch

        with torch.inference_mode():
            obs = self._env.hold_command(torch.as_tensor(command, dtype=torch.float32)[None])
            step = self._env.step(self._act(obs["actor"]))
        return *self._state(), bool(step.terminated)

    def _state(self) -> tuple[np.ndarray, np.ndarray]:
        return self._env.qpos[0].numpy().copy(), self._env.qvel[0].numpy().copy()


class FilePerformer:
    """An exported policy in plain MuJoCo, as a robot would run it. The robot is the one in the file."""

    def __init__(self, path: Path):
        """Read and check the file.

        Raises:
            UserError: The file is refused; the message says why.
        """
        from robopolicy_runtime.errors import ContractError
        from robopolicy_runtime.policy import Controller, PolicyFile
        from robopolicy_runtime.verify import Plant

        try:
            file = PolicyFile.open(path)
            self._plant = Plant(file.mjcf, file.contract)
            self._controller = Controller(file, file.contract.joint_names)
            recorded = file.reference()
        except ContractError as error:
            raise UserError(str(error)) from error
        self.file, contract = file, file.contract
        self._first = recorded["eval_qpos0"][0], recorded["eval_qvel0"][0]
        self.title, self.dt, self.seconds = str(path), contract.control_period_s, float("inf")
        c = contract.command
        told = zip(c.names, c.lower, c.upper, c.units, c.default, strict=True)
        self.channels = tuple(Channel(*values) for values in told)
        self.joints, self.standing = contract.joint_names, float(self._first[0][2])
        self.robot, self.spec = contract.robot, mujoco.MjSpec.from_string(file.mjcf)
        self.model = stage(self.spec)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        self._plant.reset(*self._first)
        self._controller.reset()
        return self._state()

    def step(self, command: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        self._plant.step(self._controller.step(**self._plant.sensors(), command=command))
        fell = self._plant.fallen()
        return *(self.start() if fell else self._state()), fell

    def _state(self) -> tuple[np.ndarray, np.ndarray]:
        return self._plant.data.qpos.copy(), self._plant.data.qvel.copy()


class ClipPerformer:
    """A clip at its own speed: a loop goes on for ever, an open clip ends."""

    channels: tuple[Channel, ...] = ()

    def __init__(self, target: Path, robot: str | None):
        """Find and read the clip.

        Args:
            target: A path, or the name of one of the robot's own clips.
            robot: The robot; by default the one that the clip names.

        Raises:
            UserError: There is no such clip or robot, or they do not fit.
        """
        from robopolicy.motion.clip import Clip, find_clips
        from robopolicy.robot import load_robot

        clip = Clip.load(target) if target.is_file() or robot is None else None
        if not (robot or (clip and clip.robot)):
            raise UserError(f"{target} does not name its robot; give --robot NAME")
        model = load_robot(robot or (clip.robot if clip else "")).compile()
        if clip is None:
            found = find_clips(model.robot.name, str(target))
            if len(found) > 1:
                raise UserError(f"{target} stands for {len(found)} clips: {', '.join(p.stem for p in found)}; name one")
            clip = Clip.load(found[0])
        self._clip = clip.for_robot(model)
        self.title, self.dt = clip.name, _CLIP_DT
        self.joints, self.standing = model.joint_names, float(model.home_qpos[2])
        self.length = clip.duration  # of one round
        self.seconds = float("inf") if clip.loop else clip.duration
        self.robot, self.spec = model.robot.name, model.spec
        self.model = stage(self.spec)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        self._steps = 0
        return self._state()

    def step(self, command: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        self._steps += 1
        return *self._state(), False

    def _state(self) -> tuple[np.ndarray, np.ndarray]:
        qpos, qvel, _ = self._clip.sample(np.array([self._steps * self.dt]))
        return qpos[0], qvel[0]


def find_performer(target: Path, robot: str | None = None) -> Performer:
    """What a person named.

    Args:
        target: A run folder, an ONNX file, a log (.log), or a clip: a file, or with ``robot`` the name of one of its
            clips.
        robot: Robot of a clip.

    Raises:
        UserError: It is none of these, or cannot be used.
    """
    if robot is None and target.is_dir():
        return RunPerformer(target)
    if robot is None and target.suffix == ".onnx":
        return FilePerformer(target)
    if robot is not None and (target.is_dir() or target.suffix == ".onnx"):
        raise UserError(f"--robot {robot} is for clips; {target} knows its own robot")
    if target.suffix == ".log":
        from robopolicy.view.log_performer import LogPerformer

        return LogPerformer(target, robot)
    if robot is not None or target.suffix == ".npz":
        return ClipPerformer(target, robot)
    what = "is none of them" if target.exists() else "does not exist"
    raise UserError(
        f"{target} {what}: play a run folder, an .onnx file, an .npz clip, a .log, or a clip's name with --robot NAME"
    )
