"""A wrong rate: frames per second that physics, or the clip's own velocities, contradict.

Three witnesses, each silent where it knows nothing:

* **velocities**: if qvel is one and the same multiple of the positions' rate of change in every group of columns,
  it was written for that multiple of the rate;
* **free fall**: in flight the centre of mass falls at 9.81 m/s^2 whatever the robot does; falling at ``a`` means
  that the clip runs ``sqrt(a / 9.81)`` times too fast;
* **strides**: a leg is a pendulum, so legs of length ``l`` step at a rate that goes with ``sqrt(g / l)``. Over
  animals of all sizes the stride frequency times ``sqrt(l / g)`` is about 0.2 to 0.45, and grows with a small power
  of the Froude number ``v^2 / (g l)`` (Alexander and Jayes, A dynamic similarity hypothesis for the gaits of
  quadrupedal mammals, Journal of Zoology 201, 1983: relative stride 2.4 Fr^0.34, so frequency 0.42 Fr^0.16).
  Only a rhythm far outside speaks, and for slowness only if the swings are slow too: a person may step seldom. That it
  is slow is a note, unless there is another witness or the frames repeat regularly: at its own pace the stride of a
  large walker is slow on the legs of a small robot.
"""

from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check.defect import Defect, runs
from robopolicy.motion.check.duplicates import duplicated
from robopolicy.motion.check.steps import true_velocities
from robopolicy.motion.check.trace import Trace, follow
from robopolicy.motion.check.velocity import GROUPS
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import FLIGHT_HEIGHT
from robopolicy.motion.pose import heading, rotate2

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

GRAVITY = 9.81
"""[m/s^2]"""
RATE_ERROR = 0.1
"""Velocities within this of the positions' rate, relatively, do not contradict it."""
FALL_RANGE = (0.65, 1.5)
"""Times the true rate that a fall may look like: a flight is short, and noisy."""
LONGEST_FLIGHT = 1.0
"""Being up for longer is no flight, but a floating clip [s]."""
BIPED_STRIDES = (0.15, 0.47)
"""Stride frequency times sqrt(l / g) of two legs."""
QUADRUPED_STRIDES = (0.205, 0.6)
"""... of four or more; recorded dogs trot and pace at 0.22 to 0.26."""
CARRYING = 0.78
"""A quadruped with more of its feet down is in balance at every moment, so it may be as slow as it likes."""
SLOW_SWING = 1.2
"""Duration of a slow swing, over sqrt(l / g)."""
FAST_FROUDE = 0.5
"""Froude number above which the highest stride frequency grows, with its power 0.16 (runs)."""
FEWEST_STRIDES = 4
"""Fewer strides, all feet together, are no rhythm."""


def wrong_rate(clip: Clip, trace: Trace, model: "RobotModel") -> list[Defect]:
    """The rate's contradictions, with the evidence; or a note that its strides are slow."""
    evidence = [found for found in (_velocities(clip), _fall(clip, trace)) if found]
    strides, slow = _strides(clip, trace, model)
    period = duplicated(clip)[1] if slow else 0
    every = tuple(range(len(clip)))
    if slow and not evidence and not period:
        return [Defect("slow strides", every, strides)]
    evidence += [strides] if strides else []
    evidence += [f"every {period}. frame repeats the one before"] if period else []
    if not evidence:
        return []
    return [Defect("wrong rate", every, f"labelled {clip.fps:.4g} frames per second, but {', and '.join(evidence)}")]


def rhythm_contradicts(clip: Clip, model: "RobotModel") -> bool:
    """Whether a fall or the strides, which know nothing of the stored velocities, speak against the rate."""
    trace = follow(clip, model)
    return bool(_fall(clip, trace) or _strides(clip, trace, model)[0])


def velocity_factor(clip: Clip) -> float | None:
    """Multiple of the labelled rate that all of the clip's velocities were written for; None if they do not agree."""
    truth = true_velocities(clip)
    factors = []
    for columns in GROUPS.values():
        given, t = clip.qvel[:, columns], truth[:, columns]
        size = float((t**2).mean()) if t.size else 0.0
        if size < 1e-4:
            continue
        factor = float((given * t).sum() / (t**2).sum())
        if ((given - factor * t) ** 2).mean() > (RATE_ERROR * factor) ** 2 * size:
            return None
        factors.append(factor)
    if not factors or min(factors) <= 0 or max(factors) / min(factors) > 1 + RATE_ERROR:
        return None
    return float(np.median(factors))


