"""Quaternions and planar poses against MuJoCo and against matrices."""

import mujoco
import numpy as np

from robopolicy.motion import pose

RNG = np.random.default_rng(0)


def quats(n: int) -> np.ndarray:
    q = RNG.normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def test_product_rotation_and_logarithm_are_mujocos():
    for a, b, v in zip(quats(20), quats(20), RNG.normal(size=(20, 3)), strict=True):
        product, rotated, log = np.empty(4), np.empty(3), np.empty(3)
        mujoco.mju_mulQuat(product, a, b)
        mujoco.mju_rotVecQuat(rotated, v, a)
        mujoco.mju_quat2Vel(log, a, 1.0)
        np.testing.assert_allclose(pose.quat_mul(a, b), product, atol=1e-12)
        np.testing.assert_allclose(pose.quat_rotate(a, v), rotated, atol=1e-12)
        np.testing.assert_allclose(pose.quat_log(a), log, atol=1e-9)


def test_exp_inverts_log_also_for_tiny_angles():
    for angle in (0.0, 1e-14, 1e-7, 0.3, 3.1):
        v = angle * np.array([2.0, -1.0, 2.0]) / 3
        np.testing.assert_allclose(pose.quat_log(pose.quat_exp(v)), v, atol=1e-12)


def test_slerp_takes_the_short_way_at_constant_speed():
    a, b = pose.quat_exp(np.array([0, 0, 0.2])), -pose.quat_exp(np.array([0, 0, 1.0]))
    middle = pose.quat_slerp(a, b, np.array(0.25))
    np.testing.assert_allclose(np.abs(middle), np.abs(pose.quat_exp(np.array([0, 0, 0.4]))), atol=1e-12)


def test_difference_is_mujocos(droid):
    mj = droid.mj
    for _ in range(10):
        a, b = RNG.normal(size=(2, mj.nq))
        a[3:7], b[3:7] = quats(2)
        expected = np.empty(mj.nv)
        mujoco.mj_differentiatePos(mj, expected, 1.0, a, b)
        np.testing.assert_allclose(pose.difference(a, b), expected, atol=1e-9)


def test_planar_poses_compose_as_matrices():
    def matrix(p):
        c, s = np.cos(p[2]), np.sin(p[2])
        return np.array([[c, -s, p[0]], [s, c, p[1]], [0, 0, 1]])

    a, b = np.array([0.3, -0.2, 0.7]), np.array([-1.0, 0.4, 2.0])
    np.testing.assert_allclose(matrix(pose.compose2(a, b)), matrix(a) @ matrix(b), atol=1e-12)
    np.testing.assert_allclose(matrix(pose.inverse2(a)), np.linalg.inv(matrix(a)), atol=1e-12)
    np.testing.assert_allclose(matrix(pose.power2(a, 3)), np.linalg.matrix_power(matrix(a), 3), atol=1e-12)


def test_move_turns_the_base_about_the_world():
    q = np.concatenate([[1.0, 0.0, 0.3], pose.quat_from_euler(0.1, -0.2, 0.5), [0.7]])
    moved = pose.move(q, np.array([0.0, 2.0, np.pi / 2]))
    np.testing.assert_allclose(moved[:3], [0.0, 3.0, 0.3], atol=1e-12)
    np.testing.assert_allclose(moved[3:7], pose.quat_from_euler(0.1, -0.2, 0.5 + np.pi / 2), atol=1e-12)
    assert moved[7] == 0.7


def test_heading_ignores_tilt():
    assert np.isclose(pose.heading(pose.quat_from_euler(0.4, -0.6, 2.5)), 2.5)
