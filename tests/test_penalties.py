"""Penalties against critics known in closed form, and formulas in float64 NumPy."""

import functools
import gc
import weakref
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import references
import tensorflow as tf

import gantf
from gantf import mmd, penalties
from gantf.batch import Batch, Draws
from gantf.layers import SpectralNormalization


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def fixed(**streams):
    """Draws that are given, one array of a stream."""
    return SimpleNamespace(
        uniform=lambda stream, shape: tf.reshape(
            tf.constant(streams[stream], tf.float32), shape
        )
    )


def linear(*w):
    return lambda x: tf.linalg.matvec(x, tf.constant(w, tf.float32))[:, None]


def witness_of(kernel):
    return SimpleNamespace(
        witness=lambda points, x, y: mmd.witness(points, x, y, kernel)
    )


def two_samples(score, n=4, **others):
    """A batch of points (n, 2), or of others, of this critic."""
    return Batch.of(score, draw(n, 2), draw(n, 2, seed=1), **others)


# ---- critics known in closed form


@pytest.mark.parametrize("norm", penalties.NORMS)
@pytest.mark.parametrize(
    "w, weight, target, value",
    [  # weight (|w| - target)^2
        ((3.0, 4.0), 10, 1, 160),
        ((0.6, 0.8), 10, 1, 0),
        ((3.0, 4.0), 0.1, 0, 2.5),
        ((0.0, 1.0), 2, 3, 8),
    ],
)
def test_a_linear_critic(w, weight, target, value, norm):
    penalty = penalties.get("gp", weight=weight, target=target, norm=norm)
    found = penalty(two_samples(linear(*w), 5))
    assert found.shape == ()
    assert float(found) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(
    "norm, axes", {"sample": (0, 1, 2), "axis1": (0,), "channels": (2,)}.items()
)
def test_norms_of_a_linear_critic_on_images(norm, axes):
    w = draw(3, 4, 2)
    real, fake = draw(5, 3, 4, 2), draw(5, 3, 4, 2, seed=1)
    batch = Batch.of(lambda x: tf.reduce_sum(w * x, (1, 2, 3))[:, None], real, fake)
    found = penalties.get("gp", norm=norm)(batch)
    lengths = np.sqrt((w.astype(float) ** 2).sum(axes))
    assert float(found) == pytest.approx(10 * np.mean((lengths - 1) ** 2), rel=1e-5)


@pytest.mark.parametrize("norm, implied", [("axis1", 4 * 2), ("channels", 3 * 4)])
def test_what_norm_of_a_sample_the_other_norms_ask_for(norm, implied):
    """On (3, 4, 2) images; "axis1" is met by equal slopes of norm sqrt(w c)."""
    slope = np.sqrt(implied / 24)
    batch = Batch.of(
        lambda x: slope * tf.reduce_sum(x, (1, 2, 3))[:, None],
        *[draw(5, 3, 4, 2, seed=seed) for seed in (0, 1)],
    )
    assert float(penalties.get("gp", norm=norm)(batch)) == pytest.approx(0, abs=1e-10)
    whole = penalties.get("gp", norm="sample", target=np.sqrt(implied).item())
    assert float(whole(batch)) == pytest.approx(0, abs=1e-10)


def test_the_mean_is_over_samples_and_the_sum_over_all_else():
    """D(x) = sum x^2 / 2 on maps: the slope is x itself, at u real + (1 - u) fake."""
    real, fake = draw(4, 3, 2, 1), draw(4, 3, 2, 1, seed=1)
    u = np.array([0, 1, 0.25, 0.5], "float32")
    between = u[:, None, None, None] * real + (1 - u)[:, None, None, None] * fake
    norms = np.sqrt((between.astype(float) ** 2).sum((1, 2, 3)))
    truth = 10 * np.mean((norms - 1) ** 2)
    batch = Batch.of(
        lambda x: tf.reduce_sum(x**2, (1, 2, 3))[:, None] / 2,
        real,
        fake,
        draws=fixed(mixing=u),
    )
    assert float(penalties.get("gp")(batch)) == pytest.approx(truth, rel=1e-5)


