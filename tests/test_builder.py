"""What is built of words: generic checks over the one list of all words."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
import zoo
from keras import ops

import architectures
from gantf import GAN, build, build_pair, layers, shapes, spec
from gantf.spec import SpecError

ALL = pytest.mark.parametrize("words, shape", zoo.WORDS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture
def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def made(words, shape):
    return build(words, shape, zoo.CLASSES)


@ALL
def test_shapes_and_numbers_are_those_of_the_arithmetic(words, shape):
    model = made(words, shape)
    x, *labels = model.inputs
    assert x.shape == (None, *shape)
    asked = {"cbn", "proj", "ck", "cd", "cb", "bcb"} & set(words.split("-"))
    assert len(labels) == bool(asked)
    assert all(y.shape == (None,) and y.dtype == "int32" for y in labels)
    result = shapes.out_shape(words, shape, zoo.CLASSES)
    assert model.output_shape == (None, *result)
    for n in (1, 3):  # the batch is free
        assert model(zoo.draw(n, shape, words)).shape == (n, *result)
    count = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert count == shapes.params(words, shape, zoo.CLASSES)


@ALL
def test_the_gradient_reaches_every_weight(words, shape):
    model = made(words, shape)
    for weight in model.trainable_weights:
        if weight.name == "gate":  # starts at 0, which keeps the rest of its block out
            weight.assign(0.5)
    with tf.GradientTape() as tape:
        y = model(zoo.draw(8, shape, words), training=True)
        loss = ops.sum(y * draw(*y.shape, seed=1))
    slopes = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, slope in zip(model.trainable_weights, slopes):
        assert slope is not None, weight.path
        slope = tf.convert_to_tensor(slope)  # indexed slices of an embedding
        assert np.isfinite(slope).all(), weight.path
        if not idle(weight, set(words.split("-"))):
            assert np.abs(slope).max() > 1e-4, weight.path


def idle(weight, words):
    """Biases of a block in front of a norm that takes every channel's mean away."""
    if weight.name != "bias":
        return False
    return "conv_0" in weight.path and bool({"bn", "cbn", "in"} & words)


@ALL
def test_models_are_saved_and_loaded_bit_for_bit(words, shape, tmp_path):
    model = made(words, shape)
    x = zoo.draw(4, shape, words)
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
    model = made(words, shape)
    y = model(zoo.draw(4, shape, words), training=True)
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


# Of 128x128 pairs the one that takes least; each of the others takes 20 seconds.
SLOW = ("sagan-128", "sn-resnet-128-cond")
EVERY = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
    for name in zoo.ARCHITECTURES
]


@pytest.mark.parametrize("name", EVERY)
def test_every_architecture_builds_runs_and_trains_a_step(name):
    architecture = architectures.get(name)
    classes = architecture["classes"]
    pair = build_pair(architecture)
    generator, discriminator = pair
    assert (generator.name, discriminator.name) == ("generator", "discriminator")
    count, by_score = zoo.ARCHITECTURES[name]
    score = next(iter(by_score))
    assert [trained(net) for net in pair] == [count, by_score[score]]
    sample = generator.output_shape[1:]
    assert discriminator.output_shape == (None, score)
    data = {"image": tf.constant(np.tanh(draw(2, *sample)))}
    if classes:
        data["label"] = tf.constant([0, classes - 1])
    loss = "hinge" if score == 1 else "mmd_t"  # rbf would be 0 between far features
    latent = architecture["latent"]
    gan = GAN(*pair, loss=loss, latent=latent, classes=classes, ema=0.0)
    gan.compile(keras.optimizers.SGD(1e-3), keras.optimizers.SGD(1e-3))
    logs = gan.train_step(data)
    assert np.isfinite([float(value) for value in logs.values()]).all()
    assert float(logs["generator_gradient"]) > 0
    assert float(logs["discriminator_gradient"]) > 0
    labels = classes - 1 if classes else None
    samples = gan.generate(2, labels, seed=0)
    assert samples.shape == (2, *sample) and np.isfinite(samples).all()


