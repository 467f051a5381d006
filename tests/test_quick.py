"""Tests of quick.py: the numbers of plain layers, in the arithmetic that is meant."""

import itertools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
from hypothesis import assume, given
from hypothesis import strategies as st
from keras import layers as K

import architectures
import gantf
from gantf import quick
from gantf.layers import CroppedConv2DTranspose, PaddedConv2D, SpectralNormalization

ALL = {tf.float32: lambda pixels: 0, tf.bfloat16: lambda pixels: 0}


def draw(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def show(monkeypatch, *kinds):
    """A machine with these devices."""
    seen = [SimpleNamespace(device_type=kind) for kind in kinds]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: seen)


def spy(monkeypatch, name):
    """The forms whose method is called from now on, on CPUs."""
    made, usual = [], getattr(quick._Form, name)

    def spied(form, *arguments):
        made.append(form)
        return usual(form, *arguments)

    show(monkeypatch, "CPU")
    monkeypatch.setattr(quick._Form, name, spied)
    return made


@pytest.fixture
def products(monkeypatch):
    """Products for kernels of every size; the forms of those made."""
    monkeypatch.setattr(quick, "_LARGE", ALL)
    return spy(monkeypatch, "_products")


def net_of(*stack, shape=(4, 4, 2)):
    return keras.Sequential([keras.Input(shape), *stack])


def twins(net):
    """A net as it is, and its copy quickened."""
    copy = keras.models.clone_model(net)
    copy.set_weights(net.get_weights())
    quick.quicken(copy)
    return net, copy


