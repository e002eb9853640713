"""The Fréchet distance against closed forms and against itself."""

import numpy as np
import pytest

from robopolicy.motion.metrics import frechet_distance


def normal(mean: np.ndarray, covariance: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Samples whose own mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x, rowvar=False)))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def spread(seed: int, dim: int = 4) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(dim, dim))
    return a @ a.T + 0.1 * np.eye(dim)


def test_a_sample_is_at_no_distance_from_itself():
    x = normal(np.arange(4.0), spread(0), 300)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0.0, abs=1e-6)  # order does not count


def test_a_shift_costs_its_square():
    shift = np.array([0.3, -0.4, 1.2, 0.0])
    covariance = spread(1)
    a, b = normal(np.zeros(4), covariance, 200), normal(shift, covariance, 500, seed=1)
    assert frechet_distance(a, b) == pytest.approx(shift @ shift, abs=1e-6)


def test_spreads_along_the_same_axes_cost_the_square_of_their_difference():
    one, two = np.array([1.0, 0.5, 2.0]), np.array([0.2, 0.5, 3.0])
    a, b = normal(np.zeros(3), np.diag(one**2), 100), normal(np.zeros(3), np.diag(two**2), 100, seed=1)
    assert frechet_distance(a, b) == pytest.approx(np.sum((one - two) ** 2), abs=1e-6)


def test_two_dimensions_by_their_closed_form():
    """trace((A B)^(1/2)) = sqrt(trace(A B) + 2 sqrt(det(A B))) for two dimensions."""
    a, b = spread(3, 2), spread(4, 2)
    mean = np.array([0.5, -1.0])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = mean @ mean + np.trace(a) + np.trace(b) - 2 * root
    assert frechet_distance(normal(np.zeros(2), a, 80), normal(mean, b, 90, 1)) == pytest.approx(expected, abs=1e-6)


def test_one_dimension():
    a, b = normal(np.array([1.0]), np.array([[4.0]]), 50), normal(np.array([-1.0]), np.array([[9.0]]), 60)
    assert frechet_distance(a, b) == pytest.approx(2.0**2 + (2.0 - 3.0) ** 2, abs=1e-9)


def test_it_is_symmetric_and_does_not_depend_on_the_frame():
    a, b = normal(np.zeros(4), spread(5), 200), normal(np.ones(4), spread(6), 300, seed=2)
    distance = frechet_distance(a, b)
    assert distance > 0
    assert frechet_distance(b, a) == pytest.approx(distance)
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(4, 4)))[0]
    assert frechet_distance(a @ turn + 3, b @ turn + 3) == pytest.approx(distance)


def test_a_column_that_never_moves_is_no_trouble():
    """Standing clips have joints without any motion: singular covariances."""
    a, b = normal(np.zeros(3), spread(8, 3), 100), normal(np.zeros(3), spread(9, 3), 100, seed=1)
    a, b = (np.column_stack([x, np.full(100, 0.7)]) for x in (a, b))
    value = frechet_distance(a, b)
    assert value == pytest.approx(frechet_distance(a[:, :3], b[:, :3]), abs=1e-5)
    b[:, 3] = 1.2
    assert frechet_distance(a, b) == pytest.approx(value + 0.25, abs=1e-5)


def test_fewer_samples_than_dimensions_is_no_trouble():
    rng = np.random.default_rng(0)
    assert np.isfinite(frechet_distance(rng.normal(size=(5, 30)), rng.normal(size=(400, 30))))
