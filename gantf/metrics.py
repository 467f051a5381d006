"""Distances between two samples of features, in float64.

Lower is better for both. They compare laws through samples: say with every figure
what the features are and how many samples there were (`gantf.evaluate` does).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np


def frechet_distance(x: Any, y: Any) -> float:
    """The Frechet distance of two Gaussians fitted to the samples.

        |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2))

    with covariances over n - 1. Heusel et al. (2017), equation 6; on the Inception
    net's pool3 features it is called FID. It is biased up for few samples: below
    about ten times as many as features, prefer `kid`. The trace of the root is the
    sum of the roots of the eigenvalues of S_x^(1/2) S_y S_x^(1/2): no matrix root,
    so no imaginary parts and no failure where a covariance has no full rank.

    Args:
      x, y: features, (n, d) and (m, d), at least two rows each.

    Returns:
      The distance, 0 or above.
    """
    x, y = _rows(x, y)
    mean = x.mean(axis=0) - y.mean(axis=0)
    cov_x = np.atleast_2d(np.cov(x, rowvar=False))
    cov_y = np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(cov_x)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    shared = np.linalg.eigvalsh(root @ cov_y @ root)
    cross = np.sqrt(np.maximum(shared, 0.0)).sum()
    distance = mean @ mean + np.trace(cov_x) + np.trace(cov_y) - 2.0 * cross
    return float(max(distance, 0.0))


def kid(
    x: Any, y: Any, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """The kernel distance: MMD^2 with the kernel (a . b / d + 1)^3, unbiased.

    Binkowski et al. (2018), section 4; on the Inception net's features it is called
    KID. The mean over subsets drawn without replacement, x's first and then y's, by
    NumPy's RandomState(seed), as torch-fidelity does. It may be below 0: the
    estimator is unbiased, so around 0 half of its values are.

    Args:
      x, y: features, (n, d) and (m, d).
      subsets: how many.
      subset_size: rows of a subset; more than there are is cut, with a warning.
      seed: of the draws.

    Returns:
      The mean over the subsets and their standard deviation (over `subsets`).
    """
    x, y = _rows(x, y)
    size = min(subset_size, len(x), len(y))
    if size < subset_size:
        warnings.warn(
            f"kid: subsets of {size}, not {subset_size}: there are {len(x)} and "
            f"{len(y)} samples"
        )
    rng = np.random.RandomState(seed)
    values = [
        _cubic_mmd2(
            x[rng.choice(len(x), size, replace=False)],
            y[rng.choice(len(y), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _cubic_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased MMD^2 with the cubic kernel; the cross term keeps all pairs."""
    n, d = x.shape

    def kernel(a, b):
        return (a @ b.T / d + 1.0) ** 3

    def within(a):
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (n * (n - 1))

    return within(x) + within(y) - 2.0 * kernel(x, y).mean()


def _rows(*samples: Any) -> list[np.ndarray]:
    """The samples in float64, checked."""
    arrays = [np.asarray(sample, np.float64) for sample in samples]
    for array in arrays:
        if array.ndim != 2 or len(array) < 2:
            raise ValueError(f"features are (n, d) with n from 2, not {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError("features are finite numbers, not NaN or infinite")
    if len({array.shape[1] for array in arrays}) > 1:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ValueError(f"both samples have features of one length, not {shapes}")
    return arrays
