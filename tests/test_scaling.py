"""Scalings against closed forms, and Jacobians and kernels in float64 NumPy."""

import math

import numpy as np
import pytest
import references
import tensorflow as tf
from test_gcmmd import point_mass

import gantf
from gantf import gcmmd, jacobian, kernels, losses, mmd, scaling
from gantf.batch import Batch


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def square(x):
    """phi(x) = |x|^2 / 2, so that J = x."""
    return tf.reduce_sum(tf.square(x), 1, keepdims=True) / 2


def toy(psi, theta, **loss):
    """P = delta_0, Q = delta_theta, phi = psi x; Mescheder et al. (2018)."""
    here = tf.zeros((1, 1))
    loss = losses.get("gcmmd", **loss)  # the biased MMD^2
    return Batch.of(lambda x: psi * x, here, here + theta, loss=loss)


def plain(batch):
    """The loss's own values."""
    both = batch.real_scores, batch.fake_scores
    return batch.loss.generator(*both), batch.loss.discriminator(*both)


def scaled(name, batch, **parameters):
    """What the scaling makes of them."""
    return scaling.get(name, **parameters)(batch, *plain(batch))


# ---- by hand


MEASURES = {  # of squares |x|^2 of reals, fakes and points between
    "real": lambda real, fake, _: real,
    "fake": lambda real, fake, _: fake,
    "both": lambda real, fake, _: (real + fake) / 2,
    "between": lambda real, fake, between: between,
}
FORMULAS = {  # E|J|^2, E|phi|^2 -> factors of L_G and L_D, with other parameters
    "smmd": [
        (lambda j, _: (1 / (1 + 10 * j),) * 2, {}),
        (lambda j, _: (1 / (0.5 + 2 * j),) * 2, {"coefficient": 2, "offset": 0.5}),
    ],
    "swgan": [
        (lambda j, v: ((1 + 10 * (j + v)) ** -0.5,) * 2, {}),
        (lambda j, v: ((3 + j + v) ** -0.5,) * 2, {"coefficient": 1, "offset": 3}),
    ],
    "slope": [
        (lambda j, _: (1, 1 / (1 + 0.1 * j)), {}),
        (lambda j, _: (1, 1 / (1 + 3 * j)), {"weight": 3}),
    ],
    # rbf:2: g(0) = 1, -2 g'(0) = 1 / 4
    "smmd_exact": [
        (lambda j, _: (1 / (1 + 1 + j / 4),) * 2, {}),
        (lambda j, _: (1 / (0.3 + 1 + j / 4),) * 2, {"lambda_": 0.3}),
    ],
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", FORMULAS)
def test_factors_are_their_formulas(name, measure):
    real, fake = draw(5, 3), draw(5, 3, seed=1) + 1
    loss = losses.get("mmd_g", kernel="rbf:2")
    batch = Batch.of(square, real, fake, loss=loss)
    u = batch.uniform("mixing").numpy()[:, None]
    assert u.shape == (5, 1)
    samples = real, fake, u * real + (1 - u) * fake
    norms = [np.sum(x.astype(float) ** 2, 1) for x in samples]
    slopes = MEASURES[measure](*(np.mean(n) for n in norms))
    values = MEASURES[measure](*(np.mean(n**2 / 4) for n in norms))
    for formula, parameters in FORMULAS[name]:
        found = scaling.get(name, measure=measure, **parameters)(batch, 2.0, -3.0)
        factors = formula(slopes, values)
        truth = 2 * factors[0], -3 * factors[1]
        np.testing.assert_allclose(found, truth, rtol=1e-5)


def test_both_is_half_of_each_law_whatever_their_sizes():
    real, fake = draw(6, 3), draw(2, 3, seed=1)
    batch = Batch.of(square, real, fake)
    slopes = (np.mean(np.sum(real**2, 1)) + np.mean(np.sum(fake**2, 1))) / 2
    found, _ = scaling.get("smmd", measure="both")(batch, 1.0, -1.0)
    assert float(found) == pytest.approx(1 / (1 + 10 * slopes), rel=1e-5)


def test_names_and_defaults():
    # The code of Arbel et al. (2018): 1 / (1 + 10 E|J|^2), lambda = 1, eta = 1e-3 and
    # rank 1000; that of Wang et al. (2019): .1
    numbers = {"coefficient": 10.0, "offset": 1.0, "measure": "real"}
    low_rank = {"method": "exact", "eta": 1e-3, "rank": 1000}
    truth = {
        "smmd": numbers,
        "smmd_exact": {"lambda_": 1.0, "measure": "real"},
        "swgan": numbers,
        "slope": {"weight": 0.1, "measure": "real"},
        "gcmmd": {"lambda_": 1.0, **low_rank},
    }
    assert scaling.names() == list(truth)
    for name, parameters in truth.items():
        found = scaling.get(name)
        assert (found.name, found.parameters) == (name, parameters)
        assert scaling.get(found) is found


# ---- SMMD for the kernel of the loss


def test_the_point_mass_has_smmds_closed_form():
    """lambda = 1, theta = 1: over psi it is largest at psi = 1.5141 where, by the
    Lambert function s = -W_-1(-exp(-1 - c theta^2 / 2)), c = 1 + lambda, it is
    theta^2 / s."""
    largest = 0.317844432899373
    found, _ = scaled("smmd_exact", toy(1.5141, 1.0))
    assert float(found) == pytest.approx(largest, rel=1e-6)
    psis = np.arange(0.1, 4, 0.1).astype("float32")
    values = [float(scaled("smmd_exact", toy(psi, 1.0))[0]) for psi in psis]
    assert max(values) < largest and psis[np.argmax(values)] == np.float32(1.5)


@pytest.mark.parametrize("psi", [0.5, 1.5141, 3.0])
def test_the_discriminators_gradient_goes_through_the_scale(psi):
    """d/dpsi of the closed form 2 (1 - exp(-psi^2 theta^2 / 2)) / (2 + psi^2)."""

    def closed(psi):
        return -2 * (1 - np.exp(-(psi**2) * 0.8**2 / 2)) / (2 + psi**2)

    weight = tf.Variable(psi)
    with tf.GradientTape() as tape:
        _, loss = scaled("smmd_exact", toy(weight, 0.8))
    slope = references.numerical_gradient(lambda p: closed(p[0]), [psi])
    assert float(tape.gradient(loss, weight)) == pytest.approx(slope[0], abs=1e-6)


@pytest.mark.parametrize("measure, moves", [("real", False), ("fake", True)])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_generator_sees_the_scale_where_its_samples_are_measured(
    name, measure, moves
):
    """With losses that are constants, all of the gradient is the scale's."""
    theta = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        fake = theta * tf.ones((2, 1))
        loss = losses.get("mmd_g", kernel="rbf:1")
        batch = Batch.of(square, tf.ones((2, 1)), fake, loss=loss)
        pair = scaling.get(name, measure=measure)(batch, 1.0, -1.0)
        value = pair[1]
    gradient = tape.gradient(value, theta)
    assert (gradient is not None and float(gradient) != 0) == moves
    if moves and name == "smmd":  # 1 / (1 + 10 theta^2)
        assert float(-gradient) == pytest.approx(-20 / 11**2, rel=1e-5)


KERNELS = {  # name -> k
    "rbf:.5": lambda a, b: references.rbf(a, b, 0.5),
    "rq:.2,1,5": lambda a, b: sum(references.rq(a, b, al) for al in (0.2, 1, 5)),
    ".3*dot": lambda a, b: 0.3 * references.dot(a, b),
    "dot:2,.5": lambda a, b: 2.5 * references.dot(a, b),
    "rbf:1,2+2*rq:.5+.1*dot:2": lambda a, b: (
        references.rbf(a, b, 1)
        + references.rbf(a, b, 2)
        + 2 * references.rq(a, b, 0.5)
        + 0.2 * references.dot(a, b)
    ),
    "rbf:1*rbf:2": lambda a, b: references.rbf(a, b, 1) * references.rbf(a, b, 2),
}


@pytest.mark.parametrize("p, d", [(4, 2), (2, 3)])
@pytest.mark.parametrize("name", KERNELS)
def test_the_exact_scale_is_made_of_the_kernels_derivatives(name, p, d):
    """E k(x, x) + sum_i d_i d'_i k(x, x) by differences of k(phi, phi)."""
    k, a, b = KERNELS[name], draw(p, 4), draw(4, d, seed=1)
    real, fake = draw(3, p, seed=2), draw(3, p, seed=3)

    def features(x):
        return np.tanh(x @ a.astype(float)) @ b

    total, step = 0.0, 1e-4  # their square is left, and 1e-16 / step^2: 1e-8
    for x in real.astype(float):
        phi = features(x[None])
        total += k(phi, phi)[0, 0] / 3
        for move in step * np.eye(p):
            moved = features(np.stack([x + move, x - move]))
            signs = np.array([1, -1]) / (2 * step)
            total += signs @ k(moved, moved) @ signs / 3
    batch = Batch.of(
        lambda x: tf.tanh(x @ a) @ b, real, fake, loss=losses.get("mmd_g", kernel=name)
    )
    found, other = scaling.get("smmd_exact", lambda_=0.2)(batch, 1.0, -1.0)
    assert float(found) == pytest.approx(1 / (0.2 + total), rel=1e-5)
    assert other == -found


def test_smmd_of_a_linear_kernel_forgets_the_gain_of_a_last_layer():
    """lambda = 0, or offset = 0 with slopes alone, and no bias."""
    net = gantf.build("dense-5-tanh dense-3-sn2-gain-nobias", (2,))
    (gain,) = (weight for weight in net.trainable_variables if weight.name == "gain")
    loss = losses.get("mmd_g", kernel="dot", estimator="unbiased")
    real, fake = draw(6, 2), draw(6, 2, seed=1) + 1
    for name, parameters in [
        ("smmd_exact", {"lambda_": 0}),
        ("smmd", {"coefficient": 1, "offset": 0}),
    ]:
        values = []
        for value in (0.01, 2.0, 50.0):
            gain.assign(value)
            values.append(
                float(
                    scaled(name, Batch.of(net, real, fake, loss=loss), **parameters)[0]
                )
            )
        assert abs(values[0]) > 1e-3
        np.testing.assert_allclose(values, values[0], rtol=1e-5)


# ---- GC-MMD


@pytest.mark.parametrize("method", ["exact", "cholesky"])
def test_the_point_mass_has_gcmmds_closed_form(method):
    # 0.26088879809074, by an independent solver; see test_gcmmd.py
    found, other = scaled("gcmmd", toy(1.0, 0.7), method=method)
    assert float(found) == pytest.approx(0.26088879809074, rel=1e-6)
    assert other == -found
    found, _ = scaled("gcmmd", toy(2.0, 0.7), method=method, lambda_=0.2)
    assert float(found) == pytest.approx(point_mass(2, 0.7, 0.2), rel=1e-5)


@pytest.mark.parametrize(
    "psi, kept, options", [(2.0, 1, {"rank": 1}), (0.5, 0, {"eta": 0.5})]
)
def test_a_rank_of_one_keeps_the_larger_entry(psi, kept, options):
    """A = diag(1, psi^2) with the other entry 0: v_i^2 / lambda is left of it."""
    e, lambda_ = math.exp(-((psi * 0.7) ** 2) / 2), 2.0
    diagonal = np.array([1, psi**2]) * (np.arange(2) == kept)
    v = np.array([1 - e, -(psi**2) * 0.7 * e])
    truth = (2 * (1 - e) - np.sum(v**2 / (diagonal + lambda_))) / lambda_
    options = {"method": "cholesky", "lambda_": lambda_, **options}
    found, _ = scaled("gcmmd", toy(psi, 0.7), **options)
    assert float(found) == pytest.approx(truth, rel=1e-5)


def test_gradient_drops_the_constraint_on_values():
    """e = exp(-theta^2 / 2): 2 (1 - e) - theta^2 e^2 / 2 where psi = lambda = 1."""
    e = math.exp(-(0.7**2) / 2)
    found, _ = scaled("gcmmd", toy(1.0, 0.7), method="gradient")
    assert float(found) == pytest.approx(2 * (1 - e) - 0.49 * e**2 / 2, rel=1e-6)


@pytest.mark.parametrize("psi", [0.7, 2.5])
def test_gcmmds_gradient_is_that_of_the_closed_form(psi):
    weight = tf.Variable(psi)
    with tf.GradientTape() as tape:
        _, loss = scaled("gcmmd", toy(weight, 0.7), lambda_=0.5)
    truth = references.numerical_gradient(lambda p: -point_mass(p[0], 0.7, 0.5), [psi])
    assert float(tape.gradient(loss, weight)) == pytest.approx(truth[0], abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_smmd_is_never_above_gcmmd(seed):
    """The scaled witness keeps the constraint; Arbel et al. (2018)."""
    a, b = draw(1, 4, seed=seed), draw(4, 2, seed=seed + 10)
    x, y = draw(5, 1, seed=seed + 20), draw(5, 1, seed=seed + 30) + 0.5
    for kernel, lambda_ in (("rbf:1", 1.0), ("rq:.5+rbf:2", 0.1)):
        loss = losses.get("gcmmd", kernel=kernel)
        batch = Batch.of(lambda x: tf.tanh(x @ a) @ b, x, y, loss=loss)
        low, high = (
            float(scaled(name, batch, lambda_=lambda_)[0])
            for name in ("smmd_exact", "gcmmd")
        )
        assert 0 < low < high < float(plain(batch)[0]) / lambda_


# ---- nets


CRITICS = [
    ("conv3-2-s2-sn1.5-lrelu flatten dense-2-sn", (4, 4, 1)),
    ("dense-6-snm-tanh dense-4-sn-gain", (2,)),
]


@pytest.mark.parametrize("words, shape", CRITICS, ids=[words for words, _ in CRITICS])
def test_every_scaling_of_a_net_in_a_graph(words, shape):
    """Factors are those of the slopes, and gradients reach every kernel and gain."""
    net = gantf.build(words, shape)
    real, fake = draw(4, *shape), draw(4, *shape, seed=1)
    loss = losses.get("gcmmd", kernel="rbf:1")
    weights = [weight.value for weight in net.trainable_variables]

    @tf.function
    def step(real, fake):
        with tf.GradientTape() as tape:
            batch = Batch.of(net, real, fake, loss=loss)
            pairs = {name: scaled(name, batch) for name in scaling.names()}
            total = sum(discriminator for _, discriminator in pairs.values())
        slopes = tf.reduce_mean(jacobian.squared_slopes(net, real))
        return pairs, tape.gradient(total, weights), slopes

    pairs, gradients, slopes = step(real, fake)
    mmd2 = float(mmd.mmd2(net(real), net(fake), "rbf:1", "biased"))
    values = float(tf.reduce_mean(tf.reduce_sum(tf.square(net(real)), 1)))
    for name, formulas in FORMULAS.items():
        if name == "smmd_exact":
            factors = (1 / (2 + slopes),) * 2
        else:
            factors = formulas[0][0](float(slopes), values)
        truth = factors[0] * mmd2, -factors[1] * mmd2
        np.testing.assert_allclose(pairs[name], truth, rtol=1e-3, atol=1e-6)
    assert 0 < float(pairs["gcmmd"][0]) < mmd2
    for weight, gradient in zip(net.trainable_variables, gradients):
        if weight.name != "bias":  # the last one's moves nothing
            assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


# ---- refusals


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("smd", {}, "unknown scaling 'smd'; did you mean 'smmd'?"),
        (
            "smmd",
            {"weight": 1},
            "scaling 'smmd' has no parameter 'weight'; it takes coefficient, offset, "
            "measure",
        ),
        (
            "smmd",
            {"measure": "reals"},
            "unknown measure of a scaling 'reals'; did you mean 'real'?",
        ),
        (
            "smmd",
            {"coefficient": 0},
            "coefficient of a scaling is a number above 0, not 0",
        ),
        ("swgan", {"offset": -1}, "offset of a scaling is a number from 0, not -1"),
        (
            "slope",
            {"weight": math.inf},
            "weight of a scaling is a number above 0, not inf",
        ),
        (
            "smmd_exact",
            {"lambda_": math.nan},
            "lambda_ of a scaling is a number from 0, not nan",
        ),
        ("gcmmd", {"lambda_": 0}, "lambda_ of a scaling is a number above 0, not 0"),
        (
            "gcmmd",
            {"method": "gradients"},
            "unknown method of GC-MMD 'gradients'; did you mean 'gradient'?",
        ),
        ("gcmmd", {"eta": 1}, "eta of GC-MMD is between 0 and 1, not 1"),
        ("gcmmd", {"rank": 0}, "rank of GC-MMD is a whole number from 1, not 0"),
    ],
)
def test_error_other_scalings(name, parameters, message):
    with pytest.raises(ValueError) as caught:
        scaling.get(name, **parameters)
    assert str(caught.value) == message


