"""Labels, and the layers that know them, sample by sample against NumPy."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
from keras import ops

from gantf import layers
from gantf.layers import labels as labels_module

K = keras.layers
CLASSES = 3
LABELS = np.array([2, 0, 2, 1, 0])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(layer, *inputs):
    """The layer with numbers in all that starts with ones or zeros."""
    layer(list(inputs))
    for i, weight in enumerate(layer.trainable_variables):
        if weight.name != "kernel":
            weight.assign(draw(*weight.shape, seed=10 + i))
    return layer


def by_sample(formula, x, labels):
    """What a formula (x, y) makes of each sample, in float64."""
    return np.array([formula(one, y) for one, y in zip(x.astype(float), labels)])


# ---- batch norm


@pytest.mark.parametrize("shape", [(3,), (4, 5, 3)])
def test_conditional_batch_normalization(shape):
    x = 2 + 3 * draw(5, *shape)
    layer = layers.ConditionalBatchNormalization(CLASSES, momentum=0.75, epsilon=0.1)
    np.testing.assert_allclose(  # gains of 1 and shifts of 0, over the root of 1.1
        layer([x, LABELS]), x / np.sqrt(1.1), rtol=1e-5
    )
    built(layer, x, LABELS)
    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    assert gamma.shape == beta.shape == (CLASSES, 3)
    rows = x.reshape(-1, 3).astype(float)
    mean, variance = rows.mean(axis=0), rows.var(axis=0)

    def normal(mean, variance):
        root = np.sqrt(variance + 0.1)
        return by_sample(
            lambda one, y: gamma[y] * (one - mean) / root + beta[y], x, LABELS
        )

    y = layer([x, LABELS], training=True)
    np.testing.assert_allclose(y, normal(mean, variance), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * mean, rtol=1e-5)
    moving = 0.75 + 0.25 * variance
    np.testing.assert_allclose(layer.moving_variance, moving, rtol=1e-5)
    y = layer([x, LABELS])
    np.testing.assert_allclose(y, normal(0.25 * mean, moving), rtol=1e-4, atol=1e-5)


def test_batch_normalization_keeps_its_names_and_its_settings():
    layer = layers.ConditionalBatchNormalization(CLASSES, synchronized=True, name="n")
    assert isinstance(layer, K.BatchNormalization) and layer.synchronized
    layer([draw(2, 3), np.arange(2)])
    names = {w.name for w in layer.weights}
    assert names == {"gamma", "beta", "moving_mean", "moving_variance"}
    config = layer.get_config()
    again = layers.ConditionalBatchNormalization.from_config(config)
    assert again.get_config() == config
    assert (again.classes, again.synchronized, again.name) == (CLASSES, True, "n")
    assert (again.momentum, again.epsilon) == (0.99, 1e-3)
    with pytest.raises(TypeError):
        layers.ConditionalBatchNormalization(CLASSES, center=True)
    with pytest.raises(ValueError):
        layers.ConditionalBatchNormalization(CLASSES, mommentum=0.5)


def test_statistics_are_float32_under_bfloat16():
    """A mean of 300 in bfloat16 would be off by up to 1."""
    x = 300 + draw(64, 2)
    labels = np.arange(64) % CLASSES
    layer = layers.ConditionalBatchNormalization(CLASSES, dtype="mixed_bfloat16")
    rounded = np.asarray(ops.cast(ops.cast(x, "bfloat16"), "float32")).astype(float)
    y = np.asarray(layer([x, labels], training=True), float)
    truth = (rounded - rounded.mean(0)) / np.sqrt(rounded.var(0) + 1e-3)
    np.testing.assert_allclose(y, truth, atol=2 * 2**-9 * np.abs(truth).max())


# ---- biases and kernels


@pytest.mark.parametrize("shape", [(3,), (4, 5, 3)])
def test_conditional_bias(shape):
    x = draw(5, *shape)
    layer = layers.ConditionalBias(CLASSES)
    np.testing.assert_array_equal(layer([x, LABELS]), x)
    built(layer, x, LABELS)
    bias = layer.bias.numpy()
    assert [w.name for w in layer.weights] == ["bias"] and bias.shape == (CLASSES, 3)
    np.testing.assert_allclose(
        layer([x, LABELS]), by_sample(lambda one, y: one + bias[y], x, LABELS)
    )


FORWARDS = {  # a layer, its input, (x, kernel) -> what it makes in float64
    "dense": (lambda: K.Dense(4, use_bias=False), (6,), lambda x, w: x @ w),
    "dense on maps": (
        lambda: K.Dense(4, use_bias=False),
        (2, 3, 6),
        lambda x, w: x @ w,
    ),
    "conv": (
        lambda: K.Conv2D(4, 3, 2, use_bias=False),
        (5, 6, 2),
        lambda x, w: references.conv(x, w, [(0, 0)] * 2, (2, 2)),
    ),
    "padded": (
        lambda: layers.PaddedConv2D(4, 3, 1, use_bias=False),
        (3, 4, 2),
        lambda x, w: references.conv(x, w, [(1, 1)] * 2, (1, 1)),
    ),
    "tconv": (
        lambda: K.Conv2DTranspose(4, 3, 2, use_bias=False),
        (2, 3, 2),
        lambda x, w: references.conv_transpose(x, w, (2, 2)),
    ),
    "cropped": (
        lambda: layers.CroppedConv2DTranspose(4, 4, 1, strides=2, use_bias=False),
        (2, 3, 2),
        lambda x, w: references.conv_transpose(x, w, (2, 2))[:, 1:-1, 1:-1],
    ),
}


@pytest.mark.parametrize("kind", FORWARDS)
def test_conditional_kernel(kind):
    """(1 + s_y) layer(x) + b, one sample at a time."""
    make, shape, forward = FORWARDS[kind]
    x = draw(5, *shape)
    layer = layers.ConditionalKernel(make(), CLASSES)
    np.testing.assert_array_equal(layer([x, LABELS]), layer.layer(x))
    built(layer, x, LABELS)
    assert layer.kernel is layer.layer.kernel
    scale, bias = layer.scale.numpy(), layer.bias.numpy()
    assert (scale.shape, bias.shape) == ((CLASSES, 4), (4,))
    truth = by_sample(
        lambda one, y: (
            (1 + scale[y]) * forward(one[None], layer.kernel.numpy())[0] + bias
        ),
        x,
        LABELS,
    )
    np.testing.assert_allclose(layer([x, LABELS]), truth, rtol=1e-4, atol=1e-5)
    shapes = [(None, *shape), (None,)]
    assert tuple(layer.compute_output_shape(shapes)) == (None, *truth.shape[1:])


def test_scales_are_read_in_float32():
    """In bfloat16 this scale is 0.25."""
    inner = K.Dense(1, use_bias=False, kernel_initializer="ones", dtype="float32")
    layer = layers.ConditionalKernel(inner, 1, use_bias=False, dtype="mixed_bfloat16")
    x, labels = np.ones((1, 1), "float32"), np.zeros(1, "int32")
    layer([x, labels])
    layer.scale.assign([[0.25 + 2.0**-12]])
    assert float(layer([x, labels])[0, 0]) == 1.25 + 2.0**-12


@pytest.mark.parametrize("units", [1, 4])
def test_conditional_dense(units):
    """x (W + W_y) + b, one sample at a time."""
    x = draw(5, 6)
    layer = layers.ConditionalDense(units, CLASSES)
    plain = K.Dense(units)
    plain(x), layer([x, LABELS])
    plain.kernel.assign(layer.kernel)
    np.testing.assert_allclose(layer([x, LABELS]), plain(x), rtol=1e-5, atol=1e-6)
    built(layer, x, LABELS)
    kernel, table, bias = (w.numpy() for w in layer.weights)
    names = [w.name for w in layer.weights]
    assert names == ["kernel", "class_kernel", "bias"]
    assert [w.shape for w in layer.weights] == [(6, units), (3, 6, units), (units,)]
    truth = by_sample(lambda one, y: one @ (kernel + table[y]) + bias, x, LABELS)
    np.testing.assert_allclose(layer([x, LABELS]), truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: layers.ConditionalBatchNormalization(CLASSES), "gamma"),
        (lambda: layers.ConditionalBias(CLASSES), "bias"),
        (
            lambda: layers.ConditionalKernel(K.Dense(4, use_bias=False), CLASSES),
            "scale",
        ),
        (lambda: layers.ConditionalDense(4, CLASSES), "class_kernel"),
    ],
)
def test_the_gradient_of_a_table_is_that_of_the_samples_of_each_class(make, name):
    """Dense, the sum of what single samples give, and 0 for a class without one."""
    x, labels = draw(4, 4), np.array([2, 0, 2, 0])
    layer = make()
    layer([x, labels])
    table = getattr(layer, name)

    def slope(x, labels, weights):
        with tf.GradientTape() as tape:
            loss = ops.sum(layer([x, labels]) * weights)
        return tape.gradient(loss, table.value)

    weights = draw(4, 4, seed=1)
    whole = slope(x, labels, weights)
    assert isinstance(whole, tf.Tensor) and whole.shape == table.shape
    parts = sum(
        slope(*(a[i : i + 1] for a in (x, labels, weights))).numpy() for i in range(4)
    )
    np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(whole[1], np.zeros(table.shape[1:]))
    assert all(np.linalg.norm(whole[y]) > 0 for y in (0, 2))


@pytest.mark.parametrize(
    "layer, message",
    [
        (
            lambda: K.DepthwiseConv2D(3, use_bias=False),
            "ConditionalKernel takes a layer of Dense, Conv2D, Conv2DTranspose, "
            "not DepthwiseConv2D",
        ),
        (
            lambda: K.Dense(3),
            "ConditionalKernel takes a layer with use_bias=False, not one with a "
            "bias: its own use_bias gives one",
        ),
        (
            lambda: K.Conv2D(3, 3, use_bias=False, activation="relu"),
            "ConditionalKernel takes a layer without activation, not relu",
        ),
    ],
)
def test_conditional_kernels_of_other_layers_are_refused(layer, message):
    with pytest.raises(ValueError) as caught:
        layers.ConditionalKernel(layer(), CLASSES)
    assert str(caught.value) == message


# ---- labels


RULE = "labels are whole numbers from 0 to 9, not"
OUTSIDE = [
    ([3, -1, 12], "-1"),
    ([3, 10, -1], "10"),
    ([0.0, 9.0, 1.5], "1.5"),
    ([np.nan], "nan"),
    ([2**32 + 1], "4294967297"),  # 1 as an int32
]


def labels_net():
    given = keras.Input((), dtype="int32")
    return keras.Model(given, ops.one_hot(layers.Labels(10)(given), 10))


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "float32"])
def test_labels_come_through_as_they_are(kind):
    given = np.array([0, 9, 4, 4], kind)
    layer = layers.Labels(10)
    for call in (layer, tf.function(layer), tf.function(layer, jit_compile=True)):
        y = call(tf.constant(given))
        assert y.dtype == tf.int32
        np.testing.assert_array_equal(y, given)
    assert layer(np.zeros(0, kind)).shape == (0,)
    assert tf.function(layer)(tf.zeros(0, kind)).shape == (0,)
    assert layer(keras.Input((), dtype=kind)).dtype == "int32"


@pytest.mark.parametrize("given, value", OUTSIDE)
def test_error_labels_that_are_no_class(given, value):
    layer, given = layers.Labels(10), np.array(given)
    with pytest.raises(ValueError) as caught:
        layer(given)
    assert str(caught.value) == f"{RULE} {value}"
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.function(layer)(tf.constant(given))
    assert f"[{RULE}] [{value}]" in str(caught.value)


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_error_labels_in_a_model():
    net = labels_net()
    wrong = np.array([1, 10])
    for call in (net, lambda y: net(y, training=True)):
        with pytest.raises(ValueError) as caught:
            call(wrong)
        assert str(caught.value) == f"{RULE} 10"
    net.compile("sgd", "mse")
    for call in (
        lambda: tf.function(net)(tf.constant(wrong)),
        lambda: net.predict(wrong, verbose=0),
        lambda: net.fit(wrong, np.zeros((2, 10)), verbose=0),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            call()
        assert f"[{RULE}] [10]" in str(caught.value)
    assert net.predict(wrong - 1, verbose=0).shape == (2, 10)


def test_error_labels_in_a_step():
    """The check is on the way to the gradient, whichever way the step is taken."""
    layer, bias = layers.Labels(CLASSES), layers.ConditionalBias(CLASSES)
    bias([tf.zeros((2, 4)), tf.zeros(2, "int32")])

    def step(y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(bias([tf.ones((2, 4)), layer(y)]))
        return tape.gradient(loss, bias.bias.value)

    right, wrong = tf.constant([0, 2]), tf.constant([0, 3])
    np.testing.assert_array_equal(tf.function(step)(right), step(right))
    with pytest.raises(ValueError):
        step(wrong)
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(step)(wrong)


def test_no_label_comes_before_it_is_checked():
    """Seen where nothing runs but what a value needs: outside of tf.function."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        given = tf.compat.v1.placeholder("int32", (None,))
        labels = layers.Labels(10)(given)
        np.testing.assert_array_equal(session.run(labels, {given: [9]}), [9])
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(labels, {given: [10]})


def test_labels_load_tensorflow_in_their_graphs_only():
    """gantf.layers loads on every Keras backend."""
    tree = ast.parse(Path(labels_module.__file__).read_text("utf-8"))
    loaded = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(n) for n in loaded] == ["import keras", "from keras import ops"]
