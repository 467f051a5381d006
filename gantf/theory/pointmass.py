"""The Dirac GAN: a model that is one point, theta, against a critic of one weight, psi.

The data are the point 0 and critics see psi x; see `gantf.theory.distances`, whose
figures `run` draws as functions of theta. Here are the vector fields of training:

    theta' = -d/dtheta of the generator's loss,    psi' = d/dpsi of the critic's aim

Mescheder, Geiger & Nowozin: Which training methods for GANs do actually converge?,
ICML 2018, section 2, for the GAN, the WGAN and WGAN-GP. There psi x is high for
generated points; here for real ones, as everywhere in gantf, which is psi -> -psi.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import integrate, special

from gantf import plots
from gantf.theory import distances

Field = Callable[[Any, Any], tuple[Any, Any]]

_STEP = 1e-5  # of central differences: they err by about 1e-10
_NEAR = 0.01  # where values next to theta = 0 are read
_JUMP = 0.5  # a square above this there is a jump
_SIDE = 3.3  # the vector fields are drawn for |theta|, |psi| up to this


def gan(theta: Any, psi: Any) -> tuple[Any, Any]:
    """The minimax GAN: aim and loss are -log(1 + exp(psi theta)), give or take log 2.

    theta^2 + psi^2 stays as it is: circles.
    """
    slope = special.expit(np.multiply(psi, theta))
    return slope * psi, -slope * theta


def ns_gan(theta: Any, psi: Any) -> tuple[Any, Any]:
    """The non-saturating GAN: the generator's loss is log(1 + exp(-psi theta)).

    With r^2 = theta^2 + psi^2, (r^2)' = -2 p tanh(p / 2) at p = psi theta: an inward
    spiral, but a slow one, r^2 ~ 8 / t.
    """
    product = np.multiply(psi, theta)
    return special.expit(-product) * psi, -special.expit(product) * theta


def wgan(theta: Any, psi: Any) -> tuple[Any, Any]:
    """WGAN with no constraint: aim and loss are -psi theta. Circles of period 2 pi."""
    return np.multiply(1.0, psi), np.multiply(-1.0, theta)


def wgan_gp(theta: Any, psi: Any, lambda_: float = 1.0) -> tuple[Any, Any]:
    """WGAN-GP: the critic's aim is `distances.wgan_gp`. It never settles at theta = 0.

    On either side of psi = 0 the field is that of a spring at rest at
    theta = 2 lambda sign(psi), damped by 2 lambda. For lambda from 1 the model
    creeps to |theta| = 2 lambda; below, it ends on a cycle that turns at

        |theta| = 2 lambda coth(pi lambda / (2 sqrt(1 - lambda^2)))
    """
    pull = 2.0 * lambda_ * (psi - np.sign(psi))
    return np.multiply(1.0, psi), -np.asarray(theta) - pull


def mmd(theta: Any, psi: Any) -> tuple[Any, Any]:
    """MMD-GAN with no constraint: aim and loss are MMD^2.

    theta^2 + psi^2 stays as it is, but theta only shrinks: it goes to 0 on an arc.
    """
    product = np.multiply(psi, theta)
    slope = 2.0 * product * np.exp(-np.square(product) / 2)
    return -slope * psi, slope * theta


def mmd_gp(theta: Any, psi: Any, lambda_: float = 1.0) -> tuple[Any, Any]:
    """MMD-GAN-GP: the critic's aim is `distances.mmd_gp`, the loss MMD^2."""
    aim = partial(distances.mmd_gp, theta, lambda_=lambda_)
    return mmd(theta, psi)[0], _slope(aim, psi)


def smmd(theta: Any, psi: Any, lambda_: float = 1.0) -> tuple[Any, Any]:
    """Scaled MMD: aim and loss are `distances.smmd2`."""
    scale = 1.0 / (1.0 + lambda_ + np.square(psi))
    down, up = mmd(theta, psi)
    shrink = 2.0 * np.multiply(psi, scale) * distances.mmd2(theta, psi)
    return scale * down, scale * (up - shrink)


