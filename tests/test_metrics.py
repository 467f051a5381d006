"""Tests of metrics.py: closed forms, pinned numbers, SciPy; small and broken sets."""

import itertools
import math

import numpy as np
import pytest
import references
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import norm

from gantf import metrics, mmd, pyramids


def gaussian(n, d, seed, scale=1.0, shift=0.0):
    return np.random.RandomState(seed).randn(n, d) * scale + shift


def test_frechet_distance_pinned():
    # sqrtm, eigvals and eigh agree on this number to 1e-12 (computed with NumPy
    # 2.4.6 and SciPy 1.17).
    rng = np.random.RandomState(2020)
    a = rng.randn(64, 64) / 8
    x = rng.randn(3000, 64) @ a + 0.1
    y = rng.randn(3000, 64) @ (a * 1.1)
    assert metrics.frechet_distance(x, y) == pytest.approx(1.771801820187, abs=1e-10)


def test_frechet_distance_of_shifted_samples_is_the_squared_shift():
    x = gaussian(500, 5, 0)
    shift = np.array([1.0, -2.0, 0.0, 0.5, 3.0])
    assert metrics.frechet_distance(x, x + shift) == pytest.approx(shift @ shift)


def test_frechet_distance_against_sqrtm():
    x, y = gaussian(400, 6, 0), gaussian(300, 6, 1) @ np.diag([1, 2, 3, 0.1, 1, 5])
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    mean = x.mean(0) - y.mean(0)
    root = scipy.linalg.sqrtm(cov_x @ cov_y).real
    expected = mean @ mean + np.trace(cov_x + cov_y - 2 * root)
    assert metrics.frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_few_samples_is_finite_and_symmetric():
    x, y = gaussian(3, 50, 0), gaussian(4, 50, 1)
    assert metrics.frechet_distance(x, y) == pytest.approx(
        metrics.frechet_distance(y, x), rel=1e-6
    )
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_one_feature():
    # |m1 - m2|^2 + (s1 - s2)^2 with standard deviations over n - 1.
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    expected = (1 - 3) ** 2 + (np.sqrt(2) - np.sqrt(8)) ** 2
    assert metrics.frechet_distance(x, y) == pytest.approx(expected)


def test_kid_by_hand():
    # d = 1, k = (ab + 1)^3; x = 0, 1; y = 2, -1: means 1, -1 and of 1 1 27 0.
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [-1.0]])
    mean, std = metrics.kid(x, y, subsets=3, subset_size=2)
    assert mean == pytest.approx(1.0 - 1.0 - 2 * (1 + 1 + 27 + 0) / 4)
    assert std == pytest.approx(0.0)


def test_kid_draws_as_torch_fidelity_does():
    # Its rule written out: RandomState(2020), x's subset first, then y's.
    x, y = gaussian(40, 3, 0), gaussian(50, 3, 1, 1.2)
    rng, values = np.random.RandomState(2020), []
    for _ in range(7):
        a = x[rng.choice(40, 20, replace=False)]
        b = y[rng.choice(50, 20, replace=False)]

        def k(p, q):
            return (p @ q.T / 3 + 1) ** 3

        def off(m):
            return (m.sum() - np.trace(m)) / (20 * 19)

        values.append(off(k(a, a)) + off(k(b, b)) - 2 * k(a, b).mean())
    mean, std = metrics.kid(x, y, subsets=7, subset_size=20)
    assert (mean, std) == pytest.approx((np.mean(values), np.std(values)), rel=1e-10)


def test_kid_is_unbiased():
    # The cubic kernel sees three raw moments: for N(0,1) and N(1,1), d = 1,
    # 3 (dM1)^2 + 3 (dM2)^2 + (dM3)^2 = 3 + 3 + 16 = 22. 400 disjoint subsets of 50;
    # their mean is within 4 standard errors in all but 1 of 16,000 runs.
    x, y = gaussian(20000, 1, 0), gaussian(20000, 1, 1, shift=1.0)
    values = [
        metrics.kid(x[i : i + 50], y[i : i + 50], 1, 50)[0] for i in range(0, 20000, 50)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - 22) < 4 * error


