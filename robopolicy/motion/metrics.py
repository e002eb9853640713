"""How far two motions are apart, in numbers that no training saw."""

import numpy as np
from scipy.linalg import sqrtm


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
