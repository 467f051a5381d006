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
from typing import Any, NamedTuple

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


class Sums(NamedTuple):
    """What a test keeps of a sample y against the target x, both (m, d).

    K is k(y, y) without its diagonal and C is k(x, y), both less a constant, which is
    a function of x and the kernel alone, see `sums`.

    Attributes:
      within: K 1, (m,).
      within_square: |K|^2.
      rows: C 1, of each row of x, (m,).
      columns: C' 1, of each row of y, (m,).
      across_square: |C|^2.
    """

    within: Any
    within_square: Any
    rows: Any
    columns: Any
    across_square: Any


def sums(x: Any, y: Any, kernel: str | Kernel) -> Sums:
    """The sums of a sample y against the target x, for `compare`.

    They take 3 m + 2 numbers, and y itself need not be kept. All from one x and one
    kernel can be compared: the constant taken out of the kernel is the mean of its
    values on the pairs of rows 1 2, 2 3, 3 4, .. of x. It changes no test, but without
    it sums would leave float32 little room.

    Args:
      x: the sample of the target, (m, d), m from 4.
      y: the other one, (m, d).
      kernel: a kernel or its name.

    Raises:
      ValueError: samples of two sizes, or of fewer than 4 rows.
    """
    k = kernels.get(kernel)
    x, y = _of_one_size(x, y)
    shift = ops.mean(k.pairwise(x[:-1], x[1:]))
    k_yy, k_xy = _without_diagonal(k(y, y) - shift), k(x, y) - shift
    return Sums(*_within_sums(k_yy), *_across_sums(k_xy))


def compare(
    sums_y: Sums, sums_z: Sums, floor: float = 1e-5, variance: str = "unbiased"
) -> tuple[Any, Any]:
    """The statistic and p-value of `three_sample_test`, from sums against one x.

    Raises:
      ValueError: a floor that is no number above 0, an unknown variance, or sums of
        samples of two sizes.
    """
    floor = _above_0(floor)
    difference, nu = _three_samples(sums_y, sums_z, variance)
    statistic = difference / ops.sqrt(ops.maximum(nu, floor))
    # erfc and not erf: 1 + erf has no digits left where p is small.
    return statistic, 0.5 * ops.erfc(-statistic / math.sqrt(2.0))


def three_sample_variance(
    x: Any, y: Any, z: Any, kernel: str | Kernel, variance: str = "unbiased"
) -> Any:
    """An estimate of the variance of MMD^2(x, y) - MMD^2(x, z).

    That is of "ustat" estimates, see `variance`. The within-x parts fall out, so that
    with C = k(x, y) and D = k(x, z) "unbiased", whose mean is exactly the variance, is

        V(K_yy) + V(K_zz) + 4 V(C) + 4 V(D) - 8 cov(C, D)
        - 4 cov(K_yy, C) - 4 cov(K_zz, D)

    V and cov being those of the means, with the coefficients of `variance`, and
    cov(C, D) = (C 1 . D 1 - 1'C 1 1'D 1 / m) / (m^3 (m - 1)). Sutherland, arXiv
    1906.02104, corrected as there.

    "plug-in" is the form of Bounliphone et al. (2016) in the code of Binkowski et al.
    (2018). With w = (x, y, z) and

        h(w, w') = k(y, y') - k(x, y') - k(x', y) - k(z, z') + k(x, z') + k(x', z)
        nu = (4 (m - 2) V_w(E h(w, w')) + 2 V_w,w'(h(w, w'))) / (m (m - 1)),

    E over w' and V_w over w, it estimates both V as means of products, without bias,
    less products of means, with bias. Its mean is always below the variance, by a part
    of order 1 / m: a half and more of it with four rows, 3 % with 200.

    Args:
      x, y, z: samples, (m, d) each, m from 4.
      kernel: a kernel or its name.
      variance: one of `THREE_SAMPLE_VARIANCES`: "unbiased" or "plug-in".

    Returns:
      A scalar; it may be below 0.

    Raises:
      ValueError: samples of different sizes, or of fewer than 4 rows; another variance.
    """
    x, y, z = _of_one_size(x, y, z)
    return _three_samples(sums(x, y, kernel), sums(x, z, kernel), variance)[1]


