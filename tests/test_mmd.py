"""MMD^2 against closed forms, exact enumeration and float64 NumPy."""

import inspect
import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
import references
import tensorflow as tf
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from test_kernels import TRUTHS

from gantf import kernels, mmd

ALL = pytest.mark.parametrize("name", zoo.KERNELS)
ESTIMATORS = pytest.mark.parametrize("estimator", references.ESTIMATORS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def often(function, *options):
    """A function of samples, traced once, for tests that call it a hundred times."""
    return tf.function(lambda *samples: function(*samples, *options))


@ALL
@pytest.mark.parametrize("estimator", references.MEANS)
@pytest.mark.parametrize("m", [4, 6, 9])
def test_estimates_are_their_formulas(name, estimator, m):
    x, y = draw(6, 3), draw(m, 3, seed=1) + 0.5
    found = mmd.mmd2(x, y, name, estimator)
    truth = references.mmd2(x, y, TRUTHS[name], estimator)
    assert float(found) == pytest.approx(truth, rel=1e-10, abs=1e-12)
    assert float(mmd.mmd2(y, x, name, estimator)) == pytest.approx(
        truth, rel=1e-10, abs=1e-12
    )


@ALL
@ESTIMATORS
def test_terms_are_their_formulas(name, estimator):
    x, y = draw(5, 3), draw(8, 3, seed=1) + 0.5
    truth = references.terms(x, y, TRUTHS[name], estimator)
    found = [float(k) for k in mmd.terms(x, y, name, estimator)]
    assert found == pytest.approx(truth, rel=1e-10, abs=1e-12)
    total = float(mmd.mmd2(y, x, name, estimator))
    truth = truth[0] + truth[1] - 2 * truth[2]
    assert total == pytest.approx(truth, rel=1e-10, abs=1e-12)


@ESTIMATORS
def test_sizes_that_are_known_late_change_nothing(estimator):
    """In graphs of batches of any size, and float32 by default."""
    rows = tf.TensorSpec((None, 2))
    late = tf.function(
        lambda x, y: mmd.terms(x, y, "rq:1+dot", estimator),
        input_signature=[rows, rows],
    )
    for n, m in [(5, 5), (4, 7)]:
        x, y = draw(n, 2).astype("float32"), draw(m, 2, seed=1).astype("float32")
        truth = [float(k) for k in mmd.terms(x, y, "rq:1+dot", estimator)]
        found = late(x, y)
        assert {k.dtype for k in found} == {tf.float32}
        assert [float(k) for k in found] == pytest.approx(truth, rel=1e-5)


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


def test_linear_time_by_hand():
    """Of the kernel a b they are means of products of differences: 1, 1, 3, 5, 11."""
    x = np.array([[1.0], [2.0], [4.0], [7.0], [11.0]])
    y = np.array([[0.0], [1.0], [1.0], [2.0], [0.0], [99.0]])
    assert float(mmd.mmd2(x, y[:5], "dot", "linear")) == (1 * 1 + 3 * 5) / 2
    assert float(mmd.mmd2(x, y[:5], "dot", "successive")) == (1 + 3 + 15 + 55) / 4
    # A sixth row of y: a pair 0 99 within y, and none across.
    k_xx, k_yy, k_xy = map(float, mmd.terms(x, y, "dot", "linear"))
    assert (k_xx, k_yy) == ((1 * 2 + 4 * 7) / 2, (0 + 2 + 0) / 3)
    assert k_xy == (1 * 1 + 2 * 0 + 4 * 2 + 7 * 1) / 4


def test_linear_time_is_linear():
    """40 GB would not hold the matrices; the sd of a mean of 50 000 numbers in
    (-2, 2) is below .009."""
    random = np.random.default_rng(0)
    x = random.normal(size=(100_000, 1)).astype("float32")
    y = random.normal(1, 1.5, size=(100_000, 1)).astype("float32")
    for estimator in ("linear", "successive"):
        found = float(mmd.mmd2(x, y, "rbf:1", estimator))
        assert abs(found - GAUSSIANS["rbf:1"]) < 0.045


@pytest.mark.parametrize("c", [0.01, 0.1, 1, 10])
def test_the_constant_diagonal_adds_the_norms(c):
    """c sum |x_i|^2 / (n (n - 1)) and the same for y, by hand: 26 / 6 and 5 / 2."""
    x, y = np.array([[3.0, 4.0], [0, 1], [0, 0]]), np.array([[1.0, 2.0], [0, 0]])
    name = f"rq:.1,1,10+{c}*dot"
    one, other = (
        float(mmd.mmd2(x, y, name, e)) for e in ("constant_diagonal", "unbiased")
    )
    assert one - other == pytest.approx(c * (26 / 6 + 5 / 2), rel=1e-12)


@pytest.mark.parametrize("name", ["rbf:1,2", "rq", ".5*laplace:1", "fourier:1"])
def test_a_diagonal_that_is_constant_changes_nothing(name):
    x, y = draw(6, 3), draw(4, 3, seed=1)
    one, other = (mmd.mmd2(x, y, name, e) for e in ("constant_diagonal", "unbiased"))
    assert float(one) == pytest.approx(float(other), rel=1e-12)


# ---- laws

# estimator -> orders of 8 rows of x and of y that change nothing: any two, a joint one
# (pairs i = j are left out), one that keeps pairs of neighbours, one of all of them
SHUFFLED, OTHER = np.random.default_rng(2).permutation(8), np.arange(8)[::-1]
ORDERS = {
    "unbiased": (SHUFFLED, OTHER),
    "biased": (SHUFFLED, OTHER),
    "constant_diagonal": (SHUFFLED, OTHER),
    "ustat": (SHUFFLED, SHUFFLED),
    "linear": ([6, 7, 1, 0, 4, 5, 3, 2],) * 2,
    "successive": (OTHER, OTHER),
}


@ESTIMATORS
def test_the_order_of_rows_means_nothing(estimator):
    x, y = draw(8, 2), draw(8, 2, seed=1)
    one, other = ORDERS[estimator]
    found = float(mmd.mmd2(x[one], y[other], "rq:1+dot", estimator))
    truth = float(mmd.mmd2(x, y, "rq:1+dot", estimator))
    assert found == pytest.approx(truth, rel=1e-12)


SAMPLES = st.lists(
    st.lists(st.sampled_from([0.0, 1.0, -2.5, 1e4, -3e7]), min_size=2, max_size=2),
    min_size=2,
    max_size=6,
)


@settings(max_examples=30)
@given(
    SAMPLES,
    SAMPLES,
    st.sampled_from(references.ESTIMATORS),
    st.sampled_from(["rbf:1", "rq:.1,1,10+dot", "distance", "tanh>rq:.2,.5"]),
)
def test_estimates_are_symmetric_and_finite(x, y, estimator, name):
    """At coincident and at far rows too, with their gradients, in float32."""
    x, y = tf.constant(x), tf.constant(y)
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        found = mmd.mmd2(x, y, name, estimator)
    assert np.isfinite([found, mmd.mmd2(y, x, name, estimator)]).all()
    for slope in tape.gradient(found, [x, y]):
        assert np.isfinite(slope).all()
    k_xx, k_yy, k_xy = mmd.terms(x, y, name, estimator)
    other = mmd.terms(y, x, name, estimator)
    np.testing.assert_allclose([k_yy, k_xx, k_xy], other, rtol=1e-5, atol=1e-5)


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


def test_the_mean_of_rbf_between_gaussians_of_many_dimensions():
    """E k = |I + (S + T) / s^2|^(-1/2) exp(-d' (s^2 I + S + T)^(-1) d / 2), against 24
    Gauss-Hermite nodes a side, whose error is below 1e-12 for widths like these."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = np.outer(weights, weights).ravel() / (2 * math.pi)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    s = 2.0
    laws = [
        (np.array([0.0, 0.0]), np.array([[1.0, 0.3], [0.3, 0.5]])),
        (np.array([1.0, -0.5]), np.array([[0.4, -0.2], [-0.2, 0.8]])),
    ]
    points = [mean + grid @ np.linalg.cholesky(spread).T for mean, spread in laws]
    truth, found = [], []
    for i, j in [(0, 0), (1, 1), (0, 1)]:
        total = s**2 * np.eye(2) + laws[i][1] + laws[j][1]
        d = laws[i][0] - laws[j][0]
        scale = math.sqrt(np.linalg.det(total / s**2))
        truth.append(math.exp(-0.5 * d @ np.linalg.solve(total, d)) / scale)
        k = np.asarray(kernels.get(f"rbf:{s}")(points[i], points[j]))
        found.append(weights @ k @ weights)
    assert found == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_estimates_scatter_around_the_closed_form(name):
    """The mean of 60 estimates is within 5 sd: a false alarm in about 10^5 seeds."""
    random, estimate = np.random.default_rng(7), often(mmd.mmd2, name)
    found = [
        float(
            estimate(random.normal(size=(40, 1)), random.normal(1, 1.5, size=(40, 1)))
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
    estimate = often(mmd.mmd2, name, estimator)
    return sum(
        weight_x * weight_y * float(estimate(x, y))
        for x, weight_x in samples(P, n)
        for y, weight_y in samples(Q, m)
    )


@pytest.mark.parametrize("name", ["rbf:1", "rq:.1,1,10+dot:1", "distance"])
@pytest.mark.parametrize("estimator", ["unbiased", "ustat"])
@pytest.mark.parametrize("n, m", [(3, 3), (4, 2)])
def test_unbiased_estimates_are_unbiased(name, estimator, n, m):
    truth, _, _ = population(TRUTHS.get(name))
    assert expected(n, m, name, estimator) == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("estimator", ["linear", "successive"])
@pytest.mark.parametrize("n, m", [(3, 3), (4, 2)])
def test_linear_time_estimates_are_unbiased(estimator, n, m):
    truth, _, _ = population(TRUTHS["rbf:1"])
    assert expected(n, m, "rbf:1", estimator) == pytest.approx(truth, abs=1e-12)


def test_successive_pairs_have_up_to_half_the_variance():
    """Of one law, pairs that share a row are uncorrelated: 1 pair or 2 of 3 rows."""
    one, other = (
        sum(
            p * q * float(estimate(x, y)) ** 2
            for x, p in samples(P, 3)
            for y, q in samples(P, 3)
        )
        for estimate in (
            often(mmd.mmd2, "rbf:1", name) for name in ("linear", "successive")
        )
    )
    assert other == pytest.approx(one / 2, rel=1e-11)


def test_the_bias_of_the_constant_diagonal():
    """c E |x|^2 / (n - 1), and the same for y, with n = 4 and m = 2."""
    truth, _, _ = population(lambda x, y: references.rq(x, y, 1) + x @ y.T)
    squares = [np.dot(np.square(atoms), masses) for atoms, masses in (P, Q)]
    found = expected(4, 2, "rq:1+dot", "constant_diagonal")
    truth += squares[0] / 3 + squares[1]
    assert found == pytest.approx(truth, abs=1e-12)


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


def moments(laws, sizes, function):
    """The exact means of numbers that are made of independent samples of these laws.

    Samples whose rows are the same in another order are drawn together, for functions
    that do not see the order.
    """
    distinct = []
    for law, size in zip(laws, sizes):
        together = {}
        for rows, weight in samples(law, size):
            key = tuple(np.sort(rows[:, 0]))
            together[key] = together.get(key, 0) + weight
        distinct.append([(np.array(k)[:, None], w) for k, w in together.items()])
    total = 0
    for drawn in itertools.product(*distinct):
        rows, weights = zip(*drawn)
        total = total + math.prod(weights) * np.array(function(*rows), float)
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

    variance, mmd2 = often(mmd.variance, name), often(mmd.mmd2, name)

    def found(x, y):
        ustat, other = orders_of_ustat(name, x, y), float(mmd2(x, y))
        return variance(x, y), ustat.mean(), (ustat**2).mean(), other, other**2

    estimate, first, second, mean, square = moments(laws, (4, 4), found)
    truth = second - first**2
    assert estimate == pytest.approx(truth, rel=1e-11)
    assert mean == pytest.approx(first, abs=1e-12)
    assert 0.5 * truth < square - mean**2 < (1 - 1e-6) * truth


@KINDS
@pytest.mark.parametrize(
    "laws, sizes",
    [((P, Q), (4, 4)), ((P, Q), (5, 4)), ((Q, Q), (4, 6))],
    ids=["4-4", "5-4", "same-4-6"],
)
def test_the_variance_is_unbiased_for_unbiased(name, laws, sizes):
    variance = often(mmd.variance, name, "unbiased")

    def found(x, y):
        truth = references.mmd2(x, y, TRUTHS_OF[name], "unbiased")
        return variance(x, y), truth, truth**2

    estimate, first, second = moments(laws, sizes, found)
    assert estimate == pytest.approx(second - first**2, rel=1e-11)


@KINDS
@pytest.mark.parametrize("laws", [(P, Q, R), (P, R, R)], ids=["different", "same"])
def test_the_three_sample_variance_is_unbiased_for_ustat(name, laws):
    variance = often(mmd.three_sample_variance, name)

    def found(x, y, z):
        ustat = orders_of_ustat(name, x, y, z)
        return variance(x, y, z), ustat.mean(), (ustat**2).mean()

    estimate, first, second = moments(laws, (4, 4, 4), found)
    assert estimate == pytest.approx(second - first**2, rel=1e-11)


@ALL
@pytest.mark.parametrize("m", [4, 5, 6])
def test_the_variance_is_its_definition(name, m):
    x, y = draw(m, 3), 1.5 * draw(m, 3, seed=1) + 0.5
    truth = references.variance(x, y, TRUTHS[name])
    assert float(mmd.variance(x, y, name)) == pytest.approx(truth, rel=1e-8)
    assert float(mmd.variance(y, x, name)) == pytest.approx(truth, rel=1e-8)


@ALL
@pytest.mark.parametrize("n, m", [(4, 4), (4, 6)])
def test_the_variance_of_unbiased_is_its_definition(name, n, m):
    x, y = draw(n, 3), 1.5 * draw(m, 3, seed=1) + 0.5
    truth = references.variance_of_unbiased(x, y, TRUTHS[name])
    found = [mmd.variance(*rows, name, "unbiased") for rows in [(x, y), (y, x)]]
    assert [float(v) for v in found] == pytest.approx([truth] * 2, rel=1e-8)


@pytest.mark.parametrize("estimator", ["ustat", "unbiased"])
def test_the_variance_of_a_sample_with_itself(estimator):
    """The same tensor twice is as two tensors of the same numbers."""
    x = draw(5, 2)
    truth = mmd.variance(x, x.copy(), "rbf:1", estimator)
    found = mmd.variance(*(tf.constant(x),) * 2, "rbf:1", estimator)
    assert float(found) == pytest.approx(float(truth), rel=1e-12)


@ALL
@pytest.mark.parametrize("m", [4, 5])
def test_the_three_sample_variance_is_its_definition(name, m):
    x, y, z = draw(m, 3), draw(m, 3, seed=1) + 0.5, 1.5 * draw(m, 3, seed=2)
    truth = references.three_sample_variance(x, y, z, TRUTHS[name])
    for one, other in [(y, z), (z, y)]:
        found = float(mmd.three_sample_variance(x, one, other, name))
        assert found == pytest.approx(truth, rel=1e-8)


def plug_in_variance(x, y, z, kernel):
    """(4 (m - 2) V_w(E h) + 2 V(h)) / (m (m - 1)), h written out: a mean of products is
    that over all tuples of different rows, a product of means is theirs."""
    m = len(x)
    k, l, c, d = kernel(y, y), kernel(z, z), kernel(x, y), kernel(x, z)
    i, j, n = references.tuples(m, 3)
    pairs = references.tuples(m, 2)
    mean_k, mean_l = (one[tuple(pairs)].mean() for one in (k, l))
    both = np.mean([c[a, e] * d[a, f] for a, e, f in np.ndindex(m, m, m)])
    both -= c.mean() * d.mean()
    first, second = -2 * both, -4 * both
    for within, mean, across in [(k, mean_k, c), (l, mean_l, d)]:
        of_sample = np.mean(within[i, j] * within[i, n]) - mean**2
        by_row, by_column = (
            np.mean([side[a, pairs[0]] * side[a, pairs[1]] for a in range(m)])
            for side in (across, across.T)
        )
        shared = [within[e, f] * across[:, e] for e, f in pairs.T]
        shared = np.mean(shared) - mean * across.mean()
        sides = by_row + by_column - 2 * across.mean() ** 2
        first += of_sample + sides - 2 * shared
        second += np.mean(within[tuple(pairs)] ** 2) - mean**2
        second += 2 * np.mean(across**2) - 2 * across.mean() ** 2 - 4 * shared
    return (4 * (m - 2) * first + 2 * second) / (m * (m - 1))


@ALL
@pytest.mark.parametrize("m", [4, 7])
def test_the_plug_in_variance_is_its_definition(name, m):
    x, y, z = draw(m, 3), draw(m, 3, seed=1) + 0.5, 1.5 * draw(m, 3, seed=2)
    truth = plug_in_variance(x, y, z, TRUTHS[name])
    for one, other in [(y, z), (z, y)]:
        found = float(mmd.three_sample_variance(x, one, other, name, "plug-in"))
        assert found == pytest.approx(truth, rel=1e-8)


@pytest.mark.parametrize("name", ["rbf:1+dot", "distance"])
@pytest.mark.parametrize("laws", [(P, Q, R), (P, R, R)], ids=["different", "same"])
def test_the_mean_of_the_plug_in_variance_is_below_the_variance(name, laws):
    """A square of a mean M has E M^2 - (E M)^2 = Var M too much. Summed up, with the
    means of K_yy, K_zz, C and D as k, l, c and d, the plug-in form loses

        (4 (m - 2) (Var(k - c) + Var(l - d) + Var(c - d))
         + 2 (Var(k - 2 c - l + 2 d) - 2 Var(c - d))) / (m (m - 1)),    m = 4 here."""
    variance = often(mmd.three_sample_variance, name, "plug-in")
    kernel = TRUTHS_OF[name]

    def found(x, y, z):
        ustat = orders_of_ustat(name, x, y, z)
        k, l = (references.mean_off_diagonal(kernel(rows, rows)) for rows in (y, z))
        c, d = kernel(x, y).mean(), kernel(x, z).mean()
        means = np.array([k - c, l - d, c - d, k - 2 * c - l + 2 * d])
        squares = (ustat**2).mean(), *means**2
        return variance(x, y, z), ustat.mean(), *means, *squares

    estimate, *rest = moments(laws, (4, 4, 4), found)
    truth, *spreads = np.subtract(rest[5:], np.square(rest[:5]))
    lost = (8 * sum(spreads[:3]) + 2 * (spreads[3] - 2 * spreads[2])) / 12
    assert estimate == pytest.approx(truth - lost, rel=1e-10)
    assert estimate < 0.6 * truth


def test_both_three_sample_variances_agree_on_large_samples():
    """They differ by a part of order 1 / m, ten times as much for m = 100 as for 1000.
    Both are 4 / m times the variance of the row means of h, up to the covariances of
    independent rows in it, a part of order 1 / sqrt(m)."""
    parts = []
    for m in (100, 1000):
        x, y, z = draw(m, 3), draw(m, 3, seed=1) + 0.5, 1.5 * draw(m, 3, seed=2)
        found = [
            float(mmd.three_sample_variance(x, y, z, "poly:3", variance))
            for variance in mmd.THREE_SAMPLE_VARIANCES
        ]
        k, l, c, d = (
            (a @ b.T / 3 + 1) ** 3 for a, b in [(y, y), (z, z), (x, y), (x, z)]
        )
        h = k - l - c - c.T + d + d.T
        np.fill_diagonal(h, 0)
        row_means = h.sum(1) / (m - 1)
        assert found == pytest.approx([4 / m * np.var(row_means)] * 2, rel=4 / m**0.5)
        parts.append(1 - found[1] / found[0])
    assert 6 < parts[0] / parts[1] < 16
    assert parts[0] < 0.1


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
        for function, arguments in [
            (mmd.variance, rows[:2]),
            (lambda *a: mmd.variance(*a, "unbiased"), [rows[0][:40], rows[1]]),
            (mmd.t_statistic, rows[:2]),
            (mmd.three_sample_variance, rows),
            (lambda *a: mmd.three_sample_variance(*a, "plug-in"), rows),
        ]:
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
    estimate = often(mmd.variance, "dot")
    found = [
        float(estimate(random.normal(size=(m, 1)), random.normal(1, 1.5, size=(m, 1))))
        for _ in range(200)
    ]
    v = 3.25 / m
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - (4 * v + 2 * v**2)) < 5 * error + 100 / m**3
    assert error < 0.03 * (4 * v)


# ---- the t-statistic


@ALL
@pytest.mark.parametrize(
    "estimator, n, m", [("ustat", 5, 5), ("unbiased", 5, 5), ("unbiased", 4, 6)]
)
def test_the_t_statistic_is_its_formula(name, estimator, n, m):
    x, y = draw(n, 3), 1.5 * draw(m, 3, seed=1) + 0.5
    k = TRUTHS[name]
    variance = {
        "ustat": references.variance,
        "unbiased": references.variance_of_unbiased,
    }
    nu = variance[estimator](x, y, k)
    for floor in (1e-8, 2.0):
        found = mmd.t_statistic(x, y, name, floor, estimator)
        truth = references.mmd2(x, y, k, estimator) / math.sqrt(max(nu, floor))
        assert float(found) == pytest.approx(truth, rel=1e-7)


def test_the_floor_of_the_t_statistic_is_1e_8():
    """Li et al. (2017); samples that do not vary have no variance."""
    x, y = np.zeros((4, 1)), np.full((4, 1), 0.01)
    assert float(mmd.t_statistic(x, y, "dot")) == pytest.approx(1e-4 / 1e-4, rel=1e-9)
    found = float(mmd.t_statistic(x, y, "dot", floor=1e-4))
    assert found == pytest.approx(1e-4 / 1e-2, rel=1e-9)


def test_the_t_statistic_trains():
    """Its gradient agrees with finite differences; at the floor, it is finite."""
    x, y = draw(6, 2), draw(6, 2, seed=1) + 1
    moved = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(moved)
        found = mmd.t_statistic(moved, y, "rbf:1")
    truth = references.numerical_gradient(
        lambda x: float(mmd.t_statistic(x, y, "rbf:1")), x
    )
    np.testing.assert_allclose(tape.gradient(found, moved), truth, atol=1e-6)
    moved = tf.zeros((4, 2))
    with tf.GradientTape() as tape:
        tape.watch(moved)
        found = mmd.t_statistic(moved, tf.zeros((4, 2)), "rq")
    assert np.isfinite(tape.gradient(found, moved)).all()


# ---- the three-sample test


SPREADS = {
    "unbiased": references.three_sample_variance,
    "plug-in": plug_in_variance,
}
BOTH = pytest.mark.parametrize("variance", SPREADS)


def test_the_list_of_three_sample_variances_is_whole():
    assert list(mmd.THREE_SAMPLE_VARIANCES) == list(SPREADS)


@ALL
@BOTH
def test_the_three_sample_test_is_its_formula(name, variance):
    x, y, z = draw(5, 3), draw(5, 3, seed=1) + 0.5, 1.5 * draw(5, 3, seed=2)
    k = TRUTHS[name]
    nu = SPREADS[variance](x, y, z, k)
    gain = references.mmd2(x, y, k, "unbiased") - references.mmd2(x, z, k, "unbiased")
    for floor in (1e-5, 2.0):
        statistic, p = mmd.three_sample_test(x, y, z, name, floor, variance)
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


@BOTH
def test_the_statistic_is_standard_normal_where_y_and_z_are_alike(variance):
    """y and z of one law that is not x's, m = 200, 300 tests: the sd of T, 1.03 for
    this m, is within .2 of 1 (4 sd), its mean within .29 (5 sd), and p below .1 in 9
    to 56 of them (30 are expected, sd 5.2). A false alarm in about 10^4 seeds. That p
    is uniform, by Kolmogorov and Smirnov, has one in 10^3 seeds.
    """
    random = np.random.default_rng(11)
    test = often(mmd.three_sample_test, "poly:3", 1e-5, variance)
    tests = [
        test(
            random.normal(size=(200, 2)),
            random.normal(0.5, 1, size=(200, 2)),
            random.normal(0.5, 1, size=(200, 2)),
        )
        for _ in range(300)
    ]
    statistics, p = np.array(tests).T
    assert abs(np.std(statistics) - 1) < 0.2
    assert abs(np.mean(statistics)) < 0.29
    assert 9 <= np.sum(p < 0.1) <= 56
    assert kstest(p, "uniform").pvalue > 1e-3


@BOTH
def test_the_test_sees_what_is_closer(variance):
    """Rows of 5 numbers, y off by .5, z by 1, m = 200: T is -7.6, give or take 1."""
    random = np.random.default_rng(5)
    x, y, z = (random.normal(shift, size=(200, 5)) for shift in (0, 0.5, 1))
    statistic, p = mmd.three_sample_test(x, y, z, "poly:3", variance=variance)
    assert -12.6 < float(statistic) < -2.6
    assert float(p) < 0.005


def test_sums_by_hand():
    """The kernel a b, less the mean of 1, 1 and 2: its values at rows 1 2, 2 3, .."""
    x, y = np.array([[1.0], [1], [1], [2]]), np.array([[0.0], [1], [2], [0]])
    found = mmd.sums(x, y, "dot")
    less = 4 / 3
    np.testing.assert_allclose(found.within, np.array([0, 2, 2, 0]) - 3 * less)
    assert float(found.within_square) == pytest.approx(
        2 * 2**2 - 8 * less + 12 * less**2
    )
    np.testing.assert_allclose(found.rows, np.array([3, 3, 3, 6]) - 4 * less)
    np.testing.assert_allclose(found.columns, np.array([0, 5, 10, 0]) - 4 * less)
    squares = 3 * (1 + 4) + (4 + 16)
    total = squares - 2 * 15 * less + 16 * less**2
    assert float(found.across_square) == pytest.approx(total)


@BOTH
def test_sums_are_all_that_a_test_needs(variance):
    x, y, z = draw(9, 2), draw(9, 2, seed=1) + 0.5, draw(9, 2, seed=2) + 2
    truth = mmd.three_sample_test(x, y, z, "poly:3", 0.3, variance)
    kept = [mmd.sums(x, rows, "poly:3") for rows in (y, z)]
    found = mmd.compare(*kept, 0.3, variance)
    assert [float(n) for n in found] == [float(n) for n in truth]
    arrays = [mmd.Sums(*map(np.asarray, one)) for one in kept]
    statistic, p = mmd.compare(*arrays, 0.3, variance)
    assert (statistic.dtype, p.dtype) == ("float64", "float64")
    assert float(p) == pytest.approx(float(truth[1]), rel=1e-12)


# ---- saturation

WIDTHS = [2, 5, 10, 20, 40, 80]  # as sigma^2
SIX = "rbf:" + ",".join(str(math.sqrt(width)) for width in WIDTHS)


def test_kernels_that_are_0_between_rows_leave_the_bias_alone():
    """6 kernels, 128 rows far apart: 2 * 6 / 128, which no training moves."""
    x, y = 1e7 * draw(128, 2), 1e7 * draw(128, 2, seed=1)
    assert float(mmd.mmd2(x, y, SIX, "biased")) == pytest.approx(0.09375, rel=1e-12)
    assert mmd.floor(SIX, 128, 128) == 0.09375
    for estimator in ("unbiased", "ustat", "constant_diagonal", "linear"):
        assert float(mmd.mmd2(x, y, SIX, estimator)) == 0
    assert float(mmd.variance(x, y, SIX)) == 0
    means = mmd.terms(x, y, SIX)
    assert mmd.saturation(*means, kernels.get(SIX).of_squares(0.0)) == "far"


def test_the_floor_of_samples_of_two_sizes():
    """Against the biased estimate of rows far apart; .5 exp(-0) and 5 more."""
    x, y = 1e9 * draw(5, 2), 1e9 * draw(8, 2, seed=1)
    name = ".5*laplace:1+rbf:1,2,4,8,16"
    found = mmd.floor(name, 5, 8)
    assert found == pytest.approx(5.5 / 5 + 5.5 / 8, rel=1e-15)
    assert found == pytest.approx(float(mmd.mmd2(x, y, name, "biased")), rel=1e-12)


@pytest.mark.parametrize(
    "means, diagonal, word",
    [
        ((0, 0, 0), 1, "far"),
        ((0.009, 0.009, 0.009), 1, "far"),
        ((0.011, 0, 0), 1, None),
        ((0, 0.011, 0), 1, None),
        ((0, 0, 0.011), 1, None),
        ((0.05, 0.05, 0.05), 6, "far"),
        ((0.991, 0.992, 1), 1, "near"),
        ((0.989, 1, 1), 1, None),
        ((1, 0.989, 1), 1, None),
        ((1, 1, 0.989), 1, None),
        ((5.97, 5.97, 5.97), 6, "near"),
        ((1, 1, 1), 6, None),
        ((1, 1, 0), 1, None),
        ((math.nan, 0, 0), 1, None),
        ((0, math.nan, 1), 1, None),
        ((1, 1, math.nan), 1, None),
    ],
)
def test_saturation(means, diagonal, word):
    assert mmd.saturation(*means, diagonal) == word


@pytest.mark.parametrize(
    "scale, word", [(1e-2, "near"), (1.0, None), (1e3, "far")], ids=str
)
def test_the_scale_of_features_saturates(scale, word):
    x, y = scale * draw(20, 4), scale * (draw(20, 4, seed=1) + 1)
    assert mmd.saturation(*mmd.terms(x, y, "rbf:1")) == word


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


KNOWN = "known: unbiased, biased, ustat, constant_diagonal, linear, successive"


@pytest.mark.parametrize(
    "function, estimator, message",
    [
        (
            mmd.mmd2,
            "unbiassed",
            "unknown estimator 'unbiassed'; did you mean 'unbiased'?",
        ),
        (mmd.mmd2, "v", f"unknown estimator 'v'; {KNOWN}"),
        (mmd.terms, None, f"unknown estimator None; {KNOWN}"),
        (
            mmd.variance,
            "linear",
            "unknown estimator with a variance 'linear'; known: ustat, unbiased",
        ),
        (
            lambda *a: mmd.t_statistic(*a[:3], estimator=a[3]),
            "biased",
            "unknown estimator with a variance 'biased'; did you mean 'unbiased'?",
        ),
        (
            lambda *a: mmd.means(a[3]),
            "linear",
            "unknown estimator 'linear'; known: unbiased, biased, ustat",
        ),
    ],
)
def test_an_unknown_estimator_is_refused_in_words(function, estimator, message):
    with pytest.raises(ValueError) as caught:
        function(draw(4, 1), draw(4, 1), "dot", estimator)
    assert str(caught.value) == message


def test_the_list_of_estimators_is_whole():
    assert list(mmd.ESTIMATORS) == references.ESTIMATORS
    assert list(mmd.MEANS) == list(references.MEANS)
    for name in references.ESTIMATORS:
        assert f"\n    {name} " in mmd.__doc__


@ESTIMATORS
def test_error_one_row_has_no_pairs(estimator):
    if estimator == "biased":
        assert float(mmd.mmd2([[0.0]], [[1.0], [1.0]], "dot", estimator)) == 1
        return
    for x, y in [(1, 3), (3, 1)]:
        with pytest.raises(ValueError) as caught:
            mmd.mmd2(np.zeros((x, 2)), np.zeros((y, 2)), "rbf:1", estimator)
        assert str(caught.value) == "pairs i != j need two rows at least, not one"


@pytest.mark.parametrize(
    "sizes", [(3, 3), (4, 5), (1, 1), (4, 4, 5), (5, 4, 4), (3, 3, 3)], ids=str
)
def test_error_samples_that_have_no_variance(sizes):
    samples = [np.zeros((size, 2)) for size in sizes]
    two = [mmd.variance, mmd.t_statistic]
    three = [mmd.three_sample_variance, mmd.three_sample_test]
    words = "a variance of 'ustat' wants samples of one size, not "
    if min(sizes) < 4:
        words = "a variance of MMD^2 wants samples from 4 rows, not "
    for function in two if len(sizes) == 2 else three:
        with pytest.raises(ValueError) as caught:
            function(*samples, "rbf:1")
        assert str(caught.value) == words + ", ".join(map(str, sizes))


@pytest.mark.parametrize("sizes", [(3, 4), (9, 2)], ids=str)
def test_error_too_few_rows_for_a_variance_of_unbiased(sizes):
    with pytest.raises(ValueError) as caught:
        mmd.variance(*(np.zeros((size, 2)) for size in sizes), "rbf:1", "unbiased")
    assert str(caught.value) == (
        "a variance of MMD^2 wants samples from 4 rows, not "
        + ", ".join(map(str, sizes))
    )


def test_error_sums_of_two_sizes():
    sums = [mmd.sums(np.zeros((m, 2)), np.zeros((m, 2)), "dot") for m in (5, 4)]
    with pytest.raises(ValueError) as caught:
        mmd.compare(*sums)
    assert str(caught.value) == (
        "sums of samples of one size are compared, not of 5 and 4 rows"
    )
    with pytest.raises(ValueError) as caught:
        mmd.sums(np.zeros((5, 2)), np.zeros((4, 2)), "dot")
    assert str(caught.value) == (
        "a variance of 'ustat' wants samples of one size, not 5, 4"
    )


def test_error_an_unknown_three_sample_variance():
    samples = (np.zeros((4, 2)),) * 3
    for test in (mmd.three_sample_variance, mmd.three_sample_test):
        with pytest.raises(ValueError) as caught:
            test(*samples, "dot", variance="plugin")
        assert str(caught.value) == (
            "unknown variance of a three-sample test 'plugin'; did you mean 'plug-in'?"
        )


def test_error_samples_of_other_rows():
    with pytest.raises(ValueError) as caught:
        mmd.three_sample_test(*(np.zeros((4, d)) for d in (2, 2, 3)), "rbf:1")
    assert str(caught.value) == (
        "a kernel compares rows (n, d) and (m, d), not (4, 2) and (4, 2) and (4, 3)"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("rbf:1", 0, 4), "samples have 1 row at least, not 0 and 4"),
        (("rbf:1", 4, -1), "samples have 1 row at least, not 4 and -1"),
        (
            ("rbf:1+dot", 4, 4),
            "kernel rbf:1+dot is no function of the distance, for its dot; such are "
            "rbf, rq, laplace",
        ),
    ],
)
def test_error_samples_that_have_no_floor(arguments, message):
    with pytest.raises(ValueError) as caught:
        mmd.floor(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("floor", [0, -1.0, math.nan, math.inf])
def test_error_a_floor_that_is_none(floor):
    for test, samples in [(mmd.t_statistic, 2), (mmd.three_sample_test, 3)]:
        with pytest.raises(ValueError) as caught:
            test(*(np.zeros((4, 2)),) * samples, "rbf:1", floor)
        assert str(caught.value) == (
            f"floor of a variance is a number above 0, not {floor}"
        )
