"""Tests of tools/evaluate.py: two places in, a table and scores.json out."""

import json
import sys
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image
from test_samples import run_folder  # noqa: F401

from gantf import evaluate, metrics
from gantf.readers import data_file


@pytest.fixture
def call(tool, monkeypatch, tmp_path, capsys):
    """Runs the tool in a folder of its own; gives its output and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
        tool("evaluate").main()
        out = tmp_path / "scores.json"
        return capsys.readouterr().out, json.loads(out.read_text()) if (
            out.exists()
        ) else None

    return run


def noise(seed, n=60):
    return np.random.RandomState(seed).randint(0, 256, (n, 8, 8, 3)).astype(np.uint8)


@pytest.fixture
def places(tmp_path):
    """The same 60 images as an .npz, a folder of PNG and a zip of PNG."""
    np.savez(tmp_path / "a.npz", images=noise(0))
    np.savez(tmp_path / "b.npz", images=noise(1))
    folder = tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for i, image in enumerate(noise(1)):
            path = folder / f"{i:03d}.png"
            Image.fromarray(image).save(path)
            archive.write(path, path.name)
    return tmp_path


def pixels(seed):
    return noise(seed).reshape(60, -1) / 127.5 - 1


def test_a_table_and_scores_with_their_protocol(places, call):
    shown, found = call("a.npz", "b.npz", "--features=pixels", "--metrics=kid,fd,pr")
    mean, std = metrics.kid(pixels(0), pixels(1), 100, 60)
    assert found["figures"]["kid_pixels"] == pytest.approx(mean, rel=1e-4)
    assert f"{found['figures']['kid_pixels']:.6g}" in shown
    assert std < 1e-9 and "±" not in shown  # each subset is the whole
    rows = [line.split() for line in shown.splitlines() if line.endswith("is better")]
    assert [(row[0], row[-3]) for row in rows] == [
        ("kid_pixels", "lower"),
        ("fd_pixels", "lower"),
        ("precision_pixels", "higher"),
        ("recall_pixels", "higher"),
    ]
    assert "note: kid: subsets of 60, not 1000" in shown
    protocol = found["protocol"]
    assert protocol["real"]["data"] == "a.npz" and protocol["seconds"] > 0
    assert protocol["real"]["n"] == protocol["generated"]["n"] == 60


@pytest.mark.parametrize("place", ["folder", "packed.zip"])
def test_the_same_images_have_the_same_figures_wherever_they_lie(place, places, call):
    expected = call("a.npz", "b.npz", "--features=pixels")[1]
    found = call("a.npz", place, "--features=pixels")[1]
    assert found["figures"] == pytest.approx(expected["figures"])
    sides = [scores["protocol"]["generated"] for scores in (found, expected)]
    assert sides[0]["content"] == sides[1]["content"]


def test_splits_and_numbers(places, call):
    np.savez(places / "s.npz", x_train=noise(0), x_test=noise(1))
    expected = call("a.npz", "b.npz", "--features=pixels")[1]["figures"]
    options = "--features=pixels", "--splits", "train", "test"
    assert call("s.npz", "s.npz", *options)[1]["figures"] == expected
    found = call("s.npz", "s.npz", *options, "--n=40")[1]["protocol"]
    assert found["real"]["n"] == found["generated"]["n"] == 40


def test_a_run_against_its_set(places, call, run_folder):  # noqa: F811
    shown, found = call(
        "a.npz", run_folder, "--features=pixels", "--n=50", "--seed=4", "--size=4"
    )
    generated = found["protocol"]["generated"]
    assert (generated["n"], generated["seed"]) == (50, 4)
    assert "50 images" in shown


def test_statistics_out_and_in(places, call):
    expected = call("a.npz", "b.npz", "--features=pixels", "--metrics=fd")[1]["figures"]
    shown, _ = call("a.npz", "--statistics=a_stats.npz", "--features=pixels")
    assert shown.splitlines()[-1] == "a_stats.npz"
    with np.load("a_stats.npz") as file:  # the layout of pytorch-fid
        np.testing.assert_allclose(file["mu"], pixels(0).mean(0), atol=1e-6)
        cov = np.cov(pixels(0), rowvar=False)
        np.testing.assert_allclose(file["sigma"], cov, atol=1e-6)
    _, found = call("a_stats.npz", "b.npz", "--features=pixels")
    assert found["figures"] == pytest.approx(expected)  # fd alone
    assert found["protocol"]["real"]["data"] == "a.npz"


def test_a_set_is_brought_to_the_size_of_the_run(places, call, run_folder):  # noqa: F811
    path = run_folder / "settings.json"
    told = json.loads(path.read_text())
    told["settings"]["size"] = 4
    path.write_text(json.dumps(told))
    protocol = call("a.npz", run_folder, "--features=pixels", "--n=50")[1]["protocol"]
    assert protocol["real"]["shape"] == protocol["generated"]["shape"] == "4x4x3"
    assert protocol["real"]["prepared"] == "short-4-lanczos crop-4"


def test_a_model_in_a_file_is_known_by_its_file(places, call):
    pools = {
        "avg": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    }
    for name, pool in pools.items():  # two nets of one name, and no weights
        net = keras.Sequential([keras.Input((8, 8, 3)), pool()], name="mine")
        net.save(places / f"{name}.keras")
    found = [
        call("a.npz", "b.npz", f"--features={name}.keras")[1]["figures"]["fd_mine"]
        for name in (*pools, *pools)
    ]
    assert found[:2] == found[2:] and abs(found[0] - found[1]) > 1e-6


def test_what_was_seen_is_kept_and_named(places, call, monkeypatch):
    call("a.npz", "b.npz", "--features=mnistnet")
    kept = {path.name for path in evaluate.feature_cache().rglob("*.npz")}
    assert kept
    call("b.npz", "folder", "--features=mnistnet")
    assert {path.name for path in evaluate.feature_cache().rglob("*.npz")} == kept
    monkeypatch.setenv("GANTF_CACHE", str(places / "none"))
    call("a.npz", "b.npz", "--features=mnistnet", "--nocache")
    assert not (places / "none").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["a.npz"], "give GENERATED too, or --statistics=FILE.npz to write REAL's"),
        (
            ["a.npz", "b.npz", "--statistics=s.npz"],
            "--statistics is for REAL alone; leave it or GENERATED out",
        ),
        (
            ["a.npz", "b.npz", "--out=folder"],
            "folder cannot be written; give another --out",
        ),
        (
            ["a.npz", "b.npz", "--features=pixels", "--n=0"],
            "n is a whole number from 1, not 0",
        ),
        (
            ["a.npz", "b.npz", "--features=pixels", "--n=1"],
            "a.npz: figures want 2 samples at least",
        ),
        (
            ["a.npz", "b.npz", "--features=pixels", "--weights=x.h5"],
            "features pixels have no weights; leave x.h5 out",
        ),
        (
            ["a.npz", "b.npz", "--features=pixel"],
            "unknown feature network 'pixel'; did you mean 'pixels'?",
        ),
        (
            ["a.npz", "b.npz", "--features=pixels", "--metrics=is"],
            "pixels is no classifier: it has no logits for metric is",
        ),
        (
            ["a.npz", "nowhere", "--features=pixels"],
            "nowhere: no such file, folder or set; known: embedded, fashion_mnist, "
            "mnist, cifar10, stl10, celeba, lsun, imagenet, ring, six, curve, mixture; "
            "sets of TFDS are tfds:NAME",
        ),
    ],
)
def test_error_messages(arguments, message, places, refused):
    assert refused(*arguments) == message


def test_error_a_run_without_a_number(places, refused, run_folder):  # noqa: F811
    assert refused("a.npz", run_folder, "--features=pixels") == (
        f"{run_folder} is a run: say how many samples to draw, as --n=5000"
    )


def test_error_statistics_have_no_kid(places, call, refused):
    call("a.npz", "--statistics=s.npz", "--features=pixels")
    assert refused("b.npz", "s.npz", "--features=pixels", "--metrics=kid") == (
        "metric kid needs the features of the fake samples, which a file of statistics "
        "does not have; take metric fd, or the images"
    )


def test_error_statistics_of_other_features(places, call, refused):
    call("a.npz", "--statistics=s.npz", "--features=pixels")
    np.savez("t.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert refused("t.npz", "a.npz", "--features=pixels") == (
        "features have one length, not 3 and 192"
    )
    about = json.loads(data_file("mnistnet.json").read_text())
    assert refused("s.npz", "a.npz", "--features=mnistnet") == (
        "s.npz has statistics of features pixels, not mnistnet " + about["sha256"][:8]
    )
