"""Quaternions (wxyz, unit length) on torch tensors; the last axis holds the components."""

import torch
from torch import Tensor


def rotate_inverse(q: Tensor, v: Tensor) -> Tensor:
    """Vector ``v`` (..., 3) turned back by ``q`` (..., 4): from the world's frame to the body's."""
    w, u = q[..., :1], q[..., 1:]
    t = 2.0 * _cross(u, v)
    return v - w * t + _cross(u, t)


def matrix(q: Tensor) -> Tensor:
    """Rotation matrix of ``q`` (..., 4), from the body's frame to the world's. Shape (..., 3, 3).

    ``v @ matrix(q)`` turns rows of vectors back into the body's frame, any number for the price of one.
    """
    w, x, y, z = q.unbind(-1)
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    xx, yy, zz, xy, xz, yz = x * x2, y * y2, z * z2, x * y2, x * z2, y * z2
    wx, wy, wz = w * x2, w * y2, w * z2
    rows = (1 - yy - zz, xy - wz, xz + wy, xy + wz, 1 - xx - zz, yz - wx, xz - wy, yz + wx, 1 - xx - yy)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product: first ``b``, then ``a``. Shape (..., 4)."""
    w1, x1, y1, z1 = a.unbind(-1)
    w2, x2, y2, z2 = b.unbind(-1)
    return torch.stack(
        (
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ),
        dim=-1,
    )


def from_rotation_vector(v: Tensor) -> Tensor:
    """Quaternion of the rotation vector ``v`` (..., 3) [rad]. Shape (..., 4)."""
    angle = v.norm(dim=-1, keepdim=True)
    half = 0.5 * angle
    # sin(a/2)/a, with its limit 1/2 at zero.
    return torch.cat((torch.cos(half), v * (0.5 * torch.sinc(half / torch.pi))), dim=-1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product; several times faster than torch.linalg.cross on CPU."""
    a0, a1, a2 = a.unbind(-1)
    b0, b1, b2 = b.unbind(-1)
    return torch.stack((a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0), dim=-1)
