"""Tests of theory/points.py: training, figures, witness maps and pictures."""

import inspect
import math

import numpy as np
import pytest
import references
from PIL import Image

from gantf import mmd, toy
from gantf.theory import points

SMALL = {
    "sets": ["ring", "mixture"],
    "methods": ["wgan", "features"],
    "sigma": 0.05,
    "sigmas": [0.05, 1.0],
    "width": 4,
    "batch_size": 4,
    "steps": 2,
    "rate": 2e-3,
    "samples": 30,
    "seed": 0,
}
TRAINED = [("six", 0.05), ("six", 1.0), ("curve", 0.05)]


@pytest.fixture(scope="module")
def trained():
    """Generators of a fixed kernel, (set, sigma) -> GAN."""
    how = {"width": 64, "batch_size": 32, "steps": 1500, "rate": 3e-3}
    return {
        (data, sigma): points.train(data, "fixed", sigma=sigma, **how)
        for data, sigma in TRAINED
    }


def untrained(data, method, *, batch_size, steps, **how):
    return points.make(data, method, **how)


def samples(data, n=40):
    """Of a set, and others around 0."""
    real = toy.sample(data, n, seed=3)
    return real, np.random.default_rng(4).normal(0, 0.4, real.shape).astype("float32")


# ---- training


def test_a_fixed_kernel_trains_a_generator(trained):
    """MMD^2 with the kernel itself, .1 in [-1, 1]^2. Untrained generators have .158
    to .181 on "six" and .038 to .062 on "curve", of eight seeds."""
    for data, most in [("six", 0.12), ("curve", 0.03)]:
        gan, real = trained[data, 0.05], toy.sample(data, 1000, seed=1)
        fake = points.draw(gan, 1000)
        assert float(mmd.mmd2(real, fake, "rbf:0.1")) < most
        assert gan.step == 1500


def test_a_narrow_kernel_beats_a_wide_one(trained):
    """By figures that know no kernel: the wide one's samples are a blob."""
    real, modes = toy.sample("six", 1000, seed=1), toy.six_modes()
    fakes = [points.draw(trained["six", sigma], 1000) for sigma in (0.05, 1.0)]
    narrow, wide = [toy.coverage(fake, modes, 0.1)[1] for fake in fakes]
    assert narrow > 2 * wide
    narrow, wide = [points.distance(real, fake) for fake in fakes]
    assert narrow < wide


def test_the_fixed_kernel_compares_the_points_themselves(trained):
    gan = trained["six", 0.05]
    assert not gan.discriminator.weights
    assert str(gan.criterion.kernel) == "rbf:0.1"  # twice as long here
    real, _ = samples("six")
    np.testing.assert_array_equal(gan.discriminator(real), real)


@pytest.mark.parametrize("method", points.METHODS)
def test_generators_are_those_of_the_source(method):
    """10-100-100-100-2: 21,502 parameters, Benaziza et al. (2024), their notebooks."""
    gan = points.make("curve", method)
    assert gan.generator.count_params() == 21_502
    assert gan.generator.input_shape == (None, 10)
    assert points.METHODS[method].trained == bool(gan.discriminator.weights)


def test_every_critic_step_and_seed_counts():
    """A trained critic moves; the seed decides all, and alone."""
    how = {"width": 4, "batch_size": 4, "steps": 2}
    gan = points.train("mixture", "wgan", seed=1, **how)
    before = points.make("mixture", "wgan", seed=1, width=4)
    assert (gan.step, int(gan.discriminator_optimizer.iterations)) == (2, 10)
    for net in ("generator", "discriminator"):
        pairs = zip(getattr(gan, net).weights, getattr(before, net).weights)
        assert any((a.numpy() != b.numpy()).any() for a, b in pairs)
    other = points.make("mixture", "wgan", seed=2, width=4)
    assert (points.draw(other, 5) != points.draw(before, 5)).any()


