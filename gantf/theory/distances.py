"""Distances between the point masses P = delta_0 and Q = delta_theta of the line.

Representations are phi(x) = psi x; the kernel on them is the Gaussian of width 1:

    k(x, y) = exp(-psi^2 (x - y)^2 / 2)

The toy problem of Arbel, Sutherland, Binkowski & Gretton: On gradient regularizers for
MMD GANs, NeurIPS 2018, section 2, after Mescheder, Geiger & Nowozin, ICML 2018. With
psi free, the MMD jumps at theta = 0; the other distances are attempts to mend that.

A name alone is the distance for a given psi; `sup_`, `bounded_` and `best_` go with the
best psi, which comes along where it is finite. Squares are squares: mmd2 is MMD^2.
theta and psi are numbers or arrays, of any sign, where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import linalg, optimize, special

_CODED_WEIGHT = 10.0  # of the Jacobian in the scale of the authors' code
_ABOVE_PI = np.nextafter(np.pi, 4)  # just beyond the cut of the Wright omega function


def mmd2(theta: Any, psi: Any) -> Any:
    """MMD^2 = 2 (1 - exp(-psi^2 theta^2 / 2)): k(0, 0) + k(theta, theta) - 2 k."""
    return -2.0 * np.expm1(-(np.square(np.multiply(theta, psi)) / 2))


def sup_mmd2(theta: Any) -> Any:
    """The supremum of MMD^2 over all psi: 2 where theta != 0, and 0 at 0: a jump."""
    return np.where(np.equal(theta, 0), 0.0, 2.0)


def bounded_mmd2(theta: Any, bound: float = 1.0) -> Any:
    """The maximum of MMD^2 over |psi| <= bound, met at the bound: continuous.

    Spectral normalisation forces |psi| = 1, whatever theta is: bound 1.
    """
    return mmd2(theta, bound)


# ---- the scaled MMD


def smmd2(theta: Any, psi: Any, lambda_: float = 1.0) -> Any:
    """The scaled MMD^2, MMD^2 / (lambda + 1 + psi^2), lambda above -1.

    Arbel et al. (2018), section 3, divide by lambda + E k(x, y) + E d/dx d/dy k(x, y)
    at y = x ~ mu; here the terms are 1 and psi^2 wherever x is: no mu makes a
    difference.
    """
    return mmd2(theta, psi) / (_above(lambda_, -1) + 1.0 + np.square(psi))


def best_smmd2(theta: Any, lambda_: float = 1.0) -> tuple[Any, Any]:
    """The maximum of the scaled MMD^2 over psi, and |psi| there; about theta^2 at 0.

    With c = 1 + lambda and Lambert's W, the maximum is theta^2 / s:

        s = -W_-1(-exp(-1 - c theta^2 / 2)),    psi^2 = 2 log(s) / theta^2

    for the derivative in psi^2 is 0 where s = 1 + (c + psi^2) theta^2 / 2 has
    s exp(-psi^2 theta^2 / 2) = 1. As theta goes to 0, psi^2 grows like
    2 sqrt(c) / |theta|; at 0 it is infinite.
    """
    square = np.square(np.asarray(theta, float))
    half = (1.0 + _above(lambda_, -1)) * square / 2
    # omega(-y - i pi) = W_-1(-exp(-y)), which does not underflow
    s = -special.wrightomega(-1.0 - half - 1j * _ABOVE_PI).real
    zero = square == 0
    psi = np.sqrt(2.0 * np.log(s) / np.where(zero, 1.0, square))
    return square / s, np.where(zero, np.inf, psi)


def coded_smmd2(theta: Any, psi: Any, weight: float = _CODED_WEIGHT) -> Any:
    """The scaled MMD^2 of the authors' code: MMD^2 / (1 + weight psi^2).

    It is `smmd2` with lambda = 1 / weight - 1, divided by the weight.
    """
    return smmd2(theta, psi, 1.0 / _above(weight) - 1.0) / weight


def best_coded_smmd2(theta: Any, weight: float = _CODED_WEIGHT) -> tuple[Any, Any]:
    """The maximum of `coded_smmd2` over psi, and |psi| there."""
    value, psi = best_smmd2(theta, 1.0 / _above(weight) - 1.0)
    return value / weight, psi


# ---- the gradient-constrained MMD


def gcmmd2(
    theta: float, psi: float, nodes: Any, weights: Any, lambda_: float = 1.0
) -> float:
    """The gradient-constrained MMD^2 for any mu that is a sum of point masses.

    It is the square of sup f(0) - f(theta) over all f with

        E_mu f^2 + E_mu f'^2 + lambda |f|_k^2 <= 1

    Arbel et al. (2018), section 3. With v = (eta(x_m), eta'(x_m)) for
    eta(x) = k(0, x) - k(theta, x), A the kernel of values and slopes at the nodes and
    W the weights, each twice:

        (MMD^2 - v' (A + lambda W^-1)^-1 v) / lambda,    A = (K  G'; G  H)
        G = -psi^2 (x_m - x_n) K,    H = psi^2 (1 - psi^2 (x_m - x_n)^2) K

    Samples x_1..x_M of mu have weights 1 / M, hence the paper's A + M lambda I.

    Args:
      nodes: the points x of mu, (m,).
      weights: their masses, (m,), from 0.
      lambda_: above 0.
    """
    lambda_, x, q = _above(lambda_), np.asarray(nodes, float), float(psi) ** 2
    apart = x[:, None] - x
    k = np.exp(-q * apart**2 / 2)
    slope = -q * apart * k
    a = np.block([[k, -slope], [slope, q * (k + apart * slope)]])
    from_p, from_q = np.exp(-q * x**2 / 2), np.exp(-q * (x - theta) ** 2 / 2)
    v = np.concatenate([from_p - from_q, q * ((x - theta) * from_q - x * from_p)])
    # (A + lambda W^-1)^-1 = R (R A R + lambda I)^-1 R with R^2 = W: no 1 / 0
    r = np.sqrt(np.concatenate([weights, weights]))
    system = r[:, None] * a * r + lambda_ * np.eye(len(r))
    seen = (r * v) @ linalg.solve(system, r * v, assume_a="pos")
    return float(mmd2(theta, psi) - seen) / lambda_


def dirac_gcmmd2(theta: Any, psi: Any, lambda_: float = 1.0) -> Any:
    """The gradient-constrained MMD^2 with mu = delta_0; `gcmmd2` by hand.

    With e = exp(-psi^2 theta^2 / 2):

        (2 (1 - e) - (1 - e)^2 / (1 + lambda) - psi^4 theta^2 e^2 / (psi^2 + lambda))
        / lambda
    """
    lambda_, q = _above(lambda_), np.square(np.asarray(psi, float))
    half = q * np.square(theta) / 2
    value = np.square(np.expm1(-half)) / (1.0 + lambda_)
    slope = 2.0 * q * half * np.exp(-2.0 * half) / (q + lambda_)
    return (mmd2(theta, psi) - value - slope) / lambda_


def sup_dirac_gcmmd2(theta: Any, lambda_: float = 1.0) -> Any:
    """The supremum of `dirac_gcmmd2` over psi, its limit for psi to infinity.

    It is (1 + 2 lambda) / (lambda (1 + lambda)) where theta != 0, and 0 at 0: it jumps
    as MMD^2 does. Slopes at 0 alone do not hold back what f does next to it.
    """
    lambda_ = _above(lambda_)
    limit = (1.0 + 2.0 * lambda_) / (lambda_ * (1.0 + lambda_))
    return np.where(np.equal(theta, 0), 0.0, limit)


def normal_nodes(
    theta: float, psi: float, lambda_: float = 1.0, spread: float = 10.0
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights that stand for mu = N(0, spread^2) in `gcmmd2`, (m,) each.

    A lattice, with the density times its step as weights: the trapezoidal rule. For
    lambda from .01 it errs by less than 1e-6 of MMD^2. Its step is half of the kernel's
    width 1 / |psi|; it reaches as far from 0 and theta as the best f does, which falls
    off like exp(-a |x|), a^2 = 1 + lambda |psi| / (sqrt(2 pi) density(0)).
    """
    lambda_, spread = _above(lambda_), _above(spread)
    width = 1.0 / max(abs(psi), 1e-3 / spread)
    rate = np.sqrt(1.0 + lambda_ * spread / width)
    reach = min(6.0 * width + 7.0 / rate, 8.0 * spread)
    step = min(width, spread) / 2
    first, last = (min(theta, 0.0) - reach) / step, (max(theta, 0.0) + reach) / step
    nodes = step * np.arange(np.floor(first), np.ceil(last) + 1)
    nodes = nodes[np.minimum(abs(nodes), abs(nodes - theta)) <= reach]
    density = np.exp(-((nodes / spread) ** 2) / 2) / (np.sqrt(2 * np.pi) * spread)
    return nodes, step * density


def normal_gcmmd2(
    theta: float, psi: float, lambda_: float = 1.0, spread: float = 10.0
) -> float:
    """The gradient-constrained MMD^2 with mu = N(0, spread^2), by `normal_nodes`.

    Spread 10 is that of the toy figure of Arbel et al. (2018).
    """
    nodes, weights = normal_nodes(theta, psi, lambda_, spread)
    return gcmmd2(theta, psi, nodes, weights, lambda_)


def best_normal_gcmmd2(
    theta: float, lambda_: float = 1.0, spread: float = 10.0
) -> tuple[float, float]:
    """The maximum of `normal_gcmmd2` over psi, and |psi| there; theta is not 0.

    Searched from .2 to 8 times 1 + 1 / |theta|. It is continuous at 0: f(0) -
    f(theta) is at most sqrt(|theta| int f'^2), and the constraint bounds the integral,
    so that the maximum is at most about |theta| / density(0). It comes near that bound,
    hence the distance itself goes like sqrt|theta|.
    """
    scale = 1.0 + 1.0 / _distance_from_0(theta)
    return _best(
        lambda psi: normal_gcmmd2(theta, psi, lambda_, spread),
        scale * np.geomspace(0.2, 8.0, 9),
    )


# ---- gradient penalties


def wgan_gp(theta: Any, psi: Any, lambda_: float = 1.0) -> Any:
    """The critic's aim in WGAN-GP on f = psi x: f(0) - f(theta) less the penalty.

        -psi theta - lambda (|psi| - 1)^2

    Gulrajani et al. (2017), equation 3; the slope is psi wherever it is measured.
    """
    return -np.multiply(psi, theta) - lambda_ * np.square(np.abs(psi) - 1.0)


def best_wgan_gp(theta: Any, lambda_: float = 1.0) -> tuple[Any, Any]:
    """The maximum of `wgan_gp` over psi, and psi there.

    |theta| + theta^2 / (4 lambda) at psi = -sign(theta) (1 + |theta| / (2 lambda)),
    or at 1 too if theta is 0.
    """
    size, sign = np.abs(theta), np.where(np.less_equal(theta, 0), 1.0, -1.0)
    size = size / (2.0 * _above(lambda_))
    return 2.0 * lambda_ * size * (1.0 + size / 2), sign * (1.0 + size)


def slope2(product: Any) -> Any:
    """The mean of w'(u theta)^2 / psi^2 over u in [0, 1], by p = psi theta.

    For the witness w(x) = k(x, 0) - k(x, theta), whose slope is -psi g(u) with
    g(u) = p (u e(u) + (1 - u) e(1 - u)) and e(u) = exp(-p^2 u^2 / 2). With Kummer's
    M_a(z) = 1F1(a; a + 1; z), which is a times the integral of t^(a - 1) exp(z t)
    over [0, 1]:

        p^2 (2/3 M_3/2(-p^2) + exp(-p^2 / 4) / 2 (M_1/2(-p^2/4) - M_3/2(-p^2/4) / 3))
    """
    p2 = np.square(product)
    apart = special.hyp1f1(1.5, 2.5, -p2) * 2 / 3
    crossed = special.hyp1f1(0.5, 1.5, -p2 / 4) - special.hyp1f1(1.5, 2.5, -p2 / 4) / 3
    return p2 * (apart + np.exp(-p2 / 4) * crossed / 2)


def mmd_gp(theta: Any, psi: Any, lambda_: float = 1.0) -> Any:
    """The critic's aim in MMD-GAN-GP: MMD^2 less the penalty on the witness.

        MMD^2 - lambda E_u (|w'(u theta)| - 1)^2,    u uniform in [0, 1]

    Binkowski et al.: Demystifying MMD GANs, ICLR 2018. The mean of |w'| is
    MMD^2 / |theta|, as w falls from w(0) = MMD^2 / 2 to -w(0); see `slope2` for w'^2.
    Where theta is 0, w is 0 and the penalty lambda.
    """
    size = np.abs(theta)
    value = mmd2(theta, psi)
    mean = np.divide(value, np.where(size == 0, 1.0, size))
    square = np.square(psi) * slope2(np.multiply(psi, theta))
    return value - lambda_ * (square - 2.0 * mean + 1.0)


def best_mmd_gp(theta: float, lambda_: float = 1.0) -> tuple[float, float]:
    """The maximum of `mmd_gp` over psi, and |psi| there; theta is not 0.

    For small theta, psi^2 is about 1 / |theta| + 1 / (2 lambda) + 1 / 4, where
    MMD^2 is about |theta|: psi still has no bound, and the distance an infinite slope.
    There may be two local maxima; with lambda = 1 the better one changes near
    theta = 1.27, where the best psi jumps.
    """
    scale = 1.0 / np.sqrt(_distance_from_0(theta))
    return _best(
        lambda psi: float(mmd_gp(theta, psi, lambda_)),
        scale * np.geomspace(0.01, 100.0, 121),
    )


def _best(
    value: Callable[[float], float], trials: Iterable[float]
) -> tuple[float, float]:
    """The maximum of a function of psi near the best of its trials, and its place."""
    places = np.log(np.asarray(list(trials)))
    best = np.argmax([value(psi) for psi in np.exp(places)])
    best = min(max(best, 1), len(places) - 2)
    found = optimize.minimize_scalar(
        lambda place: -value(np.exp(place)),
        bounds=(places[best - 1], places[best + 1]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return -float(found.fun), float(np.exp(found.x))


def _above(value: float, bound: float = 0) -> float:
    """The weight, which must be above the bound."""
    if not value > bound:
        raise ValueError(f"a weight, spread or lambda is above {bound}, not {value}")
    return value


def _distance_from_0(theta: float) -> float:
    if theta == 0:
        raise ValueError("where theta is 0, all psi are alike: theta is not 0")
    return abs(theta)
