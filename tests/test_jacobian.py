"""Jacobians against a loop over outputs, finite differences and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

import gantf
from gantf import builder, jacobian
from gantf.layers import spectral_updates


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def loop(score, x):
    """One gradient an output: (n, d, *sample)."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        columns = tf.unstack(tf.cast(score(x), tf.float32), axis=1)
    return tf.stack([tape.gradient(column, x) for column in columns], axis=1)


def differences(score, x, step=1e-2):
    """Central differences, (n, d, *sample). In float32 the rounding is 1e-7 / step =
    1e-5, and as much is left of step^2 for the smooth scores here."""
    p = int(np.prod(x.shape[1:]))
    moves = step * np.eye(p, dtype="float32").reshape(p, 1, *x.shape[1:])
    moved = np.stack([x + moves, x - moves]).reshape(-1, *x.shape[1:])
    above, below = np.asarray(score(moved)).reshape(2, p, len(x), -1)
    slopes = np.transpose((above - below) / (2 * step), (1, 2, 0))
    return slopes.reshape(*slopes.shape[:2], *x.shape[1:])


def test_by_hand():
    def score(x):
        return tf.stack([x[:, 0] * x[:, 1], x[:, 2] ** 2], axis=1)

    x = tf.constant([[1.0, 2.0, 3.0], [0.0, -1.0, 2.0]])
    truth = [[[2, 1, 0], [0, 0, 6]], [[-1, 0, 0], [0, 0, 4]]]
    np.testing.assert_array_equal(jacobian.jacobian(score, x), truth)
    np.testing.assert_array_equal(jacobian.squared_slopes(score, x), [41, 17])
    scores, slopes = jacobian.scores_and_jacobian(score, x)
    np.testing.assert_array_equal(scores, [[2, 9], [0, 4]])
    np.testing.assert_array_equal(slopes, truth)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("d", [1, 3])
def test_a_linear_score_has_one_jacobian_in_both_modes(p, d):
    """d above, at and below p: forward or reverse mode."""
    w, x = draw(p, d), draw(4, p, seed=1)
    found = jacobian.jacobian(lambda x: x @ w, x)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, np.broadcast_to(w.T, (4, d, p)), rtol=1e-6)


NETS = [
    ("flatten dense-5-sn-tanh dense-3-sn", (2, 3, 1)),
    ("dense-8-sn-tanh dense-5-snm-softplus dense-4-sn", (2,)),  # forward mode
    ("attn1-sn conv3-2-s2-softplus tconv4-2-s2-sn-gain-tanh gsum", (4, 2, 2)),
]


@pytest.mark.parametrize("words, shape", NETS, ids=[words for words, _ in NETS])
def test_nets_of_smooth_layers_against_differences(words, shape):
    net = gantf.build(words, shape)
    x = draw(3, *shape)
    found = tf.function(lambda x: jacobian.jacobian(net, x))(x)
    truth = differences(net, x)
    assert found.shape == truth.shape
    np.testing.assert_allclose(found, truth, atol=2e-4 * np.abs(truth).max())


def test_a_critic_and_its_gradient_are_those_of_the_loop():
    """A stride, spectral norms and a kink, twice differentiated."""
    net = gantf.build("conv3-2-s2-sn1.5-lrelu flatten dense-2-sn-gain", (4, 4, 2))
    weights = [weight.value for weight in net.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO

    def score(x):
        with spectral_updates(False):
            return net(x, training=True)

    @tf.function
    def both(x):
        with tf.GradientTape(persistent=True) as tape:
            squares = jacobian.squared_slopes(score, x)
            truth = tf.reduce_sum(tf.square(loop(score, x)), [1, 2, 3, 4])
        gradients = tape.gradient(squares, weights, unconnected_gradients=zero)
        truths = tape.gradient(truth, weights, unconnected_gradients=zero)
        return [squares, *gradients], [truth, *truths]

    for found, truth in zip(*both(draw(3, 4, 4, 2))):
        # sums in another order
        np.testing.assert_allclose(
            found, truth, rtol=1e-4, atol=1e-5 * np.abs(truth).max() + 1e-12
        )


@pytest.mark.parametrize("words, shape", NETS[:2], ids=["reverse", "forward"])
def test_the_gradient_reaches_the_weights(words, shape):
    """Of mean |J|^2, through sigma too: against differences along a direction."""
    net = gantf.build(words, shape)
    x, weights = draw(6, *shape), net.trainable_variables

    @tf.function
    def loss():
        return tf.reduce_mean(jacobian.squared_slopes(net, x))

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [weight.value for weight in weights])
    for number, (weight, gradient) in enumerate(zip(weights, gradients)):
        kept = weight.numpy()
        direction = 1e-2 * draw(*kept.shape, seed=number)
        weight.assign(kept + direction)
        above = loss()
        weight.assign(kept - direction)
        truth = float(above - loss()) / 2
        weight.assign(kept)
        found = 0.0 if gradient is None else float(np.sum(gradient * direction))
        assert found == pytest.approx(truth, rel=2e-3, abs=2e-6), weight.path