def three_sample_test(
    x: Any,
    y: Any,
    z: Any,
    kernel: str | Kernel,
    floor: float = 1e-5,
    variance: str = "unbiased",
) -> tuple[Any, Any]:
    """Whether y is closer to x than z is: a small p-value says that it is.

        T = (MMD^2(x, y) - MMD^2(x, z)) / sqrt(max(nu, floor)),    p = Phi(T)

    with unbiased MMD^2 and nu of `three_sample_variance`. Bounliphone et al. (2016);
    Binkowski et al. (2018), section 4, for the learning rate of GANs, with poly:3 on
    2048 codes and "plug-in".

    Their floor of 1e-5 is a standard deviation of .00316, where those of KID are
    around .001: with it p < .1 wants a gain of .00405 at least, whatever m is. A
    smaller floor lets the data decide. If both y and z have the law of x, nu is of
    second order, T is no standard normal, and p means nothing.

    Args:
      x: the sample of the target, (m, d), m from 4.
      y, z: the samples that are compared, (m, d) each.
      kernel: a kernel or its name.
      floor: the least variance, in squared units of MMD^2.
      variance: one of `THREE_SAMPLE_VARIANCES`.

    Returns:
      The statistic and the p-value, scalars.

    Raises:
      ValueError: samples of different sizes, or of fewer than 4 rows; a floor that is
        no number above 0; another variance.
    """
    x, y, z = _of_one_size(x, y, z)
    return compare(sums(x, y, kernel), sums(x, z, kernel), floor, variance)


def _above_0(floor: float) -> float:
    if not 0 < floor < math.inf:
        raise ValueError(f"floor of a variance is a number above 0, not {floor!r}")
    return floor


def _two_samples(x, y, kernel, estimator) -> tuple[Any, Any]:
    """MMD^2(x, y) and the estimate of its variance."""
    sized, spread = choose("estimator with a variance", estimator, _VARIANCES)
    x, y = sized(x, y)
    k_xx, k_yy, k_xy = _centred(kernels.get(kernel), x, y)
    within = [ops.sum(k) / math.perm(k.shape[0], 2) for k in (k_xx, k_yy)]
    estimate = sum(within) - 2.0 * means(estimator)[1](k_xy)
    within_x, within_y = _within_sums(k_xx), _within_sums(k_yy)
    rows, columns, square = _across_sums(k_xy)
    shared = _covariance(within_x[0], rows, columns.shape[0])
    shared = shared + _covariance(within_y[0], columns, rows.shape[0])
    nu = _within_variance(*within_x) + _within_variance(*within_y)
    return estimate, nu + 4.0 * spread(rows, columns, square) - 4.0 * shared


def _three_samples(sums_y, sums_z, variance) -> tuple[Any, Any]:
    """MMD^2(x, y) - MMD^2(x, z), unbiased, and the estimate of its variance."""
    of_sums = choose(
        "variance of a three-sample test", variance, THREE_SAMPLE_VARIANCES
    )
    m, other = sums_y.rows.shape[0], sums_z.rows.shape[0]
    if m != other:
        raise ValueError(
            f"sums of samples of one size are compared, not of {m} and {other} rows"
        )
    within = ops.sum(sums_y.within) - ops.sum(sums_z.within)
    across = ops.sum(sums_y.rows) - ops.sum(sums_z.rows)
    return within / math.perm(m, 2) - across * (2.0 / m**2), of_sums(sums_y, sums_z)


def _unbiased_of_sums(y, z):
    m = y.rows.shape[0]
    both = ops.sum(y.rows * z.rows) - ops.sum(y.rows) * ops.sum(z.rows) / m
    nu = both * (-8.0 / (m**3 * (m - 1)))
    for one in (y, z):
        across = _off_diagonal_variance(one.rows, one.columns, one.across_square)
        shared = _covariance(one.within, one.columns, m)
        within = _within_variance(one.within, one.within_square)
        nu = nu + within + 4.0 * across - 4.0 * shared
    return nu


