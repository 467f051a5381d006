"""Tests of monitors.py: spectra, slopes, clouds, saturation; nothing is changed."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_callbacks import read_csv
from test_gan import images, make

import gantf
from gantf import callbacks, losses, monitors, plots
from gantf.layers import (
    ConditionalDense,
    ConditionalKernel,
    CroppedConv2DTranspose,
    PaddedConv2D,
    SNConv2D,
    SNSeparableConv2D,
    SpectralNormalization,
)


def histograms(folder):
    """The histograms of TensorBoard: {tag: [(step, (low, high, count) a bin)]}."""
    found = {}
    for path in sorted((folder / "logs").glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "histograms":
                    bins = tf.make_ndarray(value.tensor)
                    found.setdefault(value.tag, []).append((event.step, bins))
    return found


def net(*layers, shape=(6, 6, 4)):
    """A net of layers whose kernels are drawn from N(0, 1)."""
    made = keras.Sequential([keras.Input(shape), *layers], name="net")
    draw = np.random.default_rng(3)
    made.set_weights([draw.normal(size=np.shape(w)) for w in made.get_weights()])
    return made


def patch_map(layer, size, channels):
    """The matrix that takes a patch of the layer's own size to its outputs."""
    basis = np.eye(size * size * channels, dtype="float32")
    outputs = layer(basis.reshape(-1, size, size, channels))
    return np.asarray(outputs).reshape(len(basis), -1)


def by_rows(kernel, out):
    """[c_out, all else] of a kernel, entry by entry of the axis `out`."""
    return [np.take(kernel, i, axis=out).ravel() for i in range(kernel.shape[out])]


SPECTRA = {  # layer -> the matrix of its kernel, from the layer by other means
    "dense": (
        keras.layers.Dense(3, use_bias=False),
        lambda layer: layer(np.eye(4, dtype="float32")),
    ),
    "conv": (
        keras.layers.Conv2D(3, 2, use_bias=False),
        lambda layer: patch_map(layer, 2, 4),
    ),
    "more outputs than inputs": (
        PaddedConv2D(40, 3, 0, use_bias=False),
        lambda layer: patch_map(layer, 3, 4),
    ),
    "groups": (
        keras.layers.Conv2D(6, 2, groups=2, use_bias=False),
        lambda layer: patch_map(layer, 2, 4),
    ),
    "depthwise": (
        keras.layers.DepthwiseConv2D(2, depth_multiplier=3, use_bias=False),
        lambda layer: patch_map(layer, 2, 4),
    ),
    "tconv": (
        keras.layers.Conv2DTranspose(3, 2, use_bias=False),
        lambda layer: by_rows(np.array(layer.kernel), 2),
    ),
    "cropped": (
        CroppedConv2DTranspose(2, 4, 1, strides=2),
        lambda layer: by_rows(np.array(layer.kernel), 2),
    ),
    "normalised": (
        SNConv2D(3, 2, gain=2.0),
        lambda layer: by_rows(np.array(layer.layer.kernel), 3),
    ),
    "twice wrapped": (
        keras.layers.TimeDistributed(SpectralNormalization(keras.layers.Dense(3))),
        lambda layer: np.array(layer.layer.layer.kernel),
    ),
}


@pytest.mark.parametrize("case", SPECTRA)
def test_spectra_are_the_singular_values_of_each_kind(case):
    layer, matrix = SPECTRA[case]
    found = monitors.spectra(net(layer))
    assert list(found) == [f"net/{layer.name}"]
    expected = np.linalg.svd(matrix(layer), compute_uv=False)
    # The matrix is float32; values are above .1 of the largest.
    np.testing.assert_allclose(found[f"net/{layer.name}"], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [keras.layers.SeparableConv2D, SNSeparableConv2D])
def test_spectra_of_a_separable_convolution_are_two(kind):
    layer = kind(5, 3, depth_multiplier=2, name="sep")
    found = monitors.spectra(net(layer))
    inner = getattr(layer, "layer", layer)
    depthwise = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)
    depthwise.build((None, 6, 6, 4))
    depthwise.kernel.assign(inner.depthwise_kernel)
    assert list(found) == ["net/sep/depthwise_kernel", "net/sep/pointwise_kernel"]
    for name, matrix in {
        "depthwise_kernel": patch_map(depthwise, 3, 4),  # (36, 8)
        "pointwise_kernel": np.array(inner.pointwise_kernel)[0, 0],  # (8, 5)
    }.items():
        expected = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(found[f"net/sep/{name}"], expected, rtol=1e-5)