def gcmmd(
    theta: Any, psi: Any, lambda_: float = 1.0, spread: float = 10.0
) -> tuple[Any, Any]:
    """Gradient-constrained MMD: aim and loss are `distances.normal_gcmmd2`."""

    def at(theta, psi):
        mu = distances.normal_nodes(theta, psi, lambda_, spread)
        down = _slope(lambda x: distances.gcmmd2(x, psi, *mu, lambda_), theta)
        return -down, _slope(lambda x: distances.gcmmd2(theta, x, *mu, lambda_), psi)

    right, up = np.vectorize(at, otypes="dd")(theta, psi)
    return right[()], up[()]  # numbers where they came


FIELDS: dict[str, Field] = {
    "gan": gan,
    "ns_gan": ns_gan,
    "wgan": wgan,
    "wgan_gp": wgan_gp,
    "mmd": mmd,
    "mmd_gp": mmd_gp,
    "smmd": smmd,
    "gcmmd": gcmmd,
}
_TITLES = {
    "gan": "GAN, minimax",
    "ns_gan": "GAN, non-saturating",
    "wgan": "WGAN",
    "wgan_gp": "WGAN-GP",
    "mmd": "MMD",
    "mmd_gp": "MMD-GP",
    "smmd": "SMMD",
    "gcmmd": "GC-MMD",
}


def trajectory(
    field: Field, theta: float, psi: float, time: float, points: int = 601
) -> np.ndarray:
    """Where a field takes (theta, psi), at evenly spaced times from 0; (points, 2).

    By Runge-Kutta 4(5) with steps that err by about 1e-7.
    """
    found = integrate.solve_ivp(
        lambda _, at: np.array(field(*at), float),
        (0.0, time),
        (theta, psi),
        t_eval=np.linspace(0.0, time, points),
        rtol=1e-7,
        atol=1e-8,
    )
    return found.y.T


def run(
    folder: Path,
    regularisation: float = 1.0,
    spread: float = 10.0,
    penalty: float = 0.3,
    theta: Sequence[float] = (1.0, 2.0),
    psi: Sequence[float] = (1.0, 2.4),
    time: float = 30.0,
) -> dict[str, float]:
    """Draws distances.png and fields.png.

    Args:
      folder: where they go.
      regularisation: lambda of SMMD, GC-MMD and, in distances.png, of MMD-GP.
      spread: GC-MMD's mu is N(0, spread^2).
      penalty: lambda of WGAN-GP and MMD-GP in fields.png.
      theta, psi: where trajectories start; as many of one as of the other.
      time: how long they are.

    Returns:
      squared distances at theta = 1 and at .01, where those that jump at 0 are not
      small; for each field and start, |theta| at the end.

    Raises:
      ValueError: starts of two lengths, or a number out of its range.
    """
    if len(theta) != len(psi):
        raise ValueError(
            f"theta and psi go in pairs, not {len(theta)} of one and {len(psi)}"
        )
    if not (penalty > 0 and time > 0):
        raise ValueError(f"penalty and time are above 0, not {penalty:g} and {time:g}")
    figures, picture = _draw_distances(_squares(regularisation, spread))
    plots.save_png(Path(folder) / "distances.png", picture)
    fields = FIELDS | {
        "wgan_gp": partial(wgan_gp, lambda_=penalty),
        "mmd_gp": partial(mmd_gp, lambda_=penalty),
        "smmd": partial(smmd, lambda_=regularisation),
        "gcmmd": partial(gcmmd, lambda_=regularisation, spread=spread),
    }
    ends, picture = _draw_fields(fields, list(zip(theta, psi)), time)
    plots.save_png(Path(folder) / "fields.png", picture)
    return figures | ends


def _squares(lambda_: float, spread: float) -> dict[str, tuple[str, Callable]]:
    """By name: a label, the squared distance with the best psi at a theta above 0."""

    def at_best_mmd_gp(theta):
        return distances.mmd2(theta, distances.best_mmd_gp(theta, lambda_)[1])

    return {
        "mmd": ("MMD, ψ free", distances.sup_mmd2),
        "dirac_gcmmd": (
            "GC-MMD, μ = δ₀",
            partial(distances.sup_dirac_gcmmd2, lambda_=lambda_),
        ),
        "normal_gcmmd": (
            f"GC-MMD, μ = N(0, {spread:g}²)",
            lambda theta: distances.best_normal_gcmmd2(theta, lambda_, spread)[0],
        ),
        "mmd_gp": ("MMD at MMD-GP's best ψ", at_best_mmd_gp),
        "sn_mmd": ("MMD, |ψ| ≤ 1 or SN", distances.bounded_mmd2),
        "smmd": ("SMMD", lambda theta: distances.best_smmd2(theta, lambda_)[0]),
    }


