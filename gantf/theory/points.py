"""Generators of points: a fixed kernel against features and critics that are trained.

Three ways to train the same generator on the toy sets of `gantf.toy`:

    fixed      on MMD^2 of the points themselves with a Gaussian kernel: no critic
    features   on MMD^2 of features that are trained too, the repulsive loss
    wgan       on a critic, the Wasserstein loss with the gradient penalty

Each one's witness function is drawn under its samples: large where data are missing,
low where too many samples are. Under "fixed" it is w(t) = mean_i k(t, x_i) -
mean_j k(t, y_j) with x of the data and y generated; under "features" the same of
features; under "wgan" the critic itself, but for a constant.

Benaziza, Baranova, Meziane: MMD-DCGAN, 2024, from whose notebooks come the sets "six"
and "curve" and the generator, noise N(0, I_10), three hidden ELU layers, Adam of rate
.002. They have the unit square and a sigmoid, here it is [-1, 1]^2 and tanh, and a
length s of theirs is 2 s. A sigma is given in their units: .05, their best, is the
kernel rbf:0.1 here. They take 990 steps of 6 points; here 64 points and 3000 steps
are the default, which is what it takes until the samples lie on the data, and samples
are drawn from the generator's running average. Their WGAN-GP has 100 critic steps a
step and a critic that is 10 wide; here it is 5 and 64, and both have the weight .1.

A kernel wider than the data's detail blurs it, and from one much narrower no gradient
reaches samples that are far: at .05 the samples lie nearest to the data, and yet one
of the six points may be lost, which the energy distance minds most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from scipy.spatial.distance import pdist

from gantf import datasets, losses, mmd, plots, streams, toy
from gantf.builder import build
from gantf.choices import choose
from gantf.gan import GAN

if TYPE_CHECKING:  # matplotlib loads where a figure is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIT = 2.0  # a length of the unit square, in [-1, 1]^2
NOISE = 10  # numbers in a latent
EMA = 0.99  # of the generator's running average
NEAR = 0.06  # from a mode or the data: 3 sd of the modes of "ring"

_MODES = {"six": toy.six_modes, "ring": toy.ring_modes}
_SWEPT = "six", "curve"
_HIDDEN = "2*dense-64{}-lrelu0.2"
_SIDE, _EDGE = 100, 1.05  # of the heat maps: points a side, and how far they reach
_SHOWN = 300  # points of each sample in a panel
_CHUNK = 1000  # points of a heat map at a time: bounds its memory
_COLOURS = {"real": "black", "generated": "tab:blue", "witness": "tab:orange"}


def kernel(sigma: float) -> str:
    """The Gaussian kernel whose sigma is given in the unit square.

    >>> kernel(0.05)
    'rbf:0.1'
    """
    return f"rbf:{UNIT * sigma}"


class Method(NamedTuple):
    """A way to train a generator of points.

    Attributes:
      words: its title.
      discriminator: the net.
      loss: sigma -> the loss; all but "fixed" have no sigma.
      options: of `gantf.GAN`.
      beta_1: of Adam.
    """

    words: str
    discriminator: str
    loss: Callable[[float], losses.Loss]
    options: Mapping[str, Any]
    beta_1: float

    @property
    def trained(self) -> bool:
        """Whether the discriminator is trained."""
        return self.options.get("critic_steps") != 0


METHODS: dict[str, Method] = {
    "fixed": Method(
        "fixed kernel",
        "flatten",  # the points as they are
        lambda s: losses.get("mmd_g", kernel=kernel(s), estimator="unbiased"),
        {"update": "alternating", "critic_steps": 0},
        0.9,
    ),
    "features": Method(
        "trained features",
        f"{_HIDDEN.format('-sn2')} dense-16-sn2",
        lambda _: losses.get("rep"),
        {},
        0.5,
    ),
    "wgan": Method(
        "WGAN-GP",
        f"{_HIDDEN.format('')} dense-1",
        lambda _: losses.get("wasserstein"),
        {
            "update": "alternating",
            "critic_steps": 5,
            "penalties": [("gp", {"weight": 0.1})],
        },
        0.5,
    ),
}


def make(
    data: str,
    method: str,
    *,
    sigma: float = 0.05,
    width: int = 100,
    rate: float = 2e-3,
    seed: int = 0,
    steps_per_execution: int = 1,
) -> GAN:
    """A generator of a toy set and what trains it, before training.

    Args:
      data: a toy set.
      method: of METHODS.
      sigma: of the kernel of "fixed", in the unit square.
      width: of the generator's three hidden layers.
      rate: of both optimizers, Adam.
      seed: of weights and latents.
      steps_per_execution: steps in one call of the compiled function.

    Raises:
      ValueError: no toy set, no method of that name.
    """
    choose("toy set", data, toy.SETS)
    how = choose("method", method, METHODS)
    (numbers,) = datasets.find(data).shape
    keras.utils.set_random_seed(seed)
    words = f"3*dense-{width}-elu dense-{numbers}-tanh"
    gan = GAN(
        build(words, (NOISE,), name="generator"),
        build(how.discriminator, (numbers,), name="discriminator"),
        loss=how.loss(sigma),
        ema=EMA,
        seed=seed,
        **how.options,
    )
    adams = (keras.optimizers.Adam(rate, how.beta_1, 0.999) for _ in range(2))
    gan.compile(*adams, steps_per_execution=steps_per_execution)
    return gan


def train(
    data: str,
    method: str,
    *,
    batch_size: int = 64,
    steps: int = 3000,
    **how: Any,
) -> GAN:
    """A generator of a toy set, trained.

    Args:
      data: a toy set.
      method: of METHODS.
      batch_size: points in a batch, and generated ones.
      steps: updates of the generator.
      **how: the other arguments of `make`.

    Raises:
      ValueError: no toy set, no method of that name.
    """
    # The steps are small: a hundred in a call, if they can be shared out so.
    gan = make(data, method, **how, steps_per_execution=math.gcd(steps, 100))
    stream = streams.stream(datasets.find(data), batch_size, gan.seed)
    gan.fit(stream, steps_per_epoch=steps, verbose=0)
    return gan


def draw(gan: GAN, n: int, seed: int = 0) -> np.ndarray:
    """Generated points, (n, d); the same as `gan.generate`.

    Uncompiled: for a net as small as this that is faster than to compile it.
    """
    return np.asarray(gan.sampler.net(gan.sampler.latents(n, seed)))


def distance(x: Any, y: Any) -> float:
    """The energy distance of two samples of points, 2 E|x-y| - E|x-x'| - E|y-y'|.

    It is MMD^2 with the kernel "distance", unbiased, and has no sigma.
    """
    return float(mmd.mmd2(x, y, "distance"))


def witness(gan: GAN, points: Any, real: Any, fake: Any) -> np.ndarray:
    """The witness function of a GAN's loss at points, (p,).

    Of a loss without a kernel it is the discriminator, less the mean of its means on
    the two samples, since its constant means nothing.

    Args:
      gan: as from `train`.
      points: (p, d).
      real, fake: samples, (n, d) and (m, d).
    """

    def score(x):
        return gan.discriminator(np.asarray(x, np.float32))

    def values(x):
        found = gan.criterion.witness(score(x), *scores)
        return np.asarray(found, np.float64)

    scores = score(real), score(fake)
    parts = range(0, len(points), _CHUNK)
    found = np.concatenate([values(points[i : i + _CHUNK]) for i in parts])
    if gan.criterion.kernel is None:
        found -= 0.5 * (values(real).mean() + values(fake).mean())
    return found


def lipschitz(
    score: Callable[[np.ndarray], Any], points: Any, apart: float = 1e-3
) -> float:
    """The largest slope of a function between two of these points.

        max |D(x) - D(y)| / |x - y|    over pairs of points

    It is below the function's Lipschitz constant, and nears it with more points.

    Args:
      score: points (n, d) -> their scores, (n,) or (n, k), as the Euclidean norm
        compares them.
      points: (n, d).
      apart: nearer pairs are left out: their difference is rounding, or nothing.

    Raises:
      ValueError: no two points that far apart.

    >>> lipschitz(lambda x: 3 * x, [[0.0], [1.0], [1.0]])
    3.0
    """
    points = np.asarray(points)
    scores = np.asarray(score(points), np.float64).reshape(len(points), -1)
    lengths = pdist(points.astype(np.float64))
    counted = lengths >= apart
    if not counted.any():
        raise ValueError(f"a slope wants two points {apart} apart, and there are none")
    return float((pdist(scores)[counted] / lengths[counted]).max())


def grid(numbers: int) -> np.ndarray:
    """The points of a heat map, row by row from below, or of a curve: (p, numbers)."""
    line = np.linspace(-_EDGE, _EDGE, _SIDE)
    axes = np.meshgrid(*numbers * [line])
    return np.stack([axis.ravel() for axis in axes], axis=1).astype(np.float32)


def run(
    folder: Path,
    *,
    sets: Sequence[str],
    methods: Sequence[str],
    sigma: float,
    sigmas: Sequence[float],
    width: int,
    batch_size: int,
    steps: int,
    rate: float,
    samples: int,
    seed: int,
) -> dict[str, float]:
    """All methods on all sets, comparison.png, and a sweep of sigma, sigma.png.

    Args:
      folder: to write to.
      sets: toy sets.
      methods: of METHODS.
      sigma: of the kernel of "fixed", in the unit square.
      sigmas: the same, of the sweep, on "six" and "curve".
      width, batch_size, steps, rate: see `make` and `train`.
      samples: held out and generated, in each figure.
      seed: of everything.

    Returns:
      SET_METHOD_distance, see `distance`; in the plane SET_METHOD_near, the share of
      samples near a mode, or near the data of "curve"; of sets with modes
      SET_METHOD_modes, how many have samples near them; of trained critics
      SET_METHOD_lipschitz, see `lipschitz`, between samples of both kinds. Of the
      sweep SET_sigma_VALUE_distance and _near, and the best sigma by each of them,
      SET_sigma_of_least_distance and SET_sigma_of_most_near.

    Raises:
      ValueError: an unknown set or method; a number out of its range.
    """
    _check(
        sets=sets,
        methods=methods,
        sigma=sigma,
        sigmas=sigmas,
        width=width,
        batch_size=batch_size,
        steps=steps,
        rate=rate,
        samples=samples,
    )
    for name in sets:
        choose("toy set", name, toy.SETS)
    for name in methods:
        choose("method", name, METHODS)
    how = {
        "width": width,
        "batch_size": batch_size,
        "steps": steps,
        "rate": rate,
        "seed": seed,
    }
    found = _compare(folder, sets, methods, samples, {"sigma": sigma, **how})
    return found | _sweep(folder, sigmas, samples, how)


_SOME = "one at least", lambda v: len(v) > 0
_POSITIVE = "a number above 0", lambda v: 0 < v < math.inf
_RULES = {
    "sets": _SOME,
    "methods": _SOME,
    "sigma": _POSITIVE,
    "sigmas": (
        "numbers above 0, one at least",
        lambda v: len(v) > 0 and all(0 < s < math.inf for s in v),
    ),
    "width": ("a whole number from 1", lambda v: v >= 1),
    "batch_size": (
        f"a whole number from 2 to {datasets.POINTS}",
        lambda v: 2 <= v <= datasets.POINTS,
    ),
    "steps": ("a whole number from 1", lambda v: v >= 1),
    "rate": _POSITIVE,
    "samples": (
        f"a whole number from 2 to {datasets.POINTS}",
        lambda v: 2 <= v <= datasets.POINTS,
    ),
}


def _check(**settings) -> None:
    for name, value in settings.items():
        words, fits = _RULES[name]
        if not fits(value):
            raise ValueError(f"{name}: {words}, not {value}")


class _Result(NamedTuple):
    """A trained generator, and what is shown of it."""

    gan: GAN
    real: np.ndarray
    fake: np.ndarray
    figures: dict[str, float]


def _result(data: str, method: str, samples: int, how: Mapping[str, Any]) -> _Result:
    gan = train(data, method, **how)
    real = datasets.find(data, "test").read(np.arange(samples))  # held out
    fake = draw(gan, samples, seed=1)
    figures = {"distance": distance(real, fake)}
    if real.shape[1] == 2:
        places = _MODES[data]() if data in _MODES else real
        met, figures["near"] = toy.coverage(fake, places, NEAR)
        if data in _MODES:
            figures["modes"] = float(met)
    if METHODS[method].trained:
        both = np.concatenate([real, fake])
        figures["lipschitz"] = lipschitz(gan.discriminator, both)
    return _Result(gan, real, fake, figures)


def _compare(folder, sets, methods, samples, how) -> dict[str, float]:
    """comparison.png: sets by methods."""
    figure = plots.new_figure(4.0 * len(methods), 4.5 * len(sets) + 0.4)
    figure.set_layout_engine("constrained", h_pad=0.08)
    panels = figure.subplots(len(sets), len(methods), squeeze=False)
    found = {}
    for row, data in zip(panels, sets):
        for axes, method in zip(row, methods):
            result = _result(data, method, samples, how)
            _draw(axes, result)
            words = METHODS[method].words
            if method == "fixed":
                words += f", sigma {how['sigma']:g}"
            axes.set_title(f"{data}: {words}\n{_told(data, result.figures)}", size=10)
            found |= {
                f"{data}_{method}_{name}": value
                for name, value in result.figures.items()
            }
    _draw_legend(figure)
    plots.save_png(folder / "comparison.png", plots.render(figure))
    return found


def _sweep(folder, sigmas, samples, how) -> dict[str, float]:
    """sigma.png: the distance to the data by sigma, and some of the samples."""
    results = {
        data: {s: _result(data, "fixed", samples, {"sigma": s, **how}) for s in sigmas}
        for data in _SWEPT
    }
    best = {
        data: {
            "distance": min(sigmas, key=lambda s: by_sigma[s].figures["distance"]),
            "near": max(sigmas, key=lambda s: by_sigma[s].figures["near"]),
        }
        for data, by_sigma in results.items()
    }
    figure = plots.new_figure(14.0, 8.0)
    figure.set_layout_engine("constrained", h_pad=0.08)
    places = figure.add_gridspec(2, 4, width_ratios=[1.4, 1, 1, 1])
    _draw_sweep(figure, places, results, best)
    for i, data in enumerate(_SWEPT):
        for j, s in enumerate([min(sigmas), best[data]["near"], max(sigmas)]):
            axes = figure.add_subplot(places[i, j + 1])
            _draw(axes, results[data][s])
            told = _told(data, results[data][s].figures)
            axes.set_title(f"{data}: sigma {s:g}\n{told}", size=9)
    _draw_legend(figure)
    plots.save_png(folder / "sigma.png", plots.render(figure))
    found = {
        f"{data}_sigma_{s:g}_{name}": result.figures[name]
        for data, by_sigma in results.items()
        for s, result in by_sigma.items()
        for name in ("distance", "near")
    }
    for data, by_name in best.items():
        found[f"{data}_sigma_of_least_distance"] = by_name["distance"]
        found[f"{data}_sigma_of_most_near"] = by_name["near"]
    return found


# ---- panels


def _told(data: str, figures: Mapping[str, float]) -> str:
    """The figures in words."""
    told = [f"distance {figures['distance']:.4f}"]
    if "modes" in figures:
        told.append(f"{figures['modes']:.0f} of {len(_MODES[data]())} modes")
    if "near" in figures:
        told.append(f"{figures['near']:.0%} near")
    return ", ".join(told)


def _draw_sweep(figure, places, results, best) -> None:
    """Both figures over sigma, one above the other."""
    shown = {
        "distance": ("energy distance of samples and data", {"yscale": "log"}),
        "near": (f"share of samples within {NEAR:g} of the data", {"ylim": (0, 1.4)}),
    }
    for i, (name, (title, scale)) in enumerate(shown.items()):
        axes = figure.add_subplot(places[i, 0])
        for (data, by_sigma), marker in zip(results.items(), "os"):
            sigmas = sorted(by_sigma)
            values = [by_sigma[s].figures[name] for s in sigmas]
            label = f"{data}, best at {best[data][name]:g}"
            axes.plot(sigmas, values, f"{marker}-", label=label)
        axes.axvline(0.05, c="0.7", ls="--", label="best of Benaziza et al.")
        axes.set(xscale="log", xlabel="sigma, in lengths of the unit square")
        axes.set_title(title, size=9)
        axes.legend(fontsize=8)
        axes.set(**scale)


def _draw(axes: Axes, result: _Result) -> None:
    """Samples over the witness function."""
    gan, real, fake, figures = result
    numbers = real.shape[1]
    most = np.abs(witness(gan, np.concatenate([real, fake]), real, fake)).max()
    values = witness(gan, grid(numbers), real, fake)
    {1: _draw_line, 2: _draw_plane}[numbers](axes, values, most, real, fake)
    told = [f"witness up to {most:.2g}"]
    if "lipschitz" in figures:
        told.append(f"critic's slopes up to {figures['lipschitz']:.2g}")
    axes.set_xlabel(", ".join(told), size=9)


def _draw_plane(axes, values, most, real, fake) -> None:
    axes.imshow(
        values.reshape(_SIDE, _SIDE),
        origin="lower",
        extent=(-_EDGE, _EDGE, -_EDGE, _EDGE),
        cmap="PuOr_r",
        vmin=-most,
        vmax=most,
        interpolation="bilinear",
        alpha=0.6,
    )
    axes.scatter(*real[:_SHOWN].T, s=24, c=_COLOURS["real"], linewidths=0)
    style = {"edgecolors": "white", "linewidths": 0.3}
    axes.scatter(*fake[:_SHOWN].T, s=14, c=_COLOURS["generated"], **style)
    axes.set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), xticks=[], yticks=[])


def _draw_line(axes, values, most, real, fake) -> None:
    shape = {"bins": np.linspace(-_EDGE, _EDGE, 43), "density": True}
    axes.hist(real[:, 0], color="0.8", **shape)
    line = grid(1)[:, 0]
    axes.plot(line, toy.mixture_density(line), c=_COLOURS["real"], lw=1)
    style = {"histtype": "step", "color": _COLOURS["generated"], "lw": 1.5}
    axes.hist(fake[:, 0], **style, **shape)
    beside = axes.twinx()
    beside.plot(line, values, c=_COLOURS["witness"])
    beside.axhline(0.0, c=_COLOURS["witness"], lw=0.6, ls="--")
    beside.set(ylim=(-1.2 * most, 1.2 * most), yticks=[])
    axes.set(xlim=(-_EDGE, _EDGE), yticks=[])


def _draw_legend(figure: Figure) -> None:
    """Of all panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    dots = [
        Line2D([], [], marker="o", ls="", color=_COLOURS[name], label=name)
        for name in ("real", "generated")
    ]
    label = "witness above 0: too few samples (below, purple: too many)"
    handles = [*dots, Patch(color=_COLOURS["witness"], alpha=0.7, label=label)]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