def test_spectra_find_nets_in_nets_tables_and_what_classes_share():
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="dense"), keras.layers.ReLU()],
        name="inner",
    )
    x, y = keras.Input((4,)), keras.Input((), dtype="int32")
    rows = keras.layers.Embedding(5, 3, name="rows")(y)
    scaled = ConditionalKernel(
        keras.layers.Dense(3, use_bias=False), classes=5, name="scaled"
    )
    summed = ConditionalDense(2, classes=5, name="summed")
    outputs = summed([scaled([inner(x) + rows, y]), y])
    found = monitors.spectra(keras.Model([x, y], outputs, name="net"))
    assert {name: len(values) for name, values in found.items()} == {
        "net/inner/dense": 3,
        "net/rows": 3,
        "net/scaled": 3,
        "net/summed": 2,
    }
    for name, matrix in {
        "inner/dense": inner.layers[0].kernel,
        "scaled": scaled.kernel,
        "summed": summed.kernel,
    }.items():
        expected = np.linalg.svd(np.array(matrix), compute_uv=False)
        np.testing.assert_allclose(found[f"net/{name}"], expected, rtol=1e-5)


def test_every_kernel_of_a_built_net_has_a_spectrum():
    words = (
        "conv3-4-sn-lrelu dconv3-m2 sconv3-4 stem3-6-down2-sn attn2 gsum dense-1-proj"
    )
    critic = gantf.build(words, (6, 6, 3), classes=3, name="critic")
    found = monitors.spectra(critic)
    tables = [w for w in critic.trainable_variables if len(w.shape) > 1]
    assert len(found) == len(tables) > 10
    assert all(name.startswith("critic/") for name in found)


def critic_of(*kernels):
    """A GAN on samples (2,) whose discriminator has these kernels (in, out)."""
    words = " ".join(f"dense-{np.shape(kernel)[1]}-nobias" for kernel in kernels)
    critic = gantf.build(words, (2,), name="discriminator")
    critic.set_weights([np.array(kernel, "float32") for kernel in kernels])
    loss = losses.get("rep")
    return gantf.GAN(gantf.build("dense-2", (2,), name="generator"), critic, loss)


def looked(monitor, gan, step=7):
    monitor.set_model(gan)
    monitor.set_params({})
    monitor.on_train_begin()
    monitor.look(step, {})
    return {
        name: float(value)
        for row in read_csv(monitor.records_folder)
        for name, value in row.items()
        if value
    }


def records(folder, kind, *args, **kwargs):
    monitor = kind(callbacks.Records(folder), *args, **kwargs)
    monitor.records_folder = folder
    return monitor


def test_condition_and_stable_rank_by_hand(tmp_path):
    # Singular values 4 and 3; 2 and 0 (rank one); none but 0; 5 alone.
    gan = critic_of([[0, 3], [-4, 0]], [[1, 1], [1, 1]], np.zeros((2, 2)), [[3], [4]])
    found = looked(records(tmp_path, monitors.Spectra), gan)
    names = [f"discriminator/0{i}_dense" for i in (1, 2, 3, 4)]
    assert found.pop("step") == 7
    assert found == pytest.approx(
        {
            f"spectrum/{name}/{figure}": value
            for name, pair in zip(names, [(4 / 3, 25 / 16), (1e7, 1), (1e7, 0), (1, 1)])
            for figure, value in zip(("condition", "stable_rank"), pair)
        },
        rel=1e-6,  # 8 digits are written
    )
    bins = histograms(tmp_path)
    assert set(bins) == {f"spectrum/{name}/singular_values" for name in names}
    [(step, first)] = bins[f"spectrum/{names[0]}/singular_values"]
    # 3/4 and 1, in 30 bins between them.
    assert step == 7 and first[:, 2].sum() == 2
    assert (first[0, 0], first[-1, 1]) == (0.75, 1.0)


