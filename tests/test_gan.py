"""Tests of gan.py and sampler.py: the two steps, the average, drawing, saving."""

import json

import keras
import numpy as np
import pytest
import references
import tensorflow as tf

import gantf
from gantf import losses
from gantf.layers import SpectralNormalization

ARCHITECTURE = {
    "latent": "normal-8",
    "sample": "8x8x1",
    "generator": "dense-4x4x16-bn-relu tconv4-8-s2-bn-relu conv3-1-tanh",
    "discriminator": "conv3-8-sn-lrelu conv4-8-s2-sn2-lrelu flatten dense-4-sn",
}


def make(loss="rep", generator_rate=0.05, discriminator_rate=0.1, **settings):
    keras.utils.set_random_seed(1)
    nets = gantf.build_pair(ARCHITECTURE, score=losses.get(loss).score_dim)
    gan = gantf.GAN(*nets, loss=loss, **settings)
    gan.compile(
        keras.optimizers.SGD(generator_rate), keras.optimizers.SGD(discriminator_rate)
    )
    return gan


def images(n=64, seed=0):
    noise = np.random.RandomState(seed).randn(n, 8, 8, 1)
    return np.tanh(noise).astype("float32")


def batches(n=64, batch=16):
    data = tf.data.Dataset.from_tensor_slices(images(n))
    return data.batch(batch, drop_remainder=True)


def weights(net):
    return [np.array(weight) for weight in net.get_weights()]


def moved(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after)]


def test_simultaneous_step_uses_both_gradients_of_one_pass():
    # SGD at rate 1: the change of a weight is its gradient, taken here by hand from
    # one pass, with sigma after one power iteration as the step has it.
    gan, twin = make(generator_rate=1.0, discriminator_rate=1.0), make()
    real = images(16)
    latents = tf.random.stateless_normal((16, 8), [0, 0])
    with tf.GradientTape(persistent=True) as tape:
        fake = twin.generator(latents, training=True)
        r = twin.discriminator(real, training=True)
        with gantf.layers.spectral_updates(False):
            f = twin.discriminator(fake, training=True)
        g_loss = twin.criterion.generator(r, f)
        d_loss = twin.criterion.discriminator(r, f)
    logs = gan.train_step(tf.constant(real))
    for net, loss in (("generator", g_loss), ("discriminator", d_loss)):
        wrt = [v.value for v in getattr(twin, net).trainable_variables]
        gradients = tape.gradient(loss, wrt)
        changes = [
            old - new for old, new in zip(wrt, getattr(gan, net).trainable_variables)
        ]
        for change, gradient in zip(changes, gradients):
            np.testing.assert_allclose(change, gradient, atol=2e-6)
        norm = np.sqrt(sum(float(tf.reduce_sum(g * g)) for g in gradients))
        np.testing.assert_allclose(logs[f"{net}_gradient"], norm, rtol=1e-4)
        np.testing.assert_allclose(logs[f"{net}_loss"], loss, rtol=1e-5)


def test_both_calls_of_a_step_see_one_sigma_and_it_moves_once_a_step():
    gan = make()
    layer = next(
        x for x in gan.discriminator.layers if isinstance(x, SpectralNormalization)
    )
    seen, iterate = [], layer._iterate
    layer._iterate = lambda kernel: seen.append(1) or iterate(kernel)
    gan.train_step(tf.constant(images(16)))
    assert len(seen) == 1


def test_generator_gradient_does_not_reach_the_discriminator():
    gan = make(discriminator_rate=0.0)
    before = (
        weights(gan.generator),
        [np.array(v) for v in gan.discriminator.trainable_variables],
    )
    gan.fit(batches(), epochs=1, verbose=0)
    assert all(moved(before[0], weights(gan.generator)))
    after = [np.array(v) for v in gan.discriminator.trainable_variables]
    assert not any(moved(before[1], after))


def test_alternating_step_trains_the_critic_on_fresh_batches_and_latents():
    gan = make("hinge", update="alternating", critic_steps=3)
    seen = []
    gan.critic_step = lambda data, turn, step=gan.critic_step: (
        tf.py_function(
            lambda x, i: seen.append((float(x), int(i))),
            [tf.reduce_sum(data), gan._draws(turn).index],
            [],
        ),
        step(data, turn),
    )[1]
    data = batches(96, 16)
    gan.fit(data, epochs=1, verbose=0)  # 6 batches: 2 steps of 3
    assert gan.step == 2
    sums = [float(tf.reduce_sum(batch)) for batch in data]
    np.testing.assert_allclose([x for x, _ in seen], sums, rtol=1e-5)
    assert [i for _, i in seen] == [0, 1, 2, 4, 5, 6]  # 3 and 7 are the generator's


def test_alternating_generator_step_leaves_the_discriminator_alone():
    gan = make("hinge", update="alternating")
    before = weights(gan.discriminator)
    gan.generator_step(tf.constant(images(16)))
    assert not any(moved(before, weights(gan.discriminator)))


def test_average_is_the_recursion_with_warm_up_and_holds_batch_statistics():
    gan = make(ema=0.5)
    average = weights(gan.generator)
    for step in range(1, 8):
        gan.train_step(tf.constant(images(16, step)))
        d = min(0.5, (1 + step) / (10 + step))
        now = weights(gan.generator)
        average = [d * a + (1 - d) * w for a, w in zip(average, now)]
    for mine, expected in zip(weights(gan.average), average):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-6)