def slopes(net, x, call=None):
    """The scores, and the gradients of a loss with respect to x and the weights."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cast((call or net)(x), tf.float32)
        loss = tf.reduce_sum(y * draw(*y.shape, seed=1))
    return [y, *tape.gradient(loss, [x, *(v.value for v in net.trainable_variables)])]


def agree(one, other, rounding=1e-5):
    """To the rounding of float32 sums, relative to the largest number of each."""
    assert len(one) == len(other)
    for a, b in zip(one, other):
        a, b = (np.asarray(tf.cast(t, tf.float32)) for t in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=rounding * np.abs(b).max())


# ---- the forms


FORMS = st.tuples(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 3),
    st.sampled_from(["SAME", "VALID"]),
)


def summed(form, x, y, kernel):
    """The three forms in NumPy, summed over samples, pixels and the kernel's places.

    y may be a number: the outputs are as many as the padding says.
    """
    n, s = len(x), form.stride
    same = form.padding == "SAME"
    before = [
        references.same_pads(side, size, s)[0] if same else 0
        for side, size in zip(form.sides, form.size)
    ]
    outs = [
        -(-side // s) if same else (side - size) // s + 1
        for side, size in zip(form.sides, form.size)
    ]
    y = np.broadcast_to(y, (n, *outs, kernel.shape[3]))
    ax, aty, w = np.zeros(y.shape), np.zeros(x.shape), np.zeros(kernel.shape)
    for p, q, i, j in itertools.product(*map(range, (*outs, *form.size))):
        row, column = p * s + i - before[0], q * s + j - before[1]
        if 0 <= row < form.sides[0] and 0 <= column < form.sides[1]:
            ax[:, p, q] += x[:, row, column] @ kernel[i, j]
            aty[:, row, column] += y[:, p, q] @ kernel[i, j].T
            w[i, j] += x[:, row, column].T @ y[:, p, q]
    return ax, aty, w


@given(FORMS, st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))
def test_forms_are_their_sums_and_adjoint(form, n, c_in, c_out):
    form = quick._Form(*form)
    fits = all(side >= size for side, size in zip(form.sides, form.size))
    assume(form.padding == "SAME" or fits)
    random = np.random.RandomState(0)
    x = random.randn(n, *form.sides, c_in)
    kernel = random.randn(*form.size, c_in, c_out)
    y = random.randn(*summed(form, x, 0.0, kernel)[0].shape)
    found = form.forward(x, kernel), form.adjoint(y, kernel), form.weights(x, y)
    for ours, truth in zip(found, summed(form, x, y, kernel)):
        np.testing.assert_allclose(ours, truth, atol=1e-12)
    inner = [np.sum(a * b) for a, b in zip(found, (y, x, kernel))]
    np.testing.assert_allclose(inner, inner[0], atol=1e-11)


# Odd sides; a stride that leaves rows unread; a kernel below the stride.
GEOMETRIES = [
    quick._Form((3, 4), (3, 2), 2, "SAME"),
    quick._Form((4, 3), (2, 2), 1, "VALID"),
    quick._Form((5, 4), (1, 2), 3, "VALID"),
]


@pytest.mark.parametrize("n", [1, 2])  # one sample is one product
@pytest.mark.parametrize("form", GEOMETRIES)
@pytest.mark.parametrize("name", ["forward", "adjoint", "weights"])
def test_three_orders_of_derivatives_are_finite_differences(form, name, n):
    random = np.random.RandomState(0)
    x, kernel = random.randn(n, *form.sides, 1), random.randn(*form.size, 1, 2)
    y = random.randn(*summed(form, x, 0.0, kernel)[0].shape)
    pair = {"forward": (x, kernel), "adjoint": (y, kernel), "weights": (x, y)}[name]

    def gradient(wrt, function):
        def slope(*pair):
            with tf.GradientTape() as tape:
                tape.watch(pair)
                value = function(*pair)
            return tape.gradient(value, pair[wrt])

        return slope

    def sines(function):
        return lambda *pair: tf.reduce_sum(tf.sin(function(*pair)))

    for wrt in (0, 1):
        loss = sines(getattr(form, name))
        for _ in range(3):
            check_gradient(loss, gradient(wrt, loss), pair, wrt)
            loss = sines(gradient(1 - wrt, loss))


def check_gradient(loss, gradient, pair, wrt):
    pair = [tf.constant(part) for part in pair]
    compiled = tf.function(loss)

    def at(value):
        return compiled(*(tf.constant(value) if i == wrt else pair[i] for i in (0, 1)))

    truth = references.numerical_gradient(at, pair[wrt])
    # Central differences in float64, step 1e-6: errors of 1e-9, relative.
    bound = 1e-7 * (1 + np.abs(truth).max())
    np.testing.assert_allclose(gradient(*pair), truth, rtol=0, atol=bound)


def test_products_are_for_large_kernels_on_small_maps():
    def large(dtype, side, *kernel):
        form = quick._Form((side, side), kernel[:2], 1, "SAME")
        return form.is_large(SimpleNamespace(dtype=dtype, shape=kernel))

    # The measured bounds: 2^22 numbers, or 2^13 for each pixel of a bfloat16 map.
    assert large("float32", 4, 2, 2, 1024, 1024)
    assert not large("float32", 4, 2, 2, 1024, 1023)
    assert large("bfloat16", 4, 2, 2, 256, 128)
    assert not large("bfloat16", 5, 2, 2, 256, 128)
    assert not large("float64", 4, 2, 2, 1024, 1024)
    strided = quick._Form((8, 8), (4, 4), 4, "SAME")  # of the smaller map, 2x2
    assert strided.is_large(SimpleNamespace(dtype="bfloat16", shape=(4, 4, 32, 64)))


# ---- nets


def critic(shape, scores):
    """Rectifiers of both kinds, a slope with curvature, and both convolutions."""
    stack = [
        K.Conv2D(4, 3, strides=2, padding="same"),
        K.LeakyReLU(0.2),
        K.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh"),
        K.Conv2D(4, (1, 2), use_bias=False),
        K.Activation("relu"),
        K.Conv2DTranspose(2, (2, 3), padding="same", use_bias=False),
        K.Flatten(),
        K.Dense(scores),
    ]
    return net_of(*stack, shape=shape)


def squares(*tensors):
    return tf.add_n([tf.reduce_sum(t * t) for t in tensors])


def derivatives(net, x):
    """Of orders up to three: scores, Jacobian, a penalty's gradient, and its own."""
    weights = [v.value for v in net.trainable_variables[:-1]]  # but the last bias
    with tf.GradientTape() as outer:
        with tf.GradientTape() as tape:
            tape.watch(x)
            scores, jacobian = gantf.jacobian.scores_and_jacobian(net, x)
            penalty = squares(scores) + squares(jacobian)
        slopes = tape.gradient(penalty, [x, *weights])
        total = squares(*slopes)
    return [scores, jacobian, *slopes, *outer.gradient(total, weights)]


