"""Gradients and learned critics against enumeration, quadrature and draws."""

import itertools
import math

import numpy as np
import pytest
import references
import tensorflow as tf
from scipy import integrate, stats

from gantf import mmd
from gantf.theory import critics

KERNELS = {  # name -> the same in NumPy
    "rbf:1": lambda x, y: references.rbf(x, y, 1),
    "rq:.2,2+dot": lambda x, y: (
        references.rq(x, y, 0.2) + references.rq(x, y, 2) + references.dot(x, y)
    ),
    "distance": references.distance,
    "poly:3": lambda x, y: references.poly(x, y, 3),
    "tanh>laplace:1": references.tanh(lambda x, y: references.laplace(x, y, 1)),
}
ALL = pytest.mark.parametrize("name", KERNELS)

# Laws in the plane with unequal masses, and a net 2-5-3 of generic weights.
P = np.array([[0.2, -0.4], [1.1, 0.7]]), np.array([0.3, 0.7])
Q = np.array([[0.9, 0.1], [-0.6, 1.3], [0.4, -1.2]]), np.array([0.5, 0.2, 0.3])
RANDOM = np.random.default_rng(5)
WEIGHTS = [RANDOM.normal(size=size) for size in [(2, 5), 5, (5, 3)]]
THETA = np.array([0.8, 1.3, -0.2])  # y = (theta_0 z_0 + theta_2, theta_1 z_1)


# ---- unbiased gradients, by all minibatches


def features(x, weights):
    return np.maximum(x @ weights[0] + weights[1], 0) @ weights[2]


def population(name, theta, weights, spare=0):
    """MMD^2 of the laws, and (E k(y, y) - E k(y, y')) / spare, in NumPy."""
    k, (x, p), (z, q) = KERNELS[name], P, Q
    x = features(x, weights)
    y = features(z * theta[:2] + [theta[2], 0], weights)
    k_xx, k_yy, k_xy = k(x, x), k(y, y), k(x, y)
    value = p @ k_xx @ p + q @ k_yy @ q - 2 * p @ k_xy @ q
    if spare:
        value += (p @ np.diag(k_xx) - p @ k_xx @ p) / spare
        value += (q @ np.diag(k_yy) - q @ k_yy @ q) / spare
    return value


def minibatches(size, masses):
    """All multisets of rows, each in one order, with their probabilities."""
    together = {}
    for rows in itertools.product(range(len(masses)), repeat=size):
        key = tuple(sorted(rows))
        together[key] = together.get(key, 0) + math.prod(masses[i] for i in rows)
    return together.items()


def mean_gradients(name, estimator, size, orders=False):
    """The mean over minibatches of TensorFlow's gradients of gantf's estimate."""
    variables = [tf.Variable(value) for value in (THETA, WEIGHTS[0], WEIGHTS[2])]
    estimate = tf.function(lambda x, y: mmd.mmd2(x, y, name, estimator))
    with tf.GradientTape() as tape:
        theta, w_1, w_2 = variables

        def critic(x):
            return tf.nn.relu(x @ w_1 + WEIGHTS[1]) @ w_2

        y = critic(Q[0] * theta[:2] + tf.stack([theta[2], 0]))
        x, total = critic(tf.constant(P[0])), 0.0
        for (i, one), (j, two) in itertools.product(
            minibatches(size, P[1]), minibatches(size, Q[1])
        ):
            # "ustat" leaves out pairs of a row: the mean over all turns of j is that
            # over all its orders, as every i meets every j equally often.
            for turn in range(size if orders else 1):
                rows = tf.gather(y, np.roll(j, turn))
                value = estimate(tf.gather(x, i), rows)
                total += one * two * value / (size if orders else 1)
    # The tape is linear: the gradient of this sum is the sum of the gradients.
    return [g.numpy() for g in tape.gradient(total, variables)]


def true_gradients(name, spare=0):
    def value(place):
        def of(changed):
            arguments = [THETA, *WEIGHTS]
            arguments[place] = changed
            return population(name, arguments[0], arguments[1:], spare)

        return of

    arguments = [THETA, *WEIGHTS]
    return [references.numerical_gradient(value(i), arguments[i]) for i in (0, 1, 3)]


def test_the_laws_keep_clear_of_kinks():
    """So that the differences of the true gradients step over none."""
    for points in (P[0], Q[0] * THETA[:2] + [THETA[2], 0]):
        before = points @ WEIGHTS[0] + WEIGHTS[1]
        assert np.abs(before).min() > 1e-3
        assert (before > 0).any() and (before < 0).any()


@pytest.mark.parametrize(
    "name, estimator",
    [
        ("rbf:1", "ustat"),
        *((name, "unbiased") for name in ("rq:.2,2+dot", "distance", "tanh>laplace:1")),
    ],
)
def test_gradients_through_a_fixed_critic_are_unbiased(name, estimator):
    """Of the generator's parameters and of the critic's: differences of 1e-6 have an
    error of 1e-9 of the values."""
    found = mean_gradients(name, estimator, 3, orders=estimator == "ustat")
    for one, truth in zip(found, true_gradients(name)):
        scale = np.abs(truth).max()
        np.testing.assert_allclose(one, truth, rtol=1e-6, atol=1e-7 * max(scale, 1))


