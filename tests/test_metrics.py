"""Tests of metrics.py: closed forms, pinned numbers, SciPy; small and broken sets."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from gantf import metrics


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
            np.zeros((3, 4)),
            "both samples have features of one length, not (3, 2) and (3, 4)",
        ),
        (
            np.full((3, 2), np.nan),
            np.zeros((3, 2)),
            "features are finite numbers, not NaN or infinite",
        ),
    ],
)
def test_error_messages(x, y, message):
    for metric in (metrics.frechet_distance, metrics.kid):
        with pytest.raises(ValueError) as caught:
            metric(x, y)
        assert str(caught.value) == message