def test_average_takes_over_spectral_vectors_as_they_are():
    architecture = {**ARCHITECTURE, "generator": "dense-8x8x4-relu conv3-1-sn-tanh"}
    nets = gantf.build_pair(architecture)
    gan = gantf.GAN(*nets)
    gan.compile()
    gan.fit(batches(), epochs=3, verbose=0)
    layer = next(x for x in gan.average.layers if isinstance(x, SpectralNormalization))
    assert float(tf.norm(layer.vector.value)) == pytest.approx(1, abs=1e-5)


def test_sigmas_of_nested_nets_are_found():
    inner = gantf.build("dense-4-sn", (3,), name="inner")
    outer = keras.Sequential([keras.Input((3,)), inner], name="outer")
    gan = gantf.GAN(gantf.build("dense-3", (2,)), outer)
    assert list(gan.sigmas()) == ["outer/01_dense"]


def test_eager_steps_give_the_same_numbers():
    one, eager = make(), make()
    eager.compile(
        keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.1), run_eagerly=True
    )
    for gan in (one, eager):
        gan.fit(batches(32), epochs=1, verbose=0)
    for a, b in zip(one.get_weights(), eager.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_error_weights_without_gradient_and_bytes():
    z = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(z)
    idle = keras.layers.Dense(4, name="idle")(flat)
    score = keras.layers.Dense(4)(flat)
    net = keras.Model(z, score + keras.ops.stop_gradient(idle))
    gan = gantf.GAN(gantf.build_pair(ARCHITECTURE)[0], net)
    gan.compile()
    with pytest.raises(
        ValueError, match=r"the loss does not depend on idle/kernel, idle/bias"
    ):
        gan.train_step(tf.constant(images(16)))
    with pytest.raises(ValueError) as caught:
        make().train_step(tf.zeros((4, 8, 8, 1), tf.uint8))
    assert str(caught.value) == "samples are floats in [-1, 1], not uint8"


def test_without_average_generate_uses_the_generator():
    gan = make(ema=0.0)
    assert gan.average is None
    latents = gan.sampler.latents(5, seed=3)
    np.testing.assert_array_equal(
        gan.generate(5, seed=3), np.clip(gan.generator(latents, training=False), -1, 1)
    )


def test_generate_is_repeatable_by_seed_and_otherwise_new():
    gan = make()
    same = gan.generate(7, seed=1)
    assert same.shape == (7, 8, 8, 1) and same.dtype == np.float32
    assert np.abs(same).max() <= 1
    np.testing.assert_array_equal(same, gan.generate(7, seed=1))
    assert not np.array_equal(same, gan.generate(7, seed=2))
    assert not np.array_equal(gan.generate(7), gan.generate(7))


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    gan = make()
    latents = gan.sampler.latents(300, seed=0)
    np.testing.assert_allclose(
        gan.sampler.decode(latents)[:10], gan.sampler.decode(latents[:10]), atol=1e-6
    )


def test_uniform_latents_fill_minus_one_to_one():
    nets = gantf.build_pair({**ARCHITECTURE, "latent": "uniform-8"})
    gan = gantf.GAN(*nets, latent="uniform-8")
    latents = np.asarray(gan.sampler.latents(4000, seed=0))
    # The mean of 32,000 draws has standard deviation 1 / sqrt(3 * 32000) = 0.0032.
    assert (
        abs(latents.mean()) < 0.016 and -1 <= latents.min() < -0.99 < latents.max() <= 1
    )


def test_save_and_load_keep_everything_and_training_goes_on_the_same(tmp_path):
    gan = make("rmb", penalties=[("gp", {"weight": 0.1})], ema=0.9, seed=5)
    gan.fit(batches(), epochs=1, verbose=0)
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    assert again.step == gan.step == 4
    own = ("loss", "penalties", "latent", "update", "ema", "seed")
    told = [json.dumps([g.get_config()[key] for key in own]) for g in (gan, again)]
    assert told[0] == told[1]
    np.testing.assert_array_equal(gan.generate(3, seed=0), again.generate(3, seed=0))
    for model in (gan, again):
        model.fit(batches(), epochs=1, verbose=0)
    for mine, other in zip(gan.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(mine, other)


def test_several_steps_an_execution_give_the_same_numbers():
    one, many = make(), make()
    many.compile(
        keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.1), steps_per_execution=4
    )
    for gan in (one, many):
        gan.fit(batches(), epochs=2, verbose=0)
    for a, b in zip(one.get_weights(), many.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_dicts_and_tuples_of_a_dataset_train_as_bare_images_do():
    data = batches()
    runs = [
        data,
        data.map(lambda x: {"image": x, "label": tf.zeros(len(x), tf.int32)}),
        data.map(lambda x: (x, tf.zeros(len(x)))),
    ]
    trained = []
    for dataset in runs:
        gan = make()
        gan.fit(dataset, epochs=1, verbose=0)
        trained.append(gan.get_weights())
    for other in trained[1:]:
        for a, b in zip(trained[0], other):
            np.testing.assert_allclose(a, b, atol=1e-7)


def test_bfloat16_nets_train_with_float32_losses_and_weights():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        gan = make()
    finally:
        keras.config.set_dtype_policy("float32")
    logs = gan.train_step(tf.constant(images(16)))
    assert all(value.dtype == tf.float32 for value in logs.values())
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert {v.dtype for v in gan.discriminator.variables} == {"float32"}


def test_sigmas_are_named_after_their_layers():
    gan = make()
    assert list(gan.sigmas()) == [
        "discriminator/01_conv",
        "discriminator/02_conv",
        "discriminator/04_dense",
    ]


# ---- nets that ask for labels

CONDITIONAL = {
    "latent": "normal-8",
    "sample": "8x8x1",
    "classes": 3,
    "generator": "dense-4x4x16 res3-8-up2-cbn-relu conv3-1-ck-tanh",
    "discriminator": "stem3-8-down2-sn-relu attn4-sn res3-8-sn2-gain-relu gsum "
    "dense-4-sn-proj",
}
LABELS = np.arange(64) * 5 % 3


def make_conditional(loss="rep", rate=0.1, **settings):
    keras.utils.set_random_seed(1)
    nets = gantf.build_pair(CONDITIONAL, score=losses.get(loss).score_dim)
    gan = gantf.GAN(*nets, loss=loss, classes=3, **settings)
    gan.compile(keras.optimizers.SGD(rate / 2), keras.optimizers.SGD(rate))
    return gan


def labelled(batch=16, labels=LABELS):
    data = {"image": images(), "label": np.asarray(labels, "int32")}
    dataset = tf.data.Dataset.from_tensor_slices(data)
    return dataset.batch(batch, drop_remainder=True)


def test_both_nets_see_the_labels_of_the_batch():
    # SGD: a weight changes by its gradient, taken here by hand from one pass.
    gan, twin = make_conditional(), make_conditional()
    real, labels = tf.constant(images(16)), tf.constant(LABELS[:16], tf.int32)
    latents = tf.random.stateless_normal((16, 8), [0, 0])
    with tf.GradientTape(persistent=True) as tape:
        fake = twin.generator([latents, labels], training=True)
        r = twin.discriminator([real, labels], training=True)
        with gantf.layers.spectral_updates(False):
            f = twin.discriminator([fake, labels], training=True)
        found = {
            "generator": (twin.criterion.generator(r, f), 0.05),
            "discriminator": (twin.criterion.discriminator(r, f), 0.1),
        }
    gan.train_step({"image": real, "label": labels})
    for net, (loss, rate) in found.items():
        variables = getattr(twin, net).trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        for old, new, gradient in zip(
            variables, getattr(gan, net).trainable_variables, gradients
        ):
            change = (old.value - new.value) / rate
            gradient = tf.convert_to_tensor(gradient)
            np.testing.assert_allclose(change, gradient, atol=5e-6, err_msg=old.path)


@pytest.mark.parametrize(
    "loss, settings",
    [
        ("rmb", {}),
        ("hinge", {"update": "alternating", "critic_steps": 2}),
        ("wasserstein", {"update": "alternating", "penalties": ["gp"]}),
    ],
)
def test_conditional_nets_train_under_every_update(loss, settings):
    # at 0.1 plain gradient descent on a gradient penalty runs away
    gan = make_conditional(loss, rate=0.002, **settings)
    before = gan.generator.get_weights() + gan.discriminator.get_weights()
    history = gan.fit(labelled(), epochs=1, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    after = gan.generator.get_weights() + gan.discriminator.get_weights()
    changed = np.mean(moved(before, after))
    assert changed > 0.9  # biases in front of batch norm stay


def test_tuples_of_images_and_labels_train_as_dicts_do():
    pairs = labelled().map(lambda x: (x["image"], x["label"]))
    trained = []
    for data in (labelled(), pairs):
        trained.append(make_conditional())
        trained[-1].fit(data, epochs=1, verbose=0)
    for a, b in zip(*(gan.get_weights() for gan in trained)):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_conditional_samples_have_the_labels_asked_for():
    gan = make_conditional(ema=0.0)
    gan.fit(labelled(), epochs=2, verbose=0)
    latents = gan.sampler.latents(6, seed=2)

    def made(labels):
        return np.clip(gan.generator([latents, tf.constant(labels)]), -1, 1)

    turns = gan.generate(6, seed=2)
    np.testing.assert_allclose(turns, made([0, 1, 2, 0, 1, 2]), atol=1e-6)
    ones = gan.generate(6, labels=1, seed=2)
    np.testing.assert_allclose(ones, made([1] * 6), atol=1e-6)
    own = gan.generate(6, labels=[2, 2, 0, 0, 1, 1], seed=2)
    np.testing.assert_allclose(own, made([2, 2, 0, 0, 1, 1]), atol=1e-6)
    assert np.abs(ones - turns)[0].max() > 1e-3


def test_a_conditional_gan_is_saved_and_loaded(tmp_path):
    gan = make_conditional()
    gan.fit(labelled(), epochs=1, verbose=0)
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    assert again.classes == 3
    for model in (gan, again):
        model.fit(labelled(), epochs=1, verbose=0)
    for mine, other in zip(gan.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(
        gan.generate(4, labels=2, seed=0), again.generate(4, labels=2, seed=0)
    )


def test_sigmas_of_class_wise_kernels_are_their_largest():
    architecture = CONDITIONAL | {"discriminator": "flatten dense-4-sn-ck-proj"}
    gan = gantf.GAN(*gantf.build_pair(architecture), classes=3)
    layer = gan.discriminator.get_layer("02_dense")
    layer.layer.scale.assign(np.array([[0.0] * 4, [1.0] * 4, [-0.5] * 4]))
    sigmas = gan.sigmas()
    assert set(sigmas) == {
        "discriminator/02_dense",
        "discriminator/02_dense_embedding",
    }
    each = np.asarray(layer.sigma())
    assert each.shape == (3,)
    assert float(sigmas["discriminator/02_dense"]) == each.max()


def test_error_labels_that_cannot_be():
    gan = make_conditional()
    bad = labelled(labels=np.where(np.arange(64) == 20, 3, LABELS))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        gan.fit(bad, epochs=1, verbose=0)
    assert "[labels are whole numbers from 0 to 2, not] [3]" in str(caught.value)
    with pytest.raises(ValueError) as caught:
        gan.fit(batches(), epochs=1, verbose=0)
    assert str(caught.value) == (
        "the generator asks for labels, and the data has none: give dicts of 'image' "
        "and 'label'"
    )
    halves = labelled().map(
        lambda x: (x["image"], tf.cast(x["label"], "float32") + 0.5)
    )
    hot = labelled().map(
        lambda x: (x["image"], tf.one_hot(x["label"], 3, dtype="int32"))
    )
    for data, kind in ((halves, "float32 (16,)"), (hot, "int32 (16, 3)")):
        with pytest.raises(ValueError) as caught:
            gan.fit(data, epochs=1, verbose=0)
        assert str(caught.value) == (
            f"labels are whole numbers, one for each sample, not {kind}"
        )
    with pytest.raises(ValueError) as caught:
        gantf.GAN(*gantf.build_pair(CONDITIONAL), classes=2.5)
    assert str(caught.value) == "classes is a whole number from 0, not 2.5"
    with pytest.raises(ValueError) as caught:
        gantf.GAN(*gantf.build_pair(CONDITIONAL))
    assert str(caught.value) == (
        "the generator asks for labels of 3 classes: give classes=3, not 0"
    )


@pytest.mark.parametrize(
    "labels, message",
    [
        (3, "labels are whole numbers from 0 to 2, not 3"),
        ([0, -1, 1, 1], "labels are whole numbers from 0 to 2, not -1"),
        (
            [0, 1],
            "labels are a whole number, or one for each of the 4 samples, not "
            "int64 (2,)",
        ),
        (
            [0.5, 1, 2, 0],
            "labels are a whole number, or one for each of the 4 samples, not "
            "float64 (4,)",
        ),
    ],
)
def test_error_labels_of_samples(labels, message):
    with pytest.raises(ValueError) as caught:
        make_conditional().generate(4, labels)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"loss": "hinge"},
            "loss 'hinge' needs a score of width 1, but the discriminator gives 4; "
            "build it with build_pair(architecture, score=1)",
        ),
        ({"loss": "repp"}, "unknown loss 'repp'; did you mean 'rep'?"),
        (
            {"update": "alternate"},
            "unknown update 'alternate'; did you mean 'alternating'?",
        ),
        (
            {"critic_steps": 5},
            "a simultaneous update has one critic step, not 5; "
            "use update='alternating'",
        ),
        ({"ema": 1.0}, "ema is a decay from 0 and below 1, not 1.0"),
        (
            {"latent": "normal-9"},
            "the generator takes latents of 8 numbers, not normal-9",
        ),
        ({"seed": -1}, "seed is a whole number from 0, not -1"),
    ],
)
def test_error_messages(settings, message):
    nets = gantf.build_pair(ARCHITECTURE)
    with pytest.raises(ValueError) as caught:
        gantf.GAN(*nets, **settings)
    assert str(caught.value) == message