def drawn(values):
    """A dense layer (90, n) of these singular values, but for rounding to float32."""
    draw, n = np.random.default_rng(0), len(values)
    u, v = (np.linalg.qr(draw.normal(size=(rows, n)))[0] for rows in (90, n))
    layer = keras.layers.Dense(n, use_bias=False, name="dense")
    made = keras.Sequential([keras.Input((90,)), layer], name="net")
    layer.kernel.assign((u * values) @ v.T)
    return made


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6])
def test_small_singular_values_keep_their_digits(condition):
    made = drawn(np.geomspace(3, 3 / condition, 40))
    # Of the kernel as it is, in float64.
    expected = np.linalg.svd(np.array(made.weights[0], "float64"), compute_uv=False)
    # Squares lose twice the digits: 2e-16 * 1e12, a few times.
    np.testing.assert_allclose(
        monitors.spectra(made)["net/dense"], expected, rtol=2e-15 * condition**2 + 1e-9
    )


def test_a_lost_rank_is_a_zero_but_for_rounding():
    values = monitors.spectra(drawn([3.0] * 20 + [0.0] * 20))["net/dense"]
    np.testing.assert_allclose(values[:20], 3, rtol=1e-6)
    assert (values[20:] >= 0).all() and (values[20:] < 3e-6).all()


def test_a_repeated_filter_loses_a_rank(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(2, 30))
    gan = critic_of(kernel, np.tile(kernel.T, 2))
    found = looked(records(tmp_path, monitors.Spectra), gan)
    assert found["spectrum/discriminator/02_dense/condition"] == 1e7


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_kernels_that_are_not_finite_have_no_spectrum(tmp_path, bad):
    gan = critic_of([[1, bad], [0, 1]], [[3], [4]])
    found = looked(records(tmp_path, monitors.Spectra), gan)
    assert set(found) == {
        "step",
        "spectrum/discriminator/02_dense/condition",
        "spectrum/discriminator/02_dense/stable_rank",
    }


def test_slopes_of_a_linear_critic_are_its_weights(tmp_path):
    # The sum of both scores is 3 x + 4 y.
    gan = critic_of([[1, 2], [3, 1]])
    slopes = records(tmp_path, monitors.Slopes, np.zeros((5, 2), "float32"))
    assert looked(slopes, gan) == pytest.approx(
        {
            "step": 7,
            "slope/real": 5,
            "slope/real_max": 5,
            "slope/fake": 5,
            "slope/fake_max": 5,
        }
    )


def bent(weights, threshold):
    """relu(w x - threshold): its slope is |w| where it is above 0, else 0."""
    critic = gantf.build("dense-1-relu", (2,), name="discriminator")
    critic.set_weights([np.array(weights)[:, None], np.array([-threshold])])
    return critic


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_slopes_are_those_at_each_sample(tmp_path, real):
    generator = gantf.build("dense-2-nobias", (2,), name="generator")
    generator.set_weights([np.array([[2, 0], [1, 1]], "float32")])
    gan = gantf.GAN(generator, bent([3, -4], 0.5), "logistic")
    generator.set_weights([-generator.get_weights()[0]])  # the average keeps the old
    real = np.array([[1, 0], [0, 1], [1, 1], [-1, -1], [0, 0]] * 6, real)
    slopes = records(tmp_path, monitors.Slopes, real, seed=4)
    found = looked(slopes, gan)
    # 3 x - 4 y is 3, -4, -1, 1, 0.
    assert found["slope/real"] == pytest.approx(5 * 2 / 5)
    assert found["slope/real_max"] == pytest.approx(5)
    share, other = (
        np.mean(
            np.array(gan.sampler.latents(30, s)) @ [[-2, 0], [-1, -1]] @ [3, -4] > 0.5
        )
        for s in (4, 0)
    )
    assert 0 < share < 1 and share != other
    assert found["slope/fake"] == pytest.approx(5 * share)
    assert found["slope/fake_max"] == pytest.approx(5)


def conditional():
    generator = gantf.build("dense-2-cb", (2,), classes=3, name="generator")
    critic = gantf.build("dense-1-nobias-proj", (2,), classes=3, name="discriminator")
    values = {(2, 1): [[3], [0]], (3, 2): [[0, 4], [-3, 0], [2, 12]]}
    critic.set_weights(
        [np.array(values[np.shape(w)], "float32") for w in critic.get_weights()]
    )
    return gantf.GAN(generator, critic, "logistic", classes=3)


