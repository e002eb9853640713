"""Quaternions (wxyz) and planar poses, vectorised over leading axes."""

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray


def quat_mul(a: Array, b: Array) -> Array:
    """Hamilton product ``a * b``. Shapes (..., 4), (..., 4) -> (..., 4)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conj(q: Array) -> Array:
    """The inverse of a unit quaternion. Shape (..., 4)."""
    return np.asarray(q, float) * np.array([1.0, -1.0, -1.0, -1.0])


def quat_log(q: Array) -> Array:
    """Rotation vector of a unit quaternion, the short way round [rad]. Shape (..., 4) -> (..., 3)."""
    q = np.asarray(q, float)
    q = np.where(q[..., :1] < 0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)


def quat_exp(v: Array) -> Array:
    """Unit quaternion of a rotation vector [rad]. Shape (..., 3) -> (..., 4)."""
    v = np.asarray(v, float)
    half = 0.5 * np.linalg.norm(v, axis=-1, keepdims=True)
    return np.concatenate([np.cos(half), 0.5 * np.sinc(half / np.pi) * v], axis=-1)


def quat_rotate(q: Array, v: Array) -> Array:
    """Rotate vectors by unit quaternions. Shapes (..., 4), (..., 3) -> (..., 3)."""
    q, v = np.asarray(q, float), np.asarray(v, float)
    t = 2.0 * cross(q[..., 1:], v)
    return v + q[..., :1] * t + cross(q[..., 1:], t)


def cross(a: Array, b: Array) -> Array:
    """Vector product, several times as fast as ``np.cross``. Shapes (..., 3), (..., 3) -> (..., 3)."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def continuous(quat: np.ndarray) -> np.ndarray:
    """The same rotations without sign flips from one frame to the next. Shape (K, ..., 4)."""
    flips = (quat[1:] * quat[:-1]).sum(axis=-1) < 0
    sign = np.concatenate([np.ones((1, *flips.shape[1:])), np.where(np.cumsum(flips, axis=0) % 2, -1.0, 1.0)])
    return quat * sign[..., None]


def quat_slerp(a: Array, b: Array, t: Array) -> Array:
    """Spherical interpolation from ``a`` (t = 0) to ``b`` (t = 1), the short way. ``t`` has shape (...)."""
    return quat_mul(a, quat_exp(np.asarray(t)[..., None] * quat_log(quat_mul(quat_conj(a), b))))


def quat_from_euler(roll: ArrayLike, pitch: ArrayLike, yaw: ArrayLike) -> Array:
    """Quaternion of Rz(yaw) Ry(pitch) Rx(roll) [rad]. Shapes (...) -> (..., 4)."""
    r, p, y = np.broadcast_arrays(*(np.asarray(a, float) for a in (roll, pitch, yaw)))
    zero = np.zeros_like(r)
    about_x = quat_exp(np.stack([r, zero, zero], axis=-1))
    about_y = quat_exp(np.stack([zero, p, zero], axis=-1))
    about_z = quat_exp(np.stack([zero, zero, y], axis=-1))
    return quat_mul(about_z, quat_mul(about_y, about_x))


def heading(q: Array) -> Array:
    """Yaw of the body's x axis projected onto the ground [rad]. Shape (..., 4) -> (...)."""
    forward = quat_rotate(q, np.array([1.0, 0.0, 0.0]))
    return np.arctan2(forward[..., 1], forward[..., 0])


def rotate2(angle: Array, xy: Array) -> Array:
    """Turn planar vectors by angles [rad]. Shapes (...), (..., 2) -> (..., 2)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * xy[..., 0] - s * xy[..., 1], s * xy[..., 0] + c * xy[..., 1]], axis=-1)


def compose2(a: Array, b: Array) -> Array:
    """SE(2) product of planar poses [x, y, yaw] (m, m, rad). Shapes (..., 3), (..., 3) -> (..., 3)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    xy = a[..., :2] + rotate2(a[..., 2], b[..., :2])
    return np.concatenate([xy, a[..., 2:] + b[..., 2:]], axis=-1)


def power2(a: Array, n: int) -> Array:
    """A planar pose composed ``n`` times with itself. Shape (3,)."""
    out = np.zeros(3)
    for _ in range(n):
        out = compose2(out, a)
    return out


def inverse2(a: Array) -> Array:
    """The inverse of planar poses. Shape (..., 3)."""
    a = np.asarray(a, float)
    return np.concatenate([-rotate2(-a[..., 2], a[..., :2]), -a[..., 2:]], axis=-1)


def move(qpos: Array, motion: Array) -> Array:
    """Move base poses by a planar motion of the world, leaving height, tilt and joints alone.

    Args:
        qpos: Shape (..., nq), base position and quaternion first.
        motion: World motion [dx, dy, dyaw] (m, m, rad): rotation about the world origin, then translation.
            Shape (3,) or (..., 3).
    """
    qpos, motion = np.array(qpos, float), np.asarray(motion, float)
    qpos[..., :2] = motion[..., :2] + rotate2(motion[..., 2], qpos[..., :2])
    turn = np.zeros((*motion.shape[:-1], 3))
    turn[..., 2] = motion[..., 2]
    qpos[..., 3:7] = quat_mul(quat_exp(turn), qpos[..., 3:7])
    return qpos


def difference(first: Array, second: Array) -> Array:
    """Tangent vector from one configuration to another, as ``mujoco.mj_differentiatePos`` with dt = 1.

    Linear part in the world frame [m], angular part in the body frame [rad], then joints [rad].
    Shapes (..., 7 + J), (..., 7 + J) -> (..., 6 + J).
    """
    return np.concatenate(
        [
            second[..., :3] - first[..., :3],
            quat_log(quat_mul(quat_conj(first[..., 3:7]), second[..., 3:7])),
            second[..., 7:] - first[..., 7:],
        ],
        axis=-1,
    )