def test_kid_cuts_subsets_to_what_there_is():
    x, y = gaussian(30, 2, 0), gaussian(20, 2, 1)
    with pytest.warns(UserWarning) as caught:
        metrics.kid(x, y, subsets=2)
    assert str(caught[0].message) == (
        "kid: subsets of 20, not 1000: there are 30 and 20 samples"
    )


@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 99))
def test_distances_do_not_depend_on_the_order_of_rows(n, d, seed):
    x, y = gaussian(n, d, seed), gaussian(n + 1, d, seed + 1)
    order = np.random.RandomState(seed).permutation(n)
    # A covariance without full rank has eigenvalues of 1e-15, whose roots count.
    assert metrics.frechet_distance(x, y) == pytest.approx(
        metrics.frechet_distance(x[order], y), abs=1e-6
    )
    # With subsets of all rows of x and y the order says nothing.
    x, y = x[: min(n, len(y))], y[:n]
    assert metrics.kid(x, y, 1, n)[0] == pytest.approx(
        metrics.kid(x[order], y, 1, n)[0]
    )


# ---- moments and the Frechet distance of them


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_moments_do_not_depend_on_the_batches(sizes, seed):
    rows = gaussian(sum(sizes) + 1, 3, seed, 2.0, 5.0)
    moments = metrics.Moments()
    for batch in np.split(rows, np.cumsum(sizes)):
        moments.update(batch)
    assert moments.n == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.cov, np.cov(rows.T), rtol=1e-11, atol=1e-12)


def test_moments_of_one_feature_by_hand():
    moments = metrics.Moments()
    for batch in ([[1.0]], [[2.0], [6.0]]):
        moments.update(batch)
    assert (moments.n, *moments.mean) == (3, 3.0)
    assert moments.cov == pytest.approx((4 + 1 + 9) / 2)
    assert moments.cov.shape == (1, 1)


def test_moments_of_features_far_from_0():
    """Offset 1e8, float32 steps of 8: sums of squares, 1e16, would leave nothing."""
    rows = (gaussian(300, 4, 0, 100.0) + 1e8).astype(np.float32)
    moments = metrics.Moments()
    for batch in np.array_split(rows, 40):
        moments.update(batch)
    truth = np.cov(rows.astype(np.float64).T - 1e8)
    np.testing.assert_allclose(moments.cov, truth, rtol=1e-9, atol=1e-6)


def test_updates_leave_what_was_given_alone():
    mean, cov = np.zeros(2), np.eye(2)
    moments = metrics.Moments.of(mean, cov, 5)
    moments.update([[1.0, 2.0]])
    assert (mean == 0).all() and (cov == np.eye(2)).all()


def test_known_moments_take_more_rows():
    rows = gaussian(20, 3, 0, 2.0, 1.0)
    known = metrics.Moments.of(rows[:12].mean(axis=0), np.cov(rows[:12].T), 12)
    known.update(rows[12:])
    np.testing.assert_allclose(known.cov, np.cov(rows.T), rtol=1e-12)


def test_frechet_distance_takes_moments_on_either_side():
    x, y = gaussian(50, 4, 0), gaussian(40, 4, 1, 1.5, 0.3)
    truth = metrics.frechet_distance(x, y)
    known = metrics.Moments.of(y.mean(axis=0), np.cov(y.T))
    streamed = metrics.Moments()
    for batch in np.split(x, 5):
        streamed.update(batch)
    for pair in [(x, known), (streamed, y), (streamed, known)]:
        assert metrics.frechet_distance(*pair) == pytest.approx(truth, rel=1e-10)


def test_frechet_distance_of_diagonal_covariances():
    """|m - m'|^2 + sum (s - s')^2 with the standard deviations s, s'."""
    m, n = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0])
    s, t = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 0.1])
    found = metrics.frechet_distance(
        metrics.Moments.of(m, np.diag(s**2)), metrics.Moments.of(n, np.diag(t**2))
    )
    assert found == pytest.approx(1 + 4 + np.sum((s - t) ** 2), rel=1e-9)