def test_several_numbers_of_a_score_are_summed():
    w = np.array([[1.0, 2.0], [2.0, 2.0]], "float32")  # summed: (3, 4)
    batch = two_samples(lambda x: x @ w)
    for name, value in {"gp": 10 * 16, "r1": 5 * 25, "r2": 5 * 25}.items():
        assert float(penalties.get(name)(batch)) == pytest.approx(value, rel=1e-6)


def test_the_witness_of_the_dot_kernel():
    """w(x) = x . (mean real - mean fake): the slope is the difference everywhere."""
    real, fake = draw(6, 2), draw(5, 2, seed=1) + 1
    batch = Batch(
        tf.identity, real[:5], fake, real, fake, witness_of("dot"), draws=Draws()
    )
    apart = np.linalg.norm(real.astype(float).mean(0) - fake.astype(float).mean(0))
    found = penalties.get("witness_gp")(batch)
    assert float(found) == pytest.approx((apart - 1) ** 2, rel=1e-5)
    found = penalties.get("witness_gp", weight=3, target=0.5)(batch)
    assert float(found) == pytest.approx(3 * (apart - 0.5) ** 2, rel=1e-5)


@pytest.mark.parametrize("shape", [(2,), (3, 2, 2)])
@pytest.mark.parametrize("name, side", [("r1", 0), ("r2", 1)])
def test_zero_centred_penalties_of_a_quadratic_critic(name, side, shape):
    """D(x) = c |x|^2 / 2 has the slope c x: weight / 2 c^2 E |x|^2."""
    samples = draw(7, *shape), 2 * draw(6, *shape, seed=1)
    axes = tuple(range(1, len(shape) + 1))
    batch = Batch.of(lambda x: 3 * tf.reduce_sum(x**2, axes)[:, None] / 2, *samples)
    truth = 0.5 * 4 * 9 * np.mean(np.sum(samples[side].astype(float) ** 2, axes))
    found = penalties.get(name, weight=4)(batch)
    assert float(found) == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize("name", ["gp", "witness_gp", "cramer_gp", "dragan"])
def test_a_slope_of_0_has_a_finite_gradient(name):
    w = tf.Variable([0.0, 0.0])
    with tf.GradientTape() as tape:
        batch = two_samples(
            lambda x: tf.linalg.matvec(x, w)[:, None], loss=witness_of("rbf:1")
        )
        found = penalties.get(name, weight=10)(batch)
    assert float(found) == pytest.approx(10, rel=1e-5)  # (1e-6 - 1)^2
    assert np.isfinite(tape.gradient(found, w)).all()


def test_the_gradient_reaches_the_critic():
    """Twice differentiated: d/dw weight (|w| - 1)^2 = 2 weight (|w| - 1) w / |w|."""
    w = tf.Variable([3.0, 4.0])
    with tf.GradientTape() as tape:
        batch = two_samples(lambda x: tf.linalg.matvec(x, w)[:, None])
        found = penalties.get("gp")(batch)
    np.testing.assert_allclose(tape.gradient(found, w), [48, 64], rtol=1e-5)


# ---- a small net, D(x) = tanh(x A) B, in float64 and by finite differences

REAL, FAKE = draw(3, 3, seed=2), 1.5 * draw(3, 3, seed=3)
WEIGHTS = 0.8 * draw(20, seed=4)
U, NOISE = np.array([0.2, 0.7, 0.4]), np.random.default_rng(5).uniform(size=(3, 3))


def net(x, weights, functions):
    a, b = (
        functions.reshape(weights[:12], (3, 4)),
        functions.reshape(weights[12:], (4, 2)),
    )
    return functions.tanh(x @ a) @ b


def slopes(f, points):
    """By central differences, f of one row and its number."""

    def slope(i):
        return references.numerical_gradient(lambda x: f(x, i), points[i], step=1e-5)

    return np.array([slope(i) for i in range(len(points))])


def to_one(slope, weight):
    return weight * np.mean((np.linalg.norm(slope, axis=1) - 1) ** 2)


def between():
    return U[:, None] * REAL + (1 - U)[:, None] * FAKE


def gp(score):
    return to_one(slopes(lambda x, i: score(x).sum(), between()), 10)


def witness_gp(score):
    def witness(x, i):
        near = (references.rbf(score(x)[None], score(y), 0.7) for y in (REAL, FAKE))
        return np.subtract(*(k.mean() for k in near))

    return to_one(slopes(witness, between()), 1)


