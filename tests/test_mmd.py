"""MMD^2 against closed forms, exact enumeration and float64 NumPy."""

import inspect
import itertools
import math
from statistics import NormalDist

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


def gaussian_rbf(s2):
    """rbf with s^2, by E exp(-u^2 / (2 s^2)) for u ~ N(mean, variance)."""

    def expected(mean, variance):
        spread = math.sqrt(1 + variance / s2)
        return math.exp(-(mean**2) / (2 * (s2 + variance))) / spread

    return expected(0, 2) + expected(0, 4.5) - 2 * expected(1, 3.25)


# Gaussian integrals, computed apart from gantf; rbf:1 is gaussian_rbf(1) too. The
# distance is 2 int (F - G)^2 (Szekely & Rizzo 2013).
GAUSSIANS = {
    "dot": 1.0,
    "rbf:1": 0.141285545439383,
    "rbf:2,5,10,20,40,80": 0.163189856970894,
    "rq:1": 0.118530716068253,
    "rq:.2,.5,1,2,5": 0.550795546649466,
    "rq:.2,.5,1,2,5+dot": 1.550795546649466,
    "distance": 0.487443935891722,
    # 3 dM1^2 + 3 dM2^2 + dM3^2, moments 0, 1, 0 and 1, 3.25, 1 + 3 * 2.25
    "poly:3": 3 + 3 * 2.25**2 + 7.75**2,
    # (a b + 2)^2 = (a b)^2 + 4 a b + 4
    "poly:2,gamma=1,constant=2": 2.25**2 + 4,
    ".1*dot+2*rbf:1": 0.1 + 2 * 0.141285545439383,
    "rbf:1*rbf:2": gaussian_rbf(1 / (1 + 1 / 4)),  # 1 / s^2 add up
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
    assert gaussian_rbf(1) == pytest.approx(GAUSSIANS["rbf:1"], rel=1e-12)


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


# ---- variances

KINDS = pytest.mark.parametrize(
    "name", ["rbf:1+dot", "distance", "poly:3", "tanh>rq:.2,.5+.1*dot"]
)
R = ([1.0, -0.7], [0.2, 0.8])
THREE = ([-1.0, 0.5, 2.0], [0.2, 0.5, 0.3])


def moments(laws, size, *functions):
    """The exact means of functions of independent samples of these laws.

    Samples whose rows are the same in another order are drawn together, for functions
    that do not see the order.
    """
    distinct = []
    for law in laws:
        together = {}
        for rows, weight in samples(law, size):
            key = tuple(np.sort(rows[:, 0]))
            together[key] = together.get(key, 0) + weight
        distinct.append([(np.array(k)[:, None], w) for k, w in together.items()])
    total = 0
    for drawn in itertools.product(*distinct):
        rows, weights = zip(*drawn)
        values = [np.asarray(function(*rows)) for function in functions]
        total = total + math.prod(weights) * np.array(values)
    return total


def orders_of_ustat(name, *rows):
    """All values of sum_j sign_j mmd2(x, y_j) over orders of the y_j, "ustat"."""
    x, *others = rows
    values = np.zeros(1)
    for sign, y in zip((1, -1), others):
        k = TRUTHS_OF[name]
        within = references.mean_off_diagonal(k(x, x)) + references.mean_off_diagonal(
            k(y, y)
        )
        across, off = k(x, y), 1 - np.eye(len(x))
        found = [
            within - 2 * np.sum(across[:, order] * off) / off.sum()
            for order in map(list, itertools.permutations(range(len(x))))
        ]
        values = (values[:, None] + sign * np.array(found)).ravel()
    return values


TRUTHS_OF = {
    "rbf:1+dot": lambda x, y: references.rbf(x, y, 1) + references.dot(x, y),
    "distance": references.distance,
    "poly:3": TRUTHS["poly:3"],
    "tanh>rq:.2,.5+.1*dot": lambda x, y: (
        references.rq(np.tanh(x), np.tanh(y), 0.2)
        + references.rq(np.tanh(x), np.tanh(y), 0.5)
        + 0.1 * references.dot(x, y)
    ),
}


@KINDS
@pytest.mark.parametrize("laws", [(P, Q), (THREE, P), (Q, Q)], ids=["2", "3", "same"])
def test_the_variance_is_unbiased_for_ustat(name, laws):
    """All samples of 4 rows; "unbiased" estimates vary less."""
    estimate, first, second, mean, square = moments(
        laws,
        4,
        lambda x, y: mmd.variance(x, y, name),
        lambda x, y: orders_of_ustat(name, x, y).mean(),
        lambda x, y: (orders_of_ustat(name, x, y) ** 2).mean(),
        lambda x, y: mmd.mmd2(x, y, name),
        lambda x, y: mmd.mmd2(x, y, name) ** 2,
    )
    truth = second - first**2
    assert estimate == pytest.approx(truth, rel=1e-11)
    assert mean == pytest.approx(first, abs=1e-12)
    assert 0.5 * truth < square - mean**2 < (1 - 1e-6) * truth


@KINDS
@pytest.mark.parametrize("laws", [(P, Q, R), (P, R, R)], ids=["different", "same"])
def test_the_three_sample_variance_is_unbiased_for_ustat(name, laws):
    estimate, first, second = moments(
        laws,
        4,
        lambda x, y, z: mmd.three_sample_variance(x, y, z, name),
        lambda x, y, z: orders_of_ustat(name, x, y, z).mean(),
        lambda x, y, z: (orders_of_ustat(name, x, y, z) ** 2).mean(),
    )
    assert estimate == pytest.approx(second - first**2, rel=1e-11)


@ALL
@pytest.mark.parametrize("m", [4, 5, 6])
def test_the_variance_is_its_definition(name, m):
    x, y = draw(m, 3), 1.5 * draw(m, 3, seed=1) + 0.5
    truth = references.variance(x, y, TRUTHS[name])
    assert float(mmd.variance(x, y, name)) == pytest.approx(truth, rel=1e-8)
    assert float(mmd.variance(y, x, name)) == pytest.approx(truth, rel=1e-8)


@ALL
@pytest.mark.parametrize("m", [4, 5])
def test_the_three_sample_variance_is_its_definition(name, m):
    x, y, z = draw(m, 3), draw(m, 3, seed=1) + 0.5, 1.5 * draw(m, 3, seed=2)
    truth = references.three_sample_variance(x, y, z, TRUTHS[name])
    for one, other in [(y, z), (z, y)]:
        found = float(mmd.three_sample_variance(x, one, other, name))
        assert found == pytest.approx(truth, rel=1e-8)


def test_variances_by_hand():
    # x is 0 but for a row 1, y is 0, the kernel a b: k(x, x) is its diagonal
    # alone, the rest is 0, and so is any product of two different entries.
    zero, one = np.zeros((4, 1)), np.array([[1.0], [0.0], [0.0], [0.0]])
    assert float(mmd.variance(one, zero, "dot")) == 0
    # m = 4, K_yy has two entries 1, C = k(x, y) four rows 2, 2, 0, 0; K_xx is 4, and
    # what it adds is 0: x does not vary.
    x, y = np.full((4, 1), 2.0), np.array([[1.0], [1.0], [0.0], [0.0]])
    xx = 4 / 24 * 576 - 2 / 24 * 192 - 10 / 288 * 48**2 - 8 / 96 * 192 + 8 / 384 * 768
    yy = 4 / 24 * 2 - 2 / 24 * 2 - 10 / 288 * 2**2 - 8 / 96 * 16 + 8 / 384 * 2 * 16
    xy = 4 * 11 / 1728 * (64 + 128) - 20 / 1728 * 16**2 - 8 / 432 * 32
    assert xx == pytest.approx(0, abs=1e-12)
    assert float(mmd.variance(x, y, "dot")) == pytest.approx(xy + yy, rel=1e-12)


@pytest.mark.parametrize("constant", [1, 100])
def test_a_constant_more_in_the_kernel_changes_no_test(constant):
    """And float32 loses little: sums of 50^2 entries, in steps of 6e-8 of them."""
    x, y, z = draw(50, 2), draw(50, 2, seed=1) + 1, draw(50, 2, seed=2) + 0.5
    name = f"poly:1,gamma=1,constant={constant}"
    for dtype, tolerance in [("float64", 1e-9), ("float32", 1e-5 * constant)]:
        rows = [sample.astype(dtype) for sample in (x, y, z)]
        for function in (mmd.variance, mmd.three_sample_variance):
            arguments = rows[: 2 + (function is not mmd.variance)]
            truth = float(function(*(a.astype(float) for a in arguments), "dot"))
            found = function(*arguments, name)
            assert found.dtype == dtype
            assert float(found) == pytest.approx(truth, rel=tolerance)


def test_the_variance_is_that_of_gaussian_samples():
    """P = N(0, 1), Q = N(1, 1.5^2), the kernel a b: MMD^2 is (mean x - mean y)^2 less
    its bias, D = mean x - mean y ~ N(-1, v), v = 3.25 / m, and Var D^2 = 4 v + 2 v^2,
    to which the bias's own variance adds terms of order 1 / m^3. 200 samples of 100
    rows: 5 sd, a false alarm in about 10^6 seeds.
    """
    random, m = np.random.default_rng(3), 100
    found = [
        float(
            mmd.variance(
                random.normal(size=(m, 1)), random.normal(1, 1.5, size=(m, 1)), "dot"
            )
        )
        for _ in range(200)
    ]
    v = 3.25 / m
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - (4 * v + 2 * v**2)) < 5 * error + 100 / m**3
    assert error < 0.03 * (4 * v)


