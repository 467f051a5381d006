"""What is built of words: generic checks over the one list of all words."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import ops

import architectures
from gantf import build, build_pair, shapes, spec
from gantf.spec import SpecError

ALL = pytest.mark.parametrize("words, shape", zoo.WORDS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture
def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@ALL
def test_shapes_and_numbers_are_those_of_the_arithmetic(words, shape):
    model = build(words, shape)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, *shapes.out_shape(words, shape))
    for n in (1, 3):  # the batch is free
        assert model(draw(n, *shape)).shape == (n, *shapes.out_shape(words, shape))
    count = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert count == shapes.params(words, shape)


@ALL
def test_the_gradient_reaches_every_weight(words, shape):
    model = build(words, shape)
    with tf.GradientTape() as tape:
        y = model(draw(8, *shape), training=True)
        loss = ops.sum(y * draw(*y.shape, seed=1))
    for weight, slope in zip(
        model.trainable_weights, tape.gradient(loss, model.trainable_weights)
    ):
        assert slope is not None, weight.path
        assert np.isfinite(slope).all(), weight.path
        assert np.abs(slope).max() > 1e-4, weight.path


@ALL
def test_models_are_saved_and_loaded_bit_for_bit(words, shape, tmp_path):
    model = build(words, shape)
    x = draw(4, *shape)
    model(x, training=True)
    model.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    for one, other in zip(model.weights, again.weights):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model(x), again(x))


def test_pairs_end_in_float32(bfloat16):
    generator, discriminator = build_pair(architectures.get("dcgan-sn-28"))
    for net in (generator, discriminator):
        kinds = [layer.compute_dtype for layer in net.layers if layer.weights]
        assert kinds[0] == "bfloat16" and kinds[-1] == "float32"
        assert net.outputs[0].dtype == "float32"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


@ALL
def test_nets_run_in_bfloat16(words, shape, bfloat16):
    model = build(words, shape)
    y = model(draw(4, *shape), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert np.isfinite(np.asarray(ops.cast(y, "float32"))).all()
    assert {w.dtype for w in model.weights} <= {"float32", "uint32", "int64"}


# ---- single words against what they say, in NumPy

X = np.array([[-2.0, -0.5, 0.0, 0.5, 3.0]], "float32")
ERF = np.array([-0.95449974, -0.38292492, 0, 0.38292492, 0.9973002])  # erf(x / sqrt 2)
SIGMOID = 1 / (1 + np.exp(-X))
ACTS = {
    "relu": [[0, 0, 0, 0.5, 3]],
    "lrelu": [[-0.2, -0.05, 0, 0.5, 3]],
    "lrelu0.25": [[-0.5, -0.125, 0, 0.5, 3]],
    "elu": np.where(X > 0, X, np.exp(X) - 1),
    # Klambauer et al. (2017): lambda 1.0507, alpha 1.6733
    "selu": 1.05070098 * np.where(X > 0, X, 1.67326324 * (np.exp(X) - 1)),
    "gelu": X * (1 + ERF) / 2,
    "silu": X * SIGMOID,
    "crelu": [[0, 0, 0, 0.5, 3, 2, 0.5, 0, 0, 0]],
    "softplus": np.log1p(np.exp(X)),
    "softsign": X / (1 + np.abs(X)),
    "sigmoid": SIGMOID,
    "tanh": np.tanh(X),
}


@pytest.mark.parametrize("words", ACTS)
def test_activations_are_what_their_help_says(words):
    truth = np.asarray(ACTS[words])
    np.testing.assert_allclose(build(words, (5,))(X), truth, atol=2e-6)


def test_every_activation_is_tested():
    acts = {name for name, word in spec.WORDS.items() if word.field == "act"}
    assert acts == set(ACTS) - {"lrelu0.25"}


def standardised(x, axes, epsilon):
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def test_norms_are_what_their_help_says():
    x = draw(4, 5, 6, 8)
    grouped = x.reshape(4, 5, 6, 2, 4)
    truths = {
        "bn": standardised(x, (0, 1, 2), 1e-3),
        "ln": standardised(x, (1, 2, 3), 1e-5),
        "in": standardised(x, (1, 2), 1e-5),
        "gn2": standardised(grouped, (1, 2, 4), 1e-5).reshape(x.shape),
        "pn": x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-8),
    }
    for words, truth in truths.items():
        y = build(words, (5, 6, 8))(x, training=True)
        np.testing.assert_allclose(y, truth, atol=1e-4, err_msg=words)


def test_resizing_is_what_its_help_says():
    x = draw(2, 4, 6, 3)
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    truths = {
        "up2": x.repeat(2, 1).repeat(2, 2),
        "avg2": blocks.mean((2, 4)),
        "max2": blocks.max((2, 4)),
        "gsum": x.sum((1, 2)),
        "gmean": x.mean((1, 2)),
        "flatten": x.reshape(2, -1),
        "reshape-6x4x3": x.reshape(2, 6, 4, 3),
        "sd2": tf.nn.space_to_depth(x, 2),
        "upb2": tf.image.resize(x, (8, 12), "bilinear"),
        "upc2": tf.image.resize(x, (8, 12), "bicubic"),
    }
    for words, truth in truths.items():
        y = build(words, (4, 6, 3))(x)
        np.testing.assert_allclose(y, truth, rtol=1e-5, atol=1e-6, err_msg=words)


def test_dropout_drops_in_training_only():
    x = np.ones((1, 100, 100, 1), "float32")
    model = build("drop0.25", (100, 100, 1))
    np.testing.assert_array_equal(model(x), x)
    y = np.asarray(model(x, training=True))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    # 10,000 draws: 6 sd of the share are 0.026, a false alarm in 5e8 seeds
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.026)


def test_the_order_is_kernel_norm_activation():
    model = build("dense-3-sn2-bn-relu", (4,))
    assert [layer.name for layer in model.layers[1:]] == [
        "01_dense",
        "01_dense_bn",
        "01_dense_relu",
    ]
    assert model.layers[1].gain == 2.0
    y = model(draw(64, 4), training=True)
    assert float(ops.min(y)) == 0
    # half of a standard normal's second moment, before the relu's cut
    assert 0.2 < float(ops.mean(ops.square(y))) < 0.8


def test_a_fold_stands_before_the_norm():
    model = build("dense-2x2x3-bn", (4,))
    assert [type(layer).__name__ for layer in model.layers[1:]] == [
        "Dense",
        "Reshape",
        "BatchNormalization",
    ]
    assert model.layers[-1].gamma.shape == (3,)
    flat = build("dense-12-bn reshape-2x2x3", (4,))
    assert flat.layers[2].gamma.shape == (12,)


def test_words_reach_their_layers():
    layer = build("conv3-4-s2-p1-snm1.5-gain", (5, 5, 2)).layers[1]
    assert (layer.method, layer.gain, layer.trainable_gain) == ("matrix", 1.5, True)
    assert (layer.layer.pixels, layer.layer.strides) == (1, (2, 2))
    assert build("conv3-4-d2-sn", (5, 5, 2)).layers[1].layer.dilation_rate == (2, 2)
    norm = build("bn", (5,)).layers[1]
    # of the reference system: momentum 0.99, epsilon 1e-3; on all replicas
    assert (norm.momentum, norm.epsilon, norm.synchronized) == (0.99, 1e-3, True)


@pytest.mark.parametrize(
    "act, variance",
    [  # the reference's table of initialisers; fans of 1000 in, 500 out
        ("relu", 2 / 1000),
        ("lrelu", 2 / 1.01 / 1000),
        ("sigmoid", 16 / 750),
        ("tanh", 1 / 750),
        ("", 1 / 750),
    ],
)
def test_initial_weights_follow_the_activation(act, variance):
    for words in (f"dense-500-{act}", f"dense-500-sn-bn-{act}"):
        kernel = build(words.rstrip("-"), (1000,)).layers[1].kernel.numpy()
        # 500,000 draws: 0.6 % is 3.5 sd of the variance, a false alarm in 2000 seeds
        assert kernel.var() == pytest.approx(variance, rel=0.006)
        assert kernel.mean() == pytest.approx(0, abs=1e-3)


def test_repeats_are_layers_of_their_own():
    model = build("3*dense-4-relu", (4,))
    kernels = [w for w in model.weights if w.path.endswith("kernel")]
    assert len(kernels) == 3
    assert len({w.path for w in model.weights}) == 6
    assert np.any(kernels[1].numpy() != kernels[2].numpy())


def test_the_model_has_its_name():
    assert build("relu", (3,), name="mine").name == "mine"


# ---- pairs


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_architectures_have_the_parameters_of_their_tables(name):
    count, by_score = zoo.ARCHITECTURES[name]
    presets = architectures.get(name)
    for score, wanted in by_score.items():
        generator, discriminator = build_pair(presets, score)
        assert generator.count_params() - untrained(generator) == count
        assert discriminator.count_params() - untrained(discriminator) == wanted
        assert discriminator.output_shape == (None, score)
        assert generator.output_shape == discriminator.input_shape
    assert (generator.name, discriminator.name) == ("generator", "discriminator")


def untrained(model):
    return sum(int(np.prod(w.shape)) for w in model.non_trainable_weights)


@pytest.mark.parametrize("name", ["dcgan-sn-28", "mlp-2d"])
def test_small_architectures_run_and_train(name):
    generator, discriminator = build_pair(architectures.get(name))
    with tf.GradientTape() as tape:
        latent = draw(4, *generator.input_shape[1:])
        score = discriminator(generator(latent, training=True), training=True)
        loss = ops.sum(score * draw(*score.shape, seed=1))
    weights = generator.trainable_weights + discriminator.trainable_weights
    for weight, slope in zip(weights, tape.gradient(loss, weights)):
        assert slope is not None and np.abs(slope).max() > 0, weight.path


def test_a_pair_that_does_not_fit_is_refused_in_words():
    pair = architectures.get("mlp-2d") | {"sample": "3"}
    with pytest.raises(SpecError) as caught:
        build_pair(pair)
    assert str(caught.value) == (
        "the generator makes 2, not the sample 3\n"
        "    2*dense-128-relu dense-2\n"
        "                     ^^^^^^^"
    )


def test_a_net_that_does_not_fit_is_refused_in_words():
    with pytest.raises(SpecError) as caught:
        build("conv3-4\n  dense-1", (4, 4, 1))
    assert str(caught.value) == (
        "dense needs a flat input, not 4x4x4; put flatten, gsum or gmean before it\n"
        "      dense-1\n"
        "      ^^^^^^^"
    )
