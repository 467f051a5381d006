"""The bias experiments: their figures by name and their pictures."""

import math

import numpy as np
import pytest
from PIL import Image

from gantf.theory import bias, critics, scores

SMALL = {
    "critic_sizes": [4, 9],
    "mixture_sizes": [2],
    "kernel": "rbf:1",
    "batch_sizes": [2, 4],
    "dimension": 4,
    "fid_sizes": [10, 40],
    "kid_sizes": [2, 20],
    "rows": 400,
    "seed": 3,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bias")
    return folder, bias.run(folder, **SMALL)


def test_figures_are_numbers_by_name(ran):
    figures = ran[1]
    assert all(
        type(value) is float and math.isfinite(value) for value in figures.values()
    )
    for what in ("plug_in_bias_D0.5_n9", "slope_D0.5_n4", "fid_shifted_n40_sd"):
        assert what in figures


def test_figures_are_those_of_their_functions(ran):
    figures = ran[1]
    assert figures["plug_in_bias_D0.5_n4"] == critics.plug_in(0.5, 4) - 0.5 > 0
    assert figures["split_bias_D0.5_n4"] == critics.split_sample(0.5, 4) - 0.5 < 0
    assert figures["slope_D0.5_n9"] == critics.plug_in_slope(0.5, 9)
    assert figures["mixture_plug_in_worst_bias_n2"] == pytest.approx(0.5)
    assert figures["mixture_least_worst_bias_n2"] == critics.least_bias(2)
    assert figures["fid_of_right_normal_m100"] == scores.expected_fid(1, 100)
    assert figures["fid_of_wrong_normal_m100"] == scores.expected_fid(0.99, 100)
    target, models = scores.laws(4, np.random.default_rng(3))
    for name, law in models.items():
        assert figures[f"fid_{name}_true"] == scores.true_fid(law, target)


def test_gradients_are_biased_where_the_estimate_is(ran):
    figures = ran[1]
    true = figures["gradient_true"]
    assert figures["gradient_unbiased_m2"] == pytest.approx(true, abs=1e-9)
    assert figures["gradient_unbiased_m4"] == pytest.approx(true, abs=1e-9)
    # The bias is of order 1 / m, exactly.
    off = [figures[f"gradient_biased_m{m}"] - true for m in (2, 4)]
    assert abs(off[0]) > 1e-3
    assert off[0] == pytest.approx(2 * off[1], rel=1e-5)


def test_kids_are_right_in_the_mean_and_fids_are_above(ran):
    """KID's runs, 20 or 200: 6 errors of their mean, one in 10^5 seeds, and a fifth for
    the true value of 400 draws. FID's bias is 4 errors: one in 10^4."""
    figures = ran[1]
    for name in ("shifted", "correlated"):
        true = figures[f"kid_{name}_true"]
        for n in (2, 20):
            error = figures[f"kid_{name}_n{n}_error"]
            assert abs(figures[f"kid_{name}_n{n}"] - true) < 6 * error + 0.2 * true
        assert figures[f"kid_{name}_n2_sd"] > 2 * figures[f"kid_{name}_n20_sd"]
        assert figures[f"fid_{name}_n10"] > figures[f"fid_{name}_true"]


def test_pictures_are_written(ran):
    for name, size in [("critics", (1200, 950)), ("scores", (1200, 500))]:
        with Image.open(ran[0] / f"{name}.png") as picture:
            assert picture.size == size
            assert len(np.unique(np.asarray(picture))) > 50


def test_the_seed_is_all_chance_there_is(ran, tmp_path):
    assert bias.run(tmp_path, **SMALL) == ran[1]


@pytest.mark.parametrize(
    "setting, given, message",
    [
        ("batch_sizes", [4, 1], "batch_sizes: whole numbers from 2, not 4, 1"),
        ("critic_sizes", [0], "critic_sizes: whole numbers from 1, not 0"),
        ("fid_sizes", [], "fid_sizes: whole numbers from 2, not none"),
        ("dimension", 1, "dimension: whole numbers from 2, not 1"),
        ("kernel", "rfb", "unknown kernel 'rfb'; did you mean 'rbf'?"),
    ],
)
def test_what_cannot_be_computed_is_refused(setting, given, message, tmp_path):
    with pytest.raises(ValueError) as caught:
        bias.run(tmp_path, **{**SMALL, setting: given})
    assert str(caught.value) == message