def test_error_one_optimizer_for_both_nets():
    gan, adam = make(), keras.optimizers.Adam()
    with pytest.raises(ValueError, match="each net needs an optimizer of its own"):
        gan.compile(adam, adam)


def test_error_batches_that_replicas_cannot_share(in_process):
    said = in_process(_UNEVEN)
    uneven = (
        "on 2 devices all batches are of one size that 2 divides: use "
        "batch(n, drop_remainder=True)"
    )
    assert said == [
        uneven,
        uneven,
        "on several devices fit takes a tf.data.Dataset",
        "clipnorm is not exact on several devices; leave it out",
        "drop and noise draw the same for all devices: train on one device",
        "drop and noise draw the same for all devices: train on one device",
        "on 2 devices all batches are of one size that 8 divides: use "
        "batch(n, drop_remainder=True)",
    ]


_UNEVEN = """
import json
import gantf, keras
import tensorflow as tf
from test_gan import images, make

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    gan = make()
said = []
data = tf.data.Dataset.from_tensor_slices(images(20))
def tell(call):
    try:
        call()
    except ValueError as error:
        said.append(str(error))
for batches in (data.batch(16), data.batch(5, drop_remainder=True), images(20)):
    tell(lambda: gan.fit(batches, verbose=0))
tell(lambda: gan.compile(keras.optimizers.SGD(clipnorm=1.0)))
for words in ("drop0.5", "noise0.1", "mbstd4"):
    gan.discriminator = gantf.build(f"flatten {words} dense-4", (8, 8, 1))
    tell(lambda: gan.fit(data.batch(4, drop_remainder=True), verbose=0))
print(json.dumps(said))
"""