# ---- the three-sample test


@ALL
def test_the_three_sample_test_is_its_formula(name):
    x, y, z = draw(5, 3), draw(5, 3, seed=1) + 0.5, 1.5 * draw(5, 3, seed=2)
    k = TRUTHS[name]
    nu = references.three_sample_variance(x, y, z, k)
    gain = references.mmd2(x, y, k, "unbiased") - references.mmd2(x, z, k, "unbiased")
    for floor in (1e-5, 2.0):
        statistic, p = mmd.three_sample_test(x, y, z, name, floor)
        truth = gain / math.sqrt(max(nu, floor))
        assert float(statistic) == pytest.approx(truth, rel=1e-7)
        assert float(p) == pytest.approx(NormalDist().cdf(truth), rel=1e-6)
        assert (statistic.dtype, p.dtype) == ("float64", "float64")


def test_the_floor_of_the_test_is_1e_5():
    """Its standard deviation .00316 hides a gain of .004: p is .1 with any m."""
    assert inspect.signature(mmd.three_sample_test).parameters["floor"].default == 1e-5
    x, y, z = np.zeros((8, 1)), np.zeros((8, 1)), np.full((8, 1), math.sqrt(0.00405))
    statistic, p = mmd.three_sample_test(x, y, z, "dot")
    assert float(statistic) == pytest.approx(-0.00405 / math.sqrt(1e-5), rel=1e-6)
    assert float(p) == pytest.approx(0.1, abs=2e-4)
    statistic, p = mmd.three_sample_test(x, y, z, "dot", floor=1e-7)
    truth = 0.5 * math.erfc(0.00405 / math.sqrt(2e-7))  # 8e-38
    assert float(p) == pytest.approx(truth, rel=1e-9, abs=0)


