"""All that is measured for a report, with the yardsticks that make a figure mean something."""

import sys
from dataclasses import dataclass, field

import numpy as np

from robopolicy.errors import UserError
from robopolicy.evaluate import Evaluation, evaluate, style_distance, style_features
from robopolicy.report.grid import Plane, measure
from robopolicy.report.subject import Subject
from robopolicy.report.walk import Footfalls, film, footfalls
from robopolicy.task import Task


@dataclass
class Judged:
    """A policy and what was found; None or empty where it could not be.

    Attributes:
        subject: Whose.
        evaluation: Over the whole command range, as `robopolicy eval` says it.
        planes: By command.
        still_mps: Velocity error of a robot that would stand still under the same commands [m/s].
        copy_distance: Style distance of the half of the clips that is learned from: a perfect copy.
        still_distance: Style distance of a robot that stands in its home pose.
        footfalls: Undisturbed.
        video, pictures: MP4 and JPEGs of a tour of commands.
    """

    subject: Subject
    evaluation: Evaluation | None = None
    planes: list[Plane] = field(default_factory=list)
    still_mps: float | None = None
    copy_distance: float | None = None
    still_distance: float | None = None
    footfalls: list[Footfalls] = field(default_factory=list)
    video: bytes | None = None
    pictures: list[bytes] = field(default_factory=list)


def judge(subject: Subject, episodes: int, seed: int, per_cell: int, film_s: float, moving: bool) -> Judged:
    """Evaluate, look at the commands one by one, and film.

    Args:
        subject: What to judge.
        episodes: Of the evaluation.
        seed: Of the episodes.
        per_cell: Episodes at each command of the grid; 0 leaves it out.
        film_s: Length of the film [s].
        moving: Whether to film it; otherwise only pictures are drawn.
    """
    found, task, act = Judged(subject), subject.task, subject.act
    if task is not None and act is not None:
        _say(subject, f"evaluating {episodes} episodes")
        found.evaluation = evaluate(task, act, episodes, seed)
        found.still_mps = still_error(task, found.evaluation)
        found.copy_distance, found.still_distance = style_yardsticks(task)
        if per_cell:
            _say(subject, "evaluating command by command")
            found.planes = measure(task, act, per_cell, seed)
        found.footfalls = footfalls(task, act)
    if subject.contract is not None:  # without one there is no policy to film
        _say(subject, "filming" if moving else "drawing")
        try:
            found.video, found.pictures = film(subject.path, film_s, moving)
        except UserError as error:
            subject.missing.append(f"no film: {error}")
    return found


def still_error(task: Task, evaluation: Evaluation) -> float | None:
    """What the velocity error of the same episodes would be if the robot did not move [m/s]."""
    each = evaluation.per_episode
    if not task.command.is_velocity or each is None:
        return None
    return float(np.sqrt((each.command[:, :2] ** 2).sum(1).mean()))


def style_yardsticks(task: Task) -> tuple[float | None, float | None]:
    """Style distances of a perfect copy and of standing in the home pose; of several styles the mean. None each
    without clips."""
    from robopolicy.motion.reference import load_reference
    from robopolicy.robot import load_robot

    if not task.prior.patterns:
        return None, None
    robot = load_robot(task.robot).compile(task.timestep, visual=False)
    halves = [load_reference(task.prior, robot, task.control_dt, half=half) for half in ("held-out", "train")]
    copies, stills = [], []
    for style in sorted(set(halves[0].label.tolist())):
        (qpos, qvel), (own_q, own_v) = ((h.qpos[h.label == style], h.qvel[h.label == style]) for h in halves)
        copies.append(style_distance(qpos, qvel, style_features(own_q.double(), own_v.double()).numpy()))
        stills.append(still_style(style_features(qpos.double(), qvel.double()).numpy(), robot.home_qpos))
    known = [c for c in copies if c is not None]
    return (float(np.mean(known)) if known else None), float(np.mean(stills))


def still_style(reference: np.ndarray, home_qpos: np.ndarray) -> float:
    """Fréchet distance of one pose at rest to clips, in the clips' deviations: without covariance it is a sum.

    Args:
        reference: Style features of the clips. Shape (K, D).
        home_qpos: The pose. Shape (7 + J,).
    """
    import torch

    home = torch.as_tensor(np.asarray(home_qpos, dtype=float))[None]
    pose = style_features(home, torch.zeros(1, home.shape[1] - 1, dtype=home.dtype)).numpy()[0]
    mean, std = reference.mean(0), np.maximum(reference.std(0), 1e-3)
    scaled = (reference - mean) / std
    return float((((pose - mean) / std) ** 2).sum() + scaled.var(0, ddof=1).sum())


def _say(subject: Subject, what: str) -> None:
    print(f"{subject.label}: {what}", file=sys.stderr, flush=True)