def test_default_losses_agree_with_float64_formulas():
    gan = make()
    real, fake = (np.random.RandomState(s).randn(6, 4) for s in (0, 1))
    means = gan.criterion.monitors(real, fake)
    for name, (a, b) in {
        "k_rr": (real, real),
        "k_ff": (fake, fake),
        "k_rf": (real, fake),
    }.items():
        expected = references.mean_off_diagonal(references.rbf(a, b, 1.0))
        np.testing.assert_allclose(means[name], expected, rtol=1e-5)


# ---- schedules, clipping, scalings, decoders, memory


def gradients_of(gan, real):
    """The discriminator's gradient of a simultaneous first step, by hand."""
    latents = tf.random.stateless_normal((len(real), 8), [0, 0])
    with tf.GradientTape() as tape:
        fake = gan.generator(latents, training=True)
        r = gan.discriminator(real, training=True)
        with gantf.layers.spectral_updates(False):
            f = gan.discriminator(fake, training=True)
        loss = gan.criterion.discriminator(r, f)
    variables = gan.discriminator.trainable_variables
    return tape.gradient(loss, [v.value for v in variables])


def test_critic_steps_follow_the_schedule():
    gan = make("hinge", update="alternating", critic_steps="1,more=3,first=1,every=3")
    seen = []
    gan.critic_step = lambda data, turn, step=gan.critic_step: (
        tf.py_function(lambda i: seen.append(int(i)), [gan._draws(turn).index], []),
        step(data, turn),
    )[1]
    data = batches(64, 16).repeat()
    gan.fit(data, steps_per_epoch=5, epochs=1, verbose=0)
    # 3, 1, 1, 3, 1 turns of steps 0 to 4, each with 4 indices of its own. What the
    # graph's turns do waits for the weights; what they tell here need not.
    assert sorted(seen) == [0, 1, 2, 4, 8, 12, 13, 14, 16]


