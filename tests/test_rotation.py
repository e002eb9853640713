"""Rotations against MuJoCo's own quaternion functions."""

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from robopolicy.rotation import (
    from_rotation_vector,
    matrix,
    multiply,
)

K = 50


def quaternions(seed: int = 0) -> np.ndarray:
    """Random orientations, wxyz, of both signs; the first are the identity and half turns. Shape (K, 4)."""
    q = np.random.default_rng(seed).normal(size=(K, 4))
    q[:4] = np.eye(4)
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def vectors(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(K, 3))


def each(function: Callable[..., None], size: int, *rows: np.ndarray, **more: Any) -> np.ndarray:
    """MuJoCo's function of every row."""
    out = np.empty((len(rows[0]), size))
    for k, args in enumerate(zip(*rows, strict=True)):
        function(out[k], *args, **more)
    return out


def matrices(q: np.ndarray) -> np.ndarray:
    return each(mujoco.mju_quat2Mat, 9, q).reshape(-1, 3, 3)


def same(value: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(value.numpy(), expected, atol=1e-12)


Q, V = torch.as_tensor(quaternions()), torch.as_tensor(vectors())


def test_matrix():
    same(matrix(Q), matrices(Q.numpy()))


def test_rows_times_the_matrix_turn_back_into_the_body():
    inverse = each(mujoco.mju_negQuat, 4, Q.numpy())
    expected = each(lambda out, v, q: mujoco.mju_rotVecQuat(out, v, q), 3, V.numpy(), inverse)
    same((V[:, None] @ matrix(Q)).squeeze(1), expected)


def test_multiply():
    other = torch.as_tensor(quaternions(5))
    same(multiply(Q, other), each(mujoco.mju_mulQuat, 4, Q.numpy(), other.numpy()))
    same(matrix(multiply(Q, other)), (matrix(Q) @ matrix(other)).numpy())


def test_from_rotation_vector():
    v = vectors(3) * np.linspace(0.01, 3, K)[:, None]
    angle = np.linalg.norm(v, axis=1)
    expected = each(mujoco.mju_axisAngle2Quat, 4, v / angle[:, None], angle)
    same(from_rotation_vector(torch.as_tensor(v)), expected)


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e-9, 1e-4])
def test_small_rotation_vectors(size: float):
    q = from_rotation_vector(torch.tensor([size, 0.0, 0.0]))
    assert q.isfinite().all()
    torch.testing.assert_close(q, torch.tensor([1.0, size / 2, 0.0, 0.0]))


@pytest.mark.parametrize(
    "function",
    [
        lambda q, v: matrix(q),
        lambda q, v: multiply(q, q),
        lambda q, v: from_rotation_vector(v),
    ],
)
def test_any_leading_shape_and_single_precision(function: Callable[[Tensor, Tensor], Tensor]):
    q, v = Q[:48].float(), V[:48].float()
    flat = function(q, v)
    assert flat.dtype == torch.float32
    torch.testing.assert_close(function(q.view(2, 4, 6, 4), v.view(2, 4, 6, 3)).flatten(0, 2), flat)
    torch.testing.assert_close(function(q[0], v[0]), flat[0])
    torch.testing.assert_close(flat.double(), function(Q[:48], V[:48]), atol=2e-6, rtol=1e-5)