@pytest.mark.parametrize(
    "shape, scores, graph",
    [
        ((5, 6, 2), 1, False),  # a gradient
        ((5, 6, 2), 3, True),  # reverse mode
        ((1, 2, 2), 5, False),  # forward mode
        ((1, 2, 2), 5, True),
    ],
)
def test_a_quickened_net_has_the_same_derivatives(products, shape, scores, graph):
    plain, ours = twins(critic(shape, scores))
    x = tf.constant(draw(3, *shape))

    def all_of(net):
        compiled = tf.function(derivatives) if graph else derivatives
        return compiled(net, x)

    truth = all_of(plain)
    assert not products
    agree(all_of(ours), truth, 3e-5)
    assert {(form.stride, form.size) for form in products} == {
        (2, (3, 3)),
        (2, (4, 4)),
        (1, (1, 2)),
        (1, (2, 3)),
    }


class Own(K.Conv2D):
    def convolution_op(self, inputs, kernel):
        return -super().convolution_op(inputs, kernel)


class OwnTransposed(K.Conv2DTranspose):
    def call(self, inputs):
        return -super().call(inputs)


class OwnLeakyReLU(K.LeakyReLU):
    def call(self, inputs):
        return -super().call(inputs)


class OwnActivation(K.Activation):
    def call(self, inputs):
        return -super().call(inputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: K.Conv2D(4, 3, groups=2),
        lambda: K.Conv2D(4, 2, dilation_rate=2),
        lambda: K.Conv2D(4, 2, strides=(1, 2)),
        lambda: K.Conv2D(4, 2, data_format="channels_first"),
        lambda: Own(4, 2),
        lambda: K.Conv2DTranspose(4, 2, padding="valid"),
        lambda: K.Conv2DTranspose(4, 2, padding="same", dilation_rate=2),
        lambda: K.Conv2DTranspose(4, 2, padding="same", strides=(1, 2)),
        lambda: K.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1),
        lambda: OwnTransposed(4, 2, padding="same"),
        lambda: CroppedConv2DTranspose(4, 4, 1, strides=2),
        lambda: K.DepthwiseConv2D(2),
        lambda: K.SeparableConv2D(4, 2),
        lambda: OwnLeakyReLU(),
        lambda: OwnActivation("relu"),
        lambda: K.Activation("elu"),
        lambda: K.Activation(lambda x: 3 * keras.activations.relu(x)),
    ],
)
def test_layers_that_are_left(products, make):
    layer = make()
    net, x = net_of(layer), draw(2, 4, 4, 2)
    before = net(x)
    quick.quicken(net)
    np.testing.assert_array_equal(net(x), before)
    assert not {"call", "convolution_op"} & set(vars(layer))


@pytest.mark.parametrize(
    "make",
    [
        lambda: K.Conv2D(4, 3, activation="tanh"),
        lambda: K.Conv2D(4, 5, strides=3, padding="same"),
        lambda: PaddedConv2D(4, 3, pixels=2),
        lambda: K.Conv2DTranspose(4, 3, strides=2, padding="same", activation="tanh"),
        lambda: K.Conv2DTranspose(4, 1, strides=3, padding="same"),
        lambda: SpectralNormalization(K.Conv2D(4, 3)),
        lambda: SpectralNormalization(K.Conv2DTranspose(4, 3, padding="same")),
        lambda: K.TimeDistributed(SpectralNormalization(K.Conv2D(4, 3))),
        lambda: net_of(K.Conv2D(4, 3), K.LeakyReLU()),
    ],
)
def test_layers_that_are_changed(products, make):
    layer = make()
    shape = (2, 4, 4, 2) if isinstance(layer, K.TimeDistributed) else (4, 4, 2)
    plain, ours = twins(net_of(layer, shape=shape))
    x = draw(3, *shape)
    truth = slopes(plain, x)
    assert not products
    agree(slopes(ours, x), truth)
    assert products
    made = len(products)
    quick.quicken(ours)
    agree(slopes(ours, x), truth)
    assert len(products) == 2 * made


