"""Tests of pictures.py: between latents, beside the data, spectra, scores, films."""

import math

import numpy as np
import pytest

from gantf import pictures, plots
from gantf.architecture import Latent


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def refused(call, *args, **kwargs):
    with pytest.raises(ValueError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def drawn(monkeypatch, call, *args):
    """The parts of the matplotlib figure that would be rendered."""
    found = []
    monkeypatch.setattr(plots, "render", lambda figure: found.append(figure))
    call(*args)
    return found[0].axes


@pytest.mark.parametrize("angle", [1e-4, 0.3, math.pi / 2, 2.0, math.pi - 1e-4])
def test_slerp_turns_evenly_from_one_to_the_other(angle):
    # In the plane of a and b: (cos t w, sin t w), turned in 5 dimensions by Q.
    q, _ = np.linalg.qr(draw(5, 5))
    a, b = q[0], np.cos(angle) * q[0] + np.sin(angle) * q[1]
    t = np.linspace(0, 1, 7)[:, None]
    expected = np.cos(t * angle) * q[0] + np.sin(t * angle) * q[1]
    # b is known to 1e-16, which sin w of 1e-4 makes 1e-12 of.
    np.testing.assert_allclose(pictures.slerp(a, b, 7), expected, atol=1e-11)


def test_slerp_of_latents_of_two_lengths_is_shoemakes_formula():
    # Half-way with w = 90 degrees: sin 45 (a + b) / sin 90.
    found = pictures.slerp([2, 0], [0, 1], 3)
    half = math.sqrt(0.5)
    np.testing.assert_allclose(found, [[2, 0], [2 * half, half], [0, 1]], atol=1e-15)


@pytest.mark.parametrize(
    "a, b",
    [([1, 2], [2, 4]), ([1, 2], [1, 2]), ([1, 2], [-1, -2]), ([0, 0], [1, 1])],
)
def test_slerp_is_straight_where_there_is_no_arc(a, b):
    found = pictures.slerp(a, b, 3)
    middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]
    np.testing.assert_allclose(found, [a, middle, b], atol=1e-12)


def test_slerp_keeps_the_length_of_normal_latents_and_lerp_does_not():
    a, b = draw(50, 1000), draw(50, 1000, seed=1)
    lengths = {
        way: np.linalg.norm(way(a, b, 5)[:, 2], axis=-1) / math.sqrt(1000)
        for way in (pictures.slerp, pictures.lerp)
    }
    # Lengths of 1000 normal numbers have the standard deviation 0.022 of their mean.
    assert np.abs(lengths[pictures.slerp] - 1).max() < 0.1
    assert np.abs(lengths[pictures.lerp] - math.sqrt(0.5)).max() < 0.1


def test_ways_take_latents_of_any_shape():
    a, b = draw(2, 3, 4), draw(2, 3, 4, seed=1)
    for way in (pictures.slerp, pictures.lerp):
        found = way(a, b, 5)
        assert found.shape == (2, 3, 5, 4)
        np.testing.assert_allclose(found[1, 2], way(a[1, 2], b[1, 2], 5), atol=1e-15)
        np.testing.assert_allclose(found[:, :, 0], a, atol=1e-15)
        np.testing.assert_allclose(found[:, :, -1], b, atol=1e-14)


@pytest.mark.parametrize("steps", [1, 2.0, True])
def test_error_steps_of_a_way(steps):
    words = f"steps is a whole number from 2, not {steps!r}"
    assert refused(pictures.slerp, [1.0], [2.0], steps) == words


class Mirror:
    """A sampler whose samples show their latents, four numbers as 2x2 images."""

    def __init__(self, law, classes=0, latents=None):
        self.latent, self.classes = Latent(law, 4), classes
        self.takes_labels, self.given = bool(classes), latents
        self.seen = []

    def latents(self, n, seed):
        return draw(n, 4, seed=seed) if self.given is None else self.given[:n]

    def decode(self, latents, labels=None):
        self.seen.append((np.asarray(latents), labels))
        return np.tanh(latents).reshape(-1, 2, 2, 1)


def test_interpolations_are_rows_of_samples_on_the_way():
    sampler = Mirror("normal", latents=2.0 * np.eye(4, dtype="float32"))
    picture = pictures.interpolation(sampler, rows=2, steps=3)
    [(latents, labels)] = sampler.seen
    r = math.sqrt(2)  # 2 sin 45: e_1 to e_3, e_2 to e_4
    expected = [[2, 0, 0, 0], [r, 0, r, 0], [0, 0, 2, 0]]
    expected += [[0, 2, 0, 0], [0, r, 0, r], [0, 0, 0, 2]]
    np.testing.assert_allclose(latents, expected, atol=1e-6)
    assert labels is None and latents.dtype == np.float32
    assert picture.shape == (2 * 4 + 2, 3 * 4 + 2, 1) and picture.dtype == np.uint8
    # floor((tanh(sqrt 2) + 1) 127.5 + .5) = 241, in the middle of the first row
    assert (
        picture[2, 6, 0] == 241 and picture[3, 6, 0] == 241 and picture[2, 7, 0] == 128
    )


