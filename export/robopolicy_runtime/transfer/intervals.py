"""How sure a number is that comes from a few episodes: 95% confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.959963984540054  # 97.5% quantile of the normal distribution
_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval, and from how many episodes."""

    value: float
    low: float
    high: float
    count: int


def wilson(successes: int, count: int) -> Estimate:
    """Share of successes with the score interval of Wilson 1927, which holds for few episodes and for 0 and 1 too.

    Raises:
        ValueError: There are no episodes, or more successes than episodes.
    """
    if not 0 <= successes <= count or count == 0:
        raise ValueError(f"{successes} successes of {count} episodes")
    share, spread = successes / count, Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    # At 0 and 1 the bound is exactly there, which rounding would miss.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == count else centre + half
    return Estimate(share, low, high, count)


def bootstrap(values: Sequence[float]) -> Estimate | None:
    """Mean with the percentile bootstrap interval of Efron 1979; always the same for the same values.

    Returns:
        None if there are no values; no wider than the one value if there is only one.

    Raises:
        ValueError: A value is not finite.
    """
    x = np.asarray(values, float)
    if not len(x):
        return None
    if not np.isfinite(x).all():
        raise ValueError(f"not finite: {x[~np.isfinite(x)][0]}, value {int(np.flatnonzero(~np.isfinite(x))[0])}")
    picks = np.random.default_rng(0).integers(len(x), size=(_RESAMPLES, len(x)))
    low, high = np.quantile(x[picks].mean(1), (0.025, 0.975))
    return Estimate(float(x.mean()), float(low), float(high), len(x))