def test_maps_of_unknown_size(products):
    stack = K.Conv2D(4, 3), K.Conv2DTranspose(4, 3, strides=2, padding="same")
    plain, ours = twins(net_of(*stack, shape=(None, None, 3)))
    x = draw(2, 5, 6, 3)
    truth = slopes(plain, x)
    unknown = tf.function(ours, input_signature=[tf.TensorSpec((None, None, None, 3))])
    agree(slopes(ours, x, unknown), truth)
    assert not products
    agree(slopes(ours, x), truth)  # known where the call knows it
    assert products


@pytest.mark.parametrize(
    "layer, name",
    [
        (K.Activation("relu"), "call"),
        (K.LeakyReLU(), "call"),
        (K.BatchNormalization(), "call"),
        (K.Conv2D(4, 3), "convolution_op"),
        (K.Conv2DTranspose(4, 3, padding="same"), "call"),
    ],
)
def test_what_a_layer_has_of_its_own_is_left(products, layer, name):
    net = net_of(layer)
    setattr(layer, name, mine := lambda *inputs, **others: None)
    quick.quicken(net)
    assert vars(layer)[name] is mine


def test_a_layer_may_change_later():
    relu, leaky, x = K.Activation("relu"), K.LeakyReLU(0.1), tf.constant([[-2.0, 3.0]])
    quick.quicken(net_of(relu, leaky, shape=(2,)))
    relu.activation, leaky.negative_slope = keras.activations.tanh, 0.5
    np.testing.assert_allclose(relu(x), np.tanh(x), rtol=1e-6)
    np.testing.assert_allclose(leaky(x), [[-1, 3]])


def test_calls_by_name():
    """Keras keeps how a layer was called, and calls it so again."""
    x = inputs = keras.Input((4, 4, 2))
    for layer in (
        K.Conv2D(4, 3),
        K.LeakyReLU(),
        K.Conv2DTranspose(4, 3, padding="same"),
        K.Activation("relu"),
    ):
        x = layer(inputs=x)
    plain, ours = twins(keras.Model(inputs, x))
    x = draw(2, 4, 4, 2)
    np.testing.assert_array_equal(ours(x), plain(x))


def normalised(x, gamma, beta, epsilon=1e-3):
    """Batch norm of maps in float64, by its definition."""
    x = tf.cast(x, tf.float64)
    mean = tf.reduce_mean(x, (0, 1, 2))
    variance = tf.reduce_mean((x - mean) ** 2, (0, 1, 2))
    return (x - mean) / tf.sqrt(variance + epsilon) * gamma + beta, mean, variance


def batch_norm(dtype="float32"):
    net = net_of(K.BatchNormalization(dtype=dtype))
    first = draw(4, 2)  # gamma, beta, moving mean, moving variance
    net.set_weights([*first[:3], first[3] ** 2])
    quick.quicken(net)
    return net, first.astype("float64")