def cramer_gp(score):
    others = score(FAKE)[[2, 0, 1]]  # the one before, and the last for the first

    def critic(x, i):
        return np.linalg.norm(score(x) - others[i]) - np.linalg.norm(score(x))

    return to_one(slopes(critic, between()), 10)


def dragan(score):
    noisy = REAL + U[:, None] * 0.5 * np.std(REAL.astype(float)) * NOISE
    return to_one(slopes(lambda x, i: score(x).sum(), noisy), 10)


def mean_square(score, samples):
    slope = slopes(lambda x, i: score(x).sum(), samples)
    return np.mean(np.sum(slope**2, axis=1))


def sobolev(score):
    c = (mean_square(score, REAL) + mean_square(score, FAKE)) / 2 - 1
    return 0.3 * c + 0.05 / 2 * c**2


FORMULAS = {
    "gp": gp,
    "witness_gp": witness_gp,
    "cramer_gp": cramer_gp,
    "dragan": dragan,
    "r1": lambda score: 5 * mean_square(score, REAL),
    "r2": lambda score: 5 * mean_square(score, FAKE),
    "sobolev": sobolev,
}


@pytest.mark.parametrize("name, formula", FORMULAS.items())
def test_values_and_gradients_of_a_small_net(name, formula):
    own, state = {}, {}
    if name == "sobolev":
        own, state = {"weight": 0.05}, {"multiplier": tf.constant(0.3)}
    weights = tf.Variable(WEIGHTS)
    with tf.GradientTape() as tape:
        batch = Batch.of(
            lambda x: net(x, weights, tf),
            REAL,
            FAKE,
            loss=witness_of("rbf:0.7"),
            draws=fixed(mixing=U, noise=NOISE),
        )
        found, _ = penalties.get(name, **own).step(batch, state)

    def truth(weights):
        return formula(lambda x: net(x.astype(float), weights, np))

    # float32: 24 bits; the differences err by 1e-10 / 1e-4 at most.
    assert float(found) == pytest.approx(truth(WEIGHTS.astype(float)), rel=2e-5)
    slope = references.numerical_gradient(truth, WEIGHTS, step=1e-4)
    np.testing.assert_allclose(
        tape.gradient(found, weights), slope, rtol=2e-4, atol=2e-5
    )


# ---- each penalty's own


def test_the_noise_of_dragan():
    real = draw(4000, 3) * np.array([1, 2, 3], "float32")
    batch = Batch.of(linear(1, 1, 1), real, real)
    added = penalties.get("dragan", scale=0.25).points(batch) - real
    parts = added.numpy() / (0.25 * np.std(real.astype(float)))  # u e
    assert parts.min() >= 0 and parts.max() <= 1
    # Means of u e and u^2 e e' are 1/4 and 1/12, their deviations .22 and .11 below;
    # the bounds are 5 deviations of the mean of 4000.
    np.testing.assert_allclose(parts.mean(0), 1 / 4, atol=5 * 0.22 / 4000**0.5)
    product = (parts[:, 0] * parts[:, 1]).mean()
    assert product == pytest.approx(1 / 12, abs=5 * 0.11 / 4000**0.5)


def test_the_multiplier_of_sobolev():
    """D(x) = w . x: c = |w|^2 - 1, and L <- L + weight c."""
    penalty, state = penalties.get("sobolev", weight=0.5), {"multiplier": 0.0}
    assert penalty.state == state
    values, multipliers = [], []
    for w in ((2.0, 0.0), (1.0, 1.0), (0.0, 0.5)):  # c = 3, 1, -.75
        batch = two_samples(linear(*w))
        value, state = penalty.step(batch, state)
        values.append(float(value))
        multipliers.append(float(state["multiplier"]))
    np.testing.assert_allclose(multipliers, [1.5, 2.0, 1.625], rtol=1e-6)
    # L c + c^2 / 4 with L = 0, 1.5, 2
    np.testing.assert_allclose(values, [2.25, 1.75, -1.359375], rtol=1e-5)
    assert float(penalty(batch)) == pytest.approx(0.75**2 / 4, rel=1e-5)  # L = 0