def test_slopes_are_those_of_the_samples_class(tmp_path):
    # s = (w + e_y) x, where w + e_y is (3, 4), (0, 0) and (5, 12): 5, 0 and 13 long.
    data = {"image": np.ones((4, 2), "float32"), "label": np.array([0, 1, 2, 2])}
    found = looked(records(tmp_path, monitors.Slopes, data), conditional())
    for name in ("real", "fake"):
        assert found[f"slope/{name}"] == pytest.approx((5 + 0 + 13 + 13) / 4)
        assert found[f"slope/{name}_max"] == pytest.approx(13)


def test_slopes_refuse_samples_without_labels_and_whole_numbers(tmp_path):
    slopes = records(tmp_path, monitors.Slopes, np.ones((4, 2), "float32"))
    with pytest.raises(ValueError) as caught:
        looked(slopes, conditional())
    assert str(caught.value) == (
        "the generator asks for labels, and the data has none: give dicts of 'image' "
        "and 'label'"
    )
    with pytest.raises(ValueError) as caught:
        monitors.Slopes(None, np.ones((4, 2), "uint8"))
    assert str(caught.value) == "samples are floats in [-1, 1], not uint8"


def epoch(gan, tmp_path, real, **options):
    """What the projector is given at the end of an epoch: its points and its lines."""
    embedding = monitors.Embedding(tmp_path, real, **options)
    embedding.set_model(gan)
    embedding.on_train_begin()
    embedding.on_epoch_end(0)
    folder = tmp_path / "logs/projector"
    points = np.loadtxt(folder / "points.tsv", delimiter="\t", ndmin=2)
    return points, (folder / "samples.tsv").read_text().splitlines()


def plane(critic, loss="logistic"):
    """A GAN on the plane whose generator doubles latents."""
    generator = gantf.build("dense-2-nobias", (2,), name="generator")
    generator.set_weights([2 * np.eye(2)])
    return gantf.GAN(generator, critic, loss)


def linear(*rows):
    """A critic of these score weights, (2, d)."""
    critic = gantf.build(f"dense-{len(rows[0])}-nobias", (2,), name="discriminator")
    critic.set_weights([np.array(rows, "float32")])
    return critic


def test_clouds_are_scores_of_real_and_of_generated_samples(tmp_path):
    weights = np.array([[1, 2, 0], [0, 1, 3]])
    gan = plane(linear(*weights), "rep")
    real = np.random.default_rng(0).normal(size=(9, 2)).astype("float32")
    found, kinds = epoch(gan, tmp_path, real, count=5, seed=4)
    latents = np.array(gan.sampler.latents(5, 4))
    expected = np.concatenate([real[:5], 2 * latents]) @ weights
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # six digits are written
    assert kinds == ["real"] * 5 + ["generated"] * 5
    again, _ = epoch(gan, tmp_path, real, count=5, seed=4)
    np.testing.assert_array_equal(found, again)


def test_clouds_of_a_narrow_score_are_what_it_is_made_from(tmp_path):
    critic = gantf.build("dense-5-nobias-relu dense-1", (2,), name="discriminator")
    hidden = np.random.default_rng(1).normal(size=(2, 5)).astype("float32")
    critic.set_weights([hidden, np.ones((5, 1)), np.zeros(1)])
    real = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    found, _ = epoch(plane(critic), tmp_path, real)
    np.testing.assert_allclose(found[:3], np.maximum(real @ hidden, 0), rtol=1e-4)


def test_clouds_of_a_wide_score_are_the_score(tmp_path):
    words = "dense-5-nobias dense-3-nobias"
    critic = gantf.build(words, (2,), name="discriminator")
    real = np.eye(2, dtype="float32")
    found, _ = epoch(plane(critic, "rep"), tmp_path, real)
    one, two = critic.get_weights()
    np.testing.assert_allclose(found[:2], one @ two, rtol=1e-4)


def test_clouds_of_a_narrow_critic_are_its_score(tmp_path):
    found, _ = epoch(plane(linear([3], [4])), tmp_path, np.eye(2, dtype="float32"))
    np.testing.assert_allclose(found[:2], [[3, 0, 0], [4, 0, 0]])


def test_clouds_of_wide_features_keep_their_distances(tmp_path):
    critic = gantf.build("dense-40-nobias dense-1", (2,), name="discriminator")
    real = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    found, _ = epoch(plane(critic), tmp_path, real)
    # Coordinates are as many as there are points; all lie in a plane.
    assert found.shape == (12, 12)
    wide = real @ critic.get_weights()[0]
    for i, j in ((0, 1), (2, 5)):
        distance = np.linalg.norm(wide[i] - wide[j])
        assert np.linalg.norm(found[i] - found[j]) == pytest.approx(distance, rel=1e-4)


