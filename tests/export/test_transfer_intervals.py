"""Intervals against published numbers, and against theory where there are many values."""

import numpy as np
import pytest
from robopolicy_runtime.transfer.intervals import bootstrap, wilson


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes, count, low, high):
    found = wilson(successes, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.value == successes / count
    mirrored = wilson(count - successes, count)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_all_and_of_nothing():
    assert wilson(7, 7).high == 1.0
    assert wilson(0, 7).low == 0.0
    with pytest.raises(ValueError, match="0 successes of 0"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_bootstrap_of_many_values_is_the_normal_interval():
    values = np.random.default_rng(3).normal(5.0, 2.0, 500)
    found = bootstrap(values.tolist())
    assert found is not None
    half = 1.96 * values.std() / np.sqrt(500)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(half, rel=0.1)
    assert found.value - found.low == pytest.approx(half, rel=0.1)
    assert found == bootstrap(values.tolist())


def test_bootstrap_of_few_values():
    assert bootstrap([]) is None
    one = bootstrap([2.5])
    assert one is not None
    assert (one.value, one.low, one.high, one.count) == (2.5, 2.5, 2.5, 1)
    with pytest.raises(ValueError, match="value 1"):
        bootstrap([1.0, float("nan")])