def _draw_distances(
    squares: Mapping[str, tuple[str, Callable]],
) -> tuple[dict[str, float], np.ndarray]:
    """The distances over theta and, near 0, over log theta."""
    places = np.concatenate([np.geomspace(_NEAR, 0.1, 13), np.linspace(0.13, 2.5, 48)])
    figure = plots.new_figure(11, 5)
    linear, log = figure.subplots(1, 2)
    figures = {}
    for i, (name, (label, square)) in enumerate(squares.items()):
        figures[f"{name}2_at_1"] = float(square(1.0))
        figures[f"{name}2_at_{_NEAR:g}"] = near = float(square(_NEAR))
        jumps = near > _JUMP
        line, zero = ("--", np.nan) if jumps else ("-", 0.0)
        style = {"label": label, "color": f"C{i}", "linestyle": line, "linewidth": 2}
        far = np.sqrt([float(square(theta)) for theta in places])
        log.loglog(places, far, **style)
        both = np.concatenate([-places[::-1], [0.0], places])
        linear.plot(both, np.concatenate([far[::-1], [zero], far]), **style)
    linear.plot(0, 0, "ko")
    linear.set(xlim=(-2.5, 2.5), title="dashed: jumps at θ = 0")
    linear.set(xlabel="θ", ylabel="distance of δ_θ from δ₀, best ψ")
    log.set(xlabel="θ", title="near 0: SN and SMMD like θ, others like √θ")
    log.legend(loc="lower right")
    for axes in (linear, log):
        axes.grid(alpha=0.3)
    return figures, plots.render(figure)


def _draw_fields(
    fields: Mapping[str, Field], starts: list[tuple[float, float]], time: float
) -> tuple[dict[str, float], np.ndarray]:
    """Each field with its trajectories: arrows of one length, darker where faster."""
    side = np.linspace(-_SIDE, _SIDE, 16)  # without 0, where WGAN-GP's field jumps
    figure = plots.new_figure(12.5, 7.2)
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    figures = {}
    for axes, (name, field) in zip(panels.flat, fields.items()):
        _draw_arrows(axes, field, np.meshgrid(side, side))
        ends = []
        for i, start in enumerate(starts):
            path = trajectory(field, *start, time)
            ends.append(abs(path[-1, 0]))
            figures[f"{name}_from_{start[0]:g}_{start[1]:g}"] = ends[-1]
            axes.plot(*path.T, color=f"C{3 * i}", linewidth=1.5)
            axes.plot(*start, "o", color=f"C{3 * i}", markersize=6)
            axes.plot(*path[-1], "s", color=f"C{3 * i}", markersize=6)
        far = ", ".join(f"{end:.2f}" for end in ends)
        axes.set_title(f"{_title(name, field)}\nat the end |θ| = {far}", fontsize=11)
        axes.set(xlim=(-_SIDE, _SIDE), ylim=(-_SIDE, _SIDE), aspect="equal")
    words = f"θ, the model; the data are at 0; circle: start, square: t = {time:g}"
    figure.supxlabel(words)
    figure.supylabel("ψ, the critic")
    return figures, plots.render(figure)


def _draw_arrows(axes: Any, field: Field, grid: list[np.ndarray]) -> None:
    right, up = field(*grid)
    speed = np.maximum(np.hypot(right, up), 1e-12)
    axes.quiver(
        *grid,
        right / speed,
        up / speed,
        np.log10(speed + 0.01),
        cmap="Greys",
        clim=(-3, 1.5),
        pivot="mid",
        scale=24,
        width=0.006,
    )
    axes.axvline(0, color="tab:green", linewidth=1)


def _title(name: str, field: Field) -> str:
    """The name as papers write it, and lambda where it was set."""
    weight = getattr(field, "keywords", {}).get("lambda_")
    return _TITLES[name] + ("" if weight is None else f", λ = {weight:g}")


def _slope(value: Callable[[Any], Any], at: Any) -> Any:
    """The derivative by central differences."""
    at = np.asarray(at, float)
    return (value(at + _STEP) - value(at - _STEP)) / (2 * _STEP)