SMMD = "SMMD is known for kernels of rbf, rq and dot, not for "


@pytest.mark.parametrize(
    "name, loss, parameters, message",
    [
        (
            "smmd_exact",
            "wasserstein",
            {},
            "scaling 'smmd_exact' needs a loss with a kernel, as 'mmd_g', not "
            "'wasserstein'",
        ),
        (
            "gcmmd",
            "hinge",
            {},
            "scaling 'gcmmd' needs a loss with a kernel, as 'mmd_g', not 'hinge'",
        ),
        (
            "gcmmd",
            "rep",
            {},
            "scaling 'gcmmd' is for losses L_G = MMD^2 = -L_D, as 'gcmmd' or 'mmd_g', "
            "not 'rep'",
        ),
        (
            "gcmmd",
            "mmd",
            {"kernel": "rbf:1+dot"},
            "GC-MMD needs a kernel of rbf and rq, smooth functions of the distance, "
            "not rbf:1+dot, for its dot",
        ),
        ("smmd_exact", "mmd_g", {"kernel": "distance"}, SMMD + "distance"),
        ("smmd_exact", "mmd_g", {"kernel": "rbf:1+laplace:2"}, SMMD + "laplace:2"),
        ("smmd_exact", "mmd_g", {"kernel": "tanh>rbf:1"}, SMMD + "tanh>rbf:1"),
        ("smmd_exact", "mmd_g", {"kernel": "dot*rbf:1"}, SMMD + "dot*rbf:1"),
    ],
)
def test_error_losses_that_do_not_fit(name, loss, parameters, message):
    loss = losses.get(loss, **parameters)
    batch = Batch.of(square, draw(3, 2), draw(3, 2, seed=1), loss=loss)
    with pytest.raises(ValueError) as caught:
        scaling.get(name)(batch, 1.0, -1.0)
    assert str(caught.value) == message


def test_error_a_batch_without_a_loss():
    batch = Batch.of(square, draw(3, 2), draw(3, 2, seed=1))
    with pytest.raises(ValueError) as caught:
        scaling.get("smmd_exact")(batch, 1.0, -1.0)
    assert str(caught.value) == (
        "scaling 'smmd_exact' needs a loss with a kernel, as 'mmd_g', not None"
    )


def test_smooth_kernels_are_radial_ones():
    for name in gcmmd.SMOOTH:
        kernels.get(name).of_squares(np.ones((1, 1)))