def test_frechet_distance_of_rectified_gaussians():
    """1123.0447 for max(x, 0), x ~ N(1, I) and N(0, I) in 2048 dimensions (Binkowski et
    al., 2018, appendix D, print 1123.0); a 128th of it in 16.
    """

    def law(mean):
        first = mean * norm.cdf(mean) + norm.pdf(mean)
        second = (mean**2 + 1) * norm.cdf(mean) + mean * norm.pdf(mean)
        return metrics.Moments.of([first] * 16, (second - first**2) * np.eye(16))

    found = metrics.frechet_distance(law(1.0), law(0.0))
    assert 128 * found == pytest.approx(1123.0447, abs=1e-4)


def few(n, d, seed):
    return gaussian(n, d, seed, 2.0, 1.0)


@pytest.mark.parametrize("n, m, d", [(2, 2, 1), (2, 3, 7), (5, 40, 12), (20, 4, 12)])
def test_frechet_distance_without_full_rank(n, m, d):
    """tr (S_x S_y)^(1/2) is the sum of the singular values of X Y' / sqrt((n - 1)
    (m - 1)) with centred rows. Eigenvalues of 1e-16 have roots of 1e-8.
    """
    x, y = few(n, d, 0), few(m, d, 1)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    values = scipy.linalg.svdvals(a @ b.T) / math.sqrt((n - 1) * (m - 1))
    traces = (a**2).sum() / (n - 1) + (b**2).sum() / (m - 1)
    step = x.mean(axis=0) - y.mean(axis=0)
    truth = step @ step + traces - 2 * values.sum()
    for pair in [(x, y), (y, x)]:
        assert metrics.frechet_distance(*pair) == pytest.approx(truth, abs=1e-5)


def test_frechet_distance_of_constant_features():
    x, y = np.full((5, 3), 2.0), np.full((4, 3), 4.0)
    assert metrics.frechet_distance(x, y) == 12.0
    varied = gaussian(9, 3, 0)
    truth = np.sum((varied.mean(axis=0) - 2) ** 2) + np.trace(np.cov(varied.T))
    assert metrics.frechet_distance(x, varied) == pytest.approx(truth)
    assert metrics.frechet_distance(varied, x) == pytest.approx(truth)


