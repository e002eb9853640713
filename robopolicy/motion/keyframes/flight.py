"""Off the ground: gravity decides how high the body is, and the springs of the legs how fast it leaves."""

import warnings
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.feet import full_qpos
from robopolicy.motion.keyframes.script import Part, Script
from robopolicy.motion.keyframes.spline import Key

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

HEIGHT = Part("base", "", "height")
DISAGREES = 0.25
"""A flight whose acceleration is off gravity by more than this share of it is not one."""


def check_flights(script: Script, keys: list[Key]) -> None:
    """Flights begin and end at keyed heights, on a frame, and gravity alone decides between.

    Raises:
        UserError: They do not.
    """
    if HEIGHT in script.lags:
        raise UserError(f"{script.path}: lag of height: with a flight the height has no lag; lag the others instead")
    for flight in script.flights:
        if flight.start <= 0 or flight.end >= script.duration:
            raise UserError(
                f"{script.path}: the flight from {flight.start:g} to {flight.end:g} s must take off after the start "
                f"and land before the end, {script.duration:g} s"
            )
        for time, what in ((flight.start, "take-off"), (flight.end, "landing")):
            frame = time * script.fps
            if abs(frame - round(frame)) > 1e-6:
                raise UserError(
                    f"{script.path}: {what} at {time:g} s lies between two frames; the nearest is at "
                    f"{round(frame) / script.fps:g} s"
                )
            if not any(abs(key[0] - time) < 1e-9 for key in keys):
                raise UserError(
                    f"{script.path}: the flight from {flight.start:g} to {flight.end:g} s: key the base's height at "
                    f"{what} ({time:g} s): between, gravity decides"
                )
        for time, *_ in keys:
            if flight.start + 1e-9 < time < flight.end - 1e-9:
                raise UserError(
                    f"{script.path}: the base's height is keyed at {time:g} s, in the flight from {flight.start:g} to "
                    f"{flight.end:g} s, where gravity decides it: shorten the flight for a lower hop"
                )


def leaving_and_landing(
    script: Script, keys: list[Key], ripple: np.ndarray, above: np.ndarray, gravity: float
) -> list[Key]:
    """The keys of the height, with the speeds that gravity asks for at take-off and landing.

    Args:
        script: The file.
        keys: Of the base's height.
        ripple: What waves add to it in each frame [m]. Shape (K,).
        above: Height of the centre of mass over the base in each frame [m]. Shape (K,).
        gravity: [m/s^2].
    """
    keys = list(keys)
    for flight in script.flights:
        i, j = _frames(script, flight.start, flight.end)
        centre = [_value(keys, t) + ripple[k] + above[k] for t, k in ((flight.start, i), (flight.end, j))]
        mean, change = (centre[1] - centre[0]) / (flight.end - flight.start), gravity * (flight.end - flight.start) / 2
        for time, k, speed in ((flight.start, i, mean + change), (flight.end, j, mean - change)):
            rest = ripple + above
            around = (rest[(k + 1) % len(rest)] - rest[k - 1]) * script.fps / 2
            keys = [(t, v, float(speed - around) if abs(t - time) < 1e-9 else e) for t, v, e in keys]
    return keys


def fly(script: Script, height: np.ndarray, above: np.ndarray, gravity: float) -> np.ndarray:
    """Height of the base with the centre of mass on a parabola in every flight [m].

    Args:
        script: The file.
        height: Of the base in each frame, right at take-off and landing [m]. Shape (K,).
        above: Height of the centre of mass over the base in each frame [m]. Shape (K,).
        gravity: [m/s^2].
    """
    height = height.copy()
    for flight in script.flights:
        i, j = _frames(script, flight.start, flight.end)
        first, last = (height[k] + above[k] for k in (i, j))
        t, span = np.arange(1, j - i) / script.fps, flight.end - flight.start
        centre = first + (last - first) * t / span + gravity * t * (span - t) / 2
        height[i + 1 : j] = centre - above[i + 1 : j]
    return height


def centre_above_base(model: "RobotModel", qpos: np.ndarray) -> np.ndarray:
    """Height of the robot's centre of mass over the base's origin [m]. (K, 7 + J) -> (K,)."""
    data, above = mujoco.MjData(model.mj), np.empty(len(qpos))
    for k, q in enumerate(qpos):
        data.qpos[:] = full_qpos(model, q)
        mujoco.mj_kinematics(model.mj, data)
        mujoco.mj_comPos(model.mj, data)
        above[k] = data.subtree_com[model.base_body, 2] - q[2]
    return above


def warn_of_levitation(script: Script, model: "RobotModel", qpos: np.ndarray, down: np.ndarray, gravity: float) -> None:
    """Warn where no foot is down and the body does not fall as it must.

    Args:
        script: The file.
        model: The robot.
        qpos: The clip. Shape (K, 7 + J).
        down: Feet on the ground. Shape (K, F).
        gravity: [m/s^2].
    """
    up = ~down.any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], up.astype(int), [0]]))).reshape(-1, 2)
    for first, end in edges:
        spell = qpos[max(first - 1, 0) : end + 1]
        if len(spell) < 3:
            continue
        centre = spell[:, 2] + centre_above_base(model, spell)
        time = np.arange(len(spell)) / script.fps
        pull = -2 * np.polyfit(time, centre, 2)[0]
        if abs(pull - gravity) > DISAGREES * gravity:
            warnings.warn(
                f"{script.path}: from {first / script.fps:.2f} to {end / script.fps:.2f} s no foot is down, but the "
                f"body falls with {pull:.1f} m/s^2, not {gravity:.2f}: write a [[flight]] there",
                stacklevel=2,
            )


def _frames(script: Script, start: float, end: float) -> tuple[int, int]:
    return round(start * script.fps), round(end * script.fps)


def _value(keys: list[Key], time: float) -> float:
    return next(v for t, v, _ in keys if abs(t - time) < 1e-9)