@pytest.mark.parametrize("name", ["rq:.2,2+dot", "distance"])
def test_gradients_of_the_biased_estimate_are_biased(name):
    """By the gradient of (E k(x, x) - E k(x, x') + E k(y, y) - E k(y, y')) / m."""
    found = mean_gradients(name, "biased", 3)
    true, off = true_gradients(name), true_gradients(name, spare=3)
    for one, truth, biased in zip(found, true, off):
        scale = np.abs(biased).max()
        np.testing.assert_allclose(one, biased, rtol=1e-6, atol=1e-7 * max(scale, 1))
        assert np.abs(one - truth).max() > 0.02 * np.abs(truth).max()


# ---- critics.gradients


ONE = critics.Discrete(*P)
TWO = critics.Discrete(*Q)


def through(weights=WEIGHTS):
    return lambda x: features(x, weights)


def by_hand(name, estimator, size):
    """All ordered minibatches, differences of NumPy's estimate: mean and sd."""
    values, chances = [], []
    for i in itertools.product(range(2), repeat=size):
        for j in itertools.product(range(3), repeat=size):
            x, z = features(P[0][list(i)], WEIGHTS), Q[0][list(j)]
            up, down = (
                references.mmd2(
                    x, features(theta * z, WEIGHTS), KERNELS[name], estimator
                )
                for theta in (1 + 1e-5, 1 - 1e-5)
            )
            values.append((up - down) / 2e-5)
            chances.append(math.prod(P[1][list(i)]) * math.prod(Q[1][list(j)]))
    assert sum(chances) == pytest.approx(1, rel=1e-12)
    mean = np.dot(chances, values)
    return mean, math.sqrt(np.dot(chances, (np.array(values) - mean) ** 2))


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("name, size", [("rbf:1", 3), ("distance", 2)])
def test_gradients_are_those_of_all_minibatches(name, size, estimator):
    found = critics.gradients(ONE, TWO, through(), name, size, estimator)
    mean, sd = by_hand(name, estimator, size)
    assert found.mean == pytest.approx(mean, rel=1e-6)
    assert found.sd == pytest.approx(sd, rel=1e-6)


@ALL
@pytest.mark.parametrize("size", [2, 5])
def test_their_mean_is_the_true_gradient_if_unbiased(name, size):
    def value(theta, spare=0):
        theta = [theta[0], theta[0], 0]
        return population(name, theta, WEIGHTS, spare)

    truth, off = (
        references.numerical_gradient(lambda t, s=s: value(t, s), [1.0])[0]
        for s in (0, size)
    )
    unbiased = critics.gradients(ONE, TWO, through(), name, size, "unbiased")
    biased = critics.gradients(ONE, TWO, through(), name, size, "biased")
    assert unbiased.true == pytest.approx(truth, rel=1e-6)
    assert unbiased.mean == pytest.approx(truth, rel=1e-6)
    assert biased.true == unbiased.true
    assert biased.mean == pytest.approx(off, rel=1e-6)


def test_minibatches_by_hand():
    law = critics.Discrete(np.array([[0.0], [1.0]]), np.array([0.25, 0.75]))
    found = {tuple(rows): chance for rows, chance in law.minibatches(2)}
    assert found == {(0, 0): 1 / 16, (0, 1): 6 / 16, (1, 1): 9 / 16}
    found = [chance for _, chance in critics.REAL.minibatches(5)]
    assert len(found) == 21 and sum(found) == pytest.approx(1, rel=1e-12)


def test_an_estimate_that_depends_on_the_order_is_refused():
    with pytest.raises(ValueError) as caught:
        critics.gradients(ONE, TWO, through(), "dot", 3, "ustat")
    rule = "estimator is 'unbiased' or 'biased' here, not 'ustat'"
    assert str(caught.value) == rule
    with pytest.raises(ValueError, match="unknown estimator 'median'"):
        critics.gradients(ONE, TWO, through(), "dot", 3, "median")


def test_the_critic_is_a_relu_net():
    """Linear on either side of its kinks, and not through them."""
    critic = critics.relu_critic(np.random.default_rng(0))
    x = np.array([[50.0, 20.0]])
    assert critic(x).shape == (1, 2)
    np.testing.assert_allclose(critic(x * 1.01) + critic(x * 0.99), 2 * critic(x))
    assert np.abs(critic(x) + critic(-x) - 2 * critic(0 * x)).min() > 1


# ---- learned critics: d ~ N(D, 2 / n), psi = sign(d)

CASES = pytest.mark.parametrize("shift", [-0.7, 0.0, 0.3, 1.2])
SIZES = pytest.mark.parametrize("size", [1, 5, 40])