def test_frechet_distance_of_float32_features_far_from_0():
    """Offsets of 2^20 keep features of steps 1/8 exact in float32."""
    x, y = (np.round(gaussian(60, 3, seed, 9.0) * 8) / 8 for seed in (0, 1))
    far = [(z + 2.0**20).astype(np.float32) for z in (x, y)]
    truth = metrics.frechet_distance(x, y)
    assert metrics.frechet_distance(*far) == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: metrics.Moments.of(np.zeros(3), np.zeros((2, 2))),
            "moments are a mean (d,) and a covariance (d, d), not (3,) and (2, 2)",
        ),
        (
            lambda: metrics.Moments.of(np.zeros((1, 3)), np.zeros((3, 3))),
            "moments are a mean (d,) and a covariance (d, d), not (1, 3) and (3, 3)",
        ),
        (
            lambda: metrics.Moments.of([], np.zeros((0, 0))),
            "moments are a mean (d,) and a covariance (d, d), not (0,) and (0, 0)",
        ),
        (
            lambda: metrics.Moments.of([0.0], [[np.nan]]),
            "moments are finite numbers, not NaN or infinite",
        ),
        (
            lambda: metrics.Moments.of([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]),
            "a covariance is symmetric, this one is not",
        ),
        (
            lambda: metrics.Moments.of([0.0], [[1.0]], 1),
            "n of moments is a whole number from 2, not 1",
        ),
        (
            lambda: metrics.Moments.of([0.0], [[1.0]]).update([[1.0]]),
            "moments of an unknown number of rows take no more rows; give n with the "
            "mean and covariance",
        ),
        (
            lambda: metrics.Moments.of([0.0], [[1.0]], 3).update([[1.0, 2.0]]),
            "features have one length, not 1 and 2",
        ),
        (
            lambda: metrics.Moments().update(np.zeros((0, 3))),
            "features are (n, d) with n from 1, not (0, 3)",
        ),
        (
            lambda: metrics.frechet_distance(metrics.Moments(), np.zeros((2, 1))),
            "a covariance wants 2 rows at least, not 0",
        ),
        (
            lambda: metrics.frechet_distance(
                metrics.Moments.of([0.0], [[1.0]]), np.zeros((4, 2))
            ),
            "features have one length, not 1 and 2",
        ),
    ],
)
def test_error_messages_of_moments(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_error_moments_of_a_single_row():
    moments = metrics.Moments()
    moments.update([[1.0, 2.0]])
    with pytest.raises(ValueError) as caught:
        metrics.frechet_distance(moments, np.zeros((2, 2)))
    assert str(caught.value) == "a covariance wants 2 rows at least, not 1"


# ---- KID


def cubic(x, y):
    return references.poly(x, y, 3)


def test_kid_of_subsets_of_2_is_exact_on_average():
    """All samples of 2 from P on 0, 1 and Q on -1, 2, weighed with their chances: 3
    (dM1)^2 + 3 (dM2)^2 + (dM3)^2 of the raw moments, which is the cubic kernel's MMD^2.
    """
    p, q = {0.0: 0.3, 1.0: 0.7}, {-1.0: 0.6, 2.0: 0.4}
    mean = 0.0
    for a, b, c, d in itertools.product(p, p, q, q):
        chance = p[a] * p[b] * q[c] * q[d]
        mean += chance * metrics.kid([[a], [b]], [[c], [d]], 1, 2)[0]
    steps = [
        sum(w * v**power for v, w in p.items())
        - sum(w * v**power for v, w in q.items())
        for power in (1, 2, 3)
    ]
    truth = 3 * steps[0] ** 2 + 3 * steps[1] ** 2 + steps[2] ** 2
    assert mean == pytest.approx(truth, rel=1e-12)


def test_kid_of_a_set_to_itself_is_below_0():
    """k = 1 1 / 1 8 of 0 and 1: twice 1, less twice 11 / 4."""
    x = [[0.0], [1.0]]
    assert metrics.kid(x, x, 1, 2) == pytest.approx((-3.5, 0.0))


def test_kid_of_one_law_is_below_0_about_as_often_as_not():
    """400 pairs of samples; the estimate is skewed, so from a quarter to 3 quarters."""
    x, y = gaussian(8000, 2, 0), gaussian(8000, 2, 1)
    below = [metrics.kid(a, b, 1, 20)[0] < 0 for a, b in zip_blocks(x, y, 20)]
    assert 100 < sum(below) < 300


def zip_blocks(x, y, size):
    return zip(np.split(x, len(x) // size), np.split(y, len(y) // size))


def test_kid_blocks_are_disjoint_and_use_all_rows():
    """5 and 7 rows in blocks of 3 at most: 3 blocks of 1 2 2 would be too few rows of
    the former, so 9 and 7, 4: 3 blocks of 3 3 3 and 2 2 3; TF-GAN's longer ones last.
    """
    x, y = gaussian(9, 2, 0), gaussian(7, 2, 1, 1.5)
    values = [
        references.mmd2(x[i : i + 3], y[j], cubic, "unbiased")
        for i, j in [(0, slice(0, 2)), (3, slice(2, 4)), (6, slice(4, 7))]
    ]
    truth = np.mean(values), np.std(values, ddof=1) / math.sqrt(3)
    assert metrics.kid_blocks(x, y, 3) == pytest.approx(truth, rel=1e-12)
    values = [
        references.mmd2(y[j], x[i : i + 3], cubic, "unbiased")
        for i, j in [(0, slice(0, 2)), (3, slice(2, 4)), (6, slice(4, 7))]
    ]
    assert metrics.kid_blocks(y, x, 3)[0] == pytest.approx(np.mean(values), rel=1e-12)


def test_longer_blocks_are_the_last():
    """10 rows in 4 blocks: 2 2 3 3."""
    x = gaussian(10, 2, 0)
    parts = [slice(0, 2), slice(2, 4), slice(4, 7), slice(7, 10)]
    truth = np.mean([references.mmd2(x[p], 2 * x[p], cubic, "unbiased") for p in parts])
    assert metrics.kid_blocks(x, 2 * x, 3)[0] == pytest.approx(truth, rel=1e-12)


def test_one_block_has_no_error():
    x, y = gaussian(9, 2, 0), gaussian(7, 2, 1)
    mean, error = metrics.kid_blocks(x, y)
    assert mean == pytest.approx(references.mmd2(x, y, cubic, "unbiased"), rel=1e-12)
    assert math.isnan(error)


def test_kid_of_blocks_of_10_is_unbiased():
    """N(0, 1) and N(1, 1): 22 as above, 2000 blocks, within 4 standard errors in all
    but 1 of 16,000 runs.
    """
    x, y = gaussian(20000, 1, 0), gaussian(20000, 1, 1, shift=1.0)
    mean, error = metrics.kid_blocks(x, y, 10)
    assert abs(mean - 22) < 4 * error
    assert error < 1  # a tenth of their sd, about 27 with 50 rows a block


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda x: metrics.kid(x, x, subsets=0),
            "subsets is a whole number from 1, not 0",
        ),
        (
            lambda x: metrics.kid(x, x, subset_size=1),
            "subset_size is a whole number from 2, not 1",
        ),
        (
            lambda x: metrics.kid(x, x, subset_size=2.5),
            "subset_size is a whole number from 2, not 2.5",
        ),
        (
            lambda x: metrics.kid_blocks(x, x, 1),
            "block_size is a whole number from 2, not 1",
        ),
        (
            lambda x: metrics.kid_blocks(x, x[:5], 3),
            "3 blocks want 2 samples each at least, not 8 and 5 in all; take larger "
            "blocks",
        ),
    ],
)
def test_error_messages_of_kid(call, message):
    with pytest.raises(ValueError) as caught:
        call(np.zeros((8, 2)))
    assert str(caught.value) == message


