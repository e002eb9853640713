"""What of a body's motion is carried over to another body: where its pelvis, feet, chest, head and arms go."""

from dataclasses import dataclass

import numpy as np

from robopolicy.motion.pose import continuous, heading, quat_conj, quat_from_euler, quat_mul, quat_rotate

LEGS = {2: ("left", "right"), 4: ("front left", "front right", "rear left", "rear right")}
"""Order of the feet."""


@dataclass(frozen=True)
class Landmarks:
    """K frames of a body with F feet on flat ground at z = 0. Bodies' axes: x forward, y left, z up when it stands.

    Attributes:
        name: Short name, for messages.
        fps: Frames per second.
        base: Middle of the hip joints, world [m]. Shape (K, 3).
        turn: Rotation of the pelvis, or of a quadruped's trunk, wxyz. Shape (K, 4).
        height: Height of ``base`` over the ground when the body stands [m].
        feet: Point at the middle of each sole, world [m]; z = 0 where it stands. Shape (K, F, 3).
        soles: Rotation of each sole, or None for ball feet and bare points. Shape (K, F, 4).
        sole: Length of a sole [m]; 0 for ball feet and bare points.
        neutral: Where each foot stands under ``base`` at rest, x and y in the heading frame [m]. Shape (F, 2).
        knees: World [m], or None. Shape (K, F, 3).
        chest: Rotation, or None. Shape (K, 4).
        head: Rotation, or None. Shape (K, 4).
        arms: Directions of the upper arms and forearms, left then right, unit vectors in the world; or None. Shape
            (K, 2, 2, 3).
        loop: The motion goes on from its last frame to its first.
        phase: Gait phase in [0, 1), or None where there is none. Shape (K,).
        source: Where it comes from, for people.
    """

    name: str
    fps: float
    base: np.ndarray
    turn: np.ndarray
    height: float
    feet: np.ndarray
    soles: np.ndarray | None
    sole: float
    neutral: np.ndarray
    knees: np.ndarray | None = None
    chest: np.ndarray | None = None
    head: np.ndarray | None = None
    arms: np.ndarray | None = None
    loop: bool = False
    phase: np.ndarray | None = None
    source: str = ""

    def __len__(self) -> int:
        return len(self.base)


def frame(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Rotation whose y axis is ``left`` and whose z axis is as near to ``up`` as that allows. (..., 3) -> (..., 4)."""
    y = left / np.linalg.norm(left, axis=-1, keepdims=True)
    x = np.cross(y, up)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return from_axes(x, y, np.cross(x, y))


def from_axes(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Quaternion of the rotation with these axes, without sign flips along the first dimension. (K, 3) -> (K, 4)."""
    m = np.stack([x, y, z], axis=-1)
    # The largest of the four ways to take the root keeps clear of division by zero (Shepperd, 1978).
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    parts = np.stack([trace, m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], axis=-1)
    q = np.empty((*trace.shape, 4, 4))
    d = {(i, j): m[..., i, j] - m[..., j, i] for i in range(3) for j in range(3)}
    s = {(i, j): m[..., i, j] + m[..., j, i] for i in range(3) for j in range(3)}
    q[..., 0, :] = np.stack([1 + trace, d[2, 1], d[0, 2], d[1, 0]], axis=-1)
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
        row = [d[k, j], None, None, None]
        row[1 + i], row[1 + j], row[1 + k] = 1 + 2 * m[..., i, i] - trace, s[i, j], s[i, k]
        q[..., 1 + i, :] = np.stack(row, axis=-1)
    best = np.take_along_axis(q, parts.argmax(axis=-1)[..., None, None], axis=-2)[..., 0, :]
    return continuous(best / np.linalg.norm(best, axis=-1, keepdims=True))


def mean_rotation(quat: np.ndarray) -> np.ndarray:
    """The rotation nearest to all of these (Markley et al., "Averaging quaternions", 2007). (K, 4) -> (4,)."""
    return np.linalg.eigh(quat.T @ quat)[1][:, -1]


def lean(quat: np.ndarray) -> np.ndarray:
    """Forward tilt of a body's z axis, in its own heading [rad]; positive nose down. (K, 4) -> (K,)."""
    up = quat_rotate(quat, np.array([0.0, 0.0, 1.0]))
    yaw = heading(quat)
    return np.arctan2(np.cos(yaw) * up[:, 0] + np.sin(yaw) * up[:, 1], up[:, 2])


def pitched(quat: np.ndarray, angle: float) -> np.ndarray:
    """The rotations, each first turned about its own y axis by a constant angle [rad]. Shape (K, 4)."""
    return quat_mul(quat, quat_from_euler(0.0, angle, 0.0))


def facing(quat: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Rotations of a body whose own axes are unknown, with axes such that on average it faces as the reference does."""
    offset = mean_rotation(quat_mul(quat_conj(reference), quat))
    return quat_mul(quat, quat_conj(offset))
