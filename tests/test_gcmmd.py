"""GC-MMD against closed forms and the constrained problem itself, in float64 NumPy.

Functionals of f are written as weights of values at points; slopes are differences.
"""

import math

import numpy as np
import pytest
import references
import tensorflow as tf

from gantf import gcmmd, kernels

STEP = 1e-4  # of differences: their squared, and 1e-16 / STEP^2, are left: 1e-8


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def rbf_sum(a, b):
    return (
        references.rbf(a, b, 1) + references.rbf(a, b, 2) + 0.5 * references.rq(a, b, 1)
    )


KERNELS = {
    "rbf:1": lambda a, b: references.rbf(a, b, 1),
    "rq:.5": lambda a, b: references.rq(a, b, 0.5),
    "rbf:1,2+.5*rq:1": rbf_sum,
    "rbf:2*rq:1": lambda a, b: references.rbf(a, b, 2) * references.rq(a, b, 1),
}


class Problem:
    """Features phi(x) = tanh(x A) B of samples of P, Q and mu = P, of p numbers."""

    def __init__(self, p, d, n=4, seed=0):
        self.a, self.b = draw(p, 5, seed=seed), draw(5, d, seed=seed + 1)
        self.real, self.fake = draw(n, p, seed=seed + 2), draw(n + 1, p, seed=seed + 3)
        self.fake += 0.5

    def features(self, x):
        return np.tanh(x @ self.a) @ self.b

    def jacobians(self):
        """(n, d, p)"""
        bent = 1 - np.tanh(self.real @ self.a) ** 2
        return np.einsum("hd,nh,ph->ndp", self.b, bent, self.a)

    def mmd2(self, k):
        real, fake = self.features(self.real), self.features(self.fake)
        return references.mmd2(real, fake, k, "biased")

    def correction(self, name, lambda_, method="exact", **options):
        real, fake = self.features(self.real), self.features(self.fake)
        k, slopes = kernels.get(name), self.jacobians()
        return float(
            gcmmd.correction(real, fake, real, slopes, k, lambda_, method, **options)
        )

    def constraints(self, values=True):
        """The points, and of each functional of the constraint its weights there."""
        (n, p), points, rows = self.real.shape, list(self.real), []
        if values:
            rows += [{m: 1.0} for m in range(n)]
        for m in range(n):
            for i in range(p):
                rows.append({len(points): 0.5 / STEP, len(points) + 1: -0.5 / STEP})
                points += [self.real[m] + s * STEP * np.eye(p)[i] for s in (1, -1)]
        return np.array(points), rows

    def supremum(self, k, lambda_, values=True):
        """The largest (E_P f - E_Q f)^2 over E_mu f^2 + E_mu |grad f|^2 + lambda |f|^2
        <= 1: of f in the span of the functionals and of k(q, .), since what is
        orthogonal to it only costs."""
        points, rows = self.constraints(values)
        n, m, size = len(self.real), len(self.fake), len(points)
        weights = np.zeros((len(rows) + n + m, size + m))
        for number, row in enumerate(rows):
            weights[number, list(row)] = list(row.values())
        weights[len(rows) :, [*range(n), *range(size, size + m)]] = np.eye(n + m)
        features = self.features(np.concatenate([points, self.fake]))
        gram = weights @ k(features, features) @ weights.T
        aim = np.zeros(len(weights))
        aim[len(rows) : len(rows) + n], aim[len(rows) + n :] = 1 / n, -1 / m
        # f = sum_s c_s e_s: |f|^2 = c' gram c, e_s(f) = (gram c)_s. In coordinates
        # z = gram^(1/2) c both forms have inverses.
        squares, vectors = np.linalg.eigh(gram)
        kept = squares > 1e-7 * squares.max()
        root = vectors[:, kept] * np.sqrt(squares[kept])
        held = root[: len(rows)]
        form = held.T @ held / n + lambda_ * np.eye(kept.sum())
        goal = root.T @ aim
        return goal @ np.linalg.solve(form, goal)