def test_batch_norm_and_its_first_two_derivatives():
    net, (gamma, beta, moved, _) = batch_norm()
    x, u, d = (tf.constant(3 * draw(5, 4, 4, 2, seed=i) + i) for i in range(3))

    def slope(norm, x, kind):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(norm(x) * tf.cast(u, kind))
        return tape.gradient(value, x)

    def ours(x):
        return net(x, training=True)

    def truth(x):
        return normalised(x, gamma, beta)[0]

    agree([ours(x)], [truth(x)])
    expected = 0.99 * moved + 0.01 * normalised(x, gamma, beta)[1]
    np.testing.assert_allclose(net.get_weights()[2], expected, rtol=1e-6)
    x64, step = tf.cast(x, tf.float64), 1e-5 * tf.cast(d, tf.float64)
    agree([slope(ours, x, tf.float32)], [slope(truth, x64, tf.float64)])
    with tf.GradientTape() as tape:
        tape.watch(x)
        bent = tf.reduce_sum(tf.sin(slope(ours, x, tf.float32)))
    found = tf.reduce_sum(tape.gradient(bent, x) * d)
    ends = [
        tf.reduce_sum(tf.sin(slope(truth, x64 + s, tf.float64))) for s in (step, -step)
    ]
    expected = (ends[0] - ends[1]) / 2e-5
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_batch_norm_keeps_the_biased_variance():
    for dtype, rounding in ("float32", 1e-6), ("mixed_bfloat16", 1e-2):
        net, (gamma, beta, _, moved) = batch_norm(dtype)
        x = tf.constant(draw(2, 4, 4, 2, seed=3))
        y = net(x, training=True)
        truth, _, variance = normalised(x, gamma, beta)
        assert y.dtype == net.layers[-1].compute_dtype
        agree([y], [truth], rounding)
        now = net.get_weights()[3]
        # 31 / 32 of the variance that the operation gives
        change = (now - 0.99 * moved**2) / 0.01
        np.testing.assert_allclose(change, variance, rtol=max(rounding, 1e-4))


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: K.BatchNormalization(), (5,)),
        (lambda: K.BatchNormalization(axis=1), (4, 4, 2)),
        (lambda: K.BatchNormalization(scale=False), (4, 4, 2)),
        (lambda: K.BatchNormalization(center=False), (4, 4, 2)),
        (lambda: K.BatchNormalization(renorm=True), (4, 4, 2)),
        (lambda: K.BatchNormalization(trainable=False), (4, 4, 2)),
        (lambda: K.BatchNormalization(dtype="float64"), (4, 4, 2)),
    ],
)
def test_batch_norms_that_are_left(monkeypatch, make, shape):
    plain, ours = twins(net_of(make(), shape=shape))
    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", None)  # cannot be called
    x = draw(3, *shape)
    for training in (True, False):
        own = {"training": training}
        np.testing.assert_array_equal(ours(x, **own), plain(x, **own))
    agree(ours.get_weights(), plain.get_weights())


def test_batch_norm_of_maps_of_unknown_shape():
    plain, ours = (twin.layers[-1] for twin in twins(net_of(K.BatchNormalization())))
    x, unknown = draw(3, 4, 4, 2), tf.TensorSpec((None,) * 4)
    for layer in (plain, ours):
        call = tf.function(lambda x: layer(x, training=True), [unknown])  # noqa: B023
        found = call(x)
        np.testing.assert_allclose(found, plain(x, training=True), atol=1e-6)
    agree(
        ours.get_weights()[2:],
        [0.01 * x.mean((0, 1, 2)), 0.99 + 0.01 * x.var((0, 1, 2))],
    )


def test_batch_norm_of_another_precision_than_the_input_is_left():
    layers = [K.BatchNormalization(autocast=False) for _ in range(2)]
    quick.quicken(net_of(layers[0]))
    x = tf.cast(draw(3, 4, 4, 2), tf.bfloat16)
    found = [layer(x, training=True) for layer in layers]
    assert found[0].dtype == found[1].dtype == tf.float32
    np.testing.assert_array_equal(*found)


def test_batch_norm_of_inference_and_of_several_replicas_is_left(monkeypatch):
    plain, ours = twins(net_of(K.BatchNormalization()))
    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", None)
    x = draw(3, 4, 4, 2)
    np.testing.assert_array_equal(ours(x, training=False), plain(x, training=False))
    several = SimpleNamespace(num_replicas_in_sync=2)
    with monkeypatch.context() as patch:
        patch.setattr(quick.tf.distribute, "get_strategy", lambda: several)
        layer = ours.layers[-1]
        np.testing.assert_array_equal(
            layer(x, training=True), plain.layers[-1](x, training=True)
        )


def test_a_gradient_may_be_taken_outside_of_the_graph_of_the_net(products):
    plain, ours = twins(net_of(K.Conv2D(4, 3), K.LeakyReLU()))
    x, found = tf.constant(draw(2, 4, 4, 2)), []
    for net in (plain, ours):
        call, weights = tf.function(net), [v.value for v in net.trainable_variables]
        with tf.GradientTape() as outer, tf.GradientTape() as inner:
            outer.watch(x)
            inner.watch(x)
            value = tf.reduce_sum(call(x) ** 2)
            slope = inner.gradient(value, x)
        found.append(outer.gradient(slope, weights, unconnected_gradients="zero"))
    agree(found[1], found[0])
    assert products


