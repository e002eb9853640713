"""Frames made anew from their neighbours."""

import dataclasses

import numpy as np

from robopolicy.motion.clip import Clip
from robopolicy.motion.pose import continuous, heading, inverse2, move, quat_exp, quat_mul, rotate2


def fill(clip: Clip, bad: np.ndarray) -> Clip:
    """Interpolate the bad frames of a clip, by cubic splines through the others; a loop goes on over its seam.

    Args:
        clip: The clip; its good frames have unit quaternions. Velocities are left alone.
        bad: Frames to make anew. Shape (K,).
    """
    from scipy.interpolate import CubicSpline

    known = np.flatnonzero(~bad)
    if len(known) < 4 or len(known) == len(clip):
        return clip
    times, values = known, clip.qpos[known]
    if clip.loop:
        cycle, count = _cycle(clip.qpos, known), len(clip)
        times = np.concatenate([known - count, known, known + count])
        values = np.concatenate([move(values, inverse2(cycle)), values, move(values, cycle)])
    values = continuous_base(values)
    qpos = clip.qpos.copy()
    inside = np.flatnonzero(bad)
    made = CubicSpline(times, values, bc_type="natural")(
        np.clip(inside, times[0] - 1, times[-1] + 1)
    )  # then an open end is held
    made[:, 3:7] /= np.linalg.norm(made[:, 3:7], axis=1, keepdims=True)
    qpos[inside] = made
    return dataclasses.replace(clip, qpos=continuous_base(qpos))


def continuous_base(qpos: np.ndarray) -> np.ndarray:
    """Positions with base quaternions that never change sign from a frame to the next. Shape (K, 7 + J)."""
    qpos = qpos.copy()
    qpos[:, 3:7] = continuous(qpos[:, 3:7])
    return qpos


def tilt(qpos: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Base quaternions turned by rotation vectors in the base's frame [rad]. Shapes (K, 7 + J), (K, 3) -> (K, 4)."""
    return quat_mul(qpos[:, 3:7], quat_exp(turn))


def _cycle(qpos: np.ndarray, known: np.ndarray) -> np.ndarray:
    """As :func:`robopolicy.motion.clip.estimate_cycle`, from frames that are known. Shape (3,)."""
    first, second, before, last = known[0], known[1], known[-2], known[-1]
    yaw = {frame: heading(qpos[frame, 3:7]) for frame in (first, second, before, last)}
    gap = len(qpos) - last + first

    def speed(a: int, b: int) -> np.ndarray:
        turn = np.mod(yaw[b] - yaw[a] + np.pi, 2 * np.pi) - np.pi
        return np.array([*rotate2(-yaw[a], qpos[b, :2] - qpos[a, :2]), turn]) / (b - a)

    step = gap * 0.5 * (speed(before, last) + speed(first, second))
    turn = yaw[last] + step[2] - yaw[first]
    landing = qpos[last, :2] + rotate2(yaw[last], step[:2])
    return np.array([*(landing - rotate2(turn, qpos[first, :2])), turn])
