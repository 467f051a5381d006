"""Tests of pyramids.py: TensorFlow's SSIM, SciPy's Wasserstein distance, loops."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy.stats
import tensorflow as tf

from gantf import pyramids


def pictures(n, h, w, c=3, seed=0):
    """Smooth shapes and noise that pairs share in part: terms of all sizes above 0."""
    random = np.random.RandomState(seed)
    shapes = random.randn(n + 1, h, w, c)
    shapes = scipy.ndimage.gaussian_filter(shapes, (0, h / 16, w / 16, 0))
    images = shapes[:-1] / shapes.std() + 2 * shapes[-1] / shapes.std()
    images = 128 + 25 * images + 10 * random.randn(n, h, w, c)
    return np.clip(np.round(images), 0, 255).astype(np.uint8)


def pairs_of(images, seed=2020):
    """Neighbours in the order that RandomState(seed) draws."""
    order = np.random.RandomState(seed).permutation(len(images))
    half = len(images) // 2
    return images[order[0 : 2 * half : 2]], images[order[1 : 2 * half : 2]]


# ---- MS-SSIM


@pytest.mark.parametrize(
    "h, w, scales",
    [(176, 192, 5), (161, 203, 5), (160, 176, 4), (81, 99, 4), (64, 64, 3), (28, 28, 2)]
    + [(21, 30, 2), (20, 33, 1), (11, 12, 1)],
)
def test_ms_ssim_as_tensorflow_has_it(h, w, scales):
    """Which computes in float32: 1e-7 of 1 against C_2 / 255^2 = 9e-4."""
    images = pictures(4, h, w)
    factors = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    if scales < 5:
        factors = factors / factors.sum()
    truth = tf.image.ssim_multiscale(*pairs_of(images), 255, list(factors))
    found = pyramids.ms_ssim(images)
    assert type(found) is float
    assert 0.05 < found < 0.95
    assert found == pytest.approx(float(tf.reduce_mean(truth)), abs=2e-4)
    if scales == 1:
        truth = tf.image.ssim(*pairs_of(images), 255)
        assert found == pytest.approx(float(tf.reduce_mean(truth)), abs=2e-4)


@pytest.mark.parametrize("h, w", [(7, 9), (6, 6), (1, 4)])
def test_ms_ssim_below_11_pixels_in_loops(h, w):
    """One scale; the window has the shorter side s and a sigma of 1.5 s / 11."""
    images = pictures(2, h, w, 1, seed=3)
    size, a, b = min(h, w), *images.astype(float)[..., 0]
    places = np.arange(size) - (size - 1) / 2
    window = np.exp(-np.add.outer(places**2, places**2) / 2 / (1.5 * size / 11) ** 2)
    window /= window.sum()
    values = []
    for i in range(h - size + 1):
        for j in range(w - size + 1):
            p, q = (z[i : i + size, j : j + size] for z in (a, b))
            m, n = (window * p).sum(), (window * q).sum()
            s, t = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum()
            shared = (window * (p - m) * (q - n)).sum()
            values.append((2 * m * n + 2.55**2) / (m * m + n * n + 2.55**2))
            values[-1] *= (2 * shared + 7.65**2) / (s + t + 7.65**2)
    truth = max(np.mean(values), 0)
    assert pyramids.ms_ssim(images) == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("side", [8, 28, 64])
def test_ms_ssim_of_images_that_are_alike_is_1(side):
    images = np.repeat(pictures(1, side, side), 5, axis=0)
    assert pyramids.ms_ssim(images) == 1.0


def test_ms_ssim_of_opposites_is_0():
    """Their covariance is below 0 at both scales, and is cut off there."""
    image = pictures(1, 32, 32)
    assert pyramids.ms_ssim(np.concatenate([image, 255 - image])) == 0.0


def test_ms_ssim_is_lower_for_more_diverse_images():
    base, noise = pictures(1, 32, 32) // 2, pictures(40, 32, 32, seed=1)
    found = [
        pyramids.ms_ssim(np.uint8(base + np.round(share * noise)))
        for share in (0, 0.1, 0.5)
    ]
    assert 1 == found[0] > found[1] > found[2]


def test_pairs_of_ms_ssim():
    """No image stands in two; the seed draws the order, `pairs` how far it is taken."""
    images = pictures(7, 12, 12, seed=5)
    firsts, seconds = pairs_of(images, seed=4)
    each = [
        pyramids.ms_ssim(np.stack([first, second]))
        for first, second in zip(firsts, seconds)
    ]
    assert len(each) == 3
    for pairs in (1, 2, 3, 1000):
        found = pyramids.ms_ssim(images, pairs, seed=4)
        assert found == pytest.approx(np.mean(each[:pairs]), rel=1e-12)


# ---- the sliced Wasserstein distance


def levels_in_loops(images, sides):
    """Laplacian pyramids with the 5 x 5 binomial kernel as it is printed."""
    row = np.array([1, 4, 6, 4, 1])
    kernel = np.outer(row, row) / 256

    def smooth(plane):
        return scipy.signal.convolve2d(np.pad(plane, 2, "reflect"), kernel, "valid")

    levels = [[] for _ in sides]
    for image in images.astype(float):
        for channel in np.moveaxis(image, -1, 0):
            for level in levels[:-1]:
                small = smooth(channel)[::2, ::2]
                large = np.zeros(channel.shape)
                large[::2, ::2] = small
                level.append(channel - 4 * smooth(large))
                channel = small
            levels[-1].append(channel)
    c = images.shape[-1]
    return [
        np.moveaxis(np.reshape(level, (len(images), c, *side)), 1, -1)
        for level, side in zip(levels, sides)
    ]


def scaled_patches(level, tops, lefts):
    patches = np.array(
        [
            image[top : top + 7, left : left + 7]
            for image, *places in zip(level, tops, lefts)
            for top, left in zip(*places)
        ]
    )
    scaled = [
        (channel - channel.mean()) / channel.std()
        for channel in np.moveaxis(patches, -1, 0)
    ]
    return np.stack(scaled, axis=1).reshape(len(patches), -1)


@pytest.mark.parametrize(
    "sides", [[(32, 32), (16, 16)], [(35, 61), (18, 31)], [(28, 28)]], ids=str
)
@pytest.mark.parametrize("c", [1, 3])
def test_sliced_wasserstein_step_by_step(sides, c):
    """Its draws: tops, lefts and directions, level by level."""
    x, y = (pictures(4, *sides[0], c, seed=seed) for seed in (1, 2))
    random, truth = np.random.RandomState(9), {}
    for a, b in zip(levels_in_loops(x, sides), levels_in_loops(y, sides)):
        h, w = a.shape[1:3]
        tops, lefts = (random.randint(0, side - 6, size=(4, 6)) for side in (h, w))
        directions = random.randn(20, 49 * c)
        a, b = (scaled_patches(z, tops, lefts) for z in (a, b))
        truth[str(min(h, w))] = np.mean(
            [
                scipy.stats.wasserstein_distance(a @ d, b @ d) / np.linalg.norm(d)
                for d in directions
            ]
        )
    truth["mean"] = np.mean(list(truth.values()))
    found = pyramids.sliced_wasserstein(x, y, patches=6, directions=20, seed=9)
    assert list(found) == list(truth)
    assert found == pytest.approx(truth, rel=1e-9)
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize(
    "h, w, names",
    [(16, 16, "16"), (31, 40, "31 16"), (32, 90, "32 16"), (28, 28, "28")]
    + [(128, 70, "70 35 18"), (128, 128, "128 64 32 16")],
)
def test_levels_of_sliced_wasserstein(h, w, names):
    images = pictures(2, h, w, 1)
    found = pyramids.sliced_wasserstein(images, images, patches=2, directions=2)
    assert found == dict.fromkeys([*names.split(), "mean"], 0.0)


def test_a_blur_is_seen_at_the_finest_level_most():
    x = np.random.RandomState(0).randint(0, 256, (40, 64, 64, 1)).astype(np.uint8)
    x = np.uint8(x / 2 + pictures(40, 64, 64, 1) / 2)
    y = np.uint8(scipy.ndimage.gaussian_filter(x.astype(float), (0, 0.7, 0.7, 0)))
    found = pyramids.sliced_wasserstein(x, y, patches=32, directions=64)
    assert list(found) == ["64", "32", "16", "mean"]
    assert found["64"] > 1.5 * found["32"] > 4.5 * found["16"]  # .067, .032, .006


def test_brightness_and_contrast_are_not_seen():
    x = pictures(6, 32, 32, seed=1) // 2 * 2
    y = x // 2 + 40
    found = pyramids.sliced_wasserstein(x, y, patches=8, directions=8)
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-12)


def test_images_of_one_colour_have_no_scale():
    """All 0: no NaN, and a finite distance to others."""
    flat = np.full((3, 32, 32, 3), 77, np.uint8)
    few = {"patches": 4, "directions": 4}
    assert set(pyramids.sliced_wasserstein(flat, flat // 2, **few).values()) == {0.0}
    found = pyramids.sliced_wasserstein(flat, pictures(3, 32, 32), **few)
    assert all(0 < value < 10 for value in found.values())


def test_the_longer_set_is_cut():
    x, y = pictures(5, 16, 16), pictures(3, 16, 16, seed=1)
    few = {"patches": 4, "directions": 4}
    truth = pyramids.sliced_wasserstein(x[:3], y, **few)
    for a, b in [(x, y), (y, x)]:
        with pytest.warns(UserWarning) as caught:
            found = pyramids.sliced_wasserstein(a, b, **few)
        assert str(caught[0].message) == (
            f"sliced_wasserstein: the first 3 images of both sets, not {len(a)} and "
            f"{len(b)}"
        )
        assert found == pytest.approx(truth)  # its places and directions are the same


def test_more_directions_than_are_held_at_once():
    """A mean over all: of as many as fit twice, not a mean of unequal parts."""
    random = np.random.RandomState(0)
    a, b = random.randn(5, 3), random.randn(5, 3) + 1
    directions = random.randn(37, 3)
    truth = [scipy.stats.wasserstein_distance(a @ d, b @ d) for d in directions]
    assert pyramids._sliced(a, b, directions) == pytest.approx(np.mean(truth))


@pytest.mark.parametrize("numbers", [1, 2 * 32 * 32])
def test_blocks_change_nothing(numbers, monkeypatch):
    x, y = (pictures(7, 32, 32, 1, seed=seed) for seed in (1, 2))
    few = {"patches": 4, "directions": 4}
    whole = pyramids.ms_ssim(x), pyramids.sliced_wasserstein(x, y, **few)
    monkeypatch.setattr(pyramids, "_NUMBERS", numbers)
    assert pyramids.ms_ssim(x) == pytest.approx(whole[0], rel=1e-12)
    assert pyramids.sliced_wasserstein(x, y, **few) == pytest.approx(whole[1])


# ---- refusals

BYTES = np.zeros((4, 16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: pyramids.ms_ssim(BYTES.astype(np.float32)),
            "images are uint8 (n, h, w, c), not float32 (4, 16, 16, 3)",
        ),
        (
            lambda: pyramids.ms_ssim(BYTES[0]),
            "images are uint8 (n, h, w, c), not uint8 (16, 16, 3)",
        ),
        (
            lambda: pyramids.sliced_wasserstein(BYTES, BYTES[:0]),
            "images are uint8 (n, h, w, c), not uint8 (0, 16, 16, 3)",
        ),
        (
            lambda: pyramids.ms_ssim(BYTES[:1]),
            "ms_ssim wants 2 images at least, not 1",
        ),
        (
            lambda: pyramids.ms_ssim(BYTES, pairs=0),
            "pairs is a whole number from 1, not 0",
        ),
        (
            lambda: pyramids.sliced_wasserstein(BYTES, BYTES[..., :1]),
            "both sets have images of one shape, not (16, 16, 3) and (16, 16, 1)",
        ),
        (
            lambda: pyramids.sliced_wasserstein(BYTES[:, :12], BYTES[:, :12]),
            "sliced_wasserstein wants sides from 16 pixels, not images of 12 x 16",
        ),
        (
            lambda: pyramids.sliced_wasserstein(BYTES, BYTES, patches=0),
            "patches is a whole number from 1, not 0",
        ),
        (
            lambda: pyramids.sliced_wasserstein(BYTES, BYTES, directions=1.5),
            "directions is a whole number from 1, not 1.5",
        ),
    ],
)
def test_error_messages(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_the_weights_are_printed_ones():
    """Wang et al. (2003), section 3.2; their sum is 1.0001."""
    assert math.fsum(pyramids.WEIGHTS) == pytest.approx(1.0001, abs=1e-12)
