"""A cubic spline through keys, continuous in value and velocity."""

from collections.abc import Sequence

import numpy as np

Key = tuple[float, float, str | float]
"""Time [s], value, and how to pass: an ease, or the slope there."""


def spline(keys: Sequence[Key], times: np.ndarray, cycle: float | None = None) -> np.ndarray:
    """Cubic Hermite interpolation of keys, continuous in value and velocity.

    Args:
        keys: In order of time.
        times: Where to evaluate [s]. Shape (K,).
        cycle: Duration after which the keys repeat [s]; None holds the first and the last value.

    Returns:
        Shape (K,).
    """
    if len(keys) == 1:
        return np.full(len(times), keys[0][1])
    if cycle is not None:
        times = np.mod(times, cycle)
        keys = [
            *((t - cycle, v, e) for t, v, e in keys[-2:]),
            *keys,
            *((t + cycle, v, e) for t, v, e in keys[:2]),
        ]
    t, v = np.array([k[0] for k in keys]), np.array([k[1] for k in keys])
    tangent = _tangents(keys, t, v)
    i = np.clip(np.searchsorted(t, times, side="right") - 1, 0, len(keys) - 2)
    h = t[i + 1] - t[i]
    s = np.clip((times - t[i]) / h, 0.0, 1.0)
    return (
        (2 * s**3 - 3 * s**2 + 1) * v[i]
        + (s**3 - 2 * s**2 + s) * h * tangent[i]
        + (3 * s**2 - 2 * s**3) * v[i + 1]
        + (s**3 - s**2) * h * tangent[i + 1]
    )


def _tangents(keys: Sequence[Key], t: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Slope at every key; an open track starts and ends at rest. Shape as keys."""
    slope = np.diff(v) / np.diff(t)
    tangent = np.zeros(len(keys))
    for i, (_, _, ease) in enumerate(keys):
        if isinstance(ease, float):
            tangent[i] = ease
        elif not 0 < i < len(keys) - 1:
            continue
        elif ease == "flow":  # Catmull and Rom, 1974, for keys at uneven times
            tangent[i] = (v[i + 1] - v[i - 1]) / (t[i + 1] - t[i - 1])
        elif ease == "smooth" and slope[i - 1] * slope[i] > 0:  # Fritsch and Butland, 1984: monotone, no overshoot
            w = (1 + (t[i + 1] - t[i]) / (t[i + 1] - t[i - 1])) / 3
            tangent[i] = slope[i - 1] * slope[i] / (w * slope[i] + (1 - w) * slope[i - 1])
    return tangent