def test_the_multiplier_is_a_constant():
    w = tf.Variable([2.0, 0.0])
    with tf.GradientTape(persistent=True) as tape:
        batch = two_samples(lambda x: tf.linalg.matvec(x, w)[:, None])
        multiplier = tf.reduce_sum(w)  # 2
        value, state = penalties.get("sobolev", weight=0.5).step(
            batch, {"multiplier": multiplier}
        )
    # (L + weight c) dc/dw with dc/dw = 2 w
    np.testing.assert_allclose(tape.gradient(value, w), [3.5 * 4, 0], rtol=1e-5)
    assert tape.gradient(state["multiplier"], w) is None


def test_the_multiplier_holds_the_slope():
    """Maximising D(1) - D(0) = w under c = w^2 - 1 = 0 ends at w = 1, L = 1/2."""
    penalty, w = penalties.get("sobolev", weight=0.5), tf.Variable([[0.1]])
    real, fake = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")

    @tf.function
    def step(state):
        with tf.GradientTape() as tape:
            batch = Batch.of(lambda x: x @ w, real, fake)
            value, state = penalty.step(batch, state)
            total = tf.reduce_sum(batch.fake_scores - batch.real_scores) + value
        w.assign_sub(0.2 * tape.gradient(total, w))
        return state

    state = {"multiplier": tf.constant(0.0)}
    for _ in range(120):  # which shrink what is left by .89 each
        state = step(state)
    assert float(w[0, 0]) == pytest.approx(1, abs=1e-4)
    assert float(state["multiplier"]) == pytest.approx(0.5, abs=1e-4)


def images(seed=0, n=3):
    return draw(n, 6, 6, 2, seed=seed)


def feature_l2(net, levels, samples):
    """weight 3 times the mean squares of these layers' outputs, on all samples."""
    inner = keras.Model(net.input, [net.get_layer(name).output for name in levels])
    outputs = [np.array(h, float) for x in samples for h in inner(x)]
    return 3 * sum(np.mean(h**2) for h in outputs)


@pytest.mark.parametrize(
    "words, levels",
    {
        "conv3-4-lrelu conv3-3-s2-relu flatten dense-2": (
            "01_conv_lrelu",
            "03_flatten",
            "04_dense",
        ),
        "avg2 conv3-4-sn-lrelu conv3-3-s2-sn2-gain-relu gsum dense-2-sn": (
            "02_conv_lrelu",
            "04_gsum",
            "05_dense",
        ),
        "dconv3-relu sconv3-4-relu tconv3-2-lrelu flatten dense-3-lrelu": (
            "01_dconv_relu",
            "02_sconv_relu",
            "04_flatten",
            "05_dense_lrelu",
        ),
        # A stem's shortcut is given the samples' mean, which no kernel made; the
        # attention's three kernels are given one tensor.
        "stem3-4-down2-sn-relu attn2 res3-5-relu gsum relu dense-2": (
            "01_stem_1_relu",
            "01_stem",
            "02_attn_map",
            "03_res_0_relu",
            "03_res_1_relu",
            "02_attn",
            "05_relu",
            "06_dense",
        ),
        "gsum dense-2": ("02_dense",),
    }.items(),
)
def test_levels_of_a_net(words, levels):
    net = gantf.build(words, (6, 6, 2))
    samples = images(), images(1)
    for weight in net.weights:  # kernels alone would leave the gate of attention at 0
        if weight.name in ("bias", "gate"):
            weight.assign(draw(*weight.shape, seed=7))
    found = penalties.get("feature_l2", weight=3)(Batch.of(net, *samples))
    assert float(found) == pytest.approx(feature_l2(net, levels, samples), rel=1e-5)


def test_levels_by_hand():
    """relu(x A) B: the mean squares of the hidden units and of the scores."""
    net = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)]
    )
    a, _, b, _ = net.get_weights()
    truth = 0
    for x in (draw(4, 2), draw(4, 2, seed=1)):
        hidden = np.maximum(x.astype(float) @ a, 0)
        truth += np.mean(hidden**2) + np.mean((hidden @ b) ** 2)
    found = penalties.get("feature_l2")(two_samples(net))
    assert float(found) == pytest.approx(truth, rel=1e-5)