def test_ways_between_uniform_latents_are_straight():
    sampler = Mirror("uniform", latents=np.eye(4, dtype="float32"))
    pictures.interpolation(sampler, rows=2, steps=3)
    np.testing.assert_allclose(sampler.seen[0][0][1], [0.5, 0, 0.5, 0], atol=1e-7)


def test_seeds_decide_and_rows_keep_their_class():
    one, same, other = (Mirror("normal", classes=3) for _ in range(3))
    for sampler, seed in ((one, 1), (same, 1), (other, 2)):
        pictures.interpolation(sampler, rows=4, steps=2, seed=seed)
    np.testing.assert_array_equal(one.seen[0][1], [0, 0, 1, 1, 2, 2, 0, 0])
    np.testing.assert_array_equal(one.seen[0][0], same.seen[0][0])
    assert not np.array_equal(one.seen[0][0], other.seen[0][0])


def test_corners_are_four_latents_and_their_ways():
    sampler = Mirror("normal", 2, latents=2.0 * np.eye(4, dtype="float32"))
    picture = pictures.corners(sampler, side=3)
    latents, labels = sampler.seen[0]
    latents = latents.reshape(3, 3, 4)
    e, r = 2 * np.eye(4), math.sqrt(2)
    for (i, j), expected in {
        (0, 0): e[0],
        (0, 2): e[1],
        (2, 0): e[2],
        (2, 2): e[3],
        (0, 1): [r, r, 0, 0],
        (1, 0): [r, 0, r, 0],
        (1, 2): [0, r, 0, r],
        (2, 1): [0, 0, r, r],
        (1, 1): [1, 1, 1, 1],
    }.items():
        np.testing.assert_allclose(latents[i, j], expected, atol=1e-6)
    np.testing.assert_array_equal(labels, [0, 0, 0, 1, 1, 1, 0, 0, 0])
    assert picture.shape == (3 * 4 + 2, 3 * 4 + 2, 1)


def test_error_samples_that_are_no_images():
    sampler = Mirror("normal")
    sampler.decode = lambda latents, labels: latents
    words = "images are (n, h, w, c), not (4, 4)"
    assert refused(pictures.corners, sampler, side=2) == words


def test_nearest_rows_by_hand_and_ties_in_order():
    x, y = [[0.0, 0.0], [3.0, 4.0]], [[0.0, 1.0], [3.0, 0.0], [1.0, 0.0]]
    numbers, distances = pictures.nearest(x, y, 3)
    np.testing.assert_array_equal(numbers, [[0, 2, 1], [1, 0, 2]])
    np.testing.assert_allclose(
        distances, [[1, 1, 3], [4, math.sqrt(18), math.sqrt(20)]], rtol=1e-15
    )


def test_nearest_rows_of_many_blocks_in_float64():
    # Far from 0, where float32 has no digits left for the distances.
    x, y = draw(300, 3) + 1e6, draw(40, 3, seed=1) + 1e6
    numbers, distances = pictures.nearest(x, y, 2)
    for i in (0, 255, 256, 299):
        each = [math.dist(x[i], row) for row in y]
        np.testing.assert_array_equal(numbers[i], np.argsort(each)[:2])
        np.testing.assert_allclose(distances[i], sorted(each)[:2], rtol=1e-12)


@pytest.mark.parametrize("k", [0, 4, 1.0])
def test_error_more_neighbours_than_there_are(k):
    words = f"k is a whole number from 1 to 3, not {k!r}"
    assert refused(pictures.nearest, draw(2, 2), draw(3, 2), k) == words


def test_neighbours_stand_behind_a_gap_in_order():
    real = (
        np.full((4, 4, 4, 3), 1, np.uint8)
        * np.array([10, 20, 30, 40], np.uint8)[:, None, None, None]
    )
    fake = np.full((2, 4, 4, 3), 99, np.uint8)
    near = [[0.0], [10.0]], [[8.0], [1.0], [0.5], [9.0]]
    picture = pictures.neighbours(fake, near[0], real, near[1], k=2)
    # An image and 2 pixels to each side, half an image, 2 images and 3 gaps.
    assert picture.shape == (2 * 6 + 2, 8 + 2 + 14, 3)
    rows = picture[[3, 9]][:, [3, 9, 13, 19], 0]
    np.testing.assert_array_equal(rows, [[99, 255, 30, 20], [99, 255, 40, 10]])