def test_the_gradient_reaches_the_samples():
    """phi = (x^3, x^2): |J|^2 = 9 x^4 + 4 x^2, by x: 36 x^3 + 8 x."""
    x = tf.constant([[1.0], [-2.0]])
    for score in (
        lambda x: tf.concat([x**3, x**2], 1),  # forward
        lambda x: tf.concat([x**3, x**2], 1)[:, :1],
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            squares = jacobian.squared_slopes(score, x)
        d = score(x).shape[1]
        np.testing.assert_allclose(squares, [13, 160] if d == 2 else [9, 144], 1e-6)
        truth = [[44], [-304]] if d == 2 else [[36], [-288]]
        np.testing.assert_allclose(tape.gradient(squares, x), truth, rtol=1e-6)


def test_the_gradient_reaches_the_samples_in_reverse_mode():
    """phi_a = sum_i x_i^3 / 3 and its half, of 3 numbers: |J|^2 = 1.25 sum x_i^4."""

    def score(x):
        cubes = tf.reduce_sum(x**3, 1, keepdims=True) / 3
        return tf.concat([cubes, cubes / 2], 1)

    x = tf.constant(draw(4, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        squares = jacobian.squared_slopes(score, x)
    np.testing.assert_allclose(squares, 1.25 * np.sum(x.numpy() ** 4, 1), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(squares, x), 5 * x**3, rtol=1e-5)


@pytest.mark.parametrize("p, d", [(5, 1), (5, 3), (2, 3)])
def test_a_score_that_no_sample_moves_has_slope_0(p, d):
    found = jacobian.squared_slopes(lambda x: tf.ones((tf.shape(x)[0], d)), draw(4, p))
    np.testing.assert_array_equal(found, np.zeros(4))


def test_batch_norm_gives_the_slope_of_the_sum_of_scores():
    """Scores less their batch mean: no sample moves the sum."""

    def score(x):
        y = x @ tf.constant(draw(3, 2))
        return y - tf.reduce_mean(y, axis=0)

    slopes = jacobian.jacobian(score, draw(4, 3, seed=1))
    np.testing.assert_allclose(slopes, np.zeros((4, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("shape", [(2,), (9,)])
def test_half_precision_nets_give_float32(shape):
    with builder.precision("mixed_bfloat16"):
        net = gantf.build("dense-8-sn-lrelu dense-4-sn", shape)
    x = draw(16, *shape)
    found = tf.function(lambda x: jacobian.squared_slopes(net, x))(x)
    full = gantf.build("dense-8-sn-lrelu dense-4-sn", shape)
    full.set_weights(net.get_weights())
    assert found.dtype == tf.float32
    # bfloat16 has 8 bits: 1 % on the mean
    truth = np.mean(jacobian.squared_slopes(full, x))
    assert np.mean(found) == pytest.approx(truth, rel=0.02)


def test_a_batch_of_unknown_size():
    w = draw(2, 3)
    spec = tf.TensorSpec((None, 2), tf.float32)
    slopes = tf.function(lambda x: jacobian.squared_slopes(lambda x: x @ w, x), [spec])
    np.testing.assert_allclose(slopes(draw(5, 2)), np.full(5, np.sum(w**2)), 1e-6)
    spec = tf.TensorSpec((None, 3), tf.float32)
    slopes = tf.function(
        lambda x: jacobian.squared_slopes(lambda x: x @ w.T, x), [spec]
    )
    np.testing.assert_allclose(slopes(draw(5, 3)), np.full(5, np.sum(w**2)), 1e-6)
