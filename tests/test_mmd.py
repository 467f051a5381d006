"""MMD^2 against closed forms, exact enumeration and float64 NumPy."""

import itertools
import math

import numpy as np
import pytest
import references
import zoo
from test_kernels import TRUTHS

from gantf import kernels, mmd

ALL = pytest.mark.parametrize("name", zoo.KERNELS)
ESTIMATORS = pytest.mark.parametrize("estimator", references.MEANS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@ALL
@ESTIMATORS
@pytest.mark.parametrize("m", [4, 6, 9])
def test_estimates_are_their_formulas(name, estimator, m):
    x, y = draw(6, 3), draw(m, 3, seed=1) + 0.5
    found = mmd.mmd2(x, y, name, estimator)
    truth = references.mmd2(x, y, TRUTHS[name], estimator)
    assert float(found) == pytest.approx(truth, rel=1e-10, abs=1e-12)
    assert float(mmd.mmd2(y, x, name, estimator)) == pytest.approx(
        truth, rel=1e-10, abs=1e-12
    )


def test_an_estimate_by_hand():
    # rows 0, 2 and 1, 1 on a line; the kernel a b
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])
    assert float(mmd.mmd2(x, y, "dot")) == 0 + 1 - 2
    assert float(mmd.mmd2(x, y, "dot", "biased")) == 1 + 1 - 2
    # i != j across: (0 * 1 + 2 * 1) / 2
    assert float(mmd.mmd2(x, y, "dot", "ustat")) == 0 + 1 - 2
    x = np.array([[0.0], [2.0], [3.0]])
    # (0*2 + 0*3 + 2*3) / 3 + 1 - 2 (0 + 2 + 3 + 3) / 4
    assert float(mmd.mmd2(x, y, "dot", "ustat")) == 2 + 1 - 4


def test_means_by_hand():
    matrix = np.arange(12.0).reshape(3, 4)
    assert float(mmd.mean(matrix)) == 5.5
    assert float(mmd.mean_off_diagonal(matrix)) == (66 - 0 - 5 - 10) / 9
    assert float(mmd.mean_off_diagonal(matrix.T)) == (66 - 0 - 5 - 10) / 9


@ESTIMATORS
def test_the_order_of_rows_means_nothing(estimator):
    x, y = draw(7, 2), draw(7, 2, seed=1)
    one, other = np.random.default_rng(2).permutation(7), np.arange(7)[::-1]
    if estimator == "ustat":  # pairs i = j are left out: a joint order
        other = one
    found = float(mmd.mmd2(x[one], y[other], "rq:1", estimator))
    assert found == pytest.approx(float(mmd.mmd2(x, y, "rq:1", estimator)), rel=1e-12)


def test_the_biased_estimate_is_never_below_0_and_the_unbiased_one_is():
    for seed in range(20):
        x, y = draw(5, 2, seed=seed), draw(4, 2, seed=seed + 100)
        assert float(mmd.mmd2(x, y, "rbf:1", "biased")) > 0
    x = draw(6, 2)
    assert float(mmd.mmd2(x, x, "rbf:1", "biased")) == pytest.approx(0, abs=1e-15)
    assert float(mmd.mmd2(x, x, "rbf:1", "unbiased")) < 0


# ---- closed forms: P = N(0, 1), Q = N(1, 1.5^2)

# Gaussian integrals, computed apart from gantf; rbf:1 is done by hand below. The
# distance is 2 int (F - G)^2 (Szekely & Rizzo 2013).
GAUSSIANS = {
    "dot": 1.0,
    "rbf:1": 0.141285545439383,
    "rbf:2,5,10,20,40,80": 0.163189856970894,
    "rq:1": 0.118530716068253,
    "rq:.2,.5,1,2,5": 0.550795546649466,
    "rq:.2,.5,1,2,5+dot": 1.550795546649466,
    "distance": 0.487443935891722,
}


def normal_weights(points, mean, sd):
    density = np.exp(-((points - mean) ** 2) / (2 * sd**2))
    return density / density.sum()


@pytest.mark.parametrize("name", GAUSSIANS)
def test_kernels_have_the_closed_forms_of_gaussians(name):
    """The exact MMD^2 by trapezoids, which are exact for Gaussians to 1e-15.

    The kink of the distance costs h^2 / 6 times the densities' overlap: 1e-5.
    """
    points = np.linspace(-12, 14, 1301)
    p, q = normal_weights(points, 0, 1), normal_weights(points, 1, 1.5)
    k = np.asarray(kernels.get(name)(points[:, None], points[:, None]))
    found = p @ k @ p + q @ k @ q - 2 * p @ k @ q
    tolerance = 1e-4 if name == "distance" else 1e-9
    assert found == pytest.approx(GAUSSIANS[name], abs=tolerance)