def test_levels_of_a_net_in_a_net_and_of_one_with_labels():
    samples = [tf.constant(images(seed)) for seed in (0, 1)]
    inner = gantf.build("conv3-4-relu conv3-4-relu gsum", (6, 6, 2), name="inner")
    x = keras.Input((6, 6, 2))
    net = keras.Model(x, keras.layers.Dense(1, name="score")(inner(x)))
    found = penalties.get("feature_l2", weight=3)(Batch.of(net, *samples))
    h = [np.array(inner(x), float) for x in samples]
    s = [np.array(net(x), float) for x in samples]
    truth = 3 * sum(np.mean(values**2) for values in (*h, *s))
    assert float(found) == pytest.approx(truth, rel=1e-5)

    words = "conv3-4-sn-cbn-ck-lrelu gsum dense-3-cd-relu dense-2-sn-proj"
    net, labels = gantf.build(words, (6, 6, 2), 3), tf.constant([0, 2, 1])
    batch = Batch.of(
        lambda x: net([x, labels]),
        *samples,
        discriminator=net,
        run=lambda net, x: net([x, labels]),
    )
    levels = "02_gsum", "03_dense_relu", "04_dense_proj"
    truth = feature_l2(net, levels, [[x, labels] for x in samples])
    found = penalties.get("feature_l2", weight=3)(batch)
    assert float(found) == pytest.approx(truth, rel=1e-5)


def test_levels_are_found_once_a_net_and_do_not_keep_it():
    penalty = penalties.get("feature_l2")
    net = gantf.build("conv3-2-relu gsum dense-1", (6, 6, 2))
    batch = Batch.of(net, images(), images(1))
    compiled = tf.function(lambda: penalty(batch))  # found in its graph
    assert float(compiled()) == pytest.approx(float(penalty(batch)), rel=1e-6)
    other = gantf.build("conv3-2-relu gsum dense-1", (6, 6, 2))
    other.set_weights([2 * weight for weight in net.get_weights()])
    one, two = (float(penalty(Batch.of(n, images(), images(1)))) for n in (net, other))
    assert two > 2 * one
    assert len(penalty._levels) == 2
    seen = weakref.ref(other)
    del other
    gc.collect()
    assert seen() is None and len(penalty._levels) == 1


def test_levels_see_the_sigma_of_the_step():
    net = gantf.build("conv3-4-sn-lrelu gsum dense-1-sn", (6, 6, 2))
    normalised = [la for la in net.layers if isinstance(la, SpectralNormalization)]
    before = [np.array(layer.vector.value) for layer in normalised]
    penalty = penalties.get("feature_l2")
    batch = Batch.of(net, images(), images(1), run=lambda net, x: net(x, training=True))
    penalty(batch)
    assert len(before) == 2
    for layer, vector in zip(normalised, before):
        np.testing.assert_array_equal(layer.vector.value, vector)


def test_kernels_by_hand():
    net = gantf.build("conv2-3-sn-relu flatten dense-2-sn dense-1", (2, 2, 1))
    assert net.count_params() == 15 + 4 + 26 + 2 + 3  # with two vectors
    for weight in net.weights:
        weight.assign(tf.fill(weight.shape, 2.0))  # biases too
    found = penalties.get("kernel_l2", conv=0.1, dense=10)(
        Batch.of(net, draw(1, 2, 2, 1), draw(1, 2, 2, 1))
    )
    assert float(found) == pytest.approx(0.1 * 12 * 4 + 10 * (24 + 2) * 4, rel=1e-6)


def test_an_autoencoder():
    """Scores x A and a decoder s B: value and gradients against differences."""
    a, b = draw(2, 3), draw(3, 2, seed=5)
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    decoder.set_weights([b, np.zeros(2)])
    weights = tf.Variable(a)
    real, fake = draw(4, 2), draw(4, 2, seed=1)
    with tf.GradientTape() as tape:
        batch = Batch.of(lambda x: x @ weights, real, fake, decoder=decoder)
        found = penalties.get("autoencoder")(batch)

    def truth(a, b):
        return 8 * sum(
            np.mean((x.astype(float) @ a @ b - x) ** 2) for x in (real, fake)
        )

    assert float(found) == pytest.approx(truth(a, b), rel=1e-5)
    slope = tape.gradient(found, [weights, decoder.trainable_variables[0].value])
    for mine, expected in zip(
        slope,
        (
            references.numerical_gradient(lambda a: truth(a, b), a),
            references.numerical_gradient(lambda b: truth(a, b), b),
        ),
    ):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_makes_one_power_iteration_a_step():
    decoder = gantf.build("dense-2-sn", (1,))
    layer, seen = decoder.layers[-1], []
    layer._iterate = lambda values, step=layer._iterate: seen.append(1) or step(values)
    penalties.get("autoencoder")(two_samples(linear(1.0, 2.0), decoder=decoder))
    assert len(seen) == 1


