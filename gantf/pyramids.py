"""Figures of images themselves, through their pyramids, in float64: no feature net.

`ms_ssim` tells how alike the images of one set are, `sliced_wasserstein` how far the
patches of two sets are apart, scale by scale. Both draw by a seed: say it, and how many
images there were, with the figure.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d

from gantf.choices import whole_number

# Wang, Simoncelli, Bovik (2003): the weights of the scales from the finest on, as
# printed (their sum is 1.0001), the window and the constants against 0 / 0.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
C_1, C_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

# Karras et al. (2018): the side of a patch, and of the coarsest level.
PATCH, COARSEST = 7, 16
BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0

_NUMBERS = 2**21  # of an array at once: 16 MB in float64
_DIRECTIONS = 16  # at once


def ms_ssim(images: Any, pairs: int = 1000, seed: int = 2020) -> float:
    """The mean multi-scale similarity of random pairs of images; lower is more diverse.

        prod_j max(mean c_j, 0)^(w_j), j < M,    times max(mean (l_M c_M), 0)^(w_M)

        l = (2 m_a m_b + C_1) / (m_a^2 + m_b^2 + C_1)
        c = (2 s_ab + C_2) / (s_a^2 + s_b^2 + C_2)

    m, s^2 and s_ab are means, variances and the covariance in a window of 11 x 11
    pixels, a Gaussian with sigma 1.5, which lies whole in the images a, b of scale j;
    the next scale is their means of 2 x 2 pixels, a last odd row or column counting
    twice. Each channel has its own product, and the figure of a pair is their mean.
    Wang et al. (2003), equation 7 and section 3.2, with M = 5; Odena et al. (2017)
    for its use on GANs, with 100 pairs within a class. It compares sets of one kind:
    noise, too, is diverse.

    The paper's M = 5 wants images of 161 pixels. Smaller ones have as many scales as
    leave the shorter side 11 pixels: 4 from 81, 3 from 41, 2 from 21 (28 and 32 are
    such), else 1; their weights are the first M of the five, divided by their sum.
    Below 11 pixels the window is that side s, and its sigma 1.5 s / 11. Other codes
    keep five scales and shrink the window at each: their figures differ.

    Args:
      images: uint8, (n, h, w, c), n from 2.
      pairs: how many at most: neighbours in an order drawn at random, so that no image
        stands in two of them; n // 2 where that is fewer.
      seed: of the order, by NumPy's RandomState.

    Returns:
      The mean, 0..1; 1 where all images are the same.
    """
    (images,) = _images(images)
    whole_number("pairs", pairs, 1)
    if len(images) < 2:
        raise ValueError("ms_ssim wants 2 images at least, not 1")
    order = np.random.RandomState(seed).permutation(len(images))
    ends = order[: 2 * min(pairs, len(images) // 2)].reshape(-1, 2)
    values = [
        _similarity(*(images[end].astype(np.float64) for end in ends[rows].T))
        for rows in _blocks(ends, images[0].size)
    ]
    return float(np.concatenate(values).mean())


def _similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The MS-SSIM of images a_i and b_i, (n, h, w, c): (n,)."""
    product: Any = 1.0
    weights = _weights(min(a.shape[1:3]))
    for scale, weight in enumerate(weights, 1):
        luminance, contrast = _terms(a, b)
        term = contrast if scale < len(weights) else luminance * contrast
        product = product * np.maximum(term.mean(axis=(1, 2)), 0.0) ** weight
        a, b = _halved(a), _halved(b)
    return product.mean(axis=1)


