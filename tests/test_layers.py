"""Layers against explicit operators, brute force and finite differences."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import gantf
from gantf import gan as gan_module
from gantf import layers
from gantf.layers import (
    ConditionalDense,
    SpectralNormalization,
    shared_kernels,
    spectral_updates,
)
from gantf.layers.convolution import (
    conv_pair,
    depthwise_pair,
    grouped_pair,
    same_pads,
)

K = keras.layers
ENOUGH = 300  # power iterations after which these small maps have converged
CLASSES = 3


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def feed(n, shape, seed=0):
    """What a layer takes: samples of a shape, labels for (), a list for a list."""
    if isinstance(shape, list):
        return [feed(n, one, seed + i) for i, one in enumerate(shape)]
    return draw(n, *shape, seed=seed) if shape else np.arange(n) % CLASSES


def model_of(layer, shape):
    shapes = shape if isinstance(shape, list) else [shape]
    inputs = [keras.Input(one, dtype=None if one else "int32") for one in shapes]
    inputs = inputs if isinstance(shape, list) else inputs[0]
    return keras.Model(inputs, layer(inputs))


def scaled(kind, *args, **kwargs):
    """The layer with scales for each class."""
    layer = kind(*args, **kwargs, use_bias=False)
    return layers.ConditionalKernel(layer, CLASSES, dtype=kwargs.get("dtype"))


# (name, a layer, its input): every kind, odd sizes, strides 1 to 3, dilation,
# kernels larger than the map
CASES = [
    ("dense, narrower", lambda: K.Dense(3), (9,)),
    ("dense, wider", lambda: K.Dense(9), (4,)),
    ("dense, one number", lambda: K.Dense(1), (7,)),
    ("dense on maps", lambda: K.Dense(5), (3, 2, 4)),
    ("conv", lambda: K.Conv2D(4, 3, padding="same"), (5, 7, 3)),
    ("conv 1x1", lambda: K.Conv2D(4, 1), (3, 3, 3)),
    ("conv, stride 2", lambda: K.Conv2D(4, 4, 2, padding="same"), (7, 6, 3)),
    ("conv, stride 3", lambda: K.Conv2D(2, 3, 3, padding="same"), (7, 5, 3)),
    ("conv, stride beyond kernel", lambda: K.Conv2D(4, 2, 3), (7, 8, 2)),
    ("conv, valid", lambda: K.Conv2D(4, 3), (5, 6, 2)),
    ("conv, valid, stride 2", lambda: K.Conv2D(3, 3, 2), (6, 7, 2)),
    (
        "conv, dilation",
        lambda: K.Conv2D(3, 3, padding="same", dilation_rate=2),
        (5, 6, 2),
    ),
    ("conv, valid, dilation", lambda: K.Conv2D(3, 2, dilation_rate=3), (5, 7, 2)),
    ("conv, larger than the map", lambda: K.Conv2D(3, 5, padding="same"), (2, 3, 2)),
    (
        "conv, larger, stride 2",
        lambda: K.Conv2D(3, 7, 2, padding="same"),
        (3, 2, 2),
    ),
    ("conv, oblong", lambda: K.Conv2D(3, (3, 2), (1, 2), padding="same"), (4, 5, 2)),
    ("padded", lambda: layers.PaddedConv2D(3, 3, 1), (5, 4, 2)),
    ("padded, stride 2", lambda: layers.PaddedConv2D(3, 4, 1, strides=2), (7, 6, 2)),
    ("padded, stride 3", lambda: layers.PaddedConv2D(4, 2, 2, strides=3), (4, 5, 2)),
    (
        "padded, dilation",
        lambda: layers.PaddedConv2D(3, 3, 2, dilation_rate=2),
        (4, 3, 2),
    ),
    ("padded with 0", lambda: layers.PaddedConv2D(3, 3, 0), (4, 5, 2)),
    ("tconv", lambda: K.Conv2DTranspose(3, 3, padding="same"), (4, 3, 2)),
    ("tconv, stride 2", lambda: K.Conv2DTranspose(3, 4, 2, padding="same"), (3, 4, 2)),
    (
        "tconv, odd, stride 2",
        lambda: K.Conv2DTranspose(2, 3, 2, padding="same"),
        (3, 2, 4),
    ),
    ("tconv, stride 3", lambda: K.Conv2DTranspose(2, 4, 3, padding="same"), (2, 3, 3)),
    (
        "tconv, stride beyond kernel",
        lambda: K.Conv2DTranspose(2, 2, 3, padding="same"),
        (2, 3, 3),
    ),
    ("tconv, valid", lambda: K.Conv2DTranspose(2, 4, 2), (3, 2, 3)),
    ("tconv, valid, stride 3", lambda: K.Conv2DTranspose(3, 2, 3), (2, 3, 2)),
    ("tconv, larger", lambda: K.Conv2DTranspose(2, 7, padding="same"), (2, 3, 3)),
    ("cropped", lambda: layers.CroppedConv2DTranspose(3, 4, 1, strides=2), (3, 2, 2)),
    ("cropped by 0", lambda: layers.CroppedConv2DTranspose(3, 4, 0), (1, 1, 5)),
    ("cropped by 2", lambda: layers.CroppedConv2DTranspose(3, 3, 2), (4, 5, 2)),
    (
        "cropped, stride beyond kernel",
        lambda: layers.CroppedConv2DTranspose(3, 2, 0, strides=3),
        (2, 3, 2),
    ),
    ("groups", lambda: K.Conv2D(6, 3, padding="same", groups=2), (5, 4, 4)),
    ("groups, stride 2", lambda: K.Conv2D(4, 4, 2, "same", groups=4), (7, 6, 4)),
    ("groups, stride 3", lambda: K.Conv2D(6, 2, 3, groups=3), (7, 8, 3)),
    (
        "groups, dilation",
        lambda: K.Conv2D(4, 3, padding="same", groups=2, dilation_rate=2),
        (5, 6, 2),
    ),
    (
        "groups, padded",
        lambda: layers.PaddedConv2D(4, 4, 1, strides=2, groups=2),
        (7, 5, 6),
    ),
    ("depthwise", lambda: K.DepthwiseConv2D(3, padding="same"), (5, 6, 3)),
    ("depthwise, valid", lambda: K.DepthwiseConv2D((3, 2)), (5, 6, 2)),
    (
        "depthwise, stride 2",
        lambda: K.DepthwiseConv2D((3, 2), 2, depth_multiplier=2),
        (6, 7, 2),
    ),
    (
        "depthwise, stride 3",
        lambda: K.DepthwiseConv2D(4, 3, "same", depth_multiplier=3),
        (7, 5, 2),
    ),
    ("depthwise, stride beyond kernel", lambda: K.DepthwiseConv2D(2, 3), (7, 8, 3)),
    (
        "depthwise, dilation",
        lambda: K.DepthwiseConv2D(3, 1, "same", 2, dilation_rate=2),
        (5, 6, 2),
    ),
    (
        "depthwise, dilation, stride 2",
        lambda: K.DepthwiseConv2D(3, 2, dilation_rate=2),
        (8, 7, 2),
    ),
    ("depthwise, larger", lambda: K.DepthwiseConv2D(5, 1, "same"), (2, 3, 2)),
    ("separable", lambda: K.SeparableConv2D(4, 3, padding="same"), (5, 4, 3)),
    (
        "separable, stride 2",
        lambda: K.SeparableConv2D(1, 3, 2, "same", depth_multiplier=2),
        (7, 6, 2),
    ),
    ("separable, stride 3", lambda: K.SeparableConv2D(5, 2, 3), (7, 8, 2)),
    (
        "separable, dilation",
        lambda: K.SeparableConv2D(2, 3, dilation_rate=2),
        (6, 5, 3),
    ),
    ("embedding", lambda: K.Embedding(7, 4), ()),
    ("embedding, wider", lambda: K.Embedding(3, 8), ()),
    ("scaled dense", lambda: scaled(K.Dense, 3), [(9,), ()]),
    ("scaled dense, wider", lambda: scaled(K.Dense, 9), [(4,), ()]),
    ("scaled dense, one number", lambda: scaled(K.Dense, 1), [(7,), ()]),
    ("scaled conv", lambda: scaled(K.Conv2D, 4, 3, padding="same"), [(5, 3, 2), ()]),
    ("scaled conv, stride 2", lambda: scaled(K.Conv2D, 2, 3, 2), [(6, 5, 3), ()]),
    ("scaled groups", lambda: scaled(K.Conv2D, 4, 2, groups=2), [(4, 5, 2), ()]),
    ("scaled padded", lambda: scaled(layers.PaddedConv2D, 3, 3, 1), [(4, 5, 2), ()]),
    (
        "scaled tconv",
        lambda: scaled(K.Conv2DTranspose, 3, 4, strides=2, padding="same"),
        [(3, 2, 2), ()],
    ),
    (
        "scaled cropped",
        lambda: scaled(layers.CroppedConv2DTranspose, 2, 3, 1),
        [(3, 4, 4), ()],
    ),
    ("class dense", lambda: ConditionalDense(3, CLASSES), [(7,), ()]),
    ("class dense, wider", lambda: ConditionalDense(8, CLASSES), [(5,), ()]),
    ("class dense, one number", lambda: ConditionalDense(1, CLASSES), [(6,), ()]),
]
NAMES = [name for name, *_ in CASES]
KINDS = pytest.mark.parametrize("_, make, shape", CASES, ids=NAMES)
METHODS = pytest.mark.parametrize("method", ["conv", "matrix"])
MANY = K.DepthwiseConv2D, K.SeparableConv2D  # no matrix has their sigma
FEW = [
    (CASES[NAMES.index(name)], method)
    for method, names in {
        "conv": ["depthwise, stride 2", "separable", "separable, stride 2"],
        "matrix": [],
    }.items()
    for name in [
        "dense, narrower",
        "dense, wider",
        "conv, stride 2",
        "padded, stride 2",
        "tconv, stride 2",
        "cropped",
        "groups, stride 3",
        "embedding",
        "scaled dense",
        "scaled conv, stride 2",
        "scaled tconv",
        "class dense",
        "class dense, wider",
        *names,
    ]
]
FEW = pytest.mark.parametrize(
    "make, shape, method",
    [pytest.param(*case[1:], how, id=f"{case[0]}-{how}") for case, how in FEW],
)


def normalised(make, shape, *args, **kwargs):
    """The layer, built, with numbers in all that starts with zeros."""
    layer = SpectralNormalization(make(), *args, **kwargs)
    nested = isinstance(shape, list)
    layer.build([(None, *s) for s in shape] if nested else (None, *shape))
    for i, weight in enumerate(layer.layer.trainable_variables):
        if weight.name in ("bias", "scale", "class_kernel"):
            weight.assign(0.5 * draw(*weight.shape, seed=i))
    return layer


def iterate(layer, inputs, times=ENOUGH):
    """Power iterations, in a graph because that is many times faster."""
    layer(inputs)
    step = tf.function(lambda: layer(inputs, training=True))
    for _ in range(times):
        step()


def converged(make, shape, *args, **kwargs):
    layer = normalised(make, shape, *args, **kwargs)
    iterate(layer, feed(2, shape))
    return layer


def trained(layer):
    """The variables that the map of a normalised layer is made of, tables last."""
    weights = [w for w in layer.layer.trainable_variables if w.name != "bias"]
    return sorted(weights, key=lambda w: w.name in ("scale", "class_kernel"))


def bias_of(layer):
    bias = getattr(layer.layer, "bias", None)
    return 0.0 if bias is None else bias.numpy()


def operators_of(layer, shape):
    """The matrix of a Keras layer without its bias; one for each class it knows."""
    if shape == ():
        return [np.asarray(layer(np.arange(layer.input_dim))).T]
    if isinstance(shape, list):
        of_class = [
            lambda x, y=y: layer([x, np.full(len(x), y)]) for y in range(CLASSES)
        ]
        return [operators_of(one, shape[0])[0] for one in of_class]
    zero = np.asarray(layer(np.zeros((1, *shape), "float32")))
    return [references.matrix_of(lambda x: np.asarray(layer(x)) - zero, shape)]


# ---- sigma


def check_sigma(layer, matrices, shape):
    """Against the SVD of the (outputs, inputs) matrices.

    The iteration starts 0.1 beside the singular vector. The share of the others is
    then 0.01, and k = 40 iterations leave sigma too low by 0.005 (1 - r^2) r^(4 k) at
    most, r being the ratio of two singular values: less than 2e-5 for every r. A wrong
    adjoint has another fixed point and moves away.
    """
    starts = []
    for matrix in matrices:
        left, _, right = np.linalg.svd(matrix)
        narrow = matrix.shape[1] <= matrix.shape[0]
        top = (right[0] if narrow else left[:, 0]).ravel()
        other = np.random.default_rng(1).normal(size=top.size)
        start = top + 0.1 * other / np.linalg.norm(other)
        starts.append(start / np.linalg.norm(start))
    layer.vector.assign(np.reshape(starts, layer.vector.shape).astype("float32"))
    iterate(layer, feed(1, shape), 40)
    truth = [np.linalg.norm(matrix, 2) for matrix in matrices]
    sigma = layer.sigma().numpy()
    assert sigma.shape == ((CLASSES,) if isinstance(shape, list) else ())
    np.testing.assert_allclose(np.ravel(sigma), truth, rtol=1e-4)


@KINDS
def test_sigma_is_the_norm_of_the_operator(_, make, shape):
    layer = normalised(make, shape)
    one = shape[-1:] if isinstance(layer.layer, K.Dense) else shape
    check_sigma(layer, operators_of(layer.layer, one), shape)


@pytest.mark.parametrize(
    "make, shape",
    [
        pytest.param(make, shape, id=name)
        for name, make, shape in CASES
        if not isinstance(make(), MANY)
    ],
)
def test_matrix_sigma_is_the_norm_of_the_reshaped_kernel(make, shape):
    layer = normalised(make, shape, "matrix")
    inner, kernel = layer.layer, layer.kernel.numpy()
    kernels = [kernel]
    if isinstance(inner, ConditionalDense):
        kernels = kernel + inner.class_kernel.numpy()
    elif isinstance(shape, list):
        inner, gains = inner.layer, 1 + inner.scale.numpy()
        transposed = isinstance(inner, K.Conv2DTranspose)
        kernels = [kernel * (g[:, None] if transposed else g) for g in gains]
    if isinstance(inner, K.Conv2DTranspose):  # (kh, kw, outputs, inputs)
        kernels = [np.moveaxis(kernel, 2, 3) for kernel in kernels]
    check_sigma(layer, [k.reshape(-1, k.shape[-1]).T for k in kernels], shape)


@pytest.mark.parametrize("kind", [K.Conv1D, K.Conv1DTranspose])
def test_matrix_takes_other_convolutions(kind):
    layer = SpectralNormalization(kind(4, 3), "matrix")
    iterate(layer, draw(2, 7, 5))
    kernel = layer.kernel.numpy()  # (3, 5, 4), transposed (3, 4, 5)
    outputs = 2 if kind is K.Conv1D else 1
    flat = np.moveaxis(kernel, outputs, -1).reshape(-1, 4)
    truth = np.linalg.norm(flat, 2)
    assert float(layer.sigma()) == pytest.approx(truth, rel=1e-5)


def test_error_kernels_that_are_no_one_operator():
    for layer in (K.DepthwiseConv2D(3), K.SeparableConv2D(4, 3)):
        with pytest.raises(ValueError) as caught:
            SpectralNormalization(layer, "matrix")(draw(2, 5, 5, 3))
        name = type(layer).__name__
        assert str(caught.value) == f"{name} has no kernel that is one matrix"
    with pytest.raises(ValueError) as caught:
        layers.SNConv2DTranspose(3, 4, strides=2, output_padding=0)(draw(1, 3, 4, 2))
    assert str(caught.value) == (
        "method='conv' knows no output_padding; use method='matrix'"
    )


@pytest.mark.parametrize("scale", [1e-18, 1e-13, 1e10, 1e18])
def test_kernels_of_any_scale_are_normalised(scale):
    layer = layers.SNDense(4)
    x = draw(2, 3)
    layer(x)
    kernel = np.random.RandomState(0).randn(3, 4).astype("float32")
    layer.layer.kernel.assign(kernel * np.float32(scale))
    iterate(layer, x)
    unit = kernel / np.linalg.norm(kernel, 2)
    np.testing.assert_allclose(layer(x), np.asarray(x) @ unit, rtol=1e-4, atol=1e-5)
    # The kernels of classes share their scale with a table around 0.
    layer = normalised(lambda: scaled(K.Dense, 4), [(3,), ()])
    inputs = [x, np.arange(2)]
    expected = layer(inputs)
    layer.kernel.assign(layer.kernel * np.float32(scale))
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


def test_a_frozen_layer_stays_frozen_when_cloned():
    layer = layers.SNConv2D(4, 3, trainable_gain=True)
    net = keras.Sequential([keras.Input((5, 5, 2)), layer])
    layer.trainable = False
    assert not keras.models.clone_model(net).trainable_variables


@pytest.mark.parametrize("kind", [layers.Dropout, layers.GaussianNoise])
def test_random_layers_go_on_with_their_numbers_after_loading(kind, tmp_path):
    net = keras.Sequential([keras.Input((50,)), kind(0.5)])
    x = np.ones((4, 50), "float32")
    net(x, training=True)
    net.save(tmp_path / "net.keras")
    net.save_weights(tmp_path / "net.weights.h5")
    expected = net(x, training=True)
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x, training=True), expected)
    net.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(net(x, training=True), expected)
    assert np.any(net(x, training=True) != expected)
    np.testing.assert_array_equal(net(x), x)
    nothing = keras.Sequential([keras.Input((50,)), kind(0)])
    nothing.save(tmp_path / "nothing.keras")
    nothing = keras.models.load_model(tmp_path / "nothing.keras")
    np.testing.assert_array_equal(nothing(x, training=True), x)


def test_noise_has_its_standard_deviation():
    noise = layers.GaussianNoise(0.3)(np.zeros((100, 100), "float32"), training=True)
    # of 10^4 numbers: 6 standard errors of each, a false alarm in 10^8 draws
    assert abs(np.mean(noise)) < 6 * 0.3 / 100
    assert abs(np.std(noise) / 0.3 - 1) < 6 / np.sqrt(2e4)


def test_the_two_methods_differ_for_convolutions_only():
    # Wang et al.'s reference, 8x8 maps, 3x3 kernels, 16 -> 16: about 1.54 times
    def make():
        return K.Conv2D(16, 3, padding="same", kernel_initializer="random_normal")

    pair = [converged(make, (8, 8, 16), method) for method in ("conv", "matrix")]
    pair[1].layer.set_weights(pair[0].layer.get_weights())
    iterate(pair[1], draw(2, 8, 8, 16))
    ratio = float(pair[0].sigma() / pair[1].sigma())
    assert ratio == pytest.approx(1.54, rel=0.1)  # over draws of the kernel


@FEW
def test_the_output_is_that_of_the_normalised_kernel(make, shape, method):
    layer = normalised(make, shape, method, gain=1.7)
    inputs = feed(4, shape)
    factor = 1.7 / layer.sigma().numpy()
    plain = np.asarray(layer.layer(inputs)) - bias_of(layer)
    if isinstance(shape, list):
        factor = factor[inputs[1]].reshape(-1, *[1] * (plain.ndim - 1))
    expected = factor * plain + bias_of(layer)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


def test_a_converged_layer_is_lipschitz_with_its_gain():
    layer = converged(lambda: K.Conv2D(4, 3, padding="same"), (5, 6, 2), gain=2.5)
    norm = np.linalg.norm(operators_of(layer, (5, 6, 2))[0], 2)
    assert norm == pytest.approx(2.5, rel=1e-3)


def test_sigma_follows_set_weights():
    layer = converged(lambda: K.Conv2D(4, 3), (5, 5, 2))
    layer.layer.set_weights([draw(3, 3, 2, 4, seed=5), np.zeros(4, "float32")])
    iterate(layer, draw(1, 5, 5, 2))
    truth = np.linalg.norm(operators_of(layer.layer, (5, 5, 2))[0], 2)
    assert float(layer.sigma()) == pytest.approx(truth, rel=2e-4)


# ---- gradients


def without_effect(layer):
    """Directions in the weights that scale a map, so that no output changes."""
    inner = layer.layer
    if not isinstance(inner, ConditionalDense | layers.ConditionalKernel):
        return [{w.path: w.numpy()} for w in trained(layer)]
    kernel, table = (w.numpy() for w in trained(layer))
    first, last = (w.path for w in trained(layer))
    of_class = np.eye(CLASSES).reshape(CLASSES, CLASSES, *[1] * (table.ndim - 1))
    if isinstance(inner, ConditionalDense):
        alone = [{last: one * (kernel + table)} for one in of_class]
        return [{first: kernel, last: table}, *alone]
    return [{first: kernel}, *({last: one * (1 + table)} for one in of_class)]


@FEW
def test_the_gradient_of_any_loss_is_orthogonal_to_the_kernel(make, shape, method):
    """The output does not depend on the scale of W, so <dL/dW, W> = 0 (Euler)."""
    layer = normalised(make, shape, method)
    with tf.GradientTape() as tape:
        y = layer(feed(4, shape), training=True)
        loss = ops.sum(ops.square(y) * draw(*y.shape, seed=1))
    slopes = tape.gradient(loss, [w.value for w in trained(layer)])
    slopes = {w.path: s.numpy() for w, s in zip(trained(layer), slopes)}
    assert all(np.linalg.norm(slope) > 1e-3 for slope in slopes.values())
    for direction in without_effect(layer):
        change = sum(np.sum(slopes[name] * d) for name, d in direction.items())
        # float32 sums: 1e-7 times the number of terms
        size = sum(
            np.linalg.norm(slopes[name]) * np.linalg.norm(d)
            for name, d in direction.items()
        )
        assert abs(change) < 1e-5 * size


def grouped(x, w, groups, *geometry):
    parts = zip(np.split(x, groups, axis=-1), np.split(w, groups, axis=-1))
    return np.concatenate([references.conv(*p, *geometry) for p in parts], axis=-1)


def depthwise(x, w, *geometry):
    """Every channel is a convolution of its own, with multiplier outputs."""
    parts = [(x[..., i : i + 1], w[:, :, i : i + 1]) for i in range(w.shape[2])]
    return np.concatenate([references.conv(*p, *geometry) for p in parts], axis=-1)


SAME = [references.same_pads(n, 3, 2) for n in (4, 5)], (2, 2)
FORWARDS = {  # float64 NumPy: (class, x, weights) -> the map without bias
    "dense": (lambda: K.Dense(4), (5,), lambda y, x, w: x @ w),
    "conv": (
        lambda: K.Conv2D(3, 3, 2, padding="same"),
        (4, 5, 2),
        lambda y, x, w: references.conv(x, w, *SAME),
    ),
    "tconv": (
        lambda: layers.CroppedConv2DTranspose(2, 4, 1, strides=2),
        (2, 3, 3),
        lambda y, x, w: references.conv_transpose(x, w, (2, 2))[:, 1:-1, 1:-1],
    ),
    "groups": (
        lambda: K.Conv2D(2, 3, 2, padding="same", groups=2),
        (4, 5, 2),
        lambda y, x, w: grouped(x, w, 2, *SAME),
    ),
    "depthwise": (
        lambda: K.DepthwiseConv2D(3, 2, "same", depth_multiplier=2),
        (4, 5, 2),
        lambda y, x, w: depthwise(x, w, *SAME),
    ),
    "separable, narrower": (
        lambda: K.SeparableConv2D(2, 3, 2, "same", depth_multiplier=2),
        (4, 5, 2),
        lambda y, x, w, p: depthwise(x, w, *SAME) @ p[0, 0],
    ),
    "separable, wider": (
        lambda: K.SeparableConv2D(5, 2),
        (3, 3, 2),
        lambda y, x, w, p: depthwise(x, w, [(0, 0)] * 2, (1, 1)) @ p[0, 0],
    ),
    "embedding": (lambda: K.Embedding(5, 4), (), lambda y, x, w: x @ w),
    "scaled dense": (
        lambda: scaled(K.Dense, 4),
        [(5,), ()],
        lambda y, x, w, s: x @ w * (1 + s[y]),
    ),
    "scaled conv": (
        lambda: scaled(K.Conv2D, 3, 3, strides=2, padding="same"),
        [(4, 5, 2), ()],
        lambda y, x, w, s: references.conv(x, w, *SAME) * (1 + s[y]),
    ),
    "class dense": (
        lambda: ConditionalDense(4, CLASSES),
        [(5,), ()],
        lambda y, x, w, c: x @ (w + c[y]),
    ),
}


@pytest.mark.parametrize("kind", FORWARDS)
def test_the_gradient_agrees_with_finite_differences(kind):
    """Against float64: C A(W) x / |A(W) v| + b, with v held, class by class."""
    make, shape, forward = FORWARDS[kind]
    layer = normalised(make, shape, gain=1.5)
    inputs = feed(4, shape)
    with tf.GradientTape() as tape:
        y = layer(inputs, training=True)
        weights = draw(*y.shape, seed=1)
        loss = ops.sum(y * weights)
    slopes = tape.gradient(loss, [w.value for w in trained(layer)])
    v, bias = layer.vector.numpy(), bias_of(layer)
    x, labels = inputs if isinstance(shape, list) else (inputs, np.zeros(4, int))
    x = x if shape else np.eye(layer.layer.input_dim)[x]
    swapped = v.shape[1:] != x.shape[1:]  # v is on the smaller side of the map

    def sigma(c, *values):
        if not swapped:
            return np.linalg.norm(forward(c, v[c : c + 1], *values))
        matrix = forward(c, np.eye(x[0].size).reshape(-1, *x.shape[1:]), *values)
        return np.linalg.norm(matrix.reshape(len(matrix), -1) @ v[c].ravel())

    def in_float64(*values):
        return sum(
            np.sum(
                (1.5 * forward(c, x[labels == c], *values) / sigma(c, *values) + bias)
                * weights[labels == c]
            )
            for c in set(labels)
        )

    values = [w.numpy().astype(float) for w in trained(layer)]
    assert float(loss) == pytest.approx(in_float64(*values), rel=1e-4)
    for i, slope in enumerate(slopes):
        truth = references.numerical_gradient(
            lambda w, i=i: in_float64(*values[:i], w, *values[i + 1 :]), values[i]
        )
        np.testing.assert_allclose(slope, truth, atol=1e-4 * np.abs(truth).max())


# ---- the state


def test_the_vector_starts_with_unit_norm():
    for _, make, shape in [*CASES[:12], *CASES[-12:]]:
        for vector in normalised(make, shape).vector.numpy():
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@METHODS
def test_only_training_moves_the_vector_and_nothing_moves_the_kernel(method):
    layer = normalised(lambda: K.Conv2D(4, 3), (6, 5, 3), method)
    x = draw(2, 6, 5, 3)
    kernel, vector = layer.kernel.numpy(), layer.vector.numpy()
    for call in (lambda: layer(x), lambda: layer(x, training=False)):
        call()
        np.testing.assert_array_equal(layer.vector, vector)
    with spectral_updates(False):
        layer(x, training=True)
    np.testing.assert_array_equal(layer.vector, vector)
    layer(x, training=True)
    assert np.abs(layer.vector.numpy() - vector).max() > 1e-3
    assert np.linalg.norm(layer.vector.numpy()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(layer.kernel, kernel)


def test_real_and_fake_see_the_same_sigma():
    layer = normalised(lambda: K.Dense(6), (6,))
    x = draw(2, 6)
    real = layer(x, training=True)
    sigma = float(layer.sigma())
    with spectral_updates(False):
        fake = layer(x, training=True)
    assert float(layer.sigma()) == sigma
    np.testing.assert_array_equal(real, fake)


def test_updates_come_back_after_an_error_and_in_nests():
    layer = normalised(lambda: K.Dense(6), (6,))

    def moves():
        before = layer.vector.numpy()
        layer(draw(2, 6), training=True)
        return bool(np.any(layer.vector.numpy() != before))

    with pytest.raises(KeyError), spectral_updates(False):
        raise KeyError
    with spectral_updates(False):
        with spectral_updates(True):
            assert moves()
        assert not moves()
    assert moves()


def test_an_iteration_is_a_step_of_power_iteration():
    """Against NumPy: v <- A'A v / |A'A v|, as often as `iterations` says."""
    layer = normalised(lambda: K.Dense(7), (4,), iterations=3)
    w, v = layer.kernel.numpy().astype(float), layer.vector.numpy().astype(float)
    layer(draw(1, 4), training=True)
    for _ in range(3):
        v = v @ w @ w.T
        v /= np.linalg.norm(v)
    np.testing.assert_allclose(layer.vector, v, atol=1e-5)
    assert float(layer.sigma()) == pytest.approx(np.linalg.norm(v @ w), rel=1e-5)


def test_a_graph_moves_the_vector_as_eager_calls_do():
    pair = [normalised(lambda: K.Conv2D(4, 3), (5, 5, 2)) for _ in range(2)]
    pair[1].set_weights(pair[0].get_weights())
    step = tf.function(lambda x: pair[0](x, training=True))
    x = draw(2, 5, 5, 2)
    for _ in range(3):
        graph, eager = step(x), pair[1](x, training=True)
    np.testing.assert_allclose(graph, eager, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pair[0].vector, pair[1].vector, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "kind, shape, method",
    [
        (lambda dtype: K.Conv2D(4, 3, dtype=dtype), (5, 5, 2), "conv"),
        (lambda dtype: K.Conv2D(4, 3, dtype=dtype), (5, 5, 2), "matrix"),
        (lambda dtype: K.SeparableConv2D(4, 3, dtype=dtype), (5, 5, 2), "conv"),
        (lambda dtype: K.Embedding(4, 3, dtype=dtype), (), "conv"),
        (lambda dtype: scaled(K.Conv2D, 4, 3, dtype=dtype), [(5, 5, 2), ()], "conv"),
        (
            lambda dtype: ConditionalDense(4, CLASSES, dtype=dtype),
            [(5,), ()],
            "matrix",
        ),
    ],
)
def test_sigma_is_float32_under_mixed_precision(policy, kind, shape, method):
    full = normalised(lambda: kind(None), shape, method)
    layer = normalised(lambda: kind(policy), shape, method)
    layer.set_weights(full.get_weights())
    full(feed(2, shape), training=True)
    y = layer(feed(2, shape), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert {w.dtype for w in layer.weights} == {"float32"}
    assert keras.backend.standardize_dtype(layer.sigma().dtype) == "float32"
    # A sigma in bfloat16 would be off by 4e-3.
    np.testing.assert_allclose(layer.sigma(), full.sigma(), rtol=1e-5)


@FEW
def test_a_kernel_of_zeros_stays_zero(make, shape, method):
    layer = normalised(make, shape, method, trainable_gain=True)
    for weight in trained(layer):
        if weight.name != "scale":
            weight.assign(np.zeros(weight.shape, "float32"))
    with tf.GradientTape() as tape:
        y = layer(feed(2, shape), training=True)
        loss = ops.sum(y * draw(*y.shape, seed=1))
    np.testing.assert_array_equal(y, np.broadcast_to(bias_of(layer), y.shape))
    assert not np.any(layer.sigma())
    assert np.isfinite(layer.vector.numpy()).all()
    for slope in tape.gradient(loss, layer.trainable_variables):
        assert np.isfinite(slope).all()


def test_a_class_of_zeros_leaves_the_others_as_they_are():
    layer = normalised(lambda: scaled(K.Dense, 4), [(5,), ()])
    inputs = feed(CLASSES, [(5,), ()])
    before = layer(inputs).numpy()
    scale = layer.layer.scale.numpy()
    scale[1] = -1
    layer.layer.scale.assign(scale)
    with tf.GradientTape() as tape:
        y = layer(inputs, training=False)
        loss = ops.sum(y)
    np.testing.assert_array_equal(y[1], bias_of(layer))
    np.testing.assert_allclose(y[::2], before[::2], rtol=1e-5, atol=1e-6)
    for slope in tape.gradient(loss, layer.trainable_variables):
        assert np.isfinite(slope).all()


def test_a_trained_gain_starts_at_its_number_and_has_a_gradient():
    layer = normalised(lambda: K.Dense(3, use_bias=False), (5,), trainable_gain=True)
    other = normalised(
        lambda: K.Dense(3, use_bias=False), (5,), gain=2.5, trainable_gain=True
    )
    assert float(layer.trained_gain) == 1 and float(other.trained_gain) == 2.5
    assert len(other.trainable_variables) == 2
    x = draw(4, 5)
    with tf.GradientTape() as tape:
        loss = ops.sum(ops.square(other(x)))
    # L is quadratic in the gain: dL/dC = 2 L / C
    slope = tape.gradient(loss, other.trained_gain.value)
    assert float(slope) == pytest.approx(2 * float(loss) / 2.5, rel=1e-5)
    before = other(x)
    other.trained_gain.assign(5.0)
    np.testing.assert_allclose(other(x), 2 * before, rtol=1e-6)


def test_activity_regularizers_are_kept():
    layer = layers.SNDense(3, activity_regularizer=keras.regularizers.L2(0.5))
    x = draw(4, 5)
    y = layer(x)
    assert [float(loss) for loss in layer.losses] == pytest.approx(
        [0.5 * float(ops.sum(ops.square(y))) / 4], rel=1e-5
    )


# ---- save and load


SPELLED = [
    (lambda: layers.SNDense(5, gain=1.5, trainable_gain=True), (4,)),
    (
        lambda: layers.SNConv2D(3, 3, strides=2, padding="same", method="matrix"),
        (5, 5, 2),
    ),
    (lambda: layers.SNConv2DTranspose(3, 4, strides=2, use_bias=False), (3, 3, 2)),
    (
        lambda: SpectralNormalization(layers.PaddedConv2D(3, 3, 1), iterations=2),
        (5, 4, 2),
    ),
    (lambda: SpectralNormalization(layers.CroppedConv2DTranspose(3, 4, 1)), (3, 3, 2)),
    (lambda: layers.PaddedConv2D(3, 3, 2, strides=2, activation="relu"), (5, 4, 2)),
    (lambda: layers.CroppedConv2DTranspose(3, 4, 1, strides=2), (3, 3, 2)),
    (lambda: layers.PixelNormalization(1e-4), (3, 3, 2)),
    (lambda: layers.GlobalSumPooling2D(), (3, 3, 2)),
    (lambda: layers.ConcatenatedReLU(), (3, 3, 2)),
    (lambda: layers.DepthToSpace(2), (3, 3, 8)),
    (lambda: layers.SpaceToDepth(3), (6, 3, 2)),
    (lambda: layers.SNConv2D(4, 3, groups=2, iterations=2), (5, 4, 2)),
    (lambda: layers.SNDepthwiseConv2D(3, 2, depth_multiplier=2), (5, 4, 3)),
    (lambda: layers.SNSeparableConv2D(4, 3, gain=1.2, trainable_gain=True), (5, 4, 3)),
    (lambda: layers.SNEmbedding(CLASSES, 4, gain=1.2), ()),
    (
        lambda: SpectralNormalization(scaled(K.Conv2D, 4, 3), gain=1.2),
        [(5, 4, 2), ()],
    ),
    (
        lambda: SpectralNormalization(ConditionalDense(4, CLASSES), "matrix"),
        [(5,), ()],
    ),
    (lambda: layers.Labels(CLASSES), ()),
    (
        lambda: layers.ConditionalBatchNormalization(
            CLASSES, 0.9, 0.01, gamma_initializer="random_normal"
        ),
        [(5, 4, 2), ()],
    ),
    (lambda: layers.ConditionalBatchNormalization(CLASSES), [(3,), ()]),
    (lambda: layers.ConditionalBias(CLASSES), [(5, 4, 2), ()]),
    (lambda: scaled(layers.CroppedConv2DTranspose, 3, 4, 1), [(3, 3, 2), ()]),
    (
        lambda: layers.ConditionalKernel(
            K.Dense(4, use_bias=False), CLASSES, use_bias=False
        ),
        [(3, 2), ()],
    ),
    (lambda: ConditionalDense(4, CLASSES, False, "he_normal"), [(5,), ()]),
    (lambda: layers.Attention2D("distance"), [(3, 4, 2), (2, 3, 2), (2, 3, 5)]),
    (lambda: layers.Gate(), (3, 3, 2)),
    (lambda: layers.Dropout(0.4), (3, 3, 2)),
    (lambda: layers.GaussianNoise(0.4, seed=3), (3, 3, 2)),
    (lambda: layers.MinibatchStandardDeviation(2), (3, 3, 2)),
    (lambda: layers.MinibatchStandardDeviation(), (6,)),
]
SPELLED = pytest.mark.parametrize("make, shape", SPELLED)


@SPELLED
def test_gradients_reach_every_weight(make, shape):
    layer = make()
    inputs = feed(2 * CLASSES, shape)
    layer(inputs)
    if not layer.trainable_variables:
        return
    with tf.GradientTape() as tape:
        y = layer(inputs, training=True)
        loss = ops.sum(ops.square(y) * draw(*y.shape, seed=9))
        loss += ops.sum(y * draw(*y.shape, seed=8))  # for what starts at 0
    for slope in tape.gradient(loss, layer.trainable_variables):
        assert isinstance(slope, tf.Tensor)  # a sparse one is summed in no fixed order
        assert np.linalg.norm(slope) > 0


@SPELLED
def test_a_graph_of_any_batch_size_is_the_eager_layer(make, shape):
    layer = make()
    layer(feed(2, shape))
    shapes = shape if isinstance(shape, list) else [shape]
    specs = [tf.TensorSpec((None, *s), "float32" if s else "int64") for s in shapes]
    spec = specs if isinstance(shape, list) else specs[0]
    graph = tf.function(lambda inputs: layer(inputs), input_signature=[spec])
    sizes = graph.get_concrete_function().structured_outputs.shape[1:]
    assert tuple(sizes) == tuple(model_of(layer, shape).output_shape[1:])
    for n in (1, 5):
        inputs = feed(n, shape)
        np.testing.assert_allclose(graph(inputs), layer(inputs), rtol=1e-5, atol=1e-6)


@SPELLED
def test_layers_run_in_bfloat16(make, shape):
    inputs = feed(4, shape)
    full = make()
    truth = np.asarray(full(inputs))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = make()
        net = model_of(layer, shape)
        layer.set_weights(full.get_weights())
        y = layer(inputs)
    finally:
        keras.config.set_dtype_policy("float32")
    kind = "int32" if isinstance(layer, layers.Labels) else "bfloat16"
    assert keras.backend.standardize_dtype(y.dtype) == kind
    assert net.output.dtype == kind
    assert {w.dtype for w in layer.weights} <= {"float32"}
    # A few roundings of 2^-9 of numbers as large as the largest.
    bound = 0.02 * np.abs(truth).max() if kind == "bfloat16" else 0
    np.testing.assert_allclose(np.asarray(y, float), truth, rtol=0, atol=bound)


@SPELLED
def test_layers_are_saved_and_loaded_bit_for_bit(make, shape, tmp_path):
    layer = make()
    model = model_of(layer, shape)
    x = feed(2, shape)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [w.path.split("/")[-1] for w in again.weights] == [
        w.path.split("/")[-1] for w in model.weights
    ]
    for one, other in zip(model.weights, again.weights):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model(x), again(x))
    np.testing.assert_array_equal(model(x, training=True), again(x, training=True))
    one, other = layer.get_config(), again.layers[-1].get_config()
    one.pop("layer", None), other.pop("layer", None)  # built ones say so
    assert one == other
    if isinstance(layer, layers.PixelNormalization):
        assert again.layers[-1].epsilon == 1e-4
    assert again.output_shape == model.output_shape
    assert model(x).shape[1:] == model.output_shape[1:]


@FEW
def test_the_layout_of_saved_weights(make, shape, method):
    """Beside those of the layer inside a file has the gain and the vector, no more."""
    layer = normalised(make, shape, method, trainable_gain=True)
    store = {}
    layer.save_own_variables(store)
    assert [np.shape(v) for v in store.values()] == [(), tuple(layer.vector.shape)]


def test_spelled_layers_are_the_wrapped_ones():
    x = draw(2, 6, 5, 3)
    one = layers.SNConv2D(4, 3, strides=2, gain=2.0, name="a")
    other = SpectralNormalization(K.Conv2D(4, 3, strides=2), gain=2.0)
    one(x), other(x)
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(one(x), other(x))
    assert one.name == "a"
    assert one.kernel is one.layer.kernel


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: layers.SNDense(3, method="convolution"),
            "method is 'conv' or 'matrix', not 'convolution'",
        ),
        (
            lambda: layers.SNDense(3, iterations=0),
            "iterations is a whole number from 1, not 0",
        ),
        (
            lambda: layers.SNDense(3, iterations=1.5),
            "iterations is a whole number from 1, not 1.5",
        ),
        (lambda: layers.SNDense(3, gain=0), "gain is a number above 0, not 0"),
        (
            lambda: layers.SNDense(3, gain=float("nan")),
            "gain is a number above 0, not nan",
        ),
        (
            lambda: SpectralNormalization(K.Conv1D(4, 3))(draw(1, 5, 3)),
            "method='conv' knows Dense, Embedding, Conv2D, Conv2DTranspose, "
            "DepthwiseConv2D, SeparableConv2D, ConditionalKernel, ConditionalDense, "
            "not Conv1D; method='matrix' takes other layers with a dense or "
            "convolution kernel",
        ),
        (
            lambda: SpectralNormalization(K.Flatten(), "matrix")(draw(1, 5, 5, 3)),
            "method='matrix' takes a layer with a kernel, not Flatten",
        ),
        (
            lambda: layers.SNDepthwiseConv2D(3, data_format="channels_first")(
                draw(1, 3, 5, 5)
            ),
            "gantf's images are (n, h, w, c): use data_format='channels_last'",
        ),
        (
            lambda: layers.Attention2D("cosine"),
            "logits is 'dot' or 'distance', not 'cosine'",
        ),
        (
            lambda: layers.MinibatchStandardDeviation(0),
            "group is a whole number from 1, not 0",
        ),
        (
            lambda: layers.SNConv2D(6, 3, data_format="channels_first")(
                draw(1, 3, 5, 5)
            ),
            "gantf's images are (n, h, w, c): use data_format='channels_last'",
        ),
        (
            lambda: layers.SNConv2D(6, 3, name="c")(keras.Input((None, None, 3))),
            "method='conv' of conv2d needs the size of its input, not "
            "(None, None, 3): give Input((height, width, channels)), or use "
            "method='matrix'",
        ),
    ],
)
def test_messages(call, message):
    keras.utils.clear_session()  # names start again at "conv2d"
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_matrix_needs_no_size_and_takes_groups():
    layer = layers.SNConv2D(6, 3, method="matrix", groups=3)
    assert layer(keras.Input((None, None, 3))).shape == (None, None, None, 6)


# ---- shared kernels


def counted(monkeypatch):
    """The layers whose sigma was computed, a name for each time."""
    made, usual = [], SpectralNormalization._factor

    def factor(layer, values):
        made.append(layer.name)
        return usual(layer, values)

    monkeypatch.setattr(SpectralNormalization, "_factor", factor)
    return made


def test_calls_share_the_newest_kernel(monkeypatch):
    layer = normalised(lambda: K.Dense(7, use_bias=False), (4,))
    x, made = draw(3, 4), counted(monkeypatch)

    def truth():
        """x W / |v W|, of the vector as it is."""
        w, v = layer.kernel.numpy().astype(float), layer.vector.numpy().astype(float)
        return x @ w / np.linalg.norm(v @ w)

    with shared_kernels():
        for training in (True, False, True):  # an iteration makes it anew
            y = layer(x, training=training)
            np.testing.assert_allclose(y, truth(), rtol=1e-5, atol=1e-6)
            with spectral_updates(False):
                np.testing.assert_array_equal(layer(x, training=True), y)
            np.testing.assert_array_equal(layer(x), y)
        assert len(made) == 2
    layer.kernel.assign(2 + layer.kernel)
    np.testing.assert_allclose(layer(x), truth(), rtol=1e-5, atol=1e-6)
    with shared_kernels():
        np.testing.assert_allclose(layer(x), truth(), rtol=1e-5, atol=1e-6)


def test_each_layer_has_its_own_shared_kernel():
    pair = [normalised(lambda: K.Dense(6), (6,)) for _ in range(2)]
    x = draw(2, 6)
    apart = [layer(x) for layer in pair]
    with shared_kernels():
        for layer, y in zip(pair * 2, apart * 2):
            np.testing.assert_array_equal(layer(x), y)


def test_kernels_are_shared_in_the_innermost_scope_of_a_thread(monkeypatch):
    layer = normalised(lambda: K.Dense(6), (6,))
    x, made = draw(2, 6), counted(monkeypatch)

    def fresh():
        before = len(made)
        layer(x)
        return len(made) > before

    assert fresh() and fresh()
    with shared_kernels():
        assert fresh() and not fresh()
        with shared_kernels():
            assert fresh() and not fresh()
        assert not fresh()
        with ThreadPoolExecutor(1) as other:
            assert other.submit(fresh).result() and other.submit(fresh).result()
        with pytest.raises(KeyError), shared_kernels():
            raise KeyError
        assert not fresh()
    assert fresh() and fresh()


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: K.Conv2D(4, 3, strides=2), (5, 6, 2)),
        (lambda: K.SeparableConv2D(4, 3), (5, 6, 2)),
        (lambda: scaled(K.Dense, 4), [(5,), ()]),
    ],
)
def test_shared_kernels_have_the_same_gradients(monkeypatch, make, shape):
    """Of four calls on two batches."""
    layer = normalised(make, shape, trainable_gain=True)
    made = counted(monkeypatch)
    wrt = [weight.value for weight in layer.trainable_variables]

    def gradients(scope):
        with scope, tf.GradientTape() as tape:
            real, fake = (feed(n, shape, seed=n) for n in (2, 3))
            loss = sum(
                ops.sum(ops.tanh(layer(inputs)) * draw(*layer(inputs).shape))
                for inputs in (real, fake)
            )
        return tape.gradient(loss, wrt)

    alone = gradients(contextlib.nullcontext())
    assert len(made) == 4
    together = gradients(shared_kernels())
    assert len(made) == 5
    for ours, truth in zip(together, alone, strict=True):
        ours, truth = tf.convert_to_tensor(ours), tf.convert_to_tensor(truth)
        # Rounding of sums in another order.
        bound = 1e-5 * np.abs(truth).max()
        np.testing.assert_allclose(ours, truth, rtol=0, atol=bound)


@pytest.mark.parametrize(
    "step, given, graph",
    [
        ("train_step", {}, True),
        ("train_step", {"penalties": ["gp"], "scaling": "smmd"}, False),
        ("critic_step", {"penalties": ["r1"]}, False),
        ("generator_step", {}, False),
    ],
)
def test_a_step_computes_each_sigma_once(monkeypatch, step, given, graph):
    """And its numbers are those of a step that computes it at each call."""
    nets = {
        "latent": "normal-3",
        "sample": "4x4x1",
        "generator": "dense-4x4x1-sn-tanh",
        "discriminator": "conv4-2-s2-sn-lrelu flatten dense-2-sn",
    }
    update = "simultaneous" if step == "train_step" else "alternating"
    real, made = tf.constant(draw(4, 4, 4, 1)), counted(monkeypatch)

    def after_two():
        """The logs and all weights after two steps, and the sigmas computed."""
        keras.utils.set_random_seed(1)
        pair = gantf.build_pair(nets)
        gan = gantf.GAN(*pair, loss="rep", update=update, **given)
        gan.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
        turns = (0,) if step == "critic_step" else ()

        def one(data):
            return getattr(gan, step)(data, *turns)

        one = tf.function(one) if graph else one
        made.clear()
        logs = [one(real)]
        times = [
            made.count(layer.name)
            for layer in gan.discriminator.layers
            if isinstance(layer, SpectralNormalization)
        ]
        logs += [one(real)]
        return [*logs[0].values(), *logs[1].values(), *gan.get_weights()], times

    together, once = after_two()
    monkeypatch.setattr(gan_module, "shared_kernels", contextlib.nullcontext)
    alone, often = after_two()
    assert once == [1, 1] and min(often) > 1
    for ours, truth in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours, truth, rtol=1e-4, atol=1e-6)


# ---- convolutions


SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))
SMALL = st.tuples(st.integers(1, 4), st.integers(1, 4))
STRIDES = st.tuples(st.integers(1, 3), st.integers(1, 3))
PADS = st.tuples(
    st.tuples(*[st.integers(0, 3)] * 2), st.tuples(*[st.integers(0, 3)] * 2)
)


def grouped_by_2(w, *geometry):
    return grouped_pair(w, 2, *geometry)


PAIRS = {  # operators, the kernel's and the map's channels, brute force
    "conv": (conv_pair, (2, 3), 2, references.conv),
    "grouped": (grouped_by_2, (2, 6), 4, lambda x, w, *g: grouped(x, w, 2, *g)),
    "depthwise": (depthwise_pair, (3, 2), 3, depthwise),
}


@pytest.mark.parametrize("kind", PAIRS)
@settings(max_examples=60)
@given(SIDES, SMALL, PADS, STRIDES, st.integers(1, 2), st.integers(0, 99))
def test_the_adjoint_of_a_convolution(
    kind, sides, kernel, pads, strides, dilation, seed
):
    """<A x, y> = <x, A* y>, and A is the brute-force convolution."""
    pair, channels, inputs, brute = PAIRS[kind]
    if kind == "depthwise":  # TensorFlow's knows no others
        strides = strides[:1] * 2
    dilations = (dilation, dilation) if strides == (1, 1) else (1, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    pads = [  # enough zeros for one pixel of output
        (before, max(after, r - n - before))
        for (before, after), r, n in zip(pads, reach, sides)
    ]
    w = draw(*kernel, *channels, seed=seed)
    forward, adjoint = pair(w, sides, pads, strides, dilations)
    x = draw(1, *sides, inputs, seed=seed + 1)
    ax = np.asarray(forward(x))
    np.testing.assert_allclose(ax, brute(x, w, pads, strides, dilations), atol=1e-4)
    y = draw(*ax.shape, seed=seed + 2)
    ay = np.asarray(adjoint(y))
    assert ay.shape == x.shape
    bound = np.linalg.norm(ax) * np.linalg.norm(y) + 1
    assert abs(np.sum(ax * y) - np.sum(x * ay)) < 1e-5 * bound  # float32


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
def test_same_pads_are_tensorflows(side, kernel, stride, dilation):
    pads = same_pads(side, kernel, stride, dilation)
    assert pads == references.same_pads(side, kernel, stride, dilation)
    reach = (kernel - 1) * dilation + 1
    assert (side + sum(pads) - reach) // stride + 1 >= -(-side // stride)


@pytest.mark.parametrize(
    "kernel, pixels, stride, dilation",
    [
        (3, 1, 1, 1),
        (4, 1, 2, 1),
        (3, 0, 2, 1),
        (2, 2, 3, 1),
        (3, 2, 1, 2),
        ((3, 2), 1, 1, 1),
    ],
)
def test_padded_convolution(kernel, pixels, stride, dilation):
    layer = layers.PaddedConv2D(
        4, kernel, pixels, strides=stride, dilation_rate=dilation
    )
    x = draw(2, 5, 7, 3)
    y = layer(x)
    truth = references.conv(
        x,
        layer.kernel.numpy(),
        [(pixels, pixels)] * 2,
        (stride,) * 2,
        (dilation,) * 2,
    )
    np.testing.assert_allclose(y, truth, atol=1e-5)
    assert layer.compute_output_shape((None, 5, 7, 3)) == (None, *truth.shape[1:])
    assert "padding" not in layer.get_config()


@pytest.mark.parametrize(
    "kernel, pixels, stride",
    [(4, 1, 2), (4, 0, 1), (3, 1, 1), (3, 2, 1), (2, 0, 3), (5, 2, 3), (1, 0, 2)],
)
def test_cropped_transposed_convolution(kernel, pixels, stride):
    layer = layers.CroppedConv2DTranspose(4, kernel, pixels, strides=stride)
    x = draw(2, 4, 5, 3)
    y = layer(x)
    truth = references.conv_transpose(x, layer.kernel.numpy(), (stride, stride))
    h, w = truth.shape[1:3]
    truth = truth[:, pixels : h - pixels, pixels : w - pixels]
    np.testing.assert_allclose(y, truth, atol=1e-5)
    assert layer.compute_output_shape((None, 4, 5, 3)) == (None, *truth.shape[1:])
    # PyTorch's formula for ConvTranspose2d
    assert y.shape[1] == (4 - 1) * stride - 2 * pixels + kernel
    assert "padding" not in layer.get_config()


# ---- layers without weights


def test_pixel_normalization():
    x = np.array([[3.0, 4.0], [0.0, 0.0]], "float32")  # root mean square sqrt(12.5)
    y = layers.PixelNormalization()(x)
    np.testing.assert_allclose(y[0], x[0] / np.sqrt(12.5), rtol=1e-6)
    np.testing.assert_array_equal(y[1], [0, 0])
    y = layers.PixelNormalization(epsilon=12.5)(x)
    np.testing.assert_allclose(y[0], x[0] / 5, rtol=1e-6)
    half = layers.PixelNormalization(dtype="mixed_float16")
    y = half(np.full((1, 4), 300.0, "float32"))  # 300^2 overflows float16
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(y, np.ones((1, 4)), rtol=1e-3)


def test_global_sum_pooling():
    x = draw(2, 3, 4, 5)
    y = layers.GlobalSumPooling2D()(x)
    np.testing.assert_allclose(y, x.sum((1, 2)), rtol=1e-5, atol=1e-6)
    assert layers.GlobalSumPooling2D().compute_output_shape((None, 3, 4, 5)) == (
        None,
        5,
    )


def test_concatenated_relu():
    y = layers.ConcatenatedReLU()(np.array([[1.0, -2.0, 0.0]], "float32"))
    np.testing.assert_array_equal(y, [[1, 0, 0, 0, 2, 0]])
    assert layers.ConcatenatedReLU().compute_output_shape((None, 4, 3)) == (None, 4, 6)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_shuffles_are_tensorflows(factor):
    x = draw(2, 3, 4, 2 * factor**2)
    if factor > 1:  # TensorFlow refuses a factor of 1
        wide = tf.nn.depth_to_space(x, factor)
        np.testing.assert_array_equal(layers.DepthToSpace(factor)(x), wide)
        np.testing.assert_array_equal(
            layers.SpaceToDepth(factor)(wide), tf.nn.space_to_depth(wide, factor)
        )
    wide = layers.DepthToSpace(factor)(x)
    np.testing.assert_array_equal(layers.SpaceToDepth(factor)(wide), x)
    shape = layers.DepthToSpace(factor).compute_output_shape(x.shape)
    assert shape == tuple(wide.shape)
    assert layers.SpaceToDepth(factor).compute_output_shape(shape) == x.shape


# ---- statistics of a batch


def deviations(x, group):
    """Karras et al. (2018), section 3: a number for each sample."""
    rows = np.asarray(x, float).reshape(len(x), -1)
    numbers = []
    for start in range(0, len(rows), group):
        members = rows[start : start + group]
        spread = np.sqrt(members.var(axis=0) + 1e-8).mean()
        numbers += [spread] * len(members)
    return np.array(numbers)


@pytest.mark.parametrize("n", [1, 3, 4, 8, 10])
@pytest.mark.parametrize("shape", [(3, 2, 5), (7,)])
def test_minibatch_standard_deviation(n, shape):
    x = 1000 + draw(n, *shape)  # the mean of the squares would lose the digits
    layer = layers.MinibatchStandardDeviation(4)
    y = np.asarray(layer(x))
    np.testing.assert_array_equal(y[..., :-1], x)
    truth = deviations(x, 4).reshape(-1, *[1] * (len(shape) - 1))
    truth = np.broadcast_to(truth, y[..., -1].shape)
    np.testing.assert_allclose(y[..., -1], truth, rtol=1e-6)  # float32
    if n == 8:  # two devices with half each
        parts = [layer(x[:4]), layer(x[4:])]
        np.testing.assert_array_equal(np.concatenate(parts), y)


def test_the_deviation_of_equal_samples_has_a_gradient():
    x = tf.ones((4, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layers.MinibatchStandardDeviation()(x)
    np.testing.assert_allclose(y[:, -1], 1e-4, rtol=1e-5)
    assert np.isfinite(tape.gradient(y, x)).all()


# ---- attention


ATTENTION_LOGITS = {
    "dot": lambda q, k: q @ k,
    "distance": lambda q, k: -np.sum((q - k) ** 2) / len(q),
}


@pytest.mark.parametrize("logits", ATTENTION_LOGITS)
def test_attention(logits):
    inputs = feed(2, [(3, 4, 5), (2, 3, 5), (2, 3, 4)])
    y = layers.Attention2D(logits)(inputs)
    queries, keys, values = (x.astype(float) for x in inputs)
    truth = np.zeros((2, 3, 4, 4))
    for n, i, j in np.ndindex(2, 3, 4):
        pixels = list(np.ndindex(2, 3))
        of_keys = [
            ATTENTION_LOGITS[logits](queries[n, i, j], keys[n][p]) for p in pixels
        ]
        weights = np.exp(of_keys) / np.sum(np.exp(of_keys))
        truth[n, i, j] = sum(w * values[n][p] for w, p in zip(weights, pixels))
    np.testing.assert_allclose(y, truth, rtol=1e-4, atol=1e-5)


def test_attention_is_exact_where_half_precision_is_not():
    """One key has a logit larger by 1; at 1000 a bfloat16 logit is off by up to 4."""
    one = np.ones((1, 1, 1, 1), "float32")
    keys = np.array([1000.0, 1001.0], "float32").reshape(1, 1, 2, 1)
    values = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    y = layers.Attention2D()([one, keys, values])
    assert float(y[0, 0, 0, 0]) == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-6)
    queries = np.array([[16.0, 8.0]], "float32").reshape(1, 1, 1, 2)
    keys = np.array([[16.0, 8.0], [16.0, 8.0625]], "float32").reshape(1, 1, 2, 2)
    y = layers.Attention2D(dtype="mixed_bfloat16")([queries, keys, values])
    # logits 320 and 320.5, which bfloat16 cannot tell apart
    assert float(y[0, 0, 0, 0]) == pytest.approx(1 / (1 + np.exp(-0.5)), rel=4e-3)


def test_a_gate_is_shut_at_first():
    x = draw(2, 3, 3, 2)
    gate = layers.Gate()
    np.testing.assert_array_equal(gate(x), np.zeros_like(x))
    assert [w.name for w in gate.weights] == ["gate"] and gate.gate.shape == ()
    gate.gate.assign(-0.5)
    np.testing.assert_array_equal(gate(x), -0.5 * x)