# ---- all penalties


@functools.cache
def nets(policy):
    keras.utils.set_random_seed(1)
    with gantf.builder.precision(policy):
        critic = gantf.build("conv3-3-sn-lrelu gsum dense-2", (6, 6, 2))
        return critic, gantf.build("dense-6x6x2", (2,))


def whole_batch(policy="float32", real=None, fake=None):
    """A batch of images with all that any penalty needs."""
    critic, decoder = nets(policy)
    real = images() if real is None else real
    fake = images(1) if fake is None else fake
    return Batch.of(critic, real, fake, loss=witness_of("rbf:1"), decoder=decoder)


def value_and_slopes(penalty, policy):
    kernels = [w.value for w in nets(policy)[0].weights if w.name == "kernel"]
    with tf.GradientTape() as tape:
        found, _ = penalty.step(whole_batch(policy), dict(penalty.state))
    return found, tape.gradient(found, kernels)


@pytest.mark.parametrize("name", penalties.names())
def test_every_penalty_trains_every_kernel(name):
    penalty = penalties.get(name)
    found, slopes = value_and_slopes(penalty, "float32")
    assert found.dtype == tf.float32 and found.shape == () and np.isfinite(found)
    assert len(slopes) == 2
    for slope in slopes:
        assert np.isfinite(slope).all() and np.any(slope != 0)
    compiled = tf.function(lambda: penalty(whole_batch()))
    assert float(compiled()) == pytest.approx(float(found), rel=1e-5)
    half, slopes = value_and_slopes(penalty, "mixed_bfloat16")
    assert half.dtype == tf.float32
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert float(half) == pytest.approx(float(found), rel=0.1)  # bfloat16: 8 bits


@pytest.mark.parametrize("name", penalties.names())
def test_samples_are_constants(name):
    """The penalty moves the critic, not the generator."""
    real, fake = tf.Variable(images()), tf.Variable(images(1))
    batch = whole_batch(real=real, fake=fake)
    with tf.GradientTape() as tape:
        found = penalties.get(name)(batch)
    assert tape.gradient(found, [real, fake]) == [None, None]


def test_half_precision_scores_are_summed_in_float32():
    real, fake = (tf.cast(draw(4, 2, seed=s), tf.bfloat16) for s in (0, 1))
    batch = Batch.of(
        lambda x: tf.cast(x, tf.bfloat16) @ tf.constant([[3.0], [4.0]], tf.bfloat16),
        real,
        fake,
    )
    found = penalties.get("gp")(batch)
    assert found.dtype == tf.float32
    assert float(found) == pytest.approx(160, rel=1e-2)  # bfloat16: 8 bits


def test_two_replicas_give_the_penalties_of_one(in_process):
    """Values and gradients of shares, averaged, against those of the whole batch."""
    # r1, r2 and kernel_l2 are means over the share and no more.
    others = "gp", "witness_gp", "cramer_gp", "dragan", "feature_l2", "autoencoder"
    found = in_process(_REPLICAS, *others)
    assert set(found) == {*others, "sobolev", "gradients"}
    for name, (one, two) in found.items():
        # float32 sums in another order
        np.testing.assert_allclose(two, one, rtol=2e-5, atol=1e-6, err_msg=name)