def test_eager_steps_of_a_schedule_give_the_same_numbers():
    settings = {"update": "alternating", "critic_steps": "1,more=3,first=1,every=3"}
    one, eager = make("hinge", **settings), make("hinge", **settings)
    eager.compile(
        keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.1), run_eagerly=True
    )
    for gan in (one, eager):
        gan.fit(batches(64, 16).repeat(), steps_per_epoch=4, epochs=1, verbose=0)
    for a, b in zip(one.get_weights(), eager.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("batch_count, steps", [(6, 2), (7, 2), (3, 1), (2, 1)])
def test_an_epoch_has_the_steps_that_there_are_batches_for(batch_count, steps):
    gan = make("hinge", update="alternating", critic_steps=3)
    gan.fit(batches(batch_count * 8, 8), epochs=1, verbose=0)
    assert gan.step == steps


def test_without_critic_steps_the_features_are_fixed():
    gan = make("mmd_g", update="alternating", critic_steps=0)
    before = weights(gan.discriminator), weights(gan.generator)
    history = gan.fit(batches(), epochs=1, verbose=0).history
    assert not any(moved(before[0], weights(gan.discriminator)))
    assert any(moved(before[1], weights(gan.generator)))
    assert gan.step == 4  # a batch each
    assert {"generator_loss", "discriminator_loss", "k_rr"} <= set(history)


def test_features_that_move_every_third_step():
    gan = make("mmd_g", update="alternating", critic_steps="0,more=1,every=3")
    gan.fit(batches(), epochs=1, verbose=0)  # steps 0 to 3
    assert int(gan.discriminator_optimizer.iterations) == 2


def test_a_discriminator_without_weights_is_for_fixed_features():
    generator = gantf.build("dense-8x8x1-tanh", (8,), name="generator")
    flatten = gantf.build("flatten", (8, 8, 1), name="discriminator")
    with pytest.raises(ValueError) as caught:
        gantf.GAN(generator, flatten, loss="mmd_g")
    assert str(caught.value) == (
        "the discriminator has no weights to train: give update='alternating', "
        "critic_steps=0"
    )
    gan = gantf.GAN(
        generator, flatten, loss="mmd_g", update="alternating", critic_steps=0
    )
    gan.compile()
    gan.fit(batches(), epochs=1, verbose=0)
    assert gan.step == 4


def test_weights_are_held_within_the_clip_after_each_step():
    gan = make("hinge", update="alternating", critic_steps=2, clip=0.01)
    gan.fit(batches(), epochs=1, verbose=0)
    clipped = [np.abs(v).max() for v in gan.discriminator.trainable_variables]
    assert max(clipped) == np.float32(0.01)
    free = [np.abs(v).max() for v in gan.generator.trainable_variables]
    assert max(free) > 0.01


def test_gradients_are_clipped_variable_by_variable():
    settings = {"generator_rate": 1.0, "discriminator_rate": 1.0}
    gan, twin = make(gradient_clip=0.02, **settings), make()
    real = images(16)
    before = [np.array(v) for v in gan.discriminator.trainable_variables]
    gan.train_step(tf.constant(real))
    norms = []
    for old, new, gradient in zip(
        before, gan.discriminator.trainable_variables, gradients_of(twin, real)
    ):
        norms.append(np.linalg.norm(gradient))
        held = gradient * min(1, 0.02 / norms[-1])
        np.testing.assert_allclose(old - np.array(new), held, atol=2e-6)
    assert min(norms) < 0.02 < max(norms)  # some are cut, some are not


def test_the_losses_own_penalties_scaling_and_clip_are_taken_unless_others_are_given():
    assert [p.name for p in make("wasserstein").penalties] == ["gp"]
    assert make("wasserstein", penalties=()).penalties == []
    assert make("smmd").scaling.name == "smmd"
    assert make("smmd", scaling="none").scaling is None
    assert make("smmd", scaling=("smmd", {"coefficient": 2.0})).scaling.parameters[
        "coefficient"
    ] == (2.0)
    assert make("wgan").clip == 0.01 and make("wgan", clip=0).clip == 0


DECODED = {**ARCHITECTURE, "decoder": "dense-8x8x2 conv3-1-tanh"}


def make_li(**settings):
    keras.utils.set_random_seed(1)
    nets = gantf.build_pair(DECODED)
    decoder = gantf.builder.build_decoder(DECODED)
    gan = gantf.GAN(*nets, loss="li", decoder=decoder, **settings)
    gan.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
    return gan


def test_the_decoder_learns_with_the_discriminator_and_is_not_clipped():
    gan = make_li(update="alternating", critic_steps=2)
    assert (gan.clip, [p.name for p in gan.penalties]) == (0.01, ["autoencoder"])
    before = weights(gan.decoder)
    gan.fit(batches(), epochs=2, verbose=0)
    assert all(moved(before, weights(gan.decoder)))
    assert max(np.abs(w).max() for w in weights(gan.decoder)) > 0.01
    clipped = [np.abs(v).max() for v in gan.discriminator.trainable_variables]
    assert max(clipped) <= np.float32(0.01)


def test_what_losses_penalties_and_augmentations_remember_is_saved(tmp_path):
    ada = "ada", {"ramp": 100, "every": 3, "policy": "color"}
    gan = make("instance_noise", penalties=["sobolev"], augment=ada)
    gan.fit(batches(), epochs=2, verbose=0)  # 8 updates of the discriminator
    memory = {name: float(v) for name, v in gan.memory.monitors().items()}
    assert memory["sobolev/multiplier"] != 0
    assert any(name.startswith("loss/") for name in memory)
    assert memory["augment/batches"] == 2 and memory["augment/r"] != 0
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    assert {n: float(v) for n, v in again.memory.monitors().items()} == memory
    for model in (gan, again):
        model.fit(batches(), epochs=1, verbose=0)
    for mine, other in zip(gan.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(mine, other)


def test_scalings_decoders_and_schedules_are_saved(tmp_path):
    for i, gan in enumerate(
        [
            make_li(update="alternating", critic_steps="1,more=2,first=1"),
            make("smmd", gradient_clip=1.0, clip=0.1),
        ]
    ):
        gan.fit(batches(), epochs=1, verbose=0)
        gan.save(tmp_path / f"{i}.keras")
        again = keras.models.load_model(tmp_path / f"{i}.keras")
        keys = ("loss", "penalties", "critic_steps", "scaling", "clip", "gradient_clip")
        told = [json.dumps([g.get_config()[key] for key in keys]) for g in (gan, again)]
        assert told[0] == told[1]
        for model in (gan, again):
            model.fit(batches(), epochs=1, verbose=0)
        for mine, other in zip(gan.get_weights(), again.get_weights()):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"critic_steps": "x"},
            "critic_steps is a whole number from 0, or a schedule like "
            "'5,more=100,first=25,every=500', not 'x'",
        ),
        ({"clip": -1}, "clip is a number above 0, or 0 for none, not -1"),
        (
            {"gradient_clip": float("nan")},
            "gradient_clip is a number above 0, or 0 for none, not nan",
        ),
        ({"scaling": "smd"}, "unknown scaling 'smd'; did you mean 'smmd'?"),
        ({"penalties": ["gp", "gp"]}, "each penalty is given once, not gp, gp"),
    ],
)
def test_other_settings_are_refused_in_words(settings, message):
    with pytest.raises(ValueError) as caught:
        make(**settings)
    assert str(caught.value) == message


