"""Toy sets of points in [-1, 1]^2 and in [-1, 1], and how well they are met.

ring      8 Gaussians on a circle
six       six points of equal mass
curve     a noisy Lissajous arc
mixture   half N(0, 1), half N(3, .5^2) on the line, x mapped to (x - 1) / 6

"six" and "curve" are those of Benaziza, Baranova, Meziane: MMD-DCGAN, 2024, from the
unit square by x -> 2 x - 1: lengths are twice as large here, a sigma of .05 is .1.
"mixture" is that of the code of Binkowski et al. (2018): GaussianMix.
"""

import numpy as np

from gantf.choices import choose

RING_RADIUS, RING_STD = 0.75, 0.02
SIX_POINTS = np.array(
    [(0.9, 0.2), (0.75, 0.8), (0.3, 0.4), (0.4, 0.7), (0.45, 0.75), (0.7, 0.5)]
)  # in [0, 1]^2
MIXTURE = ((0.0, 1.0), (3.0, 0.5))  # means and stds, before the map
MIXTURE_CENTRE, MIXTURE_SCALE = 1.0, 6.0


def ring_modes() -> np.ndarray:
    """The centres of `ring`, (8, 2): radius .75, the first one on the x axis."""
    angles = 2 * np.pi * np.arange(8) / 8
    return RING_RADIUS * np.stack([np.cos(angles), np.sin(angles)], 1)


def six_modes() -> np.ndarray:
    """The points of `six`, (6, 2)."""
    return 2 * SIX_POINTS - 1


def ring(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws from the 8 Gaussians of std .02 around `ring_modes`, (n, 2)."""
    return ring_modes()[rng.integers(8, size=n)] + RING_STD * rng.normal(size=(n, 2))


def six(n: int, rng: np.random.Generator) -> np.ndarray:
    """Points, each of `six_modes` as often as the others (give or take one)."""
    return six_modes()[rng.permutation(n) % 6]


def curve(n: int, rng: np.random.Generator) -> np.ndarray:
    """Points near (cos t, sin 2t), t evenly spaced over [-.2 pi, 1.2 pi], shuffled.

    The noise has std .05; then everything is shrunk by .6.
    """
    t = np.pi * np.linspace(-0.2, 1.2, n)
    y = 0.05 * rng.normal(size=(n, 2)) + np.stack([np.cos(t), np.sin(2 * t)], 1)
    return rng.permutation(2 * (0.5 + 0.3 * y) - 1)


def mixture(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws from two Gaussians, as often from the one as from the other, (n, 1).

    One draw in 7 million lies outside [-1, 1]: further than 6 sd from 0.
    """
    means, stds = np.array(MIXTURE)[rng.permutation(n) % 2].T  # (n,) each
    draws = means + stds * rng.normal(size=n)
    return (draws[:, None] - MIXTURE_CENTRE) / MIXTURE_SCALE


def mixture_density(x) -> np.ndarray:
    """The density of `mixture` at x in [-1, 1], any shape."""
    at = MIXTURE_SCALE * np.asarray(x, float)[..., None] + MIXTURE_CENTRE
    means, stds = np.array(MIXTURE).T
    bells = np.exp(-0.5 * ((at - means) / stds) ** 2) / (np.sqrt(2 * np.pi) * stds)
    return MIXTURE_SCALE * bells.mean(-1)


SETS = {"ring": ring, "six": six, "curve": curve, "mixture": mixture}


def sample(name: str, n: int, seed: int = 0) -> np.ndarray:
    """Points of a toy set, float32 (n, 2), or (n, 1) for "mixture".

    >>> sample("six", 2).shape
    (2, 2)

    Raises:
      ValueError: no toy set has that name.
    """
    draw = choose("toy set", name, SETS)
    return draw(n, np.random.default_rng(seed)).astype(np.float32)


def coverage(points, modes, radius: float) -> tuple[int, float]:
    """How many modes have a point near them, and which share of points is near a mode.

    Args:
      points: (n, d).
      modes: (m, d).
      radius: near means at this Euclidean distance or less.

    Returns:
      number of modes met, 0..m; fraction of points within the radius of some mode.
    """
    points, modes = np.asarray(points, float), np.asarray(modes, float)
    near = np.linalg.norm(points[:, None] - modes, axis=2) <= radius  # (n, m)
    return int(near.any(0).sum()), float(near.any(1).mean())