def _velocities(clip: Clip) -> str:
    factor = velocity_factor(clip)
    if factor is None or abs(factor - 1) < RATE_ERROR:
        return ""
    return f"its velocities are all {factor:.2f} times the positions' rate of change, as at {clip.fps * factor:.4g}"


def _fall(clip: Clip, trace: Trace) -> str:
    """Curvature of the centre of mass's height while every foot is up."""
    factors = []
    for start, end in runs(trace.heights.min(axis=1) > FLIGHT_HEIGHT):
        count = end - start
        if count < 5 or count / clip.fps > LONGEST_FLIGHT or start == 0 or end == len(clip):
            continue
        t, z = (np.arange(count) - (count - 1) / 2) / clip.fps, trace.com[start:end, 2]
        curve = np.polyfit(t, z, 2)
        sag = -curve[0] * t[-1] ** 2
        if sag > 0.01 and np.abs(z - np.polyval(curve, t)).max() < 0.1 * sag:
            factors.append(np.sqrt(-2 * curve[0] / GRAVITY))
    factor = float(np.median(factors)) if factors else 1.0
    if FALL_RANGE[0] < factor < FALL_RANGE[1]:
        return ""
    return (
        f"in {len(factors)} flights its centre of mass falls at {GRAVITY * factor**2:.3g} m/s^2, "
        f"as at {clip.fps / factor:.4g}"
    )


def _strides(clip: Clip, trace: Trace, model: "RobotModel") -> tuple[str, bool]:
    """What is odd about the strides, empty if nothing, and whether it is that they are slow."""
    found = stride(clip, trace)
    if found is None:
        return "", False
    period, swing, carried = found
    length = float(model.home_qpos[2])
    unit = np.sqrt(length / GRAVITY)
    legs = trace.heights.shape[1]
    low, high = BIPED_STRIDES if legs <= 2 else QUADRUPED_STRIDES
    ahead = rotate2(-heading(clip.qpos[:-1, 3:7]), np.diff(clip.qpos[:, :2], axis=0))
    speed = float(np.linalg.norm(ahead.mean(axis=0))) * clip.fps
    froude = speed**2 / (GRAVITY * length)
    high *= max(1.0, froude / FAST_FROUDE) ** 0.16
    frequency = unit / period
    slow = frequency < low and swing > SLOW_SWING * unit and (legs <= 2 or carried < CARRYING)
    if not slow and frequency < high:
        return "", False
    return (
        f"a stride takes {period:.3g} s on legs of {length:.2g} m at {speed:.2g} m/s (Froude number {froude:.2g}): "
        f"{frequency:.2g} sqrt(g / l) per second, legs swing at {low:.2g} to {high:.2g}"
    ), slow


def stride(clip: Clip, trace: Trace) -> tuple[float, float, float] | None:
    """A gait's rhythm, from the feet's heights.

    A foot is up above 35 % of its lift and down below 15 % of it.

    Returns:
        Time from one touchdown of a foot to its next [s], time that a swing takes [s], and the mean share of feet
        that are down; None if the feet do not step in turn, regularly, or often enough.
    """
    heights = np.concatenate([trace.heights] * 3) if clip.loop else trace.heights
    low, top = np.percentile(trace.heights, [5, 98], axis=0)
    lift = top - low
    if (lift < 0.01).any() or lift.min() < 0.2 * lift.max():
        return None
    up = np.stack([_hysteresis(h) for h in ((heights - low) / lift).T], axis=1)
    every = up.all(axis=1)
    if every.sum() > 0.5 * up.any(axis=1).sum():
        return None  # hops
    periods, swings = [], []
    for foot in up.T:
        spells = runs(foot)
        spells = spells[(spells[:, 0] > 0) & (spells[:, 1] < len(foot))]
        periods += list(np.diff(spells[:, 1]))
        swings += list(spells[:, 1] - spells[:, 0])
    if len(periods) < FEWEST_STRIDES:
        return None
    usual = float(np.median(periods))
    if np.mean(np.abs(np.array(periods) - usual) < 0.3 * usual) < 0.7:
        return None
    return usual / clip.fps, float(np.median(swings)) / clip.fps, float(1 - up.mean())


def _hysteresis(share: np.ndarray) -> np.ndarray:
    """True from above 0.35 until below 0.15."""
    known = np.where(share > 0.35, 1, np.where(share < 0.15, 0, -1))
    last = np.maximum.accumulate(np.where(known >= 0, np.arange(len(known)), 0))
    return known[last] == 1