def waves(u, v, h=16, w=16):
    i, j = np.mgrid[:h, :w]
    return np.cos(2 * np.pi * (u * i / h + v * j / w))[None, ..., None]


@pytest.mark.parametrize(
    "u, v, radius", [(0, 3, 3), (5, 0, 5), (3, 4, 5), (2, 2, 3), (8, 0, 8)]
)
def test_a_cosine_has_its_power_in_one_ring(u, v, radius):
    profile, power = pictures.power_spectrum(waves(u, v))
    # Half each at (u, v) and (-u, -v) of the mean square 1/2; one point at Nyquist.
    once = (u, v) == (8, 0)
    expected = np.zeros((16, 16))
    expected[(8 + u) % 16, 8 + v] += 0.5 if once else 0.25
    expected[8 - u, 8 - v] += 0.5 if once else 0.25
    np.testing.assert_allclose(power, expected, atol=1e-15)
    assert profile.shape == (9,) and np.argmax(profile) == radius
    others = np.delete(profile, radius)
    assert others.max() < 1e-15 < 1e-3 < profile[radius]


def test_the_map_is_the_transform_and_sums_to_the_mean_square():
    x = np.tanh(draw(3, 4, 6, 1))
    _, power = pictures.power_spectrum(x)
    # The sum of its definition, by hand.
    rows = np.exp(-2j * np.pi * np.outer(np.arange(4), np.arange(4)) / 4)
    columns = np.exp(-2j * np.pi * np.outer(np.arange(6), np.arange(6)) / 6)
    by_hand = np.mean([abs(rows @ one[..., 0] @ columns) ** 2 for one in x], 0) / 24**2
    np.testing.assert_allclose(np.roll(power, (-2, -3), (0, 1)), by_hand, rtol=1e-12)
    assert power.sum() == pytest.approx(np.mean(x**2), rel=1e-12)  # Parseval


def test_the_profile_is_the_mean_of_rings_of_waves_across_the_shorter_side():
    x = np.tanh(draw(2, 5, 8, 1))
    profile, power = pictures.power_spectrum(x)
    rings = {}
    for i in range(5):
        for j in range(8):
            u, v = (i - 2) / 5, (j - 4) / 8  # waves a pixel
            rings.setdefault(round(5 * math.hypot(u, v)), []).append(power[i, j])
    np.testing.assert_allclose(
        profile, [np.mean(rings[radius]) for radius in range(3)], rtol=1e-12
    )


def test_white_noise_is_flat():
    noise = np.random.default_rng(0).uniform(-1, 1, (400, 16, 16, 1))
    profile, _ = pictures.power_spectrum(noise)
    # E P = var / (h w) = 1/3 / 256. Each |F|^2 has about the deviation of its mean, at
    # radius 0 sqrt(2) of it: over 400 images 7 % there, less elsewhere; 4 of them.
    np.testing.assert_allclose(profile, 1 / 3 / 256, rtol=0.28)
    np.testing.assert_allclose(profile[3:], 1 / 3 / 256, rtol=0.1)


def test_colours_count_by_their_luminance_and_bytes_as_levels():
    grey = waves(0, 3)
    for channel, share in enumerate((0.299, 0.587, 0.114)):
        colour = np.zeros((1, 16, 16, 3))
        colour[..., channel] = grey[..., 0]
        _, power = pictures.power_spectrum(colour)
        assert power.max() == pytest.approx(0.25 * share**2)
    levels = np.array([0, 51, 255, 102], np.uint8).reshape(1, 2, 2, 1)
    floats = levels.astype(np.float32) / 127.5 - 1
    for found, expected in zip(*map(pictures.power_spectrum, (levels, floats))):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_spectra_are_drawn_in_decibels_on_one_scale(monkeypatch):
    real, fake = 0.1 * waves(0, 3), 0.01 * waves(0, 3)
    left, one, two, _ = drawn(monkeypatch, pictures.spectrum, real, fake)
    profiles = {line.get_label(): line.get_ydata() for line in left.get_lines()}
    # Two points of .1^2 / 4 (or .01^2 / 4) in the 16 of the ring 2.5 .. 3.5.
    ring = 10 * math.log10(2 * 0.1**2 / 4 / 16)
    assert profiles["real"][3] == pytest.approx(ring)
    assert profiles["generated"][3] == pytest.approx(ring - 20)
    assert profiles["real"][5] == -120  # what is called nothing
    assert [axes.get_title() for axes in (one, two)] == ["real", "generated"]
    assert one.images[0].get_clim() == two.images[0].get_clim()
    assert one.images[0].get_array().max() == pytest.approx(10 * math.log10(0.0025))