_REPLICAS = """
import json, sys
import keras, numpy as np, tensorflow as tf
import gantf
from gantf import penalties
from gantf.batch import Batch, Draws
from gantf.replicas import gather, share
from test_penalties import draw, witness_of

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    keras.utils.set_random_seed(1)
    critic = gantf.build("dense-5-tanh dense-2", (3,))
    decoder = gantf.build("dense-3", (2,))
real, fake = draw(6, 3), 2 * draw(6, 3, seed=1)
weights = [w.value for net in (critic, decoder) for w in net.trainable_variables]

made = [penalties.get(name) for name in sys.argv[1:]]
made.append(penalties.get("sobolev", weight=0.1))

def run():
    x, y = share(tf.constant(real)), share(tf.constant(fake))
    with tf.GradientTape() as tape:
        batch = Batch(critic, x, y, gather(critic(x)), gather(critic(y)),
                      witness_of("rbf:1"), Draws(3, 4), critic, decoder,
                      lambda net, x: net(x))
        pairs = [penalty.step(batch, {name: 0.3 for name in penalty.state})
                 for penalty in made]
        total = tf.add_n([value for value, _ in pairs])
    found = {p.name: [v, *s.values()] for p, (v, s) in zip(made, pairs)}
    return found | {"gradients": tape.gradient(total, weights)}

one, two = run(), tf.function(lambda: strategy.run(run))()
found = {}
for name in one:
    values = [strategy.reduce("MEAN", value, axis=None) for value in two[name]]
    found[name] = [np.concatenate([np.ravel(v) for v in values]).tolist()
                   for values in (one[name], values)]
print(json.dumps(found))
"""


# ---- by name

DEFAULTS = {  # the papers' or their codes', as each class says
    "gp": {"weight": 10, "target": 1, "norm": "sample"},
    "witness_gp": {"weight": 1, "target": 1, "norm": "sample"},
    "cramer_gp": {"weight": 10, "target": 1, "norm": "sample"},
    "dragan": {"weight": 10, "target": 1, "norm": "sample", "scale": 0.5},
    "r1": {"weight": 10},
    "r2": {"weight": 10},
    "sobolev": {"weight": 2e-8},
    "feature_l2": {"weight": 1},
    "kernel_l2": {"conv": 1e-6, "dense": 1e-3},
    "autoencoder": {"weight": 8},
}


def test_names_and_parameters():
    found = {name: penalties.get(name).parameters for name in penalties.names()}
    assert found == DEFAULTS
    penalty = penalties.get("r1", weight=5)
    assert (penalty.name, penalty.parameters) == ("r1", {"weight": 5})
    assert penalties.get(penalty) is penalty


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        (
            "pg",
            {},
            "unknown penalty 'pg'; known: gp, witness_gp, cramer_gp, dragan, r1, r2, "
            "sobolev, feature_l2, kernel_l2, autoencoder",
        ),
        ("gpp", {}, "unknown penalty 'gpp'; did you mean 'gp'?"),
        (
            "gp",
            {"wait": 1},
            "penalty 'gp' has no parameter 'wait'; it takes weight, target, norm",
        ),
        ("gp", {"norm": "axis2"}, "unknown norm 'axis2'; did you mean 'axis1'?"),
        (
            "dragan",
            {"norm": 1},
            "unknown norm 1; known: sample, axis1, channels",
        ),
        *(
            (
                name,
                {key: value},
                f"{key} of a penalty is a finite number from 0, not {value!r}",
            )
            for name, key, value in [
                ("gp", "weight", -1),
                ("witness_gp", "weight", float("nan")),
                ("cramer_gp", "target", float("inf")),
                ("dragan", "scale", "half"),
                ("r1", "weight", True),
                ("r2", "weight", None),
                ("sobolev", "weight", -1e-8),
                ("feature_l2", "weight", "1"),
                ("kernel_l2", "conv", -1.0),
                ("kernel_l2", "dense", [1]),
                ("autoencoder", "weight", -8),
            ]
        ),
    ],
)
def test_other_penalties_are_refused_in_words(name, parameters, message):
    with pytest.raises(ValueError) as caught:
        penalties.get(name, **parameters)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name, message",
    [
        ("witness_gp", "a loss: one of gantf.losses that has a witness"),
        ("autoencoder", "a decoder: a net from scores to samples"),
        ("feature_l2", "a discriminator: a keras.Model made of layers"),
        ("kernel_l2", "a discriminator: a keras.Model made of layers"),
    ],
)
def test_what_a_penalty_needs_is_asked_for_in_words(name, message):
    with pytest.raises(ValueError) as caught:
        penalties.get(name)(two_samples(linear(1.0, 2.0)))
    assert str(caught.value) == f"penalty {name!r} needs {message}"
