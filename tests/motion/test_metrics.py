"""Distances and gauges of motion against closed forms, hand computation and slow definitions."""

import numpy as np
import pytest

from robopolicy.motion.metrics import (
    auc,
    cost_of_transport,
    dtw,
    dtw_pose_error,
    frechet_distance,
    median_distance,
    mmd,
)


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


# ---- maximum mean discrepancy


def test_mmd_of_two_small_samples_by_hand():
    """Kernel exp(-d^2 / 2): within a exp(-1/2), within b exp(-2), across distances 3, 5, 2, 4."""
    a, b = np.array([[0.0], [1.0]]), np.array([[3.0], [5.0]])
    across = np.mean([np.exp(-d * d / 2) for d in (3, 5, 2, 4)])
    assert mmd(a, b, width=1.0) == pytest.approx(np.exp(-0.5) + np.exp(-2.0) - 2 * across)


def test_mmd_is_unbiased():
    """The mean over many pairs of small samples is that of the distributions: 0 for equal ones; for two normal ones a
    closed form (Gretton et al. 2012): E k = s / sqrt(s^2 + 2) exp(-m^2 / (2 (s^2 + 2))) with kernel width s."""
    rng = np.random.default_rng(0)
    same = [mmd(rng.normal(size=(6, 1)), rng.normal(size=(6, 1)), width=1.0) for _ in range(3000)]
    moved = [mmd(rng.normal(size=(6, 1)), rng.normal(size=(6, 1)) + 2, width=1.0) for _ in range(3000)]
    assert np.mean(same) == pytest.approx(0.0, abs=0.01)
    assert np.mean(moved) == pytest.approx(2 / np.sqrt(3) * (1 - np.exp(-4 / 6)), abs=0.015)


def test_mmd_takes_the_median_distance_for_its_width_and_some_of_many_samples():
    x = np.array([[0.0], [1.0], [3.0]])
    assert median_distance(x) == pytest.approx(2.0)
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(4000, 3)), rng.normal(size=(3000, 3)) + 0.7
    assert mmd(a, b, most=800) == pytest.approx(mmd(a, b, most=4000), abs=0.03)
    assert mmd(np.ones((5, 2)), np.ones((4, 2))) == 0.0


# ---- area under the curve


def test_auc_counts_pairs():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 6, 40), rng.integers(0, 6, 30)
    pairs = [1.0 if x > y else 0.5 if x == y else 0.0 for x in a for y in b]
    assert auc(a, b) == pytest.approx(np.mean(pairs))
    assert auc(np.array([3, 4]), np.array([1, 2])) == 1.0
    assert auc(np.array([1, 2]), np.array([3, 4])) == 0.0


# ---- dynamic time warping


def slow_dtw(motion: np.ndarray, reference: np.ndarray) -> float:
    """The definition, cell by cell."""
    cost = np.array([[np.mean(np.abs(a - b)) for b in reference] for a in motion])
    total, length = np.full(cost.shape, np.inf), np.ones(cost.shape)
    for i, j in np.ndindex(*cost.shape):
        if i == 0:
            total[i, j] = cost[i, j]
            continue
        options = [(total[i - 1, j], length[i - 1, j])]
        if j:
            options += [(total[i - 1, j - 1], length[i - 1, j - 1]), (total[i, j - 1], length[i, j - 1])]
        best = min(options)
        total[i, j], length[i, j] = best[0] + cost[i, j], best[1] + 1
    end = int(total[-1].argmin())
    return float(total[-1, end] / length[-1, end])


@pytest.mark.parametrize(("m", "r"), [(7, 12), (12, 7), (1, 5), (5, 1), (9, 9)])
def test_dtw_is_that_of_the_definition(m: int, r: int):
    rng = np.random.default_rng(m * r)
    motions, reference = rng.normal(size=(4, m, 3)), rng.normal(size=(r, 3))
    np.testing.assert_allclose(dtw(motions, reference), [slow_dtw(x, reference) for x in motions], rtol=1e-12)


def test_a_motion_that_is_late_or_slow_has_no_error():
    t = np.linspace(0, 4 * np.pi, 200)
    reference = np.stack((np.sin(t), np.cos(t)), axis=1)
    late, slow = reference[37:97], np.repeat(reference[20:50], 2, axis=0)
    np.testing.assert_allclose(dtw(np.stack((late, slow)), reference), 0.0, atol=1e-12)
    bent = late + np.array([0.3, 0.1])  # the mean over joints, and warping may make up for some of it
    assert 0.05 < dtw(bent[None], reference)[0] <= 0.2


def test_steps_missing_after_a_fall_cost_one_each():
    reference = np.zeros((10, 2))
    motions = np.full((2, 5, 2), 0.4)
    assert dtw_pose_error(motions, reference) == pytest.approx(0.4)
    assert dtw_pose_error(motions, reference, missing=30) == pytest.approx((10 * 0.4 + 30) / 40)
    assert dtw_pose_error(motions[:0], reference, missing=7) == 1.0
    assert np.isnan(dtw_pose_error(motions[:0], reference))


# ---- cost of transport


def test_cost_of_transport_by_hand():
    """20 W for 10 kg at 0.5 m/s: 20 / (10 * 9.81 * 0.5); slower moments count by their time, not by their ratio."""
    assert cost_of_transport(np.full(5, 20.0), np.full(5, 0.5), 10.0) == pytest.approx(20 / 49.05)
    mixed = cost_of_transport(np.array([20.0, 40.0]), np.array([0.5, 0.1]), 10.0)
    assert mixed == pytest.approx(60 / (98.1 * 0.6))
    assert np.isnan(cost_of_transport(np.array([20.0]), np.array([0.0]), 10.0))