def test_drawn_samples_are_those_of_generate():
    gan = points.make("mixture", "fixed", width=4)
    np.testing.assert_allclose(
        points.draw(gan, 7, seed=5), gan.generate(7, seed=5), atol=1e-6
    )


# ---- figures


def test_distance_is_the_energy_distance():
    """Of points by hand: 2 (2 + 3 + 1 + 2) / 4 - 1 - 1, with no pair i = i."""
    assert points.distance([[0.0], [1.0]], [[2.0], [3.0]]) == pytest.approx(2.0)
    real, fake = samples("six", 20)
    truth = references.mmd2(real, fake, references.distance, "unbiased")
    assert points.distance(real, fake) == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("shape", [(2, 1), (2, 3)])
def test_lipschitz_of_a_linear_map(shape):
    """|A v| / |v| over directions: the largest singular value, if one of the points'
    differences has its direction."""
    matrix = np.random.default_rng(0).normal(size=shape)
    u, s, _ = np.linalg.svd(matrix)
    random = np.random.default_rng(1).normal(size=(20, 2))
    at = np.concatenate([random, random[:1] + 0.5 * u[:, 0]])
    assert points.lipschitz(lambda x: x @ matrix, at) == pytest.approx(s[0])
    assert points.lipschitz(lambda x: x @ matrix, random) < s[0]


def test_lipschitz_leaves_out_what_is_too_near():
    jump = [[0.0], [0.0], [1e-4], [1.0]]

    def score(x):  # (n,)
        return np.array([0.0, 5.0, 1.0, 2.0])

    assert points.lipschitz(score, jump) == pytest.approx(3.0, abs=1e-3)  # 5 to 2
    assert points.lipschitz(score, jump, apart=1e-5) == pytest.approx(4e4)
    with pytest.raises(ValueError) as caught:
        points.lipschitz(lambda x: x, [[1.0], [1.0]])
    assert str(caught.value) == (
        "a slope wants two points 0.001 apart, and there are none"
    )


# ---- the witness function


def test_the_heat_map_of_a_fixed_kernel_is_the_witness_of_the_points():
    gan, (real, fake) = points.make("six", "fixed", sigma=0.1), samples("six")
    at = points.grid(2)
    found = points.witness(gan, at, real, fake)
    truth = np.asarray(mmd.witness(at, real, fake, "rbf:0.2"))
    np.testing.assert_allclose(found, truth, atol=1e-6)
    by_hand = references.rbf(at[:50], real, 0.2).mean(1)
    by_hand -= references.rbf(at[:50], fake, 0.2).mean(1)
    np.testing.assert_allclose(found[:50], by_hand, atol=1e-6)


def test_the_heat_map_of_features_is_the_witness_of_the_scores():
    gan, (real, fake) = points.make("six", "features"), samples("six")
    at = points.grid(2)[::97]
    scores = [gan.discriminator(x) for x in (at, real, fake)]
    truth = np.asarray(mmd.witness(*scores, "rbf:1"))
    np.testing.assert_allclose(points.witness(gan, at, real, fake), truth, atol=1e-6)


def test_the_heat_map_of_a_critic_is_its_score_but_for_a_constant():
    gan, (real, fake) = points.make("mixture", "wgan"), samples("mixture")
    at = points.grid(1)
    found = points.witness(gan, at, real, fake)
    score = np.asarray(gan.discriminator(at))[:, 0]
    np.testing.assert_allclose(found - found[0], score - score[0], atol=1e-6)
    ends = points.witness(gan, real, real, fake), points.witness(gan, fake, real, fake)
    assert ends[0].mean() + ends[1].mean() == pytest.approx(0, abs=1e-6)


def test_the_grid_goes_row_by_row_from_below():
    at = points.grid(2)
    assert at.shape == (10_000, 2)
    np.testing.assert_allclose(at[[0, 99, 9900, -1]], 1.05 * np.array(
        [(-1, -1), (1, -1), (-1, 1), (1, 1)]
    ))  # fmt: skip
    np.testing.assert_allclose(points.grid(1)[:, 0], at[:100, 0])