SIZES = pytest.mark.parametrize("p, d", [(1, 1), (3, 1), (3, 2), (2, 3), (3, 3)])


@SIZES
@pytest.mark.parametrize("name, lambda_", zip(KERNELS, [1.0, 0.1, 0.3, 3.0]))
def test_it_is_the_supremum_of_the_constrained_problem(p, d, name, lambda_):
    problem = Problem(p, d)
    for method, values in (("exact", True), ("gradient", False)):
        q = problem.correction(name, lambda_, method)
        found = (problem.mmd2(KERNELS[name]) - q) / lambda_
        truth = problem.supremum(KERNELS[name], lambda_, values)
        assert found == pytest.approx(truth, rel=1e-5), method


def point_mass(psi, theta, lambda_):
    """P = mu = delta_0, Q = delta_theta, phi = psi x, rbf:1: A is diagonal, with
    entries 1 and psi^2, and v is 1 - e and -psi^2 theta e; worked out by hand."""
    e = math.exp(-((psi * theta) ** 2) / 2)
    values = (1 - e) ** 2 / (1 + lambda_)
    slopes = psi**4 * theta**2 * e**2 / (psi**2 + lambda_)
    return (2 * (1 - e) - values - slopes) / lambda_


@pytest.mark.parametrize("method", ["exact", "cholesky"])
@pytest.mark.parametrize(
    "psi, theta, lambda_", [(1, 0.7, 1), (3, 0.7, 1), (0.3, -2, 0.1), (0, 1, 1)]
)
def test_point_masses_have_a_closed_form(psi, theta, lambda_, method):
    here, there, slope = np.zeros((1, 1)), [[psi * theta]], [[[float(psi)]]]
    there, slope, k = np.array(there), np.array(slope), kernels.get("rbf:1")
    q = gcmmd.correction(here, there, here, slope, k, lambda_, method, eta=1e-9)
    truth = point_mass(psi, theta, lambda_)
    mmd2 = 2 * (1 - math.exp(-((psi * theta) ** 2) / 2))
    assert (mmd2 - float(q)) / lambda_ == pytest.approx(truth, rel=1e-12)


def test_a_number_of_the_closed_form():
    # By an independent solver of the system: .26088879809074
    assert point_mass(1, 0.7, 1) == pytest.approx(0.26088879809074, abs=1e-14)


@pytest.mark.parametrize("p, d", [(3, 1), (3, 2), (2, 3)])
def test_the_low_rank_form_comes_from_below_to_the_exact_one(p, d):
    """More pivots are more constraint: q falls, and GC-MMD rises."""
    problem = Problem(p, d, n=5)
    exact = problem.correction("rbf:1", 0.3)
    found = [
        problem.correction("rbf:1", 0.3, "cholesky", eta=eta)
        for eta in (0.9, 0.1, 1e-2, 1e-4, 1e-8)
    ]
    assert all(np.diff(found) <= 1e-12) and found[0] > 1.01 * exact
    assert found[-2] == pytest.approx(exact, rel=1e-3)
    assert found[-1] == pytest.approx(exact, rel=1e-7)
    ranks = [
        problem.correction("rbf:1", 0.3, "cholesky", eta=1e-8, rank=rank)
        for rank in (1, 4, 1000)
    ]
    assert all(np.diff(ranks) < 1e-12) and ranks[0] > ranks[-1]
    assert ranks[-1] == found[-1]


