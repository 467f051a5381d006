"""Particles that follow the MMD losses: what each loss would do with free scores.

Scores of real and generated samples, here points of the plane, go down the gradient
of a loss as if a discriminator could put every score anywhere: first both down that
of the discriminator, then the generated ones down that of the generator. A film
shows them with two arrows each, the sum of the forces that pull it to others and of
those that push it off. With k(a, b) = exp(-|a - b|^2 / (2 s^2)) and means over pairs
i != j, as in "ustat" of `gantf.mmd`:

    L_D = w0 k_rf - k_ff - w1 k_rr,    L_G = k_rr + k_ff - 2 k_rf

A mean of negative weight attracts its pairs, one of positive weight repels them. So
under L_D the generated ones contract. With (w0, w1) = (2, 1), the attractive loss, so
do the real ones, and what told them apart is lost; with (0, -1), the repulsive one,
they spread. The bounded losses hold the squared distances in L_D: pairs nearer than
the lower bound attract no more, pairs farther apart than the upper one repel no more.

Wang, Sun, Halgamuge: Improving MMD-GAN training with repulsive loss function, ICLR
2019, equations 3 to 6 and figure 1. The authors' own picture has exp(-|a - b|^2) and
450 and 600 steps of rate .01, which in lengths sqrt(2) times as large is a width of 1
and a rate of .02.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gantf import plots
from gantf.choices import choose

if TYPE_CHECKING:  # matplotlib loads where a figure is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Losses of `gantf.losses`, here all on rbf:s: name -> (words, (w0, w1), bounded).
LOSSES: dict[str, tuple[str, tuple[float, float], bool]] = {
    "mmd_g": ("attractive", (2.0, 1.0), False),
    "mgb": ("attractive, bounded", (2.0, 1.0), True),
    "rep": ("repulsive", (0.0, -1.0), False),
    "rmb": ("repulsive, bounded", (0.0, -1.0), True),
}

_MEANS = "rr", "ff", "rf"
_FREE = (0.0, math.inf)
_COLOURS = {
    "real": "black",
    "generated": "tab:pink",
    "attraction": "tab:blue",
    "repulsion": "tab:orange",
}
_MARKERS = {"real": "o", "generated": "^"}
_CURVES = {"k_rr": ("black", "-"), "k_ff": ("tab:pink", "-"), "k_rf": ("0.5", "--")}
_LONGEST = 0.8  # of all arrows of a run, in units of the plane
_MARGIN = 0.5  # around all that is ever shown
_SHORTEST = 0.03  # shorter arrows are left out: they would be blots
_FPS = 10
_LEGEND = {
    "frameon": False,
    "fontsize": 9,
    "handlelength": 1.2,
    "columnspacing": 1.2,
    "labelspacing": 0.2,
}


@dataclasses.dataclass(frozen=True)
class Loss:
    """rr k_rr + ff k_ff + rf k_rf, its squared distances held.

    Attributes:
      rr, ff, rf: the weights.
      held: "rr", "ff" or "rf" -> (low, high) of the squared distance; outside the
        kernel is constant.
      moves_real: whether the real particles follow it too.
    """

    rr: float
    ff: float
    rf: float
    held: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    moves_real: bool = True

    def attraction(self) -> Loss:
        """The means that pull their pairs together: those of negative weight."""
        return self._of(lambda weight: min(weight, 0.0))

    def repulsion(self) -> Loss:
        """The means that push their pairs apart: those of positive weight."""
        return self._of(lambda weight: max(weight, 0.0))

    def _of(self, part):
        weights = {name: part(getattr(self, name)) for name in _MEANS}
        return dataclasses.replace(self, **weights)


GENERATOR = Loss(rr=1.0, ff=1.0, rf=-2.0, moves_real=False)


def discriminator(
    weights: Sequence[float], bounds: Sequence[float] | None = None
) -> Loss:
    """The discriminator's loss of `gantf.losses`, "rep", or "rmb" where bounds are.

    Args:
      weights: (w0, w1).
      bounds: (low, high) of the squared distance: max(d2, low) between fakes; between
        reals min(d2, high) where w1 <= 0, else max(d2, low); between real and fake
        min(d2, high) where w0 > 0. Wang et al. (2019), equation 6.

    Raises:
      ValueError: bounds that are none.
    """
    w0, w1 = weights
    if bounds is None:
        return Loss(-w1, -1.0, w0)
    if not (len(bounds) == 2 and 0 <= bounds[0] < bounds[1]):
        raise ValueError(f"bounds are two numbers, 0 <= low < high, not {list(bounds)}")
    low, high = bounds
    near, far = (low, math.inf), (0.0, high)
    held = {"ff": near, "rr": far if w1 <= 0 else near, "rf": far if w0 > 0 else _FREE}
    return Loss(-w1, -1.0, w0, held)


def forces(
    real: np.ndarray, fake: np.ndarray, loss: Loss, width: float
) -> dict[str, np.ndarray]:
    """Minus the gradient of a loss, by who is moved by whom.

    Args:
      real, fake: (n, 2) and (m, 2).
      loss: from `discriminator`, or GENERATOR.
      width: s of the kernel.

    Returns:
      "rr" on the real particles by the real ones, "rf" on the real ones by the fake
      ones, both (n, 2); "fr" on the fake ones by the real ones, "ff" on the fake ones
      by the fake ones, both (m, 2).
    """
    rr, ff, rf = (loss.held.get(name, _FREE) for name in _MEANS)
    freedom = 1.0 if loss.moves_real else 0.0
    # A particle is in its own sample's mean twice, as k(x_i, x_j) and k(x_j, x_i).
    return {
        "rr": freedom * loss.rr * 2.0 * _away(real, real, width, rr),
        "rf": freedom * loss.rf * _away(real, fake, width, rf),
        "fr": loss.rf * _away(fake, real, width, rf),
        "ff": loss.ff * 2.0 * _away(fake, fake, width, ff),
    }


def _away(x, y, width, held):
    """Minus the gradient in x of the mean of k(x_i, y_j), i != j, y being fixed.

    sum_j k(x_i, y_j) (x_i - y_j) / (s^2 pairs), over j != i at distances not held.
    """
    apart, d2, counted = _pairs(x, y)  # (n, m, 2), (n, m), (n, m)
    low, high = held
    moved = counted & (low < d2) & (d2 < high)
    k = np.exp(-d2 / (2 * width**2)) * moved / (width**2 * counted.sum())
    return np.einsum("ij,ijd->id", k, apart)


def _pairs(x, y):
    """x_i - y_j, its squared length, and whether i != j."""
    apart = x[:, None, :] - y[None, :, :]
    return apart, np.sum(apart**2, axis=-1), ~np.eye(len(x), len(y), dtype=bool)


def summary(real: np.ndarray, fake: np.ndarray, width: float) -> dict[str, float]:
    """The kernel's and the distance's means over pairs i != j."""
    found = {}
    for name, x, y in [("rr", real, real), ("ff", fake, fake), ("rf", real, fake)]:
        _, d2, counted = _pairs(x, y)
        found[f"k_{name}"] = float(np.exp(-d2[counted] / (2 * width**2)).mean())
        found[f"distance_{name}"] = float(np.sqrt(d2[counted]).mean())
    return found


class Film(NamedTuple):
    """The way of particles.

    Attributes:
      real, fake: (t + 1, n, 2) and (t + 1, m, 2), a state a step.
      acts: the losses that move them and for how many steps, t in all.
      width: s of the kernel.
    """

    real: np.ndarray
    fake: np.ndarray
    acts: tuple[tuple[Loss, int], ...]
    width: float


def film(
    real: np.ndarray,
    fake: np.ndarray,
    acts: Sequence[tuple[Loss, int]],
    width: float = 1.0,
    rate: float = 0.02,
) -> Film:
    """Gradient descent of all particles down one loss after the other.

    Args:
      real, fake: the start, (n, 2) and (m, 2).
      acts: losses and for how many steps each.
      width: s of the kernel.
      rate: the learning rate.
    """
    reals, fakes = [np.asarray(real, float)], [np.asarray(fake, float)]
    for loss, steps in acts:
        for _ in range(steps):
            on = forces(reals[-1], fakes[-1], loss, width)
            reals.append(reals[-1] + rate * (on["rr"] + on["rf"]))
            fakes.append(fakes[-1] + rate * (on["ff"] + on["fr"]))
    return Film(np.array(reals), np.array(fakes), tuple(acts), width)


def start(
    particles: int, spread: float, gap: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Normal particles around (-gap / 2, 0) and (gap / 2, 0), (particles, 2) each."""
    random = np.random.default_rng(seed)
    centre = np.array([gap / 2, 0.0])
    real, fake = random.normal(0.0, spread, (2, particles, 2))
    return real - centre, fake + centre


