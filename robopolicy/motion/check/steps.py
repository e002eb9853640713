"""Differences between frames, and smooth velocities and accelerations."""

import numpy as np

from robopolicy.motion.clip import Clip, estimate_cycle, velocities
from robopolicy.motion.pose import difference, move, rotate2

SMOOTHING = 0.1
"""Width of the window in which a velocity's slope is its acceleration [s]; at least 5 frames."""


def steps(clip: Clip) -> np.ndarray:
    """Differences between successive frames, round the seam for a loop [m, rad]. Shape (K or K - 1, 6 + J)."""
    inner = difference(clip.qpos[:-1], clip.qpos[1:])
    if not clip.loop:
        return inner
    return np.concatenate([inner, difference(clip.qpos[-1:], move(clip.qpos[:1], estimate_cycle(clip.qpos)))])


def free_steps(clip: Clip) -> np.ndarray:
    """As :func:`steps`, of height, tilt and joints only: what must close in a loop. Shape (K or K - 1, 3 + J)."""
    return np.delete(steps(clip), [0, 1, 5], axis=1)


def true_velocities(clip: Clip) -> np.ndarray:
    """qvel by central differences of the positions, round the seam for a loop. Shape (K, 6 + J)."""
    return velocities(clip.qpos, clip.fps, estimate_cycle(clip.qpos) if clip.loop else None)


def smooth_motion(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Velocities and accelerations from positions: in each window a parabola through the central differences.

    Savitzky and Golay's filter (Analytical Chemistry 36, 1964), over ``SMOOTHING`` seconds: noise of one frame's
    size would otherwise dominate a second difference.

    Returns:
        qvel and qacc in MuJoCo's convention: linear part world, angular part body. Shapes (K, 6 + J).
    """
    from scipy.signal import savgol_filter

    velocity = true_velocities(clip)
    window = max(5, int(SMOOTHING * clip.fps) // 2 * 2 + 1)
    count, pad = len(clip), 0
    if len(clip) < window:
        return velocity, np.gradient(velocity, 1 / clip.fps, axis=0)
    if clip.loop:
        pad = window // 2
        turn = estimate_cycle(clip.qpos)[2]
        before, after = velocity[-pad:].copy(), velocity[:pad].copy()
        before[:, :2], after[:, :2] = rotate2(-turn, before[:, :2]), rotate2(turn, after[:, :2])
        velocity = np.concatenate([before, velocity, after])
    smooth = np.asarray(savgol_filter(velocity, window, 2, axis=0))
    acceleration = np.asarray(savgol_filter(velocity, window, 2, deriv=1, delta=1 / clip.fps, axis=0))
    return smooth[pad : pad + count], acceleration[pad : pad + count]