def test_beside_a_gpu_only_rectifiers_change(products, monkeypatch):
    show(monkeypatch, "CPU", "GPU")
    plain, ours = twins(critic((4, 4, 2), 1))
    x = draw(3, 4, 4, 2)
    agree(slopes(ours, x), slopes(plain, x))
    assert not products
    assert convolutions(ours, x) != convolutions(plain, x)


def test_configurations_and_files_are_those_of_plain_layers(products, tmp_path):
    plain, ours = twins(critic((4, 4, 2), 2))
    x, configs = draw(3, 4, 4, 2), [layer.get_config() for layer in plain.layers]
    ours.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    remade = keras.Sequential.from_config(ours.get_config())
    remade.set_weights(ours.get_weights())
    truth = slopes(plain, x)
    assert [layer.get_config() for layer in ours.layers] == configs
    clone = keras.models.clone_model(ours)
    clone.set_weights(ours.get_weights())
    for copy in (loaded, remade, clone):
        found = slopes(copy, x)
        for a, b in zip(found, truth, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not products  # of plain layers


# ---- bfloat16


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "kind, strides", [(K.Conv2D, 1), (K.Conv2D, 2), (K.Conv2DTranspose, 2)]
)
def test_the_precision_of_the_call_decides(
    products, monkeypatch, kind, strides, bias, graph
):
    """Whole numbers: bfloat16 products are exact but for the gradient's rounding."""
    monkeypatch.setattr(quick, "_LARGE", {tf.bfloat16: lambda pixels: 0})
    random = np.random.RandomState(0)
    settings = dict(strides=strides, padding="same", use_bias=bias)
    full = net_of(kind(4, 3, **settings))
    half = net_of(kind(4, 3, **settings, dtype="mixed_bfloat16"))
    weights = [random.randint(-2, 3, w.shape) for w in full.get_weights()]
    x = tf.constant(random.randint(-2, 3, (3, 4, 4, 2)), tf.float32)

    def gradients(net):
        net.set_weights(weights)
        quick.quicken(net)

        def step(x):
            with tf.GradientTape() as tape:
                y = tf.cast(net(x), tf.float32)
                loss = tf.reduce_sum(y * random.randint(-2, 3, y.shape))
            return y, *tape.gradient(loss, [v.value for v in net.trainable_variables])

        random.seed(1)
        return (tf.function(step) if graph else step)(x)

    truth = gradients(full)
    assert not products  # float32 has no bound here
    found = gradients(half)
    assert len(products) == 1
    assert {v.dtype for v in half.trainable_variables} == {"float32"}
    for ours, theirs in zip(found, truth, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2**-8)


# ---- rectifiers


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "layer, slope",
    [
        (lambda dtype: K.LeakyReLU(0.25, dtype=dtype), 0.25),
        (lambda dtype: K.LeakyReLU(0.0, dtype=dtype), 0.0),
        (lambda dtype: K.Activation("relu", dtype=dtype), 0.0),
    ],
)
def test_rectifiers(layer, slope, dtype):
    """max(x, slope x); at 0 the slope is that of the negative side."""
    _, net = twins(net_of(layer(dtype), shape=(4,)))
    x = tf.constant([[-2.0, -0.0, 0.0, 3.0]])
    with tf.GradientTape() as second:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = tf.cast(net(x), tf.float32)
        second.watch(x)
        dy = tf.constant([[5.0, 6.0, 7.0, 8.0]])
        second.watch(dy)
        dx = tape.gradient(y, x, output_gradients=dy)
    np.testing.assert_array_equal(y, [[-2 * slope, 0, 0, 3]])
    np.testing.assert_array_equal(dx, [[5 * slope, 6 * slope, 7 * slope, 8]])
    by_dy, by_x = second.gradient(dx, [dy, x])
    np.testing.assert_array_equal(by_dy, [[slope, slope, slope, 1]])
    assert by_x is None  # not zeros, which a pass back would carry


CONVOLUTIONS = "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"