def test_the_test_changes_sign_with_its_samples():
    x, y, z = draw(9, 2), draw(9, 2, seed=1) + 0.5, draw(9, 2, seed=2) + 2
    near, p_near = map(float, mmd.three_sample_test(x, y, z, "rbf:1"))
    far, p_far = map(float, mmd.three_sample_test(x, z, y, "rbf:1"))
    assert near < 0 and far == pytest.approx(-near)
    assert p_near + p_far == pytest.approx(1) and p_near < 0.5


def test_the_order_of_rows_means_nothing_to_the_test():
    x, y, z = draw(9, 2), draw(9, 2, seed=1) + 0.5, draw(9, 2, seed=2) + 2
    truth = float(mmd.three_sample_test(x, y, z, "rq")[0])
    found = mmd.three_sample_test(x[::-1], np.roll(y, 3, 0), z, "rq")[0]
    assert float(found) == pytest.approx(truth, rel=1e-10)


def test_the_statistic_is_standard_normal_where_y_and_z_are_alike():
    """y and z of one law that is not x's, m = 200, 300 tests: the sd of T, 1.03 for
    this m, is within .2 of 1 (4 sd), its mean within .29 (5 sd), and p below .1 in 9
    to 56 of them (30 are expected, sd 5.2). A false alarm in about 10^4 seeds.
    """
    random = np.random.default_rng(11)
    tests = [
        mmd.three_sample_test(
            random.normal(size=(200, 2)),
            random.normal(0.5, 1, size=(200, 2)),
            random.normal(0.5, 1, size=(200, 2)),
            "poly:3",
        )
        for _ in range(300)
    ]
    statistics, p = np.array(tests).T
    assert abs(np.std(statistics) - 1) < 0.2
    assert abs(np.mean(statistics)) < 0.29
    assert 9 <= np.sum(p < 0.1) <= 56


