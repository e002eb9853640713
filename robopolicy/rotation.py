"""Quaternions (wxyz, unit length) on torch tensors; the last axis holds the components."""

import torch
from torch import Tensor


def rotate(q: Tensor, v: Tensor) -> Tensor:
    """Vector ``v`` (..., 3) turned by ``q`` (..., 4): from the body's frame to the world's."""
    w, u = q[..., :1], q[..., 1:]
    t = 2.0 * _cross(u, v)
    return v + w * t + _cross(u, t)


def rotate_inverse(q: Tensor, v: Tensor) -> Tensor:
    """Vector ``v`` (..., 3) turned back by ``q`` (..., 4): from the world's frame to the body's."""
    w, u = q[..., :1], q[..., 1:]
    t = 2.0 * _cross(u, v)
    return v - w * t + _cross(u, t)


def gravity_direction(q: Tensor) -> Tensor:
    """Direction of gravity, (0, 0, -1) in the world, seen in the body's frame. Shape (..., 3)."""
    w, x, y, z = q.unbind(-1)
    return torch.stack((2 * (w * y - x * z), -2 * (w * x + y * z), 2 * (x * x + y * y) - 1), dim=-1)


def yaw(q: Tensor) -> Tensor:
    """Heading [rad] about the world's z. Shape (...)."""
    w, x, y, z = q.unbind(-1)
    return torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def to_heading(q: Tensor, v: Tensor) -> Tensor:
    """World vector ``v`` (..., 3) in the frame that shares only the body's heading. Shape (..., 3)."""
    angle = yaw(q)
    c, s = torch.cos(angle), torch.sin(angle)
    x, y, z = v.unbind(-1)
    return torch.stack((c * x + s * y, c * y - s * x, z), dim=-1)


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