def sharp(net):
    """The spectral layers' sigma over what 200 more power iterations make of it."""
    ratios = []
    for layer in net.layers:
        if isinstance(layer, SpectralNormalization):
            before = float(layer.sigma())
            layer.iterate(200)
            ratios.append(before / float(layer.sigma()))
    return ratios


@pytest.mark.parametrize("critic_steps, turns", [(0, 0), (1, 1), (3, 3)])
def test_spectral_norms_of_the_generator_move_once_a_step(critic_steps, turns):
    words = {**ARCHITECTURE, "generator": "dense-8x8x4-relu conv3-1-sn-tanh"}
    keras.utils.set_random_seed(1)
    gan = gantf.GAN(
        *gantf.build_pair(words),
        loss="mmd_g",
        update="alternating",
        critic_steps=critic_steps,
    )
    gan.compile()
    seen = {"generator": [], "discriminator": []}
    for net, calls in seen.items():
        for layer in getattr(gan, net).layers:
            if isinstance(layer, SpectralNormalization):
                layer._iterate = lambda values, c=calls, f=layer._iterate: (
                    c.append(1) or f(values)
                )
                break
    data = tf.constant(images(16))
    for turn in range(turns):
        gan.critic_step(data, turn)
    gan.generator_step(data)
    assert [len(calls) for calls in seen.values()] == [1, turns]