def test_pivots_are_the_largest_of_what_is_left():
    """Against Schur complements of the whole matrix, made with weights."""
    parts = draw(6, 3), draw(6, seed=5), draw(6, 3, seed=6)
    functionals = gcmmd.Functionals(*map(tf.constant, parts))
    k, weights = kernels.get("rbf:1"), 30 * np.abs(draw(6, seed=7))
    left = gcmmd.pairing(k, functionals, functionals).numpy()
    truth, first = [], (weights * np.diag(left)).max()
    while (weights * np.diag(left)).max() > 0.05 * first:
        best = int(np.argmax(weights * np.diag(left)))
        truth.append(best)
        left = left - np.outer(left[best], left[best]) / left[best, best]
        left[best, best] = 0
    found = gcmmd.pivots(k, functionals, tf.constant(weights), 0.05, 1000)
    assert 1 < len(truth) < 6 and list(found) == truth
    assert (
        list(gcmmd.pivots(k, functionals, tf.constant(weights), 0.05, 2)) == truth[:2]
    )


@pytest.mark.parametrize(
    "p, d, method",
    [(3, 2, "exact"), (2, 3, "exact"), (3, 2, "cholesky"), (2, 3, "gradient")],
)
def test_gradients_against_differences(p, d, method):
    problem, k = Problem(p, d), kernels.get("rbf:1+.5*rq:1")
    parts = [
        problem.features(problem.real),
        problem.features(problem.fake),
        problem.features(problem.real) + 0.1,  # mu apart from P
        problem.jacobians(),
    ]

    @tf.function
    def q(*parts):
        return gcmmd.correction(*parts, k, 0.3, method, eta=0.05)

    tensors = [tf.constant(part) for part in parts]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = q(*tensors)
    for number, gradient in enumerate(tape.gradient(value, tensors)):
        direction = 1e-5 * draw(*parts[number].shape, seed=number)
        moved = []
        for sign in (1, -1):
            others = list(tensors)
            others[number] = tf.constant(parts[number] + sign * direction)
            moved.append(float(q(*others)))
        # Differences of 1e-5: 1e-10 by curvature, 1e-11 by rounding
        truth = (moved[0] - moved[1]) / 2
        assert np.sum(gradient * direction) == pytest.approx(truth, rel=1e-5, abs=1e-13)


@pytest.mark.parametrize("method", gcmmd.METHODS)
def test_the_numbers_of_a_sample_are_any_orthogonal_coordinates(method):
    """More pixels that do nothing change nothing, nor does a rotation of them; with
    4 numbers and more the features' own slopes are the unknowns."""
    problem, k = Problem(2, 3), kernels.get("rbf:1")
    real, fake = problem.features(problem.real), problem.features(problem.fake)
    slopes = problem.jacobians()
    turned = np.linalg.qr(draw(7, 7))[0][:2]  # (2, 7), orthonormal rows
    truth, found = (
        float(gcmmd.correction(real, fake, real, given, k, 1.0, method, eta=1e-9))
        for given in (slopes, slopes @ turned)
    )
    assert found == pytest.approx(truth, rel=1e-9)


def test_pivots_in_features_are_those_in_numbers_of_samples():
    """With one score both are the same system, and slopes count by their length."""
    problem, k = Problem(1, 1, n=6), kernels.get("rbf:1")
    real, fake = problem.features(problem.real), problem.features(problem.fake)
    slopes = problem.jacobians() * np.linspace(0.1, 4, 6)[:, None, None]
    padded = np.pad(slopes, [(0, 0), (0, 0), (0, 2)])
    for rank in (1, 2, 4):
        truth, found = (
            float(
                gcmmd.correction(
                    real, fake, real, given, k, 0.1, "cholesky", 1e-9, rank
                )
            )
            for given in (slopes, padded)
        )
        assert found == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("p", [2, 5])