def _plug_in_of_sums(y, z):
    m = y.rows.shape[0]
    pairs, triples = math.perm(m, 2), math.perm(m, 3)
    mean_y, mean_z = (ops.sum(one.rows) / m**2 for one in (y, z))
    both = ops.sum(y.rows * z.rows) / m**3 - mean_y * mean_z
    first, second = -2.0 * both, -4.0 * both  # V_w(E h(w, w')), V_w,w'(h(w, w'))
    for one, mean_across in [(y, mean_y), (z, mean_z)]:
        mean_within = ops.sum(one.within) / pairs
        shared = ops.sum(one.within * one.columns) / (m * pairs)
        shared = shared - mean_within * mean_across
        of_y = (_squares(one.within) - one.within_square) / triples
        sides = _squares(one.rows) + _squares(one.columns) - 2.0 * one.across_square
        sides = sides / (m * pairs) - 2.0 * ops.square(mean_across)
        first = first + of_y - ops.square(mean_within) + sides - 2.0 * shared
        of_pair = one.within_square / pairs - ops.square(mean_within)
        of_cross = one.across_square / m**2 - ops.square(mean_across)
        second = second + of_pair + 2.0 * of_cross - 4.0 * shared
    return (4.0 * (m - 2) * first + 2.0 * second) / pairs


# variance of a three-sample test -> its estimate from the sums of y and of z
THREE_SAMPLE_VARIANCES: dict[str, Callable[[Sums, Sums], Any]] = {
    "unbiased": _unbiased_of_sums,
    "plug-in": _plug_in_of_sums,
}


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


def _centred(kernel: Kernel, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """k(x, x) and k(y, y) without their diagonals, and k(x, y), less its mean each.

    A constant more in the kernel changes neither MMD^2 nor its variance, but the sums
    of it would leave float32 little room.
    """
    k_xy = kernel(x, y)
    shift = ops.mean(k_xy)
    k_xx, k_yy = (_without_diagonal(kernel(rows, rows) - shift) for rows in (x, y))
    return k_xx, k_yy, k_xy - shift


def _without_diagonal(k):
    return k * (1.0 - ops.eye(k.shape[0], dtype=k.dtype))


def _squares(entries):
    return ops.sum(ops.square(entries))


def _within_sums(k):
    """K 1 and |K|^2."""
    return ops.sum(k, 1), _squares(k)


def _across_sums(k):
    """C 1, C' 1 and |C|^2."""
    return ops.sum(k, 1), ops.sum(k, 0), _squares(k)


def _within_variance(rows, square):
    """Of the mean of k(x_i, x_j), i != j, with the sums of K."""
    m = rows.shape[0]
    squares = 4.0 * _squares(rows) - 2.0 * square
    total = ops.square(ops.sum(rows)) * (2 * (2 * m - 3) / math.perm(m, 2))
    return (squares - total) / float(math.perm(m, 4))


def _off_diagonal_variance(rows, columns, square):
    """Of the mean of k(x_i, y_j), i != j, with the sums of C."""
    m = rows.shape[0]
    sides = (_squares(rows) + _squares(columns)) * float(m * m - m - 1)
    total = ops.square(ops.sum(rows)) * float(2 * m - 3)
    return (sides - total - square * float(m * (m - 2))) / float((m * m - m) ** 3)


def _whole_variance(rows, columns, square):
    """Of the mean of all k(x_i, y_j); k is centred, so that 1'C 1 is 0."""
    n, m = rows.shape[0], columns.shape[0]
    sides = _squares(rows) + _squares(columns)
    return (sides - square) / float(math.perm(n, 2) * math.perm(m, 2))


def _covariance(within, sides, m):
    """Of the means of k(x_i, x_j), i != j, and of k(x_i, y_j), of m rows y.

    With K 1, and the sums of C of each row of x.
    """
    n = within.shape[0]
    both = ops.sum(within * sides) - ops.sum(within) * ops.sum(sides) / n
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