# ---- MMD^2 with any kernel


@pytest.mark.parametrize("estimator", ["unbiased", "biased", "ustat"])
@pytest.mark.parametrize(
    "name, kernel",
    [
        ("rbf:1.5", lambda x, y: references.rbf(x, y, 1.5)),
        ("poly:3", cubic),
    ],
)
@pytest.mark.parametrize("numbers", [12, 1000])  # blocks of 2 and of 18 rows
def test_mmd_block_by_block(name, kernel, estimator, numbers, monkeypatch):
    """Against all pairs in loops; float32 anywhere would leave 1e-7."""
    for blocks in ("_KERNEL_NUMBERS", "_DISTANCES"):
        monkeypatch.setattr(metrics, blocks, numbers)
    x, y = gaussian(7, 3, 0), gaussian(5, 3, 1, 1.5, 0.5)
    for a, b in [(x, y), (y, x)]:
        truth = references.mmd2(a, b, kernel, estimator)
        found = metrics.mmd(a, b, name, estimator)
        assert found == pytest.approx(truth, rel=1e-11, abs=1e-12)
        assert type(found) is float


def test_mmd_takes_the_estimators_of_matrices():
    assert list(metrics._ESTIMATORS) == list(mmd.MEANS)
    with pytest.raises(ValueError) as caught:
        metrics.mmd(np.zeros((4, 1)), np.zeros((4, 1)), "dot", "linear")
    assert str(caught.value) == (
        "unknown estimator 'linear'; known: unbiased, biased, ustat"
    )


# ---- precision, recall, density, coverage


def test_precision_recall_by_hand():
    """Radii 1 of 0, 1, 2, 100, 101, and 2.5, 2.5, 1, 1 of .5, 3, 30, 31: .5 is within 1
    of 0, and 3 on the border of 2's ball; 0, 1 and 2 are near .5, 100 near none.
    """
    x = np.array([[0.0], [1.0], [2.0], [100.0], [101.0]])
    y = np.array([[0.5], [3.0], [30.0], [31.0]])
    assert metrics.precision_recall(x, y, 1) == (2 / 4, 3 / 5)
    # .5 is in the balls of 0 and 1, 3 in that of 2; of 5 balls 3 hold one.
    assert metrics.density_coverage(x, y, 1) == (3 / 4, 3 / 5)


