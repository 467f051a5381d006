"""Tests of sampler.py: a run's generator without its data."""

import json

import keras
import numpy as np
import pytest

import gantf
from gantf.architecture import Latent
from gantf.sampler import Sampler


@pytest.fixture
def folder(tmp_path):
    net = gantf.build("dense-4x4x1-tanh", (3,))
    net.save(tmp_path / "generator.keras")
    stored = {"settings": {"architecture": {"latent": "uniform-3"}}}
    (tmp_path / "settings.json").write_text(json.dumps(stored))
    return tmp_path


def test_of_run_draws_from_the_saved_net_and_law(folder):
    sampler = Sampler.of_run(folder)
    assert sampler.latent == Latent("uniform", 3)
    latents = np.asarray(sampler.latents(5, seed=1))
    net = keras.models.load_model(folder / "generator.keras")
    np.testing.assert_allclose(sampler.generate(5, seed=1), net(latents), atol=1e-6)


def test_samples_are_cut_to_the_range_of_images(folder):
    net = gantf.build("dense-4x4x1", (3,))
    net.set_weights([np.full(w.shape, 5.0) for w in net.get_weights()])
    samples = Sampler(net, Latent("normal", 3)).generate(50, seed=0)
    assert samples.max() == 1.0 and samples.min() == -1.0


def refused(call):
    with pytest.raises(ValueError) as caught:
        call()
    return str(caught.value)


def test_error_messages(folder):
    sampler = Sampler.of_run(folder)
    assert refused(lambda: sampler.generate(0)) == "n is a whole number from 1, not 0"
    assert refused(lambda: sampler.generate(2, labels=[0, 1])) == (
        "this generator takes no labels"
    )
    (folder / "generator.keras").unlink()
    assert refused(lambda: Sampler.of_run(folder)) == (
        f"{folder} has no generator.keras: its run has made no checkpoint yet"
    )
    (folder / "settings.json").write_text("{")
    assert refused(lambda: Sampler.of_run(folder)) == f"{folder} is no folder of a run"


def test_of_run_knows_the_layers_of_gantf(tmp_path, in_process):
    # in a process of its own, which has built nothing with them
    net = gantf.build("dense-2x2x8-cbn tconv4-1-s2-p1-tanh", (3,), classes=10)
    net.save(tmp_path / "generator.keras")
    stored = {"settings": {"architecture": {"latent": "normal-3", "classes": 10}}}
    (tmp_path / "settings.json").write_text(json.dumps(stored))
    found = in_process(_LOADED, str(tmp_path))
    mine = Sampler.of_run(tmp_path).generate(12, labels=7, seed=1)
    np.testing.assert_allclose(found, mine, atol=1e-6)


_LOADED = """
import json, sys
from gantf.sampler import Sampler
samples = Sampler.of_run(sys.argv[1]).generate(12, labels=7, seed=1)
print(json.dumps(samples.tolist()))
"""