def convolutions(net, x):
    """How many of each kind the gradient of a gradient penalty needs."""

    @tf.function
    def step(x):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(net(x))
            penalty = squares(tape.gradient(y, x))
        wanted = [v.value for v in net.trainable_variables]
        return [t for t in outer.gradient(penalty, wanted) if t is not None]

    graph = step.get_concrete_function(tf.constant(x)).graph
    ends = [tensor.op.name for tensor in graph.outputs]
    cut = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ends)
    kinds = [node.op for node in cut.node]
    return {kind: kinds.count(kind) for kind in CONVOLUTIONS}


@pytest.mark.parametrize("rectifier", [K.LeakyReLU, lambda: K.Activation("relu")])
def test_a_penalty_spares_the_pass_that_carries_zeros(rectifier):
    """Two layers: forward and again (4), back (2), weights of forward again (2).

    Plain rectifiers go back through the second layer once more, with zeros: to its
    input, and to both layers' weights.
    """
    stack = [K.Conv2D(3, 3), rectifier(), K.Conv2D(3, 3), rectifier(), K.Flatten()]
    plain, ours = twins(net_of(*stack, K.Dense(1), shape=(6, 6, 2)))
    x = draw(2, 6, 6, 2)
    found = convolutions(ours, x)
    assert list(found.values()) == [4, 2, 2]
    assert sum(convolutions(plain, x).values()) > 8


# ---- spectral norms


@pytest.fixture
def folded(monkeypatch):
    """Products of one sample for kernels of every size; the forms of those made."""
    monkeypatch.setattr(quick, "_LARGE_ALONE", 0)
    return spy(monkeypatch, "_folded")


@pytest.mark.parametrize(
    "make",
    [
        lambda: K.Conv2D(5, 3, padding="same"),
        lambda: K.Conv2D(5, 4, strides=2, padding="same"),
        lambda: K.Conv2D(5, (2, 3), strides=3),
        lambda: K.Conv2DTranspose(5, 4, strides=2, padding="same"),
        lambda: K.Conv2DTranspose(2, (3, 2), strides=3, padding="same"),
    ],
)
def test_power_iterations_and_the_slope_of_sigma(folded, make):
    plain, ours = twins(net_of(SpectralNormalization(make()), shape=(6, 7, 3)))
    found = []
    for net in (plain, ours):
        layer = net.layers[-1]
        layer.iterate(3)
        with tf.GradientTape() as outer, tf.GradientTape() as tape:
            sigma = layer.sigma() ** 2
            slope = tape.gradient(sigma, layer.kernel.value)
            total = tf.reduce_sum(slope**3)
        second = outer.gradient(total, layer.kernel.value)
        found.append([layer.vector.value, sigma, slope, second])
    agree(found[1], found[0])
    assert folded
    layer.iterate(300)
    basis = np.eye(6 * 7 * 3, dtype="float32").reshape(-1, 6, 7, 3)
    matrix = np.reshape(layer.layer(basis) - layer.layer(0 * basis), (len(basis), -1))
    assert float(layer.sigma()) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-4)


@pytest.mark.parametrize(
    "layer, method",
    [
        (lambda: K.Conv2D(4, 3), "matrix"),
        (lambda: K.Conv2D(4, 3, groups=2), "conv"),
        (lambda: K.Conv2D(4, 3, dilation_rate=2), "conv"),
        (lambda: K.Conv2DTranspose(4, 3), "conv"),
        (lambda: K.DepthwiseConv2D(3), "conv"),
        (lambda: K.Dense(3), "conv"),
        (lambda: PaddedConv2D(4, 3, 1), "conv"),
    ],
)
def test_spectral_norms_that_are_left(folded, layer, method):
    net = net_of(SpectralNormalization(layer(), method), shape=(6, 6, 4))
    map_ = net.layers[-1]._map
    quick.quicken(net)
    assert net.layers[-1]._map is map_


def test_small_kernels_keep_their_iterations(monkeypatch):
    show(monkeypatch, "CPU")
    for channels, changed in ((724, False), (725, True)):  # 725^2 > 2^19
        net = net_of(
            SpectralNormalization(K.Conv2D(channels, 1)), shape=(1, 1, channels)
        )
        map_ = net.layers[-1]._map
        quick.quicken(net)
        assert (net.layers[-1]._map is not map_) == changed


