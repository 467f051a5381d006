"""Distances between two samples of features, and figures of one, in float64.

    figure               says                                      better is
    frechet_distance     of Gaussians fitted to both               lower
    kid, kid_blocks      MMD^2 with a cubic kernel, unbiased       lower
    mmd                  MMD^2 with any kernel                     lower
    precision_recall     generated among real, real among          higher
                         generated
    density_coverage     the same, less moved by outliers          higher
    inception_score      sure of each sample, of many classes      higher
    ms_ssim              how alike images are                      lower
    sliced_wasserstein   of the images' patches                    lower

x are the real samples and y the generated ones. Figures compare laws through samples:
say with each what the features are and how many samples there were (`gantf.evaluate`
does). The last two take images, and live in `gantf.pyramids`.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import log_softmax, logsumexp

from gantf import kernels
from gantf.choices import choose, whole_number
from gantf.pyramids import ms_ssim as ms_ssim
from gantf.pyramids import sliced_wasserstein as sliced_wasserstein

_DISTANCES = 2**23  # held at once: 64 MB
_KERNEL_NUMBERS = 2**24  # rows times rows times features held at once: 128 MB
# Of |a|^2 + |b|^2, what |a|^2 + |b|^2 - 2 a . b may be off by: some d times 1e-16.
_ROUNDING = 1e-12
# estimator -> whether pairs i = j count within a sample, and across the two
_ESTIMATORS = {
    "unbiased": (False, True),
    "biased": (True, True),
    "ustat": (False, False),
}


class Moments:
    """The mean and covariance of features that come batch by batch.

    Batches are merged by their means and centred squares (Chan, Golub, LeVeque, 1983),
    which loses nothing for features far from 0, as sums of squares do.

    Attributes:
      n: how many rows there were; None where that is not known.
      mean: (d,), None before the first batch.
      cov: the covariance over n - 1, (d, d); 0 of a single row.
    """

    def __init__(self):
        self.n: int | None = 0
        self.mean: np.ndarray | None = None
        self.cov: np.ndarray | None = None

    @classmethod
    def of(cls, mean: Any, cov: Any, n: int | None = None) -> Moments:
        """Those that are known, as `mu` and `sigma` in pytorch-fid's files.

        Args:
          mean: (d,).
          cov: (d, d), over n - 1.
          n: of how many rows, from 2; without it, no more rows can be added.
        """
        made = cls()
        made.mean, made.cov = (np.array(part, np.float64) for part in (mean, cov))
        d = made.mean.size
        if not d or (made.mean.shape, made.cov.shape) != ((d,), (d, d)):
            raise ValueError(
                "moments are a mean (d,) and a covariance (d, d), not "
                f"{made.mean.shape} and {made.cov.shape}"
            )
        if not (np.isfinite(made.mean).all() and np.isfinite(made.cov).all()):
            raise ValueError("moments are finite numbers, not NaN or infinite")
        if not np.allclose(made.cov, made.cov.T, 1e-6, 1e-6 * np.abs(made.cov).max()):
            raise ValueError("a covariance is symmetric, this one is not")
        if n is not None:
            whole_number("n of moments", n, 2)
        made.n = n
        return made

    def update(self, features: Any) -> None:
        """Adds a batch of rows, (m, d) with m from 1."""
        (rows,) = _rows(features, least=1)
        if self.n is None:
            raise ValueError(
                "moments of an unknown number of rows take no more rows; give n with "
                "the mean and covariance"
            )
        if self.mean is None:
            self.mean, self.cov = np.zeros(rows.shape[1]), np.zeros(2 * rows.shape[1:])
        _check_lengths(len(self.mean), rows.shape[1])
        n, m = self.n, len(rows)
        mean = rows.mean(axis=0)
        step = mean - self.mean
        # The squares of the step between the means count n m / (n + m) times.
        spread = np.vstack([rows - mean, math.sqrt(n * m / (n + m)) * step])
        self.cov *= max(n - 1, 0)
        self.cov += spread.T @ spread
        self.cov /= max(n + m - 1, 1)
        self.mean = self.mean + step * (m / (n + m))
        self.n = n + m


def frechet_distance(x: Any, y: Any) -> float:
    """The Frechet distance of two Gaussians fitted to the samples.

        |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2))

    with covariances over n - 1. Heusel et al. (2017), equation 6; on the Inception
    net's pool3 features it is called FID. It is biased up for few samples: below
    about ten times as many as features, prefer `kid`. The trace of the root is the
    sum of the roots of the eigenvalues of S_x^(1/2) S_y S_x^(1/2): no matrix root,
    so no imaginary parts and no failure where a covariance has no full rank.

    Args:
      x, y: features, (n, d) and (m, d), at least two rows each, or `Moments` of them.

    Returns:
      The distance, 0 or above.
    """
    x, y = _moments(x), _moments(y)
    _check_lengths(len(x.mean), len(y.mean))
    step = x.mean - y.mean
    values, vectors = np.linalg.eigh(x.cov)
    root = vectors * np.sqrt(np.maximum(values, 0.0))  # root @ root.T = S_x
    shared = np.linalg.eigvalsh(root.T @ y.cov @ root)
    cross = np.sqrt(np.maximum(shared, 0.0)).sum()
    distance = step @ step + np.trace(x.cov) + np.trace(y.cov) - 2.0 * cross
    return float(max(distance, 0.0))


def _moments(sample: Any) -> Moments:
    if not isinstance(sample, Moments):
        (rows,) = _rows(sample)
        sample = Moments()
        sample.update(rows)
    if sample.n is not None and sample.n < 2:
        raise ValueError(f"a covariance wants 2 rows at least, not {sample.n}")
    return sample


def kid(
    x: Any, y: Any, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """The kernel distance: MMD^2 with the kernel (a . b / d + 1)^3, unbiased.

    Binkowski et al. (2018), section 4; on the Inception net's features it is called
    KID. The mean over subsets drawn without replacement, x's first and then y's, by
    NumPy's RandomState(seed), as torch-fidelity does, whose input1 is x: the order of
    the two changes the draws. Papers print it as it is, x 10^2 or x 10^3.

    It may be below 0: MMD^2 is not, but an estimate whose mean is MMD^2 for samples of
    every size must be so, as often as not, where MMD^2 is 0. Below 0 means that the
    samples do not tell the laws apart. Cutting it off at 0 would make it biased.

    Args:
      x, y: features, (n, d) and (m, d).
      subsets: how many.
      subset_size: rows of a subset; more than there are is cut, with a warning.
      seed: of the draws.

    Returns:
      The mean over the subsets and their standard deviation (over `subsets`). That is
      the spread of one subset, not the error of the mean.
    """
    x, y = _rows(x, y)
    whole_number("subsets", subsets, 1)
    whole_number("subset_size", subset_size, 2)
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


def kid_blocks(x: Any, y: Any, block_size: int = 1024) -> tuple[float, float]:
    """The kernel distance of `kid`, of disjoint blocks that use each sample once.

    TF-GAN's and compare_gan's rule: the larger sample makes ceil(n / block_size)
    blocks of consecutive rows, the other as many, and what is left over goes one by
    one to the last blocks. Rows are to be in random order. It may be below 0, as `kid`
    may.

    Args:
      x, y: features, (n, d) and (m, d).
      block_size: rows of a block, at most.

    Returns:
      The mean over the blocks and its standard error, NaN of one block.
    """
    x, y = _rows(x, y)
    whole_number("block_size", block_size, 2)
    blocks = -(-max(len(x), len(y)) // block_size)
    if min(len(x), len(y)) < 2 * blocks:
        raise ValueError(
            f"{blocks} blocks want 2 samples each at least, not {len(x)} and {len(y)} "
            "in all; take larger blocks"
        )
    parts = []
    for sample in (x, y):
        least, more = divmod(len(sample), blocks)
        sizes = [least + (i >= blocks - more) for i in range(blocks)]
        parts.append(np.split(sample, np.cumsum(sizes)[:-1]))
    values = [_cubic_mmd2(a, b) for a, b in zip(*parts)]
    if blocks == 1:
        return float(values[0]), math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(blocks))


def _cubic_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased MMD^2 with the cubic kernel; the cross term keeps all pairs."""
    d = x.shape[1]

    def kernel(a, b):
        return (a @ b.T / d + 1.0) ** 3

    def within(a):
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2.0 * kernel(x, y).mean()