@pytest.mark.parametrize("numbers", [1, 100, 10**6])  # blocks of 1, 1-3 and all rows
@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_in_loops(k, numbers, monkeypatch):
    monkeypatch.setattr(metrics, "_DISTANCES", numbers)
    x, y = gaussian(40, 3, 0), gaussian(30, 3, 1, 1.3, 0.7)
    across = cdist(x, y)
    radii_x, radii_y = (np.sort(cdist(z, z))[:, k] for z in (x, y))
    inside = across <= radii_x[:, None]
    truth = inside.any(axis=0).mean(), (across <= radii_y).any(axis=1).mean()
    assert all(0.2 < share < 1 for share in truth)  # no trivial case
    assert metrics.precision_recall(x, y, k) == pytest.approx(truth, rel=1e-12)
    truth = inside.sum() / (k * 30), inside.any(axis=1).mean()
    assert metrics.density_coverage(x, y, k) == pytest.approx(truth, rel=1e-12)


def test_neighbours_do_not_depend_on_where_0_is():
    """At 1e7 squares of 1e14 would leave nothing of distances of 1."""
    x, y = gaussian(40, 3, 0), gaussian(30, 3, 1, 1.3, 0.7)
    for metric in (metrics.precision_recall, metrics.density_coverage):
        assert metric(x + 1e7, y + 1e7) == metric(x, y)


def test_copies_are_inside_balls_of_radius_0():
    """Each row twice, so that the nearest other one is a copy; far from 0, float32."""
    rows = (gaussian(60, 300, 0) + 1000.0).astype(np.float32)
    x = np.repeat(rows, 2, axis=0)
    assert metrics.precision_recall(x, x[::-1], 1) == (1.0, 1.0)
    # Each ball holds its own two copies and no other row.
    assert metrics.density_coverage(x, x[::-1], 1) == (2.0, 1.0)
    assert metrics.precision_recall(x, x + np.float32(0.01), 1) == (0.0, 0.0)
    # Of another number of rows, where products of the same two round differently: rows
    # 3 to 8, 12 of the 120.
    few = np.tile(x[7:18], (2, 1))
    assert metrics.precision_recall(x, few, 1) == (1.0, 0.1)
    assert metrics.precision_recall(few, x, 1) == (0.1, 1.0)
    assert metrics.density_coverage(few, x, 1) == (22 * 2 / 120, 1.0)


@given(st.integers(1, 4), st.integers(5, 12), st.integers(0, 99))
def test_a_set_to_itself(k, n, seed):
    x = gaussian(n, 4, seed)
    assert metrics.precision_recall(x, x, k) == (1.0, 1.0)
    assert metrics.density_coverage(x, x, k) == pytest.approx(((k + 1) / k, 1.0))


def test_density_and_coverage_of_one_law():
    """The mean density is 1, the mean coverage that of Naeem et al. (2020), lemma 2:
    the k nearest of n + m - 1 points are all real. 300 pairs of samples, within 5
    standard errors: a false alarm in about 10^6 seeds.
    """
    n, m, k = 30, 20, 5
    random = np.random.RandomState(0)
    found = np.array(
        [
            metrics.density_coverage(random.randn(n, 2), random.randn(m, 2), k)
            for _ in range(300)
        ]
    )
    error = found.std(axis=0, ddof=1) / math.sqrt(300)
    coverage = 1 - math.comb(n - 1, k) / math.comb(n + m - 1, k)
    assert (abs(found.mean(axis=0) - (1.0, coverage)) < 5 * error).all()
    assert (error < 0.02).all()


def test_far_samples_are_not_near():
    x, y = gaussian(30, 2, 0), gaussian(30, 2, 1, shift=1e3)
    assert metrics.precision_recall(x, y) == (0.0, 0.0)
    assert metrics.density_coverage(x, y) == (0.0, 0.0)


@pytest.mark.parametrize("k", [0, 4, 1.5])
def test_error_k_neighbours_that_there_are_not(k):
    few, many = np.zeros((4, 2)), np.zeros((9, 2))
    message = f"k is a whole number from 1, below the number of samples 4, not {k}"
    for call in [
        lambda: metrics.precision_recall(few, many, k),
        lambda: metrics.density_coverage(few, many, k),
    ]:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message
    with pytest.raises(ValueError):
        metrics.precision_recall(many, few, k)


# ---- the inception score