# ---- Adam


def updated(optimizer, change=quick.quicken_optimizer):
    """Two variables after four known gradients, and the graph of a step."""
    variables = [keras.Variable(draw(3, 4)), keras.Variable(draw(5), dtype="float64")]
    optimizer.build(variables)
    change(optimizer)

    @tf.function
    def step(gradients):
        optimizer.apply(gradients, variables)

    for i in range(4):
        gradients = [tf.constant(draw(*v.shape, seed=i), v.dtype) for v in variables]
        step(gradients)
    graph = str(step.get_concrete_function(gradients).graph.as_graph_def())
    return [keras.ops.convert_to_numpy(v) for v in variables], graph


def adam_by_hand(x, gradients, rate, beta_1, beta_2, epsilon):
    """Kingma, Ba 2015, the form before section 2.1: epsilon beside sqrt(v)."""
    x, m, v = x.astype("float64"), 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        now = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        x = x - now * m / (np.sqrt(v) + epsilon)
    return x


@pytest.mark.parametrize("beta_1, epsilon", [(0.5, 1e-7), (0.0, 1e-2), (0.9, 1e-8)])
def test_adam_by_hand(beta_1, epsilon):
    optimizer = keras.optimizers.Adam(0.02, beta_1, 0.99, epsilon)
    (single, double), _ = updated(optimizer)
    for found, shape, bound in ((single, (3, 4), 1e-6), (double, (5,), 1e-12)):
        gradients = [draw(*shape, seed=i).astype("float64") for i in range(4)]
        rate = float(np.float32(0.02))  # as Keras keeps it
        wanted = adam_by_hand(draw(*shape), gradients, rate, beta_1, 0.99, epsilon)
        np.testing.assert_allclose(found, wanted, rtol=bound, atol=bound)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"weight_decay": 0.1},
        {"clipnorm": 0.5},
        {"use_ema": True, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)},
    ],
)
def test_what_adam_does_beside_its_update(more):
    more = {"learning_rate": 0.02, "beta_1": 0.5} | more
    found, graph = updated(keras.optimizers.Adam(**more))
    assert "ResourceApplyAdam" in graph
    wanted, _ = updated(keras.optimizers.Adam(**more), lambda optimizer: None)
    for mine, theirs in zip(found, wanted):
        np.testing.assert_allclose(mine, theirs, rtol=2e-6, atol=2e-6)


def test_adam_of_gradients_in_slices():
    """As Keras has them."""
    found = []
    for change in (quick.quicken_optimizer, lambda optimizer: None):
        table, optimizer = keras.Variable(draw(4, 2)), keras.optimizers.Adam(0.1)
        optimizer.build([table])
        change(optimizer)
        for rows in ([0, 2, 2], [1, 2, 2]):
            slices = tf.IndexedSlices(tf.constant(draw(3, 2)), rows, (4, 2))
            optimizer.apply([slices], [table])
        found.append(table.numpy())
    np.testing.assert_array_equal(*found)
    assert (found[0][:3] != draw(4, 2)[:3]).all()


class OwnAdam(keras.optimizers.Adam):
    def update_step(self, gradient, variable, learning_rate):
        variable.assign_sub(gradient)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(amsgrad=True),
        lambda: keras.optimizers.SGD(0.1),
        lambda: keras.optimizers.Nadam(),
        OwnAdam,
    ],
)
def test_optimizers_that_are_left(make):
    _, graph = updated(make())
    assert "ResourceApplyAdam" not in graph


def test_adam_of_several_replicas_is_left(monkeypatch):
    monkeypatch.setattr(quick, "_has_replicas", lambda: True)
    _, graph = updated(keras.optimizers.Adam())
    assert "ResourceApplyAdam" not in graph


def test_a_gan_quickens_its_optimizers():
    gan = gantf.GAN(*gantf.build_pair(architectures.get("mlp-2d")), loss="rep")
    gan.compile()
    for net in "generator", "discriminator":
        assert "update_step" in vars(getattr(gan, f"{net}_optimizer"))