def run(
    folder: Path,
    *,
    losses: Sequence[str],
    particles: int,
    spread: float,
    gap: float,
    width: float,
    bounds: Sequence[float],
    rate: float,
    discriminator_steps: int,
    generator_steps: int,
    frames: int,
    seed: int,
) -> dict[str, float]:
    """Films of the losses, LOSS.gif, and a picture of all, particles.png.

    Args:
      folder: to write to.
      losses: names, of LOSSES.
      particles: how many of each sample.
      spread: their standard deviation around two centres.
      gap: between the centres.
      width: s of the kernel.
      bounds: of the squared distance, for the bounded losses.
      rate: the learning rate.
      discriminator_steps, generator_steps: how long each loss moves them.
      frames: of a film.
      seed: of the start.

    Returns:
      What `summary` gives for each loss, after L_D ("..._after_d") and after L_G.

    Raises:
      ValueError: an unknown loss; a number out of its range.
    """
    _check(
        losses=losses,
        particles=particles,
        spread=spread,
        gap=gap,
        width=width,
        rate=rate,
        discriminator_steps=discriminator_steps,
        generator_steps=generator_steps,
        frames=frames,
    )
    films = {}
    for name in losses:
        _, weights, bounded = choose("loss of particles", name, LOSSES)
        first = discriminator(weights, bounds if bounded else None)
        acts = (first, discriminator_steps), (GENERATOR, generator_steps)
        films[name] = film(*start(particles, spread, gap, seed), acts, width, rate)
    view = _view(films.values())
    plots.save_png(folder / "particles.png", _overview(films, view))
    for name, shown in films.items():
        pictures = list(_pictures(name, shown, view, frames))
        pictures += _FPS * pictures[-1:]  # the end stays for a second
        plots.save_gif(folder / f"{name}.gif", pictures, _FPS)
    return {
        f"{name}_{key}_after_{player}": value
        for name, shown in films.items()
        for player, step in [("d", discriminator_steps), ("g", -1)]
        for key, value in summary(shown.real[step], shown.fake[step], width).items()
    }


