"""Tests of samples.py: which images a place gives, in what order, and what is said."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from gantf import samples
from gantf.architecture import read_latent
from gantf.metrics import Moments
from gantf.readers import Options, open_place
from gantf.readers.arrays import array_source
from gantf.sampler import Sampler


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).randint(0, 256, (30, 8, 8, 3)).astype(np.uint8)


def sampler(classes=0):
    latents = keras.Input((4,))
    flat = keras.layers.Dense(48, activation="tanh")(latents)
    inputs = latents
    if classes:
        label = keras.Input((), dtype="int32")
        flat += keras.layers.Embedding(classes, 48)(label)
        inputs = [latents, label]
    net = keras.Model(inputs, keras.layers.Reshape((4, 4, 3))(flat))
    return Sampler(net, read_latent("normal-4"), classes)


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    told = {"architecture": {"latent": "normal-4"}, "ema": 0.99}
    (folder / "settings.json").write_text(json.dumps({"settings": told}))
    sampler().net.save(folder / "generator.keras")
    return folder


def test_a_part_of_a_set_is_drawn_once_for_all(images):
    source = array_source("noise", Options(), images)
    found = samples.of_source(source, 12)
    chosen = np.random.RandomState(2020).permutation(30)[:12]
    np.testing.assert_array_equal(found.read(0, 12), images[chosen])
    np.testing.assert_array_equal(found.read(5, 7), images[chosen[5:7]])
    assert found.about == {
        "data": "noise",
        "split": "train",
        "n": 12,
        "of": 30,
        "order": "RandomState(2020).permutation",
        "shape": "8x8x3",
        "prepared": "as they are",
    }


@pytest.mark.parametrize("n", [None, 30, 99])
def test_a_whole_set_is_shuffled_too(images, n):
    # Sets are sorted, and blocks and splits of figures are of samples in a row.
    found = samples.of_source(array_source("noise", Options(), images), n)
    order = np.random.RandomState(2020).permutation(30)
    np.testing.assert_array_equal(found.read(0, found.n), images[order])


def test_no_image_is_counted_twice_where_bad_ones_are_skipped(images, tmp_path):
    for i in range(30):
        Image.fromarray(images[i]).save(tmp_path / f"{i:02}.png")
    source = open_place(tmp_path, Options(on_error="skip"))
    order = np.random.RandomState(2020).permutation(30)
    bad = order[[1, 4, 9]]
    for i in bad:  # after the first look at all of them
        (tmp_path / f"{i:02}.png").write_bytes(b"text")
    found = samples.of_source(source, 10)
    good = [i for i in order if i not in bad]
    np.testing.assert_array_equal(found.read(0, 10), images[good[:10]])
    assert found.about["n"] == 10 and found.about["skipped"] == 3
    assert samples.of_source(source).n == 27


def test_fewer_samples_are_the_first_of_more(images):
    source = array_source("noise", Options(), images)
    few, many = (samples.of_source(source, n) for n in (7, 20))
    np.testing.assert_array_equal(few.read(0, 7), many.read(0, 7))


@pytest.mark.parametrize("classes", [0, 3])
def test_a_sample_is_the_same_in_any_number_and_chunk(classes):
    drawn = sampler(classes)
    many = samples.of_sampler(drawn, 10, seed=5, name="net")
    few = samples.of_sampler(drawn, 7, seed=5)
    whole = many.read(0, 10)
    assert whole.dtype == np.uint8 and whole.shape == (10, 4, 4, 3)
    np.testing.assert_array_equal(whole[4:7], few.read(4, 7))
    expected = np.floor((drawn.generate(10, seed=5) + 1) * 127.5 + 0.5)
    np.testing.assert_array_equal(whole, np.clip(expected, 0, 255))
    assert many.about == {
        "generator": "net",
        "n": 10,
        "seed": 5,
        "latent": "normal-4",
        "batch_norm": "moving averages",
        "quantisation": "floor((x + 1) 127.5 + 0.5), cut to 0..255",
        "shape": "4x4x3",
    } | ({"labels": "all classes in turn"} if classes else {})


def test_arrays_are_bytes_or_become_them():
    floats = np.array([-1.0, 0.0, 1.0, 3.0]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(
        samples.of_array(floats).read(0, 1).ravel(), [0, 128, 255, 255]
    )
    points = np.zeros((3, 2), np.float32)
    assert samples.of_array(points).read(0, 3).dtype == np.float32


def test_a_run_is_drawn_from(run_folder):
    found = samples.open_samples(run_folder, n=5, seed=3)
    expected = samples.of_sampler(Sampler.of_run(run_folder), 5, 3)
    np.testing.assert_array_equal(found.read(0, 5), expected.read(0, 5))
    assert found.about["generator"] == str(run_folder)
    assert found.about["ema"] == 0.99 and len(found.about["sha256"]) == 64


def test_another_generator_of_a_run_by_its_file(run_folder):
    keras.utils.set_random_seed(7)
    sampler().net.save(run_folder / "best.keras")
    best = samples.open_samples(run_folder / "best.keras", n=5)
    last = samples.open_samples(run_folder, n=5)
    assert (best.read(0, 5) != last.read(0, 5)).any()
    assert best.about["sha256"] != last.about["sha256"]


def test_folders_say_whether_they_hold_jpeg(images, tmp_path):
    for suffix in ("png", "jpg"):
        folder = tmp_path / suffix
        folder.mkdir()
        for i in range(3):
            Image.fromarray(images[i]).save(folder / f"{i}.{suffix}")
        assert open_place(folder).suffixes == (f".{suffix}",)
        assert samples.open_samples(folder).lossy == (suffix == "jpg")


def test_statistics_go_both_ways_in_the_layout_of_pytorch_fid(tmp_path):
    x = np.random.RandomState(0).randn(50, 4)
    moments = Moments()
    moments.update(x)
    path = samples.write_statistics(tmp_path / "s.npz", moments, {"data": "noise"})
    with np.load(path) as file:  # what pytorch-fid and clean-fid read
        np.testing.assert_allclose(file["mu"], x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(file["sigma"], np.cov(x, rowvar=False), rtol=1e-12)
    again, about = samples.open_statistics(path)
    np.testing.assert_array_equal(again.cov, moments.cov)
    assert again.n == 50 and about["data"] == "noise" and about["statistics"] == "s.npz"
    np.savez(tmp_path / "theirs.npz", mu=x.mean(0), sigma=np.cov(x, rowvar=False))
    theirs, about = samples.open_statistics(tmp_path / "theirs.npz")
    np.testing.assert_allclose(theirs.mean, moments.mean)
    assert set(about) == {"statistics", "statistics_sha256"} and theirs.n is None


def test_what_is_a_file_of_statistics(images, tmp_path):
    np.savez(tmp_path / "s.npz", mu=np.zeros(2), sigma=np.eye(2))
    np.savez(tmp_path / "images.npz", images=images)
    (tmp_path / "torn.npz").write_bytes(b"PK\3\4")
    assert samples.is_statistics(tmp_path / "s.npz")
    for other in ("images.npz", "torn.npz", "none.npz", "."):
        assert not samples.is_statistics(tmp_path / other)


def test_how_the_images_of_a_run_were_prepared(run_folder):
    assert samples.run_preparation(run_folder) == (None, None)  # it does not say
    path = run_folder / "settings.json"
    told = json.loads(path.read_text())
    told["settings"]["size"] = 32
    told["prepared"] = ""  # as they are
    path.write_text(json.dumps(told))
    assert samples.run_preparation(run_folder) == (32, None)
    told["prepared"] = "fit-32x32-lanczos"
    path.write_text(json.dumps(told))
    found = samples.run_preparation(run_folder / "best.keras")
    assert found == (32, "fit-32x32-lanczos")
    assert samples.run_preparation("embedded") == (None, None)


@pytest.mark.parametrize("n", [0, -5, 2.0])
def test_error_a_number_of_images_that_cannot_be(images, n):
    with pytest.raises(ValueError) as caught:
        samples.of_source(array_source("noise", Options(), images), n)
    assert str(caught.value) == f"n is a whole number from 1, not {n}"


@pytest.mark.parametrize(
    "arrays",
    [
        {"sigma": -np.eye(2)},
        {"sigma": np.diag([1.0, -1e-3])},
        {"about": '"none"'},
        {"about": '{"network": "inception"}'},
        {"about": "{"},
    ],
)
def test_error_statistics_that_are_none(arrays, tmp_path):
    path = tmp_path / "s.npz"
    np.savez(path, **{"mu": np.zeros(2), "sigma": np.eye(2), **arrays})
    with pytest.raises(ValueError, match="no file of statistics"):
        samples.open_statistics(path)


def test_error_a_run_needs_a_number(run_folder):
    with pytest.raises(ValueError) as caught:
        samples.open_samples(run_folder)
    assert str(caught.value) == (
        f"{run_folder} is a run: say how many samples to draw, as --n=5000"
    )


def test_error_statistics_that_do_not_fit(tmp_path):
    path = tmp_path / "s.npz"
    np.savez(path, mu=np.zeros(3), sigma=np.eye(2))
    with pytest.raises(ValueError, match="no file of statistics"):
        samples.open_statistics(path)
    with pytest.raises(ValueError) as caught:
        samples.write_statistics(tmp_path / "s.csv", Moments(), {})
    assert str(caught.value) == "a file of statistics ends in .npz, not s.csv"
