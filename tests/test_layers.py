"""Layers against explicit operators, brute force and finite differences."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from gantf import layers
from gantf.layers import SpectralNormalization, spectral_updates
from gantf.layers.convolution import conv_pair, same_pads

K = keras.layers
ENOUGH = 300  # power iterations after which these small maps have converged


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


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
]
NAMES = [name for name, *_ in CASES]
KINDS = pytest.mark.parametrize("_, make, shape", CASES, ids=NAMES)
METHODS = pytest.mark.parametrize("method", ["conv", "matrix"])
FEW = pytest.mark.parametrize(
    "_, make, shape",
    [
        CASES[NAMES.index(name)]
        for name in [
            "dense, narrower",
            "dense, wider",
            "conv, stride 2",
            "padded, stride 2",
            "tconv, stride 2",
            "cropped",
        ]
    ],
)


def normalised(make, shape, *args, **kwargs):
    layer = SpectralNormalization(make(), *args, **kwargs)
    layer.build((None, *shape))
    if layer.layer.bias is not None:
        layer.layer.bias.assign(draw(*layer.layer.bias.shape))
    return layer


def converged(make, shape, *args, **kwargs):
    layer = normalised(make, shape, *args, iterations=ENOUGH, **kwargs)
    layer(draw(2, *shape), training=True)
    return layer


def operator_of(layer, shape):
    """The matrix of a Keras layer without its bias."""
    zero = np.asarray(layer(np.zeros((1, *shape), "float32")))
    return references.matrix_of(lambda x: np.asarray(layer(x)) - zero, shape)


# ---- sigma


def check_sigma(layer, matrix, shape):
    """Against the SVD of the (outputs, inputs) matrix.

    The iteration starts 0.1 beside the singular vector. The share of the others is
    then 0.01, and k = 40 iterations leave sigma too low by 0.005 (1 - r^2) r^(4 k) at
    most, r being the ratio of two singular values: less than 2e-5 for every r. A wrong
    adjoint has another fixed point and moves away.
    """
    left, values, right = np.linalg.svd(matrix)
    narrow = matrix.shape[1] <= matrix.shape[0]
    top = (right[0] if narrow else left[:, 0]).ravel()
    other = np.random.default_rng(1).normal(size=top.size)
    start = top + 0.1 * other / np.linalg.norm(other)
    start = (start / np.linalg.norm(start)).reshape(layer.vector.shape)
    layer.vector.assign(start.astype("float32"))
    layer.iterations = 40
    layer(draw(1, *shape), training=True)
    assert float(layer.sigma()) == pytest.approx(values[0], rel=1e-4)


@KINDS
def test_sigma_is_the_norm_of_the_operator(_, make, shape):
    layer = normalised(make, shape)
    one = shape[-1:] if isinstance(layer.layer, K.Dense) else shape
    check_sigma(layer, operator_of(layer.layer, one), shape)


@KINDS
def test_matrix_sigma_is_the_norm_of_the_reshaped_kernel(_, make, shape):
    layer = normalised(make, shape, "matrix")
    kernel = layer.kernel.numpy()
    if isinstance(layer.layer, K.Conv2DTranspose):  # (kh, kw, outputs, inputs)
        kernel = np.moveaxis(kernel, 2, 3)
    check_sigma(layer, kernel.reshape(-1, kernel.shape[-1]).T, shape)


@pytest.mark.parametrize("kind", [K.Conv1D, K.Conv1DTranspose])
def test_matrix_takes_other_convolutions(kind):
    layer = SpectralNormalization(kind(4, 3), "matrix", iterations=ENOUGH)
    layer(draw(2, 7, 5), training=True)
    kernel = layer.kernel.numpy()  # (3, 5, 4), transposed (3, 4, 5)
    outputs = 2 if kind is K.Conv1D else 1
    flat = np.moveaxis(kernel, outputs, -1).reshape(-1, 4)
    truth = np.linalg.norm(flat, 2)
    assert float(layer.sigma()) == pytest.approx(truth, rel=1e-5)


def test_error_kernels_that_are_no_one_operator():
    with pytest.raises(ValueError) as caught:
        SpectralNormalization(K.DepthwiseConv2D(3), "matrix")(draw(2, 5, 5, 3))
    assert str(caught.value) == "DepthwiseConv2D has no kernel that is one matrix"
    with pytest.raises(ValueError) as caught:
        layers.SNConv2DTranspose(3, 4, strides=2, output_padding=0)(draw(1, 3, 4, 2))
    assert str(caught.value) == (
        "method='conv' knows no output_padding; use method='matrix'"
    )


@pytest.mark.parametrize("scale", [1e-18, 1e-13, 1e10, 1e18])
def test_kernels_of_any_scale_are_normalised(scale):
    layer = layers.SNDense(4, iterations=ENOUGH)
    x = draw(2, 3)
    layer(x)
    kernel = np.random.RandomState(0).randn(3, 4).astype("float32")
    layer.layer.kernel.assign(kernel * np.float32(scale))
    layer(x, training=True)
    unit = kernel / np.linalg.norm(kernel, 2)
    np.testing.assert_allclose(layer(x), np.asarray(x) @ unit, rtol=1e-4, atol=1e-5)


def test_a_frozen_layer_stays_frozen_when_cloned():
    layer = layers.SNConv2D(4, 3, trainable_gain=True)
    net = keras.Sequential([keras.Input((5, 5, 2)), layer])
    layer.trainable = False
    assert not keras.models.clone_model(net).trainable_variables


def test_dropout_goes_on_with_its_masks_after_loading(tmp_path):
    net = keras.Sequential([keras.Input((50,)), layers.Dropout(0.5)])
    x = np.ones((4, 50), "float32")
    net(x, training=True)
    net.save(tmp_path / "net.keras")
    net.save_weights(tmp_path / "net.weights.h5")
    expected = net(x, training=True)
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x, training=True), expected)
    net.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(net(x, training=True), expected)


def test_the_two_methods_differ_for_convolutions_only():
    # Wang et al.'s reference, 8x8 maps, 3x3 kernels, 16 -> 16: about 1.54 times
    def make():
        return K.Conv2D(16, 3, padding="same", kernel_initializer="random_normal")

    pair = [converged(make, (8, 8, 16), method) for method in ("conv", "matrix")]
    pair[1].layer.set_weights(pair[0].layer.get_weights())
    pair[1](draw(2, 8, 8, 16), training=True)
    ratio = float(pair[0].sigma() / pair[1].sigma())
    assert ratio == pytest.approx(1.54, rel=0.1)  # over draws of the kernel


@FEW
@METHODS
def test_the_output_is_that_of_the_normalised_kernel(_, make, shape, method):
    layer = normalised(make, shape, method, gain=1.7)
    x = draw(3, *shape)
    plain = make()
    plain.build((None, *shape))
    weights = [1.7 * layer.kernel / layer.sigma(), layer.layer.bias]
    plain.set_weights([np.asarray(w) for w in weights])
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-4, atol=1e-5)


def test_a_converged_layer_is_lipschitz_with_its_gain():
    layer = converged(lambda: K.Conv2D(4, 3, padding="same"), (5, 6, 2), gain=2.5)
    norm = np.linalg.norm(operator_of(layer, (5, 6, 2)), 2)
    assert norm == pytest.approx(2.5, rel=1e-3)


def test_sigma_follows_set_weights():
    layer = converged(lambda: K.Conv2D(4, 3), (5, 5, 2))
    layer.layer.set_weights([draw(3, 3, 2, 4, seed=5), np.zeros(4, "float32")])
    layer(draw(1, 5, 5, 2), training=True)
    truth = np.linalg.norm(operator_of(layer.layer, (5, 5, 2)), 2)
    assert float(layer.sigma()) == pytest.approx(truth, rel=2e-4)


# ---- gradients


@FEW
@METHODS
def test_the_gradient_of_any_loss_is_orthogonal_to_the_kernel(_, make, shape, method):
    """The output does not depend on the scale of W, so <dL/dW, W> = 0 (Euler)."""
    layer = normalised(make, shape, method)
    x = draw(3, *shape)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        loss = ops.sum(ops.square(y) * draw(*y.shape, seed=1))
    slope = tape.gradient(loss, layer.kernel.value).numpy().ravel()
    w = layer.kernel.numpy().ravel()
    # float32 sums: 1e-7 times the number of terms
    assert abs(slope @ w) < 1e-5 * np.linalg.norm(slope) * np.linalg.norm(w)
    assert np.linalg.norm(slope) > 1e-3


FORWARDS = {  # float64 NumPy: (x, kernel) -> the map without bias
    "dense": (lambda: K.Dense(4), (5,), lambda x, w: x @ w),
    "conv": (
        lambda: K.Conv2D(3, 3, 2, padding="same"),
        (4, 5, 2),
        lambda x, w: references.conv(
            x, w, [references.same_pads(n, 3, 2) for n in (4, 5)], (2, 2)
        ),
    ),
    "tconv": (
        lambda: layers.CroppedConv2DTranspose(2, 4, 1, strides=2),
        (2, 3, 3),
        lambda x, w: references.conv_transpose(x, w, (2, 2))[:, 1:-1, 1:-1],
    ),
}


@pytest.mark.parametrize("kind", FORWARDS)
def test_the_gradient_agrees_with_finite_differences(kind):
    """Against float64: y = C A(W) x / |A(W) v|, with v held."""
    make, shape, forward = FORWARDS[kind]
    layer = normalised(make, shape, gain=1.5)
    x = draw(2, *shape)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        weights = draw(*y.shape, seed=1)
        loss = ops.sum(y * weights)
    slope = tape.gradient(loss, layer.kernel.value).numpy()
    v = layer.vector.numpy()
    swapped = v.shape[1:] != shape  # v is on the smaller side of the map

    def sigma(w):
        if not swapped:
            return np.linalg.norm(forward(v, w))
        matrix = forward(np.eye(np.prod(shape)).reshape(-1, *shape), w)
        return np.linalg.norm(matrix.reshape(len(matrix), -1) @ v.ravel())

    def in_float64(w):
        return np.sum((1.5 * forward(x, w) / sigma(w) + bias) * weights)

    bias = layer.layer.bias.numpy()
    kernel = layer.kernel.numpy()
    assert float(loss) == pytest.approx(in_float64(kernel), rel=1e-4)
    truth = references.numerical_gradient(in_float64, kernel)
    np.testing.assert_allclose(slope, truth, atol=1e-4 * np.abs(truth).max())


# ---- the state


def test_the_vector_starts_with_unit_norm():
    for _, make, shape in CASES[:12]:
        vector = normalised(make, shape).vector.numpy()
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
@METHODS
def test_sigma_is_float32_under_mixed_precision(policy, method):
    full = normalised(lambda: K.Conv2D(4, 3), (5, 5, 2), method)
    layer = normalised(lambda: K.Conv2D(4, 3, dtype=policy), (5, 5, 2), method)
    layer.set_weights(full.get_weights())
    full(draw(2, 5, 5, 2), training=True)
    y = layer(draw(2, 5, 5, 2), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert {w.dtype for w in layer.weights} == {"float32"}
    assert keras.backend.standardize_dtype(layer.sigma().dtype) == "float32"
    # A sigma in bfloat16 would be off by 4e-3.
    assert float(layer.sigma()) == pytest.approx(float(full.sigma()), rel=1e-5)


@FEW
@METHODS
def test_a_kernel_of_zeros_stays_zero(_, make, shape, method):
    layer = normalised(make, shape, method, trainable_gain=True)
    layer.kernel.assign(np.zeros(layer.kernel.shape, "float32"))
    with tf.GradientTape() as tape:
        y = layer(draw(2, *shape), training=True)
        loss = ops.sum(y * draw(*y.shape, seed=1))
    bias = np.broadcast_to(layer.layer.bias.numpy(), y.shape)
    np.testing.assert_array_equal(y, bias)
    assert float(layer.sigma()) == 0
    assert np.isfinite(layer.vector.numpy()).all()
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
]


@pytest.mark.parametrize("make, shape", SPELLED)
def test_layers_are_saved_and_loaded_bit_for_bit(make, shape, tmp_path):
    layer = make()
    model = keras.Sequential([keras.Input(shape), layer])
    x = draw(2, *shape)
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
            lambda: SpectralNormalization(K.SeparableConv2D(4, 3))(draw(1, 5, 5, 3)),
            "method='conv' knows Dense, Conv2D, Conv2DTranspose, not SeparableConv2D; "
            "method='matrix' takes other layers with a dense or convolution kernel",
        ),
        (
            lambda: SpectralNormalization(K.Flatten(), "matrix")(draw(1, 5, 5, 3)),
            "method='matrix' takes a layer with a kernel, not Flatten",
        ),
        (
            lambda: layers.SNConv2D(6, 3, groups=3)(draw(1, 5, 5, 3)),
            "method='conv' knows no groups; use method='matrix'",
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


# ---- convolutions


SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))
SMALL = st.tuples(st.integers(1, 4), st.integers(1, 4))
STRIDES = st.tuples(st.integers(1, 3), st.integers(1, 3))
PADS = st.tuples(
    st.tuples(*[st.integers(0, 3)] * 2), st.tuples(*[st.integers(0, 3)] * 2)
)


@settings(max_examples=60)
@given(SIDES, SMALL, PADS, STRIDES, st.integers(1, 2), st.integers(0, 99))
def test_the_adjoint_of_a_convolution(sides, kernel, pads, strides, dilation, seed):
    """<A x, y> = <x, A* y>, and A is the brute-force convolution."""
    dilations = (dilation, dilation) if strides == (1, 1) else (1, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    pads = [  # enough zeros for one pixel of output
        (before, max(after, r - n - before))
        for (before, after), r, n in zip(pads, reach, sides)
    ]
    w = draw(*kernel, 2, 3, seed=seed)
    forward, adjoint = conv_pair(w, sides, pads, strides, dilations)
    x = draw(1, *sides, 2, seed=seed + 1)
    ax = np.asarray(forward(x))
    np.testing.assert_allclose(
        ax, references.conv(x, w, pads, strides, dilations), atol=1e-4
    )
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
