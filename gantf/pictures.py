"""Pictures of what a GAN has learnt: between latents, beside the data, as spectra.

Arrays in, pictures out: uint8 (h, w, c), as those of `gantf.plots`. Nothing trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.distance import cdist

from gantf import plots
from gantf.sampler import Sampler

_BLOCK = 256  # rows of distances at a time
_COLUMNS = 3  # panels in a row of curves
_STRIP = 16  # pixels under a frame of a film, for its words
_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, as ITU-R BT.601 has it
_STRAIGHT = 1e-7  # sines below this are those of parallel latents


# Between latents


def slerp(a: Any, b: Any, steps: int) -> np.ndarray:
    """From a to b along the great circle, in equal angles: (..., steps, d).

        x_t = (sin((1 - t) w) a + sin(t w) b) / sin w,   t = 0, 1 / (steps - 1), .., 1

    w is the angle between a and b (Shoemake 1985, section 3.3). Latents of N(0, I) have
    lengths near sqrt(d), and so has all on the way; half-way on the straight line it
    is shorter by sqrt(2), as hardly any latent is (White 2016). Where a and b are
    parallel or opposite, or one of them is 0, it is `lerp`.

    Args:
      a, b: latents, (..., d).
      steps: how many points, both ends included.

    >>> slerp([1.0, 0.0], [0.0, 1.0], 3)[1].round(4).tolist()
    [0.7071, 0.7071]
    """
    start, end, t = _ends(a, b, steps)
    lengths = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (start, end)]
    u, v = (x / np.where(r > 0, r, 1.0) for x, r in zip((start, end), lengths))
    apart, along = (np.linalg.norm(x, axis=-1, keepdims=True) for x in (u - v, u + v))
    angle = 2.0 * np.arctan2(apart, along)  # accurate near 0 and pi, as arccos is not
    curved = (np.sin(angle) > _STRAIGHT) & (lengths[0] * lengths[1] > 0)
    sine = np.where(curved, np.sin(angle), 1.0)
    arc = (np.sin((1.0 - t) * angle) * start + np.sin(t * angle) * end) / sine
    return np.where(curved, arc, (1.0 - t) * start + t * end)


def lerp(a: Any, b: Any, steps: int) -> np.ndarray:
    """From a to b along the straight line, in equal steps; arguments as for `slerp`."""
    start, end, t = _ends(a, b, steps)
    return (1.0 - t) * start + t * end


def _ends(a: Any, b: Any, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends (..., 1, d) and t (steps, 1), in float64."""
    if type(steps) is not int or steps < 2:
        raise ValueError(f"steps is a whole number from 2, not {steps!r}")
    start, end = (np.asarray(x, np.float64)[..., None, :] for x in (a, b))
    return start, end, np.linspace(0.0, 1.0, steps)[:, None]


# Law of the latents -> the way between two of them. The cube of uniform ones is convex,
# and a great circle may leave it.
_WAYS = {"normal": slerp, "uniform": lerp}


def interpolation(
    sampler: Sampler, rows: int = 8, steps: int = 10, seed: int = 0
) -> np.ndarray:
    """Rows of samples on the way from one latent to another.

    The way is `slerp` for normal latents, `lerp` for uniform ones. The label, where the
    generator takes one, is that of the row: all classes in turn.

    Args:
      sampler: of images.
      rows, steps: of the grid.
      seed: of the latents.

    Raises:
      ValueError: samples that are no images, or a number that cannot be.
    """
    ends = np.asarray(sampler.latents(2 * rows, seed))
    way = _WAYS[sampler.latent.law]
    return _decoded(sampler, way(ends[:rows], ends[rows:], steps))


def corners(sampler: Sampler, side: int = 8, seed: int = 0) -> np.ndarray:
    """A square of samples between four latents, which are at its corners.

    The way is that of `interpolation`: down both sides, then across from the one to
    the other. So are labels: one for each row.

    Args:
      sampler: of images.
      side: of the grid.
      seed: of the latents.

    Raises:
      ValueError: as for `interpolation`.
    """
    one, two, three, four = np.asarray(sampler.latents(4, seed))
    way = _WAYS[sampler.latent.law]
    return _decoded(sampler, way(way(one, three, side), way(two, four, side), side))


def _decoded(sampler: Sampler, latents: np.ndarray) -> np.ndarray:
    """The grid of the samples of latents (rows, columns, d)."""
    rows, columns, d = latents.shape
    labels = None
    if sampler.takes_labels:
        labels = np.repeat(np.arange(rows) % sampler.classes, columns)
    flat = latents.reshape(-1, d).astype(np.float32)
    return plots.grid(plots.to_uint8(_images(sampler.decode(flat, labels))), columns)