_RULES = {
    "losses": ("names of losses, one at least", lambda v: len(v) > 0),
    "particles": ("a whole number from 2", lambda v: v >= 2),
    "spread": ("a number above 0", lambda v: 0 < v < math.inf),
    "gap": ("a number from 0", lambda v: 0 <= v < math.inf),
    "width": ("a number above 0", lambda v: 0 < v < math.inf),
    "rate": ("a number above 0", lambda v: 0 < v < math.inf),
    "discriminator_steps": ("a whole number from 1", lambda v: v >= 1),
    "generator_steps": ("a whole number from 1", lambda v: v >= 1),
    "frames": ("a whole number from 2", lambda v: v >= 2),
}


def _check(**settings) -> None:
    for name, value in settings.items():
        words, fits = _RULES[name]
        if not fits(value):
            raise ValueError(f"{name} is {words}, not {value}")


# ---- pictures


class _View(NamedTuple):
    """What all pictures of a run share: limits of the plane, length of a force 1."""

    x: tuple[float, float]
    y: tuple[float, float]
    scale: float


def _view(films: Collection[Film]) -> _View:
    ways = [np.concatenate([f.real, f.fake], 1).reshape(-1, 2) for f in films]
    low, high = np.min(np.concatenate(ways), 0), np.max(np.concatenate(ways), 0)
    strongest = max(
        np.linalg.norm(arrows, axis=-1).max()
        for f in films
        for step in range(0, len(f.real), 10)
        for arrows in _arrows(f, step).values()
    )
    x, y = zip(low - _MARGIN, high + _MARGIN)
    return _View(x, y, _LONGEST / max(strongest, 1e-9))


def _act(shown: Film, step: int) -> tuple[str, Loss]:
    """The loss that moves a state on; the last one at the end."""
    (first, steps), (second, _) = shown.acts
    return ("L_D", first) if step < steps else ("L_G", second)


def _arrows(shown: Film, step: int) -> dict[str, np.ndarray]:
    """The forces of each kind on a state, (n + m, 2), real ones first."""
    real, fake = shown.real[step], shown.fake[step]
    _, loss = _act(shown, step)
    found = {}
    for kind, part in [
        ("attraction", loss.attraction()),
        ("repulsion", loss.repulsion()),
    ]:
        on = forces(real, fake, part, shown.width)
        found[kind] = np.concatenate([on["rr"] + on["rf"], on["ff"] + on["fr"]])
    return found


