"""What is judged: the policies of runs, each with the style it was trained on, and what they are to each other."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robopolicy import checkpoint
from robopolicy.errors import UserError
from robopolicy.evaluate import Act, load_actor
from robopolicy.robot import RobotModel, load_robot
from robopolicy.style.motions import ClipSet, command_range, load_clip_set
from robopolicy.task import Task


@dataclass(frozen=True)
class Style:
    """A way to move: its clips, and what tells a policy to move so.

    Attributes:
        name: What a person calls it.
        clips: Patterns of its clips.
        label: Its index among the styles that the policy can be told; None where it has no choice.
    """

    name: str
    clips: tuple[str, ...]
    label: int | None = None


def styles(task: Task) -> list[Style]:
    """The styles of a task's policy; none if it has no clips."""
    labels = task.prior.labels
    return [
        Style(name or " ".join(map(_short, clips)), clips, labels.index(name) if name in labels else None)
        for name, clips in task.prior.groups.items()
    ]


def held_command(task: Task, style: Style | None, velocity: np.ndarray, amount: float = 1.0) -> Tensor:
    """What asks a policy for a style at velocities (n, 3): vx, vy, wz. Shape (n, C).

    Channels of the command that are no velocity are at the value nearest to zero.

    Args:
        task: Its task.
        style: Which one, where it has a choice.
        velocity: In the heading frame [m/s, m/s, rad/s].
        amount: How much of the style, from 0 to 1, where it can be told.
    """
    low, high = task.command.bounds(torch.device("cpu"))
    command = torch.zeros(len(velocity), len(low)).clamp(low, high)
    if task.command.names[:3] == ["vx", "vy", "wz"]:
        command[:, :3] = torch.as_tensor(velocity, dtype=torch.float32).clamp(low[:3], high[:3])
    label = torch.full((len(velocity),), (style.label if style else None) or 0)
    return task.channels.tell(command, label, torch.full((len(velocity),), float(amount)))


@dataclass(frozen=True)
class Subject:
    """A policy in one of its styles.

    Attributes:
        label: Name for tables.
        folder: The run folder.
        source: Name of the task it was trained on.
        recipe: Hash of the task's settings but for its prior.
        prior: Hash of the prior's settings but for its weight and clips; empty without a prior.
        task: Its task, with the run's own settings.
        act: Its actions.
        style: None for a task without clips.
        clips: What it was trained on; None for a task without clips.
        weight: Share of the style reward while it learned; 0 without a prior.
        seed: Of its training.
    """

    label: str
    folder: Path
    source: str
    recipe: str
    prior: str
    task: Task
    act: Act
    style: Style | None
    clips: ClipSet | None
    weight: float
    seed: int

    @property
    def adjustable(self) -> bool:
        """Whether it can be told how much of the style to have."""
        return self.styled and self.task.channels.weighted

    @property
    def styled(self) -> bool:
        """Whether a prior shaped it."""
        return self.clips is not None and self.weight > 0


def load_subjects(folders: list[Path]) -> tuple[list[Subject], RobotModel]:
    """The policies of run folders, and their robot.

    Raises:
        UserError: A folder is no run, they are of different robots or control periods, or none of them has clips.
    """
    labels = _labels(folders)
    subjects: list[Subject] = []
    robot: RobotModel | None = None
    known: dict[str, ClipSet] = {}
    for folder, label in zip(folders, labels, strict=True):
        if folder.suffix == ".onnx":
            raise UserError(f"{folder}: style compares run folders; an ONNX file does not say what it was trained on")
        task, act = load_actor(folder)
        config = checkpoint.load_config(folder)[1]
        if robot is None:
            robot = load_robot(task.robot).compile(task.timestep, visual=False)
        first = subjects[0].task if subjects else task
        if (task.robot, task.control_dt) != (first.robot, first.control_dt):
            raise UserError(
                f"{folder} is of robot {task.robot!r} at {task.control_dt:g} s, {folders[0]} of {first.robot!r} at "
                f"{first.control_dt:g} s: only runs of one robot and control period can be compared"
            )
        found = styles(task)
        source, seed = str(config.get("task", "")), int(config.get("options", {}).get("seed", 0))
        recipe, prior = _recipes(config["settings"], config.get("start"))
        for style in found:
            clips = load_clip_set(style.name, style.clips, robot, task.control_dt)
            clips = known.setdefault(clips.key, clips)
            name = label if len(found) == 1 else f"{label}: {style.name}"
            subjects.append(
                Subject(name, folder, source, recipe, prior, task, act, style, clips, task.prior.weight, seed)
            )
        if not found:
            subjects.append(Subject(label, folder, source, recipe, prior, task, act, None, None, 0.0, seed))
    assert robot is not None
    if not known:
        raise UserError(f"{', '.join(map(str, folders))}: none of these runs has clips, so there is no style to judge")
    low, high = command_range([s.task.command for s in subjects])
    limited = {key: clips.within(low, high) for key, clips in known.items()}
    return [dataclasses.replace(s, clips=limited[s.clips.key] if s.clips else None) for s in subjects], robot


def clip_sets(subjects: list[Subject]) -> list[ClipSet]:
    """The different sets of clips that these policies were trained on, or would have been."""
    return list({s.clips.key: s.clips for s in subjects if s.clips is not None}.values())


def _recipes(settings: dict[str, Any], start: dict[str, Any] | None) -> tuple[str, str]:
    """Hashes of a task's settings without its prior and of what the run began as, and of its prior's without what tests
    of style vary."""
    prior = {name: value for name, value in settings["prior"].items() if name not in ("weight", "clips", "styles")}
    task = {name: value for name, value in settings.items() if name != "prior"} | ({"start": start} if start else {})
    hashes = [hashlib.sha256(json.dumps(x, sort_keys=True).encode()).hexdigest()[:12] for x in (task, prior)]
    return hashes[0], hashes[1] if settings["prior"]["weight"] else ""


def _labels(folders: list[Path]) -> list[str]:
    """The folders' names, with as much of their paths as tells them apart.

    Raises:
        UserError: A folder is given twice.
    """
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise UserError(f"a run is given twice: {', '.join(map(str, folders))}")
    for depth in range(1, 20):
        labels = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]


def _short(pattern: str) -> str:
    """A pattern as a person would say it: the folder of a path that takes all of its files."""
    path = Path(pattern)
    if "/" not in pattern:
        return pattern
    return path.parent.name if fnmatch("any", path.stem) else path.stem