def _weights(side: int) -> np.ndarray:
    """Of the scales, from the finest on, that the shorter side of images has."""
    scales = 1
    while scales < len(WEIGHTS) and -(-side // 2**scales) >= WINDOW:
        scales += 1
    weights = np.array(WEIGHTS[:scales])
    return weights if scales == len(WEIGHTS) else weights / weights.sum()


def _terms(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance l and contrast c at each place of the window."""
    mean_a, mean_b = _smooth(a), _smooth(b)
    product, squares = 2.0 * mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = 2.0 * _smooth(a * b) - product
    variances = _smooth(a**2 + b**2) - squares
    luminance = (product + C_1) / (squares + C_1)
    return luminance, (covariance + C_2) / (variances + C_2)


def _smooth(images: np.ndarray) -> np.ndarray:
    """Means in the window wherever it lies whole in the images."""
    size = min(WINDOW, *images.shape[1:3])
    places = np.arange(size) - (size - 1) / 2
    window = np.exp(-0.5 * (places / (SIGMA * size / WINDOW)) ** 2)
    window /= window.sum()
    for axis in (1, 2):
        images = correlate1d(images, window, axis)
    rows, columns = (
        slice(size // 2, size // 2 + side - size + 1) for side in images.shape[1:3]
    )
    return images[:, rows, columns]


def _halved(images: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; a last odd row or column counts twice."""
    odd = [(0, side % 2) for side in images.shape[1:3]]
    images = np.pad(images, [(0, 0), *odd, (0, 0)], "edge")
    n, h, w, c = images.shape
    return images.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


def sliced_wasserstein(
    x: Any, y: Any, patches: int = 128, directions: int = 512, seed: int = 2020
) -> dict[str, float]:
    """The sliced Wasserstein distances of two sets' patches, scale by scale.

    Of each level of the images' Laplacian pyramids, patches of 7 x 7 pixels are taken
    at random places; each channel of a set's patches is shifted and scaled to mean 0
    and standard deviation 1. The distance is the mean, over random directions, of the
    Wasserstein distance of the two projections, which is the mean difference of their
    sorted values. Karras et al. (2018), section 5, who print it x 10^3, for 16384
    images and 4 times 128 directions; here it is as it is. Lower is better; few images
    make it larger, as samples of one law differ too. The scaling makes it blind to
    brightness, contrast and tint.

    Levels are the images and their halves, rounded up, whose shorter side has 16
    pixels or more: 32 and 16 of 32, but only 28 of 28. All are less what the next
    coarser one tells, enlarged (5 x 5 binomial weights, mirrored at the borders), but
    the coarsest is as it is.

    The places are the same in both sets, so that a set has distance 0 to itself. It
    takes 49 c patches numbers of memory an image: 3 GB for 2 sets of 10,000 in colour,
    and for these some 100 s a level on 2 cores, in proportion to all three numbers.

    Args:
      x, y: uint8, (n, h, w, c) with sides from 16; of the longer set the first images,
        as many as the other has, with a warning.
      patches: of each image and level.
      directions: of each level.
      seed: of places and directions, by NumPy's RandomState.

    Returns:
      {"32": .., "16": .., "mean": ..}: the distance at each level by its shorter side,
      the finest first, and their mean.
    """
    x, y = _images(x, y)
    whole_number("patches", patches, 1)
    whole_number("directions", directions, 1)
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"both sets have images of one shape, not {x.shape[1:]} and {y.shape[1:]}"
        )
    if min(x.shape[1:3]) < COARSEST:
        raise ValueError(
            f"sliced_wasserstein wants sides from {COARSEST} pixels, not images of "
            f"{x.shape[1]} x {x.shape[2]}"
        )
    n, random = min(len(x), len(y)), np.random.RandomState(seed)
    if len(x) != len(y):
        warnings.warn(
            f"sliced_wasserstein: the first {n} images of both sets, not {len(x)} and "
            f"{len(y)}"
        )
    sides = _sides(*x.shape[1:3])
    distances = {}
    for level, (h, w) in enumerate(sides):
        tops, lefts = (random.randint(s - PATCH + 1, size=(n, patches)) for s in (h, w))
        coarsest = level == len(sides) - 1
        a, b = (_descriptors(z, level, coarsest, tops, lefts) for z in (x, y))
        through = random.randn(directions, a.shape[1])
        through /= np.linalg.norm(through, axis=1, keepdims=True)
        distances[str(min(h, w))] = _sliced(a, b, through)
    return {**distances, "mean": float(np.mean(list(distances.values())))}


def _sides(h: int, w: int) -> list[tuple[int, int]]:
    """Of the levels, from the finest on."""
    sides = []
    while min(h, w) >= COARSEST:
        sides.append((h, w))
        h, w = -(-h // 2), -(-w // 2)
    return sides


def _descriptors(images, level, coarsest, tops, lefts) -> np.ndarray:
    """The scaled patches of a level at places (n, patches): (n patches, 49 c)."""
    n, patches = tops.shape
    found = np.empty((n, patches, images.shape[3], PATCH, PATCH))
    for rows in _blocks(tops, images[0].size):
        bands = _level(images[:n][rows].astype(np.float64), level, coarsest)
        windows = np.lib.stride_tricks.sliding_window_view(
            bands, (PATCH, PATCH), (1, 2)
        )
        which = np.arange(len(bands))[:, None]
        found[rows] = windows[which, tops[rows], lefts[rows]]
    found -= found.mean(axis=(0, 1, 3, 4))[:, None, None]
    squares = np.einsum("npchw,npchw->c", found, found) / (found.size / found.shape[2])
    # A channel that is the same everywhere has no scale, and stays 0.
    found /= np.sqrt(np.where(squares > 0, squares, 1.0))[:, None, None]
    return found.reshape(n * patches, -1)


def _level(images: np.ndarray, level: int, coarsest: bool) -> np.ndarray:
    """A level of the Laplacian pyramids of images."""
    for _ in range(level):
        images = _down(images)
    return images if coarsest else images - _up(_down(images), images.shape)


def _down(images: np.ndarray) -> np.ndarray:
    images = correlate1d(images, BINOMIAL, 1, mode="mirror")[:, ::2]
    return correlate1d(images, BINOMIAL, 2, mode="mirror")[:, :, ::2]


def _up(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Twice as large, of a shape that halves, rounded up, to that of the images."""
    large = np.zeros(shape)
    large[:, ::2, ::2] = images
    for axis in (1, 2):  # of two pixels one is 0, on each axis
        large = correlate1d(large, 2.0 * BINOMIAL, axis, mode="mirror")
    return large


def _sliced(a: np.ndarray, b: np.ndarray, directions: np.ndarray) -> float:
    """The mean over unit directions (r, d) of W_1 between rows (n, d) and (n, d)."""
    total = 0.0
    for start in range(0, len(directions), _DIRECTIONS):
        some = directions[start : start + _DIRECTIONS]
        sorted_a, sorted_b = (np.sort(some @ z.T, axis=1) for z in (a, b))
        total += np.abs(sorted_a - sorted_b).mean(axis=1).sum()
    return float(total / len(directions))


def _blocks(rows: np.ndarray, size: int) -> Iterator[slice]:
    """Parts of rows, each of images of `size` numbers, that are held at once."""
    step = max(1, _NUMBERS // size)
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _images(*sets: Any) -> list[np.ndarray]:
    """The sets as arrays, checked."""
    arrays = [np.asarray(images) for images in sets]
    for array in arrays:
        if array.dtype != np.uint8 or array.ndim != 4 or not math.prod(array.shape):
            raise ValueError(
                f"images are uint8 (n, h, w, c), not {array.dtype} {array.shape}"
            )
    return arrays