def test_clouds_of_images_are_small_and_have_a_sheet(tmp_path):
    critic = "conv3-8-lrelu flatten dense-1"  # 512 numbers
    gan = make("logistic")
    gan.discriminator = gantf.build(critic, (8, 8, 1), name="discriminator")
    found, _ = epoch(gan, tmp_path, images(40))
    assert found.shape == (80, 32)
    sheet = plots.to_uint8(images(40))[0, :, :, 0]
    shown = np.asarray(Image.open(tmp_path / "logs/projector/samples.png"))
    np.testing.assert_array_equal(shown[:8, :8], sheet)


def test_clouds_name_the_classes_that_samples_are_made_for(tmp_path):
    gan = conditional()
    data = {"image": np.ones((4, 2), "float32"), "label": np.array([0, 2, 1, 2])}
    gan.generator.set_weights(
        [np.zeros((2, 2)), np.array([[0, 0], [9, 0], [0, 9]], "float32")]
    )
    found, lines = epoch(gan, tmp_path, data, classes=("a", "b"))
    classes = ["a", "2", "b", "2"]
    kinds = ["real"] * 4 + ["generated"] * 4
    assert lines[0] == "kind\tclass"
    assert lines[1:] == [f"{k}\t{c}" for k, c in zip(kinds, 2 * classes)]
    # (w + e_y) x, w + e_y as above: of (1, 1), then of (0, 0), (0, 9), (9, 0), (0, 9).
    np.testing.assert_allclose(found[:, 0], [7, 17, 0, 17, 0, 108, 0, 108])
    data["label"] = np.full(4, -1)  # as where there are none
    gan = plane(linear([3], [4]))
    assert epoch(gan, tmp_path, data)[1] == kinds


def test_clouds_refuse_samples_without_labels_and_numbers_that_cannot_be(tmp_path):
    with pytest.raises(ValueError) as caught:
        epoch(conditional(), tmp_path, np.ones((4, 2), "float32"))
    assert str(caught.value) == (
        "the generator asks for labels, and the data has none: give dicts of 'image' "
        "and 'label'"
    )
    with pytest.raises(ValueError) as caught:
        monitors.Embedding(tmp_path, np.ones((4, 2), "float32"), count=0)
    assert str(caught.value) == "count is a whole number from 1, not 0"


