"""The squared maximum mean discrepancy and its witness, for any kernel.

    MMD^2(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y)

Gretton, Borgwardt, Rasch, Scholkopf, Smola: A kernel two-sample test, JMLR 2012,
equations 2, 3 and 5. Sizes of the two samples may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from gantf import kernels
from gantf.choices import choose
from gantf.kernels import Kernel


def mean(matrix: Any) -> Any:
    """The mean of all entries."""
    return ops.mean(matrix)


def mean_off_diagonal(matrix: Any) -> Any:
    """The mean of the entries i != j of an (n, m) matrix."""
    n, m = ops.shape(matrix)[:2]
    if tuple(matrix.shape) == (1, 1):
        raise ValueError("pairs i != j need two rows at least, not one")
    diagonal = ops.cast(ops.arange(n)[:, None] == ops.arange(m)[None, :], matrix.dtype)
    count = ops.cast(n * m - ops.minimum(n, m), matrix.dtype)
    # Taken out before the sum: a sum less its trace cancels.
    return ops.sum(matrix * (1.0 - diagonal)) / count


# name -> (mean of k(x, x), mean of k(x, y))
ESTIMATORS: dict[str, tuple[Callable, Callable]] = {
    "unbiased": (mean_off_diagonal, mean),
    "biased": (mean, mean),
    "ustat": (mean_off_diagonal, mean_off_diagonal),
}


def means(estimator: str) -> tuple[Callable, Callable]:
    """The estimator's means, within a sample and across two.

    Raises:
      ValueError: an unknown estimator.
    """
    return choose("estimator", estimator, ESTIMATORS)


def mmd2(x: Any, y: Any, kernel: str | Kernel, estimator: str = "unbiased") -> Any:
    """An estimate of MMD^2 between the laws of two samples; a scalar.

    Args:
      x, y: samples, (n, d) and (m, d).
      kernel: a kernel or its name.
      estimator: "unbiased" leaves out k(x_i, x_i) and k(y_j, y_j), and may be below
        0; "biased" takes the mean of all (the V-statistic, never below 0); "ustat"
        leaves out k(x_i, y_i) too: it is unbiased, and with n = m a U-statistic.
    """
    k = kernels.get(kernel)
    within, across = means(estimator)
    return within(k(x, x)) + within(k(y, y)) - 2.0 * across(k(x, y))


def witness(points: Any, x: Any, y: Any, kernel: str | Kernel) -> Any:
    """The witness function at points: mean_i k(t, x_i) - mean_j k(t, y_j).

    It is large where x has more mass than y. Gretton et al. (2012), section 2.3.

    Args:
      points: (p, d).
      x, y: samples, (n, d) and (m, d).
      kernel: a kernel or its name.

    Returns:
      (p,) values.
    """
    k = kernels.get(kernel)
    return ops.mean(k(points, x), axis=1) - ops.mean(k(points, y), axis=1)
