"""Tests of evaluate.py: which samples are compared, how, and what is said of it."""

import json

import keras
import numpy as np
import pytest

from gantf import datasets, evaluate, features, metrics, samples
from gantf.evaluate import Evaluator
from gantf.features import Features
from gantf.metrics import Moments

ALL = ["kid", "kid_blocks", "fd", "is", "pr", "dc", "ms_ssim", "swd", "mmd:rbf:4"]


def noise(seed, n=120, side=16):
    values = np.random.RandomState(seed).randint(0, 256, (n, side, side, 3))
    return values.astype(np.uint8)


def means(images):
    """A classifier of four classes by the colours' means; not to be taken seriously."""
    x = images.mean((1, 2)) / 255.0
    return {"features": x, "logits": np.concatenate([x, x[:, :1] * 2], 1)}


@pytest.fixture
def counted():
    """A network that counts the images it has seen."""
    seen = []

    def net(images):
        seen.append(len(images))
        return means(images)

    return Features("net", {"sha256": "0"}, net, np.asarray), seen


@pytest.fixture(scope="module")
def real():
    return samples.of_array(noise(0), "noise")


@pytest.fixture(scope="module")
def fake():
    return samples.of_array(noise(1))


def test_figures_are_the_metrics_by_the_names_of_their_features(real, fake):
    evaluator = Evaluator(real, features.get(means), ALL)
    found = evaluator.figures(evaluator.look(fake))
    x, y = means(noise(0)), means(noise(1))
    fx, fy = x["features"], y["features"]
    expected = {
        "fd_means": metrics.frechet_distance(fx, fy),
        "ms_ssim": metrics.ms_ssim(noise(1)),
        "mmd:rbf:4_means": metrics.mmd(fx, fy, "rbf:4"),
    }
    pairs = {
        ("kid_means", "kid_means_std"): metrics.kid(fx, fy, 100, 120),
        ("kid_blocks_means", "kid_blocks_means_error"): metrics.kid_blocks(fx, fy),
        ("is_means", "is_means_std"): metrics.inception_score(y["logits"]),
        ("precision_means", "recall_means"): metrics.precision_recall(fx, fy),
        ("density_means", "coverage_means"): metrics.density_coverage(fx, fy),
    }
    for pair, values in pairs.items():
        expected |= dict(zip(pair, values))
    for level, value in metrics.sliced_wasserstein(noise(0), noise(1)).items():
        expected[f"swd_{level}"] = value
    # All subsets are the whole set, and one block has no error: no spread is known.
    del expected["kid_means_std"], expected["kid_blocks_means_error"]
    assert found == pytest.approx(expected, rel=1e-9)


def test_columns_of_the_network_of_fid_have_the_names_of_the_field():
    named = {"kid": "kid", "kid_std": "kid_std", "fd": "fid", "precision": "precision"}
    for figure, expected in named.items():
        assert evaluate.column(figure, "inception") == expected
    assert evaluate.column("kid_blocks_error", "pixels") == "kid_blocks_pixels_error"
    assert evaluate.column("swd_16", "pixels") == "swd_16"


@pytest.mark.parametrize(
    "column, higher",
    [
        ("kid_pixels", False),
        ("fid", False),
        ("is", True),
        ("is_efflite0", True),
        ("precision_pixels", True),
        ("recall", True),
        ("density_x", True),
        ("coverage_x", True),
        ("mmd:rbf:1_pixels", False),
    ],
)
def test_which_way_is_better(column, higher):
    assert evaluate.higher_is_better(column) == higher


def test_real_against_itself_is_nearly_nothing(real):
    evaluator = Evaluator(real, features.get(means))
    figures = evaluator.figures(evaluator.look(real))
    assert abs(figures["fd_means"]) < 1e-9
    assert figures["kid_means"] <= 0  # the unbiased estimate of a set with itself


def test_protocol_says_all(real, fake):
    evaluator = Evaluator(real, features.get(means))
    seen = evaluator.look(fake)
    protocol = evaluator.protocol(seen)
    assert json.loads(json.dumps(protocol)) == protocol
    assert set(protocol["versions"]) == {"gantf", "keras", "tensorflow", "numpy"}
    assert protocol.pop("device") == "CPU"
    content = protocol["real"].pop("content")
    assert len(content) == 64 and protocol["generated"].pop("content") != content
    del protocol["versions"]
    assert protocol == {
        "features": "means",
        "resize": None,
        "real": {"data": "noise", "n": 120, "shape": "16x16x3"},
        "generated": {"data": "array", "n": 120, "shape": "16x16x3"},
        "kid": "unbiased MMD^2 with the kernel (a.b/d + 1)^3, 100 subsets of 120, seed "
        "2020; std over subsets",
        "fd": "Frechet distance of Gaussians, covariances over n - 1, float64, "
        "eigenvalues",
    }


def test_content_is_that_of_the_images_not_of_their_place(real):
    network = features.get(means)
    again = samples.of_array(noise(0), "elsewhere")
    other = samples.of_array(noise(0)[::-1])
    found = [
        evaluate.look(s, network, {"features"}).about["content"]
        for s in (real, again, other)
    ]
    assert found[0] == found[1] != found[2]


