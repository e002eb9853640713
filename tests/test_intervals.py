"""Intervals against analytic ones, and Fréchet resamples against the plain definition."""

import numpy as np
import pytest

from robopolicy import intervals
from robopolicy.evaluate import _wilson
from robopolicy.intervals import basic_interval, frechet_resamples, mean_interval, rms_interval
from robopolicy.motion.metrics import frechet_distance


@pytest.mark.parametrize(
    ("successes", "count", "expected"),
    [(8, 10, (0.4902, 0.9433)), (0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (95, 100, (0.8882, 0.9785))],
)
def test_wilson_as_in_published_tables(successes: int, count: int, expected: tuple[float, float]):
    assert _wilson(successes, count) == pytest.approx(expected, abs=1e-4)


def test_the_mean_of_a_gaussian_has_its_analytic_interval():
    x = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    half = 1.96 * x.std(ddof=1) / 20
    interval = mean_interval(x)
    assert interval is not None
    assert interval == pytest.approx((x.mean() - half, x.mean() + half), abs=0.08 * half)


def test_an_rms_has_the_interval_of_the_delta_method_and_longer_episodes_weigh_more():
    rng = np.random.default_rng(1)
    count = rng.integers(50, 150, size=600)
    square = rng.gamma(4.0, 0.25, size=600)
    pooled = np.sqrt((count * square).sum() / count.sum())
    # of a ratio of means: the residuals of its numerator (Cochran, "Sampling Techniques", 1977, section 6.5)
    residual = count * (square - pooled**2)
    half = 1.96 * residual.std(ddof=1) / np.sqrt(600) / count.mean() / (2 * pooled)
    rms = np.concatenate((np.sqrt(square), [np.nan]))
    interval = rms_interval(rms, np.append(count, 0))
    assert interval is not None
    assert interval == pytest.approx((pooled - half, pooled + half), abs=0.12 * half)


def test_nothing_has_no_interval():
    assert mean_interval(np.empty(0)) is None
    assert rms_interval(np.full(3, np.nan), np.zeros(3, dtype=int)) is None
    assert len(frechet_resamples(np.zeros((5, 2)), [np.zeros((4, 2))])) == 0
    assert basic_interval(1.0, np.empty(0)) is None


def test_a_resample_has_the_distance_of_its_episodes_laid_end_to_end():
    rng = np.random.default_rng(2)
    reference = rng.normal(size=(80, 4))
    episodes = [rng.normal(rng.normal(size=4) + 5, 1.3, size=(int(n), 4)) for n in rng.integers(10, 40, size=6)]
    found = frechet_resamples(reference, [*episodes, np.empty((0, 4))], seed=7)
    picks = intervals._counts(6, len(found), seed=7).astype(int)
    for k in range(5):
        drawn = np.concatenate([e for e, times in zip(episodes, picks[k], strict=True) for _ in range(times)])
        assert found[k] == pytest.approx(frechet_distance(reference, drawn), rel=1e-6)


def test_the_interval_of_a_distance_holds_the_true_one_as_often_as_it_says():
    """Episodes that differ from each other; the percentile interval would hold it in half of the cases only."""
    rng = np.random.default_rng(3)
    reference = rng.normal(size=(300, 6))
    # every moment is N(0.3, 0.5 + 1): the distance to that distribution, by its moments
    mean, cov = reference.mean(0) - 0.3, np.cov(reference, rowvar=False)
    shared = 2 * np.sqrt(1.5) * np.sqrt(np.linalg.eigvalsh(cov)).sum()
    truth = mean @ mean + np.trace(cov) + 6 * 1.5 - shared
    held = 0
    for trial in range(30):
        middles = rng.normal(0.3, np.sqrt(0.5), size=(40, 1, 6))
        episodes = list(middles + rng.normal(size=(40, 50, 6)))
        value = frechet_distance(reference, np.concatenate(episodes))
        interval = basic_interval(value, frechet_resamples(reference, episodes, seed=trial))
        assert interval is not None
        held += interval[0] <= truth <= interval[1]
    assert held >= 25
