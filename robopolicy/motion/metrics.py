"""How far two motions are apart, in numbers that no training saw."""

import numpy as np
from scipy.linalg import sqrtm

_MISSING = 1.0  # error of a step that was never made, because the robot had fallen


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of the normal distributions fitted to two samples.

    ``|mean_a - mean_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2))`` (Dowson and Landau, 1982).

    Args:
        a: Samples. Shape (m, D).
        b: Samples. Shape (n, D).
    """
    difference = a.mean(0) - b.mean(0)
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    # The eigenvalues of C_a C_b are those of a symmetric positive matrix; rounding leaves tiny imaginary parts.
    root = sqrtm(cov_a @ cov_b)
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(np.real(root)))


def median_distance(x: np.ndarray, most: int = 1000, seed: int = 0) -> float:
    """Median distance between two different samples (m, D): the usual width of a kernel (Gretton et al. 2012, §8)."""
    x = _some(x, most, seed)
    squared = _squared_distances(x, x)[np.triu_indices(len(x), 1)]
    return float(np.sqrt(np.median(squared)))


def mmd(a: np.ndarray, b: np.ndarray, width: float | None = None, most: int = 1000, seed: int = 0) -> float:
    """Squared maximum mean discrepancy, unbiased, with the kernel ``exp(-|x - y|^2 / (2 width^2))``.

    Zero on average for two samples of one distribution (so a little below zero at times), at most 2.
    Source: Gretton et al., "A Kernel Two-Sample Test", 2012, equation 3.

    Args:
        a: Samples. Shape (m, D), m >= 2.
        b: Samples. Shape (n, D), n >= 2.
        width: Of the kernel; by default the median distance of all samples together.
        most: So many samples of each are used, drawn at random if there are more.
        seed: Of that draw.
    """
    a, b = _some(a, most, seed), _some(b, most, seed + 1)
    width = width or median_distance(np.concatenate((a, b)), most=len(a) + len(b))
    if width == 0:
        return 0.0  # all samples are one point

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-_squared_distances(x, y) / (2 * width**2))

    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return float(within[0] + within[1] - 2 * kernel(a, b).mean())


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive's score (m,) is above a negative's (n,), a tie counting half.

    The statistic of Mann and Whitney, 1947, over m n. 0.5: indistinguishable; 1: told apart.
    """
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate((positive, negative)))[:m]
    return float((ranks.sum() - m * (m + 1) / 2) / (m * n))


def dtw(motions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean joint error along the best dynamic-time-warping path of each motion through a reference.

    The path may begin and end anywhere in the reference, so a motion need not start in step with it; every frame of the
    motion is matched. Steps are (1, 0), (0, 1), (1, 1) (Sakoe and Chiba, 1978; free ends as in Müller, "Information
    Retrieval for Music and Motion", 2007, section 4.4). The error of two poses is the mean over the joints of the
    difference of their angles.

    Args:
        motions: Joint angles [rad]. Shape (B, M, J).
        reference: Joint angles [rad]. Shape (R, J).

    Returns:
        [rad]. Shape (B,).
    """
    cost = np.abs(motions[:, :, None] - reference).mean(-1)  # (B, M, R)
    batch, m, r = cost.shape
    # Cells of one antidiagonal depend on the two before it alone, so a whole antidiagonal is one step; it is indexed
    # by the motion's frame i, and cell (i, k - i) of diagonal k is column i + 1: column 0 is outside the table.
    before = twice_before = np.full((batch, m + 1), np.inf)
    length = twice_length = np.zeros((batch, m + 1))
    ends, lengths = np.full((batch, r), np.inf), np.ones((batch, r))
    for k in range(m + r - 1):
        i = np.arange(max(0, k - r + 1), min(k, m - 1) + 1)
        options = np.stack((twice_before[:, i], before[:, i], before[:, i + 1]))  # diagonal, next frame, next reference
        steps = np.stack((twice_length[:, i], length[:, i], length[:, i + 1]))
        if i[0] == 0:
            options[:, :, 0], steps[:, :, 0] = 0.0, 0.0  # the first frame may be matched anywhere
        best = options.argmin(0)[None]
        total, count = np.full((batch, m + 1), np.inf), np.zeros((batch, m + 1))
        total[:, i + 1] = cost[:, i, k - i] + np.take_along_axis(options, best, 0)[0]
        count[:, i + 1] = 1 + np.take_along_axis(steps, best, 0)[0]
        if k >= m - 1:
            ends[:, k - m + 1], lengths[:, k - m + 1] = total[:, m], count[:, m]
        twice_before, before, twice_length, length = before, total, length, count
    end = ends.argmin(1)[:, None]
    return (np.take_along_axis(ends, end, 1) / np.take_along_axis(lengths, end, 1))[:, 0]


def dtw_pose_error(motions: np.ndarray, reference: np.ndarray, missing: int = 0) -> float:
    """Mean pose error of motions against a reference, in which a fall costs.

    Every step that a fallen robot did not make counts with an error of 1: the rule of the evaluation in the AMP
    authors' published code (Peng et al. 2021).

    Args:
        motions: Joint angles of unbroken stretches [rad]. Shape (B, M, J); B may be 0.
        reference: Shape (R, J).
        missing: Steps that should have been made besides.

    Returns:
        [rad].
    """
    made = motions.shape[0] * motions.shape[1]
    total = dtw(motions, reference).sum() * motions.shape[1] if made else 0.0
    if made + missing == 0:
        return float("nan")
    return float((total + _MISSING * missing) / (made + missing))


def cost_of_transport(power: np.ndarray, speed: np.ndarray, mass: float, gravity: float = 9.81) -> float:
    """Mechanical work per weight and way, without unit: ``sum(|torque x velocity|) / (m g v)``.

    Positive and negative work both count, since a motor cannot win back what it brakes; as in Escontrela et al.,
    "Adversarial Motion Priors Make Good Substitutes for Complex Reward Functions", 2022.

    Args:
        power: Magnitude of mechanical power, summed over the joints, of moving and living moments [W]. Shape (K,).
        speed: Horizontal speed at the same moments, its sway averaged out [m/s]. Shape (K,).
        mass: [kg].
        gravity: [m/s^2].
    """
    way = float(np.sum(speed))
    return float(np.sum(power) / (mass * gravity * way)) if way > 0 else float("nan")


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.maximum(squared, 0.0)


def _some(x: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(x) <= most:
        return x
    return x[np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))]
