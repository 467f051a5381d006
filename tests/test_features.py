"""Tests of features.py: what the networks see, and the shipped classifier."""

import hashlib
import json

import keras
import numpy as np
import pytest
from PIL import Image

from gantf import features
from gantf.readers import data_file


@pytest.fixture(scope="module")
def embedded():
    with np.load(data_file("fashion_mnist.npz")) as data:
        return data["x_test"][..., None], data["y_test"]


@pytest.fixture(scope="module")
def mnistnet():
    return features.get("mnistnet")


def test_mnistnet_has_the_accuracy_that_is_stored_with_it(mnistnet, embedded):
    images, labels = embedded
    found = mnistnet(images)
    assert found["features"].shape == (1000, 128) and found["logits"].shape == (
        1000,
        10,
    )
    accuracy = (found["logits"].argmax(1) == labels).mean()
    about = json.loads(data_file("mnistnet.json").read_text())
    assert accuracy == pytest.approx(about["test_accuracy"], abs=0.002)
    assert about["test_accuracy"] > 0.85


def test_mnistnet_is_named_by_the_hash_of_its_weights(mnistnet):
    digest = hashlib.sha256(data_file("mnistnet.weights.h5").read_bytes()).hexdigest()
    about = json.loads(data_file("mnistnet.json").read_text())
    assert mnistnet.about["sha256"] == digest == about["sha256"]


def test_mnistnet_against_its_layers_in_numpy(mnistnet, embedded):
    net = features._mnistnet()
    net.load_weights(data_file("mnistnet.weights.h5"))
    weights = [np.asarray(w, np.float64) for w in net.get_weights()]
    x = embedded[0][:3].astype(np.float64) / 127.5 - 1
    for kernel, bias in (weights[0:2], weights[2:4]):
        padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (1, 2))
        x = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias, 0)
        n, h, w, c = x.shape
        x = x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    x = np.maximum(x.reshape(3, -1) @ weights[4] + weights[5], 0)
    np.testing.assert_allclose(mnistnet(embedded[0][:3])["features"], x, atol=1e-4)


def test_mnistnet_takes_colour_and_other_sizes(mnistnet, embedded):
    grey = embedded[0][:20]
    plain = mnistnet(grey)["features"]
    np.testing.assert_allclose(
        mnistnet(np.repeat(grey, 3, -1))["features"], plain, atol=1e-3
    )
    larger = np.stack(
        [np.asarray(Image.fromarray(i[..., 0]).resize((56, 56))) for i in grey]
    )[..., None]
    close = mnistnet(larger)["logits"].argmax(1) == mnistnet(grey)["logits"].argmax(1)
    assert close.mean() > 0.8


def test_mnistnet_is_float32_in_a_bfloat16_run():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert features._mnistnet().dtype_policy.name == "float32"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_training_makes_a_classifier_and_its_json(tmp_path):
    accuracy = features.train_mnistnet(tmp_path, epochs=1)
    about = json.loads((tmp_path / "mnistnet.json").read_text())
    assert about["test_accuracy"] == round(accuracy, 4) > 0.6
    found = features.get("mnistnet", tmp_path / "mnistnet.weights.h5")
    assert found.about["sha256"] == about["sha256"]


def test_pixels_are_means_of_the_image():
    flat = np.full((2, 32, 32, 3), 51, np.uint8)
    np.testing.assert_allclose(
        features.get("pixels")(flat)["features"], np.full((2, 192), -0.6), atol=1e-6
    )
    halves = np.zeros((1, 32, 32, 1), np.uint8)
    halves[:, :, 16:] = 255
    found = features.get("pixels")(halves)["features"].reshape(8, 8)
    np.testing.assert_allclose(found[:, [0, -1]], [[-1, 1]] * 8, atol=1e-6)


def test_batches_do_not_change_features(mnistnet, embedded, monkeypatch):
    whole = mnistnet(embedded[0][:30])["features"]
    monkeypatch.setattr(features, "_BATCH", 7)
    np.testing.assert_allclose(mnistnet(embedded[0][:30])["features"], whole, atol=1e-5)


@pytest.mark.parametrize(
    "name, images, message",
    [
        (
            "mnistnet",
            np.zeros((2, 28, 28, 1), np.float32),
            "images are uint8 (n, h, w, 1 or 3), not float32 (2, 28, 28, 1)",
        ),
        (
            "pixels",
            np.zeros((2, 28, 28, 4), np.uint8),
            "images are uint8 (n, h, w, 1 or 3), not uint8 (2, 28, 28, 4)",
        ),
        ("points", np.zeros((2, 3, 3, 1)), "points are (n, d), not (2, 3, 3, 1)"),
        (
            "mnistnt",
            None,
            "unknown feature network 'mnistnt'; did you mean 'mnistnet'?",
        ),
    ],
)
def test_error_messages(name, images, message):
    with pytest.raises(ValueError) as caught:
        features.get(name)(images)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["inception", "pixels", "feat_std", "feat_error"])
def test_error_a_name_that_figures_cannot_have(name):
    def net(images):
        return images[:, 0, 0]

    net.__name__ = name
    with pytest.raises(ValueError) as caught:
        features.get(net)
    assert str(caught.value) == (
        "a network of one's own has a name that no other has, which does not end in "
        f"_std or _error, not {name!r}; rename it"
    )


def test_the_same_weights_in_another_file_are_the_same_network(tmp_path, mnistnet):
    copy = tmp_path / "copy.weights.h5"
    copy.write_bytes(data_file("mnistnet.weights.h5").read_bytes())
    assert features.get("mnistnet", copy).identity == mnistnet.identity
    named = features.Features("x", {"sha256": "0", "weights": "a.pth"}, None, None)
    assert named.identity == {"features": "x", "sha256": "0"}
    assert named.about["weights"] == "a.pth"


def test_a_model_takes_images_as_the_nets_here_do():
    net = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten()], name="mine"
    )
    images = np.full((3, 8, 8, 3), 255, np.uint8)
    images[1] = 0
    found = features.get(net)(images)["features"]
    expected = np.repeat([[1.0], [-1.0], [1.0]], 16, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "net, message",
    [
        (
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]),
            "a feature network has one input, of images (h, w, c), not (4,)",
        ),
        ("nowhere.keras", "nowhere.keras: no such file"),
    ],
)
def test_error_models_that_take_no_images(net, message):
    with pytest.raises(ValueError) as caught:
        features.get(net)
    assert str(caught.value) == message


def test_error_a_network_that_gives_no_vectors():
    def maps(images):
        return images

    with pytest.raises(ValueError) as caught:
        features.get(maps)(np.zeros((2, 4, 4, 3), np.uint8))
    assert str(caught.value) == (
        "maps gives a vector for each image, (2, d), not (2, 4, 4, 3)"
    )
