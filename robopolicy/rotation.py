"""Quaternions (wxyz, unit length) on torch tensors; the last axis holds the components."""

import numpy as np
import torch
from torch import Tensor

from robopolicy.constants import constant


def _from_products() -> tuple[float, ...]:
    """How the nine entries of a rotation matrix come from the sixteen products of a quaternion's components."""
    w, x, y, z = range(4)
    table = np.zeros((4, 4, 3, 3))
    for i, axis in enumerate((x, y, z)):
        for other in (w, x, y, z):
            table[other, other, i, i] = 1.0 if other in (w, axis) else -1.0
    for i, j, k, sign in ((0, 1, z, -1.0), (0, 2, y, 1.0), (1, 2, x, -1.0)):  # R_ij = 2 (q_i q_j + sign w q_k)
        for row, column, turn in ((i, j, sign), (j, i, -sign)):
            table[1 + i, 1 + j, row, column] = 2.0
            table[w, k, row, column] = 2.0 * turn
    return tuple(map(float, table.ravel()))


_FROM_PRODUCTS = _from_products()


def matrix(q: Tensor) -> Tensor:
    """Rotation matrix of ``q`` (..., 4), from the body's frame to the world's. Shape (..., 3, 3).

    ``v @ matrix(q)`` turns rows of vectors back into the body's frame, any number for the price of one.
    """
    products = (q.unsqueeze(-1) * q.unsqueeze(-2)).flatten(-2)
    # Two operations instead of the formula's thirty, each of which costs microseconds whatever its size.
    return (products @ constant(_FROM_PRODUCTS, q.device).to(q.dtype).view(16, 9)).unflatten(-1, (3, 3))


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