def test_scores_are_those_of_each_sample_in_inference_mode():
    net = gantf.build("dense-4-bn drop0.5 dense-3", (2,))
    x = np.random.default_rng(0).normal(size=(150, 2)).astype("float32")
    before = [np.array(w) for w in net.get_weights()]
    found = monitors.scores(net, x)
    kernel, gamma, beta, mean, variance, last, shift = before
    hidden = (x @ kernel - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(found, hidden @ last + shift, atol=1e-5)
    for old, new in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    maps = monitors.scores(gantf.build("conv3-2", (3, 3, 1)), np.zeros((2, 3, 3, 1)))
    assert maps.shape == (2, 18) and maps.dtype == np.float32


def test_scores_know_the_class_of_each_sample():
    x, labels = np.ones((100, 2), "float32"), np.arange(100, dtype=np.int32) % 3
    found = monitors.scores(conditional().discriminator, x, labels)
    # (w + e_y) (1, 1), w + e_y being (3, 4), (0, 0) and (5, 12)
    np.testing.assert_allclose(found[:, 0], np.array([7, 0, 17])[labels])


def variables(gan):
    parts = gan, gan.generator_optimizer, gan.discriminator_optimizer
    return [v for part in parts for v in part.variables]


def state(gan):
    return [np.array(v) for v in variables(gan)]


def test_monitors_change_nothing_and_trace_once(tmp_path):
    gan = make()
    words = (
        "conv3-8-sn-bn-lrelu conv4-8-s2-snm-gain-bn-lrelu drop0.5 flatten dense-4-sn"
    )
    gan.discriminator = gantf.build(words, (8, 8, 1), name="discriminator")
    twin = keras.models.clone_model(gan.discriminator)
    twin.set_weights(gan.discriminator.get_weights())
    slopes = records(tmp_path, monitors.Slopes, images(6))
    before = state(gan)
    first = looked(slopes, gan)
    (tmp_path / "spectra").mkdir()
    looked(records(tmp_path / "spectra", monitors.Spectra), gan)
    epoch(gan, tmp_path / "cloud", images(6))
    for old, new in zip(before, state(gan), strict=True):
        np.testing.assert_array_equal(old, new)
    gan.discriminator.set_weights([0.5 * w for w in twin.get_weights()])
    second = looked(slopes, gan)
    assert second["slope/real"] != first["slope/real"]  # not a constant of the graph
    assert slopes._norms.experimental_get_tracing_count() == 1


def small(loss, **parameters):
    """A GAN on samples (2,) that is quick to trace."""
    keras.utils.set_random_seed(1)
    gan = gantf.GAN(
        gantf.build("dense-4-bn-tanh dense-2", (2,), name="generator"),
        gantf.build("dense-4-sn-lrelu dense-4-sn", (2,), name="discriminator"),
        losses.get(loss, **parameters),
    )
    gan.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
    return gan


def points(n=64):
    return np.random.RandomState(0).randn(n, 2).astype("float32")


def stream():
    return tf.data.Dataset.from_tensor_slices(points()).batch(16)


def test_fits_go_as_without_monitors_and_are_looked_at_every_so_many(tmp_path, capsys):
    gan = small("rep", kernel="rbf:.0001")
    first = state(gan)
    figures = callbacks.Records(tmp_path)
    beside = [
        monitors.Spectra(figures, every=2),
        monitors.Slopes(figures, points(4), every=4),
        monitors.Saturation(16, every=1, looks=2),
    ]

    def train(**options):
        for epochs in (1, 2):
            span = {"initial_epoch": epochs - 1, "epochs": epochs, "verbose": 0}
            gan.fit(stream(), **span, **options)
        return state(gan)

    watched = train(callbacks=beside)
    for variable, value in zip(variables(gan), first, strict=True):
        variable.assign(value)
    for with_them, without in zip(watched, train(), strict=True):
        np.testing.assert_array_equal(with_them, without)
    assert any((a != b).any() for a, b in zip(watched, first))
    spectrum = figures.column("spectrum/discriminator/01_dense/condition")
    assert [step for step, _ in spectrum] == [2, 4, 6, 8]
    assert [step for step, _ in figures.column("slope/fake_max")] == [4, 8]
    assert [step for step, _ in histograms(tmp_path).popitem()[1]] == [2, 4, 6, 8]
    assert capsys.readouterr().out == (
        "step 2: since step 1 kernel rbf:0.0001 is too narrow for the scores: its "
        "means are below 0.01 of k(0) (real 0, fake 0, real and fake 0), and hardly a "
        "gradient is left. Try wider kernels, the bounded loss rmb, a lower learning "
        "rate of the discriminator, or a smaller gain of its sn\n"
    )


def watch(shares, loss="mmd_g", batch=16, looks=2, verbose=0, every=10, **parameters):
    """A saturation monitor that has seen these means k_rr, k_ff, k_rf."""
    model = types.SimpleNamespace(criterion=losses.get(loss, **parameters), step=0)
    monitor = monitors.Saturation(batch, every, looks)
    monitor.set_model(model)
    monitor.set_params({"verbose": verbose})
    for three in shares:
        model.step += every // 2
        monitor.on_train_batch_end(0, None)  # of no interest between two looks
        model.step += every - every // 2
        monitor.on_train_batch_end(0, dict(zip(("k_rr", "k_ff", "k_rf"), three)))
    return monitor


NARROW = (
    "step {}: since step {} kernel rbf:1,2 is too narrow for the scores: its means are "
    "below 0.01 of k(0) (real {}, fake {}, real and fake {}), and hardly a gradient is "
    "left{}. Try wider kernels, the bounded loss rmb, a lower learning rate of the "
    "discriminator, or a smaller gain of its sn\n"
)
WIDE = (
    "step {}: since step {} kernel rbf:1,2 is too wide for the scores: its means are "
    "above 0.99 of k(0) (real {}, fake {}, real and fake {}), and hardly a gradient is "
    "left. Try narrower kernels, or a larger gain of the discriminator's sn\n"
)


def test_saturation_is_said_once_and_again_after_it_was_gone(capsys):
    far, fine, near = (0.018, 0.002, 0.0), (0.1, 0.002, 0.0), (1.99, 1.999, 1.996)
    watch(
        [fine, far, far, far, fine, far, fine, far, far, near, near], kernel="rbf:1,2"
    )
    # k(0) is 2: the means are .009, .001 and 0 of it, and .995, .9995 (3 digits: 1), ..
    assert capsys.readouterr().out == (
        NARROW.format(30, 20, "0.009", "0.001", "0", "")
        + NARROW.format(90, 80, "0.009", "0.001", "0", "")
        + WIDE.format(110, 100, "0.995", "1", "0.998")
    )


def test_biased_means_are_taken_without_their_diagonal(capsys):
    # With m = 16 and k(0) = 2 the diagonal alone gives 2 / 16 = .125, far from 0, and
    # means .01 of k(0) off the diagonal .125 + .02 * 15 / 16 = .14375.
    kernel = {"kernel": "rbf:1,2", "estimator": "biased"}
    watch([(0.125, 0.134375, 0.0)] * 2, **kernel)
    assert capsys.readouterr().out == NARROW.format(
        # 2 k(0) / m = .25
        *(20, 10, "0", "0.005", "0"),
        "; the biased MMD^2 rests at its floor, 0.25",
    )
    watch([(0.125, 0.145, 0.0)] * 2, **kernel)
    watch([(0.125, 0.134375, 0.0)] * 2, **kernel | {"estimator": "unbiased"})
    # .99 of k(0) off the diagonal gives (2 + 15 * 1.98) / 16 = 1.98125.
    watch([(1.981, 1.981, 1.99)] * 2, **kernel)
    assert capsys.readouterr().out == ""
    watch([(1.985, 1.99, 1.99)] * 2, **kernel)
    # (16 * 1.985 - 2) / 15 / 2 = .992, (16 * 1.99 - 2) / 15 / 2 = .99467
    assert capsys.readouterr().out == WIDE.format(20, 10, "0.992", "0.995", "0.995")


@pytest.mark.parametrize("looks, said", [(1, "step 10: since step 10"), (4, "")])
def test_saturation_waits_for_so_many_looks(capsys, looks, said):
    watch([(0.0, 0.0, 0.0)] * 3, looks=looks, kernel="laplace:1")
    assert capsys.readouterr().out[: len(said) or None] == said


@pytest.mark.parametrize(
    "verbose, start", [(0, "s"), (1, "\n"), ("auto", "\n"), (2, "s")]
)
def test_a_line_stands_below_the_progress_bar(capsys, verbose, start):
    watch([(0.0, 0.0, 0.0)] * 2, verbose=verbose)
    assert capsys.readouterr().out.startswith(
        f"{start}tep" if start == "s" else "\nstep"
    )


@pytest.mark.parametrize(
    "loss, parameters",
    [("logistic", {}), ("cramer", {}), ("rep", {"kernel": "rbf:1+dot"})],
)
def test_losses_without_a_radial_kernel_are_not_looked_at(capsys, loss, parameters):
    watch([(0.0, 0.0, 0.0)] * 2, loss=loss, **parameters)
    assert capsys.readouterr().out == ""


def test_a_biased_fit_with_a_narrow_kernel_rests_at_the_floor(capsys):
    gan = small("mmd_g", kernel="rbf:.0001", estimator="biased")
    guard = monitors.Saturation(16, 1)
    logs = gan.fit(stream(), callbacks=[guard], verbose=0).history
    said = capsys.readouterr().out
    # 2 / 16; and the loss is there.
    assert "step 3: since step 1" in said and "floor, 0.125. Try" in said
    assert logs["generator_loss"] == pytest.approx([0.125])


def test_a_fit_with_a_wide_kernel_says_so(capsys):
    wide = small("rep", kernel="rbf:1000")
    wide.fit(stream(), callbacks=[monitors.Saturation(16, 2, 2)], verbose=0)
    assert capsys.readouterr().out.startswith(
        "step 4: since step 2 kernel rbf:1000 is too wide for the scores"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((16, 0), "every is a whole number from 1, not 0"),
        ((16, 50.0), "every is a whole number from 1, not 50.0"),
        ((1,), "batch is a whole number from 2, not 1"),
        ((16, 50, 0), "looks is a whole number from 1, not 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError) as caught:
        monitors.Saturation(*arguments)
    assert str(caught.value) == message