# ---- pictures


def test_run_draws_both_pictures_and_gives_the_figures(tmp_path, monkeypatch):
    asked = []

    def train(data, method, **how):
        asked.append((data, method, how["sigma"]))
        return untrained(data, method, **how)

    monkeypatch.setattr(points, "train", train)
    figures = points.run(tmp_path, **SMALL)
    assert asked == [
        *((data, m, 0.05) for data in SMALL["sets"] for m in SMALL["methods"]),
        *((data, "fixed", s) for data in ("six", "curve") for s in (0.05, 1.0)),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"comparison.png", "sigma.png"}
    assert set(figures) == {
        *(f"ring_{m}_{name}" for m in SMALL["methods"] for name in (
            "distance", "near", "modes", "lipschitz"
        )),
        *(f"mixture_{m}_{name}" for m in SMALL["methods"] for name in (
            "distance", "lipschitz"
        )),
        *(f"{data}_sigma_{s}_{name}" for data in ("six", "curve")
          for s in ("0.05", "1") for name in ("distance", "near")),
        *(f"{data}_sigma_of_{best}" for data in ("six", "curve")
          for best in ("least_distance", "most_near")),
    }  # fmt: skip
    assert all(type(value) is float for value in figures.values())
    for data in ("six", "curve"):
        for best, name, of in [("least", "distance", min), ("most", "near", max)]:
            values = {s: figures[f"{data}_sigma_{s:g}_{name}"] for s in (0.05, 1.0)}
            at = figures[f"{data}_sigma_of_{best}_{name}"]
            assert values[at] == of(values.values())
    gan = points.make("ring", "features", width=4)
    real, fake = toy.sample("ring", 5000, seed=1)[:30], points.draw(gan, 30, seed=1)
    met, near = toy.coverage(fake, toy.ring_modes(), 0.06)
    for name, value in {
        "distance": points.distance(real, fake),
        "modes": met,
        "near": near,
        "lipschitz": points.lipschitz(gan.discriminator, np.concatenate([real, fake])),
    }.items():
        assert figures[f"ring_features_{name}"] == pytest.approx(value, rel=1e-5)
    picture = np.asarray(Image.open(tmp_path / "comparison.png").convert("RGB"))
    assert picture.shape == (940, 800, 3)
    for color in ([31, 119, 180], [255, 127, 14], [0, 0, 0]):  # blue, orange, black
        assert (np.abs(picture.astype(int) - color).max(axis=-1) < 30).sum() > 100


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sets": ["rings"]}, "unknown toy set 'rings'; did you mean 'ring'?"),
        ({"methods": ["wgna"]}, "unknown method 'wgna'; did you mean 'wgan'?"),
        ({"sets": []}, "sets: one at least, not []"),
        ({"methods": []}, "methods: one at least, not []"),
        ({"sigma": 0.0}, "sigma: a number above 0, not 0.0"),
        ({"sigmas": []}, "sigmas: numbers above 0, one at least, not []"),
        ({"sigmas": [-1.0]}, "sigmas: numbers above 0, one at least, not [-1.0]"),
        ({"width": 0}, "width: a whole number from 1, not 0"),
        ({"batch_size": 1}, "batch_size: a whole number from 2 to 5000, not 1"),
        ({"steps": 0}, "steps: a whole number from 1, not 0"),
        ({"rate": math.nan}, "rate: a number above 0, not nan"),
        ({"samples": 5001}, "samples: a whole number from 2 to 5000, not 5001"),
    ],
    ids=str,
)  # fmt: skip
def test_error_settings_that_cannot_be(settings, message, tmp_path):
    with pytest.raises(ValueError) as caught:
        points.run(tmp_path, **SMALL | settings)
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_every_rule_is_of_a_setting():
    assert set(points._RULES) < set(inspect.signature(points.run).parameters)
