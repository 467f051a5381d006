"""The squared maximum mean discrepancy for any kernel: estimates, tests, the witness.

    MMD^2(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y)

Gretton, Borgwardt, Rasch, Scholkopf, Smola: A kernel two-sample test, JMLR 2012,
equations 2, 3 and 5. Sizes of the two samples may differ, but where variances of
estimates are asked for.
"""

from __future__ import annotations

import math
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


def variance(x: Any, y: Any, kernel: str | Kernel) -> Any:
    """An unbiased estimate of the variance of MMD^2 between samples of m rows each.

    Its mean is exactly the variance of `mmd2(..., estimator="ustat")`. That of
    "unbiased" is smaller by a part of order 1 / m^3: it is the mean of "ustat" over
    all orders of y. With K of one sample without its diagonal, C = k(x, y) and
    (m)_k = m (m - 1) ... (m - k + 1):

        4 / (m)_4 (|K_xx 1|^2 + |K_yy 1|^2) - 2 / (m)_4 (|K_xx|^2 + |K_yy|^2)
        - 2 (2m - 3) / ((m)_2 (m)_4) ((1'K_xx 1)^2 + (1'K_yy 1)^2)
        + 4 (m^2 - m - 1) / (m^3 (m - 1)^3) (|C 1|^2 + |C' 1|^2)
        - 4 (2m - 3) / (m^3 (m - 1)^3) (1'C 1)^2 - 4 (m - 2) / (m^2 (m - 1)^3) |C|^2
        - 8 / (m^2 (m - 1) (m - 2)) (1'K_xx C 1 + 1'K_yy C' 1)
        + 8 / (m^2 (m)_3) (1'K_xx 1 + 1'K_yy 1) 1'C 1

    Sutherland: Unbiased estimators for the variance of MMD estimators, arXiv
    1906.02104, where one denominator is printed as m^3 (m - 1)^2 and the last sign of
    |C|^2 as a plus; enumeration of all samples of small laws confirms the above. The
    codes of Li et al. (2017) and Binkowski et al. (2018) plug in means, which is far
    below for small m. It may be below 0.

    Args:
      x, y: samples, (m, d) each, m from 4.
      kernel: a kernel or its name.

    Returns:
      A scalar, of order 1 / m, or 1 / m^2 where the laws are the same.

    Raises:
      ValueError: samples of two sizes, or of fewer than 4 rows.
    """
    x, y = _of_one_size(x, y)
    k_xx, k_yy, k_xy = _centred(kernels.get(kernel), (x, x), (y, y), (x, y))
    within = _within_variance(k_xx) + _within_variance(k_yy)
    shared = _covariance(k_xx, ops.sum(k_xy, 1)) + _covariance(k_yy, ops.sum(k_xy, 0))
    return within + 4.0 * _across_variance(k_xy) - 4.0 * shared


def three_sample_variance(x: Any, y: Any, z: Any, kernel: str | Kernel) -> Any:
    """An unbiased estimate of the variance of MMD^2(x, y) - MMD^2(x, z).

    Its mean is exactly that variance for "ustat" estimates, see `variance`. The
    within-x parts fall out, so that with C = k(x, y) and D = k(x, z) it is

        V(K_yy) + V(K_zz) + 4 V(C) + 4 V(D) - 8 cov(C, D)
        - 4 cov(K_yy, C) - 4 cov(K_zz, D)

    V and cov being those of the means, with the coefficients of `variance`, and
    cov(C, D) = (C 1 . D 1 - 1'C 1 1'D 1 / m) / (m^3 (m - 1)). Sutherland, arXiv
    1906.02104, corrected as there.

    Args:
      x, y, z: samples, (m, d) each, m from 4.
      kernel: a kernel or its name.

    Returns:
      A scalar; it may be below 0.

    Raises:
      ValueError: samples of different sizes, or of fewer than 4 rows.
    """
    return _three_samples(x, y, z, kernel)[1]