def trained(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def test_a_pair_is_built_with_another_score():
    count, by_score = zoo.ARCHITECTURES["dcgan-sn-28"]
    for score, wanted in by_score.items():
        pair = build_pair(architectures.get("dcgan-sn-28"), score)
        assert [trained(net) for net in pair] == [count, wanted]
        assert pair[1].output_shape == (None, score)


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


# ---- blocks, attention and class-wise words against NumPy


def parts(model):
    """The layers of a model by their names without the place, "conv_0"."""
    return {layer.name.partition("_")[2]: layer for layer in model.layers}


def randomised(words, shape):
    model = made(words, shape)
    rng = np.random.default_rng(5)
    for weight in model.weights:
        if weight.trainable:
            weight.assign(rng.normal(size=weight.shape) / 2)
        elif weight.name == "moving_variance":
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif weight.name == "moving_mean":
            weight.assign(rng.normal(size=weight.shape))
    return model


def convolved(x, layer):
    """A convolution with "same" padding, in float64."""
    kernel = layer.kernel.numpy().astype(float)
    pads = [
        references.same_pads(side, k, 1) for side, k in zip(x.shape[1:3], kernel.shape)
    ]
    y = references.conv(x, kernel, pads, (1, 1))
    return y if layer.bias is None else y + layer.bias.numpy()


def mean2(x):
    n, h, w, c = x.shape
    return (
        x[:, : h // 2 * 2, : w // 2 * 2]
        .reshape(n, h // 2, 2, w // 2, 2, c)
        .mean((2, 4))
    )


def twice(x):
    return x.repeat(2, 1).repeat(2, 2)


def unchanged(x):
    return x


def normed(x, layer):
    mean, variance = (
        w.numpy().astype(float) for w in (layer.moving_mean, layer.moving_variance)
    )
    gain, shift = layer.gamma.numpy(), layer.beta.numpy()
    return gain * (x - mean) / np.sqrt(variance + 1e-3) + shift


@pytest.mark.parametrize(
    "words, before, after",
    [
        ("res3-5-bn-relu", unchanged, unchanged),
        ("res3-5-h3-up2-lastbias-bn-relu", twice, unchanged),
        ("res4-5-h6-down2-scbias-bn-relu", unchanged, mean2),
    ],
)
def test_a_block_is_that_of_the_paper(words, before, after):
    """Gulrajani et al. (2017), Miyato et al. (2018): in the order of their code.

    The shortcut's kernel there runs on the larger map.
    """
    model = randomised(words, (5, 6, 4))
    layer = parts(model)
    x = draw(3, 5, 6, 4).astype(float)
    y = np.maximum(normed(x, layer["res_0_bn"]), 0)
    y = convolved(before(y), layer["res_conv_0"])
    y = np.maximum(normed(y, layer["res_1_bn"]), 0)
    y = after(convolved(y, layer["res_conv_1"]))
    y += after(convolved(before(x), layer["res_sc"]))
    np.testing.assert_allclose(model(x), y, rtol=1e-4, atol=1e-4)
    biases = ["lastbias" not in words and "scbias" not in words, "scbias" not in words]
    for name, has in zip(("res_conv_0", "res_conv_1", "res_sc"), [*biases, True]):
        assert (layer[name].bias is not None) == has


def test_a_block_whose_shortcut_can_be_the_identity_has_no_kernel_on_it():
    model = randomised("res3-4-elu", (5, 6, 4))
    layer = parts(model)
    assert "res_sc" not in layer and "res_sc" in parts(made("res3-4-sc", (5, 6, 4)))
    x = draw(3, 5, 6, 4).astype(float)

    def elu(x):
        return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)

    y = convolved(elu(convolved(elu(x), layer["res_conv_0"])), layer["res_conv_1"])
    np.testing.assert_allclose(model(x), x + y, rtol=1e-4, atol=1e-4)


def test_a_first_block_begins_with_its_kernel():
    model = randomised("stem3-4-h5-down2-lrelu", (6, 5, 3))
    layer = parts(model)
    x = draw(3, 6, 5, 3).astype(float)
    y = convolved(x, layer["stem_conv_0"])
    y = mean2(convolved(np.maximum(y, 0.1 * y), layer["stem_conv_1"]))
    y += convolved(mean2(x), layer["stem_sc"])
    np.testing.assert_allclose(model(x), y, rtol=1e-4, atol=1e-4)


def test_the_kernels_of_a_block_are_normalised_each():
    model = made("res3-4-h3-down2-snm1.5-gain-relu", (6, 6, 2))
    found = [la for la in model.layers if isinstance(la, layers.SpectralNormalization)]
    assert [la.name for la in found] == ["01_res_conv_0", "01_res_conv_1", "01_res_sc"]
    assert {(la.method, la.gain, la.trainable_gain) for la in found} == {
        ("matrix", 1.5, True)
    }
    found = made("attn2-sn", (4, 4, 4)).layers
    found = [la.name for la in found if isinstance(la, layers.SpectralNormalization)]
    assert sorted(found) == ["01_attn_key", "01_attn_out", "01_attn_query"] + [
        "01_attn_value"
    ]


@pytest.mark.parametrize("words", ["attn2", "attn4-v4-pool", "attn2-v1-pool-dist"])
def test_attention_is_that_of_the_paper(words):
    """Zhang et al. (2019), equations 1 to 3; logits by distance: Wang et al.'s code."""
    model = randomised(words, (4, 5, 8))
    layer = parts(model)
    x = draw(2, 4, 5, 8).astype(float)
    q, k, v = (convolved(x, layer[f"attn_{n}"]) for n in ("query", "key", "value"))
    if "pool" in words:
        k, v = (a[:, :4, :4].reshape(2, 2, 2, 2, 2, -1).max((2, 4)) for a in (k, v))
    q, k, v = (a.reshape(2, -1, a.shape[-1]) for a in (q, k, v))
    logits = np.einsum("nic,njc->nij", q, k)
    if "dist" in words:
        square = ((q[:, :, None] - k[:, None]) ** 2).sum(-1)
        logits = -square / q.shape[-1]
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    y = np.einsum("nij,njc->nic", shares, v).reshape(2, 4, 5, -1)
    if "v1" not in words:
        y = convolved(y, layer["attn_out"])
    gate = float(layer["attn_gate"].weights[0])
    assert gate != 0
    np.testing.assert_allclose(model(x), x + gate * y, rtol=1e-4, atol=1e-4)


def test_attention_starts_as_the_identity():
    x = draw(2, 4, 5, 8)
    np.testing.assert_array_equal(build("attn8-pool-sn", (4, 5, 8))(x), x)


LABELS = np.array([2, 0, 1, 2], "int32")


def class_wise(words, shape):
    """A randomised net, an input and its output, and the weights by name."""
    model = randomised(words, shape)
    x = draw(4, *shape)
    found = {w.path.rpartition("/")[2]: w.numpy().astype(float) for w in model.weights}
    return x.astype(float), np.asarray(model([x, LABELS])), found, model


def test_projection_adds_an_inner_product_of_each_output():
    """Miyato & Koyama (2018), equation 3, for each of two outputs."""
    x, y, w, _ = class_wise("dense-2-proj", (5,))
    e = w["embeddings"].reshape(3, 5, 2)
    truth = x @ w["kernel"] + w["bias"] + np.einsum("ni,nik->nk", x, e[LABELS])
    np.testing.assert_allclose(y, truth, rtol=1e-4, atol=1e-5)


def test_the_embedding_of_a_projection_is_normalised_as_the_kernel_is():
    model = made("dense-1-snm2-gain-nobias-proj", (5,))
    table = parts(model)["dense_embedding"]
    assert isinstance(table, layers.SpectralNormalization)
    assert (table.method, table.gain, table.trainable_gain) == ("matrix", 2.0, True)
    assert table.kernel.shape == (3, 5)


def test_class_wise_kernels_and_biases_are_what_their_help_says():
    x, y, w, model = class_wise("dense-4-ck-bcb", (5,))
    bias = parts(model)["dense_bias"].weights[0].numpy()
    common = parts(model)["dense"].bias.numpy()
    truth = (1 + w["scale"][LABELS]) * (x @ w["kernel"]) + common + bias[LABELS]
    np.testing.assert_allclose(y, truth, rtol=1e-4, atol=1e-5)

    x, y, w, _ = class_wise("dense-4-cd-cb", (5,))
    truth = np.einsum("ni,nik->nk", x, w["kernel"] + w["class_kernel"][LABELS])
    np.testing.assert_allclose(y, truth + w["bias"][LABELS], rtol=1e-4, atol=1e-5)

    x, y, w, _ = class_wise("conv1-4-ck-nobias", (2, 3, 5))
    truth = np.einsum("nhwi,ik->nhwk", x, w["kernel"][0, 0])
    truth *= (1 + w["scale"][LABELS])[:, None, None]
    np.testing.assert_allclose(y, truth, rtol=1e-4, atol=1e-5)


def test_conditional_batch_norm_gives_each_class_its_gain_and_shift():
    x, y, w, _ = class_wise("cbn", (2, 3, 5))
    unit = (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + 1e-3)
    gain, shift = (w[n][LABELS][:, None, None] for n in ("gamma", "beta"))
    np.testing.assert_allclose(y, gain * unit + shift, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_are_an_error_in_graphs_too(label):
    model = made("dense-4-cbn-relu", (5,))
    bad = [draw(2, 5), np.array([0, label], "int32")]
    rule = "labels are whole numbers from 0 to 2, not"
    with pytest.raises(ValueError, match=f"{rule} {label}"):
        model(bad)
    for call in (tf.function(model), lambda x: model.predict(x, verbose=0)):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            call(bad)
        assert f"[{rule}] [{label}]" in str(caught.value)


def test_depthwise_kernels_start_with_the_variance_of_what_they_see():
    # a 3x3 kernel on one channel: He's 2 / 9; Keras alone has 2 / (9 channels)
    kernel = build("dconv3-relu", (4, 4, 4000)).layers[1].kernel.numpy()
    # 36,000 draws: 3 % is 4 sd of the variance
    assert kernel.var() == pytest.approx(2 / 9, rel=0.03)
    layer = build("sconv3-64-relu", (4, 4, 4000)).layers[1]
    depth, point = layer.depthwise_kernel.numpy(), layer.pointwise_kernel.numpy()
    assert depth.var() == pytest.approx(1 / 9, rel=0.03)
    assert point.var() == pytest.approx(2 / 4000, rel=0.03)


# ---- words of one's own


def test_added_words_are_read_counted_built_and_shown(in_process):
    found = in_process(_ADDED)
    assert found == {
        "text": "conv3-4-mish blur3 prelu",
        "shape": [5, 6, 4],
        "params": 3 * 3 * 2 * 4 + 4 + 5 * 6 * 4,
        "built": 3 * 3 * 2 * 4 + 4 + 5 * 6 * 4,
        "same": True,
        "said": [
            "the word 'relu' is taken: max(x, 0)",
            "a word is small letters a to z, not 'mish2'",
            "shift does not take 4: no map",
        ],
        "dtypes": ["bfloat16", "float32"],
        "listed": True,
    }


_ADDED = """
import json
import keras, numpy as np
import gantf
from gantf import shapes, spec
from gantf.words import Kind, Word, vocabulary

def mish(layer, name):
    return keras.layers.Activation(
        lambda x: x * keras.ops.tanh(keras.ops.softplus(x)), name=name)

def blur(layer, name):
    return keras.layers.AveragePooling2D(layer.size, 1, "same", name=name)

gantf.add_word("mish", Word("x tanh(softplus(x))", "act", "mish"), mish)
gantf.add_word("blur", Kind("mean of N x N pixels", size="whole"), blur)
gantf.add_word(
    "prelu", Word("relu with a trained slope", "act", "prelu"),
    lambda layer, name: keras.layers.PReLU(name=name))
text, shape = "conv3-4-mish blur3 prelu", (5, 6, 2)
net = spec.parse(text)
model = gantf.build(text, shape)
x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
y = model.layers[1](x).numpy().astype(float)
y = y * np.tanh(np.log1p(np.exp(y)))
ones = np.pad(np.ones((5, 6)), 1)
y = np.pad(y, [(0, 0), (1, 1), (1, 1), (0, 0)])
windows = [(i, j) for i in range(3) for j in range(3)]
total = sum(y[:, i:i + 5, j:j + 6] for i, j in windows)
count = sum(ones[i:i + 5, j:j + 6] for i, j in windows)[..., None]
y = total / count
y = np.maximum(y, 0) + model.layers[-1].alpha.numpy() * np.minimum(y, 0)
said = []
for name in ("relu", "mish2"):
    try:
        gantf.add_word(name, Kind("again"), blur)
    except ValueError as error:
        said.append(str(error))
def shift(layer, name):
    raise ValueError("no map\\nand more")
gantf.add_word("shift", Kind("fails"), shift)
try:
    shapes.rows("shift", (4,))
except spec.SpecError as error:
    said.append(error.message)
gantf.add_word("linear", Kind("a dense layer", out="whole"),
    lambda layer, name: keras.layers.Dense(layer.out, name=name))
pair = {"latent": "normal-2", "sample": "2", "generator": "dense-2",
        "discriminator": "linear-3 relu linear-1"}
with gantf.builder.precision("mixed_bfloat16"):
    critic = gantf.build_pair(pair)[1]
dtypes = [layer.compute_dtype for layer in critic.layers if layer.weights]
print(json.dumps({
    "dtypes": dtypes,
    "text": spec.unparse(net),
    "shape": shapes.out_shape(text, shape),
    "params": shapes.params(text, shape),
    "built": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
    "same": bool(np.allclose(model(x), y, atol=1e-5)),
    "said": said,
    "listed": "mean of N x N pixels" in vocabulary(),
}))
"""
