"""What one policy shows about the style it was trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from robopolicy.motion.contacts import circular_mean, strides
from robopolicy.motion.metrics import cost_of_transport, dtw_pose_error
from robopolicy.motion.pose import heading, rotate2
from robopolicy.style.classifier import fresh_auc, stride_groups, window_groups
from robopolicy.style.distances import Yardstick
from robopolicy.style.motions import ClipSet, Motion

_SEGMENT_S = 1.0  # motions are warped onto the clips in pieces of this length, or half a clip if that is shorter
_WALKING = 0.08  # slower commands have no cost of transport [m/s]


@dataclass(frozen=True)
class Gait:
    """A gait in a few numbers; None where nobody steps.

    Attributes:
        strides: How many were seen.
        frequency_hz: Strides per second.
        duty: Part of a stride in which each foot is down. Length F.
        phase: When each foot touches down after the first one, in parts of a stride. Length F.
        phase_spread: Its circular standard deviation. Length F.
    """

    strides: int
    frequency_hz: float | None
    duty: list[float] | None
    phase: list[float | None] | None
    phase_spread: list[float | None] | None


@dataclass(frozen=True)
class Measures:
    """A policy against clips, see ``ClipSet.held_out``, under their velocities. None where there is nothing to tell.

    Attributes:
        frechet, mmd, movement: Distances of windows of motion, see ``Distance``.
        dtw_rad: Pose error along a time-warping path, a second missing after a fall counting as an error of 1 rad.
        auc_windows: Of a fresh classifier on windows of motion.
        auc_strides: The same on duty factors, stride frequency and phases of the feet.
        cost_of_transport: Work per weight and way.
        survival: Share of the episodes without a fall.
        gait: How the feet step.
    """

    frechet: float | None
    mmd: float | None
    movement: float | None
    dtw_rad: float | None
    auc_windows: float | None
    auc_strides: float | None
    cost_of_transport: float | None
    survival: float
    gait: Gait

    def as_dict(self) -> dict:
        """As plain values, for JSON."""
        return asdict(self)


def measure(motions: Sequence[Motion], clips: ClipSet, yardstick: Yardstick, mass: float, seed: int = 0) -> Measures:
    """Compare motions with clips, see ``ClipSet.held_out``.

    Args:
        motions: Of a policy, under the clips' velocities; or a perfect copy of the clips, for what that would score.
        clips: What to compare with.
        yardstick: In whose deviations.
        mass: The robot's [kg].
        seed: Of the classifiers.
    """
    dt, names = yardstick.dt, clips.names
    distance = yardstick.distance(motions, clips.held_out, names)
    return Measures(
        frechet=distance.frechet if distance else None,
        mmd=distance.mmd if distance else None,
        movement=distance.movement if distance else None,
        dtw_rad=pose_error(motions, clips, dt),
        auc_windows=fresh_auc(window_groups(clips.held_out, names, dt), window_groups(motions, names, dt), seed),
        auc_strides=fresh_auc(stride_groups(clips.held_out, names, dt), stride_groups(motions, names, dt), seed),
        cost_of_transport=transport(motions, mass),
        survival=float(np.mean([m.missing == 0 for m in motions])),
        gait=gait(motions, dt),
    )


def pose_error(motions: Sequence[Motion], clips: ClipSet, dt: float) -> float | None:
    """Mean over the clips of ``dtw_pose_error`` of the motions at their velocities [rad]."""
    errors = []
    for clip in clips.held_out:
        own = [m for m in motions if m.clip == clip.clip]
        length = max(2, min(round(_SEGMENT_S / dt), len(clip) // 2))
        pieces = [m.joints[a : a + length] for m in own for a in range(0, len(m) - length + 1, length)]
        table = np.array(pieces) if pieces else np.empty((0, length, clip.joints.shape[1]))
        if own:
            errors.append(dtw_pose_error(table, clip.joints, sum(m.missing for m in own)))
    found = [e for e in errors if np.isfinite(e)]
    return float(np.mean(found)) if found else None


def transport(motions: Sequence[Motion], mass: float) -> float | None:
    """Cost of transport of all motions that were told to travel; None where none did."""
    power, speed = [], []
    for m in motions:
        if m.power is not None and m.speed >= _WALKING and len(m):
            power.append(m.power)
            speed.append(np.full(len(m), mean_speed(m)))
    if not power:
        return None
    cost = cost_of_transport(np.concatenate(power), np.concatenate(speed), mass)
    return cost if np.isfinite(cost) else None


def mean_speed(motion: Motion) -> float:
    """Length of the mean velocity in the heading frame: the sway of steps is no way [m/s]."""
    return float(np.linalg.norm(rotate2(-heading(motion.qpos[:, 3:7]), motion.qvel[:, :2]).mean(0)))


def gait(motions: Sequence[Motion], dt: float) -> Gait:
    """Footfalls of all motions together."""
    found = [strides(m.contact, dt) for m in motions if len(m) > 1]
    count = sum(len(s.start) for s in found)
    if not count:
        return Gait(0, None, None, None, None)
    period = np.concatenate([s.period for s in found])
    phase, spread = circular_mean(np.concatenate([s.phase for s in found]))
    return Gait(
        strides=count,
        frequency_hz=float(count / period.sum()),
        duty=np.concatenate([s.duty for s in found]).mean(0).tolist(),
        phase=_known(phase),
        phase_spread=_known(spread),
    )


def _known(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]