def three_sample_test(
    x: Any, y: Any, z: Any, kernel: str | Kernel, floor: float = 1e-5
) -> tuple[Any, Any]:
    """Whether y is closer to x than z is: a small p-value says that it is.

        T = (MMD^2(x, y) - MMD^2(x, z)) / sqrt(max(nu, floor)),    p = Phi(T)

    with unbiased MMD^2 and nu of `three_sample_variance`. Bounliphone et al. (2016);
    Binkowski et al. (2018), section 4, for the learning rate of GANs, with poly:3 on
    2048 codes and plug-in means in nu.

    Their floor of 1e-5 is a standard deviation of .00316, where those of KID are
    around .001: with it p < .1 wants a gain of .00405 at least, whatever m is. A
    smaller floor lets the data decide. If both y and z have the law of x, nu is of
    second order, T is no standard normal, and p means nothing.

    Args:
      x: the sample of the target, (m, d), m from 4.
      y, z: the samples that are compared, (m, d) each.
      kernel: a kernel or its name.
      floor: the least variance, in squared units of MMD^2.

    Returns:
      The statistic and the p-value, scalars.

    Raises:
      ValueError: samples of different sizes, or of fewer than 4 rows; a floor that is
        no number above 0.
    """
    if not 0 < floor < math.inf:
        raise ValueError(f"floor of a variance is a number above 0, not {floor!r}")
    difference, nu = _three_samples(x, y, z, kernel)
    statistic = difference / ops.sqrt(ops.maximum(nu, floor))
    # erfc and not erf: 1 + erf has no digits left where p is small.
    return statistic, 0.5 * ops.erfc(-statistic / math.sqrt(2.0))


def _three_samples(x, y, z, kernel) -> tuple[Any, Any]:
    """MMD^2(x, y) - MMD^2(x, z), unbiased, and the estimate of its variance."""
    x, y, z = _of_one_size(x, y, z)
    pairs = (y, y), (z, z), (x, y), (x, z)
    k_yy, k_zz, k_xy, k_xz = _centred(kernels.get(kernel), *pairs)
    m = x.shape[0]
    within = (ops.sum(k_yy) - ops.sum(k_zz)) / math.perm(m, 2)
    difference = within - 2.0 * (mean(k_xy) - mean(k_xz))
    rows_y, rows_z = ops.sum(k_xy, 1), ops.sum(k_xz, 1)
    both = ops.sum(rows_y * rows_z) - ops.sum(rows_y) * ops.sum(rows_z) / m
    shared = _covariance(k_yy, ops.sum(k_xy, 0)) + _covariance(k_zz, ops.sum(k_xz, 0))
    nu = (
        _within_variance(k_yy)
        + _within_variance(k_zz)
        + 4.0 * (_across_variance(k_xy) + _across_variance(k_xz))
        - 8.0 * both / float(m**3 * (m - 1))
        - 4.0 * shared
    )
    return difference, nu


def _of_one_size(*samples: Any) -> list[Any]:
    samples = kernels.rows(*samples)
    sizes = [sample.shape[0] for sample in samples]
    if len(set(sizes)) > 1 or sizes[0] is None or sizes[0] < 4:
        shown = ", ".join(map(str, sizes))
        raise ValueError(
            f"a variance of MMD^2 wants samples of one size from 4 rows, not {shown}"
        )
    return samples


def _centred(kernel: Kernel, *pairs: tuple[Any, Any]) -> list[Any]:
    """The kernel less its mean on the last pair, without diagonals within a sample.

    A constant more in the kernel changes neither MMD^2 nor its variance, but the sums
    of it would leave float32 little room.
    """
    values = [kernel(a, b) for a, b in pairs]
    shift = ops.mean(values[-1])
    off = 1.0 - ops.eye(values[0].shape[0], dtype=values[0].dtype)
    return [
        (value - shift) * off if a is b else value - shift
        for value, (a, b) in zip(values, pairs)
    ]


def _within_variance(k):
    """Of the mean of k(x_i, x_j), i != j; k has no diagonal."""
    m = k.shape[0]
    rows = ops.sum(k, 1)
    squares = 4.0 * ops.sum(ops.square(rows)) - 2.0 * ops.sum(ops.square(k))
    total = ops.square(ops.sum(rows)) * (2 * (2 * m - 3) / math.perm(m, 2))
    return (squares - total) / float(math.perm(m, 4))


def _across_variance(k):
    """Of the mean of k(x_i, y_j), i != j."""
    m = k.shape[0]
    sides = sum(ops.sum(ops.square(ops.sum(k, axis))) for axis in (0, 1))
    total = ops.square(ops.sum(k)) * float(2 * m - 3)
    squares = ops.sum(ops.square(k)) * float(m * (m - 2))
    return (sides * float(m * m - m - 1) - total - squares) / float((m * m - m) ** 3)


def _covariance(k, sums):
    """Of the means of k(x_i, x_j), i != j, and of k(x_i, y_j), given its row sums."""
    m = k.shape[0]
    rows = ops.sum(k, 1)
    both = ops.sum(rows * sums) - ops.sum(rows) * ops.sum(sums) / m
    return both * (2.0 / (m * math.perm(m, 3)))


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