def test_the_closed_form_of_rbf_by_hand():
    def expected(s, mean, variance):  # E exp(-u^2 / (2 s^2)), u ~ N(mean, variance)
        return math.exp(-(mean**2) / (2 * (s**2 + variance))) / math.sqrt(
            1 + variance / s**2
        )

    found = expected(1, 0, 2) + expected(1, 0, 4.5) - 2 * expected(1, 1, 3.25)
    assert found == pytest.approx(GAUSSIANS["rbf:1"], rel=1e-12)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_estimates_scatter_around_the_closed_form(name):
    """The mean of 60 estimates is within 5 sd: a false alarm in about 10^5 seeds."""
    random = np.random.default_rng(7)
    found = [
        float(
            mmd.mmd2(
                random.normal(size=(40, 1)),
                random.normal(1, 1.5, size=(40, 1)),
                name,
            )
        )
        for _ in range(60)
    ]
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - GAUSSIANS[name]) < 5 * error


# ---- exact enumeration

P = ([-1.0, 0.5], [0.3, 0.7])  # atoms and their masses
Q = ([0.0, 2.5], [0.4, 0.6])


def samples(law, size):
    """All samples of that size, with their probabilities."""
    atoms, masses = law
    for index in itertools.product(range(len(atoms)), repeat=size):
        rows = np.array([[atoms[i]] for i in index])
        yield rows, math.prod(masses[i] for i in index)


def population(kernel):
    (x, p), (y, q) = [(np.array(a)[:, None], np.array(m)) for a, m in (P, Q)]
    k_xx, k_yy, k_xy = kernel(x, x), kernel(y, y), kernel(x, y)
    within = p @ k_xx @ p, q @ k_yy @ q
    same = p @ np.diag(k_xx), q @ np.diag(k_yy)
    return sum(within) - 2 * p @ k_xy @ q, within, same


def expected(n, m, name, estimator):
    return sum(
        weight_x * weight_y * float(mmd.mmd2(x, y, name, estimator))
        for x, weight_x in samples(P, n)
        for y, weight_y in samples(Q, m)
    )


@pytest.mark.parametrize("name", ["rbf:1", "rq:.1,1,10+dot:1", "distance"])
@pytest.mark.parametrize("estimator", ["unbiased", "ustat"])
@pytest.mark.parametrize("n, m", [(3, 3), (4, 2)])
def test_unbiased_estimates_are_unbiased(name, estimator, n, m):
    truth, _, _ = population(TRUTHS.get(name))
    assert expected(n, m, name, estimator) == pytest.approx(truth, abs=1e-12)


def test_the_bias_of_the_biased_estimate():
    """E V - MMD^2 = (E k(x, x) - E k(x, x')) / n, and the same for y."""
    truth, within, same = population(TRUTHS["rbf:1"])
    bias = (same[0] - within[0]) / 4 + (same[1] - within[1]) / 2
    assert expected(4, 2, "rbf:1", "biased") == pytest.approx(truth + bias, abs=1e-12)


# ---- the witness


@ALL
def test_the_witness_is_its_formula(name):
    t, x, y = draw(5, 2), draw(6, 2, seed=1), draw(4, 2, seed=2)
    k = TRUTHS[name]
    truth = k(t, x).mean(1) - k(t, y).mean(1)
    np.testing.assert_allclose(mmd.witness(t, x, y, name), truth, rtol=1e-9, atol=1e-12)


def test_the_witness_gives_mmd2_back():
    """MMD^2 (biased) = mean_i f(x_i) - mean_j f(y_j)."""
    x, y = draw(6, 2, seed=1), draw(4, 2, seed=2)
    f_x, f_y = (np.mean(mmd.witness(t, x, y, "rbf:1")) for t in (x, y))
    assert f_x - f_y == pytest.approx(float(mmd.mmd2(x, y, "rbf:1", "biased")))


# ---- refusals


def test_an_unknown_estimator_is_refused_in_words():
    for name, message in [
        ("unbiassed", "unknown estimator 'unbiassed'; did you mean 'unbiased'?"),
        ("v", "unknown estimator 'v'; known: unbiased, biased, ustat"),
    ]:
        with pytest.raises(ValueError) as caught:
            mmd.mmd2(draw(2, 1), draw(2, 1), "dot", name)
        assert str(caught.value) == message


def test_the_list_of_estimators_is_whole():
    assert list(mmd.ESTIMATORS) == list(references.MEANS)


def test_error_one_row_has_no_pairs():
    with pytest.raises(ValueError) as caught:
        mmd.mmd2(np.zeros((1, 2)), np.zeros((3, 2)), "rbf:1")
    assert str(caught.value) == "pairs i != j need two rows at least, not one"