def test_inception_score_pinned():
    # Computed with NumPy 2.4.6 from exp(mean KL) and a float64 softmax.
    logits = np.random.RandomState(7).randn(5000, 10) * 3
    mean, std = metrics.inception_score(logits, 1)
    assert (mean, std) == (pytest.approx(3.826588051457, abs=1e-11), 0.0)
    assert metrics.inception_score(logits.astype(np.float32), 1)[0] == pytest.approx(
        3.826588051457, abs=1e-6
    )


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize("scale", [1e3, 1e300])
def test_inception_score_of_sure_and_varied_samples_is_their_classes(classes, scale):
    """Probabilities of exactly 0 and 1 give no NaN."""
    logits = np.tile(scale * np.eye(classes), (10, 1))
    assert metrics.inception_score(logits, 5) == pytest.approx((classes, 0.0))


def test_inception_score_of_samples_that_are_alike_is_1():
    logits = np.tile([0.0, 3.0, -1000.0], (20, 1))
    assert metrics.inception_score(logits) == pytest.approx((1.0, 0.0))


def test_inception_score_by_its_splits():
    """8 rows in 3 parts: 0 1, 2 3 4, 5 6 7."""
    logits = gaussian(8, 4, 0, 2.0)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = []
    for part in (p[:2], p[2:5], p[5:]):
        q = part.mean(axis=0)
        scores.append(np.exp(np.mean([np.sum(r * np.log(r / q)) for r in part])))
    truth = np.mean(scores), np.std(scores)
    assert metrics.inception_score(logits, 3) == pytest.approx(truth, rel=1e-12)


@given(st.floats(-1e3, 1e3), st.integers(0, 99))
def test_inception_score_takes_logits_up_to_a_constant(shift, seed):
    logits = gaussian(12, 5, seed)
    found = metrics.inception_score(logits + shift, 2)
    assert found == pytest.approx(metrics.inception_score(logits, 2), rel=1e-9)
    assert 1.0 <= found[0] <= 5.0


@pytest.mark.parametrize(
    "logits, splits, message",
    [
        (np.zeros((4, 3)), 10, "10 splits want as many samples at least, not 4"),
        (np.zeros((4, 3)), 0, "splits is a whole number from 1, not 0"),
        (np.zeros(4), 1, "logits are (n, classes) with n from 1, not (4,)"),
        (np.zeros((4, 0)), 1, "logits are (n, classes) with n from 1, not (4, 0)"),
        (
            np.full((4, 3), -np.inf),
            1,
            "logits are finite numbers, not NaN or infinite",
        ),
    ],
)
def test_error_messages_of_the_inception_score(logits, splits, message):
    with pytest.raises(ValueError) as caught:
        metrics.inception_score(logits, splits)
    assert str(caught.value) == message


# ---- all


def test_figures_of_images_are_here_too():
    assert metrics.ms_ssim is pyramids.ms_ssim
    assert metrics.sliced_wasserstein is pyramids.sliced_wasserstein


OF_TWO = [
    metrics.frechet_distance,
    metrics.kid,
    metrics.kid_blocks,
    lambda x, y: metrics.mmd(x, y, "dot"),
    metrics.precision_recall,
    metrics.density_coverage,
]


@pytest.mark.parametrize("metric", OF_TWO)
@pytest.mark.parametrize(
    "x, y, message",
    [
        (np.zeros(3), np.zeros((3, 1)), "features are (n, d) with n from 2, not (3,)"),
        (
            np.zeros((1, 2)),
            np.zeros((3, 2)),
            "features are (n, d) with n from 2, not (1, 2)",
        ),
        (
            np.zeros((3, 2)),
            np.zeros((3, 0)),
            "features are (n, d) with n from 2, not (3, 0)",
        ),
        (
            np.zeros((3, 2)),
            np.zeros((3, 4)),
            "features have one length, not 2 and 4",
        ),
        (
            np.full((3, 2), np.nan),
            np.zeros((3, 2)),
            "features are finite numbers, not NaN or infinite",
        ),
        (
            np.zeros((3, 2)),
            np.full((3, 2), np.inf),
            "features are finite numbers, not NaN or infinite",
        ),
    ],
)
def test_error_messages(metric, x, y, message):
    with pytest.raises(ValueError) as caught:
        metric(x, y)
    assert str(caught.value) == message