def test_pictures_are_bytes():
    for picture in (
        pictures.spectrum(waves(0, 3), waves(1, 1)),
        pictures.pca(draw(9, 4), draw(9, 4)),
        pictures.history({"a": [(1, 2.0)]}, {}),
    ):
        assert picture.dtype == np.uint8 and picture.ndim == 3


@pytest.mark.parametrize("n, d", [(50, 4), (3, 7)])
def test_principal_coordinates_are_those_of_the_covariance(n, d):
    points = draw(n, d) @ np.diag(np.arange(1, d + 1.0)) + 5
    at, shares = pictures.principal(points, 2)
    values, vectors = np.linalg.eigh(np.cov(points.T))
    expected = (points - points.mean(0)) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(at), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum(), rtol=1e-9)
    assert (at.max(0) == np.abs(at).max(0)).all()


def test_principal_coordinates_of_what_does_not_vary_are_0():
    at, shares = pictures.principal(np.ones((5, 3)))
    np.testing.assert_array_equal(at, np.zeros((5, 2)))
    np.testing.assert_array_equal(shares, [0, 0])


def test_scores_are_shown_along_the_components_of_both(monkeypatch):
    # (3, 4) / 5 is the first direction, all others are less.
    real = np.outer([-1.0, -2.0, -3.0], [3, 4, 0]) / 5
    fake = np.outer([1.0, 5.0], [3, 4, 0]) / 5 + [[0, 0, 0.1], [0, 0, -0.1]]
    [axes] = drawn(monkeypatch, pictures.pca, real, fake)
    shown = {c.get_label(): np.asarray(c.get_offsets()) for c in axes.collections}
    np.testing.assert_allclose(shown["real"][:, 0], [-1, -2, -3], atol=0.01)
    np.testing.assert_allclose(shown["generated"][:, 0], [1, 5], atol=0.01)
    assert axes.get_xlabel() == "component 1 (100 % of the variance)"


def test_scores_of_one_number_are_counted(monkeypatch):
    [axes] = drawn(monkeypatch, pictures.pca, [[0.0], [0.1], [1.0]], [[4.0]])
    counts = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert [sum(each) for each in counts] == [3, 1]
    assert counts[0][:2] == [1, 1] and counts[1][-1] == 1  # 40 bins of 0.1
    assert axes.get_legend_handles_labels()[1] == ["real", "generated"]


def test_history_has_a_panel_for_each_figure(monkeypatch):
    losses = {"generator": [(i, i / 2) for i in range(40)], "discriminator": [(1, 3.0)]}
    figures = {
        "kid": [(10, 2.0, 0.5), (20, 1.0, 0.25)],
        "fd": [(10, 7.0), (20, 8.0)],
        "is": [(10, 3.0)],
    }
    rates = {"generator": [(1, 1e-3), (20, 1e-4)]}
    top, kid, fd, score, rate = drawn(
        monkeypatch, pictures.history, losses, figures, rates
    )
    thin, thick = top.get_lines()[:2]
    np.testing.assert_array_equal(thin.get_xydata(), losses["generator"])
    assert thick.get_ydata()[-1] == (38 + 39) / 4  # over 40 / 20 points
    titles = [axes.get_title() for axes in (kid, fd, score, rate)]
    assert titles == ["kid", "fd", "is", "learning rate"]
    np.testing.assert_array_equal(kid.get_lines()[0].get_ydata(), [2, 1])
    band = kid.collections[0].get_paths()[0].vertices
    assert {tuple(v) for v in band} >= {(10, 1.5), (10, 2.5), (20, 0.75), (20, 1.25)}
    assert not fd.collections
    np.testing.assert_array_equal(rate.get_lines()[0].get_xydata(), rates["generator"])
    assert rate.get_yscale() == "log"
    top, *others = drawn(monkeypatch, pictures.history, losses, {})
    assert not others and top.get_xlabel() == "step"


@pytest.mark.parametrize(
    "n, most, expected",
    [(7, 3, [0, 3, 6]), (3, 9, [0, 1, 2]), (1, 5, [0]), (0, 5, []), (10, 2, [0, 9])],
)
def test_evenly_takes_the_ends_and_no_more_than_asked(n, most, expected):
    assert pictures.evenly(n, most) == expected


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_shrunk_and_have_their_words_below(channels):
    large = np.full((100, 50, channels), 7, np.uint8)
    found = pictures.frame(large, "5", side=40)
    assert found.shape[1:] == (20, 3) and found.dtype == np.uint8
    strip = found.shape[0] - 40
    assert (found[:40] == 7).all() and 10 < strip < 30
    assert found[40:].min() < 100 < found[40:].max()  # dark letters on white
    other = pictures.frame(large, "6", side=40)
    assert (found[:40] == other[:40]).all() and (found != other).any()
    small = pictures.frame(large, "step 5", side=400)
    assert small.shape == (100 + strip, 50, 3)