def test_fixed_features_are_in_inference_mode_with_spectral_norms_found():
    words = {**ARCHITECTURE, "discriminator": "conv3-8-sn-bn-relu flatten dense-4-sn2"}
    gan = gantf.GAN(
        *gantf.build_pair(words), loss="mmd_g", update="alternating", critic_steps=0
    )
    gan.compile()
    before = weights(gan.discriminator)
    gan.fit(batches(), epochs=1, verbose=0)
    assert not any(moved(before, weights(gan.discriminator)))
    np.testing.assert_allclose(sharp(gan.discriminator), 1, rtol=1e-2)


def test_copies_of_a_batch_have_the_labels_of_their_samples():
    # two numbers a sample and four scores: slopes by tangents, on copies of the batch
    words = {
        "latent": "normal-2",
        "sample": "2",
        "classes": 3,
        "generator": "dense-2",
        "discriminator": "dense-8-tanh dense-4-cd",
    }
    gan = gantf.GAN(*gantf.build_pair(words), loss="smmd", classes=3)
    real, labels = tf.random.normal((6, 2)), tf.constant([0, 1, 2, 2, 1, 0])
    batch = gan._batch(real, real + 1, labels, gantf.batch.Draws())
    copies = batch.score(tf.repeat(real, 2, axis=0))
    np.testing.assert_allclose(copies[::2], batch.score(real), atol=1e-6)
    np.testing.assert_allclose(copies[1::2], batch.score(real), atol=1e-6)


