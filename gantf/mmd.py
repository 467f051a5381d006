"""The squared maximum mean discrepancy for any kernel: estimates, tests, the witness.

    MMD^2(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y)

Estimates are three means over pairs of rows, of n in x and m in y, by name:

    unbiased           within a sample i != j, across the two all; may be below 0
    biased             all: the V-statistic, never below 0
    ustat              i != j across too: unbiased, and with n = m a U-statistic
    constant_diagonal  as unbiased, but with a term more, see below
    linear             rows 1 2, 3 4, 5 6, ..: unbiased, n kernel evaluations
    successive         rows 1 2, 2 3, 3 4, ..: the same, down to half the variance

Gretton, Borgwardt, Rasch, Scholkopf, Smola: A kernel two-sample test, JMLR 2012,
equations 2, 3 and 5, lemma 14 for "linear"; the code of Li et al. (2017) has
"successive". Across samples of two sizes these two leave out the last rows of the
longer one; "linear" also leaves out an odd last row.

"constant_diagonal" is that of the code of Binkowski et al. (2018), with which the
figures published of their rq* were made. It takes k(0, 0) for every k(x_i, x_i), though
c a . b in a kernel is not constant there, and so gives the unbiased MMD^2 and

    c sum |x_i|^2 / (n (n - 1)) + c sum |y_j|^2 / (m (m - 1)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

from gantf import kernels
from gantf.choices import choose
from gantf.kernels import Kernel

# Of k(0), the shares that `saturation` calls far and near.
FAR, NEAR = 0.01, 0.99
_TWO_ROWS = "pairs i != j need two rows at least, not one"


def mean(matrix: Any) -> Any:
    """The mean of all entries."""
    return ops.mean(matrix)


def mean_off_diagonal(matrix: Any) -> Any:
    """The mean of the entries i != j of an (n, m) matrix."""
    n, m = ops.shape(matrix)[:2]
    if tuple(matrix.shape) == (1, 1):
        raise ValueError(_TWO_ROWS)
    diagonal = ops.cast(ops.arange(n)[:, None] == ops.arange(m)[None, :], matrix.dtype)
    count = ops.cast(n * m - ops.minimum(n, m), matrix.dtype)
    # Taken out before the sum: a sum less its trace cancels.
    return ops.sum(matrix * (1.0 - diagonal)) / count


# name -> (mean of k(x, x), mean of k(x, y)), of estimators that take whole matrices
MEANS: dict[str, tuple[Callable, Callable]] = {
    "unbiased": (mean_off_diagonal, mean),
    "biased": (mean, mean),
    "ustat": (mean_off_diagonal, mean_off_diagonal),
}


def means(estimator: str) -> tuple[Callable, Callable]:
    """The means of matrices k(x, x) and k(x, y) that make an estimator of `MEANS`.

    Raises:
      ValueError: another estimator.
    """
    return choose("estimator", estimator, MEANS)


def _of_matrices(within: Callable, across: Callable) -> tuple[Callable, Callable]:
    return lambda k, x: within(k(x, x)), lambda k, x, y: across(k(x, y))


def _of_neighbours(step: int) -> tuple[Callable, Callable]:
    """Means over the pairs i, i + 1 of rows, i from 0 in steps."""

    def split(x):
        if x.shape[0] == 1:
            raise ValueError(_TWO_ROWS)
        return x[:-1:step], x[1::step]

    def within(k, x):
        return ops.mean(k.pairwise(*split(x)))

    def across(k, x, y):
        x, y = x[: ops.shape(y)[0]], y[: ops.shape(x)[0]]  # of one size
        (x_1, x_2), (y_1, y_2) = split(x), split(y)
        return ops.mean(0.5 * (k.pairwise(x_1, y_2) + k.pairwise(x_2, y_1)))

    return within, across


def _constant_diagonal(k, x):
    n = ops.cast(ops.shape(x)[0], x.dtype)
    more = ops.sum(k.diagonal(x) - k.diagonal(ops.zeros_like(x[:1])))
    return mean_off_diagonal(k(x, x)) + more / (n * (n - 1.0))


# name -> (mean of k(x_i, x_j) of kernel and x, mean of k(x_i, y_j) of kernel, x and y)
ESTIMATORS: dict[str, tuple[Callable, Callable]] = {
    **{name: _of_matrices(*pair) for name, pair in MEANS.items()},
    "constant_diagonal": (_constant_diagonal, _of_matrices(mean, mean)[1]),
    "linear": _of_neighbours(2),
    "successive": _of_neighbours(1),
}


def terms(
    x: Any, y: Any, kernel: str | Kernel, estimator: str = "unbiased"
) -> tuple[Any, Any, Any]:
    """The means of k(x, x'), k(y, y') and k(x, y) of an estimate, as for `mmd2`.

    >>> [float(k) for k in terms([[0.0], [2.0]], [[1.0], [3.0]], "dot")]
    [0.0, 3.0, 2.0]
    """
    k = kernels.get(kernel)
    within, across = choose("estimator", estimator, ESTIMATORS)
    x, y = kernels.rows(x, y)
    return within(k, x), within(k, y), across(k, x, y)


def mmd2(x: Any, y: Any, kernel: str | Kernel, estimator: str = "unbiased") -> Any:
    """An estimate of MMD^2 between the laws of two samples; a scalar.

    Args:
      x, y: samples, (n, d) and (m, d).
      kernel: a kernel or its name.
      estimator: which pairs count; the head of this module lists them.

    Raises:
      ValueError: an unknown kernel or estimator; one row where pairs i != j are taken.
    """
    k_xx, k_yy, k_xy = terms(x, y, kernel, estimator)
    return k_xx + k_yy - 2.0 * k_xy


def variance(x: Any, y: Any, kernel: str | Kernel, estimator: str = "ustat") -> Any:
    """An unbiased estimate of the variance of `mmd2`.

    Its mean is exactly the variance of that estimator between samples of n and m rows.
    With K of one sample without its diagonal, C = k(x, y), r = C 1, c = C' 1 and
    (m)_k = m (m - 1) ... (m - k + 1), it is

        V(K_xx) + V(K_yy) + 4 V(C) - 4 cov(K_xx, C) - 4 cov(K_yy, C')

        V(K_yy) = (4 |K_yy 1|^2 - 2 |K_yy|^2 - 2 (2m - 3) / (m)_2 (1'K_yy 1)^2) / (m)_4
        cov(K_yy, C') = 2 (1'K_yy c - 1'K_yy 1 1'c / m) / (n (m)_3)

    the same with n for m, r for c of K_xx, and V(C) of the mean of k(x, y):

        "ustat", n = m: ((m^2 - m - 1) (|r|^2 + |c|^2) - (2m - 3) (1'C 1)^2
                         - m (m - 2) |C|^2) / (m)_2^3
        "unbiased": (|r|^2 + |c|^2 - |C|^2 - (1/n + 1/m - 1/(n m)) (1'C 1)^2)
                    / ((n)_2 (m)_2)

    Sutherland: Unbiased estimators for the variance of MMD estimators, arXiv
    1906.02104, has "ustat", where the denominator of |r|^2 + |c|^2 is printed as
    m^3 (m - 1)^2 and the last sign of |C|^2 as a plus; enumeration of all samples of
    small laws confirms the above. The codes of Li et al. (2017) and Binkowski et al.
    (2018) plug in means, which is far below for small m. With n = m "unbiased" is the
    mean of "ustat" over all orders of y, and varies less, by a part of order 1 / m^3.

    Args:
      x, y: samples, (n, d) and (m, d), n and m from 4; n = m for "ustat".
      kernel: a kernel or its name.
      estimator: "ustat" or "unbiased".

    Returns:
      A scalar, of order 1 / m, or 1 / m^2 where the laws are the same; it may be below
      0.

    Raises:
      ValueError: another estimator; samples of two sizes for "ustat", or of fewer than
        4 rows.
    """
    return _two_samples(x, y, kernel, estimator)[1]


def t_statistic(
    x: Any,
    y: Any,
    kernel: str | Kernel,
    floor: float = 1e-8,
    estimator: str = "ustat",
) -> Any:
    """MMD^2 / sqrt(max(V, floor)) with V of `variance`; a scalar.

    The kernel of the largest one tells the two laws apart best. Sutherland et al.
    (2017), "t-MMD". The floor is 1e-8 in the code of Li et al. (2017), 1e-5 in that of
    Binkowski et al. (2018); below it, V has no gradient.

    Args:
      x, y, kernel, estimator: as for `variance`.
      floor: the least variance, in squared units of MMD^2.

    Raises:
      ValueError: as `variance`; a floor that is no number above 0.
    """
    floor = _above_0(floor)
    difference, spread = _two_samples(x, y, kernel, estimator)
    return difference / ops.sqrt(ops.maximum(spread, floor))


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
    floor = _above_0(floor)
    difference, nu = _three_samples(x, y, z, kernel)
    statistic = difference / ops.sqrt(ops.maximum(nu, floor))
    # erfc and not erf: 1 + erf has no digits left where p is small.
    return statistic, 0.5 * ops.erfc(-statistic / math.sqrt(2.0))


def _above_0(floor: float) -> float:
    if not 0 < floor < math.inf:
        raise ValueError(f"floor of a variance is a number above 0, not {floor!r}")
    return floor


def _two_samples(x, y, kernel, estimator) -> tuple[Any, Any]:
    """MMD^2(x, y) and the estimate of its variance."""
    sized, spread = choose("estimator with a variance", estimator, _VARIANCES)
    x, y = sized(x, y)
    k_xx, k_yy, k_xy = _centred(kernels.get(kernel), (x, y), (x, y))
    within = [ops.sum(k) / math.perm(k.shape[0], 2) for k in (k_xx, k_yy)]
    estimate = sum(within) - 2.0 * means(estimator)[1](k_xy)
    shared = _covariance(k_xx, k_xy) + _covariance(k_yy, ops.transpose(k_xy))
    nu = _within_variance(k_xx) + _within_variance(k_yy) + 4.0 * spread(k_xy)
    return estimate, nu - 4.0 * shared


def _three_samples(x, y, z, kernel) -> tuple[Any, Any]:
    """MMD^2(x, y) - MMD^2(x, z), unbiased, and the estimate of its variance."""
    x, y, z = _of_one_size(x, y, z)
    k_yy, k_zz, k_xy, k_xz = _centred(kernels.get(kernel), (y, z), (x, y), (x, z))
    m = x.shape[0]
    within = (ops.sum(k_yy) - ops.sum(k_zz)) / math.perm(m, 2)
    difference = within - 2.0 * (mean(k_xy) - mean(k_xz))
    rows_y, rows_z = ops.sum(k_xy, 1), ops.sum(k_xz, 1)
    both = ops.sum(rows_y * rows_z) - ops.sum(rows_y) * ops.sum(rows_z) / m
    shared = _covariance(k_yy, ops.transpose(k_xy))
    shared = shared + _covariance(k_zz, ops.transpose(k_xz))
    nu = (
        _within_variance(k_yy)
        + _within_variance(k_zz)
        + 4.0 * (_off_diagonal_variance(k_xy) + _off_diagonal_variance(k_xz))
        - 8.0 * both / float(m**3 * (m - 1))
        - 4.0 * shared
    )
    return difference, nu


def _from_4_rows(*samples: Any) -> list[Any]:
    samples = kernels.rows(*samples)
    if any((sample.shape[0] or 0) < 4 for sample in samples):
        shown = ", ".join(str(sample.shape[0]) for sample in samples)
        raise ValueError(f"a variance of MMD^2 wants samples from 4 rows, not {shown}")
    return samples


def _of_one_size(*samples: Any) -> list[Any]:
    samples = _from_4_rows(*samples)
    sizes = [sample.shape[0] for sample in samples]
    if len(set(sizes)) > 1:
        shown = ", ".join(map(str, sizes))
        raise ValueError(
            f"a variance of 'ustat' wants samples of one size, not {shown}"
        )
    return samples


def _centred(kernel: Kernel, samples: tuple, *pairs: tuple[Any, Any]) -> list[Any]:
    """k(x, x) of samples without its diagonal, and k(x, y) of pairs, less a constant.

    That is the kernel's mean on the last pair. A constant more in the kernel changes
    neither MMD^2 nor its variance, but the sums of it would leave float32 little room.
    """
    across = [kernel(x, y) for x, y in pairs]
    shift = ops.mean(across[-1])
    within = [
        (kernel(x, x) - shift) * (1.0 - ops.eye(x.shape[0], dtype=x.dtype))
        for x in samples
    ]
    return within + [k - shift for k in across]


def _within_variance(k):
    """Of the mean of k(x_i, x_j), i != j; k has no diagonal."""
    m = k.shape[0]
    rows = ops.sum(k, 1)
    squares = 4.0 * ops.sum(ops.square(rows)) - 2.0 * ops.sum(ops.square(k))
    total = ops.square(ops.sum(rows)) * (2 * (2 * m - 3) / math.perm(m, 2))
    return (squares - total) / float(math.perm(m, 4))


def _off_diagonal_variance(k):
    """Of the mean of k(x_i, y_j), i != j."""
    m = k.shape[0]
    sides = sum(ops.sum(ops.square(ops.sum(k, axis))) for axis in (0, 1))
    total = ops.square(ops.sum(k)) * float(2 * m - 3)
    squares = ops.sum(ops.square(k)) * float(m * (m - 2))
    return (sides * float(m * m - m - 1) - total - squares) / float((m * m - m) ** 3)


def _whole_variance(k):
    """Of the mean of all k(x_i, y_j); k is centred, so that 1'C 1 is 0."""
    n, m = k.shape
    sides = sum(ops.sum(ops.square(ops.sum(k, axis))) for axis in (0, 1))
    squares = ops.sum(ops.square(k))
    return (sides - squares) / float(math.perm(n, 2) * math.perm(m, 2))


def _covariance(k, across):
    """Of the means of k(x_i, x_j), i != j, and of k(x_i, y_j); k has no diagonal."""
    n, m = across.shape
    rows, sums = ops.sum(k, 1), ops.sum(across, 1)
    both = ops.sum(rows * sums) - ops.sum(rows) * ops.sum(sums) / n
    return both * (2.0 / (m * math.perm(n, 3)))


# estimator -> (what gives samples of sizes that fit, variance of the mean of k(x, y))
_VARIANCES: dict[str, tuple[Callable, Callable]] = {
    "ustat": (_of_one_size, _off_diagonal_variance),
    "unbiased": (_from_4_rows, _whole_variance),
}


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


def floor(kernel: str | Kernel, n: int, m: int) -> float:
    """k(0) / n + k(0) / m: the biased MMD^2 of samples whose rows are all far apart.

    Nothing but the diagonals is left, and no gradient. With 6 kernels and batches of
    128, where a loss rests at .09375, it is

    >>> floor("rbf:2,5,10,20,40,80", 128, 128)
    0.09375

    Args:
      kernel: a kernel or its name; a function of the distance.
      n, m: how many rows the samples have, from 1.

    Raises:
      ValueError: another kernel; a sample without rows.
    """
    if min(n, m) < 1:
        raise ValueError(f"samples have 1 row at least, not {n} and {m}")
    at_0 = float(kernels.get(kernel).of_squares(ops.zeros((), "float64")))
    return at_0 / n + at_0 / m


def saturation(k_xx: Any, k_yy: Any, k_xy: Any, diagonal: float = 1.0) -> str | None:
    """Whether a kernel is too narrow or too wide for the samples to give gradients.

    Args:
      k_xx, k_yy, k_xy: means of a kernel that is a function of the distance, over
        pairs i != j, as from `terms` with "unbiased" or "ustat".
      diagonal: k(0), as `kernel.of_squares(0.0)`.

    Returns:
      "far" if all three are below .01 of k(0): rows are so far apart that the biased
      MMD^2 is `floor` and the unbiased 0. "near" if all are above .99 of it: all rows
      are alike. Else None.
    """
    shares = [float(k) / float(diagonal) for k in (k_xx, k_yy, k_xy)]
    if all(share < FAR for share in shares):
        return "far"
    return "near" if all(share > NEAR for share in shares) else None