def _draw_plane(axes: Axes, shown: Film, step: int, view: _View) -> None:
    """Particles, their ways so far, and the forces on them."""
    for name, ways in [("real", shown.real), ("generated", shown.fake)]:
        color, past = _COLOURS[name], ways[: step + 1]
        axes.plot(past[..., 0], past[..., 1], c=color, lw=0.8, alpha=0.5, zorder=1)
        style = {"c": color, "ms": 7, "mec": "white", "mew": 0.8, "zorder": 4}
        axes.plot(*ways[step].T, _MARKERS[name], **style)
    particles = np.concatenate([shown.real[step], shown.fake[step]])
    for kind, arrows in _arrows(shown, step).items():
        arrows = view.scale * arrows
        seen = np.linalg.norm(arrows, axis=-1) > _SHORTEST
        axes.quiver(
            *particles[seen].T,
            *arrows[seen].T,
            color=_COLOURS[kind],
            angles="xy",
            scale_units="xy",
            scale=1.0,
            width=0.008,
            zorder=3,
        )
    axes.set(xlim=view.x, ylim=view.y, aspect="equal", xticks=[], yticks=[])


def _means(shown: Film) -> dict[str, np.ndarray]:
    """The kernel means of every state, (t + 1,) each."""
    states = zip(shown.real, shown.fake)
    found = [summary(real, fake, shown.width) for real, fake in states]
    return {name: np.array([state[name] for state in found]) for name in _CURVES}


def _draw_means(axes: Axes, shown: Film, step: int, means: Mapping) -> None:
    """The kernel means up to a step, and where the loss changes."""
    for name, (color, style) in _CURVES.items():
        label = f"{name} {means[name][step]:.2f}"
        axes.plot(means[name][: step + 1], style, c=color, label=label)
    axes.axvline(shown.acts[0][1], c="0.8", lw=0.8, zorder=0)
    axes.set(xlim=(0, len(shown.real) - 1), ylim=(-0.02, 1.02), xlabel="step")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), **_LEGEND)


def _draw_legend(where: Axes | Figure, **place: Any) -> None:
    """Of particles and arrows."""
    from matplotlib.lines import Line2D

    handles = []
    for name, color in _COLOURS.items():
        marker, line = (_MARKERS[name], "") if name in _MARKERS else ("", "-")
        style = {"marker": marker, "ls": line, "color": color, "lw": 2.5}
        handles.append(Line2D([], [], label=name, **style))
    where.legend(handles=handles, ncols=len(handles), **place, **_LEGEND)


def _pictures(name: str, shown: Film, view: _View, frames: int) -> Iterator[np.ndarray]:
    """The frames of a film, evenly spread over its steps."""
    figure = plots.new_figure(6.0, 4.2)
    plane, curves = figure.subplots(1, 2, width_ratios=[3, 1])
    means, last = _means(shown), len(shown.real) - 1
    for step in np.unique(np.linspace(0, last, frames).round().astype(int)):
        plane.clear()
        curves.clear()
        _draw_plane(plane, shown, step, view)
        _draw_legend(plane, loc="upper center", bbox_to_anchor=(0.5, 0.0))
        _draw_means(curves, shown, step, means)
        player, _ = _act(shown, step)
        plane.set_title(f"{name}, {LOSSES[name][0]}\n${player}$, step {step} of {last}")
        yield plots.render(figure)
        figure.set_layout_engine("none")  # the axes stay where the first frame has them


def _overview(films: Mapping[str, Film], view: _View) -> np.ndarray:
    """Start, change of loss and end of each film, and its kernel means."""
    figure = plots.new_figure(10.0, 3.2 * len(films) + 0.4)
    figure.set_layout_engine("constrained")  # columns of widths of their own
    grid = figure.subplots(len(films), 4, squeeze=False, width_ratios=[4, 4, 4, 2])
    for (name, shown), axes in zip(films.items(), grid):
        last, turn = len(shown.real) - 1, shown.acts[0][1]
        for plane, step in zip(axes, [0, turn, last]):
            _draw_plane(plane, shown, step, view)
            plane.set_title(f"step {step}, forces of ${_act(shown, step)[0]}$")
        axes[0].set_ylabel(f"{name}\n{LOSSES[name][0]}")
        _draw_means(axes[3], shown, last, _means(shown))
    _draw_legend(figure, loc="outside lower center")
    return plots.render(figure)