def test_notes_say_what_a_reader_should_know(real, fake):
    evaluator = Evaluator(real, features.get("pixels"))
    seen = evaluator.look(fake)
    notes = evaluator.notes(seen, {"kid_pixels": -1e-3, "kid_pixels_std": 1.0})
    assert notes == [
        "kid: subsets of 120, not 1000: there are 120 and 120 samples; the std of "
        "subsets that overlap says little",
        "fd: 120 samples in 192 dimensions: the distance is biased up; compare it at "
        "equal numbers only, or take kid",
        "kid_pixels is below 0: the estimate is unbiased, so between samples of one "
        "law half of its values are",
    ]
    jpeg = Evaluator(real, features.get(means), ["fd"])
    assert jpeg.notes(jpeg.look(fake)._replace(lossy=True), {}) == [
        "the generated samples are JPEG files, whose artefacts count too"
    ]


def test_notes_of_samples_that_do_not_fit_each_other(real):
    network = features.get(means)
    small = samples.of_array(noise(1, n=60, side=8))
    evaluator = Evaluator(real, network, ["pr"])
    assert evaluator.notes(evaluator.look(small), {}) == [
        "the real samples are 16x16x3, the generated ones 8x8x3: resolution is "
        "compared too",
        "pr and dc depend on the numbers, 120 and 60: compare them at equal ones",
    ]
    moments = Moments.of(np.zeros(3), np.eye(3))
    seen = evaluate.Seen({"statistics": "x.npz"}, None, moments=moments)
    evaluator = Evaluator(seen, network, ["fd"])
    assert evaluator.notes(evaluator.look(real), {}) == [
        "x.npz does not say which network its statistics are of"
    ]


def test_subsets_that_differ_have_a_spread(real, monkeypatch):
    monkeypatch.setattr(evaluate, "_SUBSET_SIZE", 50)
    evaluator = Evaluator(real, features.get(means), ["kid"])
    assert evaluator.figures(evaluator.look(real))["kid_means_std"] > 0


@pytest.mark.parametrize(
    "text, names",
    [
        ("kid,fd", ["kid", "fd"]),
        ("kid, fd", ["kid", "fd"]),
        ("mmd:rbf:2,5,10,fd", ["mmd:rbf:2,5,10", "fd"]),
        ("mmd:rq:.2,1,pr", ["mmd:rq:.2,1", "pr"]),
    ],
)
def test_a_list_of_metrics(text, names):
    assert evaluate.read_names(text) == names


def test_a_cache_that_takes_nothing_loses_nothing(real, counted, tmp_path):
    network, _ = counted
    (tmp_path / "file").write_text("")
    cache, expected = tmp_path / "file" / "cache", means(noise(0))["features"]
    with pytest.warns(UserWarning, match="takes nothing: Not a directory"):
        found = evaluate.look(real, network, {"features"}, cache)
    np.testing.assert_array_equal(found.features, expected)
    with pytest.warns(UserWarning, match="takes nothing"):
        found = evaluate.look(real, network, {"moments"}, cache)
    np.testing.assert_allclose(found.moments.mean, expected.mean(0))


def test_a_disk_that_fills_loses_nothing(real, counted, tmp_path, monkeypatch):
    def full(path, **arrays):
        raise OSError(28, "No space left on device")

    network, _ = counted
    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="takes nothing: No space left on device"):
        found = evaluate.look(real, network, {"features", "moments"}, tmp_path)
    np.testing.assert_array_equal(found.features, means(noise(0))["features"])
    assert found.moments.n == 120 and not list(tmp_path.rglob("*.npz"))


def test_chunks_do_not_change_what_is_seen(real, monkeypatch):
    network, parts = features.get(means), {"features", "moments", "logits", "images"}
    whole = evaluate.look(real, network, parts)
    monkeypatch.setattr(evaluate, "_CHUNK", 50)
    chunked = evaluate.look(real, network, parts)
    for part in ("features", "logits", "images"):
        np.testing.assert_array_equal(getattr(whole, part), getattr(chunked, part))
    np.testing.assert_allclose(whole.moments.cov, chunked.moments.cov, rtol=1e-12)


def test_an_interrupted_evaluation_goes_on(real, counted, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "_CHUNK", 50)
    network, seen = counted
    done = []

    def interrupt(n):
        done.append(n)
        if n == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate.look(real, network, {"features"}, tmp_path, interrupt)
    assert seen == [50, 50] and done == [50, 100]
    found = evaluate.look(real, network, {"features", "logits"}, tmp_path)
    assert seen == [50, 50, 20]
    np.testing.assert_array_equal(found.features, means(noise(0))["features"])
    # Statistics of the same images: the network is not asked again.
    expected = np.cov(means(noise(0))["features"], rowvar=False)
    for again in range(2):
        found = evaluate.look(real, network, {"moments"}, tmp_path)
        np.testing.assert_allclose(found.moments.cov, expected, rtol=1e-9)
        assert seen == [50, 50, 20] and found.features is None
        if not again:  # the second time, the statistics are there
            monkeypatch.setattr(evaluate, "_moments", lambda rows: {})