def mmd(
    x: Any, y: Any, kernel: str | kernels.Kernel, estimator: str = "unbiased"
) -> float:
    """MMD^2 with any kernel of `gantf.kernels`, of samples of any size.

    The same as `gantf.mmd.mmd2` where that has the memory: kernels are taken block by
    block. Unbiased estimates may be below 0, see `kid`; kid of all rows at once is
    "poly:3".

    Args:
      x, y: features, (n, d) and (m, d).
      kernel: a kernel or its name.
      estimator: "unbiased", "biased" or "ustat", see `gantf.mmd`.

    Raises:
      ValueError: an unknown kernel or estimator.
    """
    x, y = _rows(x, y)
    k = values = kernels.get(kernel)
    diagonal, across = choose("estimator", estimator, _ESTIMATORS)
    step = max(1, math.isqrt(_KERNEL_NUMBERS // x.shape[1]))
    if _is_radial(k):  # their squares need no differences, of rows times rows times d
        x, y = _centred(x, y)
        values, step = functools.partial(_of_squares, k), math.isqrt(_DISTANCES)

    def within(rows):
        others = _mean(values, rows, rows, False, step)
        if not diagonal:
            return others
        own, n = float(np.mean(k.diagonal(rows))), len(rows)
        return ((n - 1) * others + own) / n

    return within(x) + within(y) - 2.0 * _mean(values, x, y, across, step)


def _is_radial(k: kernels.Kernel) -> bool:
    """Whether a kernel is a function of the distance."""
    try:
        k.of_squares(np.zeros(1))
    except ValueError:
        return False
    return True


def _of_squares(k: kernels.Kernel, x: np.ndarray, y: np.ndarray) -> Any:
    """k(x_i, y_j), |x_i|^2 + |y_j|^2 - 2 x_i . y_j being the square of the distance."""
    sums = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    return k.of_squares(np.maximum(sums - 2.0 * x @ y.T, 0.0))


def _mean(k: Any, x: np.ndarray, y: np.ndarray, all_pairs: bool, step: int) -> float:
    """The mean of k(x_i, y_j), `step` rows at once; of all pairs, or without i = j."""
    total = 0.0
    for i in range(0, len(x), step):
        for j in range(0, len(y), step):
            block = np.array(k(x[i : i + step], y[j : j + step]))
            if i == j and not all_pairs:
                np.fill_diagonal(block, 0.0)
            total += float(block.sum())
    left_out = 0 if all_pairs else min(len(x), len(y))
    return total / (len(x) * len(y) - left_out)


def precision_recall(x: Any, y: Any, k: int = 3) -> tuple[float, float]:
    """The share of generated samples near real ones, and of real near generated ones.

    Near is in the ball, of one of the others at least, whose radius is the distance to
    that one's k-th nearest neighbour among its like, itself not counted. Kynkaanniemi
    et al. (2019), section 2. The border counts (<=), as in their code and in
    torch-fidelity, so that copies are near whatever the radius. Both depend on n and
    m: a comparison wants samples of one size.

    Args:
      x, y: features, real (n, d) and generated (m, d).
      k: which neighbour, below n and m.

    Returns:
      Precision and recall, 0..1.
    """
    x, y = _centred(x, y)
    radii_x, radii_y = _radii(x, k), _radii(y, k)
    precise, recalled = np.zeros(len(y), bool), np.zeros(len(x), bool)
    for rows, squares, slack in _squares(x, y):
        precise |= (squares <= radii_x[rows, None] + slack).any(axis=0)
        recalled[rows] = (squares <= radii_y + slack).any(axis=1)
    return float(precise.mean()), float(recalled.mean())


def density_coverage(x: Any, y: Any, k: int = 5) -> tuple[float, float]:
    """How many real balls hold a generated sample, and how many hold any.

        density   1 / (k m) sum_j #{i: y_j in the ball of x_i}
        coverage  1 / n     #{i: some y_j in the ball of x_i}

    with balls of real samples as in `precision_recall`, the border in them. Naeem et
    al. (2020); their code leaves the border out, which only copies and samples with
    ties can tell: of a set to itself density is (k + 1) / k here.
    For two samples of one law the means are 1 and, lemma 2, 1 - prod_(i=1..k)
    (n - i) / (n + m - i).

    Args:
      x, y: features, real (n, d) and generated (m, d).
      k: which neighbour, below n.

    Returns:
      Density, which may be above 1, and coverage, 0..1.
    """
    x, y = _centred(x, y)
    radii = _radii(x, k)
    held, covered = 0, np.zeros(len(x), bool)
    for rows, squares, slack in _squares(x, y):
        inside = squares <= radii[rows, None] + slack
        held += int(inside.sum())
        covered[rows] = inside.any(axis=1)
    return held / (k * len(y)), float(covered.mean())


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """The squared distance of each row to its k-th nearest other one."""
    if not isinstance(k, int | np.integer) or not 1 <= k < len(x):
        raise ValueError(
            f"k is a whole number from 1, below the number of samples {len(x)}, "
            f"not {k!r}"
        )
    radii = np.empty(len(x))
    for rows, squares, _ in _squares(x, x):
        own = np.arange(len(squares))
        squares[own, own + rows.start] = np.inf
        radii[rows] = np.partition(squares, k - 1, axis=1)[:, k - 1]
    return radii


def _squares(
    x: np.ndarray, y: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Squared distances of some rows of x to all of y, and what they may be off by.

    The distance of copies need not come out as 0, nor that of the same two rows the
    same in two blocks; with the slack on a radius, they still lie within it.
    """
    squares_x, squares_y = ((z * z).sum(axis=1) for z in (x, y))
    step = max(1, _DISTANCES // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        sums = squares_x[rows, None] + squares_y
        yield rows, np.maximum(sums - 2.0 * x[rows] @ y.T, 0.0), _ROUNDING * sums


def _centred(*samples: Any) -> list[np.ndarray]:
    """The samples less the mean of the first: far from 0, distances lose digits."""
    arrays = _rows(*samples)
    mean = arrays[0].mean(axis=0)
    return [array - mean for array in arrays]


def inception_score(logits: Any, splits: int = 10) -> tuple[float, float]:
    """The inception score of classifications: exp of the mean KL(p(c | y) || p(c)).

    Salimans et al. (2016), section 4. Between 1, all samples being classified alike,
    and the number of classes. Split i of s holds rows i n // s to (i + 1) n // s, as in
    their code, and the marginal p(c) is that of the split, so that few samples a split
    make it lower. Codes differ: theirs takes logits without the bias of the last layer
    and 10 splits of the samples as they come; torch-fidelity takes rows in the order
    RandomState(2020).permutation(n) first; others take 1 split.

    Args:
      logits: of the generated samples, (n, classes).
      splits: how many, at most n.

    Returns:
      The mean over the splits and their standard deviation (over `splits`).
    """
    (logits,) = _rows(logits, least=1, what="logits are (n, classes)")
    whole_number("splits", splits, 1)
    n = len(logits)
    if n < splits:
        raise ValueError(f"{splits} splits want as many samples at least, not {n}")
    scores = []
    for part in np.split(logits, [i * n // splits for i in range(1, splits)]):
        # With logarithms of both, a probability of 0 is no special case.
        log_p = log_softmax(part, axis=1)
        log_marginal = logsumexp(log_p, axis=0) - math.log(len(part))
        divergences = (np.exp(log_p) * (log_p - log_marginal)).sum(axis=1)
        scores.append(math.exp(divergences.mean()))
    return float(np.mean(scores)), float(np.std(scores))


def _rows(
    *samples: Any, least: int = 2, what: str = "features are (n, d)"
) -> list[np.ndarray]:
    """The samples in float64, checked."""
    arrays = [np.asarray(sample, np.float64) for sample in samples]
    for array in arrays:
        if array.ndim != 2 or len(array) < least or not array.shape[1]:
            raise ValueError(f"{what} with n from {least}, not {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(
                f"{what.split()[0]} are finite numbers, not NaN or infinite"
            )
    _check_lengths(*(array.shape[1] for array in arrays))
    return arrays


def _check_lengths(*lengths: int) -> None:
    if len(set(lengths)) > 1:
        shown = " and ".join(map(str, lengths))
        raise ValueError(f"features have one length, not {shown}")