def test_the_test_sees_what_is_closer():
    """Rows of 5 numbers, y off by .5, z by 1, m = 200: T is -7.6, give or take 1."""
    random = np.random.default_rng(5)
    x, y, z = (random.normal(shift, size=(200, 5)) for shift in (0, 0.5, 1))
    statistic, p = mmd.three_sample_test(x, y, z, "poly:3")
    assert -12.6 < float(statistic) < -2.6
    assert float(p) < 0.005


def test_kernels_that_are_0_between_rows_leave_the_bias_alone():
    """6 kernels, 128 rows far apart: 2 * 6 / 128, which no training moves."""
    x, y = 1e4 * draw(128, 2), 1e4 * draw(128, 2, seed=1)
    name = "rbf:.02,.05,.1,.2,.4,.8"
    assert float(mmd.mmd2(x, y, name, "biased")) == pytest.approx(0.09375, rel=1e-12)
    assert float(mmd.mmd2(x, y, name)) == 0
    assert float(mmd.variance(x, y, name)) == 0


# ---- the witness


def test_the_witness_of_gaussians():
    """(1 + v / s^2)^(-1/2) exp(-(t - m)^2 / (2 (s^2 + v))), the laws on a grid."""
    t = np.array([-2.0, 0.0, 0.7, 3.0])
    truth = np.exp(-(t**2) / 4) / math.sqrt(2)
    truth -= np.exp(-((t - 1) ** 2) / 6.5) / math.sqrt(3.25)
    middles = (np.arange(4000) + 0.5) / 4000
    x, y = (
        np.array([NormalDist(*law).inv_cdf(u) for u in middles])[:, None]
        for law in [(0, 1), (1, 1.5)]
    )
    # Quantiles of 4000 equal masses: the tails' share of the rule's error is 1 / 4000.
    found = mmd.witness(t[:, None], x, y, "rbf:1")
    np.testing.assert_allclose(found, truth, atol=2.5e-4)


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


@pytest.mark.parametrize(
    "sizes", [(3, 3), (4, 5), (1, 1), (4, 4, 5), (5, 4, 4), (3, 3, 3)], ids=str
)
def test_error_samples_that_have_no_variance(sizes):
    samples = [np.zeros((size, 2)) for size in sizes]
    functions = [mmd.three_sample_variance, mmd.three_sample_test]
    for function in [mmd.variance] if len(sizes) == 2 else functions:
        with pytest.raises(ValueError) as caught:
            function(*samples, "rbf:1")
        assert str(caught.value) == (
            "a variance of MMD^2 wants samples of one size from 4 rows, not "
            + ", ".join(map(str, sizes))
        )


def test_error_samples_of_other_rows():
    with pytest.raises(ValueError) as caught:
        mmd.three_sample_test(*(np.zeros((4, d)) for d in (2, 2, 3)), "rbf:1")
    assert str(caught.value) == (
        "a kernel compares rows (n, d) and (m, d), not (4, 2) and (4, 2) and (4, 3)"
    )


@pytest.mark.parametrize("floor", [0, -1.0, math.nan, math.inf])
def test_error_a_floor_that_is_none(floor):
    with pytest.raises(ValueError) as caught:
        mmd.three_sample_test(*(np.zeros((4, 2)),) * 3, "rbf:1", floor)
    assert str(caught.value) == f"floor of a variance is a number above 0, not {floor}"