def test_statistics_are_of_all_images_in_their_order(real, tmp_path):
    network, other = features.get(means), noise(0)[:119]
    for images in (noise(0), other):
        x = means(images)["features"]
        for cache in (tmp_path, None):
            found = evaluate.look(samples.of_array(images), network, {"moments"}, cache)
            np.testing.assert_allclose(found.moments.mean, x.mean(0), rtol=1e-9)
            assert found.moments.n == len(x)


def test_what_is_kept_is_of_these_images_and_this_network(counted, tmp_path):
    network, seen = counted
    evaluate.look(samples.of_array(noise(0)), network, {"features"}, tmp_path)
    evaluate.look(samples.of_array(noise(1)), network, {"features"}, tmp_path)
    other = Features("net", {"sha256": "1"}, network, np.asarray)
    found = evaluate.look(samples.of_array(noise(0)), other, {"features"}, tmp_path)
    assert seen == [120, 120, 120]
    np.testing.assert_array_equal(found.features, means(noise(0))["features"])


def test_a_function_is_asked_each_time(real, tmp_path):
    # It may be another one of the same name.
    for factor in (1, 2):
        network = features.get(lambda images, factor=factor: images[:, 0, 0] * factor)
        found = evaluate.look(real, network, {"features"}, tmp_path)
        np.testing.assert_array_equal(found.features, noise(0)[:, 0, 0] * factor)
    assert not list(tmp_path.rglob("*.npz"))


def test_a_torn_file_in_the_cache_is_made_again(real, counted, tmp_path):
    network, seen = counted
    evaluate.look(real, network, {"features"}, tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    found = evaluate.look(real, network, {"features"}, tmp_path)
    assert seen == [120, 120]
    np.testing.assert_array_equal(found.features, means(noise(0))["features"])


def test_statistics_stand_for_images_where_moments_do(fake):
    x = means(noise(0))["features"]
    moments = Moments()
    moments.update(x)
    seen = evaluate.Seen({"statistics": "x.npz"}, None, moments=moments)
    evaluator = Evaluator(seen, features.get(means), ["fd"])
    found = evaluator.figures(evaluator.look(fake))
    expected = metrics.frechet_distance(x, means(noise(1))["features"])
    assert found["fd_means"] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError) as caught:
        Evaluator(seen, features.get(means), ["kid"])
    assert str(caught.value) == (
        "metric kid needs the features of the real samples, which a file of statistics "
        "does not have; take metric fd, or the images"
    )


def test_points_are_compared_as_they_are():
    ring = samples.of_source(datasets.find("ring"), 500)
    evaluator = Evaluator(ring, features.get("points"))
    still = samples.of_array(np.zeros((500, 2), np.float32))
    figures = evaluator.figures(evaluator.look(still))
    # A ring of radius 0.75 with standard deviation 0.02 against a point: its mean is
    # near 0 and its covariance (0.75^2 / 2 + 0.02^2) I; 500 draws, within 10 %.
    assert figures["fd_points"] == pytest.approx(2 * (0.75**2 / 2 + 0.02**2), rel=0.1)


def test_devices_share_a_batch_and_none_goes_without(in_process):
    one, two, three = in_process(_DEVICES)
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one, three, rtol=1e-5, atol=1e-6)


_DEVICES = """
import json
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
from gantf import features
images = np.random.RandomState(0).randint(0, 256, (65, 28, 28, 1)).astype("uint8")
found = []
for devices in (["CPU:0"], ["CPU:0", "CPU:1"], ["CPU:0", "CPU:1", "CPU:2"]):
    with tf.distribute.MirroredStrategy(devices).scope():
        network = features.get("mnistnet")
    seen = network(images)["features"]  # of batches of 64, the second has one image
    assert seen.shape == (65, 128)
    found.append(seen[[0, 40, 62, 63, 64], :20].tolist())
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "name, message",
    [
        ("kidd", "unknown metric 'kidd'; did you mean 'kid'?"),
        (
            "mmd",
            "unknown metric 'mmd'; known: kid, kid_blocks, fd, is, pr, dc, ms_ssim, "
            "swd, mmd:KERNEL",
        ),
    ],
)
def test_error_unknown_metric(name, message):
    with pytest.raises(ValueError) as caught:
        evaluate.metric(name)
    assert str(caught.value) == message


def test_error_a_network_without_logits(real):
    with pytest.raises(ValueError) as caught:
        Evaluator(real, features.get("pixels"), ["is"])
    assert str(caught.value) == (
        "pixels is no classifier: it has no logits for metric is"
    )


def test_a_keras_model_is_a_network_too(real):
    net = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.GlobalAveragePooling2D()], name="mine"
    )
    evaluator = Evaluator(real, features.get(net))
    figures = evaluator.figures(evaluator.look(real))
    assert list(figures) == ["kid_mine", "fd_mine"]
    assert "sha256" not in features.get(net).about  # its weights may still change