def _images(samples: Any) -> np.ndarray:
    samples = np.asarray(samples)
    if samples.ndim != 4:
        raise ValueError(f"images are (n, h, w, c), not {samples.shape}")
    return samples


# Beside the data


def nearest(x: Any, y: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of y that are nearest to each row of x, nearest first.

    Args:
      x, y: (n, d) and (m, d); distances are Euclidean, in float64.
      k: from 1 to m.

    Returns:
      Their numbers in y, (n, k), the lower one first of equally near ones; and their
      distances, (n, k).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if type(k) is not int or not 1 <= k <= len(y):
        raise ValueError(f"k is a whole number from 1 to {len(y)}, not {k!r}")
    numbers, distances = [], []
    for i in range(0, len(x), _BLOCK):
        block = cdist(x[i : i + _BLOCK], y)
        order = np.argsort(block, axis=1, kind="stable")[:, :k]
        numbers.append(order)
        distances.append(np.take_along_axis(block, order, axis=1))
    return np.concatenate(numbers), np.concatenate(distances)


def neighbours(
    fake: Any, fake_features: Any, real: Any, real_features: Any, k: int = 5
) -> np.ndarray:
    """Generated images, each with the k real ones next to it, nearest first.

    A generated one stands at the left of its row, with a gap behind it.

    Args:
      fake, real: uint8, (n, h, w, c) and (m, h, w, c).
      fake_features, real_features: (n, d) and (m, d), which `nearest` compares.
      k: how many.
    """
    fake, real = _images(fake), _images(real)
    numbers, _ = nearest(fake_features, real_features, k)
    left = plots.grid(fake, columns=1)
    right = plots.grid(real[numbers.ravel()], columns=k)
    gap = np.full((len(left), fake.shape[2] // 2, fake.shape[3]), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def power_spectrum(images: Any) -> tuple[np.ndarray, np.ndarray]:
    """How much of images is coarse and how much is fine: by radius and as a map.

        P(u, v) = mean over images of |sum x_ij exp(-2 pi i (u i / h + v j / w))|^2
                  / (h w)^2

    of the luminance x in [-1, 1], so that all P(u, v) sum to the mean of x^2. Grids of
    transposed convolutions show up as bright points of the map, and what a generator
    lacks or adds at high frequencies at the end of the profile (Durall et al. 2020,
    section 3). Images are no periodic patterns: the jump at their edges gives the map
    of any photos a bright cross.

    Args:
      images: (n, h, w, 1 or 3), floats in [-1, 1] or uint8, taken as byte / 127.5 - 1.

    Returns:
      The profile, (min(h, w) // 2 + 1,): the mean of P over each ring of radius
      0, 1, .. waves across the shorter side, rounded, up to the Nyquist frequency; and
      the map P, (h, w), with frequency 0 at [h // 2, w // 2].
    """
    images = _images(images)
    x = images / 127.5 - 1.0 if images.dtype == np.uint8 else images.astype(np.float64)
    x = x @ np.array(_LUMINANCE) if x.shape[-1] == 3 else x[..., 0]
    h, w = x.shape[1:]
    power = np.mean(np.abs(np.fft.fft2(x)) ** 2, axis=0) / (h * w) ** 2
    waves = min(h, w) * np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    rings = np.rint(waves).astype(int).ravel()
    sums, counts = np.bincount(rings, power.ravel()), np.bincount(rings)
    profile = (sums / counts)[: min(h, w) // 2 + 1]
    return profile, np.fft.fftshift(power)


def spectrum(real: Any, fake: Any) -> np.ndarray:
    """Both power spectra, in decibels: the profiles, and the maps of both.

    Args:
      real, fake: images as for `power_spectrum`.
    """
    spectra = {"real": power_spectrum(real), "generated": power_spectrum(fake)}
    figure = plots.new_figure(10, 3.2)
    axes = figure.subplots(1, 4, width_ratios=(1.4, 1, 1, 0.06))
    maps = {name: _decibels(power) for name, (_, power) in spectra.items()}
    span = {"vmin": min(map(np.min, maps.values())), "vmax": np.max(maps["real"])}
    for panel, (name, power) in zip(axes[1:3], maps.items()):
        drawn = panel.imshow(power, cmap="magma", **span)
        panel.set(title=name, xticks=[], yticks=[])
    figure.colorbar(drawn, cax=axes[3], label="power, dB")
    for (name, (profile, _)), colour in zip(spectra.items(), ("0.5", "tab:blue")):
        axes[0].plot(_decibels(profile), color=colour, lw=2, label=name)
    axes[0].set(xlabel="waves across an image", ylabel="power, dB")
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(frameon=False)
    return plots.render(figure)


def _decibels(power: np.ndarray) -> np.ndarray:
    """10 log10 of power; of what is below 10^-12, that of 10^-12."""
    return 10.0 * np.log10(np.maximum(power, 1e-12))


# Scores


def principal(points: Any, k: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the directions in which points vary most.

    Args:
      points: (n, d).
      k: how many directions; there are at most min(n, d).

    Returns:
      The coordinates, (n, k), of mean 0, each of the sign that makes its largest one
      positive; and the shares of the whole variance, (k,), 0 where nothing varies.
    """
    points = np.asarray(points, np.float64)
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    at = u * s  # (n, min(n, d))
    at = at * np.sign(at[np.argmax(np.abs(at), axis=0), np.arange(len(s))])
    return at[:, :k], (s**2 / (np.sum(s**2) or 1.0))[:k]


def pca(real: Any, fake: Any) -> np.ndarray:
    """Real and generated points along the two directions in which both vary most.

    Points of one number are counted instead. See `principal`.

    Args:
      real, fake: (n, d) and (m, d).
    """
    both = np.concatenate([real, fake])
    figure = plots.new_figure(5.5, 5)
    axes = figure.add_subplot()
    names, colours = ("real", "generated"), ("0.6", "tab:blue")
    if both.shape[1] == 1:
        bins = np.linspace(both.min(), both.max(), 41)
        for part, name, colour in zip((real, fake), names, colours):
            axes.hist(np.ravel(part), bins, color=colour, alpha=0.6, label=name)
        axes.set(xlabel="score", ylabel="samples")
    else:
        at, shares = principal(both)
        for part, name, colour in zip(np.split(at, [len(real)]), names, colours):
            axes.scatter(*part.T, s=6, c=colour, alpha=0.7, label=name, linewidths=0)
        one, two = (
            f"component {i} ({100 * s:.0f} % of the variance)"
            for i, s in enumerate(shares, 1)
        )
        axes.set(xlabel=one, ylabel=two)
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2}
    axes.legend(**place, markerscale=3, frameon=False)
    return plots.render(figure)


# Over time


def history(
    losses: Mapping[str, Any], figures: Mapping[str, Any], rates: Mapping[str, Any] = {}
) -> np.ndarray:
    """The curves of a run: losses on top, a panel for each figure, learning rates.

    The thick lines are means over a twentieth of the losses, over 100 at most.

    Args:
      losses: name -> (step, value) pairs, (n, 2).
      figures: name -> the same, or (step, value, standard deviation), (n, 3), which is
        drawn as a band of one deviation to each side.
      rates: name -> (step, value) pairs, of positive numbers.
    """
    panels = [*figures, *(["learning rate"] if rates else [])]
    columns = min(max(len(panels), 1), _COLUMNS)
    rows = -(-len(panels) // columns)
    figure = plots.new_figure(10, 3.4 + 2.6 * rows)
    cells = figure.add_gridspec(1 + rows, columns, height_ratios=(3.4, *[2.6] * rows))
    window = max(1, min(100, max(map(len, losses.values())) // 20))
    top = figure.add_subplot(cells[0, :])
    plots.draw_curves(top, losses, window, ("step", "loss"))
    axes = {
        name: figure.add_subplot(cells[1 + i // columns, i % columns])
        for i, name in enumerate(panels)
    }
    for name, rows_ in figures.items():
        step, value, *std = np.asarray(rows_, float).T
        for band in std:
            axes[name].fill_between(step, value - band, value + band, alpha=0.25, lw=0)
        axes[name].plot(step, value, marker=".")
        axes[name].set(title=name, xlabel="step")
    for name, pairs in rates.items():
        axes["learning rate"].plot(*np.asarray(pairs, float).T, label=name)
    if rates:
        axes["learning rate"].set(title="learning rate", xlabel="step", yscale="log")
        axes["learning rate"].legend(frameon=False)
    return plots.render(figure)


def evenly(n: int, most: int) -> list[int]:
    """At most so many of the numbers 0..n-1, the first and the last among them.

    >>> evenly(7, 3), evenly(2, 3)
    ([0, 3, 6], [0, 1])
    """
    return np.linspace(0, n - 1, min(n, most)).round().astype(int).tolist()


def frame(picture: np.ndarray, words: str, side: int = 400) -> np.ndarray:
    """A picture with words under it, as one of a film: uint8 (h, w, 3).

    A picture with a side of more than `side` pixels is shrunk to that.
    """
    flat = picture[..., 0] if picture.shape[-1] == 1 else picture
    image = Image.fromarray(flat).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (image.width, image.height + _STRIP), "white")
    sheet.paste(image, (0, 0))
    at = 3, image.height + 1
    ImageDraw.Draw(sheet).text(at, words, "black", ImageFont.load_default(11))
    return np.asarray(sheet)