def test_flat_features_leave_the_constraint_on_values(p):
    """J = 0: q = b' (K + c I)^-1 b, with finite gradients."""
    problem, k = Problem(2, 3), kernels.get("rbf:1")
    real, fake = problem.features(problem.real), problem.features(problem.fake)
    slopes = tf.zeros((4, 3, p), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(slopes)
        q = gcmmd.correction(real, fake, real, slopes, k)
    gram, cross = references.rbf(real, real, 1), references.rbf(real, fake, 1)
    b = gram.mean(1) - cross.mean(1)
    truth = b @ np.linalg.solve(gram + 4 * np.eye(4), b)
    assert float(q) == pytest.approx(truth, rel=1e-12)
    assert np.isfinite(tape.gradient(q, slopes)).all()


def test_features_far_from_the_origin_lose_no_digits():
    problem, k = Problem(3, 2), kernels.get("rbf:1")
    real, fake = problem.features(problem.real), problem.features(problem.fake)
    slopes = problem.jacobians()
    truth = float(gcmmd.correction(real, fake, real, slopes, k))
    far = float(gcmmd.correction(real + 1e5, fake + 1e5, real + 1e5, slopes, k))
    assert far == pytest.approx(truth, rel=1e-8)  # 1e5 leaves 1e-11 of a feature


@pytest.mark.parametrize("method", gcmmd.METHODS)
def test_steep_features_in_float32(method):
    """Jacobians of 1 to 1e3: what float32 features lose is 1e-7 of them."""
    problem, k = Problem(5, 3), kernels.get("rbf:1")
    real, fake = problem.features(problem.real), problem.features(problem.fake)
    slopes = problem.jacobians() * np.array([1, 30, 1e3])[:, None]
    parts = real, fake, real, slopes
    options = (k, 1e-2, method, 1e-6)
    truth = float(gcmmd.correction(*parts, *options))
    found = gcmmd.correction(*(part.astype("float32") for part in parts), *options)
    assert float(found) == pytest.approx(truth, rel=1e-4)


def test_images_of_any_size_in_a_graph():
    """64 samples of 784 numbers: the system of the pixels has 50 240 rows."""
    features, slopes = draw(64, 2), draw(64, 2, 784, seed=1) / 28
    k = kernels.get("rbf:1")
    both = (
        tf.TensorSpec((None, 2), tf.float64),
        tf.TensorSpec((None, 2, 784), tf.float64),
    )

    @tf.function(input_signature=both)
    def found(f, j):
        parts = f, f + 1, f, j, k, 1.0
        return [gcmmd.correction(*parts, method) for method in ("exact", "cholesky")]

    exact, low = map(float, found(features, slopes))
    truth = float(gcmmd.correction(features, features + 1, features, slopes, k))
    assert exact == pytest.approx(truth, rel=1e-12)
    assert exact < low < 1.01 * exact  # 1e-3 of the diagonal is left


@pytest.mark.parametrize(
    "name, factor",
    [
        ("laplace:1", "laplace:1"),
        ("rbf:1+dot", "dot"),
        ("rbf:1*distance", "distance"),
        ("tanh>rbf:1", "tanh>rbf:1"),
    ],
)
def test_error_a_kernel_that_is_not_smooth(name, factor):
    with pytest.raises(ValueError) as caught:
        Problem(1, 1).correction(name, 1.0)
    assert str(caught.value) == (
        "GC-MMD needs a kernel of rbf and rq, smooth functions of the distance, not "
        f"{name}, for its {factor}"
    )


def test_error_an_unknown_method():
    with pytest.raises(ValueError) as caught:
        Problem(1, 1).correction("rbf:1", 1.0, "exakt")
    assert str(caught.value) == (
        "unknown method of GC-MMD 'exakt'; did you mean 'exact'?"
    )


@pytest.mark.parametrize("method, rows", [("exact", 4352), ("gradient", 4096 + 64)])
def test_error_a_system_that_is_too_large(method, rows):
    d = 16 if method == "exact" else 65
    m = rows // (d + (method == "exact"))
    features, slopes = np.zeros((m, d)), np.zeros((m, d, 100))
    with pytest.raises(ValueError) as caught:
        gcmmd.correction(
            features, features, features, slopes, kernels.get("rbf"), 1.0, method
        )
    assert str(caught.value) == (
        f"an exact system of GC-MMD has 4096 rows at most, not {rows}; take "
        "method='cholesky', or fewer samples or scores"
    )