def test_a_net_of_before_scalings_and_decoders_is_read():
    config = make().get_config()
    for key in ("scaling", "clip", "gradient_clip", "decoder"):
        del config[key]
    config["critic_steps"] = 1
    assert gantf.GAN.from_config(config).scaling is None


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"penalties": "gp"}, "penalties is a list, as ['gp'], not 'gp'"),
        (
            {"penalties": [("gp",)]},
            "penalties are names or (name, parameters), not ('gp',)",
        ),
        ({"scaling": ()}, "scaling are names or (name, parameters), not ()"),
        (
            {"scaling": "gcmmd"},
            "scaling 'gcmmd' is for losses L_G = MMD^2 = -L_D, as 'gcmmd' or 'mmd_g', "
            "not 'rep'",
        ),
        (
            {"loss": "hinge", "scaling": "smmd_exact"},
            "scaling 'smmd_exact' needs a loss with a kernel, as 'mmd_g', not 'hinge'",
        ),
        (
            {"penalties": ["autoencoder"]},
            "penalty 'autoencoder' needs a decoder: a net from scores to samples",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_a_step(settings, message):
    with pytest.raises(ValueError) as caught:
        make(**settings)
    assert str(caught.value) == message


def test_decoders_that_do_not_fit_are_refused():
    nets = gantf.build_pair(DECODED)
    decoder = gantf.builder.build_decoder(DECODED)
    with pytest.raises(ValueError) as caught:
        gantf.GAN(*nets, decoder=decoder)
    assert str(caught.value) == (
        "a decoder is for the penalty 'autoencoder', which is not given"
    )
    grey = gantf.build("dense-4x4x1", (4,))
    with pytest.raises(ValueError) as caught:
        gantf.GAN(*nets, loss="li", decoder=grey)
    assert str(caught.value) == (
        "the decoder maps scores (4,) to samples (8, 8, 1), not (4,) to (4, 4, 1)"
    )


@pytest.mark.parametrize(
    "get, made, what",
    [
        (losses.get, losses.get("rep"), "loss"),
        (gantf.penalties.get, gantf.penalties.get("gp"), "penalty"),
        (gantf.scaling.get, gantf.scaling.get("smmd"), "scaling"),
    ],
)
def test_parameters_go_with_names(get, made, what):
    assert get(made) is made
    with pytest.raises(ValueError) as caught:
        get(made, weight=3)
    assert str(caught.value) == (
        f"parameters go with the name of a {what}, not with one that is made: weight"
    )


# ---- augmentation


AUGMENTED = ["diffaugment", ("ada", {"p": 0.6})]


@pytest.mark.parametrize("given", AUGMENTED, ids=str)
@pytest.mark.parametrize("part", ["train_step", "generator_step"])
def test_both_nets_learn_from_augmented_images(part, given):
    # SGD at rate 1: the change of a weight is its gradient, taken here by hand.
    settings = {} if part == "train_step" else {"update": "alternating"}
    rates = {"generator_rate": 1.0, "discriminator_rate": 1.0}
    gan, twin = make(augment=given, **rates, **settings), make()
    turn = 0 if part == "train_step" else 1
    latents = tf.random.stateless_normal((16, 8), [0, turn])
    real = tf.constant(images(16))
    with tf.GradientTape(persistent=True) as tape:
        fake = twin.generator(latents, training=True)
        seen = gan.augment.pair(real, fake, gantf.batch.Draws(0, turn), {})
        with gantf.layers.spectral_updates(part == "train_step"):
            r = twin.discriminator(seen[0], training=True)
        with gantf.layers.spectral_updates(False):
            f = twin.discriminator(seen[1], training=True)
        g_loss = twin.criterion.generator(r, f)
        d_loss = twin.criterion.discriminator(r, f)
    assert np.abs(seen[0] - real).max() > 0.1 < np.abs(seen[1] - fake).max()
    getattr(gan, part)(real)
    for net, loss in (("generator", g_loss), ("discriminator", d_loss)):
        wrt = [v.value for v in getattr(twin, net).trainable_variables]
        gradients = tape.gradient(loss, wrt)
        now = getattr(gan, net).trainable_variables
        for old, new, gradient in zip(wrt, now, gradients):
            moves = net == "generator" or part == "train_step"
            expected = gradient if moves else np.zeros_like(gradient)
            np.testing.assert_allclose(old - new, expected, atol=5e-6)


def test_penalties_and_scalings_have_augmented_samples():
    gan = make("smmd", augment="diffaugment")
    real, fake = tf.constant(images(16)), tf.constant(images(16, seed=1))
    batch = gan._batch(real, fake, None, gantf.batch.Draws(0, 7))
    seen = gan.augment.pair(real, fake, gantf.batch.Draws(0, 7), {})
    np.testing.assert_array_equal(batch.real, seen[0])
    np.testing.assert_array_equal(batch.fake, seen[1])
    np.testing.assert_allclose(batch.score(seen[0]), batch.real_scores, atol=1e-6)


def test_samples_are_drawn_as_the_generator_makes_them():
    plain, gan = make(ema=0.0), make(ema=0.0, augment="diffaugment")
    np.testing.assert_array_equal(gan.generate(5, seed=1), plain.generate(5, seed=1))
    np.testing.assert_array_equal(gan(tf.zeros((2, 8))), plain(tf.zeros((2, 8))))


def test_p_rises_while_the_discriminator_is_certain_and_falls_while_it_is_not():
    def stream(image):
        return tf.data.Dataset.from_tensors(image).repeat()

    ada = "ada", {"ramp": 800, "every": 2, "policy": "blit"}
    gan = make("logistic", augment=ada, generator_rate=0.0)
    # Real images are white, and those of an untrained generator are not: 40 updates of
    # 16 images.
    white = stream(tf.ones((16, 8, 8, 1)))
    history = gan.fit(white, steps_per_epoch=20, epochs=2, verbose=0).history
    assert history["augment/r"][-1] > 0.9
    risen = float(gan.memory.read("augment")["p"])
    assert risen > 0.5 and history["augment/p"][-1] == pytest.approx(risen)
    # Real and generated images are the same: all grey.
    gan.generator.set_weights([0 * w for w in gan.generator.get_weights()])
    gan.fit(stream(tf.zeros((16, 8, 8, 1))), steps_per_epoch=20, verbose=0)
    assert float(gan.memory.read("augment")["p"]) < risen - 0.2


def test_what_is_known_of_certainty_comes_from_critic_steps_alone():
    ada = "ada", {"policy": "color"}
    gan, real = make("rep", update="alternating", augment=ada), tf.constant(images(16))
    counts = []
    for step in (gan.critic_step, gan.generator_step, gan.critic_step):
        step(real, *([0] if step == gan.critic_step else []))
        counts.append(float(gan.memory.read("augment")["batches"]))
    assert counts == [1, 1, 2]


def test_without_augmentation_there_is_nothing_new_in_a_checkpoint():
    config = make().get_config()
    assert config.pop("augment") == "none"
    for gan in (make(augment="none"), gantf.GAN.from_config(config)):
        assert gan.augment is None and gan.memory.weights == []
    assert make(augment="diffaugment").memory.weights == []


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"augment": "adda"}, "unknown augmentation 'adda'; did you mean 'ada'?"),
        ({"augment": 5}, "augment are names or (name, parameters), not 5"),
        (
            {"augment": "ada", "update": "alternating", "critic_steps": 0},
            "augment 'ada' adapts p at updates of the discriminator, and "
            "critic_steps=0 makes none: give p",
        ),
    ],
)
def test_augmentations_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError) as caught:
        make("mmd_g", **settings)
    assert str(caught.value) == message


def test_points_are_not_augmented():
    nets = gantf.build("dense-2", (2,)), gantf.build("dense-4", (2,))
    with pytest.raises(ValueError) as caught:
        gantf.GAN(*nets, augment="diffaugment")
    assert str(caught.value) == (
        "augment 'diffaugment' is for images, not for points of 2 numbers; leave "
        "augment out"
    )
