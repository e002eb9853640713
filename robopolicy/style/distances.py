"""How far a policy's motions are from clips: windows of motion, in deviations of the clips, as two samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from robopolicy.evaluate import style_features
from robopolicy.motion.metrics import frechet_distance, median_distance, mmd
from robopolicy.style.motions import ClipSet, Motion

WINDOW = 8
"""Frames of a window."""
SPACING_S = 0.02
"""Time between them [s]: a window shows 0.14 s."""
_SAMPLES = 3000  # windows of all clips together
_LEAST = (0.02, 0.02, 0.05, 0.2, 0.2)  # deviations below this count as this: angles, gravity, m/s, rad/s, joints' rad/s


@dataclass(frozen=True)
class Distance:
    """Between two samples of windows.

    Attributes:
        frechet: Fréchet distance.
        mmd: Squared maximum mean discrepancy.
        movement: Fréchet distance of the windows less their own means: what changes within them, whatever the posture.
    """

    frechet: float
    mmd: float
    movement: float


def windows(motion: Motion, dt: float) -> np.ndarray:
    """Runs of ``WINDOW`` frames, each described as ``evaluate.style_features`` does. Shape (M, WINDOW * D)."""
    features = style_features(torch.from_numpy(motion.qpos), torch.from_numpy(motion.qvel)).numpy()
    spacing = max(1, round(SPACING_S / dt))
    count = len(features) - (WINDOW - 1) * spacing
    if count < 1:
        return np.empty((0, WINDOW * features.shape[1]))
    return np.concatenate([features[k * spacing : k * spacing + count] for k in range(WINDOW)], axis=1)


def sample(motions: Sequence[Motion], clips: Sequence[str], dt: float) -> np.ndarray:
    """Windows of motions, of every clip as many as of any other. Shape (M, WINDOW * D)."""
    each = max(20, _SAMPLES // len(clips))
    chosen = []
    for clip in clips:
        found = np.concatenate([windows(m, dt) for m in motions if m.clip == clip] or [windows(motions[0], dt)[:0]])
        if len(found):
            chosen.append(found[np.linspace(0, len(found) - 1, each).round().astype(int)])
    return np.concatenate(chosen) if chosen else windows(motions[0], dt)[:0]


class Yardstick:
    """Measures distances to clips, in the deviations of windows of one or several sets of them.

    Args:
        sets: Whose deviations; the width of the MMD's kernel is their windows' median distance.
        dt: Control period [s].
    """

    def __init__(self, sets: Sequence[ClipSet], dt: float):
        self.dt = dt
        table = np.concatenate([sample(s.held_out, s.names, dt) for s in sets])
        if len(table) < 2:
            raise ValueError("the clips are too short for a window")
        joints = sets[0].held_out[0].joints.shape[1]
        sizes = (joints, 3, 3, 3, joints)
        least = np.tile(np.repeat(_LEAST, sizes), WINDOW)
        self.mean, self.std = table.mean(0), np.maximum(table.std(0), least)
        self.width = median_distance((table - self.mean) / self.std)

    def sample(self, motions: Sequence[Motion], clips: Sequence[str]) -> np.ndarray:
        """Windows in deviations. Shape (M, WINDOW * D)."""
        return (sample(motions, clips, self.dt) - self.mean) / self.std

    def distance(self, motions: Sequence[Motion], clips: Sequence[Motion], names: Sequence[str]) -> Distance | None:
        """From a policy's motions to clips; None where all fell before anything could be seen.

        Args:
            motions: Of the policy, under the clips' velocities.
            clips: What to compare with.
            names: The clips' names.
        """
        a, b = self.sample(motions, names), self.sample(clips, names)
        if len(a) < 2:
            return None
        return Distance(frechet_distance(a, b), mmd(a, b, self.width), frechet_distance(_movement(a), _movement(b)))


def _movement(rows: np.ndarray) -> np.ndarray:
    frames = rows.reshape(len(rows), WINDOW, -1)
    return (frames - frames.mean(1, keepdims=True)).reshape(rows.shape)
