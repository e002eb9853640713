"""``robopolicy clip gait``: a walking clip from a handful of numbers."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError, unknown
from robopolicy.motion.clip import Clip, clip_path
from robopolicy.motion.feet import Feet
from robopolicy.motion.gait import FPS, OFFSETS, Gait, generate

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

GRAVITY = 9.81
FLAGS = {"vx": "speed", "vy": "sideways", "wz": "turn", "pitch": "lean"}
"""What the command line calls the fields of a `Gait`; the others keep their names."""
LIMITS = {"period": (4 / FPS, 10.0), "duty": (0.0, 1.0), "step_height": (0.0, 1.0), "cycles": (1, 1000)}
Manner = Callable[[Gait, np.ndarray, np.ndarray], dict[str, np.ndarray]]
"""What the rest of the body does: a `Posture` that knows the gait."""


def make_gait(robot: str, output: Path, style: str | None, numbers: dict[str, float | None]) -> Clip:
    """Write a gait as a clip, and say what it does and what is wrong with it.

    Args:
        robot: Name or path of the robot.
        output: The ``.npz`` to write.
        style: As `Gait.style`; by default a walk on two feet and a trot on four.
        numbers: Fields of `Gait`; None means the robot's usual.

    Returns:
        The clip.

    Raises:
        UserError: The style does not exist for this robot, a number makes no sense, or a foot cannot reach its
            footstep.
    """
    from robopolicy.motion.check import check
    from robopolicy.motion.commands import summary
    from robopolicy.robot import load_robot

    clip_path(output)
    model = load_robot(robot).compile()
    given = {name: value for name, value in numbers.items() if value is not None}
    _sensible(given)
    usual, manner = usual_gait(model, style, given.get("period"))
    gait = dataclasses.replace(usual, **given)
    clip = generate(output.stem, model, gait, partial(manner, gait) if manner else None)
    clip.save(output)
    print(summary(clip, model))
    for defect in check(clip, model):
        print(defect.told)
    print(f"wrote {output}")
    return clip


def usual_gait(model: "RobotModel", style: str | None, period: float | None) -> tuple[Gait, Manner | None]:
    """A robot's gait where nobody says more: that of our own clips, or one that follows from its legs.

    Args:
        model: The robot.
        style: As `Gait.style`, or the name of a character that the robot has; None for its first.
        period: Duration of a cycle, if it is to be another than usual [s].

    Raises:
        UserError: The robot has no such style.
    """
    from robopolicy.motion.generate import USUAL

    feet, height = len(model.foot_sites), float(model.home_qpos[2])
    own = USUAL.get(model.robot.name, {})
    style = style or ("walk" if feet == 2 else "trot")
    known = [*own, *(name for name, offsets in OFFSETS.items() if feet in offsets)]
    if style not in known:
        raise unknown("style", style, list(dict.fromkeys(known)), f"the gaits of {model.robot.name}")
    home = np.concatenate([[0, 0, height, 1, 0, 0, 0], model.default_pose])
    beside = float(np.abs(Feet(model).trajectories(home[None])[1][0, :, 1]).mean())
    gait, manner = own.get(style, (None, None))
    if gait is None:
        slow = style == "walk" and feet == 4  # three of four feet stay down
        gait = Gait(style=style, period=0.9 if slow else 0.48 if feet == 4 else 0.64, duty=0.78 if slow else 0.58)
        one_sided = style == "pace" or (style == "walk" and feet == 2)
        sway = sway_over(beside, height, gait.period) if one_sided else 0.0
        gait = dataclasses.replace(gait, cycles=6, step_height=min(0.045, 0.15 * height), sway=sway)
    if period is not None and period > 0:
        ratio = sway_over(beside, height, period) / sway_over(beside, height, gait.period)
        gait = dataclasses.replace(gait, sway=gait.sway * ratio)
    return gait, manner


def sway_over(beside: float, height: float, period: float) -> float:
    """Sideways swing of a body that keeps the pressure point on the standing foot [m].

    The linear inverted pendulum (Kajita et al., 2001): the pressure point of a mass that swings as
    ``sway cos(w t)`` swings as ``sway (1 + w^2 height / g) cos(w t)``.

    Args:
        beside: Sideways distance of a foot from the middle [m].
        height: Of the mass [m].
        period: Of the gait [s].
    """
    return beside / (1 + (2 * np.pi / period) ** 2 * height / GRAVITY)


def _sensible(numbers: dict[str, float]) -> None:
    """Refuse numbers that no gait has."""
    for name, value in numbers.items():
        flag = "--" + FLAGS.get(name, name).replace("_", "-")
        if not np.isfinite(value):
            raise UserError(f"{flag} {value}: not a number")
        low, high = LIMITS.get(name, (-np.inf, np.inf))
        if not low <= value <= high:
            raise UserError(f"{flag} {value:g}: a gait has {low:g} to {high:g}")
