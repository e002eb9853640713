"""How sure a figure is that comes from so many episodes: 95% intervals.

Means and root mean squares have the percentile bootstrap interval of Efron 1979, the Fréchet distance the basic one
(Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2): a resample has fewer different
episodes than the sample, which makes its distance larger than it should be, and the basic interval takes that off.
Whole episodes are drawn, since the moments of one are no independent witnesses. An interval speaks of this one policy
under other draws of robots, commands and pushes; it says nothing of other seeds of the training.
"""

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]
_QUANTILES = (0.025, 0.975)
_RESAMPLES = 2000
_RESAMPLES_OF_DISTANCE = 500  # each needs the eigenvalues of a matrix


def mean_interval(values: np.ndarray, seed: int = 0) -> Interval | None:
    """Of the mean of a value per episode. Shape (N,); None without any."""
    if not len(values):
        return None
    picks = _counts(len(values), _RESAMPLES, seed)
    return _percentile(picks @ values / len(values))


def rms_interval(rms: np.ndarray, count: np.ndarray, seed: int = 0) -> Interval | None:
    """Of the root mean square over all moments of all episodes.

    Args:
        rms: Root mean square within each episode; not a number where ``count`` is 0. Shape (N,).
        count: Moments that each is taken over, which weigh it. Shape (N,).
        seed: Of the resampling.

    Returns:
        None where there is no moment.
    """
    lived = count > 0
    if not lived.any():
        return None
    weight, square = count[lived].astype(float), rms[lived].astype(float) ** 2
    picks = _counts(int(lived.sum()), _RESAMPLES, seed)
    return _percentile(np.sqrt(picks @ (weight * square) / (picks @ weight)))


def frechet_resamples(reference: np.ndarray, episodes: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
    """Fréchet distances (see ``motion.metrics``) of resampled episodes to a reference.

    Args:
        reference: Samples of the reference. Shape (m, D).
        episodes: Samples of each episode, shapes (K, D); those without any are left out.
        seed: Of the resampling.

    Returns:
        One distance per resample; empty with fewer than two episodes that have samples.
    """
    known = [e for e in episodes if len(e)]
    if len(known) < 2:
        return np.empty(0)
    # Moments add up, so a resample costs no pass over the samples. Around the common mean, lest digits are lost.
    middle = np.concatenate(known).mean(0)
    size = np.array([len(e) for e in known], float)
    total = np.stack([(e - middle).sum(0) for e in known])
    square = np.stack([(e - middle).T @ (e - middle) for e in known])
    picks = _counts(len(known), _RESAMPLES_OF_DISTANCE, seed)
    n = (picks @ size)[:, None]
    mean = picks @ total / n
    cov = (picks @ square.reshape(len(known), -1)).reshape(-1, *square.shape[1:])
    cov = (cov - n[..., None] * mean[:, :, None] * mean[:, None]) / (n[..., None] - 1)
    own = np.atleast_2d(np.cov(reference, rowvar=False))
    values, vectors = np.linalg.eigh(own)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # C_a C_b has the eigenvalues of the symmetric C_a^(1/2) C_b C_a^(1/2).
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov @ root), 0)).sum(-1)
    apart = ((mean + middle - reference.mean(0)) ** 2).sum(-1)
    return apart + np.trace(own) + np.trace(cov, axis1=1, axis2=2) - 2 * shared


def basic_interval(value: float, resamples: np.ndarray) -> Interval | None:
    """From a value that cannot be negative and its resamples; None without any."""
    if not len(resamples):
        return None
    low, high = np.quantile(resamples, _QUANTILES)
    return max(float(2 * value - high), 0.0), max(float(2 * value - low), 0.0)


def _percentile(resamples: np.ndarray) -> Interval:
    low, high = np.quantile(resamples, _QUANTILES)
    return float(low), float(high)


def _counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of ``n`` episodes is in each resample. Shape (resamples, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