@CASES
@SIZES
def test_distances_of_learned_critics_are_integrals(shift, size):
    law = stats.norm(shift, math.sqrt(2 / size))

    def mean(f):  # split at the kink
        sides = [(shift - 12, 0), (0, shift + 12)]
        return sum(
            integrate.quad(lambda d: f(d) * law.pdf(d), *side, points=[shift])[0]
            for side in sides
        )

    plug_in, split = mean(abs), shift * mean(np.sign)
    assert critics.plug_in(shift, size) == pytest.approx(plug_in, abs=1e-8)
    assert critics.split_sample(shift, size) == pytest.approx(split, abs=1e-8)
    assert critics.plug_in_slope(shift, size) == pytest.approx(mean(np.sign), abs=1e-8)
    assert split <= abs(shift) + 1e-9 and plug_in >= abs(shift) - 1e-9


@CASES
@SIZES
def test_slopes_are_derivatives(shift, size):
    for function, slope in [
        (critics.plug_in, critics.plug_in_slope),
        (critics.split_sample, critics.split_sample_slope),
    ]:
        truth = references.numerical_gradient(
            lambda d, f=function: f(d[0], size), [shift]
        )
        assert slope(shift, size) == pytest.approx(truth[0], abs=1e-8)


def test_learned_critics_on_draws():
    """Critics from draws, 40000 times: each mean is within 5 standard errors, a false
    alarm in 10^6 seeds for each of four."""
    random, size, shift, runs = np.random.default_rng(1), 6, 0.4, 40000

    def difference():
        p, q = random.normal(shift, 1, (runs, size)), random.normal(0, 1, (runs, size))
        return p.mean(axis=1) - q.mean(axis=1)

    learned, others = difference(), difference()
    slopes = np.linspace(-1, 1, 21)  # the critics: those of slope psi
    psi = slopes[np.argmax(np.outer(learned, slopes), axis=1)]
    for found, truth in [
        (psi * learned, critics.plug_in(shift, size)),
        (psi * others, critics.split_sample(shift, size)),
        (psi, critics.plug_in_slope(shift, size)),  # what the generator gets
        (1.0 * others, shift),  # the fixed critic psi = 1: gradient 1, unbiased
    ]:
        error = np.std(found, ddof=1) / math.sqrt(runs)
        assert abs(np.mean(found) - truth) < 5 * error
        assert error < 0.005


def test_learned_critics_at_their_ends():
    assert critics.plug_in(0.0, 4) == pytest.approx(1 / math.sqrt(math.pi))
    assert critics.split_sample(0.0, 4) == critics.plug_in_slope(0.0, 4) == 0
    assert critics.split_sample_slope(0.0, 4) == 0
    shift = np.array([-2.0, 1.0])
    for function in (critics.plug_in, critics.split_sample):
        np.testing.assert_allclose(function(shift, 10**4), [2, 1], rtol=1e-12)
    for function in (critics.plug_in_slope, critics.split_sample_slope):
        np.testing.assert_allclose(function(shift, 10**4), [-1, 1], rtol=1e-12)


# ---- Bickel & Lehmann


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 0.9])
def test_the_mean_of_the_plug_in_along_a_mixture(weight):
    """All sequences of 5 samples of -1 and 1."""
    truth = sum(
        abs(np.mean(x)) * math.prod(weight if s > 0 else 1 - weight for s in x)
        for x in itertools.product([-1, 1], repeat=5)
    )
    assert critics.mixture_plug_in(weight, 5) == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_means_of_estimates_are_polynomials_and_the_distance_is_none(size):
    """Differences of order n + 1 vanish for polynomials of degree n alone. MMD^2 with
    the kernel a b is (2a - 1)^2: its unbiased estimate from 2 samples x is x x'."""
    a = np.linspace(0, 1, size + 3)
    binomials = 2.0 ** (size + 1)
    found = np.diff(critics.mixture_plug_in(a, size), size + 1)
    assert np.abs(found).max() < 1e-13 * binomials
    assert np.abs(np.diff(np.abs(2 * a - 1), size + 1)).max() > 0.1


@pytest.mark.parametrize("size, truth", [(1, 1 / 2), (2, 1 / 8), (3, 1 / 8)])
def test_the_least_bias_by_hand(size, truth):
    """Chebyshev: 1/2 and x^2 + 1/8 touch |x| +- the error in enough points. The grid
    misses the parabola's touching points by 1 / 150 at most: 5e-5."""
    assert critics.least_bias(size) == pytest.approx(truth, abs=5e-5)


def test_the_least_bias_falls_as_bernstein_says():
    """n E_n -> .2801694990 from below (Varga & Carpenter 1985); an estimate that is
    used, the plug-in, is worse."""
    found = [size * critics.least_bias(size) for size in (2, 4, 8, 16)]
    assert found == sorted(found)
    assert 0.2785 < found[-1] < 0.2801694990
    for size in (2, 4, 16):
        worst = critics.mixture_plug_in(0.5, size)
        assert worst > 3 * critics.least_bias(size)
