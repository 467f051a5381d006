import numpy as np
import pytest

from gantf import toy


class NoNoise:
    """A generator that draws no noise and changes no order."""

    def normal(self, size):
        return np.zeros(size)

    def integers(self, high, size):
        return np.arange(size) % high

    def permutation(self, x):
        return np.arange(x) if isinstance(x, int) else x


def test_ring_modes_are_on_the_circle():
    modes = toy.ring_modes()
    side = 0.75 / np.sqrt(2)
    np.testing.assert_allclose(modes[0], (0.75, 0), atol=1e-12)
    np.testing.assert_allclose(modes[1], (side, side), atol=1e-12)
    np.testing.assert_allclose(modes[6], (0, -0.75), atol=1e-12)
    assert modes.shape == (8, 2)


def test_ring_has_the_spread_it_says():
    points = toy.sample("ring", 20_000)
    nearest = np.linalg.norm(points[:, None] - toy.ring_modes(), axis=2).argmin(1)
    counts = np.bincount(nearest, minlength=8)
    # Binomial(20000, 1/8): std 47; six of them on each side.
    assert abs(counts - 2500).max() < 6 * 47
    spread = (points - toy.ring_modes()[nearest]).std(0)
    np.testing.assert_allclose(spread, 0.02, rtol=6 / np.sqrt(2 * 20_000))


def test_six_points_have_equal_masses():
    points, counts = np.unique(toy.sample("six", 600), axis=0, return_counts=True)
    # 2p - 1 of the six points, in the order of their first coordinate.
    expected = [(-0.4, -0.2), (-0.2, 0.4), (-0.1, 0.5), (0.4, 0), (0.5, 0.6)]
    np.testing.assert_allclose(points, [*expected, (0.8, -0.6)], atol=1e-7)
    assert counts.tolist() == [100] * 6


def test_curve_without_noise_is_the_arc():
    # t = -.2 pi, .5 pi, 1.2 pi; 2 (.5 + .3 y) - 1 = .6 y
    points = toy.curve(3, NoNoise())
    low, high = 0.6 * np.cos(0.2 * np.pi), 0.6 * np.sin(0.4 * np.pi)
    np.testing.assert_allclose(points, [(low, -high), (0, 0), (-low, high)], atol=1e-12)


def test_curve_is_shuffled():
    x = toy.sample("curve", 1000)[:, 0]
    # Correlation of neighbours: about 1 in order, 0 +- 1/sqrt(1000) shuffled.
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 6 / np.sqrt(1000)


@pytest.mark.parametrize("name", toy.SETS)
def test_every_set_is_repeatable_and_inside_the_square(name):
    points = toy.sample(name, 5000, seed=3)
    assert points.shape == (5000, 1 if name == "mixture" else 2)
    assert points.dtype == np.float32
    assert abs(points).max() < 1
    np.testing.assert_array_equal(points, toy.sample(name, 5000, seed=3))
    assert (points != toy.sample(name, 5000, seed=4)).any()


def test_mixture_has_the_moments_of_its_law():
    """Half N(0, 1), half N(3, .5^2): mean 1.5, variance .5 (1 + .25) + 1.5^2, third
    central moment .5 (-1.5) (2.25 + 3) + .5 (1.5) (2.25 + .75) = -1.6875; mapped to
    (x - 1) / 6. Bounds of 5 sd of the means of 40,000 draws: each of the four false
    in at most 6 of 10 million."""
    n = 40_000
    x = toy.sample("mixture", n)[:, 0].astype(float)
    mean, variance, third = 0.5 / 6, 2.875 / 36, -1.6875 / 216
    centred = x - mean
    for power, truth in [(1, 0.0), (2, variance), (3, third)]:
        values = centred**power
        assert abs(values.mean() - truth) < 5 * values.std() / np.sqrt(n)
    # Above x = 2 lie Phi(2) of the one half and 1 - Phi(2) of the other.
    above = 0.5 * 0.977249868 + 0.5 * 0.022750132
    assert abs((x > 1 / 6).mean() - above) < 5 * np.sqrt(above * (1 - above) / n)


def test_mixture_without_noise_is_its_two_means():
    points = toy.mixture(4, NoNoise())
    np.testing.assert_allclose(points, [[-1 / 6], [1 / 3], [-1 / 6], [1 / 3]])


def test_the_density_of_the_mixture():
    """At x = 0 and 3 of the line, by hand; and its mass on [-1, 1], by trapezes."""
    bell = 6 / np.sqrt(2 * np.pi)
    expected = [
        bell * (0.5 + 0.5 * np.exp(-18) / 0.5),
        bell * (0.5 * np.exp(-4.5) + 0.5 / 0.5),
    ]
    np.testing.assert_allclose(toy.mixture_density([-1 / 6, 1 / 3]), expected)
    line = np.linspace(-1, 1, 2001)
    mass = toy.mixture_density(line).sum() * (line[1] - line[0])
    assert mass == pytest.approx(1, abs=1e-6)


def test_coverage():
    modes = [(0, 0), (1, 0), (0, 1)]
    points = [(0, 0.1), (0.1, 0), (1.3, 0), (5, 5)]
    assert toy.coverage(points, modes, 0.2) == (1, 0.5)
    assert toy.coverage(points, modes, 0.31) == (2, 0.75)
    assert toy.coverage(modes, modes, 0) == (3, 1.0)


def test_error_unknown_set():
    with pytest.raises(ValueError) as error:
        toy.sample("rings", 5)
    assert str(error.value) == "unknown toy set 'rings'; did you mean 'ring'?"
