"""Tests of evaluate.py: which samples are compared, and what is said of it."""

import numpy as np
import pytest

from gantf import evaluate, features, metrics, plots
from gantf.readers import array_source


@pytest.fixture(scope="module")
def source():
    images = np.random.RandomState(0).randint(0, 256, (300, 8, 8, 1)).astype(np.uint8)
    return array_source("noise", "train", images)


def test_figures_are_the_metrics_of_quantised_samples(source):
    evaluator = evaluate.Evaluator(source, features.get("pixels"), n=200)
    fake = np.random.RandomState(1).uniform(-1, 1, (200, 8, 8, 1)).astype(np.float32)
    figures = evaluator(lambda n: fake[:n])
    chosen = np.sort(np.random.RandomState(2020).permutation(300)[:200])
    real = source.read(chosen).reshape(200, -1) / 127.5 - 1
    quantised = plots.to_uint8(fake).reshape(200, -1) / 127.5 - 1
    mean, std = metrics.kid(real, quantised, 100, 200)
    assert list(figures) == evaluator.columns
    assert figures["kid_pixels"] == pytest.approx(mean, rel=1e-3)
    assert figures["kid_pixels_std"] == pytest.approx(std, abs=1e-6)
    expected = metrics.frechet_distance(real, quantised)
    assert figures["fd_pixels"] == pytest.approx(expected, rel=1e-4)


def test_real_against_real_is_nearly_nothing(source):
    evaluator = evaluate.Evaluator(source, features.get("pixels"))
    images = source.read(np.arange(300)).astype(np.float32) / 127.5 - 1
    figures = evaluator(lambda n: images[:n])
    assert abs(figures["fd_pixels"]) < 1e-3
    assert figures["kid_pixels"] <= 0  # the unbiased estimate of a set with itself


def test_protocol_says_all(source):
    evaluator = evaluate.Evaluator(source, features.get("pixels"), n=5000)
    assert evaluator.protocol == {
        "features": "pixels",
        "resize": "8x8",
        "data": "noise",
        "split": "train",
        "n_real": 300,
        "n_fake": 300,
        "kid": "100 subsets of 300, seed 2020",
        "quantisation": "floor((x + 1) 127.5 + 0.5)",
        "batch_norm": "moving averages",
    }


def test_points_are_compared_as_they_are():
    from gantf import datasets

    evaluator = evaluate.Evaluator(datasets.find("ring"), features.get("points"), 500)
    figures = evaluator(lambda n: np.zeros((n, 2), np.float32))
    # A ring of radius 0.75 with standard deviation 0.02 against a point: its mean is
    # near 0 and its covariance (0.75^2 / 2 + 0.02^2) I; 500 draws, within 10 %.
    assert figures["fd_points"] == pytest.approx(2 * (0.75**2 / 2 + 0.02**2), rel=0.1)
